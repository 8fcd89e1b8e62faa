"""PyBullet itself, imported here alone: its connections and states, and what needs neither."""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.errors import MissingDependencyError

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
    """A state of the world held by PyBullet, freed with this object."""

    def __init__(self, connection: Connection) -> None:
        self.id: int = bullet.saveState(physicsClientId=connection.client)
        weakref.finalize(self, connection.remove_state, self.id)
