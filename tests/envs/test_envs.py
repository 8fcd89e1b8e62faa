"""Conformance tests that run over every registered environment."""

from __future__ import annotations

import copy
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from thorough_cases import some_thorough

from nondiff.envs import ENVIRONMENTS, needs_of
from nondiff.errors import InvalidActionError, InvalidOptionError

STEPS = 110  # actions of a recording: several episodes
FEW_STEPS = 12  # more than an episode of those that run an external program
MAX_EPISODE_STEPS = 10_000
Record = list[tuple[bytes, str]]  # an observation's bits, and all else that came with it


def differ_by_the_reward_alone() -> set[str]:
    """Ids that are an earlier one with other rewards; `goal_env` tests all the same."""
    seen, found = [], set()
    for env_id, (entry_point, arguments) in ENVIRONMENTS.items():
        rest = {name: value for name, value in arguments.items() if name != "reward_type"}
        if (entry_point, rest) in seen:
            found.add(env_id)
        seen.append((entry_point, rest))
    return found


RESEMBLED = {  # by others of their family, with another task, robot or size
    *(f"nondiff/Panda{task}-v0" for task in ("Slide", "PickAndPlace", "Stack")),
    *("nondiff/KukaReach-v0", "nondiff/SurfaceWaves-v0", "nondiff/DoomDefendTheCenter-v0"),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "env_id" not in metafunc.fixturenames:
        return
    every = {mark.name for mark in metafunc.definition.iter_markers()} & {"every_env"}
    resembled = set() if every else RESEMBLED
    if "goal_env" not in metafunc.fixturenames:
        resembled = resembled | differ_by_the_reward_alone()
    metafunc.parametrize("env_id", some_thorough(ENVIRONMENTS, resembled), indirect=True)


@pytest.fixture
def box_env(env: gymnasium.Env) -> gymnasium.Env:
    if not isinstance(env.action_space, spaces.Box):
        pytest.skip("the actions are not a Box")
    return env


@pytest.fixture
def goal_env(env: gymnasium.Env) -> gymnasium.Env:
    if not hasattr(env.unwrapped, "compute_reward"):
        pytest.skip("not goal-conditioned")
    return env


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessPoolExecutor]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as executor:
        yield executor


def affordable(env: gymnasium.Env, count: int) -> int:
    """So many actions; fewer where each is a call of an external program."""
    assert env.spec is not None
    if any(need.kind == "program" for need in needs_of(env.spec.id)):
        return min(count, max(FEW_STEPS, count // 9))
    return count


def random_actions(env: gymnasium.Env, count: int = STEPS, seed: int = 0) -> list[Any]:
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(affordable(env, count))]


def signed(env: gymnasium.Env, observation: Any, *rest: Any) -> tuple[bytes, str]:
    return spaces.flatten(env.observation_space, observation).tobytes(), repr(rest)


def follow(env: gymnasium.Env, actions: Sequence[Any]) -> Record:
    """All that `env` returns; it is reset whenever an episode ends."""
    record = []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        record.append(signed(env, observation, reward, terminated, truncated, info))
        if terminated or truncated:
            record.append(signed(env, *env.reset()))
    return record


def play(env: gymnasium.Env, actions: Sequence[Any], seed: int) -> Record:
    """The same from a seeded reset on."""
    return [signed(env, *env.reset(seed=seed)), *follow(env, actions)]


def play_fresh(env_id: str, actions: Sequence[Any], seed: int) -> Record:
    env = gymnasium.make(env_id)
    try:
        return play(env, actions, seed)
    finally:
        env.close()


def observe(env: gymnasium.Env, actions: Sequence[Any], seed: int) -> Iterator[Any]:
    """Every observation along `actions`, those of resets included."""
    yield env.reset(seed=seed)[0]
    for action in actions:
        observation, _, terminated, truncated, _ = env.step(action)
        yield observation
        if terminated or truncated:
            yield env.reset()[0]


def arrays(observation: Any) -> list[NDArray[Any]]:
    return list(observation.values()) if isinstance(observation, dict) else [observation]


# The interface


def test_gymnasium_makes_it_by_module_and_id(env_id: str) -> None:
    gymnasium.make(f"nondiff:{env_id}").close()


@pytest.mark.every_env
def test_gymnasium_checker(env: gymnasium.Env) -> None:
    # Mode "human" needs a display; test_render_modes opens the others either way.
    hidden = "human" in env.metadata["render_modes"] and not os.environ.get("DISPLAY")
    check_env(env.unwrapped, skip_render_check=hidden)


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="xvfb-run is not installed")
def test_gymnasium_checker_with_a_display(env_id: str) -> None:
    check = f"check_env(gymnasium.make('nondiff:{env_id}').unwrapped)"
    code = f"import gymnasium; from gymnasium.utils.env_checker import check_env; {check}"
    subprocess.run(["xvfb-run", "-a", sys.executable, "-W", "error", "-c", code], check=True)


