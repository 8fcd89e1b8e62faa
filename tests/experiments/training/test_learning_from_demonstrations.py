"""Policies learn from the episodes of experts, and refuse what they can't learn from."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
import torch
from conftest import FEW_EPISODES, Command
from stable_baselines3 import HerReplayBuffer
from test_exact_resume import EVERY, Diary, Lost, check_same, files, run, small
from test_refused_resumes import check_refused
from thorough_cases import thin

from nondiff import PPO, SAC, TD3
from nondiff.agents import find_strategy
from nondiff.agents.api import train
from nondiff.agents.demonstrations.dataset import Demonstrations, checksum, read_demonstrations
from nondiff.agents.policies.network import MLP
from nondiff.agents.sb3.algorithms.off_policy import OffPolicy
from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.agents.sb3.demonstrations.imitation import warm_start
from nondiff.agents.sb3.training import Segment, lessons_of
from nondiff.agents.sb3.vec_envs.vectorize import make_environments
from nondiff.agents.strategy import Strategy, Training
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import (
    DamagedCheckpointError,
    InvalidOptionError,
    MissingDependencyError,
    NondiffError,
    NonFiniteError,
)
from nondiff.experiments.commands.demonstrate import DemonstrateOptions, demonstrate
from nondiff.experiments.evaluation.episodes import play
from nondiff.experiments.evaluation.recording import Recorder, write_dataset
from nondiff.experiments.stopping import Stop

PICTURE = "small_envs:Picture-v0"
REACH, PUSH, PENDULUM, CART = (
    "nondiff/PandaReach-v0",
    "nondiff/PandaPush-v0",
    "Pendulum-v1",
    "CartPole-v1",
)
NO_STOP = ("--stop-at-success", None)
FACTS = {"dataset_id": "tests/shown-v0", "algorithm_name": "", "description": ""}


def balance(observation: Any) -> int:
    """Keeps the pole of CartPole upright for all its 500 steps."""
    x, v, angle, turn = observation
    return int(0.1 * x + 0.3 * v + 3 * angle + turn > 0)


def swing(observation: Any) -> Any:
    """Pushes Pendulum the way it turns."""
    return np.array([2.0 if observation[2] > 0 else -2.0], np.float32)


def write(folder: Path, env_id: str, act: Callable[[Any], Any], episodes: int) -> Path:
    env = Recorder(gymnasium.make(env_id))
    policy: Any = SimpleNamespace(predict=lambda observation, deterministic: act(observation))

    def played() -> Any:
        for seed in range(episodes):
            play(env, policy, [seed])
            yield env.episode()

    write_dataset(folder, env, played(), FACTS)
    env.close()
    return folder


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Datasets, by environment."""
    home = tmp_path_factory.mktemp("shown")
    for env_id, folder, episodes in ((REACH, "reach", 60), (PUSH, "push", 8)):
        options = DemonstrateOptions(env_id, home / folder, episodes=episodes)
        assert demonstrate(options, Stop()) == 0
    return {
        REACH: home / "reach",
        PUSH: home / "push",
        CART: write(home / "cart", CART, balance, 10),
        PENDULUM: write(home / "pendulum", PENDULUM, swing, 3),
    }


def read(path: Path, env_id: str = REACH) -> Demonstrations:
    with EnvRecipe(env_id).opened() as env:
        return read_demonstrations(path, env)


def test_a_dataset_is_read_as_it_was_played(shown: dict[str, Path]) -> None:
    steps = read(shown[PUSH], PUSH)
    env = gymnasium.make(PUSH)
    seed = 0
    observation, _ = env.reset(seed=seed)
    for row in range(len(steps)):
        for key, value in observation.items():
            np.testing.assert_array_equal(steps.observations[key][row], value)
        observation, reward, terminated, truncated, _ = env.step(steps.actions[row])
        for key, value in observation.items():
            np.testing.assert_array_equal(steps.next_observations[key][row], value)
        assert steps.rewards[row] == reward
        assert steps.terminated[row] == terminated
        assert steps.last[row] == (terminated or truncated)
        if steps.last[row]:
            seed += 1
            observation, _ = env.reset(seed=seed)
    env.close()
    assert seed == 8


