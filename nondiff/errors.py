"""The one family of errors: each names the bad value and the valid choices."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable


class NondiffError(Exception):
    """Base of every error a user can cause; the commands print it as one line."""


class UnknownNameError(NondiffError, LookupError):
    """A name that is in no table; the message offers the nearest ones."""

    def __init__(self, kind: str, name: str, valid: Iterable[str], list_all: bool = True) -> None:
        choices = sorted(valid)
        near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif list_all:
            hint = f"choose from {', '.join(choices)}"
        else:
            hint = "no registered name is near it"
        super().__init__(f"unknown {kind} {name!r}; {hint}")


class InvalidOptionError(NondiffError, ValueError):
    """An option or argument whose value can't be used."""


class InvalidActionError(NondiffError, ValueError):
    """An action of the wrong shape, or one that is NaN or infinite."""


class IncompatibleStrategyError(NondiffError, ValueError):
    """A strategy that can't train on this environment; the message says which can."""


class NonFiniteError(NondiffError, ArithmeticError):
    """A NaN or an infinity in an observation, a reward or a network."""


class EnvironmentFailedError(NondiffError, RuntimeError):
    """An environment that raised, died or hung; `details` is the original traceback, if any."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class InvalidReturnError(EnvironmentFailedError):
    """An environment that returned what `reset` or `step` may not return."""


def details_of(error: BaseException) -> str:
    """The traceback of an error of somebody else's code; "" where there is nothing to see in it."""
    if isinstance(error, InvalidReturnError):
        return ""
    return "".join(traceback.format_exception(error))


def what_went_wrong(error: BaseException) -> str:
    """What an environment did, as a clause: that it raised an error, or returned what it may not.

    Such as "raised ValueError: too large".
    """
    if isinstance(error, InvalidReturnError):
        return f"returned what it may not ({error})"
    return f"raised {type(error).__name__}: {error}"


class CallbackFailedError(NondiffError, RuntimeError):
    """A function of the user's, called during a training, that raised; its error is the cause."""


class CopyRefusedError(NondiffError, TypeError):
    """Something that can't be copied or pickled; the message says what to do instead."""


class DamagedModelError(NondiffError, ValueError):
    """A model folder that is incomplete, altered or not one of ours."""


class DamagedCheckpointError(NondiffError, ValueError):
    """A checkpoint that is incomplete, altered, or of another run."""


class RunError(NondiffError, ValueError):
    """A run folder that exists already, is missing, or is not a run."""


class UntrustedError(NondiffError, RuntimeError):
    """A run of somebody else's that names what may run any code; the message says what to type."""


class MissingDependencyError(NondiffError, RuntimeError):
    """Something this machine lacks; the message says how to get it."""
