"""CPU time of a step and of a reset of PandaReach: nondiff, panda-gym 3.0.7, and raw PyBullet.

    python benchmarks/arm_throughput.py --output docs/results/arm_throughput

The three run in worker processes (`arm_worker.py`) that stay alive and take turns in short blocks,
so that a busy machine slows all of them alike; ratios are taken block by block. panda-gym is
installed on the first run into an environment of its own, with the versions of PyBullet, Gymnasium
and NumPy that nondiff runs on (PyBullet has no wheel for Python 3.12 and later and compiles there).
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from measuring import interval, rendered, surroundings, write
from rich import box
from rich.table import Table

PEER = "panda-gym==3.0.7"
WORKER = Path(__file__).with_name("arm_worker.py")
SIDES = ("nondiff", "panda-gym", "raw")
# quantity, numerator, denominator, target; panda-gym / raw is the most a wrapper could gain
RATIOS = (
    ("step", "panda-gym", "nondiff", "at least 1.25"),
    ("step", "nondiff", "raw", "at most 1.15"),
    ("step", "panda-gym", "raw", ""),
    ("reset", "panda-gym", "nondiff", "at least 4"),
)
Samples = dict[str, dict[str, list[float]]]  # side -> step or reset -> microseconds, one a block


@dataclass(frozen=True)
class Config:
    """What to measure."""

    blocks: int = 40
    """Blocks of each of the three, after one that warms up."""
    steps: int = 100
    """Steps a block."""
    resets: int = 30
    """Resets a block."""
    peer: Path = Path("~/.cache/nondiff/panda-gym-3.0.7")
    """Where panda-gym's environment is kept; installed when missing or incomplete."""
    output: Path | None = None
    """Write OUTPUT.json and OUTPUT.md."""


def engine() -> str:
    """Which of PyBullet's two distributions is in use."""
    try:
        version("pybullet")
    except PackageNotFoundError:
        return "pybullet-arm64"
    return "pybullet"


def installed_peer(folder: Path) -> Path:
    """The Python of panda-gym's environment, which is made unless it is there and complete."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    same = {"gymnasium", "numpy", engine()} - {"pybullet-arm64"}  # which panda-gym can't ask for
    packages = [PEER, *sorted(f"{name}=={version(name)}" for name in same)]
    complete = folder / "complete.json"
    wanted = json.dumps([platform.python_version(), *packages])
    if complete.exists() and complete.read_text() == wanted:
        return python
    print(f"installing {PEER}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-qq", *packages], check=True)
    complete.write_text(wanted)
    return python


class Worker:
    """A process that times blocks of one side."""

    def __init__(self, python: Path, side: str, control: str) -> None:
        self._process = subprocess.Popen(
            [python, WORKER, side, control],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def block(self, **request: int) -> dict[str, float]:
        """Ask for a block and wait for its CPU seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin)
        reply = self._process.stdout.readline()
        if not reply:
            raise RuntimeError(f"the worker {self._process.args[2:]} died; see its error above")
        return json.loads(reply)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def measure(config: Config, control: str, peer: Path) -> Samples:
    """Time the three sides in turn, block by block."""
    pythons = {"nondiff": Path(sys.executable), "panda-gym": peer, "raw": Path(sys.executable)}
    samples: Samples = {side: {"step": [], "reset": []} for side in SIDES}
    counts = {"step": config.steps, "reset": config.resets}
    orders = itertools.cycle(itertools.permutations(SIDES))
    with ExitStack() as stack:
        workers = {
            side: stack.enter_context(Worker(pythons[side], side, control)) for side in SIDES
        }
        for seed in range(config.blocks + 1):
            for side in next(orders):
                seconds = workers[side].block(seed=seed, steps=config.steps, resets=config.resets)
                for quantity, value in seconds.items():
                    if seed > 0:
                        samples[side][quantity].append(1e6 * value / counts[quantity])
    return samples


def ratio(samples: Samples, quantity: str, of: str, to: str, target: str) -> dict[str, Any]:
    """The median of block-by-block ratios with its 95 % bootstrap interval."""
    ratios = np.divide(samples[of][quantity], samples[to][quantity])
    row = {"quantity": quantity, "of": of, "to": to, "target": target}
    return row | dict(zip(("median", "low", "high"), interval(ratios), strict=True))


def summary(samples: Samples) -> dict[str, Any]:
    """Medians in microseconds, and the ratios of `RATIOS`."""
    medians = {
        side: {quantity: np.median(values) for quantity, values in rows.items() if values}
        for side, rows in samples.items()
    }
    return {"cpu_microseconds": medians, "ratios": [ratio(samples, *row) for row in RATIOS]}


def table(results: dict[str, Any]) -> str:
    """The results as a table in Markdown."""
    rows = Table("control", "quantity", "CPU time", "target", box=box.MARKDOWN)
    for control, result in results.items():
        for side, medians in result["cpu_microseconds"].items():
            for quantity, value in medians.items():
                rows.add_row(control, f"{quantity} of {side}", f"{value:.0f} us", "")
        for row in result["ratios"]:
            name = f"{row['quantity']}, {row['of']} / {row['to']}"
            value = f"{row['median']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
            rows.add_row(control, name, value, row["target"])
    return rendered(rows)


def provenance(config: Config) -> dict[str, Any]:
    """What was run, on what."""
    return {
        "blocks": config.blocks,
        "steps_per_block": config.steps,
        "resets_per_block": config.resets,
        **surroundings(("nondiff", "gymnasium", "numpy", engine()), peer=PEER),
    }


def main(config: Config) -> None:
    """Measure both control types, print the table and write it if asked."""
    peer = installed_peer(config.peer.expanduser())
    samples = {control: measure(config, control, peer) for control in ("ee", "joints")}
    results = {control: summary(samples[control]) for control in samples}
    print(table(results))
    if config.output is not None:
        document = provenance(config) | {"results": results, "samples": samples}
        write(config.output, document, table(results))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
