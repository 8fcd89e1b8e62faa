"""Zips of older releases of Stable-Baselines3 predict what they did there, to the byte."""

from __future__ import annotations

import io
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA
from numpy.typing import NDArray
from sb3_cases import CASES, Case, save, unflat
from sb3_zips import members
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from nondiff.agents.policies.spaces import to_json
from nondiff.agents.sb3.exchange.importing import import_zip
from nondiff.agents.sb3.policy import ReinforcementPolicy
from nondiff.errors import DamagedModelError, InvalidOptionError
from nondiff.experiments.evaluation.fit import check_spaces

torch.set_num_threads(1)
ZIPS = sorted((DATA / "sb3_zips").glob("*/*.zip"))
CLOSE = 1e-6  # what another processor's arithmetic may add


def read(path: Path, case: Case) -> ReinforcementPolicy:
    statistics = path.with_suffix(".pkl")
    strategy = path.stem.partition("-")[0]
    return import_zip(path, strategy, case.env(), statistics if statistics.exists() else None)


def recorded(path: Path) -> tuple[list[Any], NDArray[Any]]:
    """Observations, and what was predicted for them."""
    with np.load(path.with_suffix(".npz")) as arrays:
        found = dict(arrays)
    actions = found.pop("actions")
    return unflat(found), actions


def by_sb3(path: Path, case: Case, observations: list[Any]) -> NDArray[Any]:
    """What the present Stable-Baselines3 predicts with the weights of a zip."""
    env: Any = DummyVecEnv([case.env])
    model = case.model(env)
    weights = io.BytesIO(members(path)["policy.pth"])
    model.policy.load_state_dict(torch.load(weights, weights_only=True))
    if case.normalize is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numpy's, about names of older releases
            env = VecNormalize.load(str(path.with_suffix(".pkl")), env)
        observations = [env.normalize_obs(one) for one in observations]
    with closing(env):
        return np.array([model.predict(one, deterministic=True)[0] for one in observations])


def check(path: Path, close: float) -> None:
    case = CASES[path.stem]
    observations, expected = recorded(path)
    policy = read(path, case)
    found = np.array([policy.predict(one) for one in observations])
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=close, atol=close)
    assert len({action.tobytes() for action in found}) > 1
    assert found.tobytes() == by_sb3(path, case, observations).tobytes()
    check_spaces(path.name, policy, case.env(), pytest.fail)


@pytest.mark.parametrize("path", ZIPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_zips_of_older_releases(path: Path) -> None:
    check(path, CLOSE)


def test_releases_are_the_first_and_later_ones() -> None:
    assert sorted({path.parent.name for path in ZIPS}) == ["2.3.2", "2.5.0", "2.7.1", "2.9.0"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_zips_of_the_present_release(name: str, tmp_path: Path) -> None:
    save(tmp_path, name)
    check(tmp_path / f"{name}.zip", 0)


def test_bounds_are_the_environments_where_they_are_printed_alike(tmp_path: Path) -> None:
    save(tmp_path, "sac")
    path, env = tmp_path / "sac.zip", CASES["sac"].env()
    assert import_zip(path, "sac", env).description()["action_space"] == to_json(env.action_space)
    env.action_space = CASES["ppo-normalized"].env().action_space
    policy = import_zip(path, "sac", env)
    low = policy.description()["action_space"]["low"]
    assert low == [-0.09999999, -0.33333334]  # as it is printed
    with pytest.raises(InvalidOptionError, match="other bounds"):
        check_spaces("sac", policy, env)


def test_bounds_that_are_not_printed_are_the_environments_or_refused(tmp_path: Path) -> None:
    save(tmp_path, "ppo-many-actions")
    env = CASES["ppo"].env()
    with pytest.raises(DamagedModelError, match="action_space can't be read: it has more bounds"):
        import_zip(tmp_path / "ppo-many-actions.zip", "ppo", env)


def test_an_activation_is_chosen_where_the_zip_names_none(tmp_path: Path) -> None:
    class Mine(torch.nn.Tanh):
        """Computes what tanh does."""

    case, path = Case(CASES["ppo"].kind, arguments={"activation_fn": Mine}), tmp_path / "ppo.zip"
    with closing(DummyVecEnv([case.env])) as env:
        model = case.model(env)
    model.save(path)
    with pytest.raises(DamagedModelError, match=r"Mine'> is none of tanh.*--activation"):
        import_zip(path, "ppo", case.env())
    policy = import_zip(path, "ppo", case.env(), activation="tanh")
    observation = case.env().observation_space.sample()
    expected, _ = model.predict(observation, deterministic=True)
    assert policy.predict(observation).tobytes() == expected.tobytes()
    save(tmp_path, "ppo-elu")
    with pytest.raises(DamagedModelError, match="its activation is elu: leave out --activation re"):
        import_zip(tmp_path / "ppo-elu.zip", "ppo", CASES["ppo-elu"].env(), activation="relu")
