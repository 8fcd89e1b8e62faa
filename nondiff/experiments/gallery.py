"""Pictures of what trained policies answer, for black boxes that can draw themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nondiff.agents.strategy import Policy
from nondiff.envs.black_box import BlackBox, HasPool, Meter, failed_rows, find_black_box
from nondiff.envs.black_box.env import checked
from nondiff.experiments.cells import Cell, Plan
from nondiff.experiments.comparison_plots import Picture, as_picture, drawing
from nondiff.experiments.headline import number
from nondiff.experiments.results import Results, largest
from nondiff.experiments.runs import Run

INSTANCES = 3  # the first so many of the pool, not chosen ones
SIZE = (6.4, 3.1)  # inches

Array = NDArray[np.float64]


@runtime_checkable
class Drawable(Protocol):
    """A black box that can draw an answer to one of its pool's starts."""

    def draw(self, figure: Figure, row: int, action: Array, outcome: Array) -> None:
        """Draw into an empty figure.

        Args:
            figure: of matplotlib.
            row: of the pool.
            action: (action,) the answer.
            outcome: (outcome,) what `transition` gave; NaN where it failed.
        """
        ...


@dataclass(frozen=True)
class Answer:
    """A policy's answer to one start."""

    strategy: str
    picture: Picture


def gallery(plan: Plan, results: Results, env: str) -> list[list[Answer]]:
    """The answers of each strategy to the first held-out starts, a list for each start.

    The policy is the last of the largest budget, of the seed with the median score. Empty: the
    environment has no pictures.
    """
    answers: list[list[Answer]] = [[] for _ in range(INSTANCES)]
    for strategy in dict.fromkeys(row.strategy for row in results.of(env)):
        cell = _median_cell(results, env, strategy)
        run = Run.open(plan.run_folder(cell), trust=True)  # it is as the user asked for
        with run.recipe.held_out().opened() as made:
            box: Any = find_black_box(made)
            if not _can_draw(box):
                return []
            for row in range(INSTANCES):
                picture = _answer(box, run.load_policy("last"), row, cell)
                answers[row].append(Answer(strategy, picture))
    return answers


def _can_draw(box: Any) -> bool:
    """Whether a black box has pictures; those of many steps have no one answer to draw."""
    if getattr(box, "horizon", None) != 1:
        return False
    return isinstance(box, Drawable) and isinstance(box, HasPool)


def _median_cell(results: Results, env: str, strategy: str) -> Cell:
    cells = largest(results.judged, env, strategy)
    return sorted(cells, key=lambda cell: np.mean(results.judged[cell]["returns"]))[len(cells) // 2]


def _answer(box: Any, policy: Policy, row: int, cell: Cell) -> Picture:
    start = box.pool()
    state, context = start.state[row : row + 1], start.context[row : row + 1]
    tensors = [torch.from_numpy(part) for part in (state, context)]
    seen = box.observation(*tensors).detach().numpy().astype(np.float32)[0]
    answer = policy.predict(spaces.unflatten(box.observation_space, seen))
    action = checked(box, answer, ())[None]
    outcome = Meter(box).transition(state, action)
    said = f"{cell.strategy}, seed {cell.seed}: return {_return(box, tensors, action, outcome)}"
    with drawing(SIZE) as figure:
        box.draw(figure, row, action[0], outcome[0])
        return as_picture(figure, f"{cell.name}-answer-{row}", said, "")


def _return(box: BlackBox, start: list[torch.Tensor], action: Array, outcome: Array) -> str:
    if failed_rows(outcome)[0]:
        return f"{number(box.failure_reward)}, failed"
    parts = [start[0], torch.from_numpy(action), torch.from_numpy(outcome), start[1]]
    return number(float(box.reward(*parts)[0]))
