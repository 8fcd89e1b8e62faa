"""Opens, writes and removes files below a folder that a stranger may have made."""
