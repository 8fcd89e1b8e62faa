"""Start, supervise and end processes."""
