"""panda-gym 3.0.7, what the arm's benchmarks compare with."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PEER = "panda-gym==3.0.7"
BROKEN = {"Flip": "its package lacks a texture, so that making it raises pybullet.error"}


def engine() -> str:
    """Which of PyBullet's two distributions is in use."""
    try:
        version("pybullet")
    except PackageNotFoundError:
        return "pybullet-arm64"
    return "pybullet"


def install_peer(folder: Path) -> Path:
    """Install panda-gym into a folder unless it is there; what it needs, nondiff needs too."""
    if not (folder / "panda_gym").is_dir():
        print(f"installing {PEER}", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", folder, PEER]
        subprocess.run(pip, check=True)
    return folder
