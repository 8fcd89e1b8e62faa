"""The input files of a program, in its working folder."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nondiff.errors import InvalidOptionError

MAX_NAME = 255  # [bytes] of a name in a folder


@dataclass(frozen=True)
class FileContent:
    """The content of a file.

    Args:
        data: its bytes.
        is_executable: whether it can be executed.
    """

    data: bytes
    is_executable: bool = False


Content = str | bytes | FileContent


def check_file_name(what: str, name: str) -> None:
    """Require the relative name of a file inside a program's folder.

    Args:
        what: the option that gave the name, for messages.
        name: the name; it may contain subfolders.

    Raises:
        InvalidOptionError: names the invalid name.
    """
    parts = name.split("/") if isinstance(name, str) else []
    odd = any(part in ("", ".", "..") or len(part.encode()) > MAX_NAME for part in parts)
    if not parts or "\0" in name or odd:
        raise InvalidOptionError(
            f"{what}: {name!r} can't name a file in the program's folder: give a relative path, "
            "such as 'mesh.bin' or 'data/mesh.bin', without '.' and '..'"
        )


def check_distinct(what: str, names: Sequence[str]) -> None:
    """Require distinct file names, of which none is also a folder of another.

    Raises:
        InvalidOptionError: names the conflict.
    """
    for name, times in Counter(names).items():
        if times > 1:
            raise InvalidOptionError(f"{what}: {name!r} is the name of {times} files")
        for folder in map(str, PurePosixPath(name).parents):
            if folder in names:
                raise InvalidOptionError(f"{what}: {folder!r} is a file, and a folder for {name!r}")


def read_files(given: Mapping[str, str | bytes | Path]) -> dict[str, Content]:
    """Read the contents of input files, by name.

    Args:
        given: text, bytes, or the path of a file or folder to read now, by name.

    Raises:
        InvalidOptionError: an invalid name or content.
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
    check_distinct("files", list(found))
    return found


def _of_path(name: str, path: Path) -> dict[str, Content]:
    """Read a file, or all files of a folder and its subfolders; links to files are followed."""
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
    """Read a regular file; a pipe or device might never end.

    Raises:
        OSError: the file is not regular, or can't be read.
    """
    return _of_file(path).data


def _of_file(path: Path) -> FileContent:
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as file:
        mode = os.fstat(number).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"{path} is not a regular file")
        return FileContent(file.read(), bool(mode & stat.S_IXUSR))


def write_files(folder: Path, files: Mapping[str, Content], leaves: Sequence[str] = ()) -> None:
    """Write input files into a program's new folder.

    Args:
        folder: the program's folder.
        files: contents by name.
        leaves: names of the program's output files, whose folders are created.

    Raises:
        InvalidOptionError: a name leads out of the folder; nothing is written.
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
