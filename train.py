"""Train from a checkout; the same as `nondiff train`."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback

from nondiff.experiments.commands.cli import script

if __name__ == "__main__":
    script("train", "train.py")
