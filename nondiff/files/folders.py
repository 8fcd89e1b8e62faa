"""Folders that appear whole, and folders that are removed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from contextlib import suppress

from nondiff.files.kinds import FOLDER_FLAGS, kind_of, stat_in
from nondiff.files.safe_path import SafePath

RANDOM_BYTES = 4  # of a name


def new_folder(parent: SafePath, prefix: str) -> SafePath:
    """A folder of a name that is not there yet; only its owner can enter it."""
    new = parent / f"{prefix}{secrets.token_hex(RANDOM_BYTES)}"
    with parent.opened() as folder, new.named():
        os.mkdir(new.name, 0o700, dir_fd=folder)
    return new


def share(folder: SafePath) -> None:
    """Let everybody read a new folder."""
    with folder.opened() as descriptor:
        os.fchmod(descriptor, 0o755)


def publish(folder: SafePath, name: str) -> SafePath:
    """Let everybody read a new folder, and give it its name, durably."""
    share(folder)
    renamed = folder.rename_to(name)
    folder.parent.sync()
    return renamed


def remove_made(folder: SafePath, names: Collection[str]) -> bool:
    """Remove the files of these names in a folder, and then the folder if nothing else is in it.

    Returns:
        Whether nothing is left.
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
    """Remove a folder with all that is in it, however deep, and follow no link.

    Folders in folders are moved up before they are removed, so that none is ever entered further
    than one level.

    Raises:
        OSError: something can't be removed.
    """
    with tree.opened() as top:
        while folders := _emptied(top):
            for name in folders:
                _lift(top, name)
    remove_made(tree, ())


def _emptied(folder: int) -> list[str]:
    """Remove all but the folders in a folder; returns their names."""
    folders = []
    for name in os.listdir(folder):
        if kind_of(stat_in(folder, name).st_mode) == "folder":
            folders.append(name)
        else:
            os.unlink(name, dir_fd=folder)
    return folders


def _lift(top: int, name: str) -> None:
    """Move the folders in a folder of `top` up into `top`, and remove it."""
    os.chmod(name, 0o700, dir_fd=top)  # whatever its maker allowed
    folder = os.open(name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=top)
    try:
        for inner in _emptied(folder):
            os.chmod(inner, 0o700, dir_fd=folder)  # or it can't be moved
            os.rename(inner, secrets.token_hex(8), src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)
