"""Validate the options of `reset`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nondiff.errors import InvalidOptionError


def check_options(options: Any) -> None:
    """Require None or a mapping as the options of a reset.

    Raises:
        InvalidOptionError: names the value.
    """
    if not (options is None or isinstance(options, Mapping)):
        raise InvalidOptionError(f"options must be a dict or None, not {options!r}")
