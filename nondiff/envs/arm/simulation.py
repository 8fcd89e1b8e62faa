"""The PyBullet world of the arm; the only module that imports PyBullet."""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.shapes import Box, Colour, Cylinder, Shape, SixColours
from nondiff.envs.errors import InvalidOptionError, MissingDependencyError

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
        import pybullet as bullet
        import pybullet_data
except ImportError as error:
    raise MissingDependencyError(
        "PyBullet is missing: pip install pybullet (Python up to 3.11 on Linux x86-64) "
        "or pip install pybullet-arm64 (elsewhere)"
    ) from error

Vector = Sequence[float]

TIMESTEP = 1 / 500  # [s]
SUBSTEPS = 20  # physics steps a control step
GRAVITY = -9.81  # [m/s^2]
IK_ITERATIONS = 4  # of inverse kinematics
ALL = 1_000_000  # more bodies than there are
LIGHT = {
    "shadow": 1,
    "lightDirection": (1.2, 0.8, 2.5),
    "lightColor": (1.0, 1.0, 1.0),
    "lightAmbientCoeff": 0.5,
    "lightDiffuseCoeff": 0.5,
    "lightSpecularCoeff": 0.15,
}
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


class _Connection:
    """A connection to PyBullet, which reuses the numbers of closed ones."""

    def __init__(self, gui: bool) -> None:
        with _silent_output():
            self.client: int = bullet.connect(bullet.GUI if gui else bullet.DIRECT)
            if gui:
                _wait_for_window(self.client)
        self.is_open = self.client >= 0

    def remove_state(self, state: int) -> None:
        if self.is_open:
            bullet.removeState(state, physicsClientId=self.client)

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            if bullet.isConnected(self.client):  # a window may have been closed by hand
                with _silent_output():
                    bullet.disconnect(self.client)


def _solid(shape: Shape) -> dict[str, Any]:
    """A shape in PyBullet's terms."""
    if isinstance(shape, Box):
        return {"shapeType": bullet.GEOM_BOX, "halfExtents": shape.half_extents}
    if isinstance(shape, Cylinder):
        size = {"radius": shape.radius, "height": shape.height}
        return {"shapeType": bullet.GEOM_CYLINDER, **size}
    return {"shapeType": bullet.GEOM_SPHERE, "radius": shape.radius}


def _wait_for_window(client: int) -> None:
    """Return once the window's thread, which prints as it starts, has drawn a first shape."""
    shape = bullet.createVisualShape(bullet.GEOM_SPHERE, radius=0.01, physicsClientId=client)
    bullet.createMultiBody(0, -1, shape, physicsClientId=client)
    bullet.resetSimulation(physicsClientId=client)


class Snapshot:
    """A state of the world held by PyBullet, freed with this object."""

    def __init__(self, connection: _Connection) -> None:
        self.id: int = bullet.saveState(physicsClientId=connection.client)
        weakref.finalize(self, connection.remove_state, self.id)


