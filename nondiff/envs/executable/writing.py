"""How a program is given its parameters."""

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from nondiff.envs.errors import InvalidOptionError, MissingDependencyError

Writes = Literal["arguments", "numbers", "json"] | Path
Values = Mapping[str, float]

ALL, INPUT, OUTPUT = "parameters", "input", "output"  # what a command may name in braces
WAYS = "'arguments', 'numbers', 'json' or the path of a template"


def program_path(word: str) -> str:
    """Where a program is, for it runs in another folder.

    Raises:
        MissingDependencyError: there is none of that name.
    """
    found = shutil.which(word)
    if found is None:
        raise MissingDependencyError(
            f"the program {word!r} is missing: not a file that can be run, nor on PATH"
        )
    return str(Path(found).absolute())


class Command:
    """The words of a command, in which names in braces are replaced.

    Args:
        words: `{parameters}` as a word of its own becomes one word for each parameter; `{NAME}` a
            parameter, anywhere in a word; `{input}` and `{output}` names of files.
        names: of the parameters.

    Raises:
        InvalidOptionError: no words, or a name in braces that is none of these.
        MissingDependencyError: the first word is no program.
    """

    def __init__(self, words: Sequence[str], names: Sequence[str]) -> None:
        if isinstance(words, str) or not words:
            raise InvalidOptionError(
                f"command must be a list of words, not {words!r}: no shell splits it"
            )
        self._words = [str(word) for word in words]
        self.mentions = {name for word in self._words for name in _fields(word)}
        allowed = {ALL, INPUT, OUTPUT, *names}
        if unknown := sorted(self.mentions - allowed):
            raise InvalidOptionError(
                f"command names {{{unknown[0]}}}; choose from {', '.join(sorted(allowed))}"
            )
        self._words[0] = program_path(self._words[0])

    def filled(self, values: Values) -> list[str]:
        """The words for some parameters."""
        texts = {name: repr(value) for name, value in values.items()}
        known = texts | {INPUT: INPUT, OUTPUT: OUTPUT}
        filled: list[str] = []
        for word in self._words:
            filled += texts.values() if word == f"{{{ALL}}}" else [word.format_map(known)]
        return filled


def _fields(word: str) -> list[str]:
    try:
        found = list(string.Formatter().parse(word))
    except ValueError as error:
        raise InvalidOptionError(
            f"command: {word!r}: {error}; double a brace meant as one"
        ) from None
    for _, name, form, conversion in found:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise InvalidOptionError(
                f"command: {word!r} must have plain names in braces; double a brace meant as one"
            )
        if name == ALL and word != f"{{{ALL}}}":
            raise InvalidOptionError(f"command: {{{ALL}}} must be a word of its own, not {word!r}")
    return [name for _, name, _, _ in found if name is not None]


def writer(writes: Writes, command: Command, names: Sequence[str]) -> Callable[[Values], str]:
    """What writes parameters as the text of the input file, or of the standard input.

    Raises:
        InvalidOptionError: an unknown way, or parameters that would not reach the program.
    """
    if isinstance(writes, Path):
        return _template(writes, names)
    if writes == "numbers":
        return lambda values: "".join(f"{value!r}\n" for value in values.values())
    if writes == "json":
        return lambda values: json.dumps(dict(values)) + "\n"
    if writes != "arguments":
        raise InvalidOptionError(f"writes must be {WAYS}, not {writes!r}")
    left_out = [name for name in names if not command.mentions & {ALL, name}]
    if left_out:
        raise InvalidOptionError(
            f"the command does not name {{{left_out[0]}}}, and writes = 'arguments'; name it, or "
            f"{{{ALL}}}, or choose another of {WAYS}"
        )
    return lambda values: ""


def _template(path: Path, names: Sequence[str]) -> Callable[[Values], str]:
    """A file in which `$name` or `${name}` stands for a parameter, and `$$` for a dollar."""
    try:
        template = string.Template(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"the template {path} can't be read: {error}") from None
    if not template.is_valid():
        raise InvalidOptionError(f"the template {path} has a $ without a name; write $$ for a $")
    found = set(template.get_identifiers())
    if found != set(names):
        wrong = sorted(found.symmetric_difference(names))[0]
        verb = "names" if wrong in found else "does not name"
        raise InvalidOptionError(
            f"the template {path} {verb} ${wrong}; it must name {', '.join(names)}"
        )
    return lambda values: template.substitute({name: repr(v) for name, v in values.items()})
