"""A long training keeps its memory, its open files and its processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import FEW_EPISODES, ROOT

from nondiff.experiments.run.folder import Run

STEPS = 200_000
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Sample:
    """What a training and its workers hold at a moment."""

    steps: int
    memory: int  # [bytes]
    files: int
    processes: int


def sample(root: psutil.Process, folder: Path) -> Sample | None:
    try:
        tree = [root, *root.children(recursive=True)]
        return Sample(
            int(Run.open(folder).state.steps),
            sum(process.memory_info().rss for process in tree),
            sum(process.num_fds() for process in tree),
            len(tree),
        )
    except psutil.Error:  # it has just ended
        return None


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--num-envs", "4", "--vec-env", "processes"),
        ("--num-envs", "8", "--env", "CartPole-v1", "--checkpoint-every", "2000"),
    ],
    ids=["in processes", "a hundred checkpoints"],
)
def test_nothing_grows_over_200_000_steps(options: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "soak"
    arguments = ["--budget", str(STEPS), "--name", "soak", "--stop-at-success", "None"]
    with (tmp_path / "errors").open("w") as errors:
        process = subprocess.Popen(
            [
                *(sys.executable, ROOT / "train.py", *arguments, *map(str, FEW_EPISODES), *options),
                *("--eval-every", "5000"),
            ],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": ""},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        samples: list[Sample] = []
        root = psutil.Process(process.pid)
        while process.poll() is None:
            if (folder / "run.json").exists() and (found := sample(root, folder)):
                samples.append(found)
            time.sleep(0.5)
    assert process.returncode == 0, (tmp_path / "errors").read_text()
    early = [s for s in samples if 0.25 * STEPS <= s.steps < 0.5 * STEPS]
    late = [s for s in samples if 0.75 * STEPS <= s.steps < STEPS]
    assert len(early) > 5
    assert len(late) > 5
    growth = median(late, "memory") - median(early, "memory")
    assert growth < 8 * MEBIBYTE, f"{growth / MEBIBYTE:.1f} MiB more"
    assert median(late, "files") <= median(early, "files")
    assert median(late, "processes") == median(early, "processes")


def median(samples: list[Sample], name: str) -> float:
    return statistics.median(getattr(one, name) for one in samples)
