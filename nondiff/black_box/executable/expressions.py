"""Search a program's output for the user's regular expressions, with a time limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import regex

from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import CallFailed


@dataclass(frozen=True)
class Last:
    """A regular expression of which the last match counts, such as in a table of iterations.

    Args:
        expression: the expression, with one group around the number.
    """

    expression: str


class Expression:
    """A regular expression with a time limit, since some take exponential time.

    Args:
        what: the option that gave it, for messages.
        expression: in the syntax of Python's `re`; `^` and `$` match at each line. The first match
            counts, or with `Last` the last.
        groups: required number of groups; None: any.

    Raises:
        InvalidOptionError: an invalid expression, or a wrong number of groups.
    """

    def __init__(self, what: str, expression: str | Last, groups: int | None = None) -> None:
        self._what = what
        self._is_last = isinstance(expression, Last)
        self._text = expression.expression if isinstance(expression, Last) else expression
        try:
            if not isinstance(self._text, str):
                raise TypeError("it is not text")
            self._pattern: Any = regex.compile(self._text, regex.MULTILINE)
        except (regex.error, TypeError, ValueError) as error:
            raise InvalidOptionError(f"{what}: {self._text!r}: {error}") from None
        if groups is not None and self._pattern.groups != groups:
            raise InvalidOptionError(
                f"{what}: {self._text!r} must have one group, around the number"
            )

    def search(self, texts: Sequence[str], seconds: float) -> Any:
        """The match in the first text that has one; None: there is no match.

        Raises:
            CallFailed: a timeout: the search of a text took longer than `seconds`.
        """
        for text in texts:
            if found := self._search(text, seconds):
                return found
        return None

    def _search(self, text: str, seconds: float) -> Any:
        try:
            if not self._is_last:
                return self._pattern.search(text, timeout=seconds)
            found = None
            for match in self._pattern.finditer(text, timeout=seconds):
                found = match
            return found
        except TimeoutError:
            raise CallFailed(
                "timeout",
                f"{self._what}: searching {len(text):,} characters for {self._text!r} took more "
                f"than {seconds:g} s",
            ) from None
