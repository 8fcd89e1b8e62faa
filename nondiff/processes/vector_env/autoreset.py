"""How vector environments begin again where an episode has ended, as Gymnasium's do."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from nondiff.errors import InvalidOptionError

MASK = "reset_mask"  # an option of `reset`


def checked_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """A mode, from itself or its value.

    Raises:
        InvalidOptionError: there is none such.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        choices = ", ".join(repr(known.value) for known in AutoresetMode)
        raise InvalidOptionError(f"autoreset_mode must be one of {choices}, not {mode!r}") from None


def split_mask(
    options: dict[str, Any] | None, num_envs: int
) -> tuple[NDArray[np.bool_], dict[str, Any] | None]:
    """Which environments (num_envs,) a reset is for, all unless options say so, and the others.

    Raises:
        InvalidOptionError: a mask that is no array of flags, one of them true.
    """
    if options is None or MASK not in options:
        return np.ones(num_envs, bool), options
    mask = options[MASK]
    fits = isinstance(mask, np.ndarray) and mask.shape == (num_envs,) and mask.dtype == np.bool_
    if not (fits and mask.any()):
        raise InvalidOptionError(
            f"{MASK} must be an array of {num_envs} numpy flags, at least one of them true, "
            f"not {mask!r}"
        )
    return mask, {name: value for name, value in options.items() if name != MASK}


def check_nothing_is_over(over: NDArray[np.bool_]) -> None:
    """Refuse a step where a reset is due, which only `AutoresetMode.DISABLED` leaves to the user.

    Raises:
        ResetNeeded: names the environments, and how to reset them.
    """
    if over.any():
        raise gymnasium.error.ResetNeeded(
            f"the episodes of environments {np.flatnonzero(over).tolist()} are over: "
            f"call reset(options={{'{MASK}': terminated | truncated}})"
        )
