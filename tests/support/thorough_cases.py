"""Cases of a test of which some are left to the thorough tests."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Sequence
from typing import Any

import pytest


def some_thorough(cases: Iterable[Any], thorough: Container[Any]) -> list[Any]:
    """The cases, those among `thorough` marked so."""
    return [_case((case,), case not in thorough) for case in cases]


def thin(cases: Iterable[Any], keep: Container[Any]) -> list[Any]:
    """The cases, all marked thorough but those among `keep`."""
    return [_case((case,), case in keep) for case in cases]


def diagonal(*axes: Sequence[Any]) -> list[Any]:
    """All combinations of values, marked thorough but for some that have each value once.

    Of shorter axes the values are repeated, so that the longest says how many are not marked.
    """
    longest = max(map(len, axes))
    kept = {tuple(i % len(axis) for axis in axes) for i in range(longest)}
    numbers = itertools.product(*(range(len(axis)) for axis in axes))
    return [
        _case([axis[i] for axis, i in zip(axes, chosen, strict=True)], chosen in kept)
        for chosen in numbers
    ]


def _case(values: Sequence[Any], is_kept: bool) -> Any:
    return pytest.param(*values, marks=() if is_kept else pytest.mark.thorough)
