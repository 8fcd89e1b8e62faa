"""The record of one call of a function or a program, with all input and output."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nondiff.black_box.contract import Array
from nondiff.errors import NondiffError

Vector = NDArray[np.float64]


@dataclass
class CallTrace:
    """The record of one call, to be shown to a user.

    Args:
        parameters: (parameter,) in the function's own units.
        command: the program's command line; empty for a function.
        written: the program's input, by the name of its input file or "standard input".
        read: the program's output, by file name, "standard output" or "standard error".
        outcome: (outcome,) the parsed outcome; None if the call failed.
        failure: kind and reason of a failure; None: the call succeeded.
        seconds: wall time of the call [s].
    """

    parameters: Vector
    command: list[str] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)
    outcome: Vector | None = None
    failure: str | None = None
    seconds: float = 0.0


@runtime_checkable
class Traceable(Protocol):
    """A function that can record one of its calls."""

    def trace(self, parameters: Vector, keep: Path | None) -> CallTrace:
        """Make one call; the new folder `keep` receives a copy of the program's folder."""
        ...


def trace_function(function: Callable[[Array], Any], parameters: Vector) -> CallTrace:
    """Make one call of a plain function.

    Args:
        function: maps parameters (parameter,) to an outcome (outcome,), or raises.
        parameters: (parameter,).
    """
    trace, started = CallTrace(parameters), time.perf_counter()
    try:
        trace.outcome = np.atleast_1d(np.asarray(function(parameters.copy()), np.float64))
    except NondiffError:
        raise
    except (Exception, SystemExit) as error:  # of a function of the user
        trace.failure = f"{type(error).__name__}: {error}"
    trace.seconds = time.perf_counter() - started
    if trace.outcome is not None and not np.isfinite(trace.outcome).all():
        trace.failure = f"NaN or infinity in {trace.outcome.tolist()}"
    return trace
