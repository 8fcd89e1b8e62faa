"""Executable: a black box made of a program that can be run."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nondiff.envs.black_box import FunctionBox
from nondiff.envs.black_box.function import Pool as ContextPool
from nondiff.envs.errors import InvalidOptionError
from nondiff.envs.executable.program import Description, Program
from nondiff.envs.executable.quantities import Quantities, quantities
from nondiff.envs.executable.reading import Reads, reader
from nondiff.envs.executable.writing import ALL, INPUT, OUTPUT, Command, Writes, writer
from nondiff.envs.process import MOST_FAILURES, Limits

Vector = NDArray[np.float64]
RESERVED = (ALL, INPUT, OUTPUT)


class Executable(FunctionBox):
    """A program of any language, asked to give what each context requests.

    Each call runs in a process that is supervised (`nondiff.envs.process`), in an empty folder of
    its own. What goes wrong is a failed row of a kind that `failures` counts: "start failure",
    "timeout", "crash", "nonconvergence", "invalid output" (not the numbers that were promised, or
    out of their bounds) or "invalid input". Episodes, actions, observations and rewards are those
    of `FunctionBox`.

    Args:
        command: the program and its arguments, a list of words that no shell looks at. In it
            `{parameters}` as a word becomes one word for each parameter, `{NAME}` that parameter,
            and `{input}` and `{output}` names of files in the program's folder. The program may be
            a relative path; other files are given by absolute paths, or by `files`.
        parameters: (low, high, unit) of each parameter, by name.
        outputs: (low, high, unit) of each entry of the outcome, by name: what it can be at all.
        contexts: (contexts, context) from which episodes draw: requested outcomes, unless a reward
            says otherwise.
        writes: "arguments" of the command; "numbers", one a line; "json", an object; or the path of
            a template, in which `$name` stands for a parameter. All but the first go to the file
            `{input}` if the command names it, and otherwise to the standard input.
        reads: "numbers" of a text; "json", an object or a list; a regular expression with one group
            for each output; or a function of the text. The text is that of the file `{output}` if
            the command names it, and otherwise the standard output.
        persistent: the program stays, and answers each line with a line; "numbers" are one line
            then.
        workers: processes at once in a batch; None: one for each processor.
        limits: time of a call, memory, size of files, network.
        accept: exit codes that may mean success; None: any. Outputs are checked either way.
        nonconvergence: regular expression of what it writes when it finds no answer.
        files: texts or paths by the names under which they lie in the program's folder.
        environment: variables beside PATH, LANG, HOME and TMPDIR.
        most_failures: failures in a row that end a training; None: any number.
        scale, reward, failure_reward, pool, jacobian, vjp, gradient_cost, twin: see `FunctionBox`.

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
        persistent: bool = False,
        workers: int | None = None,
        limits: Limits | None = None,
        accept: Collection[int] | None = (0,),
        nonconvergence: str | None = None,
        files: Mapping[str, str | Path] | None = None,
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
    ) -> None:
        self.inputs = quantities(parameters, "parameters")
        self.results = quantities(outputs, "outputs")
        if taken := [name for name in RESERVED if name in self.inputs]:
            raise InvalidOptionError(f"no parameter can be called {taken[0]!r}")
        names = list(self.inputs)
        words = Command(command, names)
        if persistent:
            _check_persistent(words, writes, names)
        description = Description(
            words,
            self.inputs,
            self.results,
            writer(writes, words, names),
            reader(reads, list(self.results)),
            {name: _content(name, text) for name, text in (files or {}).items()},
            limits or Limits(),
            accept,
            _nonconvergence(nonconvergence),
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
        )


def _check_persistent(command: Command, writes: Writes, names: Sequence[str]) -> None:
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


def _content(name: str, text: str | Path) -> str:
    if Path(name).name != name or name in RESERVED:
        raise InvalidOptionError(f"files: {name!r} is no plain name, or one that is taken")
    try:
        return text.read_text() if isinstance(text, Path) else text
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"files: {name}: {error}") from None


def _nonconvergence(expression: str | None) -> re.Pattern[str] | None:
    try:
        return None if expression is None else re.compile(expression)
    except re.error as error:
        raise InvalidOptionError(f"nonconvergence: {expression!r}: {error}") from None
