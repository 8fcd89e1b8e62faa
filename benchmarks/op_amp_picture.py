"""Draws docs/media/op_amp.png: what a trained policy makes of the first three held-out requests.

nondiff train --env nondiff/OpAmp-v0 --strategy surrogate --seed 0 --name op-amp
python benchmarks/op_amp_picture.py runs/op-amp
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from nondiff.agents.strategy import Policy
from nondiff.envs.black_box import find_black_box
from nondiff.envs.op_amp.box import MEASURED, POSITION, OpAmp
from nondiff.envs.op_amp.netlist import circuit
from nondiff.envs.op_amp.simulator import MEASURES
from nondiff.envs.op_amp.sizing import physical
from nondiff.envs.process import find_program, run_once
from nondiff.experiments.runs import Run

Array = NDArray[np.float64]

REQUESTS = 3
START, FOUND, WANTED = "#8c8c8c", "#0072b2", "#d55e00"
CURVES = "bode.txt"


@dataclass(frozen=True)
class Options:
    """Draw the Bode plots of a policy's designs."""

    run: Annotated[Path, tyro.conf.Positional]
    """A finished run on OpAmp."""
    path: Path = Path("docs/media/op_amp.png")
    """The picture."""


def main() -> None:
    """Design and draw."""
    options = tyro.cli(Options, description=__doc__)
    mpl.use("agg")
    from matplotlib import pyplot as plt

    run = Run.open(options.run)
    policy = run.load_policy("last")
    figure, axes = plt.subplots(
        2, REQUESTS, figsize=(11, 5), sharex=True, sharey="row", layout="constrained"
    )
    with run.recipe.held_out().opened() as env:
        box = find_black_box(env)
        assert isinstance(box, OpAmp)
        for row in range(REQUESTS):
            _draw(axes[:, row], box, policy, row)
    axes[0, 0].set_ylabel("gain [dB]")
    axes[1, 0].set_ylabel("phase [degree]")
    axes[1, 0].legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, loc="lower left")
    figure.savefig(options.path, dpi=100)


def _draw(axes: Any, box: OpAmp, policy: Policy, row: int) -> None:
    start = box.pool()
    state, wanted = start.state[row : row + 1], start.context[row]
    steps, final = _designed(box, policy, state, wanted)
    for one, color, label in ((state, START, "start"), (final, FOUND, "found")):
        frequency, decibel, degree = _bode(one[0, POSITION])
        axes[0].semilogx(frequency, decibel, color=color, label=label if row == 0 else None)
        axes[1].semilogx(frequency, degree, color=color)
    crossing = 10 ** wanted[1]
    axes[0].plot([1, 30], [wanted[0]] * 2, color=WANTED, lw=2.5, label="at least requested")
    axes[0].plot([crossing] * 2, [-15, 15], color=WANTED, lw=2.5)
    axes[1].plot([crossing / 3, crossing * 3], [wanted[2] - 180] * 2, color=WANTED, lw=2.5)
    power = [10 ** (value + 6) for value in (state[0, MEASURED][3], final[0, MEASURED][3])]
    axes[0].set_title(
        f"at most {10 ** (wanted[3] + 6):.0f} uW asked,\n{power[0]:.0f} uW at the start, "
        f"{power[1]:.0f} uW after {steps} steps",
        fontsize=10,
    )
    axes[0].set_ylim(-60, 110)
    axes[1].set_ylim(-270, 10)
    axes[0].axhline(0, color="black", lw=0.5)
    axes[1].set_xlabel("frequency [Hz]")


def _designed(box: OpAmp, policy: Policy, state: Array, wanted: Array) -> tuple[int, Array]:
    """The steps of an episode, and the state (1, 11) at its end."""
    context = torch.from_numpy(wanted[None])
    steps = 0
    while steps < box.horizon:
        steps += 1
        seen = box.observation(torch.from_numpy(state), context).numpy().astype(np.float32)
        action = policy.predict(seen[0])[None].astype(np.float64)
        state = box.transition(state, action)
        found = torch.from_numpy(state)
        if bool(box.success(found, found, found, context)[0]):
            break
    return steps, state


def _bode(position: Array) -> tuple[Array, Array, Array]:
    """Frequencies [Hz], gain [dB] and phase [degree] of a design."""
    control = f".control\n{MEASURES}wrdata {CURVES} decibel degree\n.endc\n.end\n"
    text = circuit(physical(position).tolist()).replace(".end\n", control)
    command = [find_program("ngspice"), "-n", "-b", "one.cir"]
    output = run_once(command, files={"one.cir": text}, reads=(CURVES,), accept=(0, 1))
    table = np.array([line.split() for line in output.files[CURVES].splitlines()], float)
    return table[:, 0], table[:, 1], table[:, 3]


if __name__ == "__main__":
    main()
