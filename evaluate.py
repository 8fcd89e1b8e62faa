"""Evaluate from a checkout; the same as `nondiff evaluate`."""

from nondiff.experiments.commands.cli import script

if __name__ == "__main__":
    script("evaluate", "evaluate.py")
