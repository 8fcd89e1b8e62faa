"""What `import nondiff` offers: cheap to import, typed, documented, and all that the docs need."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

import nondiff
from nondiff.agents import STRATEGIES, find_strategy
from nondiff.old_names import MOVED, RENAMED

FACES = (nondiff, nondiff.arm)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
DEEP = re.compile(r"^\s*(from nondiff\.\S+ import|import nondiff\.\S+).*$", re.M)


def typed_names(face: ModuleType) -> dict[str, str]:
    """What a face imports for type checkers, and from where."""
    tree = ast.parse(Path(str(face.__file__)).read_text())
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name  # such that it is exported
    }


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_a_type_checker_sees_the_names_that_there_are(face: ModuleType) -> None:
    assert typed_names(face) == face._PLACES


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_every_public_name_is_there_and_documented(face: ModuleType) -> None:
    assert face.__all__ == sorted(set(face.__all__))
    assert set(face.__all__) <= set(dir(face))
    for name in face.__all__:
        found = getattr(face, name)
        assert name in vars(face), f"{name} is imported again at each use"
        if isinstance(found, type) or inspect.isroutine(found) or inspect.ismodule(found):
            assert found.__doc__, f"{name} has no docstring"
            assert not found.__doc__.startswith(f"{name}("), f"{name} has only its signature"


def test_every_strategy_is_public() -> None:
    kinds = {kind.__name__: kind for kind in map(find_strategy, STRATEGIES)}
    assert kinds.items() <= {name: getattr(nondiff, name) for name in nondiff.__all__}.items()


def test_what_there_is_not_is_told_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'nondiff' has no attribute 'Trian'"):
        _ = nondiff.Trian  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'Trian' from 'nondiff'"):
        from nondiff import Trian  # type: ignore[attr-defined]  # noqa: F401


def loaded_by(code: str) -> set[str]:
    """The top-level packages that some code loads."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def test_a_strategy_and_its_preset_load_no_learning_library() -> None:
    loaded = loaded_by(
        "import nondiff\n"
        "dir(nondiff)\n"
        "nondiff.PPO(gamma=0.9), nondiff.Surrogate(), nondiff.CMAES(), nondiff.Limits\n"
        "nondiff.find_preset('ppo', 'nondiff/PandaReachDense-v0')\n"
    )
    assert {"nondiff", "gymnasium"} <= loaded
    assert loaded.isdisjoint({"torch", "stable_baselines3", "tyro", "rich", "scipy", "pybullet"})


@pytest.mark.parametrize("file", [*PAGES, *EXAMPLES], ids=lambda file: file.name)
def test_docs_and_examples_import_from_nondiff_alone(file: Path) -> None:
    text = file.read_text()
    code = text if file.suffix == ".py" else "\n".join(re.findall(r"```.*?```", text, re.S))
    assert [found.group() for found in DEEP.finditer(code)] == []


def test_deep_imports_would_be_found() -> None:
    assert DEEP.search("import x\n    from nondiff.agents.api import train\n")
    assert DEEP.search("import nondiff.agents.api")
    assert not DEEP.search("import nondiff\nfrom nondiff import PPO, errors\n")


def test_the_signature_of_a_strategy_names_its_hyperparameters() -> None:
    parameters = inspect.signature(nondiff.PPO).parameters
    assert parameters["gamma"].default == 0.99
    assert list(parameters) == list(inspect.signature(nondiff.PPO.__init__).parameters)[1:]


@pytest.mark.thorough
def test_a_module_that_has_moved_is_found_with_a_warning() -> None:
    code = (
        "import importlib\n"
        "from nondiff.old_names import MOVED\n"
        "for names in MOVED.items():\n"
        "    old, new = map(importlib.import_module, names)\n"
        "    names = [name for name in vars(new) if not name.startswith('__')]\n"
        "    assert names and all(getattr(old, name) is getattr(new, name) for name in names)"
    )
    command = [sys.executable, "-W", "always::DeprecationWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [f"{old} is {new} now" for old, new in MOVED.items()]
    assert [words for words in said if words not in done.stderr] == []


@pytest.mark.parametrize("old", RENAMED)
def test_a_name_that_has_changed_is_found_in_the_old_module(old: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is"):
        module = importlib.import_module(old)
    del sys.modules[old]
    new = importlib.import_module(MOVED[old])
    assert all(getattr(module, a) is getattr(new, b) for a, b in RENAMED[old].items())
