"""Parse the outcome from a program's output text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nondiff.black_box.executable.decimals import number
from nondiff.black_box.executable.expressions import Expression, Last
from nondiff.errors import InvalidOptionError, NondiffError
from nondiff.processes.sandbox import CallFailed
from nondiff.text import cut

Vector = NDArray[np.float64]
Reads = Literal["numbers", "json"] | Mapping[str, str | Last] | Callable[[str], Any]
WAYS = "'numbers', 'json', a regular expression for each output in a dict, or a function"
SHOWN = 200  # characters of an output that a message quotes


def reader(reads: Reads, names: Sequence[str], seconds: float) -> Callable[[str], Vector]:
    """Make the function from a text to the outputs (output,); it raises `CallFailed`.

    Args:
        reads: see `Executable`.
        names: names of the outputs.
        seconds: maximum time of a regular-expression search [s].

    Raises:
        InvalidOptionError: an unknown format, or expressions that do not match the outputs.
    """
    if isinstance(reads, Mapping):
        parse: Callable[[str], Any] = _by_expressions(reads, names, seconds)
    elif callable(reads):
        parse = reads
    elif reads == "numbers":
        parse = _numbers
    elif reads == "json":
        parse = partial(_by_json, tuple(names))
    else:
        raise InvalidOptionError(f"reads must be {WAYS}, not {reads!r}")
    return partial(_read, parse, len(names))


def _read(parse: Callable[[str], Any], count: int, text: str) -> Vector:
    try:
        found = np.asarray(_values(parse(text)), np.float64)
    except (NondiffError, CallFailed):
        raise
    except (Exception, SystemExit) as error:  # the text may be anything
        raise CallFailed("invalid output", f"{error} in {_shown(text)}") from None
    if found.shape != (count,):
        raise CallFailed(
            "invalid output", f"{found.size} numbers instead of {count} in {_shown(text)}"
        )
    return found


def _values(found: Any) -> Any:
    """Convert texts in a list of values to numbers."""
    if isinstance(found, list | tuple):
        return [number(value) if isinstance(value, str) else value for value in found]
    return found


def _shown(text: str) -> str:
    return repr(cut(text, SHOWN))


def _numbers(text: str) -> list[float]:
    return [number(word) for word in re.split(r"[\s,;]+", text) if word]


def _by_json(names: Sequence[str], text: str) -> Any:
    found = json.loads(text)
    if isinstance(found, dict):
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"no {missing[0]!r}")
        found = [found[name] for name in names]
    if not isinstance(found, list) or any(type(value) not in (int, float) for value in found):
        raise ValueError("no numbers")
    return found


def _by_expressions(
    expressions: Mapping[str, str | Last], names: Sequence[str], seconds: float
) -> Callable[[str], Any]:
    if set(expressions) != set(names):
        wrong = sorted(set(expressions).symmetric_difference(names))[0]
        raise InvalidOptionError(
            f"reads must hold a regular expression for each of {', '.join(names)}; see {wrong!r}"
        )
    patterns = {name: Expression(f"reads: {name}", expressions[name], groups=1) for name in names}
    return partial(_found, patterns, seconds)


def _found(patterns: Mapping[str, Expression], seconds: float, text: str) -> list[float]:
    found = []
    for name, pattern in patterns.items():
        match = pattern.search([text], seconds)
        if match is None:
            raise ValueError(f"no {name}")
        if match[1] is None:  # the group is in an alternative that did not match
            raise ValueError(f"no number for {name} in {_shown(match[0])}")
        found.append(number(match[1]))
    return found
