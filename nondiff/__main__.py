"""Run the `nondiff` command as `python -m nondiff`."""

from nondiff.experiments.commands.cli import main

main()
