"""Every kind of space with every strategy: it trains to the end, or is refused before it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import Command
from foreign_envs import Acting
from gymnasium import spaces

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.sb3.algorithms.off_policy import OffPolicy

B = spaces.Box(-1, 1, (2,))
OBSERVED: dict[str, spaces.Space[Any]] = {
    "Discrete": spaces.Discrete(3),
    "DiscreteStart": spaces.Discrete(3, start=5),
    "DiscreteHuge": spaces.Discrete(10**12),
    "MultiDiscrete": spaces.MultiDiscrete([3, 4]),
    "MultiDiscreteStart": spaces.MultiDiscrete([3, 4], start=[5, 5]),
    "MultiDiscrete2D": spaces.MultiDiscrete([[2, 3], [4, 5]]),
    "MultiBinary": spaces.MultiBinary(4),
    "MultiBinary2D": spaces.MultiBinary((2, 2)),
    "Scalar": spaces.Box(-1, 1, ()),
    "Empty": spaces.Box(-1, 1, (0,)),
    "Whole": spaces.Box(0, 10, (3,), np.int64),
    "Unsigned": spaces.Box(0, 10, (3,), np.uint8),
    "Double": spaces.Box(-1, 1, (3,), np.float64),
    "Half": spaces.Box(-1, 1, (3,), np.float16),
    "Unbounded": spaces.Box(-np.inf, np.inf, (3,)),
    "Matrix": spaces.Box(-1, 1, (3, 2)),
    "Picture": spaces.Box(0, 255, (40, 40, 3), np.uint8),
    "ChannelFirst": spaces.Box(0, 255, (3, 40, 40), np.uint8),
    "ChannelMiddle": spaces.Box(0, 255, (40, 3, 40), np.uint8),
    "SmallPicture": spaces.Box(0, 255, (8, 8, 3), np.uint8),
    "Dict": spaces.Dict(a=B, b=spaces.Discrete(3)),
    "DictEmpty": spaces.Dict({}),
    "DictDot": spaces.Dict({"joint.pos": B}),
    "DictItems": spaces.Dict({"items": B}),
    "DictSpace": spaces.Dict({"a b": B}),
    "DictNested": spaces.Dict(a=spaces.Dict(b=B)),
    "Tuple": spaces.Tuple((spaces.Discrete(2), B)),
    "Text": spaces.Text(5),
    "Sequence": spaces.Sequence(B),
    "Graph": spaces.Graph(B, None),
    "OneOf": spaces.OneOf((B, spaces.Discrete(2))),
}
ACTED: dict[str, spaces.Space[Any]] = {
    "Discrete": spaces.Discrete(3),
    "DiscreteStart": spaces.Discrete(3, start=5),
    "MultiDiscrete": spaces.MultiDiscrete([3, 4]),
    "MultiDiscreteStart": spaces.MultiDiscrete([2, 11], start=[0, 25]),
    "MultiDiscrete2D": spaces.MultiDiscrete([[2, 3], [4, 5]]),
    "MultiBinary": spaces.MultiBinary(3),
    "MultiBinary2D": spaces.MultiBinary((2, 2)),
    "Scalar": spaces.Box(-1, 1, ()),
    "Empty": spaces.Box(-1, 1, (0,)),
    "Whole": spaces.Box(0, 10, (2,), np.int64),
    "Double": spaces.Box(-2, 3, (2,), np.float64),
    "Matrix": spaces.Box(-1, 1, (2, 2)),
    "Unbounded": spaces.Box(-np.inf, np.inf, (2,)),
    "HalfBounded": spaces.Box(np.array([0, -np.inf]), np.array([np.inf, 1]), dtype=np.float64),
    "Dict": spaces.Dict(a=B),
    "Tuple": spaces.Tuple((spaces.Discrete(2), B)),
    "Text": spaces.Text(5),
    "Sequence": spaces.Sequence(B),
}
SHORT = ("--eval-every", 16, "--eval-episodes", 1, "--confirm-episodes", 1, "--judge-episodes", 1)
OFF_POLICY = ("--budget", 16, "--learning-starts", 8, "--num-envs", 1, "--batch-size", 4)
ON_POLICY = ("--budget", 16, "--n-steps", 8, "--num-envs", 1)
SMALL: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("ppo", "trpo"), (*ON_POLICY, "--batch-size", 8)),
    "a2c": ON_POLICY,
    **{name: OFF_POLICY for name in STRATEGIES if issubclass(find_strategy(name), OffPolicy)},
    "cma-es": ("--budget", 64, "--population", 4, "--episodes", 1),
}
QUICK = {  # of each kind of fault, the rest is left to the thorough tests
    ("ppo", "observed", "DiscreteStart"),
    ("ppo", "observed", "DictDot"),
    ("ppo", "observed", "ChannelMiddle"),
    ("ppo", "acted", "MultiDiscreteStart"),
    ("ppo", "acted", "MultiBinary2D"),
    ("ppo", "acted", "Whole"),
    ("sac", "acted", "Unbounded"),
    ("td3", "acted", "Matrix"),
    ("crossq", "observed", "Dict"),
    ("dqn", "acted", "DiscreteStart"),
    ("cma-es", "observed", "Tuple"),
    ("cma-es", "observed", "DictNested"),
    ("cma-es", "observed", "DiscreteHuge"),
    ("cma-es", "acted", "Whole"),
    ("cma-es", "acted", "Unbounded"),
    ("surrogate", "observed", "Text"),
}


def cases() -> Iterator[Any]:
    for strategy in STRATEGIES:
        for role, known in (("observed", OBSERVED), ("acted", ACTED)):
            for name in known:
                slow = (strategy, role, name) not in QUICK
                marks = (pytest.mark.thorough,) if slow else ()
                yield pytest.param(strategy, role, name, marks=marks)


def environment(role: str, name: str) -> str:
    known = OBSERVED if role == "observed" else ACTED
    return f"{role.title()}{name}-v0" if name in known else ""


@pytest.fixture(autouse=True)
def foreign() -> Iterator[None]:
    made = []
    for role, known in (("observed", OBSERVED), ("acted", ACTED)):
        key = "observation_space" if role == "observed" else "action_space"
        for name, space in known.items():
            made.append(environment(role, name))
            kwargs = {key: space}
            gymnasium.register(made[-1], Acting, disable_env_checker=True, kwargs=kwargs)
    yield
    for env_id in made:
        gymnasium.registry.pop(env_id)


def trained(command: Command, folder: Path, strategy: str, env_id: str, *more: object) -> Any:
    options = (*SHORT, *SMALL.get(strategy, ("--budget", 64)), *more)
    words = ("train", "--env", env_id, "--strategy", strategy, "--runs", folder)
    return command(*words, *options)


@pytest.mark.parametrize(("strategy", "role", "name"), list(cases()))
def test_a_space_works_or_is_refused_before_a_run_is_made(
    strategy: str, role: str, name: str, command: Command, tmp_path: Path
) -> None:
    answer = trained(command, tmp_path, strategy, environment(role, name), "--name", "r")
    assert "Traceback" not in answer.err
    if answer.code == 0:  # it was given actions of its space alone, or `Acting` had raised
        run = tmp_path / "r"
        budget = json.loads((run / "config.json").read_text())["budget"] + 16
        few = ("--episodes", 1, "--random-episodes", 0)
        assert command("evaluate", run, *few).code == 0
        assert command("train", "--resume", run, "--budget", budget).code == 0
        return
    assert answer.code == 2
    assert list(tmp_path.iterdir()) == []
    lines = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    works_as_said(lines[0], strategy, environment(role, name), command, tmp_path)


def works_as_said(line: str, strategy: str, env_id: str, command: Command, folder: Path) -> None:
    """Do what a refusal advises: another strategy, or the wrappers it names."""
    others = re.search(r"these can: (.+)$", line)
    assert others is not None
    if others[1] != "none as it is":
        for other in others[1].split(", "):
            assert other in STRATEGIES
        other = others[1].split(", ")[-1]
        assert trained(command, folder, other, env_id).code == 0
    wrappers = re.findall(r"--wrapper ([\w.]+:\S+\w)", line)
    if "try" in line or not wrappers:  # where there may be nothing that helps
        return
    given = [word for name in wrappers for word in ("--wrapper", name)]
    answer = trained(command, folder, strategy, env_id, *given)
    assert answer.code == 0, answer.err
