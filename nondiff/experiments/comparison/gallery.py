"""Pictures of what trained policies answer, for black boxes that can draw themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nondiff.agents.strategy import Policy
from nondiff.black_box import BlackBox, BlackBoxEnv, HasPool, Start, find_black_box
from nondiff.experiments.comparison.cells import Cell, Plan
from nondiff.experiments.comparison.headline import number
from nondiff.experiments.comparison.plots import Picture, as_picture, drawing
from nondiff.experiments.comparison.results import Results, largest
from nondiff.experiments.run.folder import Run

INSTANCES = 3  # the first so many of the pool, not chosen ones
SIZE = (6.4, 3.1)  # inches


@dataclass(frozen=True)
class Answer:
    """A policy's answer to one start."""

    strategy: str
    picture: Picture


def gallery(plan: Plan, results: Results, env: str) -> list[list[Answer]]:
    """The answers of each strategy to the first held-out starts, a list for each start.

    The policy is the last of the largest budget, of the seed with the median score. Empty: the
    environment is no black box with a pool, such as the arm.
    """
    answers: list[list[Answer]] = [[] for _ in range(INSTANCES)]
    for strategy in dict.fromkeys(row.strategy for row in results.of(env)):
        cell = _median_cell(results, env, strategy)
        run = Run.open(plan.run_folder(cell), trust=True)  # it is as the user asked for
        with run.recipe.held_out().opened() as made:
            box: Any = find_black_box(made)
            if not (isinstance(box, BlackBox) and isinstance(box, HasPool)):
                return []
            for row in range(INSTANCES):
                picture = _answer(box, run.load_policy("last"), row, cell)
                answers[row].append(Answer(strategy, picture))
    return answers


def _median_cell(results: Results, env: str, strategy: str) -> Cell:
    cells = largest(results.evaluated, env, strategy)
    return sorted(cells, key=lambda cell: np.mean(results.evaluated[cell]["returns"]))[
        len(cells) // 2
    ]


def _answer(box: BlackBox, policy: Policy, row: int, cell: Cell) -> Picture:
    """How the episode ends that begins with a start of the pool."""
    assert isinstance(box, HasPool)
    pool = box.pool()
    env = BlackBoxEnv(box)
    observation, info = env.begin(Start(pool.state[row : row + 1], pool.context[row : row + 1]))
    total, done = 0.0, False
    while not done:
        observation, reward, terminated, truncated, info = env.step(policy.predict(observation))
        total, done = total + reward, terminated or truncated
    failed = ", failed" if info["failed"] else ""
    said = f"{cell.strategy}, seed {cell.seed}: return {number(total)}{failed}"
    with drawing(SIZE) as figure:
        env.draw(figure)
        return as_picture(figure, f"{cell.name}-answer-{row}", said, "")
