"""Spaces as Stable-Baselines3 prints them into a zip, beside the pickles that are not read."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.agents.policies.spaces import DTYPES, to_json
from nondiff.errors import DamagedModelError

KINDS = (
    spaces.Box,
    spaces.Dict,
    spaces.Discrete,
    spaces.MultiDiscrete,
    spaces.MultiBinary,
)
MAX_ENTRIES = 2**22  # of a Box; a picture of 1024 x 1024 with four channels
CUT = "..."  # numpy prints it in place of what is between the first and the last of many numbers

KEY = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
INTEGERS = r"\[[-\d\s\[\]]*\]"
# A Dict is printed as OrderedDict([('key', Box(...)), ...]), or as {'key': Box(...), ...}.
BEGIN, END = re.compile(r"(OrderedDict\()?[\[{]"), re.compile(r"[\]}]\)?")
PART = re.compile(
    rf"(?:, )?\(?(?P<key>{KEY})(?:: |, )(?:"
    r"(?P<Box>Box)\((?P<low>[^(),]+), (?P<high>[^(),]+), \((?P<shape>[\d, ]*)\), (?P<dtype>\w+)\)"
    r"|(?P<Discrete>Discrete)\((?P<n>\d+)(?:, start=(?P<first>-?\d+))?\)"
    rf"|(?P<MultiDiscrete>MultiDiscrete)\((?P<nvec>{INTEGERS})(?:, start=(?P<firsts>{INTEGERS}))?\)"
    r"|(?P<MultiBinary>MultiBinary)\(\(?(?P<count>[\d, ]+)\)?\)"
    r")\)?"
)
PARTS = tuple(kind.__name__ for kind in KINDS if kind is not spaces.Dict)


def read_space(printed: Any, present: spaces.Space[Any]) -> dict[str, Any]:
    """The JSON description of a space that a zip holds.

    Bounds are printed to eight digits. Where those of the environment are printed alike, the
    description has the environment's.

    Args:
        printed: what the zip says of it in JSON.
        present: the space of the environment that the policy is to act in.

    Raises:
        DamagedModelError: another kind of space, or one that is not printed as expected.
    """
    kind = printed.get(":type:") if isinstance(printed, dict) else type(printed).__name__
    name = next((known.__name__ for known in KINDS if str(known) == kind), None)
    if name is None:
        known = ", ".join(known.__name__ for known in KINDS)
        raise DamagedModelError(f"it is {kind}, and none of {known}")
    if name != "Dict":
        return _describe(name, printed, present)
    return {
        "kind": "Dict",
        "spaces": [
            [key, _describe(part, fields, _part(present, key))]
            for key, part, fields in _parts(printed["spaces"])
        ],
    }


def _part(space: spaces.Space[Any], key: str) -> spaces.Space[Any] | None:
    return space.spaces.get(key) if isinstance(space, spaces.Dict) else None


def _parts(text: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Key, kind and fields of each space in a printed Dict."""
    found = BEGIN.match(text)
    while found:
        end = found.end()
        if END.fullmatch(text, end):
            return
        found = PART.match(text, end)
        if found:
            yield _fields(found.groupdict())
    raise DamagedModelError(f"of the spaces in a Dict, only {', '.join(PARTS)} can be read")


def _fields(groups: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """The same as `_parts`, with the fields named as those of a space that is in no Dict."""
    kind = next(kind for kind in PARTS if groups[kind])
    if kind == "Box":
        groups["_shape"] = _integers(groups["shape"])
    elif kind == "MultiBinary":
        count = _integers(groups["count"])
        groups["n"] = count if "," in groups["count"] else count[0]
    groups["start"] = groups["first"] or groups["firsts"]
    return ast.literal_eval(groups["key"]), kind, groups


def _describe(kind: str, fields: Mapping[str, Any], present: Any) -> dict[str, Any]:
    if kind == "Box":
        return _box(fields, present)
    if kind == "Discrete":
        return {"kind": kind, "n": int(fields["n"]), "start": int(fields.get("start") or 0)}
    if kind == "MultiDiscrete":
        nvec, start = (np.array(_nested(fields.get(name) or "0")) for name in ("nvec", "start"))
        return {"kind": kind, "nvec": nvec.tolist(), "start": (start + 0 * nvec).tolist()}
    return {"kind": kind, "n": fields["n"]}


def _box(fields: Mapping[str, Any], present: Any) -> dict[str, Any]:
    shape, dtype = tuple(fields["_shape"]), fields["dtype"]
    if not all(type(size) is int and size >= 0 for size in shape) or math.prod(shape) > MAX_ENTRIES:
        raise DamagedModelError(f"it is of shape {shape}, more than {MAX_ENTRIES} numbers")
    if dtype not in DTYPES:
        raise DamagedModelError(f"its dtype {dtype} is not one of {', '.join(DTYPES)}")
    for known in _like(present, shape, dtype):
        if all(fields[side] in _prints(getattr(known, side)) for side in ("low", "high")):
            return to_json(known)
    low, high = (_numbers(fields[side], dtype) for side in ("low", "high"))
    return {"kind": "Box", "shape": list(shape), "dtype": dtype, "low": low, "high": high}


def _like(present: Any, shape: tuple[int, ...], dtype: str) -> Iterator[spaces.Box]:
    """The environment's space in the dtype of the zip; of a picture, also channels first."""
    if not isinstance(present, spaces.Box):
        return
    kinds = {np.dtype(dtype).kind, np.dtype(present.dtype).kind}
    if kinds != {"f"} and dtype != np.dtype(present.dtype).name:
        return
    for axes in [range(len(present.shape)), *[(2, 0, 1)] * (len(present.shape) == 3)]:
        low, high = (side.transpose(axes).astype(dtype) for side in (present.low, present.high))
        if low.shape == shape:
            yield spaces.Box(low, high, shape, np.dtype(dtype).type)


def _prints(bound: NDArray[Any]) -> tuple[str, ...]:
    """How a bound is printed: as an array, and in a Dict as one number where all are equal."""
    equal = bound.size > 0 and bool((bound == bound.flat[0]).all())
    return (str(bound), str(bound.flat[0])) if equal else (str(bound),)


def _numbers(text: str, dtype: str) -> Any:
    """The entries of a bound: one number where all are equal; infinities as text."""
    if CUT in text:
        raise DamagedModelError(
            "it has more bounds than are printed, and those of the environment are others"
        )
    kind = float if np.dtype(dtype).kind == "f" else int
    found = [kind(number) for number in re.sub(r"[\[\]]", " ", text).split()]
    flat = [number if math.isfinite(number) else str(number) for number in found]
    return flat[0] if flat and all(number == flat[0] for number in flat) else flat


def _integers(text: str) -> list[int]:
    return [int(number) for number in text.replace(",", " ").split()]


def _nested(text: str) -> Any:
    r"""Integers that numpy printed, such as [[2 3]\n [4 5]]."""
    return ast.literal_eval(re.sub(r"(?<=[\d\]])\s+(?=[-\d\[])", ", ", text))
