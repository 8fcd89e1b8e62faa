"""Run a user's function on many rows, such that an error in one row fails that row alone."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nondiff.black_box.call_trace import CallTrace, Traceable, trace_function
from nondiff.black_box.contract import Array, failed_rows
from nondiff.errors import EnvironmentFailedError, InvalidOptionError, NondiffError

Vector = NDArray[np.float64]


@runtime_checkable
class Concurrent(Protocol):
    """A function that processes many rows concurrently and reports a failure per row."""

    def attempt_all(self, parameters: Array) -> Sequence[Any]:
        """Map parameters (n, parameter) to n outcomes (outcome,), or exceptions of failed rows."""
        ...

    def close(self) -> None:
        """Release its resources."""
        ...


NOT_FINITE = "NaN or infinity"
HOPELESS = 50  # failures without any success after which a function counts as broken


class GuardedFunction:
    """A function of parameters, applied to many rows; failed rows become NaN.

    Args:
        function: maps parameters (parameter,) to an outcome (outcome,), or to a number if its size
            is 1; if batched, (n, parameter) to (n, outcome).
        outcomes: size of an outcome.
        batched: whether the function takes many rows at once.

    Attributes:
        failures: number of failed rows by the kind or name of the exception, or "NaN or infinity".
        last_failure: the parameters and the error of the last failed row.
    """

    def __init__(self, function: Callable[[Any], Any], outcomes: int, batched: bool) -> None:
        self._function: Any = function  # may be `Concurrent`
        self._outcomes, self._batched = outcomes, batched
        self._has_succeeded = False
        self.failures: Counter[str] = Counter()
        self.last_failure = ""

    def __call__(self, parameters: Array) -> Array:
        """Compute the outcomes (n, outcome) of parameters (n, parameter).

        Raises:
            EnvironmentFailedError: a result has the wrong shape, a batched function raised, or the
                first `HOPELESS` rows all failed.
        """
        outcome = self._run_all(parameters) if self._batched else self._run_each(parameters)
        failed = failed_rows(outcome)
        self._has_succeeded |= not failed.all()
        if not self._has_succeeded and self.failures.total() >= HOPELESS:
            raise EnvironmentFailedError(
                f"the function failed in all of its first {self.failures.total()} rows, at last "
                f"{self.last_failure}"
            )
        outcome[failed] = np.nan  # a row fails as a whole
        return outcome

    def _run_each(self, parameters: Array) -> Array:
        outcome = np.full((len(parameters), self._outcomes), np.nan)
        for row, given, result in zip(outcome, parameters, self._results(parameters), strict=True):
            if isinstance(result, Exception | SystemExit):
                kind = getattr(result, "kind", None)
                name = kind or type(result).__name__
                self._note(name, given, str(result) if kind else f"{name}: {result}")
                continue
            row[:] = self._shaped(result, (self._outcomes,))
            if not np.isfinite(row).all():
                self._note(NOT_FINITE, given, f"{NOT_FINITE} in {row.tolist()}")
        return outcome

    def _results(self, parameters: Array) -> Iterable[Any]:
        """Yield the result of each row, or the exception that it raised."""
        if isinstance(self._function, Concurrent):
            return self._function.attempt_all(parameters)
        return map(self._result, parameters)

    def _result(self, given: Vector) -> Any:
        try:
            return numbers(self._function(given.copy()))  # the function may modify its argument
        except NondiffError:
            raise
        except (Exception, SystemExit) as error:
            return error

    def trace(self, parameters: Vector, keep: Path | None) -> CallTrace:
        """Make one call, which nothing counts, and keep all that was written and read.

        Raises:
            InvalidOptionError: `keep` is given, and no program runs in a folder.
        """
        if isinstance(self._function, Traceable):
            return self._function.trace(parameters, keep)
        if keep is not None:
            raise InvalidOptionError("--keep: this is a function, which runs in no folder to keep")
        return trace_function(self._one, parameters)

    def _one(self, row: Vector) -> Array:
        result = numbers(self._function(row[None] if self._batched else row))
        return self._shaped(result[0] if self._batched else result, (self._outcomes,))

    def close(self) -> None:
        """Release the resources of the function."""
        if isinstance(self._function, Concurrent):
            self._function.close()

    def _run_all(self, parameters: Array) -> Array:
        try:
            result = numbers(self._function(parameters.copy()))
        except NondiffError:
            raise
        except (Exception, SystemExit) as error:
            raise EnvironmentFailedError(
                f"the batched function raised {type(error).__name__}: {error}; it must give NaN in "
                "failed rows, since an exception does not say which rows failed",
                traceback.format_exc(),
            ) from error
        outcome = self._shaped(result, (len(parameters), self._outcomes)).copy()
        for row in np.flatnonzero(failed_rows(outcome)):
            self._note(NOT_FINITE, parameters[row], f"{NOT_FINITE} in {outcome[row].tolist()}")
        return outcome

    def _note(self, kind: str, parameters: Vector, reason: str) -> None:
        self.failures[kind] += 1
        self.last_failure = f"at the parameters {parameters.tolist()}: {reason}"

    def _shaped(self, result: Array, wanted: tuple[int, ...]) -> Array:
        if self._outcomes == 1 and result.shape == wanted[:-1]:
            return result[..., None]
        if result.shape != wanted:
            raise EnvironmentFailedError(
                f"the function gave an array of shape {result.shape}, where {wanted} is needed: "
                f"outcomes = {self._outcomes}"
            )
        return result


def numbers(result: Any) -> Array:
    """Convert a result to float64.

    Raises:
        TypeError, ValueError: it is None, text, complex, ragged, or otherwise not real numbers.
    """
    if result is None:
        raise TypeError("it gave None")
    return np.asarray(result).astype(np.float64, casting="same_kind")
