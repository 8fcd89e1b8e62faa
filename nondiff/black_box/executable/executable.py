"""Executable: a black box made of a program that can be run."""

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
from nondiff.black_box.executable.program import Description, Program
from nondiff.black_box.executable.quantities import Quantities, Quantity, quantities
from nondiff.black_box.executable.reading import Reads, reader
from nondiff.black_box.executable.writing import Writes, writer
from nondiff.black_box.function import Pool as ContextPool
from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import MOST_FAILURES, Limits, check_apart, read_files

Vector = NDArray[np.float64]
RESERVED = (ALL, INPUT, OUTPUT)


class Executable(FunctionBox):
    """A program of any language, asked to give what each context requests.

    Each call runs in a process that is supervised (`nondiff.processes.sandbox`), in an empty folder
    of its own. What goes wrong is a failed row of a kind that `failures` counts: "start failure",
    "timeout", "crash", "nonconvergence", "invalid output" (not the numbers that were promised, or
    out of their bounds) or "invalid input". Episodes, actions, observations and rewards are those
    of `FunctionBox`.

    Args:
        command: the program and its arguments, a list of words that no shell looks at. In it
            `{parameters}` as a word becomes one word for each parameter, `{NAME}` that parameter,
            and `{input}` and `{output}` names of files in the program's folder, an ending such as
            `{input}.inp` included. The program may be a relative path; other files are given by
            absolute paths, or by `files`. A brace that is meant as one is doubled.
        parameters: (low, high, unit) of each parameter, by name.
        outputs: (low, high, unit) of each entry of the outcome, by name: what it can be at all.
        contexts: (contexts, context) from which episodes draw: requested outcomes, unless a reward
            says otherwise.
        writes: "arguments" of the command; "numbers", one a line; "json", an object; or the path of
            a template, in which `$name` stands for a parameter. All but the first go to the input
            file if the command names it, and otherwise to the standard input.
        reads: "numbers" of a text; "json", an object or a list; a dict with a regular
            expression for each output, with one group, whose first match counts, or with `Last` the
            last; or a function of the text. The text is that of the output file if the command
            names it, and otherwise the standard output. Numbers may be written as
            Fortran does, see `decimals.number`.
        input_file: name of the input file, for a program that is not told it or adds an ending;
            None: that in the command.
        output_file: that of the output file, likewise.
        persistent: the program stays, and answers each line with a line; "numbers" are one line
            then.
        workers: processes at once in a batch; None: one for each processor.
        limits: time of a call, and of each search for a regular expression in what it wrote;
            memory, size of files, network.
        accept: exit codes that may mean success; None: any. Outputs are checked either way.
        nonconvergence: regular expression of what it writes when it finds no answer, to its
            output, its error output or the output file; it counts before the exit code does.
        files: texts, bytes, or paths of files or folders, by the names under which they lie in the
            program's folder, `data/mesh.bin` say. Paths are read once, when this is made; a file
            that can be run stays one.
        environment: variables beside PATH, LANG, HOME and TMPDIR.
        most_failures: failures in a row that end a training; None: any number.
        scale, reward, failure_reward, pool, jacobian, vjp, gradient_cost, twin, context_names: see
            `FunctionBox`.

    Raises:
        InvalidOptionError: names the argument that can't be used, and what can.
        MissingDependencyError: there is no such program.
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
        most_failures: int | None = MOST_FAILURES,
        scale: ArrayLike = 1.0,
        reward: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        failure_reward: float = -100.0,
        pool: ContextPool = "all",
        jacobian: Callable[[Vector], Any] | None = None,
        vjp: Callable[[Vector, Vector], Any] | None = None,
        gradient_cost: int = 1,
        twin: Callable[[Tensor], Tensor] | None = None,
        context_names: Sequence[str] | None = None,
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
        contents = read_files(files or {})
        taken_names = [name for name in (words.input, words.output) if name is not None]
        check_apart("files", [*contents, *taken_names])
        limits = limits or Limits()
        description = Description(
            words,
            self.inputs,
            self.results,
            writer(writes, words, names),
            reader(reads, list(self.results), limits.timeout),
            contents,
            limits,
            accept,
            None if nonconvergence is None else Expression("nonconvergence", nonconvergence),
            dict(environment or {}),
        )
        bounds = np.array([(q.low, q.high) for q in self.inputs.values()])
        super().__init__(
            Program(description, persistent, workers, most_failures),
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
            raise InvalidOptionError(f"environment: {name!r}: {value!r} are no texts")
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
    if writes not in ("numbers", "json"):
        raise InvalidOptionError(
            f"a persistent program is written to on its input: writes must be 'numbers' or 'json', "
            f"not {writes!r}"
        )
