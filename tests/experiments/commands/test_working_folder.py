"""No command imports a Python file, or takes settings, of the folder that it is run in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from thorough_cases import thin

from nondiff.experiments.commands.cli import COMMANDS

NONDIFF = str(Path(sys.executable).with_name("nondiff"))
STARTS = [(NONDIFF,), (sys.executable, "-m", "nondiff")]
# What libraries try to import if it is there, and what Python itself looks for.
OPTIONAL = ("sitecustomize", "usercustomize", "cuda", "cupy", "jax", "mujoco", "pandas", "vizdoom")
SHORT = ("--eval-episodes", "1", "--confirm-episodes", "1", "--judge-episodes", "1")
SMALL = ("--budget", "16", "--eval-every", "16", *SHORT)
PPO = ("--n-steps", "8", "--num-envs", "2", "--batch-size", "8")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def trap(folder: Path) -> None:
    """A module of every name that could be imported, which notes that it was."""
    notes = folder.parent / "imported"
    names = {*sys.stdlib_module_names, *packages_distributions(), *OPTIONAL}
    # Of a package without an `__init__`, the metadata names modules by their paths.
    for name in {name.partition("/")[0] for name in names} - {"__main__"}:
        (folder / f"{name}.py").write_text(
            f"open({str(notes)!r}, 'a').write({name!r} + '\\n')\nraise ImportError({name!r})\n"
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command in a folder of traps, and sees that none was imported."""
    folder = tmp_path / "folder"
    folder.mkdir()
    trap(folder)

    def run(
        *command: str, code: int = 0, path: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if path is not None:
            env["PYTHONPATH"] = path
        if "-m" in command:  # Python itself looks for the package there, before any code of ours
            (folder / "nondiff.py").unlink(missing_ok=True)
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=300
        )
        notes = tmp_path / "imported"
        assert not notes.exists(), f"imported of the working folder: {notes.read_text()}"
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.mark.parametrize("start", thin(STARTS, STARTS[1:]))
def test_help_of_every_command(run: Run, start: tuple[str, ...]) -> None:
    run(*start, "--help")
    if start == (NONDIFF,):  # the other is started in the same way, whatever the command
        run(*start, "doctor")
    else:
        for command in sorted(COMMANDS)[:: len(COMMANDS) // 3]:
            run(*start, command, "--help")


WORKER = """
import os, subprocess, sys
from nondiff.processes.python_processes import SAFE_PATH, module_command
from nondiff.env_recipe import EnvRecipe
from nondiff.processes.env_worker import Worker

def main():
    worker = Worker(EnvRecipe("CartPole-v1"), timeout=60)
    worker.call("spaces")
    print(SAFE_PATH in os.environ, SAFE_PATH.encode() in environment(worker.pid), flush=True)
    worker.close()
    subprocess.run(module_command("starts_more", "a"), check=True)

def environment(pid):
    return open(f"/proc/{pid}/environ", "rb").read()

if __name__ == "__main__":
    main()
"""


def test_the_processes_that_are_started(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "starts.py").write_text(WORKER)
    (own / "starts_more.py").write_text("import psutil, sys\nmain = lambda: print(sys.argv[1:])\n")
    done = run(sys.executable, str(own / "starts.py"), path=str(own))
    assert done.stdout.splitlines() == ["False True", "['a']"]


@pytest.mark.thorough
def test_worker_processes_and_pictures(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder" / "matplotlibrc").write_text("text.usetex: True\naxes.grid: True\n")
    (tmp_path / "folder" / "runs").mkdir()
    more = ("--vec-env", "processes", "--name", "a", *SMALL, *PPO)
    run(NONDIFF, "train", "--env", "CartPole-v1", *more)
    assert (tmp_path / "folder" / "runs" / "a" / "learning_curve.png").exists()
    run(NONDIFF, "evaluate", "runs/a", "--episodes", "1", "--random-episodes", "0")


@pytest.mark.thorough
@pytest.mark.parametrize("start", STARTS)
def test_a_comparison(run: Run, tmp_path: Path, start: tuple[str, ...]) -> None:
    own = tmp_path / "own"  # what a user puts on PYTHONPATH is imported
    own.mkdir()
    (own / "mine.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control.cartpole:CartPoleEnv',\n"
        "                   max_episode_steps=9)\n"
    )
    what = ("--envs", "mine:Mine-v0", "--strategies", "a2c", "--budgets", "16", "--seeds", "1")
    small = ("--episodes", "1", "--no-html", "--train-arg=--num-envs=2")
    args = ("--train-arg=--n-steps=4", "--train-arg=--vec-env=processes")
    done = run(*start, "compare", *what, *small, *args, "--folder", "c", path=str(own))
    assert "held-out episodes" in done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(
    "env",
    [
        "nondiff/OpAmp-v0",
        pytest.param("nondiff/YagiAntenna-v0", marks=pytest.mark.thorough),
        pytest.param("nondiff/DoomBasic-v0", marks=pytest.mark.thorough),
        pytest.param("nondiff/SurfaceWaves6-v0", marks=pytest.mark.thorough),
        pytest.param("nondiff/PandaReach-v0", marks=pytest.mark.thorough),
    ],
)
def test_environments_that_start_programs(run: Run, env: str) -> None:
    run(NONDIFF, "doctor", "--env", env)


@pytest.mark.thorough
def test_numba_takes_no_settings_of_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / ".numba_config.yaml").write_text("cache_dir: evil\n")
    done = subprocess.run(
        (NONDIFF, "check-gradients", "--env", "nondiff/SurfaceWaves6-v0", "--points", "1"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert str(tmp_path / ".numba_config.yaml") in done.stderr
    assert not (tmp_path / "evil").exists()


@pytest.mark.thorough
def test_programs_of_an_environment_import_what_lies_beside_them(tmp_path: Path) -> None:
    """The workers are started with a variable that those programs must not inherit."""
    (tmp_path / "starts.py").write_text(
        "import subprocess, sys\n"
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Starts(CartPoleEnv):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        code = 'import beside; beside.greet()'\n"
        "        subprocess.run([sys.executable, '-c', code], check=True)\n"
        "gymnasium.register('Starts-v0', Starts, max_episode_steps=9)\n"
    )
    (tmp_path / "beside.py").write_text("def greet(): pass\n")
    more = ("--vec-env", "processes", *SMALL, *PPO)
    done = subprocess.run(
        (NONDIFF, "train", "--env", "starts:Starts-v0", *more),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


MINE = (
    "import gymnasium\n"
    "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control.cartpole:CartPoleEnv',\n"
    "                   max_episode_steps=9)\n"
)
A2C = ("--strategy", "a2c", "--budget", "40", "--n-steps", "4", "--name", "a", *SMALL)


@pytest.mark.thorough
@pytest.mark.parametrize("place", thin(["mine.py", "mine/__init__.py"], ["mine/__init__.py"]))
def test_a_module_of_it_that_the_user_names_and_no_other(
    run: Run, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "folder"
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text(MINE + ("from mine import parts\n" if "/" in place else ""))
    (folder / "mine").mkdir(exist_ok=True)
    (folder / "mine" / "parts.py").touch()
    run(NONDIFF, "train", "--env", "mine:Mine-v0", "--vec-env", "processes", *A2C)
    run(NONDIFF, "train", "--resume", "runs/a", "--budget", "80")
    (tmp_path / "folder" / "elsewhere").mkdir()
    few = ("--episodes", "1", "--random-episodes", "0")
    evaluate = ["evaluate", str(folder / "runs" / "a"), *few]
    done = subprocess.run(
        [NONDIFF, *evaluate], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr  # the run notes where its module lies
    run(NONDIFF, "try", "mine:Mine-v0")


@pytest.mark.thorough
def test_a_module_of_it_that_only_a_run_names_is_not_imported(run: Run, tmp_path: Path) -> None:
    own, folder = tmp_path / "own", tmp_path / "folder"
    own.mkdir()
    (own / "mine.py").write_text(MINE)
    run(NONDIFF, "train", "--env", "mine:Mine-v0", *A2C, path=str(own))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write('mine')\n")
    done = run(NONDIFF, "evaluate", "runs/a", code=2)
    assert "can't import 'mine'" in done.stderr
