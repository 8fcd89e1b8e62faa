"""Our vector environments begin again as Gymnasium's `SyncVectorEnv` does, in each of its modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from faulty_envs import Breaks
from foreign_envs import Giving
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from simulators import skip_without
from small_boxes import Bowl, Track
from thorough_cases import some_thorough

from nondiff.agents.sb3.vec_envs.batched import BatchedVecEnv
from nondiff.black_box import BlackBox, BlackBoxEnv, BlackBoxVectorEnv
from nondiff.envs import ENVIRONMENTS
from nondiff.errors import InvalidOptionError
from nondiff.processes.vector_env import ParallelVectorEnv
from nondiff.processes.vector_env.resets import FINAL

Vector = VectorEnv[Any, Any, Any]
MODES = list(AutoresetMode)
COUNT = 3
VECTORISED = [i for i in ENVIRONMENTS if gymnasium.spec(i).vector_entry_point is not None]
RESEMBLED = {*VECTORISED} - {"nondiff/PandaPush-v0"}


def equal(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        return set(ours) == set(theirs) and all(equal(ours[key], theirs[key]) for key in theirs)
    one, other = np.asarray(ours), np.asarray(theirs)
    if other.dtype == object:
        return len(one) == len(other) and all(map(equal_entries, one, other))
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def equal_entries(ours: Any, theirs: Any) -> bool:
    """Entries of arrays of objects; Gymnasium makes such of numpy's flags, with None for others."""
    if theirs is None:
        return ours is None or not ours
    return equal(ours, theirs) if isinstance(theirs, dict) else np.array_equal(ours, theirs)


def follows(ours: Vector, theirs: Vector, mode: AutoresetMode, steps: int) -> int:
    """Step both alike; how many episodes ended."""
    first = ours.reset(seed=3), theirs.reset(seed=3)
    assert equal(dict(enumerate(first[0])), dict(enumerate(first[1])))
    ours.action_space.seed(0)
    ends = 0
    for _ in range(steps):
        actions = ours.action_space.sample()
        mine, wanted = ours.step(actions), theirs.step(actions)
        assert equal(dict(enumerate(mine)), dict(enumerate(wanted)))
        ended = mine[2] | mine[3]
        ends += int(ended.sum())
        if mode is AutoresetMode.DISABLED and ended.any():
            with pytest.raises(gymnasium.error.ResetNeeded, match="reset_mask"):
                ours.step(actions)
            seeds = [40 + ends, None, 60]
            again = [
                each.reset(seed=seeds, options={"reset_mask": ended}) for each in (ours, theirs)
            ]
            assert equal(dict(enumerate(again[0])), dict(enumerate(again[1])))
    return ends


@pytest.mark.thorough
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", some_thorough(VECTORISED, RESEMBLED))
def test_every_mode_is_gymnasiums(env_id: str, mode: AutoresetMode) -> None:
    skip_without(env_id)
    arguments = {"horizon": 4} if "Panda" in env_id or "Kuka" in env_id else {}
    ours = gymnasium.make_vec(env_id, COUNT, autoreset_mode=mode, **arguments)
    theirs = gymnasium.make_vec(
        env_id, COUNT, "sync", vector_kwargs={"autoreset_mode": mode}, **arguments
    )
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"] is mode
    steps = 23 if "OpAmp" in env_id else 10
    assert follows(ours, theirs, mode, steps) >= COUNT
    for each in (ours, theirs):
        each.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("box", [Bowl, Track, partial(Bowl, cliff=0.0)])
def test_black_boxes_too(box: Callable[[], BlackBox], mode: AutoresetMode) -> None:
    ours = BlackBoxVectorEnv(box(), COUNT, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: BlackBoxEnv(box())] * COUNT, autoreset_mode=mode)
    assert follows(ours, theirs, mode, 23) >= 4 * COUNT


