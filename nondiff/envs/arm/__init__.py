"""A robot arm in PyBullet: simulation, scene, robot and task, joined by one environment.

The public names, for tasks and robots of your own, are imported on first use.
"""

from typing import TYPE_CHECKING

from nondiff.gym.family import Family
from nondiff.lazy_names import lazy_names
from nondiff.requirements import Need

if TYPE_CHECKING:  # the same names again, for type checkers and editors
    from nondiff.envs.arm.env import ArmEnv as ArmEnv
    from nondiff.envs.arm.experts.expert import find_expert as find_expert
    from nondiff.envs.arm.robots.panda import PANDA as PANDA
    from nondiff.envs.arm.robots.robot import EE_STEP as EE_STEP
    from nondiff.envs.arm.robots.robot import RobotModel as RobotModel
    from nondiff.envs.arm.tasks.reach import Reach as Reach
    from nondiff.envs.arm.tasks.task import Task as Task
    from nondiff.envs.arm.tasks.task import euclidean as euclidean
    from nondiff.envs.arm.tasks.task import on_the_table as on_the_table
    from nondiff.envs.arm.world.shapes import Box as Box
    from nondiff.envs.arm.world.shapes import Cylinder as Cylinder
    from nondiff.envs.arm.world.shapes import Sphere as Sphere

TASKS = (
    "panda_reach",
    "panda_push",
    "panda_slide",
    "panda_pick_and_place",
    "panda_stack",
    "panda_flip",
    "kuka_reach",
)


def _id(task: str, ending: str) -> str:
    return f"nondiff/{task.title().replace('_', '')}{ending}-v0"


FAMILY = Family(
    environments={
        _id(task, ending): (f"suite:{task}", {"reward_type": reward_type})
        for task in TASKS
        for ending, reward_type in (("", "sparse"), ("Dense", "dense"))
    },
    needs=(Need("package", "pybullet", "pip install nondiff"),),
    vectorised=True,
)

_PLACES = {
    "ArmEnv": "nondiff.envs.arm.env",
    "find_expert": "nondiff.envs.arm.experts.expert",
    "PANDA": "nondiff.envs.arm.robots.panda",
    "EE_STEP": "nondiff.envs.arm.robots.robot",
    "RobotModel": "nondiff.envs.arm.robots.robot",
    "Reach": "nondiff.envs.arm.tasks.reach",
    "Task": "nondiff.envs.arm.tasks.task",
    "euclidean": "nondiff.envs.arm.tasks.task",
    "on_the_table": "nondiff.envs.arm.tasks.task",
    "Box": "nondiff.envs.arm.world.shapes",
    "Cylinder": "nondiff.envs.arm.world.shapes",
    "Sphere": "nondiff.envs.arm.world.shapes",
}

__all__ = sorted(_PLACES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(globals(), _PLACES)
