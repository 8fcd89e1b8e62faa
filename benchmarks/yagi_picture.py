"""The picture of docs/yagi_antenna.md: what a trained policy answers to a held-out request.

python benchmarks/yagi_picture.py --run comparisons/design/yagi-antenna/runs/NAME
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure

from nondiff.envs.yagi_antenna.nec2 import cards, solve
from nondiff.envs.yagi_antenna.pictures import draw_band, draw_pattern, draw_rods
from nondiff.envs.yagi_antenna.yagi_antenna import YagiAntenna
from nondiff.experiments.run.folder import Run
from nondiff.processes.sandbox import find_program

FINE = 21  # frequencies across the band


@dataclass(frozen=True)
class Options:
    """Draw the antenna, its pattern, and its gain and match across the band."""

    run: Path
    """Folder of a run on YagiAntenna."""
    row: int = 0
    """Of the held-out requests."""
    out: Path = Path("docs/media/yagi_antenna.png")
    """Where it is written."""


def main(options: Options) -> None:
    """Ask the policy, run nec2c, and draw."""
    box = YagiAntenna("held-out")
    start = box.pool()
    context = start.context[options.row]
    seen = box.observation(*(torch.from_numpy(part) for part in (start.state, start.context)))
    policy = Run.open(options.run).load_policy("last")
    action = np.clip(policy.predict(seen.numpy().astype(np.float32)[options.row]), -1, 1)
    rods = box.rods(context[0], action.astype(np.float64))
    frequencies = context[0] * (1 + context[1] * np.linspace(-0.5, 0.5, FINE))
    answer = solve(cards(rods, frequencies), frequencies, find_program("nec2c"))
    resistance = context[3]
    reflected = np.abs((answer.impedance - resistance) / (answer.impedance + resistance))

    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    left, right = figure.add_subplot(1, 3, 1), figure.add_subplot(1, 3, 3)
    polar = figure.add_subplot(1, 3, 2, projection="polar")
    draw_rods(left, rods, context)
    draw_pattern(polar, rods, context)
    draw_band(right, context, answer.gain, reflected)
    figure.savefig(options.out, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
