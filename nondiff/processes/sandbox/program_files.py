"""Files that a program finds in its folder."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nondiff.errors import InvalidOptionError

LONGEST_NAME = 255  # [bytes] of a name in a folder


@dataclass(frozen=True)
class FileContent:
    """What a file holds.

    Args:
        data: its bytes.
        is_executable: whether it may be run as a program.
    """

    data: bytes
    is_executable: bool = False


Content = str | bytes | FileContent


def check_file_name(what: str, name: str) -> None:
    """Refuse a name that leads out of a program's folder, or is none.

    Args:
        what: the option that it was given as.
        name: of a file, relative to the folder; it may lie in folders in it.

    Raises:
        InvalidOptionError: says which name.
    """
    parts = name.split("/") if isinstance(name, str) else []
    odd = any(part in ("", ".", "..") or len(part.encode()) > LONGEST_NAME for part in parts)
    if not parts or "\0" in name or odd:
        raise InvalidOptionError(
            f"{what}: {name!r} can't name a file in the program's folder: give a relative path, "
            "such as 'mesh.bin' or 'data/mesh.bin', without '.' and '..'"
        )


def check_apart(what: str, names: Sequence[str]) -> None:
    """Refuse names of which one is given twice, or would be a folder for another.

    Raises:
        InvalidOptionError: says which.
    """
    for name, times in Counter(names).items():
        if times > 1:
            raise InvalidOptionError(f"{what}: {name!r} is the name of {times} files")
        for folder in map(str, PurePosixPath(name).parents):
            if folder in names:
                raise InvalidOptionError(f"{what}: {folder!r} is a file, and a folder for {name!r}")


def read_files(given: Mapping[str, str | bytes | Path]) -> dict[str, Content]:
    """The contents of files by their names, those of paths as they are now.

    Args:
        given: a text, bytes, or the path of a file or a folder, by name.

    Raises:
        InvalidOptionError: a name or a content that can't be used.
    """
    found: dict[str, Content] = {}
    for name, content in given.items():
        check_file_name("files", name)
        if isinstance(content, Path):
            found |= _of_path(name, content)
        elif isinstance(content, str | bytes):
            found[name] = content
        else:
            raise InvalidOptionError(
                f"files: {name} must be a text, bytes or a Path, not {content!r}"
            )
    check_apart("files", list(found))
    return found


def _of_path(name: str, path: Path) -> dict[str, Content]:
    """A file, or all files of a folder and of those in it, by name; links to files are followed."""
    try:
        if not path.is_dir():
            return {name: _of_file(path)}
        below = list(_files_below(path))
        return {f"{name}/{inner.relative_to(path).as_posix()}": _of_file(inner) for inner in below}
    except OSError as error:
        raise InvalidOptionError(f"files: {name}: {error}") from None


def _files_below(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail):
        folders.sort()
        for link in (Path(root, name) for name in folders if Path(root, name).is_symlink()):
            raise OSError(f"{link} is a link to a folder, which is not followed")
        yield from (Path(root, name) for name in sorted(names))


def read_regular_file(path: Path) -> bytes:
    """The bytes of a file that is no pipe or device, which might never end.

    Raises:
        OSError: it is one, or can't be read.
    """
    return _of_file(path).data


def _of_file(path: Path) -> FileContent:
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as file:
        mode = os.fstat(number).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"{path} is no regular file")
        return FileContent(file.read(), bool(mode & stat.S_IXUSR))


def write_files(folder: Path, files: Mapping[str, Content], leaves: Sequence[str] = ()) -> None:
    """Write files into a program's new folder.

    Args:
        folder: of the program.
        files: contents by name.
        leaves: names of files that the program is to write, whose folders are made.

    Raises:
        InvalidOptionError: a name that leads out of the folder; nothing is written then.
    """
    for name in (*files, *leaves):
        check_file_name("files", name)
    for name in leaves:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        its = FileContent(content.encode()) if isinstance(content, str) else content
        its = FileContent(its) if isinstance(its, bytes) else its
        path = folder / name
        if "/" in name:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(its.data)
        if its.is_executable:
            path.chmod(0o700)
