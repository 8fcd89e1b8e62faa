"""What SurfaceWaves' held-out curves can be fitted to by other means than a policy's training.

A misfit is the root mean square residual in units of the noise, minus the reward; a model without a
curve counts 50. The regression and NPE are told the prior, as no strategy is; they make no call at
test time. CMA-ES and Gauss-Newton (Levenberg-Marquardt) search for each curve by itself, from the
prior mean. CMA-ES with 100 and 384 calls is the best so far of one search; with 1,000 it goes on
for the first 128 curves only. NPE answers another question, for a posterior, and needs sbi.

    python benchmarks/surface_waves_references.py                  # 15 to 20 minutes of CPU
    python benchmarks/surface_waves_references.py --parts npe      # other rows are kept

The output is what `nondiff compare --references` reads, with more keys: `calls` is the most that a
case takes at test time and `mean_calls` what it took; `returns` are minus the misfits, seed after
seed, and `cpu_seconds` those of one seed, training included. Action 0, the prior mean, is no secret
of the prior: every strategy starts near it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from cmaes import CMA
from numpy.typing import NDArray
from surface_waves_learned import has_sbi, posterior_mean, regression

from nondiff.agents.pathwise.refinement import refine
from nondiff.black_box import Meter, failed_rows
from nondiff.envs.surface_waves.surface_waves import DEVIATION, REACH, SurfaceWaves

Array = NDArray[np.float64]
Row = dict[str, Any]

ENVS = {10: "nondiff/SurfaceWaves-v0", 6: "nondiff/SurfaceWaves6-v0"}
FITTED = 1.2  # a misfit that is as good as the truth's, but for its noise
REFINEMENT_CALLS = 10
ITERATIONS = (5, 10, 20)  # of Gauss-Newton
CMA_CALLS = {100: 512, 384: 512, 1000: 128}  # calls a case, and cases
SIGMA = 0.2
PAIRS = {1_000: (5, 3), 10_000: (5, 1)}  # seeds of the regression and of NPE


@dataclass(frozen=True)
class Options:
    """Measure the references of SurfaceWaves, write them and print the table."""

    parts: tuple[str, ...] = ("fixed", "gauss-newton", "regression", "npe", "cma-es")
    """Which rows to measure; those measured earlier are kept."""
    layers: tuple[int, ...] = tuple(ENVS)
    """Sizes of the model."""
    out: Path = Path("docs/results/surface_waves_references.json")
    """Where the rows are written."""


def misfits(meter: Meter, action: Array, context: Array) -> Array:
    """The misfits (n,) of actions (n, layers), clipped to the Box."""
    action = np.clip(action, -1.0, 1.0)
    state = np.zeros((len(action), 0))
    outcome = meter.transition(state, action)
    parts = map(torch.from_numpy, (state, action, outcome, context))
    found = -meter.box.reward(*parts).numpy()
    return np.where(failed_rows(outcome), -meter.box.failure_reward, found)


def row(part: str, name: str, found: Array, seconds: float, **more: Any) -> Row:
    """A row of the output; found: (seeds * cases,) misfits."""
    failed = found == -SurfaceWaves.failure_reward  # no misfit meets this to the last bit
    return {
        "part": part,
        "name": name,
        "train_calls": 0,
        "calls": 0,
        "given_prior": False,
        "seeds": 1,
        "cpu_seconds": round(seconds, 2),
        "median": round(float(np.median(found)), 4),
        "mean": round(float(found.mean()), 4),
        "share_failed": float(failed.mean()),
        "share_fitted": float((found <= FITTED).mean()),
        **more,
        "returns": [-round(float(x), 4) for x in found],
        "failed": failed.tolist() if failed.any() else [],
    }


def fixed(box: SurfaceWaves, context: Array) -> Iterator[Row]:
    """The truth and the prior mean."""
    truth = np.log(box.true_models() / box.mean_vs) / (REACH * DEVIATION)
    meter = Meter(box)
    yield row("fixed", "truth", misfits(meter, truth, context), 0.0)
    yield row("fixed", "prior mean", misfits(meter, np.zeros_like(truth), context), 0.0)


def refinement(box: SurfaceWaves, context: Array, action: Array, part: str, name: str) -> Row:
    """The row of a policy's actions (cases, layers), each refined with a few calls of its own."""
    started = time.process_time()
    found, used = refine(box, context, np.clip(action, -1.0, 1.0), REFINEMENT_CALLS)[1:]
    title = f"{name}, then {REFINEMENT_CALLS} calls of Gauss-Newton"
    seconds = time.process_time() - started
    used_calls = {"calls": REFINEMENT_CALLS, "mean_calls": round(float(used.mean()), 2)}
    return row(part, title, found, seconds, **used_calls)


def gauss_newton(box: SurfaceWaves, context: Array) -> Iterator[Row]:
    """Gauss-Newton from the prior mean; an iteration is a run and a Jacobian."""
    start = np.zeros((len(context), box.layers))
    factor = box.prior_factor / (REACH * DEVIATION)
    yield refinement(box, context, start, "gauss-newton", "prior mean")
    for prior, title in ((None, "Gauss-Newton"), (factor, "Gauss-Newton with the prior")):
        for iterations in ITERATIONS:
            calls = 1 + iterations * (1 + box.jacobian_cost)
            started = time.process_time()
            _, found, used = refine(box, context, start, calls, prior)
            seconds = time.process_time() - started
            more = {"calls": calls, "mean_calls": round(float(used.mean()), 2)}
            more["given_prior"] = prior is not None
            yield row("gauss-newton", f"{title}, {iterations} iterations", found, seconds, **more)


