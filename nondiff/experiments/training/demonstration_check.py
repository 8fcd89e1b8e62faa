"""The demonstrations that a run learns from, and whether they are still the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nondiff.agents.demonstrations.dataset import checksum
from nondiff.agents.strategy import Strategy
from nondiff.errors import RunError
from nondiff.experiments.run.folder import Run


def with_absolute_path(strategy: Strategy) -> Strategy:
    """The strategy, such that its demonstrations are found from any working directory."""
    path = _path(strategy)
    if path is None:
        return strategy
    absolute: dict[str, Any] = {"demonstrations": str(Path(path).absolute())}
    return replace(strategy, **absolute)


def demonstrations_sha256(strategy: Strategy) -> dict[str, str]:
    """The field of a run's configuration for its demonstrations, if it has any.

    Raises:
        InvalidOptionError: they can't be read.
    """
    path = _path(strategy)
    return {} if path is None else {"demonstrations_sha256": checksum(path)}


def check_unchanged(run: Run, strategy: Strategy) -> None:
    """Refuse to resume a run whose demonstrations have changed.

    Raises:
        RunError: they have changed.
        InvalidOptionError: they can't be read.
    """
    path = _path(strategy)
    if path is not None and checksum(path) != run.config.demonstrations_sha256:
        raise RunError(
            f"the demonstrations in {path} have changed since {run.folder} began: put back those "
            "that it began with, or begin a new run"
        )


def _path(strategy: Strategy) -> str | None:
    return getattr(strategy, "demonstrations", None)
