"""The plots of a comparison: return against budget, learning curves, and targets reached."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nondiff.experiments.comparison.headline import MAX_REFERENCES
from nondiff.experiments.comparison.results import RETURN, Results, Row
from nondiff.experiments.plots.curves import mean_curve
from nondiff.experiments.plots.figures import drawn_plainly, pyplot

SIZE = (6.4, 3.9)  # inches
INK = "#1c2733"  # of text and axes; it becomes the page's own colour
# Okabe and Ito 2008, Color Universal Design, without what is too light or too dark for a page.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a63d2", "#8c8c8c")
MARKERS = "osD^vPX*"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nondiff",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#8c8c8c",
    "grid.alpha": 0.25,
    "legend.frameon": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
    ),
}


@dataclass(frozen=True)
class Picture:
    """A plot.

    Args:
        name: of its files.
        title: what it shows.
        caption: how to read it.
        svg: as part of a page, its text and axes in the page's colour.
        png: as a file by itself.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def plots(results: Results, env: str) -> list[Picture]:
    """The plots of an environment."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", env.removeprefix("nondiff/"))
    found = [
        _picture(
            f"{stem}-budget",
            "What a budget buys",
            "Median return of held-out episodes against the simulator calls spent on training, "
            "with 95\N{NO-BREAK SPACE}% intervals over seeds. Dashed, if few: from elsewhere.",
            lambda axes: _draw_budgets(axes, results, env),
        )
    ]
    if not any(one.calls for one in results.reached if one.env == env):
        return found
    return [
        *found,
        _picture(
            f"{stem}-learning",
            "How they learn",
            "Mean return in evaluations during training at the largest budget, with "
            "95\N{NO-BREAK SPACE}% intervals over seeds.",
            lambda axes: _draw_curves(axes, results, env),
        ),
        _picture(
            f"{stem}-targets",
            "How soon they get there",
            "Share of (seed, target) pairs reached after so many calls. A cross marks the end of "
            "the shortest training: what is missing above it was never reached.",
            lambda axes: _draw_reached(axes, results, env),
        ),
    ]


@contextmanager
def drawing(figsize: tuple[float, float] = SIZE) -> Iterator[Figure]:
    """A figure in the report's style, closed in the end."""
    with drawn_plainly(STYLE):
        figure = pyplot.figure(figsize=figsize, layout="constrained")
        try:
            yield figure
        finally:
            pyplot.close(figure)


def as_picture(figure: Figure, name: str, title: str, caption: str) -> Picture:
    """A figure as SVG for a page, and as PNG."""
    text, data = io.StringIO(), io.BytesIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    figure.savefig(data, format="png", dpi=160, facecolor="white")
    return Picture(name, title, caption, _embedded(text.getvalue(), name), data.getvalue())


def _picture(name: str, title: str, caption: str, draw: Callable[[Axes], None]) -> Picture:
    with drawing() as figure:
        draw(figure.subplots())
        return as_picture(figure, name, title, caption)


