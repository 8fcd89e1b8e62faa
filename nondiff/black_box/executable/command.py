"""Command lines with placeholders for parameters and files."""

from __future__ import annotations

import shutil
import string
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, takewhile
from pathlib import Path

from nondiff.errors import InvalidOptionError, MissingDependencyError
from nondiff.processes.sandbox import check_file_name

Values = Mapping[str, float]

ALL, INPUT, OUTPUT = "parameters", "input", "output"  # placeholders beside parameter names
MARK, ANOTHER = "\x01", "\x02"  # stand for the file in question, and for other placeholders
ENDS = frozenset("\"'=:;,|&<>()@")  # end a file name, as white space does
OPEN = frozenset("$`*?" + ANOTHER)  # make a name depend on a shell or on other placeholders
DOUBLE = "double a brace that is meant as one: {{ }}"


class Command:
    """A command line whose placeholders, names in braces, are replaced in each call.

    Args:
        words: the program and its arguments. The argument `{parameters}` becomes one word per
            parameter; `{NAME}`, anywhere in an argument, a parameter; `{input}` and `{output}` the
            names of files, including an extension that follows, as in `{input}.inp`. The first
            word, the program, can't have placeholders.
        names: names of the parameters.
        input_file: name of the input file; None: "input" and the extension in the command.
        output_file: name of the output file, likewise.

    Attributes:
        mentions: the placeholders in use.
        input: name of the input file; None: there is none.
        output: name of the output file; None: there is none.

    Raises:
        InvalidOptionError: no words, an unknown placeholder, or a file whose name is not definite.
        MissingDependencyError: the program does not exist.
    """

    def __init__(
        self,
        words: Sequence[str],
        names: Sequence[str],
        input_file: str | None = None,
        output_file: str | None = None,
    ) -> None:
        if isinstance(words, str) or not words:
            raise InvalidOptionError(
                f"command must be a list of words, not {words!r}: no shell splits it"
            )
        program, *self._words = [str(word) for word in words]
        if wrong := [word for word in words if "\0" in str(word)]:
            raise InvalidOptionError(f"command: {wrong[0]!r} has a null character")
        if mentioned := _fields(program):
            raise InvalidOptionError(
                f"command: the program {program!r} itself can't name {{{mentioned[0]}}}; {DOUBLE}"
            )
        self.mentions = {name for word in self._words for name in _fields(word)}
        allowed = {ALL, INPUT, OUTPUT, *names}
        if unknown := sorted(self.mentions - allowed):
            raise InvalidOptionError(
                f"command names {{{unknown[0]}}}; choose from {', '.join(sorted(allowed))}, or "
                f"{DOUBLE}"
            )
        self.input = _file(INPUT, input_file, self._words)
        self.output = _file(OUTPUT, output_file, self._words)
        if self.input is not None and self.input == self.output:
            raise InvalidOptionError(f"the input and the output file can't both be {self.input!r}")
        self._program = program_path(program.format_map({}))
        self._files = {INPUT: input_file or INPUT, OUTPUT: output_file or OUTPUT}

    def filled(self, values: Values) -> list[str]:
        """The command line for given parameters."""
        texts = {name: repr(value) for name, value in values.items()}
        known = texts | self._files
        filled = [self._program]
        for word in self._words:
            filled += texts.values() if word == f"{{{ALL}}}" else [word.format_map(known)]
        return filled


def program_path(word: str) -> str:
    """The absolute path of a program, since it will run in another folder.

    Raises:
        MissingDependencyError: there is no program of that name.
    """
    found = shutil.which(word)
    if found is None:
        raise MissingDependencyError(
            f"the program {word!r} is missing: not a file that can be run, nor on PATH"
        )
    return str(Path(found).absolute())


def _fields(word: str) -> list[str]:
    try:
        found = list(string.Formatter().parse(word))
    except ValueError as error:
        raise InvalidOptionError(f"command: {word!r}: {error}; {DOUBLE}") from None
    for _, name, form, conversion in found:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise InvalidOptionError(f"command: {word!r} must have plain names in braces; {DOUBLE}")
        if name == ALL and word != f"{{{ALL}}}":
            raise InvalidOptionError(f"command: {{{ALL}}} must be a word of its own, not {word!r}")
    return [name for _, name, _, _ in found if name is not None]


def _file(field: str, given: str | None, words: Sequence[str]) -> str | None:
    """Determine the name of the input or output file; None: there is no such file.

    Raises:
        InvalidOptionError: the command does not define one definite name.
    """
    option = f"{field}_file"
    found = {mention for word in words for mention in _mentions(word, field)}
    endings = sorted({ending for _, ending in found})
    if given is not None:
        check_file_name(option, given)
        if wrong := [ending for ending in endings if ending]:
            raise InvalidOptionError(
                f"command: {{{field}}} stands for {option} = {given!r}, ending included: leave out "
                f"{wrong[0]!r} behind it"
            )
        return given
    for before, ending in sorted(found):
        if not OPEN.isdisjoint(ending) or not _is_apart(before):
            shown = f"{before}{{{field}}}{ending}".replace(ANOTHER, "{...}")
            raise InvalidOptionError(
                f"command: {shown!r} leaves the {field} file's name open; give it by {option}="
            )
    if len(endings) > 1:
        names = ", ".join(repr(field + ending) for ending in endings)
        raise InvalidOptionError(
            f"command gives the {field} file several names: {names}; say which by {option}=, and "
            "write the others out, without braces"
        )
    if endings:
        check_file_name("command", field + endings[0])
    return field + endings[0] if endings else None


def _mentions(word: str, field: str) -> list[tuple[str, str]]:
    """The text directly before and directly after each placeholder of a file in a word."""
    marks = dict.fromkeys(_fields(word), ANOTHER) | {field: MARK}
    parts = word.format_map(marks).split(MARK)
    return [(_joined(reversed(before))[::-1], _joined(after)) for before, after in pairwise(parts)]


def _joined(letters: Iterable[str]) -> str:
    """Join letters up to the first that ends a file name."""
    return "".join(takewhile(lambda letter: not (letter.isspace() or letter in ENDS), letters))


def _is_apart(text: str) -> bool:
    """Whether the text before a file name is empty, an option, or a shell variable."""
    return text in ("", "./") or "$" in text or (text.startswith("-") and "/" not in text)
