"""Executable: a black box made of an external program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nondiff.black_box import FunctionBox
from nondiff.black_box.executable.command import ALL, INPUT, OUTPUT, Command
from nondiff.black_box.executable.expressions import Expression
from nondiff.black_box.executable.program import Program, ProgramSpec
from nondiff.black_box.executable.quantities import Quantities, Quantity, quantities
from nondiff.black_box.executable.reading import Reads, reader
from nondiff.black_box.executable.writing import Writes, file_writers, writer
from nondiff.black_box.function import ContextPool
from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import MAX_FAILURES, Limits, check_distinct, read_files

Vector = NDArray[np.float64]
RESERVED = (ALL, INPUT, OUTPUT)


class Executable(FunctionBox):
    """A program in any language, whose outcome should match what each context requests.

    Each call runs in a supervised process (`nondiff.processes.sandbox`) in its own empty folder. A
    call that goes wrong is a failed row; `failures` counts them by kind: "start failure",
    "timeout", "crash", "nonconvergence", "invalid output" (not the declared numbers, or out of
    their bounds) or "invalid input". Episodes, actions, observations and rewards are those of
    `FunctionBox`.

    Args:
        command: the program and its arguments, a list of words that no shell interprets. The word
            `{parameters}` becomes one word per parameter, `{NAME}` the parameter of that name, and
            `{input}` and `{output}` the names of files in the program's folder, with an extension
            if one follows, as in `{input}.inp`. The program may be a relative path; give other
            files by absolute paths, or by `files`. Double a literal brace.
        parameters: (low, high, unit) of each parameter, by name.
        outputs: (low, high, unit) of each entry of the outcome, by name: the possible values.
        contexts: (contexts, context) from which episodes sample: requested outcomes, unless
            `reward` defines them differently.
        writes: how the program gets its parameters: "arguments" of the command; "numbers", one per
            line; "json", an object; the path of a template, in which `$name` stands for a parameter
            and `${name:10.4f}` for one in columns; or a function of the parameters by name, to a
            text. All but the first go to the input file if the command names one, and otherwise to
            the standard input. A dict of these writes several files, by their names.
        reads: how its outcome is parsed: "numbers" in a text; "json", an object or a list; a dict
            of one regular expression per output, with one group, of which the first match counts,
            or with `Last` the last; or a function of the text. The text is the output file if the
            command names one, and otherwise the standard output. Fortran's notation of numbers is
            understood; see `decimals.number`.
        input_file: name of the input file, for a program that is not told it or that adds an
            extension; None: the name in the command.
        output_file: name of the output file, likewise.
        persistent: whether the program keeps running and answers each line with a line; "numbers"
            are then written on one line.
        workers: maximum number of concurrent processes; None: one per core.
        limits: maximum time of a call, and of each regular-expression search in its output; memory,
            size of files, network.
        accept: exit codes that may mean success; None: any. Outputs are checked in any case.
        nonconvergence: regular expression for the message of a program that finds no answer, in its
            standard output, standard error or output file; checked before the exit code.
        files: contents of further input files, by their names in the program's folder, such as
            `data/mesh.bin`: text, bytes, or the path of a file or folder. Paths are read once, now;
            executable files stay executable.
        environment: variables in addition to PATH, LANG, HOME and TMPDIR.
        max_failures: consecutive failures that end training; None: no limit.
        scale, reward, failure_reward, pool, jacobian, vjp, gradient_cost, twin, context_names: see
            `FunctionBox`.
        most_failures: the old name of `max_failures`.

    Raises:
        InvalidOptionError: names the invalid argument and the valid choices.
        MissingDependencyError: the program does not exist.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        parameters: Quantities,
        outputs: Quantities,
        contexts: ArrayLike,
        writes: Writes = "arguments",
        reads: Reads = "numbers",
        input_file: str | None = None,
        output_file: str | None = None,
        persistent: bool = False,
        workers: int | None = None,
        limits: Limits | None = None,
        accept: Collection[int] | None = (0,),
        nonconvergence: str | None = None,
        files: Mapping[str, str | bytes | Path] | None = None,
        environment: Mapping[str, str] | None = None,
        max_failures: int | None = MAX_FAILURES,
        scale: ArrayLike = 1.0,
        reward: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        failure_reward: float = -100.0,
        pool: ContextPool = "all",
        jacobian: Callable[[Vector], Any] | None = None,
        vjp: Callable[[Vector, Vector], Any] | None = None,
        gradient_cost: int = 1,
        twin: Callable[[Tensor], Tensor] | None = None,
        context_names: Sequence[str] | None = None,
        most_failures: int | None = MAX_FAILURES,
    ) -> None:
        self.inputs = quantities(parameters, "parameters")
        self.results = quantities(outputs, "outputs")
        if taken := [name for name in RESERVED if name in self.inputs]:
            raise InvalidOptionError(f"no parameter can be called {taken[0]!r}")
        names = list(self.inputs)
        _check_accept(accept)
        _check_environment(environment or {})
        words = Command(command, names, input_file, output_file)
        if persistent:
            _check_persistent(words, writes)
        if words.input is not None and writes == "arguments":
            raise InvalidOptionError(
                f"writes = 'arguments' writes no input file, and {words.input!r} is one; choose "
                "another of writes"
            )
        written = file_writers(writes, names)
        if words.input is not None and written:
            raise InvalidOptionError(
                f"writes names its files itself: the input file {words.input!r} would be another"
            )
        contents = read_files(files or {})
        taken_names = [name for name in (words.input, words.output, *written) if name is not None]
        check_distinct("files", [*contents, *taken_names])
        limits = limits or Limits()
        spec = ProgramSpec(
            words,
            self.inputs,
            self.results,
            writer(writes, words, names),
            written,
            reader(reads, list(self.results), limits.timeout),
            contents,
            limits,
            accept,
            None if nonconvergence is None else Expression("nonconvergence", nonconvergence),
            dict(environment or {}),
        )
        bounds = np.array([(q.low, q.high) for q in self.inputs.values()])
        super().__init__(
            Program(spec, persistent, workers, _either(max_failures, most_failures)),
            low=bounds[:, 0],
            high=bounds[:, 1],
            contexts=contexts,
            scale=scale,
            reward=reward,
            outcomes=len(self.results),
            failure_reward=failure_reward,
            pool=pool,
            jacobian=jacobian,
            vjp=vjp,
            gradient_cost=gradient_cost,
            twin=twin,
            parameter_names=_labels(self.inputs),
            outcome_names=_labels(self.results),
            context_names=context_names,
        )


