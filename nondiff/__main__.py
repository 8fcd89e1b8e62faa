"""`python -m nondiff`, the same as the `nondiff` command."""

from nondiff.experiments.cli import main

main()
