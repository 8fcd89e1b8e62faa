"""What an environment returns is checked at one place: used, or refused by name."""

from __future__ import annotations

import decimal
import fractions
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import Command
from foreign_envs import Acting, Endless, Giving, Short
from torch import nn

from nondiff.agents.api import train
from nondiff.agents.evolution.configs import CMAES
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import InvalidOptionError, InvalidReturnError
from nondiff.experiments.evaluation import episodes
from nondiff.gym.returns import RESERVED

FEW = ("--budget", 64, "--eval-every", 64, "--eval-episodes", 1, "--confirm-episodes", 1)
FEW = (*FEW, "--judge-episodes", 1)
SMALL = {
    "ppo": ("--n-steps", 16, "--num-envs", 2, "--batch-size", 16, "--n-epochs", 1),
    "sac": ("--learning-starts", 32, "--num-envs", 1),
    "cma-es": ("--population", 4),
}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"all": None}, "what it returned is not (observation, reward"),
    ({"all": (0, 1.0, False, {})}, "what it returned is not (observation, reward"),
    ({"observation": None}, "the observation is not an array of numbers, but None"),
    ({"observation": "far"}, "the observation is not an array of numbers, but 'far'"),
    ({"observation": [[1, 2], [3]]}, "the observation is not an array of numbers"),
    ({"observation": np.zeros(4)}, "the observation has shape (4,), not (3,)"),
    ({"observation": np.zeros(1)}, "the observation has shape (1,), not (3,)"),
    ({"observation": {"a": np.zeros(3)}}, "the observation is not an array of numbers"),
    ({"reward": None}, "the reward is not a number, but None (NoneType)"),
    ({"reward": "1"}, "the reward is not a number, but '1' (str)"),
    ({"reward": 1j}, "the reward is not a number"),
    ({"reward": np.zeros(2)}, "the reward is not a number"),
    ({"terminated": None}, "terminated is not True or False, but None"),
    ({"terminated": "False"}, "terminated is not True or False, but 'False'"),
    ({"truncated": np.zeros(2, bool)}, "truncated is not True or False"),
    ({"truncated": 2}, "truncated is not True or False"),
    ({"info": None}, "info is not a dict, but None"),
    ({"info": []}, "info is not a dict, but [] (list)"),
    ({"info": {"is_success": float("nan")}}, "info['is_success'] is not True or False; leave"),
    ({"info": {"is_success": "False"}}, "info['is_success'] is not True or False"),
    ({"info": {"is_success": np.array([1, 0])}}, "info['is_success'] is not True or False"),
    ({"info": {"is_success": None}}, "info['is_success'] is not True or False"),
    ({"info": {"is_success": 0.5}}, "info['is_success'] is not True or False"),
]
TAKEN: list[dict[str, Any]] = [
    {"observation": [0, 1, 0]},
    {"observation": np.zeros(3, np.float64)},
    {"reward": 1},
    {"reward": True},
    {"reward": np.float32(1)},
    {"reward": np.array(1.0)},
    {"reward": np.array([1.0])},
    {"reward": fractions.Fraction(1)},
    {"reward": decimal.Decimal(1)},
    {"terminated": np.bool_(False)},
    {"terminated": 0},
    {"truncated": np.array([True])},
    {"info": {"is_success": 1}},
    {"info": {"is_success": np.array([True])}},
]


@pytest.fixture(autouse=True)
def foreign() -> Iterator[None]:
    for kind in (Short, Acting, Giving, Endless):
        gymnasium.register(f"{kind.__name__}-v0", kind, disable_env_checker=True)
    yield
    for kind in (Short, Acting, Giving, Endless):
        gymnasium.registry.pop(f"{kind.__name__}-v0")


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_what_a_step_may_not_return_is_named(given: dict[str, Any], message: str) -> None:
    with EnvRecipe("Giving-v0", {"given": given, "since": 2}).opened() as env:
        env.reset(seed=0)
        env.step(env.action_space.sample())
        with pytest.raises(InvalidReturnError) as caught:
            env.step(env.action_space.sample())
    assert str(caught.value).startswith(f"Giving-v0, step 2 of an episode: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", TAKEN)
