"""The demonstrations that a run learns from, and whether they are still the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nondiff.agents.demonstrations.dataset import checksum
from nondiff.agents.strategy import Strategy
from nondiff.errors import RunError
from nondiff.experiments.run.folder import Run

SHA256 = "demonstrations_sha256"


def with_absolute_path(strategy: Strategy) -> Strategy:
    """The strategy, such that its demonstrations are found from any working directory."""
    path = _path(strategy)
    if path is None:
        return strategy
    absolute: dict[str, Any] = {"demonstrations": str(Path(path).absolute())}
    return replace(strategy, **absolute)


def checksums(strategy: Strategy) -> dict[str, str]:
    """What a run notes of its demonstrations, if it has any.

    Raises:
        InvalidOptionError: they can't be read.
    """
    path = _path(strategy)
    return {} if path is None else {SHA256: checksum(path)}


def check_unchanged(run: Run, strategy: Strategy) -> None:
    """Refuse to go on with a run whose demonstrations are no longer those it began with.

    Raises:
        RunError: they have changed.
        InvalidOptionError: they can't be read.
    """
    path = _path(strategy)
    if path is not None and checksum(path) != run.config.get(SHA256):
        raise RunError(
            f"the demonstrations in {path} have changed since {run.folder} began: put back those "
            "that it began with, or begin a new run"
        )


def _path(strategy: Strategy) -> str | None:
    return getattr(strategy, "demonstrations", None)
