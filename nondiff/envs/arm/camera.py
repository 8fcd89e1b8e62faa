"""Pictures of the world, by PyBullet's software renderer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.engine import bullet

LIGHT = {
    "shadow": 1,
    "lightDirection": (1.2, 0.8, 2.5),
    "lightColor": (1.0, 1.0, 1.0),
    "lightAmbientCoeff": 0.5,
    "lightDiffuseCoeff": 0.5,
    "lightSpecularCoeff": 0.15,
}


class Camera:
    """A camera that stands still in a world.

    Args:
        client: PyBullet's number of the world.
        view: where it stands, as `computeViewMatrixFromYawPitchRoll` takes it.
        lens: its field of view and depth range, as `computeProjectionMatrixFOV` takes them.
    """

    def __init__(self, client: int, view: Mapping[str, Any], lens: Mapping[str, Any]) -> None:
        self._client = client
        self._view = view
        self._lens = lens

    def image(self, width: int, height: int) -> NDArray[np.uint8]:
        """A picture (height, width, 3) of so many pixels."""
        rgba = bullet.getCameraImage(
            width,
            height,
            bullet.computeViewMatrixFromYawPitchRoll(**self._view, roll=0, upAxisIndex=2),
            bullet.computeProjectionMatrixFOV(aspect=width / height, **self._lens),
            **LIGHT,
            renderer=bullet.ER_TINY_RENDERER,
            flags=bullet.ER_NO_SEGMENTATION_MASK,
            physicsClientId=self._client,
        )[2]
        # A tuple where PyBullet was built without NumPy; alpha is dropped.
        return np.reshape(np.asarray(rgba, np.uint8), (height, width, 4))[..., :3].copy()

    def aim_window(self) -> None:
        """Let PyBullet's own window show the same."""
        bullet.resetDebugVisualizerCamera(
            self._view["distance"],
            self._view["yaw"],
            self._view["pitch"],
            self._view["cameraTargetPosition"],
            physicsClientId=self._client,
        )
