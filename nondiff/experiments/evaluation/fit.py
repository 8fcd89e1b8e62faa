"""Whether a policy and an environment fit: the spaces of one against those of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from nondiff.agents.policies.spaces import from_json
from nondiff.agents.strategy import TrainedPolicy
from nondiff.errors import InvalidOptionError
from nondiff.experiments.terminal.console import err
from nondiff.text import cut

Space = gymnasium.Space[Any]
CLOSE = 1e-6  # relative difference of bounds that two precisions of float explain
SHOWN = 200  # characters of a space that a message quotes


def check_spaces(
    whose: str,
    policy: TrainedPolicy,
    env: gymnasium.Env[Any, Any],
    note: Callable[[str], None] = err,
) -> None:
    """Refuse a policy with other spaces than an environment's.

    Kinds, keys in their order, shapes and choices must be the same, and so must the bounds of
    actions and of whole numbers. Other bounds of real observations, and another precision, change
    nothing of what the policy computes: they are noted.

    Args:
        whose: the policy, for messages.
        policy: what was trained.
        env: where it is to act.
        note: told of differences that are no reason to refuse.

    Raises:
        InvalidOptionError: names both spaces and what differs.
    """
    description = policy.description()
    for name in ("observation_space", "action_space"):
        trained, present = from_json(description[name]), getattr(env, name)
        both = f"its {name} is {_shown(trained)}, the environment's {_shown(present)}"
        if reason := _misfit(trained, present, is_observed=name == "observation_space"):
            raise InvalidOptionError(
                f"the policy of {whose} does not fit this environment: {both} ({reason})"
            )
        if reason := _difference(trained, present):
            note(f"the policy of {whose} was trained otherwise: {both} ({reason})")


def _misfit(trained: Space, present: Space, is_observed: bool) -> str | None:
    """Why a policy can't act between the spaces, if it can't."""
    if isinstance(trained, spaces.Dict) and isinstance(present, spaces.Dict):
        if list(trained) != list(present):
            return "other keys, or in another order"
        found = [(key, _misfit(trained[key], present[key], is_observed)) for key in trained]
        return next((f"{key!r}: {reason}" for key, reason in found if reason), None)
    if isinstance(trained, spaces.Box) and isinstance(present, spaces.Box):
        return _box_misfit(trained, present, is_observed)
    if type(trained) is not type(present):
        return "another kind of space"
    return None if _choices(trained) == _choices(present) else "other choices"


def _box_misfit(trained: spaces.Box, present: spaces.Box, is_observed: bool) -> str | None:
    if is_observed and _is_transposed(trained, present):
        return None
    if trained.shape != present.shape:
        return "another shape"
    if _is_real(trained) != _is_real(present):
        return "another dtype"
    if not (is_observed and _is_real(trained)) and not _same_bounds(trained, present):
        return "other bounds"
    return None


def _difference(trained: Space, present: Space) -> str | None:
    """What differs between spaces that fit, if anything does."""
    if isinstance(trained, spaces.Dict) and isinstance(present, spaces.Dict):
        found = [(key, _difference(trained[key], present[key])) for key in trained]
        return next((f"{key!r}: {reason}" for key, reason in found if reason), None)
    if not (isinstance(trained, spaces.Box) and isinstance(present, spaces.Box)):
        return None
    if trained.dtype != present.dtype:
        return "another dtype"
    if _is_transposed(trained, present) or _same_bounds(trained, present):
        return None
    return "other bounds"


def _is_transposed(trained: spaces.Box, present: spaces.Box) -> bool:
    """Whether these are pictures with the channel first, of an environment's with it last."""
    if len(present.shape) != 3 or not trained.dtype == present.dtype == np.uint8:
        return False
    height, width, channels = present.shape
    is_picture = bool((present.low == 0).all() and (present.high == 255).all())
    return is_picture and trained.shape == (channels, height, width)


def _is_real(space: spaces.Box) -> bool:
    return bool(np.issubdtype(space.dtype, np.floating))


def _same_bounds(one: spaces.Box, other: spaces.Box) -> bool:
    if not _is_real(one) and one.dtype == other.dtype:
        return np.array_equal(one.low, other.low) and np.array_equal(one.high, other.high)
    pairs = ((one.low, other.low), (one.high, other.high))
    return all(
        np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=CLOSE, atol=0)
        for a, b in pairs
    )


def _choices(space: Space) -> Any:
    """What a space without bounds offers."""
    if isinstance(space, spaces.Discrete):
        return int(space.n), int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return space.nvec.tolist(), space.start.tolist()
    return space.shape  # of a MultiBinary


def _shown(space: Space) -> str:
    """A space on one line: NumPy breaks those of long bounds."""
    return cut(" ".join(str(space).split()), SHOWN)