@pytest.fixture(params=["parallel", "black box"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Vector]]:
    made: list[Vector] = []

    def make(**arguments: Any) -> Vector:
        if request.param == "parallel":
            made.append(ParallelVectorEnv(Breaks, 2, processes=1, **arguments))
        else:
            made.append(BlackBoxVectorEnv(Bowl(), 2, **arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_modes_are_known_by_their_values(make: Callable[..., Vector]) -> None:
    assert make().metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert make(autoreset_mode="NextStep").metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    for wrong in ("next_step", None, 1):
        with pytest.raises(InvalidOptionError, match="'NextStep', 'SameStep', 'Disabled', not"):
            make(autoreset_mode=wrong)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "mask", [[True, False], np.array([1, 0]), np.ones(3, bool), np.zeros(2, bool), None]
)
def test_masks_are_checked_before_anything_is_reset(make: Callable[..., Vector], mask: Any) -> None:
    vector = make(autoreset_mode="Disabled")
    vector.reset(seed=0)
    with pytest.raises(InvalidOptionError, match="reset_mask must be an array of 2 numpy flags"):
        vector.reset(options={"reset_mask": mask})


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1.5, "1", -1, True, [0], [0, 1.5], [0, -1], {0, 1}])
def test_seeds_are_checked_before_anything_is_reset(make: Callable[..., Vector], seed: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"seed must be a whole number|seeds do not fit"):
        make().reset(seed=seed)


@pytest.mark.parametrize("options", [5, "a", [1]])
def test_options_are_a_dict(make: Callable[..., Vector], options: Any) -> None:
    with pytest.raises(InvalidOptionError, match="options must be a dict or None, not"):
        make().reset(seed=0, options=options)


def test_options_stay_those_of_the_caller(make: Callable[..., Vector]) -> None:
    vector, options = make(), {"reset_mask": np.array([True, False])}
    vector.reset(seed=0)
    vector.reset(options=options)
    assert options.keys() == {"reset_mask"}


def test_trainings_refuse_the_other_modes(make: Callable[..., Vector]) -> None:
    BatchedVecEnv(make())
    with pytest.raises(InvalidOptionError, match="SAME_STEP"):
        BatchedVecEnv(make(autoreset_mode="NextStep"))


@pytest.mark.parametrize("mode", ["sync", pytest.param("async", marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    "env_id", some_thorough(ENVIRONMENTS, {*ENVIRONMENTS} - {"nondiff/PandaReach-v0"})
)
def test_gymnasiums_own_vectors_take_every_environment(env_id: str, mode: str) -> None:
    skip_without(env_id)
    vector = gymnasium.make_vec(env_id, 2, vectorization_mode=mode)
    vector.reset(seed=0)
    for _ in range(3):
        vector.step(vector.action_space.sample())
    vector.close()


@pytest.mark.parametrize("id", ["nondiff/SurfaceWaves6-v0", "nondiff/PandaReach-v0"])
def test_a_single_environment_refuses_options_that_are_no_mapping(id: str) -> None:
    with gymnasium.make(id) as env:
        for options in (5, [], "x"):
            with pytest.raises(InvalidOptionError, match="options must be a dict or None, not"):
                env.reset(options=options)  # type: ignore[arg-type]
        env.reset(seed=0, options={})


@pytest.mark.thorough
@pytest.mark.parametrize("mode", MODES)
def test_infos_of_a_single_environment_say_nothing_of_what_has_ended(mode: AutoresetMode) -> None:
    keys = ("final_obs", "_final_obs", "final_info", "_final_info", "final_observation", "own")
    infos = dict.fromkeys(keys, 5)
    plain = ParallelVectorEnv(Giving, 2, processes=1, given={"info": {}}, autoreset_mode=mode)
    odd = ParallelVectorEnv(Giving, 2, processes=1, given={"info": infos}, autoreset_mode=mode)
    with closing(plain), closing(odd):
        for env in (plain, odd):
            env.reset(seed=0)
        for _ in range(3):
            *expected, told = plain.step(np.zeros((2, 1)))
            *found, info = odd.step(np.zeros((2, 1)))
            assert equal(dict(enumerate(found)), dict(enumerate(expected)))
            assert info.keys() & FINAL == told.keys() & FINAL
            if mode is AutoresetMode.SAME_STEP and "final_obs" in told:
                assert equal(info["final_obs"], told["final_obs"])
                assert info["final_info"]["own"].tolist() == [5, 5]
            else:
                assert info["own"].tolist() == [5, 5]
                assert info["final_observation"].tolist() == [5, 5]
