"""Any Gymnasium environment: how it is made, wrapped, limited, copied and checked."""
