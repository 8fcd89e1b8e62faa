"""How fast the arm is: nondiff, panda-gym 3.0.7, and raw PyBullet, in turns.

    python benchmarks/arm_throughput.py --output docs/results/arm_throughput

One environment alone in CPU time (`arm_steps.py`), then eight at once under Stable-Baselines3 in
elapsed time too, which wants a machine that does nothing else (`arm_vector.py`). panda-gym is
installed on the first run into a folder of its own, and runs on the PyBullet, Gymnasium, NumPy and
Stable-Baselines3 that nondiff runs on.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import arm_steps
import arm_vector
import psutil
import tyro
from arm_peer import BROKEN, PEER, engine, install_peer
from measuring import surroundings, write

HEADING = """# Speed of the arm

`python benchmarks/arm_throughput.py`: ratios of times, medians over blocks in turns, with their
95 % intervals. Random actions. panda-gym has no Flip to compare with: {flip}.
At the end {load:.0f} processes wanted to run on {cpus} CPUs; elapsed time counts only where that is
about the number of CPUs.

## One environment, CPU time
A step, a reset, and a step that gives a picture of 84 x 84 pixels (nondiff: `camera="rgb"`;
panda-gym: `render()`). "raw" is PyBullet with the same motor targets and as many calls of
`stepSimulation`, in nondiff's world; "fast" is nondiff with `physics="fast"`, a coarser physics.

{steps}

## {num_envs} environments under Stable-Baselines3, {cores} cores
nondiff: `gymnasium.make_vec` with {processes} processes; panda-gym: `SubprocVecEnv`. A step of one
environment, resets included; elapsed time, and CPU time of all processes.

{vector}
"""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    tasks: tuple[str, ...] = ("Reach", "Push", "Slide", "PickAndPlace", "Stack", "Flip")
    """Tasks, all by end-effector control, and Reach by joint control too."""
    steps: arm_steps.StepsConfig = field(default_factory=arm_steps.StepsConfig)
    vector: arm_vector.VectorConfig = field(default_factory=arm_vector.VectorConfig)
    peer: Path = Path("~/.cache/nondiff/panda-gym-3.0.7")
    """Where panda-gym is kept; installed when missing."""
    output: Path | None = None
    """Write OUTPUT.json and OUTPUT.md."""


def measured_steps(config: Config, peer: Path) -> dict[str, arm_steps.Samples]:
    """Of each environment alone."""
    rows = [(task, task, "ee") for task in config.tasks]
    if "Reach" in config.tasks:
        rows.insert(1, ("Reach, joints", "Reach", "joints"))
    return {
        name: arm_steps.measure(config.steps, task, control, peer) for name, task, control in rows
    }


def measured_vectors(config: Config, peer: Path) -> dict[str, arm_vector.Samples]:
    """Of those that panda-gym can run."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[: config.vector.cores]
        os.sched_setaffinity(0, cores)
    tasks = [task for task in config.tasks if task not in BROKEN]
    return {task: arm_vector.measure(config.vector, task, peer) for task in tasks}


def report(config: Config, steps: dict[str, Any], vector: dict[str, Any], load: float) -> str:
    """Both tables and what they mean; `load` is the mean number of processes that wanted to run."""
    return HEADING.format(
        flip=BROKEN["Flip"],
        load=load,
        cpus=os.cpu_count(),
        steps=arm_steps.table(steps),
        vector=arm_vector.table(vector),
        num_envs=config.vector.num_envs,
        processes=config.vector.processes,
        cores=config.vector.cores,
    ).strip()


def main(config: Config) -> None:
    """Measure, print the tables and write them if asked."""
    if min(config.steps.blocks, config.vector.blocks) < 2:
        raise SystemExit("blocks must be at least 2, or there is no interval")
    peer = install_peer(config.peer.expanduser())
    samples = {"steps": measured_steps(config, peer), "vector": measured_vectors(config, peer)}
    steps = {name: arm_steps.summary(one) for name, one in samples["steps"].items()}
    vector = {name: arm_vector.summary(one) for name, one in samples["vector"].items()}
    load = psutil.getloadavg()[1]
    text = report(config, steps, vector, load)
    print(text)
    if config.output is not None:
        packages = ("nondiff", "gymnasium", "numpy", "stable-baselines3", engine())
        document = {
            "steps_config": asdict(config.steps),
            "vector_config": asdict(config.vector),
            **surroundings(packages, peer=PEER),
            "load_of_five_minutes": load,
            "results": {"steps": steps, "vector": vector},
            "samples": samples,
        }
        write(config.output, document, text)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
