"""No module reads a pickle: what a file holds is never executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "nondiff").rglob("*.py"))

PICKLING = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),
    *("pandas", "copyreg"),
}
# What imports one of them nevertheless: {module: what it calls of it}.
ALLOWED = {
    # Between this process and workers that it started, over a pipe that nobody else can open.
    "nondiff/processes/env_server.py": {"dumps", "loads", "PicklingError"},
    "nondiff/processes/env_worker.py": {"dumps", "loads"},
    # Written for `VecNormalize.load` of Stable-Baselines3, and never read.
    "nondiff/agents/sb3/exchange/exporting.py": {"dumps"},
}
# Calls that unpickle, unless an argument forbids it: {name: (argument, its value)}.
LOADERS = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
# Methods of Stable-Baselines3 that unpickle what they are given: `BaseAlgorithm.load`, and these.
UNPICKLING = {
    "load_from_zip_file",
    "load_from_pkl",
    "json_to_data",
    "load_replay_buffer",
    "Unpickler",
}


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The top-level package of each import, and the name that is taken of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module.split(".")[0], alias.name) for alias in node.names)


def faults(name: str, source: str) -> list[str]:
    """What in a module may unpickle a file."""
    tree = ast.parse(source)
    found = [
        f"imports {package}"
        for package, taken in imported(tree)
        if package in PICKLING and (name not in ALLOWED or taken)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            called = ast.unparse(node)
            package, _, attribute = called.rpartition(".")
            if package in PICKLING and attribute not in ALLOWED.get(name, ()):
                found.append(f"uses {called}")
        if isinstance(node, ast.Name | ast.Attribute):
            last = node.id if isinstance(node, ast.Name) else node.attr
            if last in UNPICKLING:
                found.append(f"uses {last}")
        if isinstance(node, ast.Call):
            found += unsafe_call(node)
    return found


def unsafe_call(node: ast.Call) -> list[str]:
    called = ast.unparse(node.func).replace("numpy.", "np.")
    given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    if called in LOADERS:
        argument, safe = LOADERS[called]
        if given.get(argument) is not safe:
            return [f"calls {called} without {argument}={safe}"]
    if any(keyword.arg == "allow_pickle" for keyword in node.keywords):
        return [f"calls {called} with allow_pickle"] if given["allow_pickle"] is not False else []
    return []


def test_no_module_reads_a_pickle() -> None:
    found = {place(path): faults(place(path), path.read_text()) for path in MODULES}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_the_exceptions_are_needed() -> None:
    for name, used in ALLOWED.items():
        source = (ROOT / name).read_text()
        assert {what for what in used if f"pickle.{what}" in source} == used, name


def test_what_unpickles_is_found() -> None:
    for source in (
        "import pickle",
        "from dill import loads",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=choice)",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "data, *_ = load_from_zip_file(path)",
        "env = save_util.load_from_pkl(path)",
    ):
        assert faults("nondiff/new.py", source), source
    exporting = "nondiff/agents/sb3/exchange/exporting.py"
    assert faults(exporting, "import pickle\npickle.loads(data)") == ["uses pickle.loads"]
    assert faults(exporting, "from pickle import loads") == ["imports pickle"]
    assert not faults(exporting, "import pickle\npickle.dumps(data)")
    assert not faults("nondiff/new.py", "torch.load(file, weights_only=True)")
