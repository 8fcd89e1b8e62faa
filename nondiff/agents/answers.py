"""A trained policy's answers to requests, in the user's units and by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nondiff.agents.pathwise.differences import WithDifferences
from nondiff.agents.pathwise.refinement import LeastSquares, refine
from nondiff.agents.strategy import Policy
from nondiff.black_box import FunctionBox, failed_rows
from nondiff.errors import InvalidOptionError, UnknownNameError
from nondiff.labels import name_of

Array = NDArray[np.float64]
MAX_REQUEST = 1e30  # which, in any unit, single precision still holds


@dataclass(frozen=True)
class Answer:
    """What a policy proposes for one request.

    Args:
        request: the context's entries, by name.
        parameters: the proposal in the function's units, by name.
        outcome: what the function gave for it, by name; None: it was not called, or failed.
        reward: of this outcome; None likewise.
        failure: whether the call failed.
        calls: that were made for this answer.
        warnings: why it may be wrong.
    """

    request: dict[str, float]
    parameters: dict[str, float]
    outcome: dict[str, float] | None = None
    reward: float | None = None
    failure: bool = False
    calls: int = 0
    warnings: list[str] = field(default_factory=list)


def answer(
    policy: Policy,
    box: FunctionBox,
    requests: Sequence[Mapping[str, float]],
    call: bool = True,
    refine_calls: int = 0,
) -> list[Answer]:
    """Propose parameters for each request, and say what they lead to.

    Args:
        policy: trained on `box`.
        box: the function or program.
        requests: an entry for each of `box.context_names`.
        call: whether the function may be called, once for each request.
        refine_calls: calls more for each request, by which its proposal is improved with
            Levenberg-Marquardt steps, by differences where there is no Jacobian.

    Raises:
        UnknownNameError: an entry of a request that has no such name.
        InvalidOptionError: a request without one of the entries, or with one that is not finite;
            refinement of a box that has a reward of its own.
    """
    context = np.array([_context(box, request) for request in requests])
    action = _actions(policy, box, context)
    calls = np.zeros(len(context), np.int64)
    if refine_calls:
        action, calls = _refined(box, context, action, refine_calls)
    outcome = None
    if call or refine_calls:
        outcome = box.transition(np.zeros((len(context), 0)), action)
        calls += 1
    return _answers(box, context, action, outcome, calls)


def _context(box: FunctionBox, request: Mapping[str, float]) -> list[float]:
    names = box.context_names
    for name in request:
        if name not in names:
            raise UnknownNameError("entry of a request", str(name), names)
    if missing := [name for name in names if name not in request]:
        raise InvalidOptionError(
            f"the request says nothing of {missing[0]!r}; it must name {', '.join(names)}"
        )
    for name in names:
        if not math.isfinite(request[name]):
            raise InvalidOptionError(f"the request {name} = {request[name]} is not finite")
        if abs(request[name]) > MAX_REQUEST:
            raise InvalidOptionError(
                f"the request {name} = {request[name]:g} is beyond {MAX_REQUEST:g}, which no "
                "policy can observe"
            )
    return [float(request[name]) for name in names]


def _actions(policy: Policy, box: FunctionBox, context: Array) -> Array:
    state = torch.zeros((len(context), 0), dtype=torch.float64)
    observation = box.observation(state, torch.from_numpy(context)).numpy()
    rows = [policy.predict(row.astype(np.float32), deterministic=True) for row in observation]
    return np.clip(np.array(rows, np.float64).reshape(len(rows), -1), -1.0, 1.0)


def _refined(
    box: FunctionBox, context: Array, action: Array, calls: int
) -> tuple[Array, NDArray[np.int64]]:
    if not hasattr(box, "residual"):
        raise InvalidOptionError(
            "an answer of a black box with a reward of its own can't be refined: it has no "
            "residuals"
        )
    problem = box if isinstance(box, LeastSquares) else WithDifferences(box)
    action, _, used = refine(problem, context, action, calls)
    return action, used


def _answers(
    box: FunctionBox,
    context: Array,
    action: Array,
    outcome: Array | None,
    calls: NDArray[np.int64],
) -> list[Answer]:
    parameters = box.parameters(action)
    failed = np.zeros(len(context), bool) if outcome is None else failed_rows(outcome)
    rewards = None if outcome is None else _rewards(box, context, action, outcome)
    found = []
    for row in range(len(context)):
        is_known = outcome is not None and not failed[row]
        found.append(
            Answer(
                dict(zip(box.context_names, context[row].tolist(), strict=True)),
                dict(zip(map(name_of, box.parameter_names), parameters[row].tolist(), strict=True)),
                dict(zip(map(name_of, box.outcome_names), outcome[row].tolist(), strict=True))
                if outcome is not None and is_known
                else None,
                float(rewards[row]) if rewards is not None and is_known else None,
                bool(failed[row]),
                int(calls[row]),
                _warnings(box, context[row]) + ([box.last_failure] if failed[row] else []),
            )
        )
    return found


def _rewards(box: FunctionBox, context: Array, action: Array, outcome: Array) -> Array:
    parts: tuple[Any, ...] = (np.zeros((len(context), 0)), action, outcome, context)
    with torch.no_grad():
        return np.asarray(box.reward(*map(torch.from_numpy, parts)).numpy())


def _warnings(box: FunctionBox, context: Array) -> list[str]:
    """Which entries of a request lie outside of what the policy can have been trained on."""
    low, high = box.context_bounds
    return [
        f"{name} = {value:g} is outside of the contexts that were trained on, {least:g} to "
        f"{largest:g}"
        for name, value, least, largest in zip(box.context_names, context, low, high, strict=True)
        if not least <= value <= largest
    ]
