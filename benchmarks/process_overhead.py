"""What supervision costs: a call of a program through nondiff against a bare one.

    python benchmarks/process_overhead.py --output docs/results/process_overhead

Per call: `run_once` of a program that does nothing, against `subprocess.run` of it, and against the
nearest that util-linux offers (setpriv, unshare and prlimit before the command). Persistent: an
answer of `cat` through `PersistentProcess` against one over bare pipes. All in turn, in blocks, in
one process; medians over blocks of the mean of a block, so that a busy machine slows all alike.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from measuring import interval

from nondiff.processes.sandbox import PersistentProcess, isolation, run_once

PER_CALL_TARGET, PERSISTENT_TARGET = 15.0, 0.5  # [ms] more than a bare call
GUARDS = [
    *("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--net", "--fork", "--kill-child"),
    *("prlimit", "--as=2147483648", "--fsize=16777216"),
]


@dataclass(frozen=True)
class Config:
    """What to measure."""

    blocks: int = 30
    """Blocks of each kind of call."""
    calls: int = 10
    """Calls of a program in a block; answers are a hundred times as many."""
    output: Path | None = None
    """Write OUTPUT.json and OUTPUT.md."""


def bare() -> None:
    """One call without supervision."""
    subprocess.run(["true"], stdin=subprocess.DEVNULL, capture_output=True, check=True)


def guarded() -> None:
    """One call behind the tools of util-linux."""
    command = [*GUARDS, "true"]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def supervised() -> None:
    """One call by nondiff."""
    run_once(["true"])


def milliseconds(work: Callable[[], object], calls: int) -> float:
    """The mean time of a call."""
    begun = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - begun) / calls * 1e3


def per_call(config: Config) -> dict[str, list[float]]:
    """Times of the blocks [ms]."""
    kinds = {"bare": bare, "supervised": supervised}
    if all(shutil.which(tool) for tool in ("setpriv", "unshare", "prlimit")):
        kinds["util-linux"] = guarded
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(config.blocks):
        for name, work in kinds.items():
            times[name].append(milliseconds(work, config.calls))
    return times


def persistent(config: Config) -> dict[str, list[float]]:
    """Times of the blocks [ms]."""
    times: dict[str, list[float]] = {"bare": [], "supervised": []}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with closing(PersistentProcess(["cat"])) as ours, subprocess.Popen(["cat"], **pipes) as theirs:

        def answer() -> None:
            theirs.stdin.write(b"1.0 2.0\n")
            theirs.stdin.flush()
            theirs.stdout.readline()

        for _ in range(config.blocks):
            times["bare"].append(milliseconds(answer, 100 * config.calls))
            block = milliseconds(lambda: ours.ask("1.0 2.0\n"), 100 * config.calls)
            times["supervised"].append(block)
    return times


def rows(mode: str, times: dict[str, list[float]], target: float) -> list[str]:
    """Lines of the table."""
    base = np.array(times["bare"])
    lines = []
    for name, values in times.items():
        found = np.array(values)
        ratio, more = interval(found / base), interval(found - base)
        wanted = f"{target:g}" if name == "supervised" else ""
        lines.append(
            f"| {mode} | {name} | {np.median(found):.3f} | {ratio[0]:.2f} "
            f"| {more[0]:.3f} [{more[1]:.3f}, {more[2]:.3f}] | {wanted} |"
        )
    return lines


def main() -> None:
    """Print the table, and write it."""
    config = tyro.cli(Config, description=__doc__)
    supervised()  # starts what serves all calls
    times = {"per call": per_call(config), "persistent": persistent(config)}
    text = "\n".join(
        [
            f"What supervision costs; isolation: {isolation()} (benchmarks/process_overhead.py)",
            "",
            "| mode | call | ms | / bare | ms more than bare | at most |",
            "|---|---|---|---|---|---|",
            *rows("per call", times["per call"], PER_CALL_TARGET),
            *rows("persistent", times["persistent"], PERSISTENT_TARGET),
            "",
        ]
    )
    print(text)
    if config.output is not None:
        config.output.with_suffix(".json").write_text(json.dumps(times, indent=1) + "\n")
        config.output.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
