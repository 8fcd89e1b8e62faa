"""Seeds of training, of the choice of the best model and of judgement never coincide."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from small_envs import GoTo

from nondiff.agents import find_strategy
from nondiff.agents.seeds import (
    MAX_ENVS,
    MAX_SEED,
    held_out_seeds,
    selection_seeds,
    training_seed,
)
from nondiff.experiments.commands.train import TrainOptions, train

MAX_EPISODES = 10**6  # of an evaluation, as the commands allow
RUN_SEEDS = [
    0,
    1,
    MAX_SEED - 1,
    MAX_SEED,
    *np.random.default_rng(0).integers(0, MAX_SEED, 3_000, endpoint=True).tolist(),
]


def ranges(run_seed: int) -> list[range]:
    first = training_seed(run_seed)
    selection = selection_seeds(run_seed, 2)
    return [
        range(first, first + MAX_ENVS),
        range(selection[0], selection[0] + MAX_EPISODES),
    ]


def test_ranges_never_meet() -> None:
    used = [ranges(run_seed) for run_seed in RUN_SEEDS]
    judged = held_out_seeds(MAX_EPISODES)
    assert max(training.stop for training, _ in used) <= min(chosen.start for _, chosen in used)
    assert max(chosen.stop for _, chosen in used) <= judged[0]
    assert judged[-1] <= MAX_SEED
    assert min(training.start for training, _ in used) >= 0


def test_runs_with_different_seeds_train_on_different_environments() -> None:
    firsts = [training_seed(run_seed) for run_seed in range(100)]
    assert len(set(firsts)) == 100
    assert all(first % MAX_ENVS == 0 for first in firsts)  # blocks of seeds don't overlap


@pytest.mark.parametrize("episodes", [1, 20, 100])
def test_more_episodes_extend_the_list(episodes: int) -> None:
    assert held_out_seeds(200)[:episodes] == held_out_seeds(episodes)
    assert selection_seeds(7, 200)[:episodes] == selection_seeds(7, episodes)
    assert len(set(selection_seeds(7, episodes))) == episodes


def test_other_held_out_lists_meet_neither_the_first_nor_any_training() -> None:
    first = held_out_seeds(MAX_EPISODES)
    for number in (1, 2, 3, MAX_SEED):
        other = held_out_seeds(MAX_EPISODES, number)
        assert other == held_out_seeds(MAX_EPISODES, number)
        assert first[-1] < other[0]
        assert other[-1] <= MAX_SEED
    assert len({held_out_seeds(1, number)[0] for number in range(50)}) == 50


class SeedLog(GoTo):
    """Notes the seeds that it is reset with."""

    seeds: ClassVar[set[int]] = set()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.seeds.add(seed)
        return super().reset(seed=seed, options=options)


def test_a_run_resets_its_environments_with_these_seeds(tmp_path: Path) -> None:
    gymnasium.register("SeedLog-v0", entry_point=SeedLog)
    options = TrainOptions(
        *("SeedLog-v0", "a2c"),
        budget=20,
        seed=9,
        eval_episodes=3,
        held_out_episodes=4,
        runs=tmp_path,
    )
    train(options, find_strategy("a2c")(num_envs=2))  # type: ignore[call-arg]
    training = [training_seed(9), training_seed(9) + 1]
    assert SeedLog.seeds == {*training, *selection_seeds(9, 3), *held_out_seeds(4)}
