"""What wrappers, vector environments and collectors of others find in every environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from conftest import SUPPORT
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode
from minari import DataCollector
from simulators import skip_without
from test_envs import RESEMBLED, affordable, differ_by_the_reward_alone, random_actions
from thorough_cases import some_thorough

from nondiff.agents.api import recipe_of
from nondiff.envs import ENVIRONMENTS, needs_of
from nondiff.errors import InvalidOptionError

# The limit that an environment's own arguments give it.
LIMITS: dict[str, tuple[dict[str, Any], int]] = {
    "nondiff/PandaReach-v0": ({"horizon": 80}, 80),
    "nondiff/DoomBasic-v0": ({"frame_skip": 7}, 43),
}
# One of each way in which a step is made; the others are thorough.
SAMPLE = ("PandaReach-v0", "SurfaceWaves6-v0", "OpAmp-v0", "DoomBasic-v0")
FEW = 3


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "env_id" in metafunc.fixturenames:
        resembled = differ_by_the_reward_alone() | RESEMBLED
        if "mode" in metafunc.fixturenames:
            resembled = {one for one in ENVIRONMENTS if not one.endswith(SAMPLE)}
        metafunc.parametrize("env_id", some_thorough(ENVIRONMENTS, resembled), indirect=True)


def kinds(info: dict[str, Any]) -> dict[str, Any]:
    """What stays the same of an info."""
    return {key: (type(value), value.dtype, value.shape) for key, value in info.items()}


# Infos


def test_infos_have_the_same_keys_and_types_after_resets_and_steps(env: gymnasium.Env) -> None:
    expected = kinds(env.reset(seed=0)[1])
    assert expected.get("is_success", (np.bool_,))[0] is np.bool_
    for action in random_actions(env, 60):
        _, reward, terminated, truncated, info = env.step(action)
        assert kinds(info) == expected
        assert {type(reward), type(terminated), type(truncated)} == {float, bool}
        if terminated or truncated:
            assert kinds(env.reset()[1]) == expected


def test_vector_infos_have_the_same_keys_after_resets_and_steps(env_id: str) -> None:
    if needs_of(env_id)[0].name in ("pybullet", "vizdoom"):
        pytest.skip("it is stepped by workers or by Gymnasium, which other tests compare")
    many = gymnasium.make_vec(env_id, num_envs=2)
    many.action_space.seed(0)
    _, first = many.reset(seed=0)
    for _ in range(FEW):
        *_, terminated, truncated, info = many.step(many.action_space.sample())
        ends = terminated | truncated
        assert {key for key in info if "final" not in key} == set(first)
        assert all(info[key].dtype == first[key].dtype for key in first)
        if ends.any():
            assert (info["_final_info"] == ends).all()
            last = info["final_info"]
            answered = np.isfinite(last["outcome"]).all(axis=1) | last["failed"]
            assert answered[ends].all()
            assert np.isnan(info["outcome"][ends]).all()  # as after a reset, which they had
    many.close()


# Minari leaves the folder that it collects into to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "name", ["nondiff/SurfaceWaves6-v0", "nondiff/PandaReach-v0", "nondiff/OpAmp-v0"]
)
def test_minari_collects_what_its_users_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax", reason="pip install 'minari[create]'")
    skip_without(name)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    collector = DataCollector(gymnasium.make(name), record_infos=True)
    collector.reset(seed=0)
    for action in random_actions(collector, 55):
        *_, terminated, truncated, _ = collector.step(action)
        if terminated or truncated:
            collector.reset()
    limit = collector.spec.max_episode_steps
    collector.create_dataset(
        "nondiff/users-v0",
        eval_env=name,
        algorithm_name="random",
        author="nobody",
        author_email="nobody@example.org",
        code_permalink="https://example.org",
        description="random actions",
    )
    collector.close()
    dataset = minari.load_dataset("nondiff/users-v0")
    for episode in dataset.iterate_episodes():
        assert all(len(values) == len(episode.rewards) + 1 for values in episode.infos.values())
    with dataset.recover_environment() as env:
        assert env.spec.max_episode_steps == limit


# Time limits


def cut_off(env: gymnasium.Env, seeds: range = range(2)) -> set[int]:
    """The lengths of the episodes without a move that are cut off."""
    lengths = set()
    for seed in seeds:
        env.reset(seed=seed)
        steps, terminated, truncated = 0, False, False
        while not (terminated or truncated):
            steps += 1
            _, _, terminated, truncated, _ = env.step(no_move(env))
        if truncated:
            lengths.add(steps)
        assert steps <= env.spec.max_episode_steps
    return lengths


def no_move(env: Any) -> Any:
    space = env.action_space
    return 0 if space.shape == () else np.zeros(space.shape, space.dtype)


def test_the_spec_states_the_limit_that_the_environment_counts(env: gymnasium.Env) -> None:
    assert cut_off(env) <= {env.spec.max_episode_steps}
    inner = env
    while isinstance(inner, gymnasium.Wrapper):
        assert not isinstance(inner, wrappers.TimeLimit), "a second count"
        inner = inner.env


@pytest.mark.parametrize("name", LIMITS)
def test_the_spec_states_the_limit_of_the_arguments(name: str) -> None:
    skip_without(name)
    arguments, limit = LIMITS[name]
    with gymnasium.make(name, **arguments) as env:
        assert cut_off(env) == {env.spec.max_episode_steps} == {limit}


def test_the_spec_makes_the_same_again(env: gymnasium.Env) -> None:
    with env.spec.make() as again:
        assert again.spec.max_episode_steps == env.spec.max_episode_steps
        assert cut_off(again, range(1)) <= {env.spec.max_episode_steps}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "mode", ["sync", "vector_entry_point", pytest.param("async", marks=pytest.mark.thorough)]
)
def test_a_limit_that_is_asked_for_holds_in_each_mode(env_id: str, mode: str) -> None:
    if mode == "vector_entry_point" and gymnasium.spec(env_id).vector_entry_point is None:
        pytest.skip("it has none")
    options: dict[str, Any] = {}
    if mode != "vector_entry_point":
        options["vector_kwargs"] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    with gymnasium.make(env_id, max_episode_steps=FEW) as alone:
        own = min(FEW, alone.unwrapped.max_episode_steps)
        assert cut_off(alone, range(1)) <= {own}
    many = gymnasium.make_vec(env_id, 2, mode, max_episode_steps=FEW, **options)
    many.reset(seed=0)
    steps = [many.step(no_move(many))[2:4] for _ in range(2 * own)]
    many.close()
    for number, (terminated, truncated) in enumerate(steps, start=1):
        ends = terminated | truncated
        assert ends.all() if number % own == 0 else not ends.any()
        assert truncated.all() == (own == FEW and number % own == 0)


@pytest.mark.parametrize("limit", [0, -7, 2.5, True, "7"])
@pytest.mark.parametrize("name", ["nondiff/SurfaceWaves6-v0", "nondiff/PandaReach-v0"])
def test_limits_that_are_none_are_refused(name: str, limit: Any) -> None:
    with pytest.raises(InvalidOptionError, match="max_episode_steps must be"):
        gymnasium.make_vec(name, num_envs=2, max_episode_steps=limit)


@pytest.mark.parametrize("limit", [None, -1])
def test_no_limit_leaves_the_environments_own(limit: int | None) -> None:
    many = gymnasium.make_vec("nondiff/SurfaceWaves6-v0", num_envs=2, max_episode_steps=limit)
    assert many.spec.max_episode_steps == 1
    many.reset(seed=0)
    truncated = many.step(no_move(many))[3]
    assert not truncated.any()
    many.close()


@pytest.mark.parametrize(
    ("name", "arguments"), [("CartPole-v1", {}), ("nondiff/PandaReach-v0", {"horizon": 9})]
)
def test_a_limit_goes_with_an_environment_that_is_made_again(
    name: str, arguments: dict[str, Any]
) -> None:
    with gymnasium.make(name, **arguments) as env:
        assert recipe_of(env).arguments == env.spec.kwargs
        usual = dict(env.spec.kwargs)
    with gymnasium.make(name, max_episode_steps=FEW, **arguments) as env:
        recipe = recipe_of(env)
    assert (recipe.arguments, recipe.max_episode_steps) == (usual, FEW)
    with recipe.opened() as again:
        assert again.spec.max_episode_steps == FEW


# Wrappers


def wrapped(env: gymnasium.Env) -> Iterator[gymnasium.Env]:
    yield wrappers.TimeAwareObservation(env)
    yield wrappers.RecordEpisodeStatistics(env)
    yield wrappers.TransformReward(env, lambda reward: 0.5 * reward)
    yield wrappers.NormalizeReward(env)
    yield wrappers.Autoreset(env)


@pytest.mark.thorough
def test_wrappers_of_gymnasium_work(env: gymnasium.Env) -> None:
    actions = random_actions(env, 20)[: affordable(env, 20)]
    for one in wrapped(env):
        assert one.spec.max_episode_steps == env.spec.max_episode_steps
        assert one.reset(seed=0)[0] in one.observation_space
        for action in actions:
            observation, _, terminated, truncated, info = one.step(action)
            assert observation in one.observation_space
            if (terminated or truncated) and not isinstance(one, wrappers.Autoreset):
                assert ("episode" in info) == isinstance(one, wrappers.RecordEpisodeStatistics)
                one.reset()


@pytest.mark.thorough
def test_pictures_can_be_observed(env_id: str) -> None:
    drawn = gymnasium.make(env_id, render_mode="rgb_array")
    with wrappers.AddRenderObservation(drawn) as env:
        assert env.reset(seed=0)[0] in env.observation_space
        assert env.step(random_actions(env, 1)[0])[0] in env.observation_space


def test_render_without_a_mode_warns_and_gives_nothing() -> None:
    with gymnasium.make("nondiff/SurfaceWaves6-v0") as env:
        env.reset(seed=0)
        with pytest.warns(UserWarning, match="render_mode='rgb_array'"):
            assert env.unwrapped.render() is None


def test_vector_environments_of_black_boxes_give_a_picture_each() -> None:
    many = gymnasium.make_vec("nondiff/SurfaceWaves6-v0", num_envs=2, render_mode="rgb_array")
    many.reset(seed=0)
    before = many.render()
    many.step(no_move(many))
    after = many.render()
    many.close()
    assert len(before) == len(after) == 2
    assert not any(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    with pytest.raises(InvalidOptionError, match="choose from rgb_array"):
        gymnasium.make_vec("nondiff/SurfaceWaves6-v0", num_envs=2, render_mode="human")


@pytest.mark.thorough
def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = (  # not SurfaceWaves, since disba loads it
        "import sys; from small_boxes import Plain, box_env; e = box_env(Plain); "
        "e.reset(seed=0); e.step(e.action_space.sample()); assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=SUPPORT)
