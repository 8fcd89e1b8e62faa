"""THE table of strategies: one line per name."""
