"""What DoomBasic gives to a player who knows each episode beforehand.

For each of the episodes that judge a model, every plan of one kind is played: move to one side for
so many steps, shoot, and go on in one of three ways. No policy sees that much, so the mean of the
best returns is about the most that a score can be, at each number of tics a step.

    python benchmarks/doom_search.py --episodes 100
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import tyro

from nondiff.agents.seeds import held_out_seeds

WAIT, LEFT, RIGHT, ATTACK, LEFT_AND_ATTACK, RIGHT_AND_ATTACK = range(6)
MAX_TICS = 32  # that the player moves before the shot
LAST_TICS = 20  # in which a shot takes effect
MOST = 101.0  # for a kill, less one shot
Plan = list[int]


@dataclass(frozen=True)
class Options:
    """Search for the best plan of each episode."""

    frame_skips: tuple[int, ...] = (2, 3, 4)
    """Tics a step."""
    episodes: int = 100
    """How many, of those that judge a model."""
    out: Path = Path("docs/results/doom_search.json")
    """Where the means are written."""


def main(options: Options) -> None:
    """Search, write and print."""
    found = {}
    for frame_skip in options.frame_skips:
        best = [best_return(frame_skip, seed) for seed in held_out_seeds(options.episodes)]
        found[str(frame_skip)] = {"mean": float(np.mean(best)), "deviation": float(np.std(best))}
        print(f"{frame_skip} tics a step: {np.mean(best):.1f}")
    options.out.write_text(json.dumps({"episodes": options.episodes, "best": found}, indent=1))


def best_return(frame_skip: int, seed: int) -> float:
    """Of all plans, in one episode."""
    best = -np.inf
    with closing(gymnasium.make("nondiff:nondiff/DoomBasic-v0", frame_skip=frame_skip)) as env:
        for plan in plans(frame_skip):
            best = max(best, played(env, seed, plan, best))
    return float(best)


def plans(frame_skip: int) -> Iterator[Plan]:
    """All plans of the kind."""
    sides = ((LEFT, LEFT_AND_ATTACK), (RIGHT, RIGHT_AND_ATTACK))
    for (move, both), steps in product(sides, range(MAX_TICS // frame_skip + 1)):
        for shot, rest in ((both, move), (both, both), (both, WAIT), (ATTACK, WAIT)):
            yield [*[move] * steps, shot, *[rest] * (LAST_TICS // frame_skip)]


def played(env: gymnasium.Env[Any, Any], seed: int, plan: Plan, best: float) -> float:
    """The return of a plan; minus infinity where it leaves the monster alive, or can't be best."""
    env.reset(seed=seed)
    total = 0.0
    for action in plan:
        _, reward, terminated, _, _ = env.step(action)
        total += float(reward)
        if terminated:
            return total
        if total < best - MOST:
            break
    return -np.inf


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
