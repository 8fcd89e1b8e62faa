"""The process of a cell: what `nondiff train` does, then the judgement of the last model."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

from nondiff.experiments.commands.cli import exit_with, run_command
from nondiff.experiments.comparison.cell_result import judge, write_record
from nondiff.experiments.comparison.cells import record_path, run_folder
from nondiff.experiments.run.folder import Run
from nondiff.files.safe_path import SafePath
from nondiff.processes.env_server import kill_descendants

LOOK_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Train unless that is done, judge, and note it.

    The arguments are the number of the process with which this one ends, the comparison's folder,
    the cell's name, the number of episodes, and the arguments of `nondiff train`, if any.
    """
    parent, folder, name, episodes, *training = sys.argv[1:]
    _end_with(int(parent))
    if training:
        _train(training)
    exit_with(lambda: _judge(SafePath(Path(folder)), name, int(episodes)), "nondiff train")


def _train(arguments: list[str]) -> None:
    try:
        run_command("train", arguments, "nondiff train")
    except SystemExit as end:
        if end.code != 0:
            raise


def _judge(comparison: SafePath, name: str, episodes: int) -> int:
    import torch

    torch.set_num_threads(1)
    # It is trained by this process, or was compared with what the user asked for.
    run = Run.open(run_folder(comparison, name), trust=True)
    write_record(record_path(comparison, name), judge(run, episodes))
    return 0


def _end_with(parent: int) -> None:
    """See to it that this process ends when its parent does."""
    if sys.platform == "linux":  # the kernel does it even to one hung in C code
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    kill_descendants(psutil.Process())
    os._exit(1)
