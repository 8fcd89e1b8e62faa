"""Create PyBullet's collision and visual shapes."""

from __future__ import annotations

from typing import Any

from nondiff.envs.arm.world.engine import bullet
from nondiff.envs.arm.world.shapes import Box, Colour, Cylinder, Shape, SixColours


def collision_shape(client: int, shape: Shape) -> int:
    """Create a collision shape; returns its id in a world."""
    return bullet.createCollisionShape(  # type: ignore[no-any-return]
        **_solid(shape), physicsClientId=client
    )


def visual_shape(client: int, shape: Shape, colour: Colour | SixColours) -> int:
    """Create a visual shape; returns its id in a world."""
    if isinstance(colour, SixColours):
        return _six_faces(client, shape, colour)
    seen = _solid(shape)
    if isinstance(shape, Cylinder):
        seen["length"] = seen.pop("height")  # PyBullet has two names for it
    return bullet.createVisualShape(  # type: ignore[no-any-return]
        **seen, rgbaColor=colour, specularColor=[0, 0, 0], physicsClientId=client
    )


def _six_faces(client: int, shape: Shape, colours: SixColours) -> int:
    assert isinstance(shape, Box)
    faces = shape.faces()
    # Lists: PyBullet crashes on tuples here.
    return bullet.createVisualShapeArray(  # type: ignore[no-any-return]
        shapeTypes=[bullet.GEOM_BOX] * len(faces),
        halfExtents=[extents for extents, _ in faces],
        visualFramePositions=[centre for _, centre in faces],
        rgbaColors=[list(rgba) for rgba in colours.faces],
        physicsClientId=client,
    )


def _solid(shape: Shape) -> dict[str, Any]:
    if isinstance(shape, Box):
        return {"shapeType": bullet.GEOM_BOX, "halfExtents": shape.half_extents}
    if isinstance(shape, Cylinder):
        size = {"radius": shape.radius, "height": shape.height}
        return {"shapeType": bullet.GEOM_CYLINDER, **size}
    return {"shapeType": bullet.GEOM_SPHERE, "radius": shape.radius}
