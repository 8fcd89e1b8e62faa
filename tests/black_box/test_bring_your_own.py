"""A plain function and a compiled program become black boxes that every fitting strategy trains."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import ROOT, script
from gymnasium.utils.env_checker import check_env
from suited import needs_choices

from nondiff import A2C, DDPG, PPO, SAC, TD3, TQC, TRPO, CrossQ
from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.api import train
from nondiff.agents.capabilities import supported
from nondiff.agents.evolution.configs import CMAES
from nondiff.agents.pathwise.configs import Autodiff, FiniteDifference, Manual, Surrogate
from nondiff.agents.policies.network import MLP
from nondiff.black_box import BlackBoxEnv, FunctionBox, capabilities, find_black_box
from nondiff.env_recipe import EnvRecipe, env_arguments
from nondiff.errors import (
    EnvironmentFailedError,
    IncompatibleStrategyError,
    InvalidOptionError,
    MissingDependencyError,
    NondiffError,
)
from nondiff.experiments.commands.train import parse

torch.set_num_threads(1)

NO_COMPILER = "there is no C compiler: apt-get install --yes gcc libc6-dev"
TUTORIAL = (ROOT / "docs" / "bring_your_own.md").read_text()
EXAMPLES = ("python_function", "compiled_program")
IDS = {"Cannon-v0": {"twin": True}, "Beam-v0": {"jacobian": True}}  # with all that each can offer
CHOOSING = [name for name in STRATEGIES if needs_choices(name)]
PLAIN = [name for name in STRATEGIES if name not in ("manual", "autodiff", *CHOOSING)]
BUDGET = 320

ON_POLICY: dict[str, Any] = {"learning_rate": 3e-3, "log_std_init": -1.0, "net_arch": (32, 32)}
OFF_POLICY: dict[str, Any] = {
    "learning_rate": 3e-3,
    "learning_starts": 60,
    "batch_size": 64,
    "net_arch": (32, 32),
    "normalize_reward": True,
}
SMALL = {
    config.name: config
    for config in (
        PPO(n_steps=32, batch_size=32, **ON_POLICY),
        A2C(n_steps=16, normalize_advantage=True, **ON_POLICY),
        TRPO(n_steps=32, batch_size=32, target_kl=0.05, **ON_POLICY),
        SAC(ent_coef="0.01", **OFF_POLICY),
        TD3(**OFF_POLICY),
        TQC(ent_coef="0.01", **OFF_POLICY),
        DDPG(**OFF_POLICY),
        CrossQ(ent_coef="0.01", **OFF_POLICY),
        Surrogate(
            rounds=5,
            surrogate_steps=50,
            policy_steps=50,
            final_policy_steps=100,
            surrogate_net_arch=(32, 32),
            batch_size=64,
            learning_rate=1e-2,
            surrogate_learning_rate=1e-2,
        ),
        Manual(batch_size=8, learning_rate=1e-2),
        FiniteDifference(batch_size=4, learning_rate=1e-2),
        Autodiff(batch_size=8, learning_rate=1e-2),
        CMAES(),
    )
}
MORE_CALLS = {"sac": 480, "td3": 480, "tqc": 480, "ddpg": 480, "crossq": 480, "cma-es": 640}
# Share of the untrained network's misfit that may be left. The best answer that does not depend on
# the request leaves 0.62 and 0.73; trained on outcomes drawn by lot, strategies left 0.74 to 3.6.
MAX_LEFT = dict.fromkeys(SMALL, 0.6) | dict.fromkeys(("surrogate", "manual", "autodiff"), 0.25)
MAX_LEFT["crossq"] = 0.8  # whose actor is updated every third step, with a rate of a thousandth


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the examples that can be imported, the program compiled as the tutorial says."""
    if shutil.which("cc") is None:
        pytest.skip(NO_COMPILER)
    home = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", home / "examples", ignore=shutil.ignore_patterns("forward"))
    (compile_line,) = re.findall(r"^cc .*$", TUTORIAL, re.M)
    subprocess.run(compile_line.split(), cwd=home, check=True, timeout=60)
    folders = [str(home / "examples"), str(home / "examples" / "compiled_program")]
    sys.path[:0] = folders
    for name in EXAMPLES:
        __import__(name)
    yield home / "examples"
    for folder in folders:
        sys.path.remove(folder)
    for name in EXAMPLES:
        del sys.modules[name]
    for name in IDS:
        del gymnasium.registry[name]


