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
from numpy.typing import NDArray

from nondiff.envs.process import find_program, run_once
from nondiff.envs.yagi_antenna.box import YagiAntenna
from nondiff.envs.yagi_antenna.nec2 import CARDS, OUTPUT, Rods, cards, solve
from nondiff.envs.yagi_antenna.pictures import FED, draw_band, draw_rods
from nondiff.experiments.runs import Run

Array = NDArray[np.float64]

STEP = 2  # [degrees] of the pattern
WEAKEST = -20.0  # [dBi] in the centre of the pattern
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


def pattern(rods: Rods, frequency: float) -> Array:
    """Gains (angles,) [dBi] in the plane of the rods, from along the boom on."""
    deck = cards(rods, np.array([frequency]))
    deck = deck.replace("RP 0 1 1 1000 90 0 0 0", f"RP 0 1 {360 // STEP} 1000 90 0 0 {STEP}")
    command = (find_program("nec2c"), "-i", CARDS, "-o", OUTPUT)
    text = run_once(command, files={CARDS: deck}, reads=(OUTPUT,)).files[OUTPUT]
    rows = text.partition("RADIATION PATTERNS")[2].splitlines()[5 : 5 + 360 // STEP]
    return np.array([float(row.split()[4]) for row in rows])


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
    gains = np.maximum(pattern(rods, context[0]), WEAKEST)
    angles = np.radians(np.arange(0, 360 + STEP, STEP))
    polar.plot(angles, np.append(gains, gains[0]), color=FED)
    polar.set_rlim(WEAKEST, 12)
    polar.set_rticks([-10, 0, 10])
    polar.set_title("gain in the plane of the rods [dBi]", fontsize=9)
    draw_band(right, context, answer.gain, reflected)
    figure.savefig(options.out, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
