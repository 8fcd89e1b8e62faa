"""A program as a function of parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.black_box.call_trace import CallTrace
from nondiff.black_box.executable.command import Command, Values
from nondiff.black_box.executable.expressions import Expression
from nondiff.black_box.executable.quantities import Quantity, check_ranges
from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import CallFailed, Content, Limits, PersistentProcess, Pool, run_once

Vector = NDArray[np.float64]
INPUT, OUTPUT, ERROR = "standard input", "standard output", "standard error"
Said = tuple[str, str]  # its error output, and its output where that is not what is read
Caller = Callable[[Values], tuple[str, Said]]  # parameters to what is read, and what else it said


@dataclass(frozen=True)
class Description:
    """How a program is called; see `Executable` for what each means."""

    command: Command
    parameters: Mapping[str, Quantity]
    outputs: Mapping[str, Quantity]
    write: Callable[[Values], str]
    read: Callable[[str], Vector]
    files: Mapping[str, Content]
    limits: Limits
    accept: Collection[int] | None
    nonconvergence: Expression | None
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
        self._description, self._persistent = description, persistent
        self._pool: Pool[Vector, Vector] = Pool(partial(kind, description), workers, most_failures)

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

    def trace(self, parameters: Vector, keep: Path | None = None) -> CallTrace:
        """Make one call, and keep all that was written and read.

        Raises:
            InvalidOptionError: `keep` is given, and the program stays in its folder.
        """
        trace = CallTrace(parameters)
        if self._persistent and keep is not None:
            raise InvalidOptionError("--keep: a persistent program stays in its folder")
        if self._persistent:
            caller: Staying | Fresh = Staying(self._description, trace)
        else:
            caller = Fresh(self._description, trace, keep)
        started = time.perf_counter()
        try:
            trace.outcome = caller(parameters)
        except CallFailed as failure:
            trace.failure = f"{failure.kind}: {failure.message}"
            trace.read = {ERROR: failure.stderr, OUTPUT: failure.stdout} | trace.read
        finally:
            trace.seconds = time.perf_counter() - started
            caller.close()
        return trace

    def close(self) -> None:
        """End its processes."""
        self._pool.close()


class Fresh:
    """Starts the program for each row.

    Args:
        description: of the program.
        trace: gets all that is written and read.
        keep: a new folder for a copy of the program's.
    """

    def __init__(
        self,
        description: Description,
        trace: CallTrace | None = None,
        keep: Path | None = None,
    ) -> None:
        self._description, self._trace, self._keep = description, trace, keep

    def close(self) -> None:
        """Nothing is left of a call."""

    def __call__(self, row: Vector) -> Vector:
        return _outcome(self._description, row, self._run)

    def _run(self, values: Values) -> tuple[str, Said]:
        its = self._description
        command, text = its.command, its.write(values)
        given = dict(its.files)
        if command.input is not None:
            given[command.input] = text
        if self._trace is not None:
            self._trace.command = command.filled(values)
            self._trace.written = {command.input or INPUT: text} if text else {}
        output = run_once(
            command.filled(values),
            files=given,
            stdin=text if command.input is None else "",
            reads=() if command.output is None else (command.output,),
            limits=its.limits,
            accept=its.accept,
            environment=its.environment,
            inspect=self._inspect if self._trace or its.nonconvergence else None,
            keep=self._keep,
        )
        if command.output is None:
            return output.stdout, (output.stderr, "")
        return output.files[command.output], (output.stderr, output.stdout)

    def _inspect(self, texts: Sequence[str]) -> None:
        if self._trace is not None:
            names = [OUTPUT, ERROR, self._description.command.output or ""]
            self._trace.read = dict(zip(names, texts, strict=False))
        _check_convergence(self._description, texts)


class Staying:
    """Asks a program that stays, a line for each row."""

    def __init__(self, description: Description, trace: CallTrace | None = None) -> None:
        its = self._description = description
        self._trace = trace
        self._process = PersistentProcess(
            its.command.filled({}),
            files=its.files,
            limits=its.limits,
            environment=its.environment,
        )

    def __call__(self, row: Vector) -> Vector:
        return _outcome(self._description, row, self._ask)

    def _ask(self, values: Values) -> tuple[str, Said]:
        its = self._description
        line = " ".join(its.write(values).split()) + "\n"
        if self._trace is not None:
            self._trace.command = list(self._process.command)
            self._trace.written = {INPUT: line}
        answer = self._process.ask(line)
        stderr = self._process.stderr()
        if self._trace is not None:
            self._trace.read = {OUTPUT: answer, ERROR: stderr}
        _check_convergence(its, (answer, stderr))
        return answer, (stderr, "")

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _outcome(its: Description, row: Vector, call: Caller) -> Vector:
    """Check the parameters, call the program, and check what it gave."""
    check_ranges(row, its.parameters, "invalid input")
    text, said = call(dict(zip(its.parameters, row.tolist(), strict=True)))
    try:
        found = its.read(text)
        check_ranges(found, its.outputs, "invalid output")
    except CallFailed as failure:
        raise failure.with_said(*said) from None
    return found


def _check_convergence(its: Description, texts: Sequence[str]) -> None:
    if its.nonconvergence is None:
        return
    if found := its.nonconvergence.search(texts, its.limits.timeout):
        raise CallFailed("nonconvergence", f"it wrote {found[0]!r}")
