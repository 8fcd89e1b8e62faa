"""What each disturbance of the arm's "moderate" randomization costs the scripted experts.

They were written for episodes without. All have the same objects and goals.

    python benchmarks/arm_randomization.py                 # 50 episodes each, some minutes
    python benchmarks/arm_randomization.py --episodes 20
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from arm_playing import episodes, sparse_ids

from nondiff.envs.arm.randomization.randomization import NAMED
from nondiff.experiments.evaluation.statistics import wilson

NAME = "moderate"
HEADING = """# Experts of the arm in randomized episodes

Success over {episodes} episodes with its 95 % interval, of experts that were written for episodes
without. Every row has the same objects and goals: with nothing disturbed, with each value of the
randomization "{name}" drawn alone, and with all. `python benchmarks/arm_randomization.py`.

"""


@dataclass(frozen=True)
class Options:
    """Let every expert play in randomized episodes."""

    episodes: int = 50
    """Episodes a task and randomization."""
    out: Path = Path("docs/results")
    """Where arm_randomization.json and arm_randomization.md are written."""


def randomizations() -> dict[str, dict[str, Any] | None]:
    """By the name of a row, what is drawn."""
    ranges = {name: values for name, values in asdict(NAMED[NAME]).items() if values is not None}
    alone = {name: {name: values} for name, values in ranges.items()}
    return {"nothing": None, **alone, "all": ranges}


def solved(env_id: str, randomization: dict[str, Any] | None, count: int) -> int:
    """How many episodes an expert solves on fixed seeds that no training sees."""
    played = episodes(env_id, count, randomization=randomization)
    return sum(bool(episode.success) for episode in played)


def table(results: dict[str, dict[str, int]], count: int) -> str:
    """A row a randomization, a column a task."""
    names = [env_id.removeprefix("nondiff/").removesuffix("-v0") for env_id in results]
    lines = [f"| drawn | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for drawn in randomizations():
        shares = [wilson(counts[drawn], count) for counts in results.values()]
        cells = [f"{s.value:.0%} [{s.low:.0%}, {s.high:.0%}]" for s in shares]
        lines.append(f"| {drawn} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(options: Options) -> None:
    """Measure, write and print."""
    results = {
        env_id: {
            drawn: solved(env_id, randomization, options.episodes)
            for drawn, randomization in randomizations().items()
        }
        for env_id in sparse_ids()
    }
    text = table(results, options.episodes)
    options.out.mkdir(parents=True, exist_ok=True)
    document = {"episodes": options.episodes, "ranges": asdict(NAMED[NAME]), "solved": results}
    (options.out / "arm_randomization.json").write_text(json.dumps(document) + "\n")
    heading = HEADING.format(episodes=options.episodes, name=NAME)
    (options.out / "arm_randomization.md").write_text(heading + text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main(tyro.cli(Options))
