"""Train from a checkout; the same as `nondiff train`."""

import sys

from nondiff.experiments.cli import run_command

if __name__ == "__main__":
    run_command("train", sys.argv[1:], "train.py")
