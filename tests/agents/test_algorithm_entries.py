"""An algorithm is one file and one line in the table; nothing else in the package knows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT
from suited import suited
from watcher import trained

import nondiff
from nondiff import agents
from nondiff.agents.policies.model import load_policy, save_policy
from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.agents.sb3.exchange.exporting import export_zip
from nondiff.agents.sb3.library import algorithms, library_class

PACKAGE = ROOT / "nondiff"
TABLE = PACKAGE / "agents" / "__init__.py"
FOR_TYPE_CHECKERS = PACKAGE / "__init__.py"
ROOM = PACKAGE / "agents" / "sb3" / "algorithms"
PRESETS = PACKAGE / "agents" / "presets"  # numbers for an environment: an algorithm needs none
DEFAULT = ("ppo", "PPO")  # of `--strategy`, and the example in messages


def names_in(file: Path) -> Iterator[str]:
    """What the code of a module names: identifiers, modules and the words of its texts."""
    tree = ast.parse(file.read_text())
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
        elif isinstance(node, ast.Constant) and id(node) not in documentation:
            yield from re.findall(r"[\w-]+", str(node.value))


def test_no_other_module_names_an_algorithm() -> None:
    known = {name: ROOM / f"{name}.py" for name in algorithms()}
    known |= {kind.__name__: ROOM / f"{name}.py" for name, kind in algorithms().items()}
    found = [
        (file.relative_to(ROOT), name)
        for file in sorted(PACKAGE.rglob("*.py"))
        if file not in (TABLE, FOR_TYPE_CHECKERS) and PRESETS not in file.parents
        for name in names_in(file)
        if name in known and known[name] != file and name not in DEFAULT
    ]
    assert found == []


@pytest.mark.parametrize("name", algorithms())
def test_the_table_has_a_line_for_each(name: str) -> None:
    lines = [line for line in TABLE.read_text().splitlines() if f'"{name}"' in line]
    assert len(lines) == 1
    kind = algorithms()[name]
    assert kind.name == name
    assert kind.__module__ == f"nondiff.agents.sb3.algorithms.{name}"
    assert getattr(nondiff, kind.__name__) is kind


@pytest.mark.parametrize("name", algorithms())
def test_a_hyperparameter_is_the_librarys_by_name_and_default(name: str) -> None:
    kind = algorithms()[name]
    accepted = library_class(kind).__init__.__code__.co_varnames
    for option in ("learning_rate", "gamma", "batch_size", "n_steps", "tau", "train_freq"):
        if hasattr(kind(), option):
            assert option in accepted, option


@dataclass(frozen=True)
class Another(nondiff.DQN):
    """An algorithm that somebody adds."""

    name = "another"


def test_a_line_in_the_table_is_all_that_another_algorithm_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(agents.STRATEGIES, "another", f"{__name__}:Another")
    assert algorithms()["another"] is Another
    policy = trained("another", suited("another"), 150)
    save_policy(policy, tmp_path / "model")
    export_zip(load_policy(tmp_path / "model"), tmp_path / "model.zip")  # type: ignore[arg-type]
    kind: type[Reinforcement] = Another
    assert library_class(kind).load(tmp_path / "model.zip", device="cpu").num_timesteps == 0
