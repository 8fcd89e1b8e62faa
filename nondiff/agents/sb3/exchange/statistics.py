"""Read the statistics that `VecNormalize.save` writes, without executing its pickle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.agents.sb3.exchange.inert_pickle import Described, Name, describe
from nondiff.agents.sb3.policy import ONLY, Normalizer
from nondiff.errors import DamagedModelError
from nondiff.files.inputs import read_input

MAX_BYTES = 2**26
VEC_NORMALIZE = Name("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize")
RUNNING = Name("stable_baselines3.common.running_mean_std", "RunningMeanStd")
DTYPE = Name("numpy", "dtype")
NUMBERS = re.compile(r"[fi][248]")  # codes of the dtypes that statistics have
RECONSTRUCT, SCALAR, FROM_BUFFER = (
    tuple(Name(f"numpy.{core}.{function}", name) for core in ("core", "_core"))
    for function, name in (
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numeric", "_frombuffer"),
    )
)


def read_normalizer(path: Path) -> Normalizer | None:
    """The statistics of observations in a file of `VecNormalize.save`; None: only of rewards.

    Raises:
        OSError: the file can't be read, or is larger than `MAX_BYTES`.
        ValueError, LookupError, TypeError, AttributeError: it is no such file. Some are a
            DamagedModelError.
    """
    env = describe(read_input(path, MAX_BYTES))
    state = _state(env, VEC_NORMALIZE)
    if not state["norm_obs"]:
        return None
    found = state["obs_rms"]
    running = found if isinstance(found, dict) else {ONLY: found}
    statistics = {str(key): _state(value, RUNNING) for key, value in running.items()}
    return Normalizer(
        {key: _array(value["mean"]) for key, value in statistics.items()},
        {key: _array(value["var"]) for key, value in statistics.items()},
        float(_array(state["clip_obs"])),
        float(_array(state["epsilon"])),
    )


def _state(value: Any, kind: Name) -> dict[str, Any]:
    """The attributes of an object of a class, and of none derived from it."""
    maker = value.maker if isinstance(value, Described) else type(value).__name__
    if maker != kind:
        raise DamagedModelError(
            f"it holds no {kind.name} of Stable-Baselines3, but {maker}; docs/runs.md says how to "
            "write one"
        )
    if not isinstance(value.state, dict):
        raise DamagedModelError(f"its {kind.name} has no attributes")
    return value.state


def _array(value: Any) -> NDArray[Any]:
    """The array, or the number, that numpy pickled."""
    if isinstance(value, int | float):
        array = np.array(value)
    elif not isinstance(value, Described):
        raise DamagedModelError("its statistics are no arrays of numbers")
    elif value.maker in RECONSTRUCT:
        _, shape, dtype, is_fortran, content = value.state
        array = _from_bytes(content, dtype, shape, "F" if is_fortran else "C")
    elif value.maker in SCALAR:
        array = _from_bytes(value.arguments[1], value.arguments[0], (), "C")
    elif value.maker in FROM_BUFFER:
        array = _from_bytes(*value.arguments)
    else:
        raise DamagedModelError(f"its statistics are made by {value.maker}")
    if not np.isfinite(array).all():
        raise DamagedModelError("its statistics are NaN or infinite")
    return array


def _from_bytes(content: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not (isinstance(dtype, Described) and dtype.maker == DTYPE):
        raise DamagedModelError("its statistics are no arrays of numbers")
    code, byte_order = dtype.arguments[0], dtype.state[1]
    if not NUMBERS.fullmatch(code):
        raise DamagedModelError(f"its statistics are of dtype {code}")
    array = np.frombuffer(content, f"{byte_order}{code}").reshape(shape, order=order)
    return array.astype(code)  # a copy, in this machine's byte order
