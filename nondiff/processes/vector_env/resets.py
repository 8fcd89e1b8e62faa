"""Validate the arguments of a vector environment's resets: mode, mask and seeds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from nondiff.errors import InvalidOptionError
from nondiff.gym.reset_arguments import check_options

MASK = "reset_mask"  # an option of `reset`
# Keys by which infos of vector environments report the end of an episode.
FINAL = frozenset({"final_obs", "_final_obs", "final_info", "_final_info"})


def checked_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Convert a value such as "NextStep" to an `AutoresetMode`.

    Raises:
        InvalidOptionError: there is no such mode.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        choices = ", ".join(repr(known.value) for known in AutoresetMode)
        raise InvalidOptionError(f"autoreset_mode must be one of {choices}, not {mode!r}") from None


def split_mask(
    options: dict[str, Any] | None, num_envs: int
) -> tuple[NDArray[np.bool_], dict[str, Any] | None]:
    """Split the option `reset_mask` off a reset's options.

    Returns:
        the mask (num_envs,), all true by default, and the remaining options.

    Raises:
        InvalidOptionError: options are not a dict, or the mask is not a bool array (num_envs,) with
            a true entry.
    """
    check_options(options)
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


def seeds_of(seed: Any, num_envs: int) -> list[int | None]:
    """The seed of environment i: seed + i, or the i-th entry of a list; None: unseeded.

    Raises:
        InvalidOptionError: neither a non-negative whole number, nor `num_envs` of them, nor None.
    """
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        seeds: list[Any] = [int(seed) + number for number in range(num_envs)]
    elif seed is None:
        seeds = [None] * num_envs
    elif isinstance(seed, list | tuple | np.ndarray):
        seeds = [one.item() if isinstance(one, np.integer) else one for one in seed]
    else:
        seeds = [seed]
    if len(seeds) != num_envs and isinstance(seed, list | tuple | np.ndarray):
        raise InvalidOptionError(f"{len(seeds)} seeds do not fit num_envs = {num_envs}")
    for one in seeds:
        if one is not None and (not isinstance(one, int) or isinstance(one, bool) or one < 0):
            raise InvalidOptionError(
                f"seed must be a whole number from 0, a list of {num_envs} of them, or None, "
                f"not {one!r}"
            )
    return seeds


def check_nothing_is_over(over: NDArray[np.bool_]) -> None:
    """Raise if an episode is over, which in `AutoresetMode.DISABLED` the user must reset.

    Raises:
        ResetNeeded: names the environments, and how to reset them.
    """
    if over.any():
        raise gymnasium.error.ResetNeeded(
            f"the episodes of environments {np.flatnonzero(over).tolist()} are over: "
            f"call reset(options={{'{MASK}': terminated | truncated}})"
        )
