"""What benchmarks read from the folder of a training's run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nondiff.experiments.run.metrics import STEPS, read_metrics

CONFIRMING = 100  # episodes of an evaluation that counts
ONE_SEGMENT = 10**9  # steps, more than any budget: no checkpoint resets environments on the way


def until(success: float) -> list[str]:
    """Options of `nondiff train` that end it when so much success is confirmed."""
    return [
        *("--stop-at-success", str(success)),
        *("--confirm-episodes", str(CONFIRMING)),
        *("--checkpoint-every", str(ONE_SEGMENT)),
    ]


def outcome(folder: Path, success: float) -> dict[str, Any]:
    """What a training came to that was to end at some success, in evaluations on its way.

    Seconds are those of training and its evaluations, with the processes of its environments.
    """
    state = json.loads((folder / "run.json").read_text())
    curve = evaluations(folder / "metrics.csv")
    _, episodes, share = curve[-1] if curve else (0, 0, 0.0)
    return {
        "solved": episodes >= CONFIRMING and share >= success,
        "steps": state["steps"],
        "seconds": state["seconds"],
        "cpu_seconds": state["cpu_seconds"],
        "curve": [[steps, share] for steps, _, share in curve],
    }


def evaluations(path: Path) -> list[tuple[int, int, float]]:
    """Steps, episodes and success of each evaluation."""
    if not path.exists():
        return []
    return [
        (int(row[STEPS]), int(row["evaluation/episodes"]), row["evaluation/success"])
        for row in read_metrics(path)
        if "evaluation/success" in row
    ]
