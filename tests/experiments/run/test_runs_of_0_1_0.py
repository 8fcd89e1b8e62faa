"""Runs that version 0.1.0 left interrupted are listed, evaluated and resumed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import DATA, Command

from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.metrics import evaluation_calls, read_metrics

RUNS = DATA / "runs_of_0.1.0"
# Each was killed as the second evaluation began, cma-es after the checkpoint of the same step.
EVALUATIONS = {"ppo": [60, 120, 180, 200], "cma-es": [258, 335]}


@pytest.mark.parametrize("strategy", EVALUATIONS)
def test_a_run_is_resumed_with_the_evaluation_that_was_cut(
    strategy: str, tmp_path: Path, command: Command
) -> None:
    folder = Path(shutil.copytree(RUNS / strategy, tmp_path / strategy))
    steps = Run.open(folder).state.checkpoint
    before = [row for row in read_metrics(folder / "metrics.csv") if row["steps"] <= steps]
    assert command("runs", tmp_path).code == 0
    assert command("evaluate", folder, "--episodes", 2).code == 0
    assert command("train", "--resume", folder).code == 0
    after = read_metrics(folder / "metrics.csv")
    assert after[: len(before)] == before
    made = sorted(evaluation_calls(after))
    assert made[: len(EVALUATIONS[strategy])] == EVALUATIONS[strategy]
    assert Run.open(folder).status() == "finished"