def segment(config: Reinforcement, env_id: str) -> Segment:
    """The beginning of a training."""
    training = Training(EnvRecipe(env_id), 500, seed=0)
    environments = make_environments(config, training.recipe, print)
    return Segment(
        config, training, Diary(), environments, None, lessons_of(config, training.recipe)
    )


@pytest.mark.parametrize("strategy", ["sac", "td3", "tqc"])
def test_goals_are_relabelled_within_each_demonstrated_episode(
    strategy: str, shown: dict[str, Path]
) -> None:
    config = find_strategy(strategy)(demonstrations=str(shown[PUSH]), net_arch=(8,), num_envs=2)
    assert isinstance(config, OffPolicy)
    algorithm: Any = segment(config, PUSH).algorithm
    buffer, steps = algorithm.replay_buffer.demonstrated, read(shown[PUSH], PUSH)
    assert isinstance(buffer, HerReplayBuffer)
    assert buffer.size() == len(steps)
    np.testing.assert_array_equal(buffer.timeouts, 0)  # the expert solved each episode
    np.testing.assert_array_equal(buffer.dones[:, 0], steps.terminated)
    ends = np.flatnonzero(steps.last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    np.testing.assert_array_equal(buffer.ep_start[ends, 0], starts)
    np.testing.assert_array_equal(buffer.ep_length[ends, 0], ends + 1 - starts)
    batch = algorithm.replay_buffer.sample(200)  # as long as nothing was played, all are shown
    actions = algorithm.policy.scale_action(steps.actions)
    for row in range(200):
        places = np.flatnonzero((actions == batch.actions[row].numpy()).all(axis=1))
        now = batch.observations["observation"][row].numpy()
        (place,) = [p for p in places if (steps.observations["observation"][p] == now).all()]
        end = ends[ends >= place][0]
        goal = batch.observations["desired_goal"][row].numpy()
        later = steps.next_observations["achieved_goal"][place : end + 1]
        own = steps.observations["desired_goal"][place]
        assert (later == goal).all(axis=1).any() or (own == goal).all()
        achieved = batch.next_observations["achieved_goal"][row].numpy()
        reward = algorithm.env.env_method("compute_reward", achieved, goal, {}, indices=[0])[0]
        assert batch.rewards[row] == reward
    algorithm.env.close()


def test_an_episode_that_was_cut_short_did_not_end_there(shown: dict[str, Path]) -> None:
    config = SAC(demonstrations=str(shown[PENDULUM]), net_arch=(8,))
    algorithm: Any = segment(config, PENDULUM).algorithm
    buffer = algorithm.replay_buffer.demonstrated
    np.testing.assert_array_equal(np.flatnonzero(buffer.timeouts), [199, 399, 599])
    np.testing.assert_array_equal(np.flatnonzero(buffer.dones), [199, 399, 599])
    assert set(np.unique(buffer.actions)) == {-1.0, 1.0}  # in units of the largest torque
    assert not algorithm.replay_buffer.sample(100).dones.any()
    algorithm.env.close()


def test_pictures_are_kept_and_learnt_from_as_they_were_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "seen", PICTURE, lambda _: np.full(1, 0.5, np.float32), 2)
    steps = read(path, PICTURE)
    with EnvRecipe(PICTURE).opened() as env:
        first, _ = env.reset(seed=0)
    np.testing.assert_array_equal(steps.observations[0], first)
    config = SAC(demonstrations=str(path), net_arch=(8,), buffer_size=20, warm_start_steps=1)
    algorithm: Any = segment(config, PICTURE).algorithm
    stored = algorithm.replay_buffer.demonstrated.observations[0, 0]
    np.testing.assert_array_equal(stored, np.moveaxis(first, -1, 0))  # as convolutions take it
    warm_start(algorithm, steps, 2, np.random.default_rng(0), lambda: None)
    algorithm.env.close()


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 25), (0.5, 50), (1.0, 100)])
def test_a_share_of_each_batch_is_demonstrated(
    share: float, expected: int, shown: dict[str, Path]
) -> None:
    config = SAC(demonstrations=str(shown[PENDULUM]), demonstrations_share=share, net_arch=(8,))
    algorithm: Any = segment(config, PENDULUM).algorithm
    own = np.full((1, 3), 7.0, np.float32)  # as no observation that was shown is
    algorithm.replay_buffer.add(own, own, np.zeros((1, 1)), np.zeros(1), np.zeros(1), [{}])
    drawn = algorithm.replay_buffer.sample(100).observations
    assert int((drawn[:, 0] != 7).sum()) == expected
    algorithm.env.close()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("ppo", {"normalize_observation": True}),
        pytest.param("sac", {"network": "nondiff"}, marks=pytest.mark.thorough),
        pytest.param("ppo", {}, marks=pytest.mark.thorough),
        pytest.param("ppo", {"network": "nondiff"}, marks=pytest.mark.thorough),
        pytest.param("td3", {}, marks=pytest.mark.thorough),
    ],
)
def test_a_warm_start_alone_solves_reach(
    strategy: str, options: dict[str, Any], shown: dict[str, Path]
) -> None:
    chosen: dict[str, Any] = {
        "demonstrations": str(shown[REACH]),
        "warm_start_steps": 600,
        "net_arch": (64, 64),
        **options,
    }
    result = train(None, REACH, find_strategy(strategy)(**chosen), budget=1, presets=False)
    assert result.policy is not None
    with EnvRecipe(REACH).opened() as env:
        episodes = play(env, result.policy, range(1000, 1020))
    assert sum(bool(episode.success) for episode in episodes) > 15


