"""Cases of a test of which some are left to the slow tests."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest


def some_slow(cases: Iterable[Any], slow: Container[Any]) -> list[Any]:
    """The cases, those among `slow` marked so."""
    return [pytest.param(case, marks=pytest.mark.slow if case in slow else ()) for case in cases]
