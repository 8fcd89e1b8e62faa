"""Numbers as input decks want them: in columns of a fixed width, with Fortran's exponents."""

from __future__ import annotations

import re

from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import CallFailed

# Python's format specification for numbers, without what no deck has, and with Fortran's D.
# Zeros fill up from the left alone: behind a number they would be another number.
FORMAT = re.compile(
    r"(?:[<>^][+ -]?|[+ -]?0?)(?P<width>[1-9]\d{0,2})?(?:\.\d{1,2})?(?P<type>[dDeEfFgG]?)"
)
CHOICES = "such as 10.4f, >12.5e, 12.5D (Fortran), 6d (rounded to a whole number) or .3g"


def check_format(form: str, where: str) -> None:
    """Refuse a format that numbers can't be written in.

    Args:
        form: the text behind the colon, as in `${load:10.4f}`.
        where: names the place, for the message.

    Raises:
        InvalidOptionError: it is no such format.
    """
    found = FORMAT.fullmatch(form)
    if found is None or not form or (found["type"] == "d" and "." in form):
        raise InvalidOptionError(f"{where}: {form!r} is no format of a number, {CHOICES}")


def formatted(name: str, value: float, form: str) -> str:
    """A parameter in a format; without one, the shortest text that reads back as the same double.

    Raises:
        CallFailed: it does not fit into its columns ("invalid input"): nothing is cut or shifted.
    """
    if not form:
        return repr(value)
    found = FORMAT.fullmatch(form)
    assert found is not None  # as `check_format` has found
    if found["type"] == "d":
        text = format(round(value), form)
    elif found["type"] == "D":
        text = format(value, form[:-1] + "E").replace("E", "D")
    else:
        text = format(value, form)
    if found["width"] is not None and len(text) > int(found["width"]):
        raise CallFailed(
            "invalid input", f"{name} = {text.strip()} does not fit into {found['width']} columns"
        )
    return text
