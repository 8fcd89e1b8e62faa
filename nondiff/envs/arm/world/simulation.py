"""A PyBullet world: its bodies, its steps, and saved states."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from nondiff.envs.arm.world.articulation import Articulation
from nondiff.envs.arm.world.engine import (
    IDENTITY,
    Connection,
    Snapshot,
    Vector,
    bullet,
    model_path,
    saved_content,
)
from nondiff.envs.arm.world.physics import DEFAULT, Physics
from nondiff.envs.arm.world.shapes import Colour, Shape, SixColours
from nondiff.envs.arm.world.solids import collision_shape, visual_shape
from nondiff.errors import InvalidOptionError
from nondiff.gym.copying import NeverCopied

GRAVITY = -9.81  # [m/s^2]


class Simulation(NeverCopied):
    """A PyBullet world, deterministic and free of history after `reset`.

    Args:
        physics: the physics profile.
        gui: open PyBullet's own window.
        visual_meshes: load the robot's detailed meshes for pictures; they do not affect physics.

    Raises:
        MissingDependencyError: `gui` is set and there is no display.
    """

    close: Callable[[], object]  # disconnects once, at the latest on garbage collection
    instead = "copy the environment, or make another one and give it the state by `set_state`"

    def __init__(
        self, physics: Physics = DEFAULT, gui: bool = False, visual_meshes: bool = False
    ) -> None:
        self._gain = physics.gain
        self._connection = Connection(gui)
        self.client = self._connection.client
        self.close = weakref.finalize(self, self._connection.close)
        self._urdf_flags = 0 if visual_meshes else bullet.URDF_IGNORE_VISUAL_SHAPES
        self._initial: Snapshot | None = None
        # A step must follow from the state alone, which doesn't include the pairs of close bodies.
        # The simple broadphase finds pairs anew in each step, and is faster for so few bodies. The
        # default one keeps pairs for a while after they part; paired bodies are solved together,
        # with other numbers of iterations. Pairs are ordered, so that contacts do not depend on
        # which bodies met first.
        bullet.resetSimulation(
            flags=bullet.RESET_USE_SIMPLE_BROADPHASE, physicsClientId=self.client
        )
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=physics.timestep,
            numSolverIterations=physics.solver_iterations,
            deterministicOverlappingPairs=1,
            physicsClientId=self.client,
        )
        bullet.setGravity(0, 0, GRAVITY, physicsClientId=self.client)
        if gui:
            bullet.configureDebugVisualizer(bullet.COV_ENABLE_GUI, 0, physicsClientId=self.client)

    def load_robot(self, urdf: str, position: Vector) -> Articulation:
        """Load a URDF with its base fixed at `position` (3,) [m].

        Raises:
            InvalidOptionError: the file does not exist.
        """
        if not model_path(urdf).is_file():
            raise InvalidOptionError(f"there is no robot description {model_path(urdf)}")
        body: int = bullet.loadURDF(
            urdf, position, useFixedBase=True, flags=self._urdf_flags, physicsClientId=self.client
        )
        return Articulation(self.client, body, self._gain)

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
            colour: colour of the body, or of each face of a box.
            position: (3,) of its centre [m], world frame.
            mass: [kg]; 0: the body is static.
            ghost: whether it is visible but collides with nothing.
        """
        return bullet.createMultiBody(  # type: ignore[no-any-return]
            mass,
            -1 if ghost else collision_shape(self.client, shape),
            visual_shape(self.client, shape, colour),
            basePosition=position,
            physicsClientId=self.client,
        )

    def set_friction(self, body: int, lateral: float) -> None:
        """Set the lateral friction coefficient of a single-link body."""
        bullet.changeDynamics(
            body, -1, lateralFriction=lateral, spinningFriction=0.0, physicsClientId=self.client
        )

    def mass_and_friction(self, body: int) -> tuple[float, float]:
        """The mass [kg] and the lateral friction coefficient of a single-link body."""
        mass, friction, *_ = bullet.getDynamicsInfo(body, -1, self.client)
        return mass, friction

    def set_mass(self, body: int, mass: float) -> None:
        """Set the mass [kg] of a single-link body, and its moments of inertia in proportion."""
        bullet.changeDynamics(body, -1, mass=mass, physicsClientId=self.client)

    def set_colour(self, body: int, colour: Vector) -> None:
        """Set the colour (RGBA) of a body; the built-in renderer ignores alpha."""
        bullet.changeVisualShape(body, -1, rgbaColor=colour, physicsClientId=self.client)

    def place(self, body: int, position: Vector, orientation: Vector = IDENTITY) -> None:
        """Set a body's base to `position` (3,) [m] and `orientation` (x, y, z, w), world frame."""
        bullet.resetBasePositionAndOrientation(
            body, position, orientation, physicsClientId=self.client
        )

    def pose(self, body: int) -> tuple[Vector, Vector]:
        """Position (3,) [m] and quaternion (x, y, z, w) of a body's base in the world."""
        return bullet.getBasePositionAndOrientation(body, self.client)  # type: ignore[no-any-return]

    def motion(self, body: int) -> tuple[Vector, Vector, Vector, Vector]:
        """The motion of a body's base, world frame.

        Returns:
            position (3,) [m], quaternion (x, y, z, w), velocity (3,) [m/s] and angular velocity
            (3,) [rad/s].
        """
        return *self.pose(body), *bullet.getBaseVelocity(body, self.client)

    def step(self, substeps: int) -> None:
        """Run `substeps` physics steps."""
        client = self.client
        step = bullet.stepSimulation
        for _ in range(substeps):
            step(client)

    def freeze_initial_state(self) -> None:
        """Save the current state for `reset`; call this once the scene is complete."""
        bullet.performCollisionDetection(physicsClientId=self.client)
        self._initial = self.save()

    def reset(self) -> None:
        """Restore the initial state with no trace of later steps.

        A single restoration keeps contact caches, so that later results differ in the last bits. A
        collision pass between two restorations clears them.
        """
        assert self._initial is not None
        bullet.restoreState(self._initial.id, physicsClientId=self.client)
        bullet.performCollisionDetection(physicsClientId=self.client)
        bullet.restoreState(self._initial.id, physicsClientId=self.client)

    def save(self) -> Snapshot:
        """Save the current state, for `restore`."""
        return Snapshot(saved_content(self._connection), self._connection)

    @property
    def is_open(self) -> bool:
        """Whether the world has not been closed."""
        is_open: bool = self._connection.is_open
        return is_open

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a saved state of this world, or of an equal one, with bit-identical results.

        The initial state is restored first: otherwise contact data of the current state would
        remain for pairs of bodies that are close in both states but did not touch in the saved one.
        """
        self.reset()
        snapshot.restore(self._connection)
