"""Files that the user named to be written: each appears whole, through no link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nondiff.files.folders import new_folder, remove_tree
from nondiff.files.safe_path import SafePath

PARTIAL = ".partial-"  # begins the name of a folder in which a file is being made


def check_output(path: Path) -> None:
    """Refuse a file that can't be replaced.

    Raises:
        UnsafePathError: a link, a folder or a special file is there.
        OSError: there is no such folder.
    """
    _target(path).check_file()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path of the same suffix, whose file takes the place of `path` at the end.

    It is in a new folder beside it, where nobody can have put anything.

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
    """Write a file that is not there yet, atomically and durably.

    Raises:
        FileExistsError: anything is there.
    """
    target = _target(path)
    with target.named():
        folder = new_folder(target.parent, PARTIAL)
    try:
        new = folder / target.name
        new.write_new(data)
        os.link(new.path, target.path)  # which never replaces a file
    finally:
        remove_tree(folder)


def remove_output(path: Path) -> None:
    """Remove a file that was just written."""
    _target(path).remove_file()


def _target(path: Path) -> SafePath:
    return SafePath.of_file(Path(os.path.abspath(path)))  # noqa: PTH100 - follows no link