def test_a_network_of_ones_own_and_discrete_actions_imitate_too(shown: dict[str, Path]) -> None:
    with EnvRecipe(CART).opened() as env:
        network = MLP.for_env(env)
        config = PPO(network="nondiff", demonstrations=str(shown[CART]), warm_start_steps=500)
        result = train(network, CART, config, budget=1)
        assert result.policy is not None
        lengths = [episode.length for episode in play(env, result.policy, range(100, 105))]
    assert np.mean(lengths) > 400  # at random, about 20


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "error", "expected"),
    [
        (PPO, "squared", 1.0),
        (TD3, "absolute", 2.0),
        pytest.param(PPO, "absolute", 2.0, marks=pytest.mark.thorough),
        pytest.param(TD3, "squared", 1.0, marks=pytest.mark.thorough),
    ],
)
def test_where_demonstrations_differ_the_error_says_what_is_imitated(
    kind: type[Reinforcement], error: Any, expected: float, shown: dict[str, Path]
) -> None:
    config = kind(demonstrations=str(shown[PENDULUM]), net_arch=(32,), learning_rate=1e-3)
    algorithm: Any = segment(config, PENDULUM).algorithm
    steps = two_ways(read(shown[PENDULUM], PENDULUM))
    warm_start(algorithm, steps, 800, np.random.default_rng(0), lambda: None, error)
    found, _ = algorithm.predict(steps.observations[:50], deterministic=True)
    assert np.abs(found - expected).mean() < 0.25
    algorithm.env.close()


def two_ways(steps: Demonstrations) -> Demonstrations:
    """The same, but that three of four actions are 2 and the others -2, whatever is observed."""
    ways = np.where(np.random.default_rng(0).random(len(steps)) < 0.75, 2.0, -2.0)
    return replace(steps, actions=ways[:, None].astype(np.float32))


@pytest.mark.thorough
def test_the_value_function_learns_what_demonstrations_returned(shown: dict[str, Path]) -> None:
    config = PPO(demonstrations=str(shown[PUSH]), gamma=0.9, net_arch=(64, 64))
    algorithm: Any = segment(config, PUSH).algorithm
    steps = read(shown[PUSH], PUSH)
    warm_start(algorithm, steps, 800, np.random.default_rng(0), lambda: None)
    ends = np.flatnonzero(steps.last)
    left = np.array([ends[ends >= row][0] - row for row in range(len(steps))])  # steps after it
    expected = -(1 - 0.9**left) / (1 - 0.9)  # each costs 1, but the one that solves the task
    observations = algorithm.policy.obs_to_tensor(steps.observations)[0]
    values = algorithm.policy.predict_values(observations).detach().numpy()[:, 0]
    assert np.abs(values - expected).mean() < 0.6 * expected.std()  # at first, nearly twice it
    algorithm.env.close()


