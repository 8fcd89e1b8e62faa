"""One side of `arm_throughput.py`, timed in a process of its own.

Runs in panda-gym's environment too, where nondiff is not installed: simulators are imported late.
Each line in asks for a block as JSON, {"seed": 3, "steps": 100, "resets": 20}; each line out
answers with CPU seconds for the whole block, {"step": 0.12, "reset": 0.004}.
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

SUBSTEPS = 20
Block = Callable[[int, int, int], dict[str, float]]


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


def make_nondiff(control: str) -> gymnasium.Env:
    """Our environment as its users make it."""
    import nondiff

    assert nondiff.envs.ENVIRONMENTS
    return gymnasium.make("nondiff/PandaReach-v0", control_type=control)


def make_panda_gym(control: str) -> gymnasium.Env:
    """The peer's environment as its users make it."""
    with silent_stderr():
        import panda_gym

        assert panda_gym.ENV_IDS
        return gymnasium.make("PandaReachJoints-v3" if control == "joints" else "PandaReach-v3")


def random_actions(env: gymnasium.Env, seed: int, count: int) -> Iterator[np.ndarray]:
    """Uniform actions that depend on the seed and the action space alone."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)


def time_steps(env: gymnasium.Env, seed: int, count: int) -> float:
    """CPU seconds of `count` steps; the resets between episodes are not counted."""
    elapsed = 0.0
    env.reset(seed=seed)
    for action in random_actions(env, seed, count):
        started = time.process_time()
        _, _, terminated, truncated, _ = env.step(action)
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


def environment_block(env: gymnasium.Env) -> Block:
    """Blocks of random actions through `env`."""

    def block(seed: int, steps: int, resets: int) -> dict[str, float]:
        return {"step": time_steps(env, seed, steps), "reset": time_resets(env, seed, resets)}

    return block


def record_targets(env: gymnasium.Env, seed: int, count: int) -> list[list[tuple[Any, ...]]]:
    """The arguments of every motor command of a nondiff block, episode by episode."""
    body = env.unwrapped._robot._body
    drive = body.drive_joints
    episodes: list[list[tuple[Any, ...]]] = [[]]

    def recorded(*arguments: Any) -> None:
        episodes[-1].append(arguments)
        drive(*arguments)

    body.drive_joints = recorded
    env.reset(seed=seed)
    for action in random_actions(env, seed, count):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
            episodes.append([])
    del body.drive_joints
    return episodes


def replay_block(env: gymnasium.Env) -> Block:
    """Blocks of nothing but PyBullet: motor targets and `stepSimulation`.

    The targets, the world and the states that episodes start from are nondiff's own, so that the
    physics is the same to the bit; that is asserted on the last state of every block.
    """
    import pybullet as bullet

    simulation = env.unwrapped._simulation
    client = simulation.client
    body = env.unwrapped._robot._body.body

    def end_effector(body: int) -> tuple[float, ...]:
        return bullet.getLinkState(body, 11, 1, 1, client)[4]

    def block(seed: int, steps: int, resets: int) -> dict[str, float]:
        episodes = record_targets(env, seed, steps)
        recorded = end_effector(body)
        elapsed = 0.0
        for episode in episodes:
            simulation.reset()
            for joints, targets, forces in episode:
                started = time.process_time()
                bullet.setJointMotorControlArray(
                    body,
                    joints,
                    bullet.POSITION_CONTROL,
                    targetPositions=targets,
                    forces=forces,
                    physicsClientId=client,
                )
                for _ in range(SUBSTEPS):
                    bullet.stepSimulation(client)
                elapsed += time.process_time() - started
        assert end_effector(body) == recorded, "the replay is not the recorded physics"
        return {"step": elapsed}

    return block


def main(side: str, control: str) -> None:
    """Answer blocks until stdin closes."""
    replies = private_stdout()
    if side == "raw":
        block = replay_block(make_nondiff(control))
    else:
        make = {"nondiff": make_nondiff, "panda-gym": make_panda_gym}[side]
        block = environment_block(make(control))
    for line in sys.stdin:
        print(json.dumps(block(**json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
