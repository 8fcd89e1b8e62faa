"""The only module that imports PyBullet: connections, snapshots, and stateless functions."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nondiff.errors import InvalidOptionError, MissingDependencyError

_LIBC = ctypes.CDLL(None) if os.name == "posix" else None


@contextmanager
def _silent_output() -> Iterator[None]:
    """Suppress what PyBullet prints from C on import and on connection."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), 1)
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        if _LIBC is not None:
            _LIBC.fflush(None)  # C has its own buffer
        for stream, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, stream)
            os.close(copy)


try:
    with _silent_output():
        import pybullet
        import pybullet_data
except ImportError as error:
    raise MissingDependencyError(
        "PyBullet is missing: pip install pybullet (Python up to 3.11 on Linux x86-64) "
        "or pip install pybullet-arm64 (elsewhere)"
    ) from error

bullet = pybullet  # imported from here by the arm's other modules
Vector = Sequence[float]

IDENTITY = (0.0, 0.0, 0.0, 1.0)  # quaternion x, y, z, w


def api_version() -> int:
    """The version number of PyBullet's API."""
    return bullet.getAPIVersion()  # type: ignore[no-any-return]


def model_path(urdf: str) -> Path:
    """The path of a URDF: a user's file, or one that comes with PyBullet."""
    return Path(pybullet_data.getDataPath()) / urdf


def euler_angles(quaternion: Vector) -> tuple[float, float, float]:
    """Convert a quaternion (x, y, z, w) to roll, pitch, yaw [rad] about fixed x, y, z."""
    return bullet.getEulerFromQuaternion(quaternion)  # type: ignore[no-any-return]


def rotation_matrix(quaternion: Vector) -> NDArray[np.float64]:
    """Convert a quaternion (x, y, z, w) to a rotation matrix (3, 3)."""
    return np.reshape(bullet.getMatrixFromQuaternion(quaternion), (3, 3))


class Connection:
    """A connection to PyBullet, which reuses the ids of closed connections.

    Args:
        gui: open PyBullet's own window.

    Raises:
        MissingDependencyError: `gui` is set and there is no display.
    """

    def __init__(self, gui: bool) -> None:
        if gui and sys.platform == "linux" and not os.environ.get("DISPLAY"):
            raise MissingDependencyError(
                "render_mode='human' needs a display and DISPLAY is not set; "
                "use render_mode='rgb_array', or run under xvfb-run"
            )
        with _silent_output():
            self.client: int = bullet.connect(bullet.GUI if gui else bullet.DIRECT)
            if gui:
                _wait_for_window(self.client)
        self.is_open = self.client >= 0
        bullet.setAdditionalSearchPath(pybullet_data.getDataPath(), physicsClientId=self.client)

    def remove_state(self, state: int) -> None:
        """Free a saved state; does nothing after `close`, when the id may be reused."""
        if self.is_open:
            bullet.removeState(state, physicsClientId=self.client)

    def close(self) -> None:
        """Disconnect, unless it has been done."""
        if self.is_open:
            self.is_open = False
            if bullet.isConnected(self.client):  # the user may have closed the window
                with _silent_output():
                    bullet.disconnect(self.client)


def _wait_for_window(client: int) -> None:
    """Wait until the window's thread, which prints as it starts, has drawn a first shape."""
    shape = bullet.createVisualShape(bullet.GEOM_SPHERE, radius=0.01, physicsClientId=client)
    bullet.createMultiBody(0, -1, shape, physicsClientId=client)
    bullet.resetSimulation(physicsClientId=client)


class Snapshot:
    """A saved state, which can be restored in any world of the same bodies.

    Its own world restores it from PyBullet's memory in microseconds, until this object is freed.
    Other worlds, and copies and pickles of this object, read it from `content` in about 1.5 ms.

    Args:
        content: exact positions, velocities and contacts, from `saved_content`.
        connection: the world that is currently in this state, if there is one.
    """

    def __init__(self, content: bytes, connection: Connection | None = None) -> None:
        self.content = content
        self.id: int | None = None
        self._connection = connection
        if connection is not None:
            self.id = bullet.saveState(physicsClientId=connection.client)
            weakref.finalize(self, connection.remove_state, self.id)

    def restore(self, connection: Connection) -> None:
        """Set the positions, velocities and contacts of a world.

        Raises:
            InvalidOptionError: the world has other bodies, or the content is damaged.
        """
        if self._connection is connection:
            bullet.restoreState(self.id, physicsClientId=connection.client)
        else:
            _read(self.content, connection.client)

    def __reduce__(self) -> tuple[type[Snapshot], tuple[bytes]]:
        return Snapshot, (self.content,)


def saved_content(connection: Connection) -> bytes:
    """Serialize the state of a world in PyBullet's file format, in double precision."""
    with _file() as (path, file):
        bullet.saveBullet(path, physicsClientId=connection.client)
        file.seek(0)
        return file.read()


def _read(content: bytes, client: int) -> None:
    with _file() as (path, file):
        file.write(content)
        file.flush()
        # PyBullet caches files by name, and would not read a new one.
        bullet.setPhysicsEngineParameter(enableFileCaching=0, physicsClientId=client)
        try:
            bullet.restoreState(fileName=path, physicsClientId=client)
        except bullet.error as error:
            raise InvalidOptionError(f"the state is not one of this world: {error}") from None
        finally:
            bullet.setPhysicsEngineParameter(enableFileCaching=1, physicsClientId=client)


@contextmanager
def _file() -> Iterator[tuple[str, IO[bytes]]]:
    """Yield an empty file and its path, in memory if possible, so that no file remains."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("nondiff-state"), "w+b") as file:
            yield f"/proc/self/fd/{file.fileno()}", file
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.bullet"
        with path.open("w+b") as file:
            yield str(path), file
