"""Skips what needs a simulator that this machine lacks; CI must lack none."""

from __future__ import annotations

import os

import pytest

from nondiff.envs import needs_of
from nondiff.requirements import NEEDS


def needs(*names: str) -> pytest.MarkDecorator:
    """A mark for tests that can't run without these of `NEEDS`."""
    return pytest.mark.skipif(bool(_lacking(names)) and not _is_ci(), reason=_reason(names))


def skip_without(env_id: str) -> None:
    """Skip a test of an environment that can't be made here."""
    names = tuple(need.name for need in needs_of(env_id))
    if _lacking(names) and not _is_ci():
        pytest.skip(_reason(names))


def _is_ci() -> bool:
    return bool(os.environ.get("CI"))


def _lacking(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not NEEDS[name].is_met()]


def _reason(names: tuple[str, ...]) -> str:
    commands = " && ".join(NEEDS[name].install for name in _lacking(names))
    return f"{', '.join(_lacking(names))} is missing: {commands}"
