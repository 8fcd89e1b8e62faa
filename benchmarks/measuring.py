"""What benchmarks have in common: intervals, CPU time of processes, what is written."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap


def interval(ratios: np.ndarray) -> list[float]:
    """The median with its 95 % bootstrap interval."""
    found = bootstrap((ratios,), np.median, rng=0, method="percentile").confidence_interval
    return [float(np.median(ratios)), float(found.low), float(found.high)]


def cpu_seconds() -> float:
    """CPU time so far of this process and of all that run below it [s]."""
    children = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(child.cpu_times()[:2]) for child in children)


def run(command: Sequence[str], log: Path) -> float:
    """Run a command; returns the CPU time [s] of it and of all that it has waited for.

    Raises:
        RuntimeError: it failed; with the end of what it printed, which is in `log`.
    """
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{log.read_text()[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def rendered(rows: Table) -> str:
    """A table as text."""
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(rows)
    return capture.get().strip()


def surroundings(packages: Sequence[str], **others: str) -> dict[str, Any]:
    """On what a benchmark ran; `others` are versions of what is not installed here."""
    return {
        "versions": {name: version(name) for name in packages} | others,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def write(output: Path, document: dict[str, Any], text: str) -> None:
    """Write OUTPUT.json and OUTPUT.md."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    output.with_suffix(".md").write_text(text + "\n")
