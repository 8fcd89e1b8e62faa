"""Draw the requests, parameters and outcomes of black boxes.

Importing this module loads matplotlib: import it where something is drawn. Figures are made without
pyplot, which would keep them alive, and with a fixed style, so that they are bit-identical whatever
the user's settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from nondiff.black_box.contract import Array

Picture = NDArray[np.uint8]

SIZE = (6.4, 3.6)  # [inch]
DPI = 100
BELOW_CAPTION = 0.9  # share of the height to draw on; above it is a film's caption
STYLE: Any = {
    "text.parse_math": False,  # names are drawn as they are
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
ASKED, GIVEN, OTHER = "#8c8c8c", "#d55e00", "#0072b2"  # colours, of Okabe and Ito 2008
MANY = 12  # entries from which on a vector is drawn as a curve or bars, without its numbers


@dataclass(frozen=True)
class NamedRanges:
    """Names and ranges of n quantities, each drawn on its own scale.

    Args:
        names: names with units.
        low: (n,) the left ends of the scales.
        high: (n,) the right ends.
    """

    names: Sequence[str]
    low: Array
    high: Array

    def share(self, values: Array) -> Array:
        """Scale values (n,) such that their ranges become [0, 1]."""
        return np.asarray((values - self.low) / np.maximum(self.high - self.low, 1e-300))


def picture(draw: Callable[[Figure], None]) -> Picture:
    """Rasterize what `draw` draws into an empty figure; returns (height, width, 3)."""
    with matplotlib.style.context(["default", STYLE]):
        layout = ConstrainedLayoutEngine(rect=(0, 0, 1, BELOW_CAPTION))
        figure = Figure(figsize=SIZE, dpi=DPI, layout=layout)
        canvas: Any = FigureCanvasAgg(figure)
        draw(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_numbers(figure: Any, parts: Mapping[str, Array | None]) -> None:
    """Draw named vectors as bar charts side by side; for None, the name alone."""
    every = figure.subplots(1, len(parts), squeeze=False)[0]
    for axes, (name, values) in zip(every, parts.items(), strict=True):
        axes.set_title(name)
        if values is None:
            _say(axes, "none yet")
            continue
        axes.bar(np.arange(len(values)), np.nan_to_num(values), color=GIVEN)
        axes.axhline(0, color=ASKED, lw=0.8)
        if not np.isfinite(values).all():
            _say(axes, "failed")
        axes.xaxis.get_major_locator().set_params(integer=True)


def draw_rows(
    axes: Any, ranges: NamedRanges, given: Array | None, asked: Array | None = None
) -> None:
    """Draw each quantity on its own line: the given and the requested value, with their numbers."""
    lines = np.arange(len(ranges.names))
    axes.hlines(lines, 0, 1, color=ASKED, lw=0.8, alpha=0.5)
    if asked is not None:
        axes.plot(ranges.share(asked), lines, "|", color=ASKED, ms=14, mew=3, label="requested")
    if given is not None and np.isfinite(given).all():
        within = np.clip(ranges.share(given), -0.05, 1.05)
        axes.plot(within, lines, "o", color=GIVEN, ms=6, label="given")
    elif given is not None:
        _say(axes, "failed")
    labels = [
        name + "\n" + _numbers(index, given, asked) for index, name in enumerate(ranges.names)
    ]
    axes.set_yticks(lines, labels)
    axes.set_xlim(-0.08, 1.08)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def draw_parameters(axes: Any, ranges: NamedRanges, given: Array | None) -> None:
    """Draw parameters within their bounds, by `draw_rows`, or as bars if there are many."""
    axes.set_title("parameters")
    if len(ranges.names) < MANY:
        draw_rows(axes, ranges, given)
        return
    axes.set_ylabel("share of the bounds")
    axes.set_ylim(0, 1)
    if given is not None:
        axes.bar(np.arange(len(given)), ranges.share(given), color=OTHER)


def draw_lines(axes: Any, given: Array | None, asked: Array) -> None:
    """Plot the given and the requested entries against their index."""
    axes.plot(asked, ".", color=ASKED, label="requested")
    if given is not None and np.isfinite(given).all():
        axes.plot(given, color=GIVEN, label="given")
    elif given is not None:
        _say(axes, "failed")
    axes.set_xlabel("entry of the outcome")
    axes.legend(fontsize=7)


def draw_answer(axes: Any, ranges: NamedRanges, given: Array | None, asked: Array) -> None:
    """Draw an outcome and the request, by `draw_rows`, or by `draw_lines` if there are many."""
    if len(asked) < MANY:
        draw_rows(axes, ranges, given, asked)
        axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.02))
    else:
        draw_lines(axes, given, asked)
    axes.set_title("outcome")


def _numbers(index: int, given: Array | None, asked: Array | None) -> str:
    if asked is None:
        return "" if given is None else f"{given[index]:.4g}"
    answer = "" if given is None else f", given {given[index]:.4g}"
    return f"requested {asked[index]:.4g}{answer}"


def _say(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
