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

import gymnasium
import tyro

from nondiff.agents.seeds import judgement_seeds
from nondiff.envs import ENVIRONMENTS
from nondiff.envs.arm.experts import EXPERTS
from nondiff.envs.arm.experts.expert import find_expert
from nondiff.envs.arm.randomization import NAMED
from nondiff.experiments.episodes import play
from nondiff.experiments.statistics import wilson

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


def solved(env_id: str, randomization: dict[str, Any] | None, episodes: int) -> int:
    """How many episodes an expert solves on fixed seeds that no training sees."""
    env = gymnasium.make(env_id, randomization=randomization)
    played = play(env, find_expert(env), judgement_seeds(episodes))
    env.close()
    return sum(bool(episode.success) for episode in played)


def table(results: dict[str, dict[str, int]], episodes: int) -> str:
    """A row a randomization, a column a task."""
    names = [env_id.removeprefix("nondiff/").removesuffix("-v0") for env_id in results]
    lines = [f"| drawn | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for drawn in randomizations():
        shares = [wilson(counts[drawn], episodes) for counts in results.values()]
        cells = [f"{s.value:.0%} [{s.low:.0%}, {s.high:.0%}]" for s in shares]
        lines.append(f"| {drawn} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(options: Options) -> None:
    """Measure, write and print."""
    ids = [env_id for env_id, (entry, _) in ENVIRONMENTS.items() if entry in EXPERTS]
    results = {
        env_id: {
            drawn: solved(env_id, randomization, options.episodes)
            for drawn, randomization in randomizations().items()
        }
        for env_id in ids
        if "Dense" not in env_id
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
