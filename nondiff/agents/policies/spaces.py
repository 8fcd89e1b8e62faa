"""Gymnasium spaces as JSON and back; the key order of a Dict is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")


def to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space as JSON types.

    Raises:
        ValueError: a kind of space that no policy here observes or acts in.
    """
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": [[key, to_json(part)] for key, part in space.items()]}
    if isinstance(space, spaces.Box):
        return {
            "kind": "Box",
            "shape": list(space.shape),
            "dtype": np.dtype(space.dtype).name,
            "low": _bound(space.low),
            "high": _bound(space.high),
        }
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {
            "kind": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
        }
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.n)}
    raise ValueError(f"{type(space).__name__} spaces have no JSON form here")


def from_json(data: dict[str, Any]) -> spaces.Space[Any]:
    """The space that `to_json` described.

    Raises:
        ValueError, KeyError, TypeError: not such a description.
    """
    kind = data["kind"]
    if kind == "Dict":
        ordered = [(str(key), from_json(part)) for key, part in data["spaces"]]
        return spaces.Dict(ordered)
    if kind == "Box":
        if data["dtype"] not in DTYPES:
            raise ValueError(f"dtype {data['dtype']!r} is not one of {', '.join(DTYPES)}")
        dtype, shape = np.dtype(data["dtype"]), tuple(data["shape"])
        low, high = (_array(data[side], dtype, shape) for side in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(data["n"], start=data["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(data["nvec"], start=data["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(data["n"])
    raise ValueError(f"space of unknown kind {kind!r}")


def _bound(values: np.ndarray[Any, Any]) -> Any:
    """One number where all are equal; infinities as text, which JSON lacks."""
    flat = [value if np.isfinite(value) else str(value) for value in values.ravel().tolist()]
    return flat[0] if flat and all(value == flat[0] for value in flat) else flat


def _array(bound: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    try:
        with np.errstate(over="raise"):
            numbers = [
                dtype.type(value) for value in (bound if isinstance(bound, list) else [bound])
            ]
    except (ArithmeticError, RecursionError) as error:
        raise ValueError(f"a bound is no {dtype}: {error}") from error
    if len(numbers) == 1:
        return np.full(shape, numbers[0], dtype)
    return np.array(numbers, dtype).reshape(shape)
