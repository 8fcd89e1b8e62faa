"""A training that was interrupted at any step ends with the same bits as one that was not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from suited import BIT_FLIP
from thorough_cases import thin
from torch import Tensor
from watcher import Watcher, quick

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.strategy import Strategy, TrainedPolicy, Training
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import DamagedCheckpointError
from nondiff.experiments.run.checkpoints import KEPT, CheckpointFolder

REACH, DENSE = "nondiff/PandaReach-v0", "nondiff/PandaReachDense-v0"
BOWL, TRACK = "small_boxes:Bowl-v0", "small_boxes:Track-v0"
BUDGET, EVERY = 480, 160
ON_POLICY = ("ppo", "a2c", "trpo")

torch.set_num_threads(1)


class Lost(Exception):  # noqa: N818
    """Stands for the end of the process."""


@dataclass
class Diary(Watcher):
    """Keeps what is recorded, and ends with an exception at a step."""

    lost_at: int | None = None
    records: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def after_step(self, steps: int, mean_return: float | None, success: float | None) -> bool:
        if self.lost_at is not None and steps >= self.lost_at:
            raise Lost
        return super().after_step(steps, mean_return, success)

    def keep(self, steps: int, policy: TrainedPolicy) -> None:
        """Nothing is kept."""

    def record(self, steps: int, metrics: Any) -> None:
        self.records.append((steps, dict(metrics)))


def small(name: str, **options: Any) -> Strategy:
    """Tiny networks and short rollouts."""
    chosen: dict[str, Any] = {"net_arch": (8,)}
    chosen |= {"n_steps": 40} if name in ON_POLICY else {"learning_starts": 60, "train_freq": 4}
    if name != "a2c":
        chosen["batch_size"] = 16
    return find_strategy(name)(**(chosen | options))


def exploring(name: str, **options: Any) -> Strategy:
    """Random actions become rarer to the end, and target networks follow within each segment."""
    chosen = {"exploration_fraction": 1.0, "target_update_interval": 50}
    return small(name, **(chosen | options))


def run(
    strategy: Strategy,
    env_id: str,
    folder: Path,
    diary: Diary,
    budget: int = BUDGET,
    **arguments: Any,
) -> dict[str, Tensor]:
    training = Training(
        EnvRecipe(env_id, arguments),
        budget,
        seed=3,
        checkpoint_every=EVERY,
        checkpoints=CheckpointFolder(folder, report=print, saved=lambda steps: None),
    )
    return strategy.train(training, diary).tensors()


def check_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


CASES = {
    "ppo": (small("ppo"), DENSE),
    "ppo, eight normalised environments, falling rate and entropy": (
        small(
            "ppo",
            num_envs=8,
            n_steps=10,
            normalize_observation=True,
            normalize_reward=True,
            learning_rate_schedule="linear",
            ent_coef=0.01,
            ent_coef_schedule="linear",
        ),
        DENSE,
    ),
    "ppo with gSDE": (small("ppo", use_sde=True), "Pendulum-v1"),
    "ppo, discrete": (small("ppo", num_envs=2), "CartPole-v1"),
    "a2c": (small("a2c", num_envs=2), DENSE),
    "trpo": (small("trpo"), DENSE),
    "sac": (small("sac", her=False, learning_rate_schedule="linear"), DENSE),
    "sac with HER": (small("sac"), REACH),
    "sac with HER, two environments": (small("sac", num_envs=2), REACH),
    "sac with gSDE": (small("sac", use_sde=True, train_freq=4), "Pendulum-v1"),
    "sac, fixed entropy": (small("sac", ent_coef="0.1", normalize_observation=True), "Pendulum-v1"),
    "sac with HER, buffer overwritten": (small("sac", buffer_size=200), REACH),
    "td3": (small("td3", num_envs=2, her=False), DENSE),
    "td3 with HER": (small("td3"), REACH),
    "tqc": (small("tqc", her=False), DENSE),
    "tqc with HER": (small("tqc"), REACH),
    "ddpg": (small("ddpg", num_envs=2, her=False), DENSE),
    "ddpg with HER": (small("ddpg"), REACH),
    "ddpg, our network": (small("ddpg", network="nondiff"), "Pendulum-v1"),
    "crossq": (small("crossq", num_envs=2, normalize_observation=True), "Pendulum-v1"),
    "crossq with gSDE": (small("crossq", use_sde=True), "Pendulum-v1"),
    "crossq, our network": (small("crossq", network="nondiff"), "Pendulum-v1"),
    "dqn": (exploring("dqn", num_envs=2, learning_rate_schedule="linear"), "CartPole-v1"),
    "dqn with HER": (exploring("dqn"), BIT_FLIP),
    "qrdqn": (exploring("qrdqn", n_quantiles=5, normalize_observation=True), "CartPole-v1"),
    "ppo, our network": (small("ppo", network="nondiff"), DENSE),
    "sac, our network": (small("sac", network="nondiff", her=False), DENSE),
    "surrogate": (quick("surrogate", active=True), BOWL),
    "surrogate, frozen": (quick("surrogate", active=False, jacobians=False), BOWL),
    "surrogate, several members": (quick("surrogate", members=2), BOWL),
    "surrogate, many steps": (quick("surrogate"), TRACK),
    "manual": (quick("manual", reuse=5), BOWL),
    "manual, each call used once": (quick("manual", reuse=1), BOWL),
    "manual, many steps": (quick("manual"), TRACK),
    "finite-difference": (quick("finite-difference", reuse=5), BOWL),
    "finite-difference, each call used once": (quick("finite-difference", reuse=1), BOWL),
    "autodiff": (quick("autodiff", reuse=5), BOWL),
    "autodiff, many steps": (quick("autodiff"), TRACK),
    "cma-es": (quick("cma-es"), BOWL),
    "cma-es, separable": (quick("cma-es", full_up_to=0), TRACK),
    "cma-es, any environment": (quick("cma-es"), "CartPole-v1"),
    "ppo in processes": (small("ppo", num_envs=2, vec_env="processes"), "Pendulum-v1"),
}


def test_every_strategy_is_among_the_cases() -> None:
    assert {CASES[case][0].name for case in QUICK} == set(STRATEGIES)


# One of each strategy, with what most of them have in common: normalisation, HER, many steps.
QUICK = {
    "ppo, eight normalised environments, falling rate and entropy",
    *(
        "a2c",
        "trpo",
        "sac with HER",
        "td3",
        "tqc",
        "ddpg",
        "crossq",
        "dqn",
        "qrdqn",
        "surrogate",
        "manual, many steps",
    ),
    *("finite-difference", "autodiff", "cma-es"),
}


@pytest.mark.parametrize("case", thin(CASES, QUICK))
def test_interrupted_and_uninterrupted_trainings_end_alike(case: str, tmp_path: Path) -> None:
    strategy, env_id = CASES[case]
    whole = Diary(every=100)
    expected = run(strategy, env_id, tmp_path / "whole", whole)
    diaries = []
    for lost_at in (90, 310):
        diaries.append(Diary(every=100, lost_at=lost_at))
        with pytest.raises(Lost):
            run(strategy, env_id, tmp_path / "broken", diaries[-1])
    last = Diary(every=100)
    check_same(run(strategy, env_id, tmp_path / "broken", last), expected)
    assert last.records == whole.records[-len(last.records) :]
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def files(folder: Path) -> dict[str, bytes]:
    """The contents of the checkpoints in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*")}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "case",
    thin(["ppo", "ppo, discrete", "sac with HER", "td3", "a2c"], ["a2c"]),
)
def test_a_larger_budget_goes_on_to_the_same_bits(case: str, tmp_path: Path) -> None:
    strategy, env_id = CASES[case]
    whole = run(strategy, env_id, tmp_path / "whole", Diary())
    for first in (160, 250):
        folder = tmp_path / str(first)
        run(strategy, env_id, folder, Diary(), budget=first)
        check_same(run(strategy, env_id, folder, Diary()), whole)