def _embedded(svg: str, name: str) -> str:
    """An SVG file as a part of a page: no prolog, no metadata, ids of its own, the page's ink."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', lambda found: f"{found[0]}{name}-", svg)
    # The stated size would keep it from shrinking with the page.
    return re.sub(r'<svg ([^>]*?)height="[^"]*" ([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)


def color_of(results: Results, strategy: str) -> str:
    """The colour of a strategy, in every plot."""
    return COLORS[results.strategies().index(strategy) % len(COLORS)]


def _draw_budgets(axes: Axes, results: Results, env: str) -> None:
    rows, references = results.of(env), [r for r in results.references if r.env == env]
    if len(references) > MAX_REFERENCES:
        references = []
    medians = [row.median for row in rows] + [row.median for row in references]
    ends = [end for median in medians for end in (median.low, median.high)]
    sign = _scale_returns(axes, ends, "median return")
    shown: list[Any] = []
    for strategy in dict.fromkeys(row.strategy for row in rows):
        color, marker = color_of(results, strategy), _marker(results, strategy)
        shown.append(_draw_row(axes, results.of(env, strategy), sign, color, marker))
    for number, reference in enumerate(references):
        label = f"{reference.name} ({reference.test_calls:,} calls an episode)"
        style = ("--", ":", "-.")[number % 3]
        value = sign * reference.median.value
        shown.append(axes.axhline(value, color=INK, ls=style, lw=1.2, label=label))
    budgets = sorted({row.budget for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    axes.set_xticks([], minor=True)
    axes.set_xlim(budgets[0] / 1.4, budgets[-1] * 1.4)
    axes.set_xlabel("simulator calls spent on training")
    axes.legend(handles=shown, fontsize=9.5)


def _draw_row(axes: Axes, rows: list[Row], sign: int, color: str, marker: str) -> Any:
    medians = [row.median for row in rows]
    values = np.array([[e.value, e.low, e.high] for e in medians]).T
    return axes.errorbar(
        [row.budget for row in rows],
        sign * values[0],
        np.abs(values[1:] - values[0])[::sign],
        fmt=f"{marker}-",
        color=color,
        capsize=4,
        label=rows[0].strategy,
    )


def _draw_curves(axes: Axes, results: Results, env: str) -> None:
    found = {
        strategy: mean_curve(results.curves(env, strategy), RETURN)
        for strategy in dict.fromkeys(row.strategy for row in results.of(env))
    }
    ends = [e for _, estimates in found.values() for one in estimates for e in (one.low, one.high)]
    sign = _scale_returns(axes, ends, "mean return")
    for strategy, (steps, estimates) in found.items():
        if not steps:
            continue
        color, marker = color_of(results, strategy), _marker(results, strategy)
        values = sign * np.array([[e.value, e.low, e.high] for e in estimates]).T
        axes.plot(steps, values[0], color=color, marker=marker, ms=4, label=strategy)
        axes.fill_between(steps, values[1], values[2], color=color, alpha=0.18, lw=0)
    axes.set_xlabel("simulator calls spent on training")
    axes.legend(fontsize=9.5)


def _draw_reached(axes: Axes, results: Results, env: str) -> None:
    own = [one for one in results.reached if one.env == env]
    for strategy in dict.fromkeys(one.strategy for one in own):
        pairs = [one for one in own if one.strategy == strategy]
        calls = [c for one in pairs for c in one.calls]
        steps = sorted(c for c in calls if c is not None)
        shares = np.arange(1, len(steps) + 1) / len(calls)
        end = min(s for one in pairs for s in one.spent)
        x, y = [0.0, *steps, max(end, *steps, 0)], [0.0, *shares, len(steps) / len(calls)]
        color = color_of(results, strategy)
        axes.step(x, y, where="post", color=color, lw=2, label=strategy)
        at_end = np.sum(np.array(steps) <= end) / len(calls)
        axes.plot([end], [at_end], "x", color=color, ms=8, mew=2, clip_on=False)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_ylabel("targets reached")
    axes.set_xlabel("simulator calls spent on training")
    axes.legend(fontsize=9.5)


def _marker(results: Results, strategy: str) -> str:
    return MARKERS[results.strategies().index(strategy) % len(MARKERS)]


def _scale_returns(axes: Axes, values: Sequence[float], label: str) -> int:
    """Choose an axis for returns; those that are all negative and far apart become misfits.

    Returns:
        What a return is multiplied with to be drawn.
    """
    if values and max(values) < 0 and min(values) < 5 * max(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(_labels_of_minor_ticks(values))
        axes.set_ylabel(f"minus {label} (lower is better)")
        return -1
    axes.set_ylabel(f"{label} (higher is better)")
    return 1


def _labels_of_minor_ticks(values: Sequence[float]) -> Callable[[float, float], str]:
    """Within two decades, 2 and 5 are labelled too."""
    near = min(values) > 100 * max(values)
    digits = "25" if near else ""
    return lambda value, _: f"{value:g}" if f"{value:e}"[0] in digits else ""
