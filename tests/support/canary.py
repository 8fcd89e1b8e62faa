"""What a stranger may put into a folder, and the user's files beside it, which stay as they are."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LARGE = 2**33  # [bytes] of a file without content
READ = 2**22  # [bytes] of a file that are compared; larger ones by their size
NAMES = ("config.json", "run.json", "metrics.csv", "README.md", "learning_curve.png", "run.tmp")
FOLDERS = (
    *("step-000000001", "step-000000000008", ".step-000000001-0a1b2c3d", ".new-0a1b2c3d"),
    *("models", "tensorboard"),
)


def make_home(home: Path) -> None:
    """A user's files, under the names that nondiff itself gives to what it removes."""
    for folder in (home, *(home / name for name in FOLDERS)):
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (folder / name).write_text(f"precious {folder.name} {name}")
            os.utime(folder / name, (1e9, 1e9))
    for name in FOLDERS:
        os.utime(home / name, (1e9, 1e9))
    os.utime(home, (1e9, 1e9))


Seen = dict[str, tuple[object, ...]]


def seen(folder: Path) -> Seen:
    """All that can be seen of a folder from outside: names, kinds, rights, times and content."""
    found: Seen = {}
    for place in [folder, *sorted(folder.rglob("*"))]:
        status = place.lstat()
        found[str(place.relative_to(folder))] = (
            stat.filemode(status.st_mode),
            status.st_mtime_ns,
            content(place, status),
        )
    return found


def content(place: Path, status: os.stat_result) -> str:
    """What is in a place, without opening what is no plain file."""
    if stat.S_ISLNK(status.st_mode):
        return f"link to {place.readlink()}"
    if not stat.S_ISREG(status.st_mode):
        return stat.filemode(status.st_mode)[0]
    if status.st_size > READ:
        return f"{status.st_size} bytes"
    return hashlib.sha256(place.read_bytes()).hexdigest()


@contextmanager
def unharmed(home: Path) -> Iterator[None]:
    """Nothing of a folder has changed at the end."""
    before = seen(home)
    yield
    assert seen(home) == before


def remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Attack:
    """What stands where a run has a file or a folder.

    Args:
        name: in words.
        put: puts it in the place of the first path; the second is the user's home.
        is_plain: whether it is a plain file or folder, which need not be refused.
    """

    name: str
    put: Callable[[Path, Path], None]
    is_plain: bool = False

    def __str__(self) -> str:
        return self.name

    def __call__(self, place: Path, home: Path) -> None:
        remove(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        self.put(place, home)


def _socket(place: Path, home: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    before = Path.cwd()
    os.chdir(place.parent)  # the whole path may be too long for one
    try:
        listener.bind(place.name)
    finally:
        os.chdir(before)
        listener.close()


def _sparse(place: Path, home: Path) -> None:
    with place.open("wb") as file:
        file.truncate(LARGE)


ATTACKS = {
    attack.name: attack
    for attack in (
        Attack("link to a folder", lambda place, home: place.symlink_to(home)),
        Attack("link to a file", lambda place, home: place.symlink_to(home / "run.json")),
        Attack("link to nothing", lambda place, home: place.symlink_to(home / "new")),
        Attack("link to a file of its name", lambda p, home: p.symlink_to(home / p.name)),
        Attack("link to itself", lambda place, home: place.symlink_to(place.name)),
        Attack("link to a device", lambda place, home: place.symlink_to("/dev/zero")),
        Attack("pipe", lambda place, home: os.mkfifo(place)),
        Attack("socket", _socket),
        Attack("hard link", lambda place, home: os.link(home / "metrics.csv", place), True),
        Attack("folder", lambda place, home: place.mkdir(), True),
        Attack("much of nothing", _sparse, True),
    )
}