def test_observations_stay_at_the_scale_at_which_they_were_imitated(
    shown: dict[str, Path], tmp_path: Path
) -> None:
    strategy = with_demonstrations(CASES["ppo, normalised"][0], shown[PENDULUM])
    tensors = run(strategy, PENDULUM, tmp_path, Diary(), 2 * EVERY)
    observations = read(shown[PENDULUM], PENDULUM).observations
    for name, expected in (("mean", observations.mean(axis=0)), ("variance", observations.var(0))):
        found = tensors[f"normalizer.{name}.observation"].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.thorough
def test_training_goes_on_from_the_warm_start(shown: dict[str, Path]) -> None:
    config = PPO(
        demonstrations=str(shown[REACH]), n_steps=100, warm_start_steps=600, log_std_init=-1.0
    )
    result = train(None, REACH, config, budget=400, presets=False)
    first, last = ([m["rollout/ep_rew_mean"] for _, m in result.history][i] for i in (0, -1))
    assert -20 < first < 0  # of a random policy, about -50
    assert last > -20


CASES: dict[str, tuple[Strategy, str]] = {
    "ppo": (small("ppo", warm_start_steps=20), REACH),
    "ppo, normalised": (small("ppo", warm_start_steps=20, normalize_observation=True), PENDULUM),
    "sac with HER": (small("sac", warm_start_steps=20, num_envs=2), REACH),
    "td3 without imitation": (small("td3", warm_start_steps=0, imitation=0.0, her=False), REACH),
    "tqc, no share": (small("tqc", warm_start_steps=20, demonstrations_share=0.0), REACH),
    "crossq": (small("crossq", warm_start_steps=20), PENDULUM),
    "ddpg with HER": (small("ddpg", warm_start_steps=20), REACH),
    "dqn": (small("dqn"), CART),
}


def with_demonstrations(config: Strategy, path: Path) -> Strategy:
    shown: dict[str, Any] = {"demonstrations": str(path)}
    return replace(config, **shown)


