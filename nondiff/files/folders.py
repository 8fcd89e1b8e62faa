"""Create folders atomically, and remove folders."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from contextlib import suppress

from nondiff.files.kinds import FOLDER_FLAGS, kind_of, stat_in
from nondiff.files.safe_path import SafePath

RANDOM_BYTES = 4  # of a name


def new_folder(parent: SafePath, prefix: str) -> SafePath:
    """Create a folder with a random name that only its owner can enter."""
    new = parent / f"{prefix}{secrets.token_hex(RANDOM_BYTES)}"
    with parent.opened() as folder, new.named():
        os.mkdir(new.name, 0o700, dir_fd=folder)
    return new


def share(folder: SafePath) -> None:
    """Make a new folder readable by everybody."""
    with folder.opened() as descriptor:
        os.fchmod(descriptor, 0o755)


def publish(folder: SafePath, name: str) -> SafePath:
    """Make a new folder readable by everybody, and rename it to its final name durably."""
    share(folder)
    renamed = folder.rename_to(name)
    folder.parent.sync()
    return renamed


def remove_made(folder: SafePath, names: Collection[str]) -> bool:
    """Remove the named files of a folder, then the folder if it is empty.

    Returns:
        Whether the folder is gone.
    """
    if folder.kind() is None:
        return True
    with folder.opened() as descriptor:
        for name in set(names).intersection(os.listdir(descriptor)):  # noqa: PTH208
            with suppress(OSError):
                is_folder = kind_of(stat_in(descriptor, name).st_mode) == "folder"
                (os.rmdir if is_folder else os.unlink)(name, dir_fd=descriptor)
    with folder.parent_opened() as parent, suppress(OSError):
        os.rmdir(folder.last, dir_fd=parent)
        return True
    return False


def remove_tree(tree: SafePath) -> None:
    """Remove a folder and its contents, however deep, following no links.

    Nested folders are moved up before they are removed, so that the walk never goes deeper than one
    level.

    Raises:
        OSError: something can't be removed.
    """
    with tree.opened() as top:
        while folders := _emptied(top):
            for name in folders:
                _lift(top, name)
    remove_made(tree, ())


def _emptied(folder: int) -> list[str]:
    """Remove everything but folders from a folder; returns the names of those folders."""
    folders = []
    for name in os.listdir(folder):
        if kind_of(stat_in(folder, name).st_mode) == "folder":
            folders.append(name)
        else:
            os.unlink(name, dir_fd=folder)
    return folders


def _lift(top: int, name: str) -> None:
    """Move the subfolders of `top/name` up into `top`, and remove `top/name`."""
    os.chmod(name, 0o700, dir_fd=top)  # whatever its permissions were
    folder = os.open(name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=top)
    try:
        for inner in _emptied(folder):
            os.chmod(inner, 0o700, dir_fd=folder)  # or it can't be moved
            os.rename(inner, secrets.token_hex(8), src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)
