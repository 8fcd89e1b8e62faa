"""Write the parameters of a call as a program's input text."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from nondiff.black_box.executable.command import ALL, Command, Values
from nondiff.black_box.executable.number_formats import check_format, formatted
from nondiff.errors import InvalidOptionError, NondiffError
from nondiff.processes.sandbox import CallFailed, check_file_name, read_regular_file
from nondiff.text import cut

Write = Callable[[Values], str]
Text = Literal["numbers", "json"] | Path | Callable[[Mapping[str, float]], str]
Writes = Literal["arguments"] | Text | Mapping[str, Text]
SHOWN = 40  # characters of a template that a message quotes
WAYS = "'arguments', 'numbers', 'json' or the path of a template, a function, or a dict of these"


def writer(writes: Writes, command: Command, names: Sequence[str]) -> Write:
    """Make the function from parameters to the text of the input file or standard input.

    Raises:
        InvalidOptionError: an unknown format, or parameters that would not reach the program.
    """
    if isinstance(writes, Mapping):
        return _nothing
    if isinstance(writes, Path):
        write, found = _template(writes)
        _check_named(f"the template {writes}", found, names)
        return write
    if writes != "arguments":
        return _text(writes)
    left_out = [name for name in names if not command.mentions & {ALL, name}]
    if left_out:
        raise InvalidOptionError(
            f"the command does not name {{{left_out[0]}}}, and writes = 'arguments'; name it, or "
            f"{{{ALL}}}, or choose another of {WAYS}"
        )
    return _nothing


def file_writers(writes: Writes, names: Sequence[str]) -> dict[str, Write]:
    """Make the functions from parameters to the texts of several files, by their names.

    Raises:
        InvalidOptionError: an unknown format, or a parameter that no template names.
    """
    if not isinstance(writes, Mapping):
        return {}
    if not writes:
        raise InvalidOptionError("writes = {} writes no file")
    writers: dict[str, Write] = {}
    found: set[str] = set()
    for name, way in writes.items():
        check_file_name("writes", name)
        if isinstance(way, Path):
            writers[name], own = _template(way)
            found |= own
        else:
            writers[name] = _text(way)
            found |= set(names)
    _check_named(f"the templates of {', '.join(writes)} together", found, names)
    return writers


def _text(way: object) -> Write:
    if way == "numbers":
        return _lines
    if way == "json":
        return _json
    if callable(way):
        return partial(_by_function, way)
    hint = "; a template is given as Path(...)" if isinstance(way, str) else ""
    raise InvalidOptionError(f"writes must be {WAYS}, not {cut(repr(way), SHOWN)}{hint}")


# These are functions of the module since nested functions can't be pickled.


def _lines(values: Values) -> str:
    return "".join(f"{value!r}\n" for value in values.values())


def _json(values: Values) -> str:
    return json.dumps(dict(values)) + "\n"


def _nothing(values: Values) -> str:
    return ""


class Deck(string.Template):
    """A template whose `${name:10.4f}` may say a format."""

    flags = re.ASCII | re.IGNORECASE
    braceidpattern = r"[_a-z][_a-z0-9]*(?::[^{}\n]*)?"


class _Written(dict[str, str]):
    """What `name` and `name:format` stand for."""

    def __init__(self, values: Values) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, mention: str) -> str:
        name, _, form = mention.partition(":")
        return formatted(name, self._values[name], form)


def _template(path: Path) -> tuple[Write, set[str]]:
    """Read a template; returns what fills it in, and the parameters that it names."""
    try:
        deck = Deck(read_regular_file(path).decode())  # line ends as they are
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"the template {path} can't be read: {error}") from None
    mentions = list(deck.pattern.finditer(deck.template))
    for mention in mentions:
        if mention["invalid"] is not None:
            rest = deck.template[mention.start() :].split("\n", 1)[0]
            raise InvalidOptionError(
                f"the template {path} has a $ without a name, in {cut(rest, SHOWN)!r}; write "
                "$name, ${name} or ${name:10.4f}, and $$ for a $"
            )
    named = {mention["named"] or mention["braced"] for mention in mentions} - {None}
    for text in sorted(named):
        _, colon, form = text.partition(":")
        if colon:
            check_format(form, f"the template {path}, ${{{text}}}")
    return partial(_substituted, deck), {text.partition(":")[0] for text in named}


def _check_named(what: str, found: set[str], names: Sequence[str]) -> None:
    unknown, missing = sorted(found - set(names)), sorted(set(names) - found)
    if unknown or missing:
        verb = f"names ${unknown[0]}" if unknown else f"does not name ${missing[0]}"
        raise InvalidOptionError(
            f"{what} {verb}; it must name all of {', '.join(names)}, as $name or ${{name:10.4f}}"
        )


def _substituted(deck: Deck, values: Values) -> str:
    return deck.substitute(_Written(values))


def _by_function(function: Callable[[Values], str], values: Values) -> str:
    try:
        text = function(dict(values))
    except NondiffError:
        raise
    except (Exception, SystemExit) as error:  # of a function of the user
        raise CallFailed(
            "invalid input", f"writes raised {type(error).__name__}: {error}"
        ) from None
    if not isinstance(text, str):
        raise CallFailed("invalid input", f"writes gave {type(text).__name__}, and no text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CallFailed("invalid input", f"writes gave no Unicode: {error.reason}") from None
    return text
