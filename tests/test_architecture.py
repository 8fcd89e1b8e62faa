"""Imports run down only, from floor to floor; each engine is imported in one place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What is imported when it is used: an entry of a table, or the class of an algorithm.
LAZY = re.compile(r"nondiff(\.\w+)+(:\w+)?|(stable_baselines3|sb3_contrib):\w+")
MODULES = sorted((ROOT / "nondiff").rglob("*.py"))

# What only one place imports: {module: where}.
ENGINES = {
    "stable_baselines3": "nondiff/agents/sb3/",
    "sb3_contrib": "nondiff/agents/sb3/",
    "pybullet": "nondiff/envs/arm/world/engine.py",
    "pybullet_data": "nondiff/envs/arm/world/engine.py",
    "disba": "nondiff/envs/surface_waves/",
    "numba": "nondiff/envs/surface_waves/",
    "cmaes": "nondiff/agents/evolution/",
    "vizdoom": "nondiff/envs/doom/engine.py",
    "minari": "nondiff/agents/demonstrations/dataset.py",
    "h5py": "nondiff/agents/demonstrations/",
    "pygame": "nondiff/envs/doom/camera.py",
}
# From the ground up: a module imports nothing of a floor above its own. Rooms of one floor share a
# line. Every module is on a floor.
FLOORS = (
    (
        "errors",
        "requirements",
        "text",
        "validation",
        "working_folder",
        "lazy_names",
        "labels",
        "files",
    ),
    ("gym",),
    ("processes",),
    ("black_box",),
    ("env_recipe",),
    ("envs",),
    ("agents",),
    ("experiments",),
    ("__main__", "old_names"),
)
WAYS_TO_TRAIN = ("sb3", "pathwise", "evolution")


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


def floor(name: str) -> int | None:
    """The number of the floor that a dotted name of the package is on; None for the package."""
    room = name.split(".")[1] if "." in name else ""
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def modules_of(name: str) -> set[str]:
    """The modules that an imported dotted name reaches: itself, or the module that it is of."""
    return {known for known in (name, name.rpartition(".")[0]) if known in DOTTED}


DOTTED = {dotted(path): path for path in MODULES}


def test_every_module_is_on_a_floor() -> None:
    assert [name for name in DOTTED if floor(name) is None] == ["nondiff"]


def test_no_import_runs_up() -> None:
    found = [
        f"{place(path)} imports {name}"
        for me, path in DOTTED.items()
        for name in imports(path)
        if me != "nondiff" and any((floor(n) or 0) > (floor(me) or 0) for n in modules_of(name))
    ]
    assert found == []


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_imported_in_one_place(engine: str) -> None:
    importing = {
        place(path) for path in MODULES for name in imports(path) if is_inside(name, engine)
    }
    assert importing
    assert all(where.startswith(ENGINES[engine]) for where in importing), importing


def room(name: str, house: str, rooms: tuple[str, ...] | None = None) -> str | None:
    """The room of a house that a dotted name is in, if it is one of these, or else of any."""
    if not name.startswith(house + "."):
        return None
    found = name.removeprefix(house + ".").split(".")[0]
    return found if rooms is None or found in rooms else None


@pytest.mark.parametrize(
    ("house", "rooms"), [("nondiff.envs", None), ("nondiff.agents", WAYS_TO_TRAIN)]
)
def test_neighbours_never_import_each_other(house: str, rooms: tuple[str, ...] | None) -> None:
    inside = {me: path for me, path in DOTTED.items() if room(me, house, rooms)}
    assert len({room(me, house, rooms) for me in inside}) >= 3
    for me, path in inside.items():
        for name in imports(path):
            other = room(name, house, rooms)
            assert other in (None, room(me, house, rooms)), f"{place(path)} imports {name}"


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


@pytest.mark.thorough
@pytest.mark.parametrize("line", ["train --help", "runs tests/data/runs_of_0.1.0"])
def test_what_answers_at_once_loads_no_library_that_takes_seconds(line: str) -> None:
    command, *options = line.split()
    loaded = loaded_by(
        "from nondiff.experiments.commands.cli import run_command\n"
        f"try: run_command({command!r}, {options}, 'nondiff {command}')\n"
        "except SystemExit as end: assert end.code == 0"
    )
    assert "tyro" in loaded
    assert loaded.isdisjoint({"torch", "scipy", "matplotlib", "tensorboard", "google", *ENGINES})


def test_the_list_of_commands_loads_next_to_nothing() -> None:
    code = "import sys; sys.argv = ['nondiff', '--help']\n"
    code += "from nondiff.experiments.commands.cli import main\n"
    code += "try: main()\nexcept SystemExit as end: assert end.code == 0"
    assert loaded_by(code).isdisjoint({"torch", "scipy", "tyro", "pydantic", *ENGINES})


@pytest.mark.parametrize("name", ["envs", "agents"])
def test_the_links_at_the_top_are_not_packages(name: str) -> None:
    assert (ROOT / name).is_symlink()
    assert (ROOT / name).resolve() == ROOT / "nondiff" / name
    answer = python(f"import {name}")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("ImportError")
    assert f"use 'import nondiff.{name}'" in answer.stderr
