"""The faulty simulator as an environment that `train.py --env fakesim_env:FakeSim-v0` finds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from nondiff.black_box import BlackBoxEnv
from nondiff.black_box.executable import Executable
from nondiff.processes.sandbox import Limits

FAKESIM = Path(__file__).with_name("fakesim.py")
REQUESTS = np.random.default_rng(0).uniform([0.2, -0.4], [1.0, 0.6], (60, 2))


def fakesim(
    fault: str = "hang",
    persistent: bool = False,
    threshold: float = 0.8,
    timeout: float = 1.0,
    max_failures: int | None = 100,
    workers: int | None = 2,
    **options: Any,
) -> Executable:
    """The program as a black box; parameters above the threshold meet the fault."""
    words = [sys.executable, "-I", "-S", str(FAKESIM), "lines" if persistent else "once"]
    words += [fault, str(threshold)] + ([] if persistent else ["{parameters}"])
    return Executable(
        words,
        parameters={"x0": (0, 1), "x1": (0, 1)},
        outputs={"sum": (-10, 10, "m"), "difference": (-10, 10, "m")},
        contexts=REQUESTS,
        writes="numbers" if persistent else "arguments",
        persistent=persistent,
        workers=workers,
        limits=Limits(timeout=timeout, memory=1 << 28, file_size=1 << 20),
        failure_reward=-5.0,
        max_failures=max_failures,
        **options,
    )


def fakesim_env(
    fault: str = "hang",
    persistent: bool = False,
    threshold: float = 0.8,
    timeout: float = 1.0,
    max_failures: int | None = 100,
) -> BlackBoxEnv:
    return BlackBoxEnv(fakesim(fault, persistent, threshold, timeout, max_failures))


gymnasium.register("FakeSim-v0", entry_point=fakesim_env)
