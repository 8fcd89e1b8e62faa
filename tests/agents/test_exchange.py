"""Policies go to Stable-Baselines3 and come back to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from gymnasium.vector.utils import batch_space
from sb3_contrib import TRPO
from sb3_zips import ALGORITHMS, HOME, REACH, imported, learned, members, one, options_of
from stable_baselines3 import A2C, HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from thorough_cases import some_thorough, thin
from watcher import trained

from nondiff.agents import find_strategy
from nondiff.agents.policies.model import load_policy, save_policy
from nondiff.agents.sb3.exchange.exporting import export_zip
from nondiff.agents.strategy import Policy
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import InvalidOptionError, UnknownNameError
from nondiff.experiments.commands.exchange import (
    ExportOptions,
    ImportOptions,
    export_run,
    import_run,
)
from nondiff.experiments.run.folder import Run
from nondiff.files import safe_path


def observations(env_id: str) -> list[Any]:
    """A batch of observations, and single ones."""
    with closing(EnvRecipe(env_id).make()) as env:
        batches = batch_space(env.observation_space, 64)
        env.observation_space.seed(1)
        batches.seed(2)
        return [batches.sample(), *(env.observation_space.sample() for _ in range(8))]


def check_same(model: BaseAlgorithm, policy: Policy, env_id: str) -> None:
    """Compare what both predict, given the same observations."""
    normalizer = model.get_vec_normalize_env()
    actions = set()
    for observation in observations(env_id):
        seen = normalizer.normalize_obs(observation) if normalizer else observation
        expected, _ = model.predict(seen, deterministic=True)
        found = np.asarray(policy.predict(observation))
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
        actions.add(found.tobytes())
    assert len(actions) > 1


def recorded(path: Path) -> list[Any]:
    """The names of a zip's members, and of what its `data` hold."""
    contents = members(path)
    return [contents.keys(), json.loads(contents["data"]).keys()]


def round_trip(model: BaseAlgorithm, strategy: str, env_id: str, folder: Path) -> Path:
    """Import what a model saves, keep it, load it, export it, and load that; all must agree."""
    path, statistics = folder / "theirs.zip", None
    model.save(path)
    if model.get_vec_normalize_env() is not None:
        statistics = folder / "theirs.pkl"
        model.get_vec_normalize_env().save(statistics)
    policy = imported(path, strategy, statistics, env_id)
    check_same(model, policy, env_id)
    save_policy(policy, folder / "model")
    loaded = load_policy(folder / "model")
    check_same(model, loaded, env_id)
    ours = folder / "ours.zip"
    export_zip(policy, ours, folder / "ours.pkl" if statistics else None)
    assert recorded(ours) == recorded(path)
    back = type(model).load(ours, device="cpu")
    if statistics:
        back._vec_normalize_env = VecNormalize.load(str(folder / "ours.pkl"), one(env_id))
    check_same(back, loaded, env_id)
    if statistics:
        back._vec_normalize_env.close()
    again = imported(ours, strategy, folder / "ours.pkl" if statistics else None, env_id)
    check_same(model, again, env_id)
    return ours


@pytest.mark.parametrize("strategy", ALGORITHMS)
def test_every_algorithm_comes_and_goes(strategy: str, tmp_path: Path) -> None:
    env_id = HOME[strategy]
    round_trip(learned(strategy, env_id), strategy, env_id, tmp_path)


HER = {"replay_buffer_class": HerReplayBuffer, "learning_starts": 55}
SEPARATE = {"net_arch": {"pi": [6], "vf": [6]}, "ortho_init": False, "activation_fn": torch.nn.ELU}
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "discrete": ("ppo", "CartPole-v1", {}),
    "discrete a2c": ("a2c", "CartPole-v1", {}),
    "dict": ("ppo", REACH, {}),
    "hindsight": ("sac", REACH, HER),
    "images": ("a2c", "small_envs:Picture-v0", {"policy": "CnnPolicy", "policy_kwargs": {}}),
    "noise of states": ("ppo", "Pendulum-v1", {"use_sde": True}),
    "noise of states, off policy": ("sac", "Pendulum-v1", {"use_sde": True}),
    "arguments": ("ppo", "Pendulum-v1", {"policy_kwargs": SEPARATE}),
    "default layers": ("a2c", "Pendulum-v1", {"policy_kwargs": {"log_std_init": -1.0}}),
    "quantiles": ("tqc", "Pendulum-v1", options_of("tqc", n_quantiles=5, n_critics=1)),
    "its own layers": ("crossq", "Pendulum-v1", {"policy_kwargs": {}}),
    "normalised batches, noise of states": ("crossq", "Pendulum-v1", {"use_sde": True}),
    "quantiles of choices": ("qrdqn", "CartPole-v1", options_of("qrdqn", n_quantiles=7)),
    "choices, no layers": ("dqn", "CartPole-v1", {"policy_kwargs": {"net_arch": []}}),
    "choices, hindsight": ("dqn", "small_envs:BitFlip-v0", HER),
    "two critics": ("ddpg", "Pendulum-v1", options_of("ddpg", n_critics=2)),
    "schedule": ("ppo", "Pendulum-v1", {"learning_rate": lambda left: left * 1e-3}),
}
RESEMBLED = ("discrete a2c", "noise of states, off policy", "default layers")


