"""The wheel, built from what git knows, installed elsewhere, is whole and works."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIRST_STEP = """
import gymnasium, nondiff, numpy
env = gymnasium.make("nondiff:nondiff/PandaReach-v0")
observation, info = env.reset(seed=0)
observation, reward, *_ = env.step(numpy.ones(3, numpy.float32))
assert env.observation_space.contains(observation)
print(nondiff.__file__, nondiff.__version__, reward)
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; without PYTHONPATH, which could let the checkout in."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    answer = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def known_files() -> list[str]:
    """What a commit of everything would hold: no caches, no leftovers of earlier builds."""
    listed = run("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=ROOT)
    return [name for name in listed.split("\0") if name and os.path.lexists(ROOT / name)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("checkout")
    for name in known_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    output = tmp_path_factory.mktemp("dist")
    # An isolated build would download what a recent setuptools at hand spares.
    recent = int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    flags = ["--no-build-isolation"] if recent else []
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *flags),
        *("--wheel-dir", output, "."),
        cwd=copy,
    )
    (built,) = output.glob("*.whl")
    return built


@pytest.mark.thorough
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (n for n in names if n.endswith(".dist-info/entry_points.txt"))
        assert (
            "nondiff = nondiff.experiments.commands.cli:main" in archive.read(entry_points).decode()
        )
    packaged = {name for name in names if ".dist-info/" not in name}
    assert packaged == {name for name in known_files() if name.startswith("nondiff/")}
    assert "nondiff/py.typed" in packaged
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.thorough
def test_the_wheel_works_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    fresh, elsewhere = tmp_path / "fresh", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", fresh, cwd=tmp_path)
    python = fresh / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("--no-deps", "--no-index", wheel),
        cwd=elsewhere,
    )
    lend_dependencies(python, elsewhere)
    printed = run(python, "-W", "error", "-c", FIRST_STEP, cwd=elsewhere).split()
    assert Path(printed[0]).is_relative_to(fresh)
    assert printed[1:] == [importlib.metadata.version("nondiff"), "-1.0"]
    assert "train" in run(fresh / "bin" / "nondiff", "--help", cwd=elsewhere)


def lend_dependencies(python: Path, folder: Path) -> None:
    """Let an environment see this one's packages, behind its own.

    Only the path is lent: the .pth files there, and so an editable nondiff, are not read.
    """
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(run(python, "-c", query, cwd=folder).strip())
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "lent.pth").write_text("\n".join(sorted(lent)) + "\n")
