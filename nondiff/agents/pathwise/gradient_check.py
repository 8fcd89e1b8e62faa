"""Compares all the gradients that a black box offers, and finite differences, with each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from nondiff.agents.capabilities import LACKS
from nondiff.black_box import (
    BlackBox,
    Capability,
    Meter,
    capabilities,
    failed_rows,
    find_black_box,
)
from nondiff.errors import EnvironmentFailedError, InvalidOptionError
from nondiff.text import without_non_finite

Array = NDArray[np.float64]

DIFFERENCES = "differences"
MAX_OUTCOMES = 64  # entries of an outcome that are looked at; of more, so many drawn at random
MAX_STEPS = 10  # transitions before a point of a black box with many


@dataclass(frozen=True)
class Place:
    """One entry of a Jacobian, and what two ways say it is."""

    point: int
    outcome: int
    action: int
    first: float
    second: float


@dataclass(frozen=True)
class PairCheck:
    """How two gradients agree.

    Args:
        first: one way: vjp, jacobian, twin or differences.
        second: the other.
        disagreeing: share of entries whose disagreement is above the tolerance. An entry that is
            not finite disagrees, as does a twin that fails where the black box does not.
        median: disagreement, relative to the largest entry of the point's Jacobian.
        largest: likewise; infinite if only one is finite.
        worst: where that is.
    """

    first: str
    second: str
    disagreeing: float
    median: float
    largest: float
    worst: Place


@dataclass(frozen=True)
class GradientCheck:
    """How the gradients of a black box agree at random points.

    Args:
        points: that were drawn.
        failed: of them, those left out since the black box failed there, or a step beside.
        step: of the differences, as a share of half the Box's width.
        tolerance: below which two entries agree.
        pairs: of ways.
        ledger: calls, and rows of each kind, as a `Meter` counts them.
    """

    points: int
    failed: int
    step: float
    tolerance: float
    pairs: tuple[PairCheck, ...]
    ledger: dict[str, float]

    def most_disagreeing(self) -> float:
        """The largest share of entries that disagree in a pair."""
        return max(pair.disagreeing for pair in self.pairs)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it, in which numbers that are not finite are null."""
        found: dict[str, Any] = without_non_finite(asdict(self))
        return found


@dataclass(frozen=True)
class _Points:
    """Where gradients are compared."""

    number: NDArray[np.intp]  # (n,) among those drawn
    state: Array
    action: Array
    outcome: Array

    def take(self, rows: NDArray[np.bool_]) -> _Points:
        return _Points(self.number[rows], self.state[rows], self.action[rows], self.outcome[rows])


def check_gradients(
    env: gymnasium.Env[Any, Any] | BlackBox,
    n: int = 256,
    seed: int = 0,
    step: float = 1e-3,
    tolerance: float = 1e-2,
) -> GradientCheck:
    """Compare the vjp, the Jacobian and the twin of a black box, and central differences, in pairs.

    Actions are drawn uniformly from the Box, states as episodes begin or, in black boxes of many
    steps, as they are met on short walks of random actions.

    Args:
        env: an environment with a black box, or a black box.
        n: points.
        seed: of all draws.
        step: of the differences, as a share of half the Box's width; where the program rounds its
            results, a small one shows the rounding.
        tolerance: relative to the largest entry of a point's Jacobian.

    Raises:
        InvalidOptionError: no black box, none with a gradient, or an option out of its range.
        EnvironmentFailedError: the black box failed at all points.
    """
    box = _with_gradient(env)
    _check_options(n, step, tolerance)
    rng, meter = np.random.default_rng(seed), Meter(box)
    width = _half_width(box)
    points = _drawn(meter, n, step * width, rng)
    outcomes = _outcomes(points.outcome.shape[1], rng)
    found = {
        way: WAYS[way](meter, points, outcomes) for way in WAYS if way in capabilities(box)
    } | {DIFFERENCES: _differences(meter, points, outcomes, step * width)}
    good = np.isfinite(found[DIFFERENCES]).all(axis=(1, 2))
    if not good.any():
        raise EnvironmentFailedError(f"the black box failed at each of {n} points, or beside it")
    pairs = tuple(
        _compared(
            pair, [found[way][good] for way in pair], points.number[good], outcomes, tolerance
        )
        for pair in combinations(found, 2)
    )
    return GradientCheck(n, n - int(good.sum()), step, tolerance, pairs, meter.ledger())


def _with_gradient(env: gymnasium.Env[Any, Any] | BlackBox) -> BlackBox:
    box = env if isinstance(env, BlackBox) else find_black_box(env)
    name = type(env).__name__
    if not isinstance(env, BlackBox) and env.spec is not None:
        name = env.spec.id
    if box is None:
        raise InvalidOptionError(f"{name} {LACKS['black box']}: there is no gradient to check")
    if not capabilities(box):
        raise InvalidOptionError(
            f"{name} offers no gradient to check: it has none of {', '.join(WAYS)}"
        )
    return box


def _check_options(n: int, step: float, tolerance: float) -> None:
    if n < 1:
        raise InvalidOptionError(f"points must be at least 1, not {n}")
    if not 0 < step < 1:
        raise InvalidOptionError(f"step must be above 0 and below 1, not {step}")
    if not 0 < tolerance < math.inf:
        raise InvalidOptionError(f"tolerance must be above 0, not {tolerance}")


