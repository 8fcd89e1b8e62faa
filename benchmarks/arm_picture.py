"""Draw the arm's tasks as people see them, and one of them as a policy may.

python benchmarks/arm_picture.py        # docs/media/arm_tasks.png and arm_camera.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

import nondiff  # noqa: F401 - registers the environments
from nondiff.envs.arm.cameras.picture_world import SEGMENTS
from nondiff.envs.arm.experts.expert import find_expert

TASKS = ("Reach", "Push", "Slide", "PickAndPlace", "Stack", "Flip")
SIZE = (320, 240)  # [px] of a task's picture
FINER = 2  # as much are they drawn, which smooths edges
STEPS = 8  # of the expert, before the picture
SEED = 1
ENLARGED = 3  # pixels a pixel of what a policy sees

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Options:
    """Draw the arm's pictures."""

    out: Path = Path("docs/media")
    """Where arm_tasks.png and arm_camera.png are written."""


def acted(env: gymnasium.Env[Any, Any], expert: Any) -> Any:
    """What is observed after some steps of an expert, in the middle of its work."""
    observation, _ = env.reset(seed=SEED)
    for _ in range(STEPS):
        observation, _, terminated, _, _ = env.step(expert.predict(observation))
        if terminated:
            break
    return observation


def task_picture(name: str) -> Picture:
    """A task at work."""
    width, height = (side * FINER for side in SIZE)
    env = gymnasium.make(
        f"nondiff/Panda{name}-v0",
        render_mode="rgb_array",
        render_width=width,
        render_height=height,
    )
    acted(env, find_expert(env))
    picture = Image.fromarray(env.render()).resize(SIZE, Image.Resampling.LANCZOS)
    env.close()
    return np.asarray(picture)


def camera_pictures() -> Picture:
    """Colours, depth and segments of a task side by side."""
    modes = ["rgb", "depth_image", "segmentation"]
    env = gymnasium.make("nondiff/PandaStack-v0", camera={"modes": modes, "beside": "robot"})
    observation, _ = env.reset(seed=SEED)
    env.close()
    levels = 255 // (SEGMENTS["object"] + 1)
    parts = [observation["rgb"], observation["depth_image"], observation["segmentation"] * levels]
    row = np.hstack([np.broadcast_to(part, (*part.shape[:2], 3)) for part in parts])
    return row.repeat(ENLARGED, 0).repeat(ENLARGED, 1)


def main(options: Options) -> None:
    """Draw and write them."""
    tasks = [task_picture(name) for name in TASKS]
    grid = np.vstack([np.hstack(tasks[:3]), np.hstack(tasks[3:])])
    options.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid).save(options.out / "arm_tasks.png", optimize=True)
    Image.fromarray(camera_pictures()).save(options.out / "arm_camera.png", optimize=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
