"""Write files that the user named, atomically and through no link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nondiff.files.folders import new_folder, remove_tree
from nondiff.files.safe_path import SafePath

PARTIAL = ".partial-"  # prefix of the temporary folder in which a file is written


def check_output(path: Path) -> None:
    """Raise if a file can't be written at a path.

    Raises:
        UnsafePathError: a link, a folder or a special file is there.
        OSError: its folder does not exist.
    """
    _target(path).check_file()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; on success its file replaces `path` atomically.

    The temporary file lies in a new folder beside `path`, which no other user can enter.

    Raises:
        UnsafePathError: a link, a folder or a special file is there.
    """
    target = _target(path)
    target.check_file()
    with target.named():
        folder = new_folder(target.parent, PARTIAL)
    try:
        new = folder / target.name
        yield new.path
        target.check_file()
        os.replace(new.path, target.path)  # noqa: PTH105
    finally:
        remove_tree(folder)


def write_output(path: Path, data: bytes) -> None:
    """Write a new file atomically and durably.

    Raises:
        FileExistsError: the path exists.
    """
    target = _target(path)
    with target.named():
        folder = new_folder(target.parent, PARTIAL)
    try:
        new = folder / target.name
        new.write_new(data)
        os.link(new.path, target.path)  # never replaces a file
    finally:
        remove_tree(folder)


def remove_output(path: Path) -> None:
    """Remove a file that was just written."""
    _target(path).remove_file()


def _target(path: Path) -> SafePath:
    return SafePath.of_file(Path(os.path.abspath(path)))  # noqa: PTH100 - follows no link