def test_numbers_and_flags_are_taken_in_whatever_form(given: dict[str, Any]) -> None:
    with EnvRecipe("Giving-v0", {"given": given}).opened() as env:
        env.reset(seed=0)
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert type(reward) is float
    assert reward == 1
    assert type(terminated) is type(truncated) is bool
    assert info.get("is_success", True) is True


@pytest.mark.parametrize("given", [None, np.zeros(3), (np.zeros(3), {}, 1), (np.zeros(3), None)])
def test_what_a_reset_may_not_return_is_named(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Short, "reset", lambda self, **options: given)
    with (
        EnvRecipe("Short-v0").opened() as env,
        pytest.raises(InvalidReturnError, match=r"Short-v0, reset: (what it returned|info) is not"),
    ):
        env.reset(seed=0)


@pytest.mark.parametrize("strategy", SMALL)
def test_a_return_at_the_first_step_is_refused_before_a_run_is_made(
    strategy: str, command: Command, tmp_path: Path
) -> None:
    for given in ({"reward": None}, {"info": {"is_success": "no"}}):
        answer = command(
            *("train", "--env", "Giving-v0", "--strategy", strategy),
            *("--env-arg", f"given={json.dumps(given)}", "--runs", tmp_path, *FEW),
            *SMALL[strategy],
        )
        assert answer.code == 2
        assert "Traceback" not in answer.err
        assert "Giving-v0, step 1 of an episode: " in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("ppo", ()),
        pytest.param("ppo", ("--vec-env", "processes"), marks=pytest.mark.thorough),
        pytest.param("sac", (), marks=pytest.mark.thorough),
        ("cma-es", ()),
    ],
)
def test_a_return_in_the_middle_ends_the_training_in_one_line(
    strategy: str, more: tuple[str, ...], command: Command, tmp_path: Path
) -> None:
    answer = command(
        *("train", "--env", "foreign_envs:GivingInWorkers-v0" if more else "Giving-v0"),
        *("--strategy", strategy, "--env-arg", 'given={"info": []}', "--env-arg", "since=12"),
        *("--runs", tmp_path, "--name", "r", *FEW, *SMALL[strategy], *more),
    )
    assert answer.code == 2
    # Of an error in a process of its own it is shown where it was raised, before the line.
    assert bool(more) or "Traceback" not in answer.err
    assert answer.err.splitlines()[-1].startswith("error: ")
    assert "info is not a dict, but [] (list)" in answer.err
    state = json.loads((tmp_path / "r" / "run.json").read_text())
    assert state["state"] == "failed"
    assert "info is not a dict" in state["error"]


