"""Which models a run keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_points import arguments
from processes import train_here
from thorough_cases import thin

from nondiff.agents import STRATEGIES
from nondiff.agents.api import _Recorder
from nondiff.agents.strategy import Training
from nondiff.experiments.run.folder import Run
from nondiff.experiments.training.session import configured


@pytest.mark.thorough
@pytest.mark.parametrize("strategy", thin(STRATEGIES, ["ppo", "sac", "surrogate", "cma-es"]))
def test_the_last_model_is_the_policy_that_training_ended_with(
    strategy: str, tmp_path: Path
) -> None:
    # An evaluation falls due at the step that spends the budget, after which some still train.
    options = (*arguments(strategy), "--runs", tmp_path, "--name", "run")
    more = ("--no-active",) if strategy == "surrogate" else ()
    assert train_here(*options, *more) == 0
    run = Run.open(tmp_path / "run")
    config = run.config
    training = Training(run.recipe, config.budget, config.seed or 0, "cpu", 20)
    trained = configured(run)[0].train(training, _Recorder(None)).tensors()
    kept = run.load_policy("last").tensors()
    assert kept.keys() == trained.keys()
    assert all((kept[name] == trained[name]).all() for name in kept)