def _half_width(box: BlackBox) -> Array:
    """Half the width (action,) of the Box; 1 where that is not finite."""
    low, high = (np.float64(bound) for bound in (box.action_space.low, box.action_space.high))
    return np.asarray(np.where(np.isfinite(high - low), (high - low) / 2, 1.0))


def _random_actions(box: BlackBox, n: int, margin: Array, rng: np.random.Generator) -> Array:
    """Actions (n, action) at least a margin (action,) within the Box."""
    space, width = box.action_space, _half_width(box)
    bounded = np.isfinite(np.float64(space.high) - np.float64(space.low))
    centre = np.where(bounded, np.float64(space.low) + width, 0.0)
    return np.asarray(centre + (width - margin) * rng.uniform(-1, 1, (n, len(width))))


def _drawn(meter: Meter, n: int, margin: Array, rng: np.random.Generator) -> _Points:
    """The points at which the black box does not fail."""
    box = meter.box
    state = box.initial(n, rng).state.copy()
    steps = rng.integers(min(box.horizon, MAX_STEPS + 1), size=n)
    for taken in range(steps.max()):
        rows = np.flatnonzero(steps > taken)
        outcome = meter.transition(state[rows], _random_actions(box, len(rows), margin, rng))
        good = ~failed_rows(outcome)
        rows = rows[good]
        moved = box.next_state(torch.from_numpy(state[rows]), torch.from_numpy(outcome[good]))
        state[rows] = moved.detach().numpy()
    action = _random_actions(box, n, margin, rng)
    drawn = _Points(np.arange(n), state, action, meter.transition(state, action))
    return drawn.take(~failed_rows(drawn.outcome))


def _outcomes(size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which entries of the outcome are looked at."""
    if size <= MAX_OUTCOMES:
        return np.arange(size)
    return np.sort(rng.choice(size, MAX_OUTCOMES, replace=False))


def _by_vjp(meter: Meter, points: _Points, outcomes: NDArray[np.intp]) -> Array:
    """The Jacobians (n, outcome, action), one row of them a product with a unit vector."""
    rows = []
    for entry in outcomes:
        unit = np.zeros_like(points.outcome)
        unit[:, entry] = 1.0
        _, by_action = meter.vjp(points.state, points.action, points.outcome, unit)
        rows.append(np.asarray(by_action, np.float64))
    return np.stack(rows, axis=1)


def _by_jacobian(meter: Meter, points: _Points, outcomes: NDArray[np.intp]) -> Array:
    whole = meter.jacobian(points.state, points.action, points.outcome)
    return np.asarray(whole, np.float64)[:, outcomes]


def _by_twin(meter: Meter, points: _Points, outcomes: NDArray[np.intp]) -> Array:
    """The Jacobians (n, outcome, action) by torch; NaN where the twin failed.

    An entry of the outcome that does not depend on the action at all has derivatives of zero.
    """
    action = torch.tensor(points.action, requires_grad=True)
    outcome = meter.twin(torch.from_numpy(points.state), action)
    rows = []
    for entry in outcomes.tolist():
        (by_action,) = (
            torch.autograd.grad(
                outcome[:, entry].sum(), action, retain_graph=True, allow_unused=True
            )
            if outcome.requires_grad
            else (None,)
        )
        rows.append(torch.zeros_like(action) if by_action is None else by_action)
    found = torch.stack(rows, dim=1).detach().numpy()
    found[failed_rows(outcome.detach().numpy())] = np.nan
    return np.asarray(found, np.float64)


Way = Callable[[Meter, _Points, NDArray[np.intp]], Array]
WAYS: dict[Capability, Way] = {"vjp": _by_vjp, "jacobian": _by_jacobian, "twin": _by_twin}


def _differences(meter: Meter, points: _Points, outcomes: NDArray[np.intp], steps: Array) -> Array:
    """Central differences (n, outcome, action); NaN where the black box failed beside a point."""
    columns = []
    for entry, step in enumerate(steps):
        move = np.zeros_like(steps)
        move[entry] = step
        above = meter.transition(points.state, points.action + move)
        below = meter.transition(points.state, points.action - move)
        columns.append((above - below)[:, outcomes] / (2 * step))
    return np.stack(columns, axis=2)


def _compared(
    names: tuple[str, str],
    found: list[Array],
    number: NDArray[np.intp],
    outcomes: NDArray[np.intp],
    tolerance: float,
) -> PairCheck:
    first, second = found
    sizes = np.abs(np.where(np.isfinite(found), found, 0.0)).max(axis=(0, 2, 3))
    scale = np.where(sizes > 0, sizes, 1.0)[:, None, None]
    with np.errstate(invalid="ignore"):
        error = np.abs(first - second) / scale
    error[~np.isfinite(error)] = np.inf
    point, outcome, action = (int(i) for i in np.unravel_index(error.argmax(), error.shape))
    worst = Place(
        point=int(number[point]),
        outcome=int(outcomes[outcome]),
        action=action,
        first=float(first[point, outcome, action]),
        second=float(second[point, outcome, action]),
    )
    return PairCheck(
        *names,
        disagreeing=float((error > tolerance).mean()),
        median=float(np.median(error)),
        largest=float(error.max()),
        worst=worst,
    )