@pytest.mark.parametrize("reward", [1e300, -1e308])
def test_a_reward_without_means_and_intervals_is_named(
    reward: float, command: Command, tmp_path: Path
) -> None:
    given = json.dumps({"reward": reward})
    options = ("--env", "Giving-v0", "--env-arg", f"given={given}", "--runs", tmp_path)
    answer = command("train", *options, *FEW, *SMALL["ppo"])
    assert answer.code == 2
    assert f"is {reward:g}, beyond 1e+100" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Linear(4, 1), r"can't be called with \(2, 3\)"),
        (nn.Linear(3, 2), r"observations \(n, 3\) to \(n, 1\), but gives \(2, 2\) for n = 2"),
        (nn.LSTM(3, 1), "but gives tuple for n = 2"),
    ],
)
def test_a_network_of_other_sizes_is_named(network: nn.Module, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        train(network, "Short-v0", CMAES(population=4), 64)


def test_a_training_from_python_is_refused_too() -> None:
    with pytest.raises(Exception, match="step 1 of an episode: the reward is not a number"):
        train(None, gymnasium.make("Giving-v0", given={"reward": None}), CMAES(population=4), 64)


def test_an_episode_without_end_is_spoken_of_and_given_up(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "LONG", 20)
    monkeypatch.setattr(episodes, "ENDLESS", 50)
    options = ("--env", "Endless-v0", "--runs", tmp_path, *FEW, *SMALL["ppo"])
    answer = command("train", *options)
    assert answer.code == 2
    assert "has no end after 20 steps, and no max_episode_steps is registered" in answer.err
    assert "has no end after 50 steps" in answer.err
    assert "--max-episode-steps truncates episodes" in answer.err
    answer = command("train", *options, "--max-episode-steps", 5, "--name", "cut")
    assert answer.code == 0
    assert "no end" not in answer.err
    config = json.loads((tmp_path / "cut" / "config.json").read_text())
    assert config["max_episode_steps"] == 5
    answer = command(
        "evaluate", tmp_path / "cut", "--episodes", 2, "--random-episodes", 0, "--json"
    )
    assert answer.code == 0
    assert json.loads(answer.out)["policies"][0]["length_mean"]["value"] == 5


def test_a_wrapper_of_the_users_is_in_the_run_and_needs_no_id(
    command: Command, tmp_path: Path
) -> None:
    wrappers = ("--wrapper", "foreign_envs:Halved,factor=0.25")
    wrappers = (*wrappers, "--wrapper", "gymnasium.wrappers:FlattenObservation")
    options = ("--env", "Short-v0", "--strategy", "cma-es", "--runs", tmp_path, *FEW)
    answer = command("train", *options, *SMALL["cma-es"], *wrappers, "--name", "wrapped")
    assert answer.code == 0, answer.err
    config = json.loads((tmp_path / "wrapped" / "config.json").read_text())
    assert config["wrappers"] == list(wrappers[1::2])
    few = ("--episodes", 1, "--random-episodes", 0)
    assert command("evaluate", tmp_path / "wrapped", *few).code == 0
    assert command("train", "--resume", tmp_path / "wrapped", "--budget", 80).code == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Halved", "is not of the form MODULE:CLASS"),
        ("foreign_envs:Halved,0.5", "is not of the form MODULE:CLASS"),
        ("no_such_module:Halved", "can't import 'no_such_module'"),
        ("foreign_envs:Doubled", "foreign_envs has no Doubled"),
        ("foreign_envs:Halved,by=2", "can't wrap this environment: TypeError"),
        ("foreign_envs:REFUSED", "has no REFUSED"),
        ("json:dumps", "can't wrap this environment: TypeError"),
        ("builtins:repr", "not an environment"),
    ],
)
def test_a_wrapper_that_is_none_is_refused(
    name: str, message: str, command: Command, tmp_path: Path
) -> None:
    answer = command("train", "--env", "Short-v0", "--wrapper", name, "--runs", tmp_path)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "raised", ["RuntimeError('no licence')", "SystemExit(3)", "OSError(5, 'x')"]
)
def test_a_package_that_raises_at_import_is_named(
    raised: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raising_package.py").write_text(f"raise {raised}\n")
    monkeypatch.syspath_prepend(tmp_path)
    answer = command("train", "--env", "raising_package:X-v0", "--runs", tmp_path / "runs")
    assert answer.code == 2
    assert "can't import 'raising_package'" in answer.err
    assert raised.partition("(")[0] in answer.err


def test_a_wrapped_black_box_is_no_black_box_and_wrappers_are_not_lost() -> None:
    from nondiff.black_box import find_black_box

    plain = EnvRecipe("nondiff/SurfaceWaves6-v0")
    with plain.opened() as env:
        assert find_black_box(env) is not None
    half = EnvRecipe("nondiff/SurfaceWaves6-v0", wrappers=("foreign_envs:Halved",))
    with half.opened() as env:
        assert find_black_box(env) is None
        with pytest.raises(InvalidOptionError, match="in the wrapper Halved"):
            train(None, env, CMAES(population=4), 64)


def leave(code: object) -> Any:
    raise SystemExit(code)


def test_an_environment_that_leaves_python_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Short, "step", lambda self, action: leave(0))
    answer = command("train", "--env", "Short-v0", "--runs", tmp_path, *FEW, *SMALL["ppo"])
    assert answer.code == 2
    assert "step 1 of an episode: what it returned is nothing, for it called sys.exit" in answer.err
    monkeypatch.setattr(Short, "__init__", lambda self: leave(0))
    answer = command("train", "--env", "Short-v0", "--runs", tmp_path, *FEW, *SMALL["ppo"])
    assert answer.code == 2
    assert "can't be made: it raised SystemExit" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["serial", "processes"])