def test_sb3_checker(env: gymnasium.Env) -> None:
    # Imported here to keep PyTorch out of the worker processes, which import this file.
    from stable_baselines3.common.env_checker import check_env

    # It says on stdout that it found a goal-conditioned environment: a note, not a warning.
    check_env(env.unwrapped)


def test_spaces_contain_their_samples(env: gymnasium.Env) -> None:
    for space in (env.action_space, env.observation_space):
        space.seed(0)
        assert all(space.sample() in space for _ in range(10))


@pytest.mark.thorough
def test_episodes_end(env: gymnasium.Env) -> None:
    env.action_space.seed(0)
    for seed in range(3):
        env.reset(seed=seed)
        for _ in range(MAX_EPISODE_STEPS):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                break
        assert terminated or truncated


# Determinism


@pytest.mark.every_env
def test_seed_fixes_every_bit_whatever_came_before(env: gymnasium.Env) -> None:
    actions = random_actions(env)
    expected = play(env, actions, seed=3)
    for other_seed, count in (
        (4, 0),
        (5, 7),
        (6, STEPS),
    ):  # left at once, within and after episodes
        play(env, random_actions(env, count, seed=other_seed), seed=other_seed)
        assert play(env, actions, seed=3) == expected


def test_fresh_instances_agree(env_id: str, env: gymnasium.Env) -> None:
    actions = random_actions(env)
    play(env, random_actions(env, seed=1), seed=4)
    expected = play(env, actions, seed=3)
    assert play_fresh(env_id, actions, seed=3) == expected
    assert play_fresh(env_id, actions, seed=3) == expected


def test_worker_processes_agree(
    env_id: str, env: gymnasium.Env, workers: ProcessPoolExecutor
) -> None:
    actions = random_actions(env)
    expected = {seed: play(env, actions, seed) for seed in (3, 8)}
    records = [workers.submit(play_fresh, env_id, actions, seed) for seed in (3, 8, 3)]
    for seed, record in zip((3, 8, 3), records, strict=True):
        assert record.result() == expected[seed]


def test_different_seeds_differ(env: gymnasium.Env) -> None:
    # A game may look the same at first, and differ by what its creatures do then.
    actions = random_actions(env, 30) if env.observation_space.dtype == np.uint8 else []
    starts = {repr(play(env, actions, seed)) for seed in range(20)}
    starts |= {repr([signed(env, env.reset()[0]), *follow(env, actions)]) for _ in range(20)}
    assert len(starts) >= 38  # some draw from a pool, where two may meet


# Observations


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_observations_stay_in_their_space(env: gymnasium.Env, steps: int) -> None:
    for observation in observe(env, random_actions(env, steps), seed=0):
        assert observation in env.observation_space


def test_observations_stay_in_their_space_at_extreme_actions(box_env: gymnasium.Env) -> None:
    low, high = box_env.action_space.low, box_env.action_space.high
    rng = np.random.default_rng(0)
    corners = [np.where(rng.random(low.shape) < 0.5, low, high) for _ in range(4)]
    for corner in (low, high, *corners):
        for observation in observe(box_env, [corner] * affordable(box_env, 60), seed=0):
            assert observation in box_env.observation_space


@pytest.mark.thorough
def test_no_entry_of_the_observation_is_constant(env: gymnasium.Env) -> None:
    observed = observe(env, random_actions(env, 300), seed=0)
    rows = np.stack([spaces.flatten(env.observation_space, row) for row in observed])
    constant = np.flatnonzero(np.ptp(rows, axis=0) == 0)
    if isinstance(env.observation_space, spaces.Dict):
        size = env.observation_space["desired_goal"].shape[0]
        of_goal = (size <= constant) & (constant < 2 * size)
        assert of_goal.sum() < size
        constant = constant[~of_goal]  # goals may lie in a plane, such as a table's
    assert constant.size == 0, f"entries {constant} of the flattened observation never change"


def test_returned_observations_never_change(env: gymnasium.Env) -> None:
    kept = [
        (observation, copy.deepcopy(observation))
        for observation in observe(env, random_actions(env), seed=0)
    ]
    for observation, when_returned in kept:
        for now, then in zip(arrays(observation), arrays(when_returned), strict=True):
            assert np.array_equal(now, then)


class Erased(gymnasium.ObservationWrapper):
    """Overwrites every array the environment returns, after copying it."""

    def observation(self, observation: Any) -> Any:
        copied = copy.deepcopy(observation)
        for array in arrays(observation):
            array.fill(0)
        return copied


@pytest.mark.thorough
def test_writing_into_observations_disturbs_nothing(env: gymnasium.Env) -> None:
    actions = random_actions(env)
    assert play(Erased(env), actions, seed=0) == play(env, actions, seed=0)


# Pictures


def test_render_modes(env_id: str, env: gymnasium.Env) -> None:
    for mode in set(env.metadata["render_modes"]) - {"human"}:
        pictured = gymnasium.make(env_id, render_mode=mode)
        pictured.reset(seed=0)
        assert pictured.render() is not None  # Gymnasium's wrapper checks what it is
        pictured.close()


