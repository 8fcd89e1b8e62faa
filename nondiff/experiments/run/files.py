"""Small files that are replaced atomically."""

from __future__ import annotations

import json
from typing import Any

from nondiff.errors import RunError
from nondiff.files.kinds import in_words
from nondiff.files.safe_path import SafePath
from nondiff.files.untrusted_json import MAX_BYTES, parse_json


def write_json(path: SafePath, data: Any) -> None:
    """Replace a JSON file atomically and durably."""
    replace_text(path, json.dumps(data, indent=1))


def replace_text(path: SafePath, text: str) -> None:
    """Replace a text file atomically and durably, its line ends as they are."""
    path.write(text.encode())


def read_json(path: SafePath) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        RunError: it can't be read, is too large or too deep, or holds no object.
    """
    try:
        data = parse_json(path.read(MAX_BYTES))
    except OSError as error:
        raise RunError(in_words(error)) from error
    except ValueError as error:
        raise RunError(f"{path} can't be read: {error}") from error
    if not isinstance(data, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object")
    return data
