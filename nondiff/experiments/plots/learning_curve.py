"""Learning curves."""

from __future__ import annotations

import io
from collections.abc import Sequence

from nondiff.experiments.plots.figures import drawn_plainly, pyplot
from nondiff.experiments.run.file_names import MARK, write_marked
from nondiff.experiments.run.metrics import Rows, series
from nondiff.files.safe_path import SafePath
from nondiff.text import visible

PANELS = (
    ("return", "rollout/ep_rew_mean", "evaluation/return_mean"),
    ("success rate", "rollout/success_rate", "evaluation/success"),
)


def learning_curve(rows: Rows, title: str, path: SafePath) -> None:
    """Draw return and, where reported, success against steps, in training and in evaluation."""
    panels = [panel for panel in PANELS if series(rows, panel[2])[0]]
    if not panels:
        return
    with drawn_plainly():
        _draw(panels, rows, title, path)


def _draw(panels: Sequence[tuple[str, str, str]], rows: Rows, title: str, path: SafePath) -> None:
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5 * len(panels), 3.6), squeeze=False)
    for axis, (label, training, evaluation) in zip(axes[0], panels, strict=True):
        axis.plot(*series(rows, training), color="tab:blue", alpha=0.6, label="training")
        axis.plot(*series(rows, evaluation), "o-", color="tab:orange", label="evaluation")
        axis.set_xlabel("environment steps")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.suptitle(visible(title))
    figure.tight_layout()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, metadata={"Software": MARK})
    pyplot.close(figure)
    write_marked(path, picture.getvalue())
