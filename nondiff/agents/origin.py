"""What a checkpoint depends on, and the refusal of one of another training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from nondiff.agents.strategy import State, Strategy, Training
from nondiff.errors import DamagedCheckpointError


def origin_of(config: Strategy, training: Training, **more: Any) -> dict[str, Any]:
    """All that a checkpoint's bits depend on, as JSON types."""
    origin = {
        "strategy": config.name,
        "env": training.recipe.id,
        "env_arguments": dict(training.recipe.arguments),
        **training.recipe.more(),
        "seed": training.seed,
        **more,
        **asdict(config),
    }
    return dict(json.loads(json.dumps(origin)))


@contextmanager
def restoring(state: State, origin: dict[str, Any]) -> Iterator[None]:
    """Restore a state within; whatever fails there is the checkpoint's fault.

    Raises:
        DamagedCheckpointError: the state is of another training, or does not fit this one.
    """
    try:
        theirs = state.values["origin"]
        other = [name for name in {**origin, **theirs} if origin.get(name) != theirs.get(name)]
        if other:
            raise ValueError(f"it is of a run with another {', '.join(other)}; remove it")
        yield
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        OverflowError,
    ) as error:
        reason = " ".join(str(error).split())
        raise DamagedCheckpointError(
            f"the checkpoint of step {state.steps:,} does not fit this run: {reason}"
        ) from error
