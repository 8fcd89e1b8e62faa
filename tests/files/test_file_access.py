"""Every module that opens, writes, moves or removes files is known, with what it does so.

Files of runs, models, checkpoints, datasets and comparisons are reached through `nondiff.files`
alone. A module that uses anything else is listed here with the reason why it may.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

ROOM = "nondiff/files/"
MODULES = sorted((ROOT / "nondiff").rglob("*.py"))

# Methods and functions of these names, whatever they are called on.
METHODS = frozenset(
    {
        *("open", "write_text", "write_bytes", "read_text", "read_bytes", "touch", "truncate"),
        *("mkdir", "makedirs", "rmdir", "removedirs", "unlink", "rename", "renames", "rmtree"),
        *("symlink_to", "hardlink_to", "symlink", "mkstemp", "mkdtemp", "mkfifo"),
        *("TemporaryDirectory", "NamedTemporaryFile", "FileLock", "SoftFileLock", "ZipFile"),
        *("glob", "rglob", "iterdir", "scandir", "listdir", "walk", "fwalk"),
        *("savefig", "save_file", "load_file", "loadtxt", "genfromtxt", "fromfile", "memmap"),
        *("copy2", "copyfile", "copytree"),
    }
)
# Functions of these modules, whose names are also those of other things.
FUNCTIONS = frozenset(
    {
        *(
            "os.replace",
            "os.remove",
            "os.open",
            "os.link",
            "shutil.copy",
            "shutil.move",
            "h5py.File",
            "json.load",
        ),
        *("numpy.load", "numpy.save", "numpy.savez", "np.load", "np.save", "np.savez"),
        *("torch.load", "torch.save"),
    }
)

# Path.replace has one argument, str.replace two.
ONE_ARGUMENT = "replace"

# Folders of programs, which are made for a call, and what is contained in them, have tests of
# their own.
PROGRAMS = ("nondiff/processes/sandbox/", "nondiff/black_box/executable/")
ALLOWED: dict[str, set[str]] = {
    # The file was looked at by `nondiff.files` before.
    "nondiff/agents/demonstrations/files.py": {"h5py.File"},
    "nondiff/agents/policies/storage.py": {"load_file"},
    # A zip that the user names, piece by piece.
    "nondiff/agents/sb3/exchange/archive.py": {"ZipFile", "open"},
    "nondiff/agents/sb3/exchange/weights.py": {"ZipFile", "torch.load"},  # of bytes
    # Files of this package and of its engines.
    "nondiff/envs/arm/world/engine.py": {"TemporaryDirectory", "open"},
    "nondiff/envs/op_amp/requests.py": {"loadtxt"},
    "nondiff/experiments/comparison/report.py": {"read_text"},
    # A folder that is made for one engine, of the user's own.
    "nondiff/envs/doom/boot.py": {"touch", "write_text"},
    "nondiff/envs/doom/launch.py": {
        "glob",
        "mkdtemp",
        "read_text",
        "touch",
        "unlink",
        "write_text",
    },
    # Pictures, to a buffer or to a new file of `nondiff.files.output`.
    "nondiff/experiments/comparison/plots.py": {"savefig"},
    "nondiff/experiments/plots/curves.py": {"savefig"},
    "nondiff/experiments/plots/learning_curve.py": {"savefig"},
    # The user's key, in a folder of the user's own.
    "nondiff/experiments/run/ownership.py": {"mkdir", "mkstemp", "os.link", "os.open", "unlink"},
    # The null device, where a stream is closed.
    "nondiff/experiments/terminal/streams.py": {"os.open"},
}


def used(path: Path) -> Iterator[str]:
    """What of the above a module calls or refers to; `Run.open` and its like are no files."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if f"{owner}.{node.attr}" in FUNCTIONS:
                yield f"{owner}.{node.attr}"
            elif node.attr in METHODS and not owner[:1].isupper() and owner != "cls":
                yield node.attr
        elif isinstance(node, ast.Name) and node.id in METHODS:
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name in METHODS)
        if is_path_replace(node):
            yield ONE_ARGUMENT


def is_path_replace(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return node.func.attr == ONE_ARGUMENT and len(node.args) == 1 and not node.keywords


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_are_reached_through_one_room() -> None:
    found = {place(path): set(used(path)) for path in MODULES}
    known = (ROOM, *PROGRAMS)
    outside = {where: names for where, names in found.items() if not where.startswith(known)}
    unknown = {where: names - ALLOWED.get(where, set()) for where, names in outside.items()}
    assert {where: names for where, names in unknown.items() if names} == {}
    assert {where for where in ALLOWED if not outside.get(where)} == set()


def test_the_room_itself_uses_what_is_looked_for() -> None:
    names = {name for path in MODULES if ROOM in place(path) for name in used(path)}
    assert {"os.open", "mkdir", "rmdir", "unlink", "rename", "listdir", "os.replace"} <= names