def test_a_run_of_another_strategy_or_shape_is_refused(tmp_path: Path) -> None:
    run(small("ppo"), "Pendulum-v1", tmp_path, Diary(), budget=EVERY)
    for other in (small("a2c"), small("sac"), small("ppo", net_arch=(9,))):
        with pytest.raises(
            DamagedCheckpointError, match=r"the checkpoint of step 160 does not fit"
        ):
            run(other, "Pendulum-v1", tmp_path, Diary())


@pytest.mark.thorough
def test_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run(small("ppo"), "Pendulum-v1", tmp_path, Diary(), budget=5 * EVERY)
    names = [f"step-{step:012d}" for step in (480, 640, 800)]
    assert len(names) == KEPT
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_without_a_folder_the_bits_are_the_same(tmp_path: Path) -> None:
    strategy = small("td3")
    training = Training(EnvRecipe("Pendulum-v1"), BUDGET, seed=3, checkpoint_every=EVERY)
    in_memory = strategy.train(training, Diary()).tensors()
    check_same(in_memory, run(strategy, "Pendulum-v1", tmp_path, Diary()))


def test_random_actions_become_rarer_over_the_whole_budget(tmp_path: Path) -> None:
    diary = Diary(every=100)
    run(exploring("dqn"), "CartPole-v1", tmp_path / "run", diary)
    seen = [(steps, row) for steps, row in diary.records if "rollout/exploration_rate" in row]
    assert len(seen) > 3
    for steps, row in seen:
        rate = 1 - 0.95 * steps / BUDGET
        assert row["rollout/exploration_rate"] == pytest.approx(rate), steps
    state = CheckpointFolder(tmp_path / "run", report=print, saved=lambda steps: None).load()
    assert state is not None
    counters = state.values["counters"]
    assert counters["_n_calls"] == state.steps
    assert counters["exploration_rate"] == pytest.approx(1 - 0.95 * state.steps / BUDGET)
