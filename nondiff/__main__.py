"""`python -m nondiff`, the same as the `nondiff` command."""

from nondiff.experiments.commands.cli import main

main()
