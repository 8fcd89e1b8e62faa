"""A program as a function of parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.executable.quantities import Quantity, check_ranges
from nondiff.envs.executable.writing import INPUT, OUTPUT, Command, Values
from nondiff.envs.process import CallFailed, Limits, PersistentProcess, Pool, run_once

Vector = NDArray[np.float64]
Caller = Callable[[Values], tuple[str, str]]  # parameters to what is read, and its error output


@dataclass(frozen=True)
class Description:
    """How a program is called; see `Executable` for what each means."""

    command: Command
    parameters: Mapping[str, Quantity]
    outputs: Mapping[str, Quantity]
    write: Callable[[Values], str]
    read: Callable[[str], Vector]
    files: Mapping[str, str]
    limits: Limits
    accept: Collection[int] | None
    nonconvergence: re.Pattern[str] | None
    environment: Mapping[str, str]


class Program:
    """Runs a program on many rows of parameters at once (`Concurrent`).

    Args:
        description: of the program.
        persistent: whether it stays, and answers a line for a line.
        workers: processes at once; None: one for each processor.
        most_failures: in a row, that end a training.
    """

    def __init__(
        self,
        description: Description,
        persistent: bool,
        workers: int | None,
        most_failures: int | None,
    ) -> None:
        kind = Staying if persistent else Fresh
        self._pool: Pool[Vector, Vector] = Pool(lambda: kind(description), workers, most_failures)

    def __call__(self, parameters: Vector) -> Vector:
        """The outcome (outcome,) of one row.

        Raises:
            CallFailed: there was none.
        """
        (result,) = self._pool.map([parameters])
        if isinstance(result, CallFailed):
            raise result
        return result

    def attempt_all(self, parameters: NDArray[np.float64]) -> Sequence[Any]:
        """The outcome of each row, or how it failed."""
        return self._pool.map(list(parameters))

    def close(self) -> None:
        """End its processes."""
        self._pool.close()


class Fresh:
    """Starts the program for each row."""

    def __init__(self, description: Description) -> None:
        self._description = description

    def __call__(self, row: Vector) -> Vector:
        return _outcome(self._description, row, self._run)

    def _run(self, values: Values) -> tuple[str, str]:
        its = self._description
        text = its.write(values)
        takes_file, leaves_file = (name in its.command.mentions for name in (INPUT, OUTPUT))
        output = run_once(
            its.command.filled(values),
            files={**its.files, INPUT: text} if takes_file else its.files,
            stdin="" if takes_file else text,
            reads=(OUTPUT,) if leaves_file else (),
            limits=its.limits,
            accept=its.accept,
            environment=its.environment,
        )
        _check_convergence(its, output.stdout, output.stderr)
        return (output.files[OUTPUT] if leaves_file else output.stdout), output.stderr


class Staying:
    """Asks a program that stays, a line for each row."""

    def __init__(self, description: Description) -> None:
        its = self._description = description
        self._process = PersistentProcess(
            its.command.filled({}),
            files=its.files,
            limits=its.limits,
            environment=its.environment,
        )

    def __call__(self, row: Vector) -> Vector:
        return _outcome(self._description, row, self._ask)

    def _ask(self, values: Values) -> tuple[str, str]:
        its = self._description
        answer = self._process.ask(" ".join(its.write(values).split()) + "\n")
        _check_convergence(its, answer, "")
        return answer, ""

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _outcome(its: Description, row: Vector, call: Caller) -> Vector:
    """Check the parameters, call the program, and check what it gave."""
    check_ranges(row, its.parameters, "invalid input")
    text, stderr = call(dict(zip(its.parameters, row.tolist(), strict=True)))
    try:
        found = its.read(text)
    except CallFailed as failure:
        raise failure.with_stderr(stderr) from None
    check_ranges(found, its.outputs, "invalid output", stderr)
    return found


def _check_convergence(its: Description, *texts: str) -> None:
    for text in texts:
        found = its.nonconvergence and its.nonconvergence.search(text)
        if found:
            raise CallFailed("nonconvergence", f"it wrote {found[0]!r}")
