"""Start an engine such that it leaves no files, shared memory or processes behind.

An engine writes to its working folder and shares memory under a name. Both names are removed as
soon as it runs: the system frees what it holds open when it ends, for whatever reason.
"""

from __future__ import annotations

import os
import shlex
import signal
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from nondiff.envs.doom import boot
from nondiff.errors import MissingDependencyError
from nondiff.files.folders import remove_tree
from nondiff.files.safe_path import SafePath

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps it
SEGMENTS = ("ViZDoomSM", "ViZDoomMQCtr", "ViZDoomMQDoom")
ABANDON_SECONDS = 10.0
_PREFIX = "nondiff-doom-"
_OUTPUT = "output"


class Launch:
    """The start of one engine in a private folder, and then its process.

    Args:
        engine: path of the engine's program.

    Raises:
        MissingDependencyError: programs can't be run from the folder for temporary files.
    """

    def __init__(self, engine: Path) -> None:
        remove_leftovers()
        self._process: psutil.Process | None = None
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        boot_command = [sys.executable, "-I", "-S", boot.__file__, str(engine), str(os.getpid())]
        self.program = self._folder / "start"
        self.program.write_text(
            f"#!/bin/sh\ncd {shlex.quote(str(self._folder))} || exit 1\n"
            f'exec {shlex.join(boot_command)} "$@" > {_OUTPUT} 2>&1 < /dev/null\n'
        )
        self.program.chmod(0o700)
        if not os.access(self.program, os.X_OK):  # otherwise ViZDoom would crash
            self.remove()
            raise MissingDependencyError(
                f"no program can be run from {tempfile.gettempdir()}, where Doom's engine starts; "
                "set TMPDIR to a folder that is not mounted noexec"
            )

    def started(self) -> bool:
        """Record the process, signal its supervisor, remove the folder; returns whether it runs."""
        self._process = self._found()
        with suppress(OSError, ValueError, psutil.Error):
            psutil.Process(int(self._noted()[1])).send_signal(signal.SIGUSR1)
        self.remove()
        return self.is_alive()

    def has_failed(self) -> bool:
        """Whether the engine ended during its start."""
        return (self._folder / boot.FAILED_FILE).exists()

    def abandon(self) -> None:
        """Give up an engine that has not started.

        If the supervisor does not confirm it in time, the folder stays until this process ends:
        without it the supervisor would end, which would crash this process; see `boot`.
        """
        with suppress(OSError):
            (self._folder / boot.CANCELLED_FILE).touch()
        deadline = time.monotonic() + ABANDON_SECONDS
        while not self.has_failed():
            self.kill()
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
        self.remove()

    def output(self) -> str:
        """The last line that the engine printed during its start."""
        with suppress(OSError):
            lines = (self._folder / _OUTPUT).read_text(errors="replace").strip().splitlines()
            return lines[-1][-200:] if lines else ""
        return ""

    def remove(self) -> None:
        """Remove the folder, and the names of the engine's shared memory."""
        _remove(self._folder)

    def kill(self) -> None:
        """Kill the engine, if it runs."""
        process = self._process or self._found()
        if process is not None:
            with suppress(psutil.Error):
                process.kill()  # psutil checks that the PID was not reused

    def is_alive(self) -> bool:
        """Whether the engine runs."""
        with suppress(psutil.Error):
            process = self._process
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        return False

    @property
    def pid(self) -> int | None:
        """PID of the engine; None: it has not started."""
        return self._process.pid if self._process else None

    def _found(self) -> psutil.Process | None:
        with suppress(OSError, ValueError, psutil.Error):
            return psutil.Process(int(self._noted()[0]))
        return None

    def _noted(self) -> list[str]:
        engine, supervisor = (self._folder / boot.ENGINE_FILE).read_text().split()
        return [engine, supervisor]


def remove_leftovers() -> None:
    """Remove folders whose owners were killed before they could remove them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)) and _is_ours(folder):
            _remove(folder)


def _is_ours(folder: Path) -> bool:
    """Whether a folder belongs to this user."""
    with suppress(OSError):
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return False


def _remove(folder: Path) -> None:
    with suppress(OSError):
        instance = (folder / boot.INSTANCE_FILE).read_text()
        for segment in SEGMENTS:
            (SHARED_MEMORY / f"{segment}{instance}").unlink(missing_ok=True)
    with suppress(OSError):
        remove_tree(SafePath.of_file(folder))
