"""Train from a checkout; the same as `nondiff train`."""

import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback

from nondiff.experiments.cli import run_command

if __name__ == "__main__":
    run_command("train", sys.argv[1:], "train.py")
