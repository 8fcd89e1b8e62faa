"""One side of `arm_steps.py`, timed in a process of its own.

    python arm_worker.py SIDE TASK CONTROL

Each line in asks for a block as JSON, {"seed": 3, "step": 100, "reset": 20, "picture": 5}; each
line out answers with CPU seconds for the whole block of each quantity that this side has.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

SIZE = 84  # [px] of pictures
PANDA_GYM_SIZE = {"render_width": SIZE, "render_height": SIZE, "renderer": "Tiny"}
Block = Callable[[int, dict[str, int]], dict[str, float]]


def private_stdout() -> Any:
    """A writer of replies that PyBullet's prints from C can't mix with."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return replies


@contextmanager
def silent_stderr() -> Iterator[None]:
    """PyBullet greets from C at import; errors are raised after this and still seen."""
    saved = os.dup(2)
    os.dup2(1, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def make_nondiff(task: str, control: str, **arguments: Any) -> gymnasium.Env:
    """Our environment as its users make it."""
    return gymnasium.make(f"nondiff:nondiff/Panda{task}-v0", control_type=control, **arguments)


def make_panda_gym(task: str, control: str, **arguments: Any) -> gymnasium.Env:
    """The peer's environment as its users make it."""
    with silent_stderr():
        import panda_gym

        assert panda_gym.ENV_IDS
        joints = "Joints" if control == "joints" else ""
        return gymnasium.make(f"Panda{task}{joints}-v3", **arguments)


def random_actions(env: gymnasium.Env, seed: int, count: int) -> Iterator[np.ndarray]:
    """Uniform actions that depend on the seed and the action space alone."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)


def time_steps(env: gymnasium.Env, seed: int, count: int, render: bool = False) -> float:
    """CPU seconds of `count` steps, rendered if asked; resets between episodes are not counted."""
    elapsed = 0.0
    env.reset(seed=seed)
    for action in random_actions(env, seed, count):
        started = time.process_time()
        _, _, terminated, truncated, _ = env.step(action)
        if render:
            env.render()
        elapsed += time.process_time() - started
        if terminated or truncated:
            env.reset()
    return elapsed


def time_resets(env: gymnasium.Env, seed: int, count: int) -> float:
    """CPU seconds of `count` resets, each from a state that has moved."""
    elapsed = 0.0
    env.reset(seed=seed)
    for action in random_actions(env, seed, count):
        env.step(action)
        started = time.process_time()
        env.reset()
        elapsed += time.process_time() - started
    return elapsed


def environment_block(
    env: gymnasium.Env, seeing: gymnasium.Env | None = None, render: bool = False
) -> Block:
    """Blocks of random actions through `env`, and through `seeing`, which gives pictures.

    They are in its observations, or come by `render`.
    """

    def block(seed: int, counts: dict[str, int]) -> dict[str, float]:
        seconds = {
            "step": time_steps(env, seed, counts["step"]),
            "reset": time_resets(env, seed, counts["reset"]),
        }
        if seeing is not None:
            seconds["picture"] = time_steps(seeing, seed, counts["picture"], render)
        return seconds

    return block


def record_targets(env: gymnasium.Env, seed: int, count: int) -> list[tuple[Any, Any]]:
    """Of each episode of a nondiff block the state it starts from and its motor commands."""
    body = env.unwrapped._robot._body
    drive = body.drive_joints
    episodes: list[tuple[Any, Any]] = []

    def recorded(*arguments: Any) -> None:
        episodes[-1][1].append(arguments)
        drive(*arguments)

    body.drive_joints = recorded
    env.reset(seed=seed)
    episodes.append((env.unwrapped.get_state(), []))
    for action in random_actions(env, seed, count):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
            episodes.append((env.unwrapped.get_state(), []))
    del body.drive_joints
    return episodes


def replay_block(env: gymnasium.Env) -> Block:
    """Blocks of nothing but PyBullet: motor targets and `stepSimulation`.

    The targets, the world and the states that episodes start from are nondiff's own, so that the
    physics is the same to the bit; that is asserted on the last state of every block.
    """
    import pybullet as bullet

    unwrapped = env.unwrapped
    client, body = unwrapped._simulation.client, unwrapped._robot.body
    substeps = range(unwrapped._physics.substeps)

    def end_effector() -> tuple[float, ...]:
        return bullet.getLinkState(body, 11, 1, 1, client)[4]

    def command(joints: Any, targets: Any, forces: Any) -> None:
        bullet.setJointMotorControlArray(
            body,
            joints,
            bullet.POSITION_CONTROL,
            targetPositions=targets,
            forces=forces,
            physicsClientId=client,
        )

    def block(seed: int, counts: dict[str, int]) -> dict[str, float]:
        episodes = record_targets(env, seed, counts["step"])
        recorded = end_effector()
        elapsed = 0.0
        for start, commands in episodes:
            unwrapped.set_state(start)
            for arguments in commands:
                started = time.process_time()
                command(*arguments)
                for _ in substeps:
                    bullet.stepSimulation(client)
                elapsed += time.process_time() - started
        assert end_effector() == recorded, "the replay is not the recorded physics"
        return {"step": elapsed}

    return block


def made_block(side: str, task: str, control: str) -> Block:
    """What a side does."""
    if side == "raw":
        return replay_block(make_nondiff(task, control))
    if side == "fast":
        return environment_block(make_nondiff(task, control, physics="fast"))
    if side == "nondiff":
        seeing = make_nondiff(task, control, camera={"width": SIZE, "height": SIZE})
        return environment_block(make_nondiff(task, control), seeing)
    seeing = make_panda_gym(task, control, render_mode="rgb_array", **PANDA_GYM_SIZE)
    return environment_block(make_panda_gym(task, control), seeing, render=True)


def main(side: str, task: str, control: str) -> None:
    """Answer blocks until stdin closes."""
    replies = private_stdout()
    block = made_block(side, task, control)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(block(request.pop("seed"), request)), file=replies, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