@pytest.mark.parametrize("place", ["make", "reset", "step"])
def test_a_keyboard_interrupt_of_the_environments_own_is_a_failure(
    place: str, kind: str, command: Command, tmp_path: Path
) -> None:
    at = {"make": 0, "reset": 3, "step": 20}[place]
    asked = (f"--env-arg={name}" for name in ("fault=interrupt", f"where={place}", f"at={at}"))
    options = ("--env", "faulty_envs:Breaks-v0", *asked, "--runs", tmp_path, "--vec-env", kind)
    answer = command("train", *options, *FEW, *SMALL["ppo"])
    assert answer.code == 2
    assert "KeyboardInterrupt" in answer.err.splitlines()[-1]
    assert "interrupted" not in answer.err.splitlines()[-1]
    for run in tmp_path.iterdir():
        assert json.loads((run / "run.json").read_text())["state"] == "failed"


def test_so_it_is_in_an_evaluation(command: Command, tmp_path: Path) -> None:
    run = ("--env", "faulty_envs:Breaks-v0", "--runs", tmp_path, "--name", "run")
    assert command("train", *run, *FEW, *SMALL["ppo"]).code == 0
    asked = (f"--env-arg={name}" for name in ("fault=interrupt", "at=2"))
    answer = command("evaluate", tmp_path / "run", "--env", "faulty_envs:Breaks-v0", *asked)
    assert answer.code == 2
    assert "raised KeyboardInterrupt, but nobody pressed Ctrl-C" in answer.err.splitlines()[-1]


@pytest.mark.parametrize("reserved", sorted(RESERVED))
def test_keys_with_a_meaning_of_ours_are_left_out_of_infos(
    reserved: str, command: Command, tmp_path: Path
) -> None:
    given = json.dumps({"info": {reserved: 5, "own": 1}})
    options = ("--env", "Giving-v0", "--env-arg", f"given={given}", "--runs", tmp_path)
    answer = command("train", *options, *FEW, *SMALL["ppo"])
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    "reward", [10**400, fractions.Fraction(10**400, 3), decimal.Decimal("sNaN")]
)
def test_a_reward_that_no_float_holds_is_named(reward: Any) -> None:
    with EnvRecipe("Giving-v0", {"given": {"reward": reward}}).opened() as env:
        env.reset(seed=0)
        with pytest.raises(InvalidReturnError, match="the reward is not a number"):
            env.step(env.action_space.sample())


def test_fractions_are_refused_where_a_space_is_of_whole_numbers() -> None:
    space = gymnasium.spaces.Box(0, 255, (2,), np.uint8)
    with EnvRecipe("Short-v0", {"observation_space": space}).opened() as env:
        env.reset(seed=0)
        env.unwrapped.seen = lambda: np.array([0.25, 1.0])
        with pytest.raises(InvalidReturnError, match="is not of whole numbers"):
            env.step(env.action_space.sample())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "64"}, "budget must be a whole number"),
        ({"budget": 64.5}, "budget must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"threads": 0}, "threads must be a whole number"),
        ({"device": "bogus"}, "device must be one of cpu, cuda, auto"),
        ({"env": None}, "env must be an id"),
    ],
)
def test_odd_arguments_from_python_are_named(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"env": "Short-v0", "budget": 64, **options}
    with pytest.raises(InvalidOptionError, match=message):
        train(None, strategy=CMAES(population=4), **given)
