"""Evaluate from a checkout; the same as `nondiff evaluate`."""

import sys

from nondiff.experiments.cli import run_command

if __name__ == "__main__":
    run_command("evaluate", sys.argv[1:], "evaluate.py")
