"""The arm as a black box: one control step of PyBullet from any state, and its gradients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from nondiff.black_box import BlackBox, Start
from nondiff.black_box.contract import Array
from nondiff.envs.arm.gradients import manual
from nondiff.envs.arm.gradients.state import JOINT_STATE, MOTION, POSITION, WIDTH
from nondiff.envs.arm.gradients.twin import Twin
from nondiff.envs.arm.robots.panda import PANDA
from nondiff.envs.arm.robots.robot import ControlType, Robot
from nondiff.envs.arm.tasks.task import Task
from nondiff.envs.arm.world.physics import Physics
from nondiff.envs.arm.world.scene import Scene
from nondiff.envs.arm.world.simulation import Simulation


@dataclass(frozen=True)
class World:
    """A simulated arm with its task, and the initial state of every episode."""

    simulation: Simulation
    robot: Robot
    task: Task
    neutral: Array  # (24,)


class ArmBox(BlackBox):
    """A control step of the Panda, in a task in which only the arm moves.

    State and outcome (24,) hold the positions of the nine joints [rad; m for fingers], their
    velocities [rad/s; m/s], and the end effector's position [m] and velocity [m/s], which follow
    from them. The context is the goal (3,) [m]. Each row starts from the initial world, so that its
    result is bit-identical after any other row.

    A free arm moves exactly as in `ArmEnv`. If the hand touches the table, the motion differs by up
    to some millimetres after many steps, since Bullet keeps contact points and their forces, which
    this state does not include.

    A state that is not finite is a failure with `failure_reward`, the return of the usual horizon
    at a distance of one metre from the goal.

    Args:
        task: the task's class, with `arm_only`.
        control_type: "ee" or "joints"; see `Robot`.
        sparse: whether the reward is "sparse", as in `ArmEnv`; its gradient is zero.
        horizon: control steps per episode.
        physics: the physics profile.
        observation_space: the observation space of `ArmEnv`.
        action_space: the action space of `ArmEnv`.
    """

    failure_reward: ClassVar[float] = -50.0
    vjp_cost = 0  # no physics step is run
    twin_cost = 0

    def __init__(
        self,
        task: type[Task],
        control_type: ControlType,
        sparse: bool,
        horizon: int,
        physics: Physics,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
    ) -> None:
        assert isinstance(observation_space, spaces.Dict)
        assert isinstance(action_space, spaces.Box)
        seen = observation_space["observation"]
        assert isinstance(seen, spaces.Box)
        self.observation_space = observation_space
        self.action_space = action_space
        self.horizon = horizon
        self._task = task
        self._control_type = control_type
        self._physics = physics
        self._sparse = sparse
        self.differentiable_reward = not sparse
        self._bounds = torch.tensor(seen.high, dtype=torch.float64)

    @cached_property
    def _world(self) -> World:
        simulation = Simulation(self._physics)
        scene = Scene(simulation, self._task.table)
        robot = Robot(simulation, PANDA, self._control_type, self._task.gripper)
        task = self._task(scene)
        simulation.freeze_initial_state()
        neutral = np.array(robot.joint_state() + robot.observe())
        return World(simulation, robot, task, neutral)

    def __getstate__(self) -> dict[str, Any]:
        """The state without the simulated world, since a copy makes its own."""
        made = ("_world", "_twin")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        """The neutral pose, and goals that it does not solve."""
        return Start(
            np.tile(self._world.neutral, (n, 1)), np.array([self._goal(rng) for _ in range(n)])
        )

    def _goal(self, rng: np.random.Generator) -> Array:
        task, position = self._world.task, self._world.neutral[POSITION].astype(np.float32)
        while True:
            goal = task.sample_goal(rng)
            if task.distance(position, goal) >= task.threshold:
                return goal.astype(np.float64)

    def transition(self, state: Array, action: Array) -> Array:
        rows = [self._moved(*row) for row in zip(state, action, strict=True)]
        return np.array(rows).reshape(len(action), WIDTH)

    def _moved(self, state: Array, action: Array) -> Array:
        if not (np.isfinite(state[JOINT_STATE]).all() and np.isfinite(action).all()):
            return np.full(WIDTH, np.nan)
        world = self._world
        world.simulation.reset()
        world.robot.place(*state[JOINT_STATE].reshape(2, -1).tolist())
        world.robot.apply(action)
        world.simulation.step(self._physics.substeps)
        return np.array(world.robot.joint_state() + world.robot.observe())

    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        bounds = self._bounds.to(state)
        seen = torch.clamp(state[:, MOTION], -bounds, bounds)
        return torch.cat([state[:, POSITION], context, seen], 1)

    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        if self._sparse:
            return self.success(state, action, outcome, context).to(outcome.dtype) - 1
        distance: Tensor = torch.linalg.vector_norm(outcome[:, POSITION] - context, dim=1)
        return -distance

    def success(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        """Flags (n,) of distances below the threshold, in single precision as in `ArmEnv`."""
        off = outcome[:, POSITION].float() - context.float()
        near: Tensor = torch.linalg.vector_norm(off, dim=1) < self._task.threshold
        return near

    def vjp(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]:
        """The hand-written vector-Jacobian product; see `manual`."""
        return manual.vjp(self._world.robot, self._physics, state, action, outcome, cotangent)

    @cached_property
    def _twin(self) -> Twin:
        return Twin(self._world.robot, self._physics)

    def twin(self, state: Tensor, action: Tensor) -> Tensor:
        """The control step in torch; see `Twin`."""
        return self._twin.outcome(state, action)
