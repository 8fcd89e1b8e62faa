"""Write the parameters of a call as a program's input text."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from nondiff.black_box.executable.command import ALL, Command, Values
from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import read_regular_file

Writes = Literal["arguments", "numbers", "json"] | Path
WAYS = "'arguments', 'numbers', 'json' or the path of a template"


def writer(writes: Writes, command: Command, names: Sequence[str]) -> Callable[[Values], str]:
    """Make the function from parameters to the text of the input file or standard input.

    Raises:
        InvalidOptionError: an unknown format, or parameters that would not reach the program.
    """
    if isinstance(writes, Path):
        return _template(writes, names)
    if writes == "numbers":
        return _lines
    if writes == "json":
        return _json
    if writes != "arguments":
        raise InvalidOptionError(f"writes must be {WAYS}, not {writes!r}")
    left_out = [name for name in names if not command.mentions & {ALL, name}]
    if left_out:
        raise InvalidOptionError(
            f"the command does not name {{{left_out[0]}}}, and writes = 'arguments'; name it, or "
            f"{{{ALL}}}, or choose another of {WAYS}"
        )
    return _nothing


# These are functions of the module since nested functions can't be pickled.


def _lines(values: Values) -> str:
    return "".join(f"{value!r}\n" for value in values.values())


def _json(values: Values) -> str:
    return json.dumps(dict(values)) + "\n"


def _nothing(values: Values) -> str:
    return ""


def _template(path: Path, names: Sequence[str]) -> Callable[[Values], str]:
    """Read a template, in which `$name` or `${name}` stands for a parameter and `$$` for a $."""
    try:
        template = string.Template(read_regular_file(path).decode())  # line ends as they are
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"the template {path} can't be read: {error}") from None
    mentions = list(template.pattern.finditer(template.template))
    if any(mention["invalid"] is not None for mention in mentions):
        raise InvalidOptionError(f"the template {path} has a $ without a name; write $$ for a $")
    found = {mention["named"] or mention["braced"] for mention in mentions} - {None}
    if found != set(names):
        wrong = sorted(found.symmetric_difference(names))[0]
        verb = "names" if wrong in found else "does not name"
        raise InvalidOptionError(
            f"the template {path} {verb} ${wrong}; it must name {', '.join(names)}"
        )
    return partial(_substituted, template)


def _substituted(template: string.Template, values: Values) -> str:
    return template.substitute({name: repr(value) for name, value in values.items()})
