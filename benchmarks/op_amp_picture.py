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
from nondiff.black_box import find_black_box
from nondiff.envs.op_amp.op_amp import OpAmp
from nondiff.envs.op_amp.pictures import draw_bode
from nondiff.experiments.run.folder import Run

Array = NDArray[np.float64]

REQUESTS = 3


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
    figure.savefig(options.path, dpi=100)


def _draw(axes: Any, box: OpAmp, policy: Policy, row: int) -> None:
    start = box.pool()
    state, wanted = start.state[row : row + 1], start.context[row]
    steps, final = _designed(box, policy, state, wanted)
    draw_bode(axes, state[0], final[0], wanted)
    axes[0].set_title(axes[0].get_title().replace(" found", f" after {steps} steps"), fontsize=8)


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


if __name__ == "__main__":
    main()
