"""The process of a cell: what `nondiff train` does, then the judgement of the last model."""

from __future__ import annotations

import sys
from pathlib import Path

from nondiff.experiments.commands.cli import exit_with, run_command
from nondiff.experiments.comparison.cell_result import judge, write_record
from nondiff.experiments.comparison.cells import record_path, run_folder
from nondiff.experiments.run.folder import Run
from nondiff.files.safe_path import SafePath
from nondiff.processes.lifetime import end_with_parent


def main() -> None:
    """Train unless that is done, judge, and note it.

    The arguments are the number of the process with which this one ends, the comparison's folder,
    the cell's name, the number of episodes, and the arguments of `nondiff train`, if any.
    """
    parent, folder, name, episodes, *training = sys.argv[1:]
    end_with_parent(int(parent))
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
