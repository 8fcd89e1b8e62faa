"""What a run depends on, and when it ran."""

from __future__ import annotations

import platform
import re
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nondiff.requirements import NEEDS, Need

PACKAGES = (
    "nondiff",
    "gymnasium",
    "numpy",
    "torch",
    "stable-baselines3",
    "sb3-contrib",
    "cmaes",
    "disba",
    "numba",
    "scipy",
    "pybullet",
    "pybullet-arm64",
    "vizdoom",
)


def versions() -> dict[str, Any]:
    """What the run depends on beside its options."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    for need in NEEDS.values():
        if need.kind == "program" and need.is_met():
            found[need.name] = _program_version(need)
    return {"versions": found, "platform": platform.platform(), "git_revision": _git_revision()}


def _program_version(need: Need) -> str:
    """What a program says of itself."""
    command = [need.name, *need.version]
    try:
        done = subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"broken: {error}"
    number = re.search(rf"{need.name}[-\s]v?(\d[\w.]*)", done.stdout + done.stderr)
    return number[1] if number else "of unknown version"


def _git_revision() -> str | None:
    """The revision of the checkout that nondiff runs from, if it does from one."""
    home = Path(__file__).parents[3]
    if not (home / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(home), "describe", "--always", "--dirty", "--abbrev=40"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def timestamp() -> str:
    """The present moment, UTC, as in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
