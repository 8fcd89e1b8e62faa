"""Render pictures of the world with PyBullet's software renderer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.cameras.view import FAR, NEAR, View
from nondiff.envs.arm.world.engine import bullet

LIGHT = {
    "lightDirection": (1.2, 0.8, 2.5),
    "lightColor": (1.0, 1.0, 1.0),
    "lightAmbientCoeff": 0.5,
    "lightDiffuseCoeff": 0.5,
    "lightSpecularCoeff": 0.15,
}


@dataclass(frozen=True)
class Shot:
    """One measurement of a camera: colour, depth and segmentation.

    Attributes:
        rgb: (height, width, 3) colours.
        depth: (height, width) along the camera's axis [m]; `FAR` for the background.
        bodies: (height, width) PyBullet's ids of the visible bodies; -1 for the background.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    bodies: NDArray[np.int32]


class Camera:
    """A fixed camera in a world; it samples the lower left corner of each pixel.

    Args:
        client: PyBullet's id of the world.
        view: its view, with all values set.
    """

    def __init__(self, client: int, view: View) -> None:
        self._client = client
        self._view = view

    def image(self, width: int, height: int) -> NDArray[np.uint8]:
        """Render a picture (height, width, 3) with shadows, which double its cost."""
        _, _, rgba, _, _ = self._picture(
            width, height, shadow=1, flags=bullet.ER_NO_SEGMENTATION_MASK
        )
        return _colours(rgba, height, width)

    def shot(self, width: int, height: int) -> Shot:
        """Render colour, depth and segmentation, without shadows."""
        _, _, rgba, buffer, bodies = self._picture(width, height, shadow=0)
        # Invert the OpenGL depth buffer, in which 0 is `NEAR` and 1 is `FAR`.
        nearness = np.float32(FAR) - np.float32(FAR - NEAR) * np.asarray(buffer, np.float32)
        depth = np.minimum(np.float32(FAR * NEAR) / nearness, np.float32(FAR))
        numbers = np.asarray(bodies, np.int32)
        depth = np.where(numbers < 0, np.float32(FAR), depth)
        shape = height, width
        return Shot(_colours(rgba, *shape), depth.reshape(shape), numbers.reshape(shape))

    def _picture(self, width: int, height: int, shadow: int, flags: int = 0) -> Any:
        view = self._view
        return bullet.getCameraImage(
            width,
            height,
            bullet.computeViewMatrixFromYawPitchRoll(
                view.target, view.distance, view.yaw, view.pitch, roll=0, upAxisIndex=2
            ),
            bullet.computeProjectionMatrixFOV(view.fov, width / height, NEAR, FAR),
            **LIGHT,
            shadow=shadow,
            renderer=bullet.ER_TINY_RENDERER,
            flags=flags,
            physicsClientId=self._client,
        )

    def aim_window(self) -> None:
        """Set PyBullet's own window to this view."""
        view = self._view
        bullet.resetDebugVisualizerCamera(
            view.distance, view.yaw, view.pitch, view.target, physicsClientId=self._client
        )


def _colours(rgba: Any, height: int, width: int) -> NDArray[np.uint8]:
    # PyBullet built without NumPy returns a tuple; alpha is dropped.
    return np.reshape(np.asarray(rgba, np.uint8), (height, width, 4))[..., :3].copy()
