"""How often the scripted experts of the arm solve their tasks, and in how many steps.

An episode that an expert solves shows that its goal is within reach.

    python benchmarks/arm_experts.py                 # 200 episodes a task, some minutes
    python benchmarks/arm_experts.py --episodes 20
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from arm_playing import episodes, sparse_ids

from nondiff.experiments.evaluation.statistics import bootstrapped, wilson

HEADING = """# Scripted experts of the arm

Success over {episodes} episodes with its 95 % interval, and steps of the solved ones: the mean
with its 95 % interval, and the longest. `python benchmarks/arm_experts.py`.

"""


@dataclass(frozen=True)
class Options:
    """Let every expert play."""

    episodes: int = 200
    """Episodes a task."""
    out: Path = Path("docs/results")
    """Where arm_experts.json and arm_experts.md are written."""


def measure(env_id: str, count: int) -> dict[str, Any]:
    """What an expert comes to on fixed seeds that no training sees."""
    began = time.process_time()
    played = episodes(env_id, count)
    seconds = time.process_time() - began
    return {
        "episodes": count,
        "steps": [episode.length for episode in played if episode.success],
        "failed_seeds": [episode.seed for episode in played if not episode.success],
        "cpu_seconds": round(seconds, 1),
    }


def row(env_id: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    steps = found["steps"]
    share = wilson(len(steps), found["episodes"])
    mean = bootstrapped(steps, np.mean)
    return (
        f"| `{env_id}` | {share.value:.1%} [{share.low:.1%}, {share.high:.1%}] "
        f"| {mean.value:.1f} [{mean.low:.1f}, {mean.high:.1f}] | {max(steps)} |"
    )


def main(options: Options) -> None:
    """Measure, write and print."""
    results = {env_id: measure(env_id, options.episodes) for env_id in sparse_ids()}
    lines = ["| environment | success | steps | longest |", "|---|---|---|---|"]
    text = "\n".join(lines + [row(env_id, found) for env_id, found in results.items()]) + "\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "arm_experts.json").write_text(json.dumps(results) + "\n")
    heading = HEADING.format(episodes=options.episodes)
    (options.out / "arm_experts.md").write_text(heading + text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main(tyro.cli(Options))
