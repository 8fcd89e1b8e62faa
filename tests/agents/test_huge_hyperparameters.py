"""Hyperparameters that would take all memory, or never end, are refused in a line."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.capabilities import check_values
from nondiff.errors import InvalidOptionError
from nondiff.experiments.commands.train import TrainOptions, planned
from nondiff.experiments.run.folder import Run

WAVES = "nondiff/SurfaceWaves6-v0"
HUGE = [
    ("cma-es", {"population": 10**8}, "population", "1000000"),
    ("cma-es", {"full_up_to": 10**6}, "full_up_to", "5000"),
    ("cma-es", {"net_arch": [10**6, 10**6]}, "net_arch", "100000"),
    ("cma-es", {"net_arch": [10**5, 10**5]}, "net_arch = ", "100,000,000"),
    ("cma-es", {"net_arch": [1] * 101}, "net_arch", "100"),
    ("cma-es", {"population": 10**6}, "population = 1000000", "1,000,000,000"),
    ("ppo", {"net_arch": [20_000, 20_000]}, "net_arch = ", "100,000,000"),
    ("ppo", {"n_steps": 10**9}, "n_steps", "1000000"),
    ("ppo", {"n_steps": 10**6, "num_envs": 1024}, "num_envs = 1024", "10,000,000"),
    ("ppo", {"batch_size": 10**9}, "batch_size", "1000000"),
    ("ppo", {"n_epochs": 10**12}, "n_epochs", "10000000"),
    ("sac", {"buffer_size": 10**12}, "buffer_size", "100000000"),
    ("tqc", {"n_quantiles": 10**6}, "n_quantiles", "1000"),
    ("tqc", {"net_arch": [5_000, 5_000], "n_critics": 50}, "n_critics = 50", "100,000,000"),
    ("surrogate", {"surrogate_net_arch": [10**6, 10**6]}, "surrogate_net_arch", "100000"),
    (
        "surrogate",
        {"surrogate_net_arch": [5_000] * 2, "members": 50},
        "members = 50",
        "100,000,000",
    ),
    ("surrogate", {"members": 10**6}, "members", "100"),
    ("surrogate", {"surrogate_batch_size": 10**9}, "surrogate_batch_size", "1000000"),
    ("finite-difference", {"batch_size": 10**9}, "batch_size", "1000000"),
    ("manual", {"reuse": 10**12}, "reuse", "10000000"),
]


@pytest.mark.parametrize(("name", "values", "named", "limit"), HUGE)
def test_a_strangers_run_with_huge_numbers_is_refused_in_a_line(
    name: str, values: dict[str, Any], named: str, limit: str, tmp_path: Path, command: Command
) -> None:
    env = WAVES if find_strategy(name).needs or name == "cma-es" else "Pendulum-v1"
    options = TrainOptions(env=env, strategy=name, budget=10**12)
    config = planned(options, find_strategy(name)())
    huge = {"checkpoint_every": 100, "hyperparameters": config.hyperparameters | values}
    with closing(Run.create(tmp_path, "run", "", config.model_copy(update=huge))) as run:
        run.update(state="interrupted")
    answer = command("train", "--resume", tmp_path / "run")
    assert answer.code == 2
    line = answer.err.splitlines()[-1]
    assert line.startswith("error: ")
    assert named in line
    assert limit in line.replace(named, "", 1)
    assert all(str(value)[:20] in line for value in list(values.values())[:1]) or "net_arch" in line


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_whole_number_has_a_limit(name: str) -> None:
    kind = find_strategy(name)
    for field in fields(kind):
        value = getattr(kind(), field.name)
        if isinstance(value, bool) or not isinstance(value, int | tuple):
            continue
        huge = 10**30 if isinstance(value, int) else (10**30,)
        with pytest.raises(InvalidOptionError, match=f"{name}: {field.name}"):
            check_values(kind(**{**asdict(kind()), field.name: huge}))


def test_an_option_says_its_limit(tmp_path: Path, command: Command) -> None:
    options = ("--env", WAVES, "--strategy", "cma-es", "--population", 10**8, "--runs", tmp_path)
    answer = command("train", *options)
    assert answer.code == 2
    assert "population = 100000000: Input should be less than or equal to 1000000" in answer.err
    assert not list(tmp_path.iterdir())
