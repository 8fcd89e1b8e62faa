"""Environment steps a second under Stable-Baselines3: ours by one call, panda-gym's by processes.

    python benchmarks/arm_vector_throughput.py --output docs/results/arm_vector_throughput

On the one side `gymnasium.make_vec` with two processes, in a `BatchedVecEnv`; on the other
panda-gym 3.0.7 in Stable-Baselines3's own `SubprocVecEnv`, a process an environment, with the same
number of environments. Both are open in one process tree on the same cores, get the same random
actions and take turns in short blocks, the order reversed from block to block; ratios are taken
block by block, of elapsed time and of the CPU time of all processes. The resets of episodes that
end belong to the steps. panda-gym is installed on the first run into a folder of its own, and runs
on the PyBullet, Gymnasium, NumPy and Stable-Baselines3 that nondiff runs on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import tyro
from arm_throughput import PEER, engine
from measuring import cpu_seconds, interval, rendered, surroundings, write
from rich import box
from rich.table import Table
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from nondiff.agents.reinforcement.batched import BatchedVecEnv

SIDES = ("nondiff", "panda-gym")
CLOCKS = ("elapsed", "cpu")
TARGET = 1.55  # of elapsed time, panda-gym / nondiff
Samples = dict[str, dict[str, list[float]]]  # side -> clock -> microseconds, one a block


@dataclass(frozen=True)
class Config:
    """What to measure."""

    tasks: tuple[str, ...] = ("Reach", "Push", "Slide", "PickAndPlace", "Stack")
    """Tasks that panda-gym can run; its Flip can't be made."""
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
    peer: Path = Path("~/.cache/nondiff/panda-gym-3.0.7-only")
    """Where panda-gym is kept; installed when missing."""
    output: Path | None = None
    """Write OUTPUT.json and OUTPUT.md."""


def install_peer(folder: Path) -> None:
    """See to it that processes started from here can import panda-gym."""
    if not (folder / "panda_gym").is_dir():
        print(f"installing {PEER}", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", folder, PEER]
        subprocess.run(pip, check=True)
    sys.path.append(str(folder))  # which the processes are given as they start


def make_panda_gym(task: str) -> gymnasium.Env:
    """The peer's environment as its users make it."""
    import panda_gym

    assert panda_gym.ENV_IDS
    return Monitor(gymnasium.make(f"Panda{task}-v3"))


def both(config: Config, task: str) -> dict[str, VecEnv]:
    """The environments of both sides."""
    ours = gymnasium.make_vec(
        f"nondiff:nondiff/Panda{task}-v0", config.num_envs, processes=config.processes
    )
    theirs = SubprocVecEnv([partial(make_panda_gym, task)] * config.num_envs)
    return {"nondiff": BatchedVecEnv(ours), "panda-gym": theirs}


def time_block(env: VecEnv, actions: np.ndarray) -> dict[str, float]:
    """Seconds of a block by each clock."""
    started, used = time.perf_counter(), cpu_seconds()
    for action in actions:
        env.step(action)
    return {"elapsed": time.perf_counter() - started, "cpu": cpu_seconds() - used}


def measure(config: Config, task: str) -> Samples:
    """Time both sides in turn, block by block."""
    samples: Samples = {side: {clock: [] for clock in CLOCKS} for side in SIDES}
    made = both(config, task)
    rng = np.random.default_rng(0)
    with closing(made["nondiff"]), closing(made["panda-gym"]):
        for env in made.values():
            env.seed(0)
            env.reset()
        size = (config.steps, config.num_envs, *made["nondiff"].action_space.shape)
        for block in range(config.blocks + 1):
            actions = rng.uniform(-1, 1, size).astype(np.float32)
            for side in SIDES[:: 1 if block % 2 else -1]:
                seconds = time_block(made[side], actions)
                for clock in CLOCKS if block else ():
                    per_step = seconds[clock] / (config.steps * config.num_envs)
                    samples[side][clock].append(1e6 * per_step)
    return samples


def summary(samples: Samples) -> dict[str, Any]:
    """Medians [us per environment step], and the ratios panda-gym / nondiff with 95 % intervals."""
    result: dict[str, Any] = {"microseconds": {}, "ratio": {}}
    for clock in CLOCKS:
        result["microseconds"][clock] = {side: np.median(samples[side][clock]) for side in SIDES}
        ratios = np.divide(samples["panda-gym"][clock], samples["nondiff"][clock])
        result["ratio"][clock] = interval(ratios)
    return result


def table(results: dict[str, Any]) -> str:
    """The results as a table in Markdown."""
    rows = Table("task", "clock", *SIDES, "ratio", "target", box=box.MARKDOWN)
    for task, result in results.items():
        for clock in CLOCKS:
            costs = (f"{result['microseconds'][clock][side]:.0f} us" for side in SIDES)
            median, low, high = result["ratio"][clock]
            target = f"at least {TARGET}" if clock == "elapsed" else ""
            rows.add_row(task, clock, *costs, f"{median:.2f} [{low:.2f}, {high:.2f}]", target)
    return rendered(rows)


def main(config: Config) -> None:
    """Measure each task, print the table and write it if asked."""
    install_peer(config.peer.expanduser())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: config.cores])
    samples = {task: measure(config, task) for task in config.tasks}
    results = {task: summary(samples[task]) for task in samples}
    print(table(results))
    if config.output is not None:
        document = described(config) | {"results": results, "samples": samples}
        write(config.output, document, table(results))


def described(config: Config) -> dict[str, Any]:
    """What was run, on what."""
    packages = ("nondiff", "gymnasium", "numpy", "stable-baselines3", engine())
    return {
        "num_envs": config.num_envs,
        "processes": config.processes,
        "cores": config.cores,
        "blocks": config.blocks,
        "steps_per_block": config.steps,
        **surroundings(packages, peer=PEER),
    }


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
