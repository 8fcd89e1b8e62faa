"""PyBullet itself, imported here alone: its connections and states, and what needs neither."""

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
    """PyBullet prints from C at import and connection; keep that out of the user's output."""
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
            _LIBC.fflush(None)  # C keeps a buffer of its own
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

bullet = pybullet  # from here the arm's other modules have it
Vector = Sequence[float]

IDENTITY = (0.0, 0.0, 0.0, 1.0)  # quaternion x, y, z, w


def api_version() -> int:
    """PyBullet's own number of what it can do."""
    return bullet.getAPIVersion()  # type: ignore[no-any-return]


def model_path(urdf: str) -> Path:
    """A robot's description: a file, or one of those that come with PyBullet."""
    return Path(pybullet_data.getDataPath()) / urdf


def euler_angles(quaternion: Vector) -> tuple[float, float, float]:
    """Roll, pitch, yaw [rad] about fixed x, y, z of a quaternion (x, y, z, w)."""
    return bullet.getEulerFromQuaternion(quaternion)  # type: ignore[no-any-return]


def rotation_matrix(quaternion: Vector) -> NDArray[np.float64]:
    """The rotation (3, 3) of a quaternion (x, y, z, w)."""
    return np.reshape(bullet.getMatrixFromQuaternion(quaternion), (3, 3))


class Connection:
    """A connection to PyBullet, which reuses the numbers of closed ones.

    Args:
        gui: open PyBullet's own window.

    Raises:
        MissingDependencyError: a window was asked for and there is no display.
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
        """Free a state; nothing after `close`, when the number may be another's."""
        if self.is_open:
            bullet.removeState(state, physicsClientId=self.client)

    def close(self) -> None:
        """Disconnect, once."""
        if self.is_open:
            self.is_open = False
            if bullet.isConnected(self.client):  # a window may have been closed by hand
                with _silent_output():
                    bullet.disconnect(self.client)


def _wait_for_window(client: int) -> None:
    """Return once the window's thread, which prints as it starts, has drawn a first shape."""
    shape = bullet.createVisualShape(bullet.GEOM_SPHERE, radius=0.01, physicsClientId=client)
    bullet.createMultiBody(0, -1, shape, physicsClientId=client)
    bullet.resetSimulation(physicsClientId=client)


class Snapshot:
    """A state of the world, which can be returned to in any world of the same bodies.

    In its own world it is restored from PyBullet's memory, in microseconds, and freed with this
    object; in others, and once it is copied or pickled, it is read from its content, in about 1.5
    milliseconds.

    Args:
        content: what `saved_content` gave, to the last bit of positions, velocities and contacts.
        connection: of the world that is in this state now, if there is one.
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
            InvalidOptionError: it has other bodies, or the content is damaged.
        """
        if self._connection is connection:
            bullet.restoreState(self.id, physicsClientId=connection.client)
        else:
            _read(self.content, connection.client)

    def __reduce__(self) -> tuple[type[Snapshot], tuple[bytes]]:
        return Snapshot, (self.content,)


def saved_content(connection: Connection) -> bytes:
    """The state of a world as PyBullet writes it into a file, in double precision."""
    with _file() as (path, file):
        bullet.saveBullet(path, physicsClientId=connection.client)
        file.seek(0)
        return file.read()


def _read(content: bytes, client: int) -> None:
    with _file() as (path, file):
        file.write(content)
        file.flush()
        # PyBullet keeps what it has read under a name, and would not look at the file again.
        bullet.setPhysicsEngineParameter(enableFileCaching=0, physicsClientId=client)
        try:
            bullet.restoreState(fileName=path, physicsClientId=client)
        except bullet.error as error:
            raise InvalidOptionError(f"the state is not one of this world: {error}") from None
        finally:
            bullet.setPhysicsEngineParameter(enableFileCaching=1, physicsClientId=client)


@contextmanager
def _file() -> Iterator[tuple[str, IO[bytes]]]:
    """An empty file and its path; in memory where the system has such, so that none is left."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("nondiff-state"), "w+b") as file:
            yield f"/proc/self/fd/{file.fileno()}", file
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.bullet"
        with path.open("w+b") as file:
            yield str(path), file
