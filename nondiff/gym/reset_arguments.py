"""Options of `reset` that are none are refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nondiff.errors import InvalidOptionError


def check_options(options: Any) -> None:
    """Refuse options of a reset that are neither None nor a mapping.

    Raises:
        InvalidOptionError: names them.
    """
    if not (options is None or isinstance(options, Mapping)):
        raise InvalidOptionError(f"options must be a dict or None, not {options!r}")
