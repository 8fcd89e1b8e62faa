"""The PyBullet world of the arm: what stands in it, its steps, and the states it returns to."""

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
        physics: its steps and its solver.
        gui: open PyBullet's own window.
        visual_meshes: load the robot's detailed meshes for pictures; physics is the same without.

    Raises:
        MissingDependencyError: a window was asked for and there is no display.
    """

    close: Callable[[], object]  # disconnects; runs once, at the latest with the last reference
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
        # A step must follow from the state alone, which doesn't hold the pairs of bodies that are
        # close. The simple broadphase finds them afresh in each step, and faster for so few; the
        # usual one keeps them a while after they part, and bodies paired are solved together, in
        # other numbers of iterations. Pairs are ordered, or contacts depend on who met whom first.
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
            InvalidOptionError: there is no such file.
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
            colour: of all of it, or of each face of a box.
            position: (3,) of its centre [m], world frame.
            mass: [kg]; 0 for one that never moves.
            ghost: it is seen and touches nothing.
        """
        return bullet.createMultiBody(  # type: ignore[no-any-return]
            mass,
            -1 if ghost else collision_shape(self.client, shape),
            visual_shape(self.client, shape, colour),
            basePosition=position,
            physicsClientId=self.client,
        )

    def set_friction(self, body: int, lateral: float) -> None:
        """Set the friction coefficient of a body of one piece."""
        bullet.changeDynamics(
            body, -1, lateralFriction=lateral, spinningFriction=0.0, physicsClientId=self.client
        )

    def mass_and_friction(self, body: int) -> tuple[float, float]:
        """The mass [kg] and the friction coefficient of a body of one piece."""
        mass, friction, *_ = bullet.getDynamicsInfo(body, -1, self.client)
        return mass, friction

    def set_mass(self, body: int, mass: float) -> None:
        """Set the mass [kg] of a body of one piece, and its moments of inertia with it."""
        bullet.changeDynamics(body, -1, mass=mass, physicsClientId=self.client)

    def set_colour(self, body: int, colour: Vector) -> None:
        """Recolour a body (RGBA); the built-in renderer ignores alpha."""
        bullet.changeVisualShape(body, -1, rgbaColor=colour, physicsClientId=self.client)

    def place(self, body: int, position: Vector, orientation: Vector = IDENTITY) -> None:
        """Put a body's base at `position` (3,) [m] and `orientation` (x, y, z, w), world frame."""
        bullet.resetBasePositionAndOrientation(
            body, position, orientation, physicsClientId=self.client
        )

    def pose(self, body: int) -> tuple[Vector, Vector]:
        """Position (3,) [m] and quaternion (x, y, z, w) of a body's base in the world."""
        return bullet.getBasePositionAndOrientation(body, self.client)  # type: ignore[no-any-return]

    def motion(self, body: int) -> tuple[Vector, Vector, Vector, Vector]:
        """A body's base in the world, at this instant.

        Position (3,) [m], quaternion (x, y, z, w), velocity (3,) [m/s], angular velocity (3,)
        [rad/s].
        """
        return *self.pose(body), *bullet.getBaseVelocity(body, self.client)

    def step(self, substeps: int) -> None:
        """Advance by so many physics steps."""
        client = self.client
        step = bullet.stepSimulation
        for _ in range(substeps):
            step(client)

    def freeze_initial_state(self) -> None:
        """Make the present state the one `reset` returns to; call once the scene is complete."""
        bullet.performCollisionDetection(physicsClientId=self.client)
        self._initial = self.save()

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
        return Snapshot(saved_content(self._connection), self._connection)

    @property
    def is_open(self) -> bool:
        """Whether it was not closed."""
        is_open: bool = self._connection.is_open
        return is_open

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a saved state of this world or of one like it, bit for bit.

        By way of the initial one: where a pair of bodies is close in both the present and the saved
        state, and was not seen to touch in the latter, what is left of the present one counts.
        """
        self.reset()
        snapshot.restore(self._connection)