def _either(limit: int | None, old: int | None) -> int | None:
    """The limit of failures, given by its new or its old keyword."""
    return limit if old == MAX_FAILURES else old


def _labels(found: Mapping[str, Quantity]) -> list[str]:
    return [f"{name} [{one.unit}]" if one.unit else name for name, one in found.items()]


def _check_accept(accept: object) -> None:
    codes = accept if isinstance(accept, list | tuple | set | frozenset | range) else None
    if accept is not None and (codes is None or any(type(code) is not int for code in codes)):
        raise InvalidOptionError(
            f"accept must be exit codes, such as (0, 1), or None for any, not {accept!r}"
        )


def _check_environment(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        words = (name, value)
        if not all(isinstance(word, str) and "\0" not in word for word in words):
            raise InvalidOptionError(f"environment: {name!r}: {value!r} must both be text")
        if not name or "=" in name:
            raise InvalidOptionError(f"environment: {name!r} can't name a variable")


def _check_persistent(command: Command, writes: Writes) -> None:
    if command.input is not None or command.output is not None:
        raise InvalidOptionError(
            "a persistent program is asked on its input and answers on its output: its command "
            "can't name {input} or {output}, nor is there an input_file or output_file"
        )
    if command.mentions:
        raise InvalidOptionError(
            f"a persistent program is not started for each call: its command can't name "
            f"{{{sorted(command.mentions)[0]}}}"
        )
    if writes not in ("numbers", "json") and not callable(writes):
        raise InvalidOptionError(
            "a persistent program is written to on its input: writes must be 'numbers' or 'json', "
            f"or a function, not {writes!r}"
        )