@pytest.mark.parametrize("case", some_thorough(OTHERS, RESEMBLED))
def test_other_spaces_and_networks(case: str, tmp_path: Path) -> None:
    strategy, env_id, options = OTHERS[case]
    round_trip(learned(strategy, env_id, **options), strategy, env_id, tmp_path)


@pytest.mark.parametrize(("strategy", "env_id"), [("ppo", "Pendulum-v1"), ("td3", REACH)])
def test_normalisation_comes_and_goes_in_a_file_of_its_own(
    strategy: str, env_id: str, tmp_path: Path
) -> None:
    with closing(VecNormalize(one(env_id), clip_obs=2)) as env:
        model = learned(strategy, env)
        ours = round_trip(model, strategy, env_id, tmp_path)
        rewards = VecNormalize(env.venv, norm_obs=False)
        rewards.save(str(tmp_path / "rewards.pkl"))
    policy = imported(ours, strategy, tmp_path / "ours.pkl", env_id)
    with pytest.raises(InvalidOptionError, match=r"normalises observations.*--statistics"):
        export_zip(policy, tmp_path / "new.zip")
    with pytest.raises(InvalidOptionError, match="both the zip and the statistics"):
        export_zip(policy, tmp_path / "new", tmp_path / "new")
    if strategy == "ppo":
        for path in (ours, tmp_path / "theirs.zip"):
            with pytest.raises(InvalidOptionError, match=r"trained with VecNormalize.*--stat"):
                imported(path, strategy, env_id=env_id)
    raw = imported(ours, strategy, tmp_path / "rewards.pkl", env_id)
    with pytest.raises(InvalidOptionError, match="no statistics to write"):
        export_zip(raw, tmp_path / "new.zip", tmp_path / "new.pkl")
    assert not list(tmp_path.glob("new*"))


@pytest.mark.parametrize("env_id", ["Pendulum-v1", REACH])
def test_what_is_trained_here_is_exported(env_id: str, tmp_path: Path) -> None:
    strategy = find_strategy("trpo")(net_arch=(4,), normalize_observation=True)  # type: ignore[call-arg]
    policy = trained(strategy, env_id, 128)
    path, statistics = tmp_path / "model.zip", tmp_path / "statistics.pkl"
    export_zip(policy, path, statistics)
    model = TRPO.load(path, device="cpu")
    with closing(VecNormalize.load(str(statistics), one(env_id))) as env:
        model._vec_normalize_env = env
        check_same(model, policy, env_id)
    check_same(model, imported(path, "trpo", statistics, env_id), env_id)


EXPORTED = [("ppo", "td3"), tuple(ALGORITHMS)]
STRANGER = """
import sys
sys.modules["nondiff"] = None
import gymnasium, numpy, pickle, torch, sb3_contrib, stable_baselines3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

torch.set_num_threads(1)
for name, env_id in zip(sys.argv[1::2], sys.argv[2::2]):
    kind = getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)
    model = kind.load(f"{name}.zip", device="cpu")
    batch = numpy.load(f"{env_id}.npy")
    if name == "PPO":
        env = DummyVecEnv([lambda: gymnasium.make(env_id)])
        batch = VecNormalize.load("PPO.pkl", env).normalize_obs(batch)
    numpy.save(f"{name}.npy", model.predict(batch, deterministic=True)[0])
    model.set_env(gymnasium.make(env_id))
    if name in ("A2C", "TD3", "DQN", "CrossQ"):
        model.learn(8)
try:
    import nondiff
except ImportError:
    print("no nondiff")
"""


