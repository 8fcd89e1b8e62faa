"""A robot arm in PyBullet: simulation, scene, robot and task, joined by one environment."""

from nondiff.gym.family import Family
from nondiff.requirements import Need

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
