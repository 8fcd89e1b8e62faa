"""A policy acts only between spaces that mean what its own meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import Command
from foreign_envs import Short
from gymnasium import spaces

from nondiff.agents.policies.network import MLP, NetworkPolicy
from nondiff.errors import InvalidOptionError
from nondiff.experiments.evaluation.fit import check_spaces

PAIR = {"a": spaces.Box(-1, 1, (2,)), "b": spaces.Box(-1, 1, (3,))}
WIDE = np.linspace(1, 40, 40, dtype=np.float32)
BOX, ONE = spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (1,))
# What a policy was trained on, what it meets, and the reason to refuse it.
MISFITS: list[tuple[str, Any, Any, str]] = [
    ("observation", spaces.Box(-1, 1, (2, 3)), spaces.Box(-1, 1, (3, 2)), "another shape"),
    ("observation", spaces.Box(-1, 1, (6,)), spaces.Box(-1, 1, (3, 2)), "another shape"),
    (
        "observation",
        spaces.Box(-1, 1, (3, 40, 50)),
        spaces.Box(-1, 1, (40, 50, 3)),
        "another shape",
    ),
    ("observation", BOX, spaces.Box(-1, 1, (3,), np.int64), "another dtype"),
    (
        "observation",
        spaces.Box(0, 9, (3,), np.uint8),
        spaces.Box(0, 255, (3,), np.uint8),
        "other bounds",
    ),
    (
        "observation",
        spaces.Dict(PAIR),
        spaces.Dict(list(reversed(PAIR.items()))),
        "other keys, or in another order",
    ),
    ("observation", spaces.Dict(PAIR), spaces.Dict({"a": PAIR["a"]}), "other keys"),
    (
        "observation",
        spaces.Dict(PAIR),
        spaces.Dict(PAIR | {"b": spaces.Box(-1, 1, (3, 1))}),
        "'b': another shape",
    ),
    ("observation", spaces.Discrete(3), spaces.Discrete(4), "other choices"),
    ("observation", spaces.Discrete(3), spaces.Discrete(3, start=1), "other choices"),
    ("observation", spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([3, 2]), "other choices"),
    (
        "observation",
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete([2, 3], start=[0, 1]),
        "other choices",
    ),
    ("observation", spaces.MultiBinary(4), spaces.MultiBinary((2, 2)), "other choices"),
    ("observation", spaces.MultiBinary(2), spaces.MultiDiscrete([2, 2]), "another kind of space"),
    ("observation", BOX, spaces.Text(3), "another kind of space"),
    ("observation", BOX, spaces.Tuple((BOX,)), "another kind of space"),
    ("action", ONE, spaces.Box(-10, 10, (1,)), "other bounds"),
    ("action", ONE, spaces.Box(-np.inf, np.inf, (1,)), "other bounds"),
    ("action", ONE, spaces.Box(-1, 1.001, (1,)), "other bounds"),
    ("action", spaces.Box(-WIDE, WIDE), spaces.Box(-2 * WIDE, WIDE), "other bounds"),
    ("action", ONE, spaces.Box(-1, 1, (1,), np.int8), "another dtype"),
    ("action", spaces.Discrete(3), spaces.Discrete(3, start=-1), "other choices"),
    ("action", ONE, spaces.Discrete(2), "another kind of space"),
]
NOTED: list[tuple[str, Any, Any, str]] = [
    ("observation", BOX, spaces.Box(-2, 1, (3,)), "other bounds"),
    ("observation", BOX, spaces.Box(-np.inf, np.inf, (3,)), "other bounds"),
    ("observation", BOX, spaces.Box(-1, 1, (3,), np.float64), "another dtype"),
    (
        "observation",
        spaces.Dict(PAIR),
        spaces.Dict(PAIR | {"b": spaces.Box(-2, 2, (3,))}),
        "'b': other bounds",
    ),
    ("action", ONE, spaces.Box(-1, 1, (1,), np.float64), "another dtype"),
]
FIT: list[tuple[str, Any, Any]] = [
    ("observation", spaces.Box(0, 255, (3, 40, 50), np.uint8), (40, 50, 3)),
    ("observation", spaces.Box(0, 255, (40, 50, 3), np.uint8), (40, 50, 3)),
    ("observation", spaces.Box(0, 255, (1, 40, 40), np.uint8), (40, 40, 1)),
]


def _policy(observed: Any, acted: Any) -> NetworkPolicy:
    return NetworkPolicy(MLP(spaces.flatdim(observed), acted, (2,)), observed, acted)


def _env(name: str, space: Any) -> Short:
    return Short(**{f"{name}_space": space})


def _trained(name: str, space: Any) -> NetworkPolicy:
    own = {"observation": BOX, "action": ONE} | {name: space}
    return _policy(own["observation"], own["action"])


def _id(case: Any) -> str:
    return f"{case[1]}"[:40]


@pytest.mark.parametrize("case", MISFITS, ids=_id)
def test_a_policy_of_other_spaces_is_refused_on_one_line(case: tuple[str, Any, Any, str]) -> None:
    name, trained, present, reason = case
    with pytest.raises(InvalidOptionError) as refused:
        check_spaces("mine", _trained(name, trained), _env(name, present), pytest.fail)
    said = str(refused.value)
    assert f"the policy of mine does not fit this environment: its {name}_space is" in said
    assert reason in said
    assert "\n" not in said
    assert len(said) < 600


@pytest.mark.parametrize("case", NOTED, ids=_id)
def test_what_changes_no_action_is_noted(case: tuple[str, Any, Any, str]) -> None:
    name, trained, present, reason = case
    noted: list[str] = []
    check_spaces("mine", _trained(name, trained), _env(name, present), noted.append)
    (line,) = noted
    assert line.startswith(f"the policy of mine was trained otherwise: its {name}_space is")
    assert line.endswith(f"({reason})")


@pytest.mark.parametrize("case", FIT, ids=_id)
def test_pictures_may_be_transposed(case: tuple[str, Any, tuple[int, ...]]) -> None:
    name, trained, shape = case
    present = spaces.Box(0, 255, shape, np.uint8)
    check_spaces("mine", _trained(name, trained), _env(name, present), pytest.fail)


def test_pictures_on_their_side_are_refused() -> None:
    trained = _trained("observation", spaces.Box(0, 255, (40, 50, 3), np.uint8))
    env = _env("observation", spaces.Box(0, 255, (50, 40, 3), np.uint8))
    with pytest.raises(InvalidOptionError, match="another shape"):
        check_spaces("mine", trained, env, pytest.fail)


@pytest.mark.parametrize(
    "space",
    [case[1] for case in MISFITS if case[0] == "observation"],
    ids=lambda space: str(space)[:40],
)
def test_a_policy_fits_its_own_spaces(space: Any) -> None:
    check_spaces("mine", _trained("observation", space), _env("observation", space), pytest.fail)


@pytest.fixture
def ids() -> Any:
    """Ids of an environment, and of one whose actions have other bounds."""
    torch.manual_seed(0)
    large = {"action_space": spaces.Box(-10, 10, (1,))}
    gymnasium.register("FitSmall-v0", Short, disable_env_checker=True)
    gymnasium.register("FitLarge-v0", Short, kwargs=large, disable_env_checker=True)
    yield "FitSmall-v0", "FitLarge-v0"
    del gymnasium.registry["FitSmall-v0"], gymnasium.registry["FitLarge-v0"]


def test_commands_refuse_an_environment_with_other_bounds(
    ids: tuple[str, str], tmp_path: Path, command: Command
) -> None:
    small, large = ids
    few = ("--budget", 24, "--eval-every", 24, "--eval-episodes", 1, "--judge-episodes", 1)
    options = ("--strategy", "cma-es", "--population", 4, "--runs", tmp_path, "--name", "run")
    assert command("train", "--env", small, *few, *options).code == 0
    run = tmp_path / "run"
    few = ("--episodes", 1, "--random-episodes", 0)
    assert command("evaluate", run, "--env", small, *few).code == 0
    answer = command("evaluate", run, "--env", large, *few)
    assert answer.code == 2
    assert "does not fit this environment: its action_space" in answer.err
    assert len(answer.err.splitlines()) == 1
    gymnasium.registry[small].kwargs = gymnasium.registry[large].kwargs  # another version of it
    answer = command("train", "--resume", run, "--budget", 48)
    assert answer.code == 2
    assert "does not fit this environment: its action_space" in answer.err
