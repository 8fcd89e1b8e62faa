"""Small files that are replaced whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nondiff.envs.errors import RunError


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file whole, durably."""
    replace_text(path, json.dumps(data, indent=1))


def replace_text(path: Path, text: str) -> None:
    """Replace a text file whole, durably, its line ends as they are."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        RunError: it can't be read, or holds none.
    """
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read: {error}") from error
    if not isinstance(data, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object")
    return data
