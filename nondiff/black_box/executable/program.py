"""An external program as a function from parameters to outcomes."""

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
from nondiff.processes.sandbox import (
    CallFailed,
    Content,
    Limits,
    PersistentProcess,
    ThreadPool,
    run_once,
)

Vector = NDArray[np.float64]
INPUT, OUTPUT, ERROR = "standard input", "standard output", "standard error"
Said = tuple[str, str]  # standard error, and standard output if the outcome is not read from it
Call = Callable[[Values], tuple[str, Said]]  # parameters to the text to read, and other output


@dataclass(frozen=True)
class ProgramSpec:
    """How to call a program; `Executable` documents the fields."""

    command: Command
    parameters: Mapping[str, Quantity]
    outputs: Mapping[str, Quantity]
    write: Callable[[Values], str]
    writers: Mapping[str, Callable[[Values], str]]  # of more input files, by name
    read: Callable[[str], Vector]
    files: Mapping[str, Content]
    limits: Limits
    accept: Collection[int] | None
    nonconvergence: Expression | None
    environment: Mapping[str, str]


class Program:
    """Runs a program on many rows of parameters concurrently; implements `Concurrent`.

    Args:
        spec: how to call the program.
        persistent: whether it keeps running and answers each line with a line.
        workers: maximum number of concurrent processes; None: one per core.
        max_failures: consecutive failures that end training; None: no limit.
    """

    def __init__(
        self,
        spec: ProgramSpec,
        persistent: bool,
        workers: int | None,
        max_failures: int | None,
    ) -> None:
        kind = Staying if persistent else Fresh
        self._spec, self._persistent = spec, persistent
        self._pool: ThreadPool[Vector, Vector] = ThreadPool(
            partial(kind, spec), workers, max_failures
        )

    def __call__(self, parameters: Vector) -> Vector:
        """Compute the outcome (outcome,) of one row.

        Raises:
            CallFailed: the call failed.
        """
        (result,) = self._pool.map([parameters])
        if isinstance(result, CallFailed):
            raise result
        return result

    def attempt_all(self, parameters: NDArray[np.float64]) -> Sequence[Any]:
        """Compute the outcome (outcome,) of each row; a `CallFailed` where it failed."""
        return self._pool.map(list(parameters))

    def trace(self, parameters: Vector, keep: Path | None = None) -> CallTrace:
        """Make one call, and record all input and output.

        Raises:
            InvalidOptionError: `keep` is given, and the program is persistent.
        """
        trace = CallTrace(parameters)
        if self._persistent and keep is not None:
            raise InvalidOptionError("--keep: a persistent program stays in its folder")
        if self._persistent:
            worker: Staying | Fresh = Staying(self._spec, trace)
        else:
            worker = Fresh(self._spec, trace, keep)
        started = time.perf_counter()
        try:
            trace.outcome = worker(parameters)
        except CallFailed as failure:
            trace.failure = f"{failure.kind}: {failure.message}"
            trace.read = {ERROR: failure.stderr, OUTPUT: failure.stdout} | trace.read
        finally:
            trace.seconds = time.perf_counter() - started
            worker.close()
        return trace

    def close(self) -> None:
        """End the processes."""
        self._pool.close()


class Fresh:
    """A worker that starts the program for each row.

    Args:
        spec: how to call the program.
        trace: records all input and output.
        keep: new folder for a copy of the program's folder.
    """

    def __init__(
        self,
        spec: ProgramSpec,
        trace: CallTrace | None = None,
        keep: Path | None = None,
    ) -> None:
        self._spec, self._trace, self._keep = spec, trace, keep

    def close(self) -> None:
        """Do nothing: no process outlives a call."""

    def __call__(self, row: Vector) -> Vector:
        return _outcome(self._spec, row, self._run)

    def _run(self, values: Values) -> tuple[str, Said]:
        spec = self._spec
        command, text = spec.command, spec.write(values)
        written = {name: write(values) for name, write in spec.writers.items()}
        if command.input is not None:
            written[command.input] = text
        given = {**spec.files, **written}
        if self._trace is not None:
            self._trace.command = command.filled(values)
            self._trace.written = written or ({INPUT: text} if text else {})
        output = run_once(
            command.filled(values),
            files=given,
            stdin=text if command.input is None else "",
            reads=() if command.output is None else (command.output,),
            limits=spec.limits,
            accept=spec.accept,
            environment=spec.environment,
            inspect=self._inspect if self._trace or spec.nonconvergence else None,
            keep=self._keep,
        )
        if command.output is None:
            return output.stdout, (output.stderr, "")
        return output.files[command.output], (output.stderr, output.stdout)

    def _inspect(self, texts: Sequence[str]) -> None:
        if self._trace is not None:
            names = [OUTPUT, ERROR, self._spec.command.output or ""]
            self._trace.read = dict(zip(names, texts, strict=False))
        _check_convergence(self._spec, texts)


class Staying:
    """A worker that sends each row as a line to a persistent program."""

    def __init__(self, spec: ProgramSpec, trace: CallTrace | None = None) -> None:
        spec = self._spec = spec
        self._trace = trace
        self._process = PersistentProcess(
            spec.command.filled({}),
            files=spec.files,
            limits=spec.limits,
            environment=spec.environment,
        )

    def __call__(self, row: Vector) -> Vector:
        return _outcome(self._spec, row, self._ask)

    def _ask(self, values: Values) -> tuple[str, Said]:
        spec = self._spec
        line = " ".join(spec.write(values).split()) + "\n"
        if self._trace is not None:
            self._trace.command = list(self._process.command)
            self._trace.written = {INPUT: line}
        answer = self._process.ask(line)
        stderr = self._process.stderr()
        if self._trace is not None:
            self._trace.read = {OUTPUT: answer, ERROR: stderr}
        _check_convergence(spec, (answer, stderr))
        return answer, (stderr, "")

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _outcome(spec: ProgramSpec, row: Vector, call: Call) -> Vector:
    """Check the parameters, call the program, and check its outcome."""
    check_ranges(row, spec.parameters, "invalid input")
    text, said = call(dict(zip(spec.parameters, row.tolist(), strict=True)))
    try:
        found = spec.read(text)
        check_ranges(found, spec.outputs, "invalid output")
    except CallFailed as failure:
        raise failure.with_said(*said) from None
    return found


def _check_convergence(spec: ProgramSpec, texts: Sequence[str]) -> None:
    if spec.nonconvergence is None:
        return
    if found := spec.nonconvergence.search(texts, spec.limits.timeout):
        raise CallFailed("nonconvergence", f"it wrote {found[0]!r}")