def learned(
    part: str, name: str, learn: Callable[..., Array], box: SurfaceWaves, context: Array
) -> Iterator[Row]:
    """A network trained on pairs from the prior, and the first seed's actions refined."""
    for calls, seeds in PAIRS.items():
        count = seeds[0 if part == "regression" else 1]
        started = time.process_time()
        actions = [learn(box, calls, seed, context) for seed in range(count)]
        seconds = (time.process_time() - started) / count
        found = np.concatenate([misfits(Meter(box), action, context) for action in actions])
        title, more = f"{name}, {calls:,} pairs", {"train_calls": calls, "given_prior": True}
        yield row(part, title, found, seconds, **more, seeds=count)
        yield refinement(box, context, actions[0], part, title) | more


def regressions(box: SurfaceWaves, context: Array) -> Iterator[Row]:
    """Supervised regression."""
    yield from learned("regression", "regression", regression, box, context)


def npe(box: SurfaceWaves, context: Array) -> Iterator[Row]:
    """NPE's posterior mean."""
    if not has_sbi():
        print("NPE is left out: sbi is not installed (pip install sbi)", file=sys.stderr)
        return
    yield from learned("npe", "NPE posterior mean", posterior_mean, box, context)


def cma_es(box: SurfaceWaves, context: Array) -> Iterator[Row]:
    """CMA-ES for each case; the longest search is made for the first cases only."""
    most = max(calls for calls, cases in CMA_CALLS.items() if cases == len(context))
    few = min(CMA_CALLS.values())
    first, first_seconds = searched(box, context[:few], max(CMA_CALLS), 0)
    others, others_seconds = searched(box, context[few:], most, few)
    for calls, cases in CMA_CALLS.items():
        found, seconds = first[:, :calls].min(axis=1), first_seconds[calls - 1]
        if cases > few:
            found = np.concatenate([found, others[:, :calls].min(axis=1)])
            seconds += others_seconds[calls - 1]
        more = {"calls": calls, "mean_calls": float(calls)}
        yield row("cma-es", f"CMA-ES, {calls:,} calls ({cases} cases)", found, seconds, **more)


def searched(box: SurfaceWaves, context: Array, calls: int, seed: int) -> tuple[Array, Array]:
    """Misfits (cases, calls) in the order of the calls, and the CPU seconds (calls,) until then."""
    bounds = np.tile([-1.0, 1.0], (box.layers, 1))
    searches = [
        CMA(mean=np.zeros(box.layers), sigma=SIGMA, bounds=bounds, seed=seed + i)
        for i in range(len(context))
    ]
    meter, size = Meter(box, calls * len(context)), searches[0].population_size
    found, seconds, started = [], [], time.process_time()
    for done in range(0, calls, size):
        rest = min(size, calls - done)
        asked = np.array([[one.ask() for _ in range(size)] for one in searches])[:, :rest]
        values = misfits(meter, asked.reshape(-1, box.layers), np.repeat(context, rest, axis=0))
        found.append(values.reshape(len(context), rest))
        if rest == size:
            for one, actions, of_them in zip(searches, asked, found[-1], strict=True):
                one.tell(list(zip(actions, of_them, strict=True)))
        seconds += [time.process_time() - started] * rest
    return np.concatenate(found, axis=1), np.array(seconds)


PARTS: dict[str, Callable[[SurfaceWaves, Array], Iterator[Row]]] = {
    "fixed": fixed,
    "gauss-newton": gauss_newton,
    "regression": regressions,
    "npe": npe,
    "cma-es": cma_es,
}


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| env | reference | training calls | calls a case | told the prior | seeds "
        "| CPU s | median | mean | failed | misfit <= 1.2 |",
        "|" + "---|" * 11,
    ]
    for one in sorted(rows, key=lambda one: (one["env"], list(PARTS).index(one["part"]))):
        cells = [one["env"].removeprefix("nondiff/"), one["name"], f"{one['train_calls']:,}"]
        cells += [f"{one['calls']:,}", "yes" if one["given_prior"] else "no", str(one["seeds"])]
        cells += [f"{one['cpu_seconds']:.1f}", f"{one['median']:.2f}", f"{one['mean']:.2f}"]
        cells += [f"{one['share_failed']:.1%}", f"{one['share_fitted']:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def warmed_up(layers: int) -> SurfaceWaves:
    """The black box of a size, its code compiled."""
    box = SurfaceWaves(layers, "held-out")
    refine(box, box.pool().context[:1], np.zeros((1, layers)), 3)
    return box


def main(options: Options) -> None:
    """Measure, write after each part, and print."""
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        sys.exit(f"error: unknown parts {sorted(unknown)}; choose from {', '.join(PARTS)}")
    torch.set_num_threads(1)
    rows: list[Row] = json.loads(options.out.read_text()) if options.out.exists() else []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for part in options.parts:
        for layers in options.layers:
            box, env = warmed_up(layers), ENVS[layers]
            found = [one | {"env": env} for one in PARTS[part](box, box.pool().context)]
            if found:
                rows = [one for one in rows if (one["part"], one["env"]) != (part, env)] + found
            options.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    print(table(rows))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
