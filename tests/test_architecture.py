"""Imports run down only: experiments on agents on envs; each engine is imported in one place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAZY = re.compile(r"nondiff(\.\w+)+(:\w+)?")  # an entry of a table, imported when it is used
MODULES = sorted((ROOT / "nondiff").rglob("*.py"))

# What only one place imports: {module: where}.
ENGINES = {
    "stable_baselines3": "nondiff/agents/reinforcement/",
    "sb3_contrib": "nondiff/agents/reinforcement/",
    "pybullet": "nondiff/envs/arm/engine.py",
    "pybullet_data": "nondiff/envs/arm/engine.py",
    "disba": "nondiff/envs/surface_waves/",
    "numba": "nondiff/envs/surface_waves/",
    "cmaes": "nondiff/agents/evolution/",
    "vizdoom": "nondiff/envs/doom/engine.py",
    "minari": "nondiff/agents/demonstrations.py",
    "h5py": "nondiff/agents/demonstration",
    "pygame": "nondiff/envs/doom/camera.py",
}
# What every environment family may import of its own floor.
SHARED_BY_FAMILIES = tuple(
    f"nondiff.envs.{name}"
    for name in (
        *("errors", "options", "needs", "cpu_time", "text", "copying", "limit"),
        *("black_box", "process", "executable", "parallel"),
    )
)
# What makes environments and runs them, whichever they are.
ROUND_ENVIRONMENTS = tuple(
    f"nondiff.envs.{name}"
    for name in (
        *("recipe", "worker", "serving", "episode_record", "python_processes"),
        *("main_module", "awake_clock", "returns", "wrapping"),
    )
)


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it, and those it names in strings."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path)}: relative imports hide which floor they reach"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and LAZY.fullmatch(str(node.value)):
            yield str(node.value).partition(":")[0]


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def offences(floor: str, forbidden: str) -> list[str]:
    return [
        f"{place(path)} imports {name}"
        for path in MODULES
        if is_inside(dotted(path), floor)
        for name in imports(path)
        if is_inside(name, forbidden)
    ]


@pytest.mark.parametrize(
    ("floor", "forbidden"),
    [
        ("nondiff.envs", "nondiff.agents"),
        ("nondiff.envs", "nondiff.experiments"),
        ("nondiff.agents", "nondiff.experiments"),
        ("nondiff.agents", "nondiff.envs.arm"),
    ],
)
def test_no_import_runs_up(floor: str, forbidden: str) -> None:
    assert any(is_inside(dotted(path), floor) for path in MODULES)
    assert offences(floor, forbidden) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_imported_in_one_place(engine: str) -> None:
    importing = {
        place(path) for path in MODULES for name in imports(path) if is_inside(name, engine)
    }
    assert importing
    assert all(where.startswith(ENGINES[engine]) for where in importing), importing


def test_environment_families_never_import_each_other() -> None:
    families = {family(path) for path in MODULES if is_inside(dotted(path), "nondiff.envs")}
    assert "nondiff.envs.arm" in families
    for path in MODULES:
        own = family(path)
        if own is None:
            continue
        for name in imports(path):
            if is_inside(name, "nondiff.envs"):
                allowed = (own, *SHARED_BY_FAMILIES)
                assert any(is_inside(name, a) for a in allowed), f"{place(path)} imports {name}"


def family(path: Path) -> str | None:
    """nondiff.envs.arm of nondiff/envs/arm/robot.py; None for what is no environment."""
    parts = dotted(path).split(".")
    named = ".".join(parts[:3])
    plain = (*SHARED_BY_FAMILIES, *ROUND_ENVIRONMENTS, "nondiff.envs")
    return named if parts[:2] == ["nondiff", "envs"] and named not in plain else None


def python(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def loaded_by(code: str) -> set[str]:
    """The top-level packages that some code has loaded when it is done."""
    answer = python(
        f"{code}\nimport sys\nprint('loaded', *{{n.split('.')[0] for n in sys.modules}})"
    )
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.splitlines()[-1].split()[1:])


def test_importing_the_package_loads_no_engine() -> None:
    loaded = loaded_by("import nondiff")
    assert {"nondiff", "gymnasium"} <= loaded
    assert loaded.isdisjoint({"torch", "scipy", "matplotlib", *ENGINES})


def test_the_table_of_strategies_loads_no_engine() -> None:
    loaded = loaded_by("import nondiff.agents")
    assert loaded.isdisjoint({"torch", *ENGINES})


def test_help_loads_no_engine() -> None:
    loaded = loaded_by(
        "from nondiff.experiments.cli import run_command\n"
        "try: run_command('train', ['--help'], 'nondiff train')\n"
        "except SystemExit as end: assert end.code == 0"
    )
    assert "tyro" in loaded
    assert loaded.isdisjoint(ENGINES)


@pytest.mark.parametrize("name", ["envs", "agents"])
def test_the_links_at_the_top_are_not_packages(name: str) -> None:
    assert (ROOT / name).is_symlink()
    assert (ROOT / name).resolve() == ROOT / "nondiff" / name
    answer = python(f"import {name}")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("ImportError")
    assert f"use 'import nondiff.{name}'" in answer.stderr
