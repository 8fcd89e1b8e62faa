"""The presets solve PandaReach, judged on seeds that training never saw; takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nondiff.experiments.commands.train import parse, train

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [1000, 1001])
@pytest.mark.parametrize(
    ("strategy", "env_id"),
    [
        ("ppo", "nondiff/PandaReachDense-v0"),
        ("trpo", "nondiff/PandaReachDense-v0"),
        ("td3", "nondiff/PandaReachDense-v0"),
        ("sac", "nondiff/PandaReach-v0"),
        ("tqc", "nondiff/PandaReach-v0"),
    ],
)
def test_a_preset_solves_its_environment(
    strategy: str, env_id: str, seed: int, tmp_path: Path
) -> None:
    options = ["--env", env_id, "--strategy", strategy, "--seed", str(seed)]
    command = parse([*options, "--runs", str(tmp_path)], "train")
    run = train(command.options, command.hyperparameters)
    assert run.state.result.success.value >= 0.9
    assert run.state.steps < command.options.budget