class Simulation:
    """A PyBullet world with 1/500 s steps, deterministic and free of history after `reset`.

    Args:
        gui: open PyBullet's own window.
        visual_meshes: load the robot's detailed meshes for pictures; physics is the same without.

    Raises:
        MissingDependencyError: a window was asked for and there is no display.
    """

    close: Callable[[], object]  # disconnects; runs once, at the latest with the last reference

    def __init__(self, gui: bool = False, visual_meshes: bool = False) -> None:
        if gui and sys.platform == "linux" and not os.environ.get("DISPLAY"):
            raise MissingDependencyError(
                "render_mode='human' needs a display and DISPLAY is not set; "
                "use render_mode='rgb_array', or run under xvfb-run"
            )
        self._connection = _Connection(gui)
        self.client = self._connection.client
        self.close = weakref.finalize(self, self._connection.close)
        self._urdf_flags = 0 if visual_meshes else bullet.URDF_IGNORE_VISUAL_SHAPES
        self._initial: Snapshot | None = None
        bullet.setAdditionalSearchPath(pybullet_data.getDataPath(), physicsClientId=self.client)
        # Without ordered pairs, contacts depend on the order in which objects met before. Bodies
        # that were close a while ago would be solved as one island, which takes other numbers of
        # iterations; a state does not hold that, so all are solved as one.
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=TIMESTEP,
            deterministicOverlappingPairs=1,
            minimumSolverIslandSize=ALL,
            physicsClientId=self.client,
        )
        bullet.setGravity(0, 0, GRAVITY, physicsClientId=self.client)
        if gui:
            bullet.configureDebugVisualizer(bullet.COV_ENABLE_GUI, 0, physicsClientId=self.client)

    def load_robot(self, urdf: str, position: Vector) -> int:
        """Load a URDF with its base fixed at `position` (3,) [m]; returns its body id.

        Raises:
            InvalidOptionError: there is no such file.
        """
        if not model_path(urdf).is_file():
            raise InvalidOptionError(f"there is no robot description {model_path(urdf)}")
        return bullet.loadURDF(  # type: ignore[no-any-return]
            urdf, position, useFixedBase=True, flags=self._urdf_flags, physicsClientId=self.client
        )

    def add_body(
        self,
        shape: Shape,
        colour: Colour | SixColours,
        position: Vector,
        mass: float = 0.0,
        ghost: bool = False,
    ) -> int:
        """Add a body; returns its id.

        Args:
            shape: see `shapes`.
            colour: of all of it, or of each face of a box.
            position: (3,) of its centre [m], world frame.
            mass: [kg]; 0 for one that never moves.
            ghost: it is seen and touches nothing.
        """
        solid = -1
        if not ghost:
            solid = bullet.createCollisionShape(**_solid(shape), physicsClientId=self.client)
        return bullet.createMultiBody(  # type: ignore[no-any-return]
            mass,
            solid,
            self._visual(shape, colour),
            basePosition=position,
            physicsClientId=self.client,
        )

    def _visual(self, shape: Shape, colour: Colour | SixColours) -> int:
        if isinstance(colour, SixColours):
            assert isinstance(shape, Box)
            faces = shape.faces()
            # Lists: PyBullet crashes on tuples here.
            return bullet.createVisualShapeArray(  # type: ignore[no-any-return]
                shapeTypes=[bullet.GEOM_BOX] * len(faces),
                halfExtents=[extents for extents, _ in faces],
                visualFramePositions=[centre for _, centre in faces],
                rgbaColors=[list(rgba) for rgba in colour.faces],
                physicsClientId=self.client,
            )
        seen = _solid(shape)
        if isinstance(shape, Cylinder):
            seen["length"] = seen.pop("height")  # PyBullet has two names for it
        return bullet.createVisualShape(  # type: ignore[no-any-return]
            **seen, rgbaColor=colour, specularColor=[0, 0, 0], physicsClientId=self.client
        )

    def set_friction(self, body: int, link: int, lateral: float, spinning: float = 0.0) -> None:
        """Set the two friction coefficients of a link (-1: the base)."""
        bullet.changeDynamics(
            body,
            link,
            lateralFriction=lateral,
            spinningFriction=spinning,
            physicsClientId=self.client,
        )

    def set_colour(self, body: int, colour: Vector) -> None:
        """Recolour a body (RGBA); the built-in renderer ignores alpha."""
        bullet.changeVisualShape(body, -1, rgbaColor=colour, physicsClientId=self.client)

    def place(self, body: int, position: Vector, orientation: Vector = IDENTITY) -> None:
        """Put a body's base at `position` (3,) [m] and `orientation` (x, y, z, w), world frame."""
        bullet.resetBasePositionAndOrientation(
            body, position, orientation, physicsClientId=self.client
        )

    def motion(self, body: int) -> tuple[Vector, Vector, Vector, Vector]:
        """A body's base in the world, at this instant.

        Position (3,) [m], quaternion (x, y, z, w), velocity (3,) [m/s], angular velocity (3,)
        [rad/s].
        """
        position, quaternion = bullet.getBasePositionAndOrientation(body, self.client)
        return position, quaternion, *bullet.getBaseVelocity(body, self.client)

    def place_joints(
        self, body: int, joints: Sequence[int], angles: Vector, velocities: Vector | None = None
    ) -> None:
        """Teleport joints to `angles` [rad or m], with `velocities` [rad/s or m/s] or at rest."""
        moving = [0.0] * len(joints) if velocities is None else velocities
        for joint, angle, velocity in zip(joints, angles, moving, strict=True):
            bullet.resetJointState(body, joint, angle, velocity, self.client)

    def movable_joints(self, body: int) -> tuple[int, ...]:
        """The numbers of the joints that are not fixed."""
        joints = range(bullet.getNumJoints(body, self.client))
        rows = [bullet.getJointInfo(body, joint, physicsClientId=self.client) for joint in joints]
        return tuple(row[0] for row in rows if row[2] != bullet.JOINT_FIXED)

    def joint_limits(self, body: int, joints: Sequence[int]) -> list[tuple[float, float]]:
        """The (lower, upper) limit of each joint [rad or m]."""
        rows = [bullet.getJointInfo(body, joint, physicsClientId=self.client) for joint in joints]
        return [(row[8], row[9]) for row in rows]

    def joint_positions(self, body: int, joints: Sequence[int]) -> list[float]:
        """Positions of joints [rad or m]."""
        return [state[0] for state in bullet.getJointStates(body, joints, self.client)]

    def joint_velocities(self, body: int, joints: Sequence[int]) -> list[float]:
        """Velocities of joints [rad/s or m/s]."""
        return [state[1] for state in bullet.getJointStates(body, joints, self.client)]

    def link_inertias(self, body: int) -> list[tuple[float, Vector, Vector]]:
        """Of each link: mass [kg], principal moments (3,) [kg m^2], centre (3,) [m] in its frame.

        The moments are those of the collision shape, which PyBullet takes instead of the URDF's.
        """
        links = range(bullet.getNumJoints(body, self.client))
        rows = [bullet.getDynamicsInfo(body, link, self.client) for link in links]
        return [(row[0], row[2], row[3]) for row in rows]

    def jacobian(self, body: int, link: int, angles: Vector) -> NDArray[np.float64]:
        """Linear and angular velocity (6, joints) of a link in the world, a unit of joint speed.

        `angles` has one entry a movable joint; the world itself is not touched.
        """
        still = [0.0] * len(angles)
        parts = bullet.calculateJacobian(
            body, link, (0.0, 0.0, 0.0), angles, still, still, self.client
        )
        return np.array(parts).reshape(6, len(angles))

    def joint_inertia(
        self, body: int, angles: Vector, velocities: Vector
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The mass matrix (joints, joints), and the forces (joints,) that gravity and speed take.

        Both have one row a movable joint, in [kg m^2] and [N m]; the world itself is not touched.
        """
        still = [0.0] * len(angles)
        mass = bullet.calculateMassMatrix(body, angles, physicsClientId=self.client)
        forces = bullet.calculateInverseDynamics(
            body, angles, velocities, still, physicsClientId=self.client
        )
        return np.array(mass), np.array(forces)

    def link_motion(self, body: int, link: int, along: float = 0.0) -> tuple[Vector, Vector]:
        """Position (3,) [m] and velocity (3,) [m/s] of a link in the world, at this instant.

        They are those of the point `along` [m] the link's z axis from its origin.
        """
        # PyBullet otherwise returns the position of one substep ago.
        state = bullet.getLinkState(body, link, 1, 1, self.client)
        if along == 0 and not any(state[2]):  # the centre of mass is at the origin
            return state[4], state[6]
        point = state[4] + along * rotation_matrix(state[5])[:, 2]
        velocity = state[6] + np.cross(state[7], point - state[0])  # state[6] is the centre's
        return point.tolist(), velocity.tolist()

    def link_pose(self, body: int, link: int) -> tuple[Vector, NDArray[np.float64]]:
        """Position (3,) [m] and rotation (3, 3) of a link in the world."""
        state = bullet.getLinkState(body, link, 0, 1, self.client)
        return state[4], rotation_matrix(state[5])

    def inverse_kinematics(
        self, body: int, link: int, position: Vector, orientation: Vector, damping: Vector
    ) -> list[float]:
        """Joint angles that bring a link to a pose, by damped least squares from where they are.

        `damping` has one entry a movable joint. At 0.001, `IK_ITERATIONS` leave about 0.001 mm of a
        move of `EE_STEP` within reach; PyBullet's defaults leave about 7 mm.
        """
        return bullet.calculateInverseKinematics(  # type: ignore[no-any-return]
            body,
            link,
            position,
            orientation,
            jointDamping=damping,
            maxNumIterations=IK_ITERATIONS,
            physicsClientId=self.client,
        )

    def drive_joints(
        self, body: int, joints: Sequence[int], targets: Vector, forces: Vector
    ) -> None:
        """Set the position controllers' targets [rad or m] and largest forces [N m or N]."""
        bullet.setJointMotorControlArray(
            body,
            joints,
            bullet.POSITION_CONTROL,
            targetPositions=targets,
            forces=forces,
            physicsClientId=self.client,
        )

    def step(self, substeps: int) -> None:
        """Advance by `substeps` steps of `TIMESTEP`."""
        client = self.client
        step = bullet.stepSimulation
        for _ in range(substeps):
            step(client)

    def freeze_initial_state(self) -> None:
        """Make the present state the one `reset` returns to; call once the scene is complete."""
        bullet.performCollisionDetection(physicsClientId=self.client)
        self._initial = Snapshot(self._connection)

    def reset(self) -> None:
        """Return to the initial state with no trace of what happened since.

        Restored once, contact caches survive and later bits differ; the collision pass between two
        restorations clears them.
        """
        assert self._initial is not None
        bullet.restoreState(self._initial.id, physicsClientId=self.client)
        bullet.performCollisionDetection(physicsClientId=self.client)
        bullet.restoreState(self._initial.id, physicsClientId=self.client)

    def save(self) -> Snapshot:
        """The present state, for `restore`."""
        return Snapshot(self._connection)

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a saved state, bit for bit.

        By way of the initial one: where a pair of bodies is close in both the present and the saved
        state, and was not seen to touch in the latter, what is left of the present one counts.
        """
        self.reset()
        bullet.restoreState(snapshot.id, physicsClientId=self.client)

    def image(
        self, width: int, height: int, view: Mapping[str, Any], lens: Mapping[str, Any]
    ) -> NDArray[np.uint8]:
        """Render an image (height, width, 3) with PyBullet's software renderer.

        Args:
            width: [px].
            height: [px].
            view: where the camera stands, as `computeViewMatrixFromYawPitchRoll` takes it.
            lens: its field of view and depth range, as `computeProjectionMatrixFOV` takes them.
        """
        rgba = bullet.getCameraImage(
            width,
            height,
            bullet.computeViewMatrixFromYawPitchRoll(**view, roll=0, upAxisIndex=2),
            bullet.computeProjectionMatrixFOV(aspect=width / height, **lens),
            **LIGHT,
            renderer=bullet.ER_TINY_RENDERER,
            flags=bullet.ER_NO_SEGMENTATION_MASK,
            physicsClientId=self.client,
        )[2]
        # A tuple where PyBullet was built without NumPy; alpha is dropped.
        return np.reshape(np.asarray(rgba, np.uint8), (height, width, 4))[..., :3].copy()

    def aim_window(self, view: Mapping[str, Any]) -> None:
        """Point the camera of PyBullet's own window."""
        bullet.resetDebugVisualizerCamera(
            view["distance"],
            view["yaw"],
            view["pitch"],
            view["cameraTargetPosition"],
            physicsClientId=self.client,
        )