def test_other_render_modes_are_refused_in_a_line(env_id: str, env: gymnasium.Env) -> None:
    gymnasium.make(env_id, render_mode=None).close()
    with pytest.raises(InvalidOptionError, match="render_mode 'hologram'") as caught:
        gymnasium.make(env_id, render_mode="hologram")
    assert all(mode in str(caught.value) for mode in env.metadata["render_modes"])
    assert "\n" not in str(caught.value)


@pytest.mark.thorough
def test_pictures_are_the_same_again_and_of_one_size(env_id: str) -> None:
    pictured = gymnasium.make(env_id, render_mode="rgb_array")
    pictures = []
    pictured.reset(seed=0)
    for action in random_actions(pictured, 1)[:1]:  # before the first step, and after it
        pictures.append([pictured.render(), pictured.render()])
        pictured.step(action)
    pictures.append([pictured.render(), pictured.render()])
    pictured.close()
    for first, again in pictures:
        assert np.array_equal(first, again)
        assert first.shape == pictures[0][0].shape


@pytest.mark.thorough
def test_pictures_show_something_and_change_nothing(env_id: str, env: gymnasium.Env) -> None:
    actions = random_actions(env, 12)
    pictured = gymnasium.make(env_id, render_mode="rgb_array")
    record = play(pictured, actions[:6], seed=5)
    pictures = [pictured.render()]
    record += follow(pictured, actions[6:])
    pictures.append(pictured.render())
    pictured.close()
    assert record == play(env, actions, seed=5)
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
        assert picture.std() > 5
    assert not np.array_equal(*pictures)


# Actions


@pytest.mark.thorough
def test_bad_actions_are_refused_and_leave_no_trace(box_env: gymnasium.Env) -> None:
    good = random_actions(box_env)
    shape = box_env.action_space.shape
    bad = [np.zeros((*shape, 1)), np.zeros((1, *shape)), np.zeros(()), np.zeros(shape[0] + 1)]
    for entry in (np.nan, np.inf, -np.inf):
        bad.append(np.zeros(shape, np.float32))
        bad[-1].flat[-1] = entry
    expected = play(box_env, good, seed=0)
    record = play(box_env, good[:10], seed=0)
    for action in bad:
        with pytest.raises(InvalidActionError):
            box_env.unwrapped.step(action)
    assert record + follow(box_env, good[10:]) == expected


@pytest.mark.thorough
def test_actions_out_of_range_are_clipped(env_id: str, box_env: gymnasium.Env) -> None:
    space = box_env.action_space
    wild = [action * np.float32(3) for action in random_actions(box_env)]
    clipped = [np.clip(action, space.low, space.high) for action in wild]
    assert any(action not in space for action in wild)
    assert play(box_env, wild, seed=0) == play_fresh(env_id, clipped, seed=0)


# Goals


def test_goal_keys_are_sorted(goal_env: gymnasium.Env) -> None:
    # Stable-Baselines3 concatenates entries in this order, and Dict spaces compare equal in any.
    keys = ["achieved_goal", "desired_goal", "observation"]
    assert list(goal_env.observation_space.spaces) == keys
    assert list(goal_env.reset(seed=0)[0]) == keys


def test_compute_reward_agrees_with_steps_one_by_one_and_in_a_batch(
    goal_env: gymnasium.Env,
) -> None:
    compute_reward = goal_env.unwrapped.compute_reward
    goal_env.reset(seed=0)
    steps = []
    for action in random_actions(goal_env, STEPS):
        steps.append(goal_env.step(action))
        if steps[-1][2] or steps[-1][3]:
            goal_env.reset()
    achieved = np.stack([step[0]["achieved_goal"] for step in steps])
    desired = np.stack([step[0]["desired_goal"] for step in steps])
    infos = np.array([step[4] for step in steps])
    assert [step[1] for step in steps] == compute_reward(achieved, desired, infos).tolist()
    for goals in (desired, achieved, np.roll(achieved, 1, axis=0)):
        batch = compute_reward(achieved, goals, infos)
        singles = [compute_reward(*row) for row in zip(achieved, goals, infos, strict=True)]
        assert batch.shape == (len(steps),)
        assert batch.tolist() == [float(single) for single in singles]
    best = compute_reward(achieved, achieved, infos)
    assert (best >= compute_reward(achieved, desired, infos)).all()


@pytest.mark.thorough
def test_episodes_never_start_solved(goal_env: gymnasium.Env) -> None:
    compute_reward = goal_env.unwrapped.compute_reward
    for seed in range(100):
        observation, info = goal_env.reset(seed=seed)
        achieved, desired = observation["achieved_goal"], observation["desired_goal"]
        assert not info["is_success"]
        assert compute_reward(achieved, desired, info) < compute_reward(achieved, achieved, info)
