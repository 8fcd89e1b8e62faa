"""All errors that nondiff raises for its users; each names the bad value and the valid choices."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable


class NondiffError(Exception):
    """Base class of all errors that a user can cause; the commands print it as one line."""


class UnknownNameError(NondiffError, LookupError):
    """An unknown name; the message suggests similar ones."""

    def __init__(self, kind: str, name: str, valid: Iterable[str], list_all: bool = True) -> None:
        choices = sorted(valid)
        near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif list_all:
            hint = f"choose from {', '.join(choices)}"
        else:
            hint = "no registered name is near it; one of your own module is module:name"
        super().__init__(f"unknown {kind} {name!r}; {hint}")


class InvalidOptionError(NondiffError, ValueError):
    """An option or argument whose value can't be used."""


class InvalidActionError(NondiffError, ValueError):
    """An action of the wrong shape, or one that is NaN or infinite."""


class IncompatibleStrategyError(NondiffError, ValueError):
    """A strategy that can't train on this environment; the message says which can."""


class NonFiniteError(NondiffError, ArithmeticError):
    """A NaN or infinity in an observation, a reward or a network."""


class EnvironmentFailedError(NondiffError, RuntimeError):
    """An environment that raised, died or hung; `details` is the original traceback, if any."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class InvalidReturnError(EnvironmentFailedError):
    """An environment whose `reset` or `step` returned an invalid value."""


def details_of(error: BaseException) -> str:
    """The traceback of an error raised by third-party code; "" where it shows nothing useful."""
    if isinstance(error, InvalidReturnError):
        return ""
    return "".join(traceback.format_exception(error))


def what_went_wrong(error: BaseException) -> str:
    """Describe an environment's failure as a clause, such as "raised ValueError: too large"."""
    if isinstance(error, InvalidReturnError):
        return f"returned an invalid value ({error})"
    return f"raised {type(error).__name__}: {error}"


class CallbackFailedError(NondiffError, RuntimeError):
    """A user's callback that raised during training; `__cause__` is its error."""


class CopyRefusedError(NondiffError, TypeError):
    """An object that can't be copied or pickled; the message says what to do instead."""


class DamagedModelError(NondiffError, ValueError):
    """A model folder that is incomplete, altered or not made by nondiff."""


class DamagedCheckpointError(NondiffError, ValueError):
    """A checkpoint that is incomplete, altered, or belongs to another run."""


class RunError(NondiffError, ValueError):
    """A run folder that exists already, is missing, or is not a run."""


class UntrustedError(NondiffError, RuntimeError):
    """A run from another user that names code to execute; the message says how to allow it."""


class MissingDependencyError(NondiffError, RuntimeError):
    """A package, program or display that this machine lacks; the message says how to get it."""
