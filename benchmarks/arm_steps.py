"""CPU time of one environment of the arm alone: nondiff, panda-gym, raw PyBullet.

Worker processes (`arm_worker.py`) stay alive and take turns in short blocks, so that a busy machine
slows all of them alike; ratios are taken block by block.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from arm_peer import BROKEN
from measuring import interval

WORKER = Path(__file__).with_name("arm_worker.py")
# quantity, numerator, denominator, target; panda-gym / raw is the most a wrapper could gain
RATIOS = (
    ("step", "panda-gym", "nondiff", "at least 1.25"),
    ("step", "nondiff", "raw", "at most 1.15"),
    ("step", "panda-gym", "raw", ""),
    ("step", "nondiff", "fast", ""),
    ("reset", "panda-gym", "nondiff", "at least 4"),
    ("picture", "panda-gym", "nondiff", "at least 7"),
)
Samples = dict[str, dict[str, list[float]]]  # side -> quantity -> microseconds, one a block


@dataclass(frozen=True)
class StepsConfig:
    """What to measure of one environment alone."""

    blocks: int = 40
    """Blocks of each side, after one that warms up."""
    steps: int = 100
    """Steps a block."""
    resets: int = 200
    """Resets a block."""
    pictures: int = 10
    """Steps a block that give a picture."""

    @property
    def counts(self) -> dict[str, int]:
        """Of each quantity, how many a block."""
        return {"step": self.steps, "reset": self.resets, "picture": self.pictures}


class Worker:
    """A process that times blocks of one side."""

    def __init__(self, peer: Path, side: str, task: str, control: str) -> None:
        path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(peer))))
        self._process = subprocess.Popen(
            [sys.executable, WORKER, side, task, control],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=os.environ | {"PYTHONPATH": path},
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


def measure(config: StepsConfig, task: str, control: str, peer: Path) -> Samples:
    """Time the sides in turn, block by block."""
    sides = ["nondiff", "fast", "raw"] + ["panda-gym"] * (task not in BROKEN)
    samples: Samples = {side: {} for side in sides}
    orders = itertools.cycle(itertools.permutations(sides))
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(peer, side, task, control)) for side in sides}
        for seed in range(config.blocks + 1):
            for side in next(orders):
                seconds = workers[side].block(seed=seed, **config.counts)
                for quantity, value in seconds.items() if seed else ():
                    cost = 1e6 * value / config.counts[quantity]
                    samples[side].setdefault(quantity, []).append(cost)
    return samples


def summary(samples: Samples) -> dict[str, Any]:
    """Medians in microseconds, and the ratios of `RATIOS` with their 95 % bootstrap intervals."""
    medians = {
        side: {quantity: np.median(values) for quantity, values in rows.items()}
        for side, rows in samples.items()
    }
    ratios = []
    for quantity, of, to, target in RATIOS:
        if of in samples:
            found = interval(np.divide(samples[of][quantity], samples[to][quantity]))
            row = {"quantity": quantity, "of": of, "to": to, "target": target}
            ratios.append(row | dict(zip(("median", "low", "high"), found, strict=True)))
    return {"cpu_microseconds": medians, "ratios": ratios}


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as a table in Markdown, a row an environment."""
    columns = [f"{quantity}, {of} / {to}" for quantity, of, to, _ in RATIOS]
    lines = [
        f"| environment | nondiff | {' | '.join(columns)} |",
        "|---" * (len(columns) + 2) + "|",
        f"| target | | {' | '.join(target for *_, target in RATIOS)} |",
    ]
    for name, result in results.items():
        found = {(row["quantity"], row["of"], row["to"]): row for row in result["ratios"]}
        cells = [_ratio(found.get(row[:3])) for row in RATIOS]
        step = result["cpu_microseconds"]["nondiff"]["step"]
        lines.append(f"| {name} | {step:.0f} us | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(row: dict[str, Any] | None) -> str:
    return f"{row['median']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" if row else ""
