"""Rows of a comparison that come from elsewhere, such as a search for each instance by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, TypeAdapter, ValidationError

from nondiff.errors import InvalidOptionError
from nondiff.experiments.evaluation.statistics import Estimate, bootstrapped
from nondiff.experiments.ranges import Return
from nondiff.files.inputs import read_input
from nondiff.files.untrusted_json import MAX_BYTES, parse_json
from nondiff.text import visible
from nondiff.validation import first_fault


@dataclass(frozen=True)
class Reference:
    """The result of something that is no cell.

    Args:
        name: what it is called.
        env: the environment.
        calls: that it makes for each episode, at test time.
        returns: one an episode.
        failed: whether each episode failed; empty: none did.
        train_calls: that it made before.
    """

    name: str
    env: str
    calls: NonNegativeInt
    returns: Annotated[list[Return], Field(min_length=1)]
    failed: list[bool] = field(default_factory=list)
    train_calls: NonNegativeInt = 0


@dataclass(frozen=True)
class ReferenceRow:
    """A reference summed up; its intervals are over episodes."""

    name: str
    env: str
    train_calls: int
    test_calls: int
    episodes: int
    median: Estimate
    mean: Estimate
    failed: int


def read_references(path: Path | None, envs: Sequence[str]) -> list[Reference]:
    """The references of a JSON file that are for these environments.

    Raises:
        InvalidOptionError: the file is no list of them.
    """
    if path is None:
        return []
    try:
        data = parse_json(read_input(path, MAX_BYTES))
        found = TypeAdapter(list[Reference]).validate_python(data)
    except ValidationError as error:
        raise InvalidOptionError(
            f"--references {path}: {first_fault(error)}; it is a list of "
            '{"name", "env", "calls", "returns": [...]}'
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidOptionError(f"--references {path} can't be read: {error}") from error
    own = [reference for reference in found if reference.env in envs]
    return [replace(reference, name=visible(reference.name)) for reference in own]


def sum_up(reference: Reference) -> ReferenceRow:
    """Sum up a reference."""
    return ReferenceRow(
        name=reference.name,
        env=reference.env,
        train_calls=reference.train_calls,
        test_calls=reference.calls,
        episodes=len(reference.returns),
        median=bootstrapped(reference.returns, np.median),
        mean=bootstrapped(reference.returns),
        failed=sum(reference.failed),
    )
