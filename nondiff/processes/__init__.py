"""Whatever starts, watches and ends a process."""
