"""A second world for image observations, so that rendering does not affect physics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.cameras.camera import Shot
from nondiff.envs.arm.cameras.camera_observation import CameraObservation, Mode
from nondiff.envs.arm.robots.robot import Robot, RobotModel
from nondiff.envs.arm.tasks.task import Task
from nondiff.envs.arm.world.scene import Scene, close_up
from nondiff.envs.arm.world.simulation import Simulation

SEGMENTS = {"nothing": 0, "table": 1, "robot": 2, "goal": 3, "object": 4}  # 5 and up: other objects
DEPTH_REACH = 0.5  # [m] before and behind the view's target: the range of a "depth_image"

Picture = NDArray[Any]


class PictureWorld:
    """A copy of the arm's world that is synchronized with it before each picture.

    Pictures are bit-identical whatever the render mode of the arm's world. To save time, there are
    no floor and no shadows, and the robot is drawn as its collision shapes.

    Args:
        task: the task's class.
        robot: the robot model.
        camera: the modes, the size and the view of the pictures.
    """

    def __init__(self, task: type[Task], robot: RobotModel, camera: CameraObservation) -> None:
        view = camera.view.over(close_up(task.table))
        self._camera = camera
        self._simulation = Simulation()
        self._scene = Scene(self._simulation, task.table, view, floor=False)
        self._robot = Robot(self._simulation, robot, "ee", task.gripper)
        self._task = task(self._scene)
        assert view.distance is not None
        self._nearest = view.distance - DEPTH_REACH
        self._segments = self._numbered()

    def pictures(self, robot: Robot, scene: Scene, goal: NDArray[np.float32]) -> dict[str, Picture]:
        """Render the current state of the arm's world; returns pictures by mode.

        Args:
            robot: the robot of the arm's world.
            scene: the scene of the arm's world.
            goal: the goal, drawn if the camera shows it.
        """
        angles = robot.joint_angles()
        self._robot.place(angles, [0.0] * len(angles))
        for ours, theirs in zip(self._scene.objects, scene.objects, strict=True):
            ours.place(theirs.position(), theirs.quaternion())
        if self._camera.shows_goal:
            self._task.show_goal(goal)
        shot = self._scene.camera.shot(self._camera.width, self._camera.height)
        return {mode: self._picture(mode, shot) for mode in self._camera.modes}

    def _picture(self, mode: Mode, shot: Shot) -> Picture:
        if mode == "rgb":
            return shot.rgb
        if mode == "depth":
            return shot.depth[..., None]
        if mode == "segmentation":
            segments: Picture = self._segments[shot.bodies + 1]
            return segments[..., None]
        levels = (shot.depth - self._nearest) * (255 / (2 * DEPTH_REACH))
        picture: Picture = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
        return picture[..., None]

    def _numbered(self) -> NDArray[np.uint8]:
        """The segment of each body, indexed by its id plus one."""
        scene = self._scene
        segments = {scene.table: SEGMENTS["table"], self._robot.body: SEGMENTS["robot"]}
        segments |= dict.fromkeys(scene.ghosts, SEGMENTS["goal"])
        for index, thing in enumerate(scene.objects):
            segments[thing.body] = SEGMENTS["object"] + index
        numbers = [segments[body] for body in range(len(segments))]
        return np.array([SEGMENTS["nothing"], *numbers], np.uint8)

    def close(self) -> None:
        """Free the simulator."""
        self._simulation.close()
