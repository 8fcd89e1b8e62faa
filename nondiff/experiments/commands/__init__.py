"""The subcommands of `nondiff`: one module each."""