@pytest.mark.thorough
@pytest.mark.parametrize("strategies", thin(EXPORTED, EXPORTED[:1]), ids="-".join)
def test_plain_stable_baselines_loads_exports_without_nondiff(
    strategies: tuple[str, ...], tmp_path: Path
) -> None:
    batches = {env_id: observations(env_id)[0] for env_id in HOME.values()}
    for env_id, batch in batches.items():
        np.save(tmp_path / f"{env_id}.npy", batch)
    expected, words = {}, []
    for strategy in strategies:
        kind = ALGORITHMS[strategy]
        normalized, env_id = strategy == "ppo", HOME[strategy]
        env = one(env_id)
        with closing(VecNormalize(env) if normalized else env) as venv:
            folder = tmp_path / strategy
            folder.mkdir()
            ours = round_trip(learned(strategy, venv), strategy, env_id, folder)
        policy = load_policy(folder / "model")
        ours.rename(tmp_path / f"{kind.__name__}.zip")
        if normalized:
            (folder / "ours.pkl").rename(tmp_path / "PPO.pkl")
        expected[kind.__name__] = policy.predict(batches[env_id])
        words += [kind.__name__, env_id]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STRANGER, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("no nondiff\n", 0), done.stderr
    for name, actions in expected.items():
        found = np.load(tmp_path / f"{name}.npy")
        assert (found.dtype, found.tobytes()) == (actions.dtype, actions.tobytes())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of Stable-Baselines3."""
    path = tmp_path_factory.mktemp("saved") / "model.zip"
    learned("a2c", "Pendulum-v1").save(path)
    return path


def test_an_export_appears_whole_and_replaces_nothing(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = imported(saved, "a2c")
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InvalidOptionError, match="mine exists already"):
        export_zip(policy, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"
    with pytest.raises(InvalidOptionError, match=r"can't be written: No such file"):
        export_zip(policy, tmp_path / "nowhere" / "model.zip")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(safe_path.os, "fsync", full)
        with pytest.raises(InvalidOptionError, match=r"model.zip can't be written: No space left"):
            export_zip(policy, tmp_path / "model.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


FEW = ("--episodes", 2, "--random-episodes", 0)


def test_an_imported_run_is_judged_and_exported_again(
    saved: Path, command: Command, tmp_path: Path
) -> None:
    zipped = ("--env", "Pendulum-v1", "--strategy", "a2c", "--runs", tmp_path)
    answer = command("import", saved, *zipped, "--name", "theirs", "--env-arg", "g=9.0")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("\n") == 1
    run = Run.open(tmp_path / "theirs")
    assert (run.state.state, set(run.state.models)) == ("imported", {"best", "last"})
    assert run.config.env_arguments == {"g": 9.0}
    answer = command("evaluate", run.folder, *FEW)
    assert (answer.code, answer.err) == (0, "")
    assert "theirs" in answer.out
    again = tmp_path / "again.zip"
    answer = command("export", run.folder, "--to", again, "--model", "last")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"wrote {again} for Stable-Baselines3\n"
    check_same(A2C.load(again, device="cpu"), run.load_policy(), "Pendulum-v1")
    assert command("export", run.folder, "--to", again).code == 2
    answer = command("import", saved, *zipped)
    assert (tmp_path / "Pendulum-v1-a2c-imported-1").is_dir()


def test_import_refuses_what_does_not_fit_and_writes_nothing(saved: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    options = ImportOptions(saved, "Pendulum-v1", "a2c", runs=runs)
    for env, words in (("CartPole-v1", "observation_space"), (REACH, "observation_space")):
        with pytest.raises(InvalidOptionError, match=f"does not fit this environment: its {words}"):
            import_run(replace(options, env=env))
    with pytest.raises(UnknownNameError, match="Pendulum-v1"):
        import_run(replace(options, env="Pendullum-v1"))
    with pytest.raises(UnknownNameError, match="strategy"):
        import_run(replace(options, strategy="pppo"))
    assert list(tmp_path.iterdir()) == []


def test_a_policy_of_another_kind_is_not_exported(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other:
        def description(self) -> dict[str, Any]:
            return {"kind": "table"}

    import_run(ImportOptions(saved, "Pendulum-v1", "a2c", name="r", runs=tmp_path))
    monkeypatch.setattr(Run, "load_policy", lambda run, role: Other())
    with pytest.raises(InvalidOptionError, match="kind 'table'"):
        export_run(ExportOptions(tmp_path / "r", tmp_path / "x.zip"))