def made(env_id: str, **arguments: Any) -> FunctionBox:
    with closing(gymnasium.make(env_id, **arguments)) as env:
        box = find_black_box(env)
    assert isinstance(box, FunctionBox)
    return box


def run(box: FunctionBox, action: Any) -> np.ndarray:
    return box.transition(np.zeros((len(action), 0)), np.asarray(action, np.float64))


@torch.no_grad()
def misfit(network: torch.nn.Module, env_id: str) -> float:
    """The mean over requests that training never saw."""
    box = made(env_id, pool="held-out")
    state, context = map(torch.from_numpy, vars(box.pool()).values())
    action = network(box.observation(state, context).float()).double()
    outcome = torch.from_numpy(run(box, action.numpy()))
    reward = box.reward(state, action, outcome, context)
    return -float(reward.nan_to_num(box.failure_reward).mean())


class Counted:
    """A function, and how many rows it was run on."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._lock = Lock()
        self.rows = 0

    def __call__(self, parameters: Any, **options: Any) -> Any:
        with self._lock:  # programs are run on threads
            self.rows += len(parameters) if np.ndim(parameters) == 2 else 1
        return self._function(parameters, **options)


@pytest.fixture
def counted(examples: Path, monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    """What stands for a call in the examples, counted."""
    counters = []
    for module, name in (
        ("python_function", "shot"),
        ("python_function", "shot_in_torch"),
        ("nondiff.black_box.executable.program", "run_once"),
    ):
        counters.append(Counted(getattr(sys.modules[module], name)))
        monkeypatch.setattr(sys.modules[module], name, counters[-1])
    return counters


# The others learn on a bowl, in `test_pathwise.py`.
QUICK = {"Cannon-v0": ("finite-difference",), "Beam-v0": ()}


def learner(env_id: str, name: str) -> Any:
    return pytest.param(env_id, name, marks=() if name in QUICK[env_id] else pytest.mark.thorough)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("env_id", "name"),
    [
        *(learner("Cannon-v0", name) for name in SMALL if name != "manual"),
        *(learner("Beam-v0", name) for name in SMALL if name != "autodiff"),
    ],
)
def test_every_strategy_that_fits_learns_within_its_budget(
    env_id: str, name: str, counted: list[Counted]
) -> None:
    with closing(gymnasium.make(env_id, **IDS[env_id])) as env:
        torch.manual_seed(0)
        network = MLP.for_env(env, (16, 16))
        untrained = misfit(network, env_id)
        before = sum(counter.rows for counter in counted)
        budget = MORE_CALLS.get(name, BUDGET)
        result = train(network, env, SMALL[name], budget)
        row = 1 + 2 * env.action_space.shape[0] if name == "finite-difference" else 1
    calls = sum(counter.rows for counter in counted) - before
    assert budget - row < calls <= budget
    assert result.calls == calls
    left = misfit(network, env_id) / untrained
    print(f"{env_id} {name}: {left:.2f} of the misfit is left")
    assert left < MAX_LEFT[name]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("env_id", "arguments", "extra"),
    [
        ("Cannon-v0", {}, []),
        ("Cannon-v0", {"twin": True}, ["autodiff"]),
        ("Beam-v0", {}, []),
        ("Beam-v0", {"jacobian": True}, ["manual"]),
    ],
)
def test_the_strategies_that_fit_are_those_that_are_offered(
    env_id: str, arguments: dict[str, Any], extra: list[str], examples: Path
) -> None:
    fitting, offers = [], []
    with closing(gymnasium.make(env_id, **arguments)) as env:
        for name in STRATEGIES:
            try:
                find_strategy(name)().check(env)
            except IncompatibleStrategyError as error:
                offers.append(str(error).rpartition("these can: ")[2].split(", "))
            else:
                fitting.append(name)
        assert sorted(fitting) == sorted(PLAIN + extra)
        assert supported(env) == fitting
    assert offers == [fitting] * (len(STRATEGIES) - len(fitting))


@pytest.mark.parametrize("env_id", IDS)
def test_the_examples_are_good_gymnasium_environments(env_id: str, examples: Path) -> None:
    with closing(gymnasium.make(env_id)) as env:
        check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.thorough
@pytest.mark.parametrize("env_id", IDS)
def test_gradients_agree_with_differences(env_id: str, examples: Path) -> None:
    box = made(env_id, **IDS[env_id])
    action = np.random.default_rng(0).uniform(-0.5, 0.9, (20, len(box.low)))
    outcome = run(box, action)
    action, outcome = action[~np.isnan(outcome[:, 0])], outcome[~np.isnan(outcome[:, 0])]
    assert len(action) > 10
    cotangent = np.random.default_rng(1).standard_normal(outcome.shape)
    differences = np.empty_like(action)
    for j, step in enumerate(1e-6 * np.eye(len(box.low))):
        slope = (run(box, action + step) - run(box, action - step)) / 2e-6
        differences[:, j] = (cotangent * slope).sum(axis=1)
    if "vjp" in capabilities(box):
        found = box.vjp(np.zeros((len(action), 0)), action, outcome, cotangent)[1]
    else:
        given = torch.from_numpy(action).requires_grad_()
        twin = box.twin(torch.zeros(len(action), 0), given)
        np.testing.assert_allclose(twin.detach().numpy(), outcome, rtol=1e-12)
        found = torch.autograd.grad((twin * torch.from_numpy(cotangent)).sum(), given)[0].numpy()
    np.testing.assert_allclose(found, differences, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        "exit 1",
        "kill -9 $$",
        "exec sleep 60",
        "cat",
        "echo 1 2 3",
        "echo 1 2 3 nan",
        "echo 4 3 2 1",
        "echo no room on the disk",
        r"printf '\377\376 2 3 4'",
        "echo 1 2 3 4; exit 3",
    ],
)
def test_a_program_that_misbehaves_is_a_failed_row(
    body: str, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "forward"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    if "sleep" in body:
        monkeypatch.setattr(sys.modules["compiled_program"], "TIMEOUT", 0.3)
    with closing(gymnasium.make("Beam-v0", program=program)) as env:
        env.reset(seed=0)
        _, reward, terminated, truncated, info = env.step(np.zeros(4, np.float32))
        box = find_black_box(env)
    assert info["failed"]
    assert np.isnan(info["outcome"]).all()
    assert (reward, terminated, truncated) == (-100.0, True, False)
    assert isinstance(box, FunctionBox)
    assert box.failures.total() == 1
    assert "[0.019" in box.last_failure


def test_a_beam_that_yields_fails_alone(examples: Path) -> None:
    box = made("Beam-v0")
    failed = np.isnan(run(box, [[-1, 0, 0, 0], [0, 0, 0, 0], [-1, -1, -1, -1]]))
    assert failed.all(axis=1).tolist() == [True, False, True]
    assert failed.any(axis=1).tolist() == [True, False, True]
    assert box.failures == {"crash": 2}
    assert "segment 1 yields" in box.last_failure


def test_a_uniform_beam_bends_as_the_formula_says(examples: Path) -> None:
    found = run(made("Beam-v0"), np.zeros((1, 4)))[0]
    x, stiffness = np.array([0.25, 0.5, 0.75, 1]), 70e9 * 0.05 * 0.019**3 / 12  # of a beam of 1 m
    np.testing.assert_allclose(found, 1e3 * 200 * x**2 * (3 - x) / (6 * stiffness), rtol=1e-13)


def test_a_program_that_is_missing_says_how_to_compile_it(examples: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match=r"forward is missing: cc -O2 -o .*forward\.c"):
        gymnasium.make("Beam-v0", program=tmp_path / "forward")


@pytest.mark.thorough
def test_the_tutorial_works_as_it_stands(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[Counted]
) -> None:
    monkeypatch.chdir(tmp_path)  # it works in any folder
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", TUTORIAL, re.S)
    assert len(blocks) > 5
    try:
        for block in blocks:
            exec(block, names)
        assert names["reward"] > -10  # the untrained network's is -20
        elevation = names["elevation"]
        assert 20 <= elevation <= 75
    finally:
        for env_id in ("MyCannon-v0", "MyBeam-v0"):
            gymnasium.registry.pop(env_id, None)


def test_the_tutorials_trainings_could_begin(examples: Path) -> None:
    lines = re.findall(r"^nondiff train (.*)$", TUTORIAL.replace("\\\n", " "), re.M)
    assert len(lines) >= 3
    for line in lines:
        command = parse(line.split(), "nondiff train")
        recipe = EnvRecipe(command.options.env, env_arguments(command.options.env_arg))
        with recipe.opened() as env:
            command.hyperparameters.check(env)


def test_the_tutorials_links_exist() -> None:
    paths = re.findall(r"\]\(((?!http)[^)]+)\)", TUTORIAL)
    assert paths
    assert [path for path in paths if not (ROOT / "docs" / path).exists()] == []


@pytest.mark.thorough
@pytest.mark.parametrize("env_id", ["compiled_program:Beam-v0", "python_function:Cannon-v0"])
def test_the_command_line_trains_on_the_examples(
    env_id: str, examples: Path, tmp_path: Path
) -> None:
    answer = script(
        "train.py",
        *("--env", env_id, "--strategy", "finite-difference", "--budget", 30),
        *("--batch-size", 2, "--eval-episodes", 2, "--judge-episodes", 5, "--name", "own"),
        cwd=tmp_path,
        pythonpath=f"{examples}:{examples / 'compiled_program'}",
    )
    assert answer.code == 0, answer.err
    assert (tmp_path / "runs" / "own" / "run.json").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("path", ["python_function.py", "compiled_program/compiled_program.py"])
def test_the_examples_run_as_scripts(path: str, examples: Path) -> None:
    command = [sys.executable, examples / path]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
    rows = [line.split() for line in answer.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["surrogate", "finite-difference"]
    assert all(float(trained) > float(untrained) / 2 for _, _, untrained, trained in rows)


# ---- FunctionBox itself

TWO = {"low": [0.0, -1.0], "high": [4.0, 1.0], "contexts": np.arange(40.0).reshape(20, 2)}


def swapped(parameters: Any) -> Any:
    return parameters[::-1]


def test_parameters_are_in_the_users_units_and_within_the_bounds() -> None:
    box = FunctionBox(swapped, low=[0.1, -1.0], high=[0.7, 1.0], contexts=TWO["contexts"])
    np.testing.assert_allclose(
        run(box, [[-1, -1], [0, 0], [1, 1]]), [[-1, 0.1], [0, 0.4], [1, 0.7]]
    )
    rows = run(box, np.random.default_rng(0).choice([-1.0, 1.0], (100, 2)))
    assert set(rows[:, 1]) == {0.1, 0.7}


def test_a_function_of_many_rows_gives_what_it_gives_one_by_one() -> None:
    action = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    one = FunctionBox(swapped, **TWO)
    many = FunctionBox(lambda p: p[:, ::-1], batched=True, **TWO)
    assert np.array_equal(run(one, action), run(many, action))


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ([1.0, np.nan], "NaN or infinity"),
        ([np.inf, 1.0], "NaN or infinity"),
        (None, "TypeError"),
        (["1", "2"], "TypeError"),
        ([1j, 2.0], "TypeError"),
        ([[1.0], [1.0, 2.0]], "ValueError"),
    ],
)
def test_a_row_that_is_no_outcome_fails_alone(result: Any, kind: str) -> None:
    box = FunctionBox(lambda p: result if p[0] < 1 else p, **TWO)
    outcome = run(box, [[1, 0], [-1, 0], [0, 0]])
    assert np.isnan(outcome).any(axis=1).tolist() == [False, True, False]
    assert box.failures == {kind: 1}
    assert "[0.0, 0.0]" in box.last_failure


def test_what_a_function_does_to_its_argument_changes_nothing() -> None:
    def spoil(parameters: Any) -> Any:
        parameters *= 0
        return parameters

    action = np.ones((2, 2))
    assert not run(FunctionBox(spoil, **TWO), action).any()
    assert (action == 1).all()


@pytest.mark.parametrize("result", [1.0, [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]])
def test_an_outcome_of_the_wrong_shape_is_an_error(result: Any) -> None:
    with pytest.raises(EnvironmentFailedError, match=r"of shape .*where \(2,\) is needed"):
        run(FunctionBox(lambda p: result, **TWO), [[0, 0]])


def test_a_number_will_do_for_an_outcome_of_one() -> None:
    one = {**TWO, "contexts": np.arange(20.0)[:, None]}
    action = np.array([[0.0, 0.0], [0.5, 0.0]])
    assert run(FunctionBox(lambda p: p[0], **one), action).tolist() == [[2.0], [3.0]]
    many = FunctionBox(lambda p: p[:, 0], batched=True, **one)
    assert run(many, action).tolist() == [[2.0], [3.0]]


def test_a_function_that_never_works_is_an_error_and_a_hard_one_is_not() -> None:
    def broken(parameters: Any) -> Any:
        return parameters.mean(axis=7)

    box = FunctionBox(broken, **TWO)
    run(box, np.zeros((49, 2)))
    with pytest.raises(EnvironmentFailedError, match=r"all of its first 50 rows.*AxisError"):
        run(box, np.zeros((1, 2)))
    hard = FunctionBox(lambda p: p if p[0] == 4 else p * np.nan, **TWO)
    run(hard, [[1, 0]])
    assert np.isnan(run(hard, np.zeros((200, 2)))).all()


def test_errors_that_are_meant_to_end_a_training_do() -> None:
    def licence(parameters: Any) -> Any:
        raise MissingDependencyError("no licence")

    for batched in (False, True):
        with pytest.raises(MissingDependencyError, match="no licence"):
            run(FunctionBox(licence, batched=batched, **TWO), [[0, 0]])


def test_a_batched_function_that_raises_is_an_error() -> None:
    box = FunctionBox(lambda p: 1 / 0, batched=True, **TWO)
    with pytest.raises(EnvironmentFailedError, match=r"ZeroDivisionError.*must give NaN"):
        run(box, [[0, 0]])


def test_capabilities_are_those_that_were_given() -> None:
    def offered(**arguments: Any) -> set[str]:
        return set(capabilities(FunctionBox(swapped, **TWO, **arguments)))

    flip = np.eye(2)[::-1]
    assert offered() == set()
    assert offered(jacobian=lambda p: flip) == {"jacobian", "vjp"}
    assert offered(vjp=lambda p, c: c @ flip) == {"vjp"}
    assert offered(twin=lambda p: p.flip(1)) == {"twin"}


def test_a_vjp_is_scaled_as_the_jacobian_is() -> None:
    flip = np.eye(2)[::-1]
    given = np.zeros((3, 0)), np.zeros((3, 2)), np.zeros((3, 2))
    cotangent = np.random.default_rng(0).standard_normal((3, 2))
    by_vjp = FunctionBox(swapped, **TWO, vjp=lambda p, c: c @ flip).vjp(*given, cotangent)
    whole = FunctionBox(swapped, **TWO, jacobian=lambda p: flip)
    np.testing.assert_array_equal(by_vjp[1], whole.vjp(*given, cotangent)[1])
    np.testing.assert_array_equal(by_vjp[1], cotangent[:, ::-1] * [2.0, 1.0])


@pytest.mark.parametrize("result", [np.zeros(2), np.full((2, 2), np.nan)])
def test_a_jacobian_that_is_none_is_an_error(result: Any) -> None:
    box = FunctionBox(swapped, **TWO, jacobian=lambda p: result)
    with pytest.raises(EnvironmentFailedError, match="jacobian gave"):
        box.jacobian(np.zeros((1, 0)), np.zeros((1, 2)), np.zeros((1, 2)))


def test_a_reward_of_ones_own_sees_parameters_in_their_units() -> None:
    box = FunctionBox(
        lambda p: p.sum(), **TWO, outcomes=1, reward=lambda p, y, c: p[:, 0] + y[:, 0] + c[:, 1]
    )
    with closing(BlackBoxEnv(box)) as env:
        env.reset(seed=0)
        observation = env.reset(seed=1)[0]
        _, reward, _, _, info = env.step(np.array([1.0, 1.0], np.float32))
    context = observation[1] * TWO["contexts"].std(axis=0)[1] + TWO["contexts"].mean(axis=0)[1]
    assert info["outcome"] == 5.0
    assert reward == pytest.approx(4 + 5 + context, abs=1e-4)


def test_the_reward_is_minus_the_root_mean_square_and_has_a_slope_of_zero_at_its_top() -> None:
    box = FunctionBox(swapped, **TWO, scale=[1.0, 2.0])
    context = torch.tensor([[1.0, 2.0], [1.0, 2.0]], dtype=torch.float64)
    outcome = torch.tensor([[4.0, 10.0], [1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    empty = torch.zeros(2, 0)
    reward = box.reward(empty, torch.zeros(2, 2), outcome, context)
    assert reward.tolist() == pytest.approx([-np.sqrt((9 + 16) / 2), 0.0])
    reward.sum().backward()
    assert outcome.grad is not None
    assert outcome.grad[1].tolist() == [0, 0]


def test_pools_share_nothing_and_are_observed_alike() -> None:
    pools = {pool: FunctionBox(swapped, **TWO, pool=pool) for pool in ("training", "held-out")}
    contexts = [box.pool().context for box in pools.values()]
    assert [len(one) for one in contexts] == [18, 2]
    assert np.array_equal(np.sort(np.concatenate(contexts), axis=0), TWO["contexts"])
    probe = torch.from_numpy(TWO["contexts"])
    training, held_out = (box.observation(probe, probe) for box in pools.values())
    assert torch.equal(training, held_out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": [0.0]}, "vectors of one length"),
        ({"high": [0.0, 1.0]}, "below high"),
        ({"high": [np.inf, 1.0]}, "must be finite"),
        ({"contexts": [1.0, 2.0]}, r"not one of shape \(2,\)"),
        ({"contexts": [[1.0, np.nan]]}, "NaN or infinite"),
        ({"contexts": np.zeros((3, 2)), "pool": "training"}, "needs 10 contexts"),
        ({"pool": "test"}, "all, training, held-out"),
        ({"outcomes": 3}, "give a reward"),
        ({"scale": [1.0, 1.0, 1.0]}, r"of shape \(2,\)"),
        ({"scale": 0.0}, "above 0"),
        ({"failure_reward": np.nan}, "failure_reward must be finite"),
        ({"jacobian": swapped, "gradient_cost": -1}, "gradient_cost must be at least 0"),
    ],
)
def test_arguments_out_of_their_range_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message) as caught:
        FunctionBox(swapped, **{**TWO, **arguments})
    assert isinstance(caught.value, NondiffError)
