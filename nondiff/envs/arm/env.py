"""The Gymnasium environment of a robot arm with a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.envs.arm.cameras.camera_observation import CameraObservation, parsed_camera
from nondiff.envs.arm.cameras.film import (
    CONTROL_RATE,
    FRAMES_PER_STEP,
    RENDER_MODES,
    Film,
    check_film,
)
from nondiff.envs.arm.cameras.picture_world import PictureWorld
from nondiff.envs.arm.cameras.view import View, parsed_view
from nondiff.envs.arm.observation import Senses
from nondiff.envs.arm.randomization.disturbances import Disturbances
from nondiff.envs.arm.randomization.randomization import (
    Randomization,
    parsed_randomization,
    randomization_of_episode,
)
from nondiff.envs.arm.robots.panda import PANDA
from nondiff.envs.arm.robots.robot import ControlType, Robot, RobotModel
from nondiff.envs.arm.states import Returning
from nondiff.envs.arm.tasks.task import Task
from nondiff.envs.arm.world.physics import ProfileName, find_profile
from nondiff.envs.arm.world.scene import Scene
from nondiff.envs.arm.world.simulation import Simulation
from nondiff.errors import InvalidOptionError
from nondiff.gym.reset_arguments import check_options
from nondiff.gym.step_limit import CountsItsSteps
from nondiff.validation import check_bool, check_positive

if TYPE_CHECKING:  # it loads torch
    from nondiff.envs.arm.gradients.black_box import ArmBox

RewardType = Literal["sparse", "dense"]
Observation = dict[str, NDArray[Any]]  # with a camera, it may be a single picture
Goals = NDArray[np.float32]
Info = dict[str, Any]

REWARD_TYPES = ("sparse", "dense")
_SPARSE = (np.float64(-1.0), np.float64(0.0))  # without and with success


class ArmEnv(Returning, CountsItsSteps, gymnasium.Env[Observation, NDArray[np.float32]]):
    """A goal-conditioned environment of a robot arm, controlled at 25 Hz.

    Observations hold `achieved_goal`, `desired_goal` and `observation`: the robot's state
    (`Robot.observe`), then the task's. Values outside their Box, such as of an object that left the
    table, are clipped. An episode terminates on success and is truncated after `horizon` steps.
    The environment counts steps itself, so that `set_state` restores the count;
    `spec.max_episode_steps` states the limit. `info` holds `is_success`, `distance`,
    `reward_sparse` and `reward_dense`, also after a reset. Actions outside [-1, 1] are clipped.
    Copies, pickled ones too, have their own simulator and continue with bit-identical results.

    Args:
        task: the task's class.
        robot: the robot model.
        reward_type: "sparse": 0 on success, -1 otherwise; "dense": minus the distance.
        control_type: "ee" or "joints"; see `Robot`.
        horizon: control steps per episode.
        physics: name of the physics profile; see `PROFILES`. Results of different profiles are not
            comparable.
        render_mode: None; "rgb_array", a picture per call; "rgb_array_list", the pictures since the
            last call, several per control step, for slow motion; or "human", PyBullet's window.
        render_width: [px].
        render_height: [px].
        render_view: the view of `render`: a `View` or a dict of its fields. Missing values, or
            None, show the whole workspace.
        camera: image observations: a `CameraObservation`, a dict of its fields, or its modes, such
            as "rgb" or "rgb+depth"; None: no images.
        randomization: domain randomization, sampled for each episode: a `Randomization`, a dict of
            its fields, or the name of one; None: none. `info` holds the sampled values.
            `reset(options={"randomization": ...})` overrides it for one episode.
        relative: whether to append the positions (3,) [m] of objects relative to the end effector,
            world frame, to `observation`, as in Gymnasium-Robotics' Fetch tasks. A network needs
            many more samples to learn a small difference of two large numbers.
        goal_relative: whether to append, after those, the way from the achieved to the desired
            goal: their difference, or for Flip rotation matrices (36,). Hindsight relabelling would
            not change these entries, so there is then no `compute_reward`.

    Raises:
        InvalidOptionError: an argument outside these choices.
        UnknownNameError: an unknown field of an argument's dict, or an unknown option of `reset`.
        InvalidActionError: from `step`, an action of the wrong shape or not finite.
        MissingDependencyError: "human" without a display, or no PyBullet.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": CONTROL_RATE,
        "frames_per_step": FRAMES_PER_STEP,
    }

    def __init__(
        self,
        task: type[Task],
        robot: RobotModel,
        reward_type: RewardType = "sparse",
        control_type: ControlType = "ee",
        horizon: int = 50,
        physics: ProfileName = "default",
        render_mode: str | None = None,
        render_width: int = 640,
        render_height: int = 480,
        render_view: View | Mapping[str, Any] | None = None,
        camera: CameraObservation | Mapping[str, Any] | str | None = None,
        randomization: Randomization | Mapping[str, Any] | str | None = None,
        relative: bool = False,
        goal_relative: bool = False,
    ) -> None:
        _check_reward_type(reward_type)
        check_positive("horizon", horizon)
        check_film(render_mode, render_width, render_height)
        check_bool("relative", relative)
        check_bool("goal_relative", goal_relative)
        view = parsed_view("render_view", render_view)
        self._camera = parsed_camera(camera)
        self._randomization = parsed_randomization(randomization)
        self.render_mode = render_mode
        self._pictured = (render_width, render_height), view
        self._reward_type = reward_type
        self._sparse = reward_type == "sparse"
        self._horizon = horizon
        self._control_type = control_type
        self._relative = relative
        self._goal_relative = goal_relative
        self._task_class = task
        self._robot_model = robot
        self._physics = find_profile(physics)
        self._goal = np.zeros(len(task.goal_bounds), np.float32)
        self._elapsed_steps = 0
        self._reached = False
        self._build()
        self.action_space = self._robot.action_space  # type: ignore[assignment]
        space: spaces.Space[Any] = self._senses.space()
        if self._camera is not None:
            space = self._camera.space(space, self._senses.robot_size)
        self.observation_space = space

    def _build(self) -> None:
        """Build the simulator and all objects that refer to it: the attributes `BUILT`."""
        task, shown = self._task_class, self.render_mode is not None
        self._simulation = Simulation(
            self._physics, gui=self.render_mode == "human", visual_meshes=shown
        )
        size, view = self._pictured
        self._scene = Scene(self._simulation, task.table, view)
        self._film = Film(self._scene, self.render_mode, size)
        self._robot = Robot(self._simulation, self._robot_model, self._control_type, task.gripper)
        self._task = task(self._scene)
        self._simulation.freeze_initial_state()
        self._disturbances = Disturbances(self._robot, self._scene.objects)
        places = self._scene.objects if self._relative else []
        self._senses = Senses(
            self._robot, self._task, self._disturbances, places, self._goal_relative
        )
        self._picture_world: PictureWorld | None = None
        if self._camera is not None:
            self._picture_world = PictureWorld(task, self._robot_model, self._camera)

    @property
    def max_episode_steps(self) -> int:
        return self._horizon

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Start an unsolved episode, which depends on the seed alone."""
        check_options(options)
        randomization = randomization_of_episode(self._randomization, options)
        super().reset(seed=seed)
        self._disturbances.begin(randomization, self.np_random)
        self._simulation.reset()
        self._disturbances.pose()
        self._task.reset(self.np_random)
        self._elapsed_steps = 0
        state, achieved = self._senses.read(self._elapsed_steps)
        self._reached = True
        while self._reached:
            self._goal = self._task.sample_goal(self.np_random)
            observation, info = self._observed(state, achieved)
        self._show_goal()
        self._film.begin(self._reached)
        return self._with_pictures(observation), info

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, Info]:
        """Apply an action for 1/25 s."""
        self._robot.apply(self._disturbances.command(action, self._elapsed_steps))
        self._film.advance(self._physics.substeps)
        self._elapsed_steps += 1
        observation, info = self._observed(*self._senses.read(self._elapsed_steps))
        reward = float(info["reward_sparse"] if self._sparse else info["reward_dense"])
        self._film.show(self._reached)
        truncated = self._elapsed_steps >= self._horizon
        seen = self._with_pictures(observation)
        return seen, reward, self._reached, truncated, info

    @property
    def compute_reward(self) -> Callable[[Goals, Goals, Any], NDArray[np.float32]]:
        """The function from achieved goal, desired goal and info to the reward; info is ignored.

        For goals of shape (goal,) or (batch, goal), the reward is () or (batch,). The attribute is
        missing if observations hold no goals, or entries that can't be relabelled: its presence
        tells libraries that hindsight relabelling works.
        """
        if self._camera is not None and self._camera.shows_goal:
            raise AttributeError("observations hold no goals to compute a reward of")
        if self._goal_relative:
            raise AttributeError("what goal_relative adds to observations can't be relabelled")
        return self._compute_reward

    def _compute_reward(
        self, achieved_goal: Goals, desired_goal: Goals, info: Any
    ) -> NDArray[np.float32]:
        distance = self._task.distance(
            np.asarray(achieved_goal, np.float32), np.asarray(desired_goal, np.float32)
        )
        if self._sparse:
            return np.asarray(self._is_success(distance), np.float32) - np.float32(1)
        return -distance

    def _is_success(self, distance: NDArray[np.float32] | float) -> Any:
        return distance < self._task.threshold

    def _observed(
        self, state: NDArray[np.float32], achieved: NDArray[np.float32]
    ) -> tuple[Observation, Info]:
        distance = float(self._task.distance(achieved, self._goal))
        self._reached = bool(self._is_success(distance))
        info = {
            "is_success": np.True_ if self._reached else np.False_,
            "distance": np.float64(distance),
            "reward_sparse": _SPARSE[self._reached],
            "reward_dense": np.float64(-distance),
            **self._disturbances.told(),
        }
        return self._senses.observation(state, achieved, self._goal), info

    def _with_pictures(self, observation: Observation) -> Observation:
        if self._camera is None or self._picture_world is None:
            return observation
        pictures = self._picture_world.pictures(self._robot, self._scene, self._goal)
        seen: Observation = self._camera.observation(observation, self._senses.robot_size, pictures)
        return seen

    def _show_goal(self) -> None:
        if self.render_mode is not None:
            self._task.show_goal(self._goal)

    def render(self) -> Any:
        """A picture (height, width, 3), a list of pictures, or None, depending on `render_mode`."""
        return self._film.taken(self._reached)

    def _seen(self) -> Observation:
        """The current observation."""
        observation, _ = self._observed(*self._senses.read(self._elapsed_steps))
        self._show_goal()
        return self._with_pictures(observation)

    def black_box(self) -> ArmBox | None:
        """An equivalent black box with gradients; None: there is none.

        There is one if only a Panda moves, without randomization, image observations and
        `goal_relative`.
        """
        panda_alone = self._task_class.arm_only and self._robot.model == PANDA
        if not panda_alone or self._camera or self._randomization or self._goal_relative:
            return None
        from nondiff.envs.arm.gradients.black_box import ArmBox

        return ArmBox(
            self._task_class,
            self._control_type,
            self._sparse,
            self._horizon,
            self._physics,
            self.observation_space,
            self.action_space,
        )

    def close(self) -> None:
        """Free the simulator."""
        self._simulation.close()
        if self._picture_world is not None:
            self._picture_world.close()


def _check_reward_type(reward_type: str) -> None:
    if reward_type not in REWARD_TYPES:
        raise InvalidOptionError(
            f"reward_type {reward_type!r} is unknown; choose from {', '.join(REWARD_TYPES)}"
        )
