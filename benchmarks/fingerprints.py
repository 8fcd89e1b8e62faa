"""Prints the checksum of the last policy of twenty short trainings, to compare two versions' bits.

python benchmarks/fingerprints.py --checkout ../older > older.txt
python benchmarks/fingerprints.py > newer.txt && diff older.txt newer.txt
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

HERE = Path(__file__).parents[1]
SHORT = "--eval-every 1000000 --eval-episodes 2 --judge-episodes 2 --name run"  # also of 0.1.0
TRAININGS = """
CartPole-v1 ppo 2048 --n-steps 256 --num-envs 2
CartPole-v1 a2c 1000
CartPole-v1 trpo 2048 --n-steps 512
CartPole-v1 cma-es 4000
Pendulum-v1 ppo 2048 --n-steps 256 --normalize-observation --normalize-reward
Pendulum-v1 sac 600
Pendulum-v1 td3 600
Pendulum-v1 tqc 600
nondiff/PandaReachDense-v0 ppo 1024
nondiff/PandaReachDense-v0 surrogate 300
nondiff/PandaReachDense-v0 manual 300
nondiff/PandaReachDense-v0 autodiff 300
nondiff/PandaReach-v0 sac 400
nondiff/PandaPush-v0 tqc 400
nondiff/SurfaceWaves6-v0 ppo 300
nondiff/SurfaceWaves6-v0 surrogate 300
nondiff/SurfaceWaves6-v0 finite-difference 300
nondiff/SurfaceWaves-v0 manual 300
nondiff/OpAmp-v0 cma-es 200
nondiff/YagiAntenna-v0 surrogate 200
"""


@dataclass(frozen=True)
class Options:
    """Train shortly with every strategy, and print the checksums of the last policies."""

    checkout: Path = HERE
    """Of the version to try, with its `.venv` or the packages of this one."""


def fingerprint(checkout: Path, training: str) -> str:
    """The checksum of the weights that a training ends with; the reason, if it fails."""
    env, strategy, budget, *more = training.split()
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "train.py", "--env", env, "--strategy", strategy]
        command += ["--budget", budget, "--runs", runs, *SHORT.split(), *more]
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
        models = sorted((Path(runs) / "run" / "models").glob("*/*.safetensors"))
        return hashlib.sha256(b"".join(path.read_bytes() for path in models)).hexdigest()[:16]


def main() -> None:
    """Print a line a training."""
    options = tyro.cli(Options)
    for training in TRAININGS.strip().splitlines():
        print(f"{fingerprint(options.checkout, training)}  {training}", flush=True)


if __name__ == "__main__":
    main()