@pytest.mark.parametrize("case", thin(CASES, ["sac with HER"]))
def test_interrupted_and_uninterrupted_trainings_end_alike(
    case: str, shown: dict[str, Path], tmp_path: Path
) -> None:
    config, env_id = CASES[case]
    strategy = with_demonstrations(config, shown[env_id])
    expected = run(strategy, env_id, tmp_path / "whole", Diary(every=100), 2 * EVERY)
    for lost_at in (0, 90, 170):
        with pytest.raises(Lost):
            run(strategy, env_id, tmp_path / "broken", Diary(every=100, lost_at=lost_at))
    check_same(run(strategy, env_id, tmp_path / "broken", Diary(every=100), 2 * EVERY), expected)
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_a_checkpoint_of_other_demonstrations_is_refused(
    shown: dict[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(shown[REACH], tmp_path / "copy")
    strategy = small("ppo", demonstrations=str(copy), warm_start_steps=1)
    run(strategy, REACH, tmp_path / "run", Diary(), EVERY)
    with h5py.File(copy / "data" / "main_data.hdf5", "a") as file:
        file["episode_0/actions"][0] = 0.5
    with pytest.raises(DamagedCheckpointError, match="another demonstrations_sha256"):
        run(strategy, REACH, tmp_path / "run", Diary(), 2 * EVERY)


@pytest.mark.thorough
def test_a_run_goes_on_only_with_the_same_demonstrations(
    shown: dict[str, Path], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(shown[REACH], tmp_path / "copy")
    options = ("--env", REACH, "--name", "run", "--demonstrations", "copy", "--num-envs", 1)
    short = ("--warm-start-steps", 1, "--n-steps", 50, "--net-arch", 8, *FEW_EPISODES)
    assert command("train", *options, *short, *NO_STOP, "--budget", 100).code == 0
    config = json.loads((tmp_path / "runs" / "run" / "config.json").read_text())
    assert config["demonstrations_sha256"] == checksum(copy)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resume = ("--resume", tmp_path / "runs" / "run", "--budget")
    assert command("train", *resume, 200).code == 0
    with h5py.File(copy / "data" / "main_data.hdf5", "a") as file:
        file["episode_0/actions"][0] = 0.5
    check_refused(command("train", *resume, 300), "copy have changed since")
    shutil.rmtree(copy)
    check_refused(command("train", *resume, 300), f"{str(copy)!r} does not exist")


def damage(what: str, data: Path) -> None:
    """Change the dataset in a folder."""
    metadata = json.loads((data / "metadata.json").read_text())
    with h5py.File(data / "main_data.hdf5", "a") as file:
        if what == "a NaN action":
            file["episode_1/actions"][2, 1] = np.nan
        elif what == "an infinite observation":
            file["episode_0/observations/observation"][0, 3] = np.inf
        elif what == "an action outside":
            file["episode_1/actions"][2, 1] = 1.5
        elif what == "a lost step":
            del file["episode_0/rewards"]
            file["episode_0/rewards"] = np.zeros(2)
        elif what == "a lost episode":
            del file["episode_3"]
        elif what == "no episodes":
            metadata["total_episodes"] = 0
        elif what == "no spaces":
            del metadata["action_space"]
        elif what == "other arguments":
            spec = json.loads(metadata["env_spec"])
            metadata["env_spec"] = json.dumps(spec | {"kwargs": {"reward_type": "dense"}})
    text = "{" if what == "no JSON" else json.dumps(metadata)
    (data / "metadata.json").write_text(text)
    if what == "no HDF5":
        (data / "main_data.hdf5").write_bytes(b"no HDF5")


DAMAGES: dict[str, tuple[type[NondiffError], str]] = {
    "a NaN action": (NonFiniteError, "episode 1 has the action nan at step 2"),
    "an infinite observation": (NonFiniteError, "the observation 'observation' inf at step 0"),
    "an action outside": (InvalidOptionError, r"episode 1 has the action \[.*, not in Box"),
    "a lost step": (
        InvalidOptionError,
        "can't be read as a Minari dataset.* of shape .* instead of",
    ),
    "a lost episode": (InvalidOptionError, "can't be read as a Minari dataset: KeyError"),
    "no episodes": (InvalidOptionError, "is empty"),
    "no spaces": (InvalidOptionError, "does not say which spaces"),
    "other arguments": (InvalidOptionError, r"\{'reward_type': 'dense'\}, and training is on"),
    "no JSON": (InvalidOptionError, "can't be read as a Minari dataset: JSON"),
    "no HDF5": (InvalidOptionError, "can't be read as a Minari dataset: OSError"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_dataset_is_refused(what: str, shown: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(shown[REACH], tmp_path / "copy")
    damage(what, copy / "data")
    error, says = DAMAGES[what]
    with pytest.raises(error, match=says):
        read(copy)


def test_what_is_no_dataset_is_refused(shown: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="is not a Minari dataset"):
        read(tmp_path)
    for name in ("nowhere", "null\0", 300 * "long"):
        with pytest.raises(InvalidOptionError, match="does not exist"):
            read(tmp_path / name)


def test_a_dataset_of_something_else_is_refused(shown: dict[str, Path]) -> None:
    with pytest.raises(InvalidOptionError, match=r"is of .*PandaPush-v0 .* on .*PandaReach-v0"):
        read(shown[PUSH], REACH)
    with EnvRecipe(CART).opened() as env:
        env.unwrapped.action_space = gymnasium.spaces.Discrete(3)
        with pytest.raises(InvalidOptionError, match=r"Discrete\(2\), and the env.*Discrete\(3\)"):
            read_demonstrations(shown[CART], env)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (PPO(warm_start_steps=0), "where warm_start_steps is 0"),
        (
            SAC(warm_start_steps=0, demonstrations_share=0.0, imitation=0.0),
            "where warm_start_steps and demonstrations_share and imitation are 0",
        ),
        (SAC(demonstrations_share=1.5), "demonstrations_share = 1.5"),
    ],
)
def test_options_that_teach_nothing_are_refused(
    config: Strategy, says: str, shown: dict[str, Path]
) -> None:
    strategy = with_demonstrations(config, shown[REACH])
    with EnvRecipe(REACH).opened() as env, pytest.raises(InvalidOptionError, match=says):
        strategy.check(env)


def test_a_missing_minari_is_named(shown: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'nondiff\[demonstrations\]'"):
        read(shown[REACH])


torch.set_num_threads(1)
