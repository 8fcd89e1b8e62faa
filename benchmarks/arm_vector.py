"""Environment steps of the arm under Stable-Baselines3, many at once.

On the one side `gymnasium.make_vec` with two processes, in a `BatchedVecEnv`, by default and with
fast physics; on the other panda-gym in Stable-Baselines3's own `SubprocVecEnv`, a process an
environment, with the same number of environments. All are open in one process tree on the same
cores, get the same random actions and take turns in short blocks, the order reversed from block to
block; ratios are taken block by block, of elapsed time and of the CPU time of all processes. The
resets of episodes that end belong to the steps.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from measuring import cpu_seconds, interval
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from nondiff.agents.sb3.vec_envs.batched import BatchedVecEnv

SIDES = ("nondiff", "fast", "panda-gym")
CLOCKS = ("elapsed", "cpu")
TARGETS = {"nondiff": 1.55, "fast": 2.5}  # of elapsed time, panda-gym over the side
Samples = dict[str, dict[str, list[float]]]  # side -> clock -> microseconds, one a block


@dataclass(frozen=True)
class VectorConfig:
    """What to measure of many environments at once."""

    num_envs: int = 8
    """Environments of each side."""
    processes: int = 2
    """Worker processes of nondiff; panda-gym has one an environment."""
    cores: int = 2
    """Cores that all processes share, where the system lets them be chosen."""
    blocks: int = 30
    """Blocks of each side, after one that warms up."""
    steps: int = 50
    """Steps of every environment a block."""


def make_panda_gym(task: str) -> gymnasium.Env:
    """The peer's environment as its users make it."""
    import panda_gym

    assert panda_gym.ENV_IDS
    return Monitor(gymnasium.make(f"Panda{task}-v3"))


def made(config: VectorConfig, task: str, side: str) -> VecEnv:
    """The environments of a side."""
    if side == "panda-gym":
        return SubprocVecEnv([partial(make_panda_gym, task)] * config.num_envs)
    arguments = {"physics": "fast"} if side == "fast" else {}
    env_id = f"nondiff:nondiff/Panda{task}-v0"
    return BatchedVecEnv(
        gymnasium.make_vec(env_id, config.num_envs, processes=config.processes, **arguments)
    )


def time_block(env: VecEnv, actions: np.ndarray) -> dict[str, float]:
    """Seconds of a block by each clock."""
    started, used = time.perf_counter(), cpu_seconds()
    for action in actions:
        env.step(action)
    return {"elapsed": time.perf_counter() - started, "cpu": cpu_seconds() - used}


def measure(config: VectorConfig, task: str, peer: Path) -> Samples:
    """Time the sides in turn, block by block."""
    if str(peer) not in sys.path:
        sys.path.append(str(peer))  # which the processes are given as they start
    samples: Samples = {side: {clock: [] for clock in CLOCKS} for side in SIDES}
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        envs = {side: stack.enter_context(closing(made(config, task, side))) for side in SIDES}
        for env in envs.values():
            env.seed(0)
            env.reset()
        size = (config.steps, config.num_envs, *envs["nondiff"].action_space.shape)
        for block in range(config.blocks + 1):
            actions = rng.uniform(-1, 1, size).astype(np.float32)
            for side in SIDES[:: 1 if block % 2 else -1]:
                seconds = time_block(envs[side], actions)
                for clock in CLOCKS if block else ():
                    per_step = seconds[clock] / (config.steps * config.num_envs)
                    samples[side][clock].append(1e6 * per_step)
    return samples


def summary(samples: Samples) -> dict[str, Any]:
    """Medians [us per environment step], and panda-gym over each side with 95 % intervals."""
    result: dict[str, Any] = {"microseconds": {}, "ratio": {}}
    for clock in CLOCKS:
        result["microseconds"][clock] = {side: np.median(samples[side][clock]) for side in SIDES}
        result["ratio"][clock] = {
            side: interval(np.divide(samples["panda-gym"][clock], samples[side][clock]))
            for side in TARGETS
        }
    return result


def table(results: dict[str, Any]) -> str:
    """The results as a table in Markdown, a row an environment."""
    columns = [f"{clock}, panda-gym / {side}" for clock in CLOCKS for side in TARGETS]
    targets = [f"at least {target}" for target in TARGETS.values()] + [""] * len(TARGETS)
    lines = [
        f"| environment | nondiff | {' | '.join(columns)} |",
        "|---" * (len(columns) + 2) + "|",
        f"| target | | {' | '.join(targets)} |",
    ]
    for task, result in results.items():
        found = [result["ratio"][clock][side] for clock in CLOCKS for side in TARGETS]
        cells = " | ".join(f"{median:.2f} [{low:.2f}, {high:.2f}]" for median, low, high in found)
        step = result["microseconds"]["elapsed"]["nondiff"]
        lines.append(f"| {task} | {step:.0f} us | {cells} |")
    return "\n".join(lines)
