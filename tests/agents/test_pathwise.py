"""Strategies on black boxes: what they learn, what they spend, and what they leave alone."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from small_boxes import Bowl, Plain, Track
from suited import needs_choices
from thorough_cases import thin
from torch import nn
from watcher import quick

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.api import train
from nondiff.agents.capabilities import supported
from nondiff.agents.pathwise.active import SurrogateLearner
from nondiff.agents.pathwise.configs import Direct
from nondiff.agents.pathwise.operators import make_operator
from nondiff.agents.pathwise.surrogate import SurrogateModel
from nondiff.agents.policies.network import MLP
from nondiff.agents.rollout import rollout
from nondiff.agents.strategy import Strategy, Training
from nondiff.black_box import BlackBox, BlackBoxEnv, BudgetSpentError, Meter
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import IncompatibleStrategyError, InvalidOptionError

torch.set_num_threads(1)

NEEDY = [name for name in STRATEGIES if find_strategy(name).needs is not None]
REINFORCEMENT = [name for name in STRATEGIES if hasattr(find_strategy(name), "num_envs")]
ACTING = [name for name in STRATEGIES if not needs_choices(name)]
# What a row is charged at the most: what a budget may leave unspent is less.
ROW_COST = {"surrogate": 2, "manual": 2, "finite-difference": 5}


# For episodes of five steps.
LONG: dict[str, dict[str, Any]] = {
    "surrogate": {"surrogate_steps": 100},
    "manual": {},
    "finite-difference": {"batch_size": 4},
    "autodiff": {},
}


def network(box: BlackBox, seed: int = 0) -> MLP:
    torch.manual_seed(seed)
    return MLP.for_env(box, (16,))


def mean_reward(box: Any, module: nn.Module, starts: int = 400) -> float:
    """Of one-step episodes that no training saw."""
    start = box.initial(starts, np.random.default_rng(99))
    with torch.no_grad():
        seen = box.observation(torch.from_numpy(start.state), torch.from_numpy(start.context))
        action = module(seen.float()).double()
    outcome = torch.from_numpy(box.transition(start.state, action.numpy()))
    reward = box.reward(None, action, outcome, torch.from_numpy(start.context))
    return float(torch.nan_to_num(reward, nan=box.failure_reward).mean())


LEARNING: dict[str, tuple[dict[str, Any], int]] = {
    "ppo": ({"n_steps": 64, "learning_rate": 1e-2}, 1_000),
    "a2c": ({"learning_rate": 1e-2}, 1_000),
    "trpo": ({"n_steps": 64}, 2_000),
    "sac": ({"learning_rate": 1e-2}, 250),
    "surrogate": ({"surrogate_steps": 150, "policy_steps": 100, "final_policy_steps": 200}, 120),
    "manual": ({"learning_rate": 3e-2}, 400),
    "finite-difference": ({"learning_rate": 3e-2}, 600),
    "autodiff": ({"learning_rate": 3e-2}, 250),
    "cma-es": ({"episodes": 20}, 12_000),
}


@pytest.mark.parametrize("name", thin(ACTING, ["ppo", "sac", *NEEDY, "cma-es"]))
def test_every_strategy_trains_the_same_network_on_a_bowl(name: str) -> None:
    options, budget = LEARNING.get(name, ({"learning_rate": 3e-3}, 500))
    strategy = (
        quick(name, **options) if name not in REINFORCEMENT else find_strategy(name)(**options)
    )
    box = Bowl()
    module = network(box)
    before = mean_reward(box, module)
    result = train(module, box, strategy, budget)
    assert mean_reward(box, module) > before / 3  # rewards are negative
    seen = np.random.default_rng(1).uniform(-0.6, 0.6, (5, 2)).astype(np.float32)
    with torch.no_grad():  # trained in place
        np.testing.assert_allclose(
            result.policy.predict(seen), module(torch.from_numpy(seen)), 1e-5
        )


@pytest.mark.parametrize("budget", thin([97, 300], [97]))
@pytest.mark.parametrize("name", thin(ACTING, ["ppo", "sac", *NEEDY, "cma-es"]))
def test_the_budget_is_kept_to_the_call(name: str, budget: int) -> None:
    box = Bowl()
    strategy = quick(name) if name not in REINFORCEMENT else find_strategy(name)()
    result = train(network(box), box, strategy, budget)
    most = ROW_COST.get(name, 1)
    assert budget - most < result.calls <= budget
    rows = result.history[-1][1] if result.history else {}
    charged = rows.get("meter/vjp_rows", 0) + rows.get("meter/jacobian_rows", 0)
    assert box.calls + charged == result.calls


@pytest.mark.thorough
@pytest.mark.parametrize("name", NEEDY)
def test_long_episodes_are_learned_from_within_the_budget(name: str) -> None:
    box = Track()
    module = network(box)
    strategy = quick(name, learning_rate=1e-2, **LONG[name])

    def played() -> float:
        start = box.initial(200, np.random.default_rng(5))

        def step(state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(box.transition(state.numpy(), action.detach().numpy()))

        return float(rollout(box, step, module, start, torch.device("cpu"), 10**6).returns.mean())

    before = played()
    box.calls = 0
    train(module, box, strategy, 3_000)
    assert box.calls <= 3_000
    assert played() > before / 1.5


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["surrogate", "manual", "finite-difference", "cma-es"])
def test_failed_rows_cost_and_poison_nothing(name: str) -> None:
    box = Plain(cliff=-0.1) if name != "manual" else Bowl(cliff=-0.1)  # many starts fail
    module = network(box)
    result = train(module, box, quick(name), 400)
    if name != "cma-es":  # which writes no meter
        assert result.history[-1][1]["meter/failed_rows"] > 0
    assert all(torch.isfinite(weight).all() for weight in module.parameters())


@pytest.mark.thorough
def test_a_surrogate_learns_where_it_fails_and_the_policy_keeps_away() -> None:
    def failing(module: nn.Module, box: Plain) -> float:
        start = box.initial(500, np.random.default_rng(7))
        with torch.no_grad():
            action = module(torch.from_numpy(start.context).float())
        return float((action > 0.1).all(dim=1).float().mean())

    box = Plain(cliff=0.1)
    module = network(box)
    train(module, box, quick("surrogate", surrogate_steps=300, policy_steps=150), 400)
    perfect = network(box)
    train(perfect, Plain(), quick("surrogate", surrogate_steps=300, policy_steps=150), 400)
    assert failing(module, box) < failing(perfect, box) / 3


def test_the_surrogate_is_frozen_and_the_gradient_flows_through_it() -> None:
    box = Plain()
    module = network(box)
    learner = SurrogateLearner(
        quick("surrogate"),
        box,
        module,
        Training(EnvRecipe("small_boxes:Plain-v0"), 60, 0),  # type: ignore[arg-type]
    )
    learner.iterate(np.random.default_rng(0))
    model = learner._model
    assert isinstance(model, SurrogateModel)
    before = copy.deepcopy(model.state_dict())
    policy = copy.deepcopy(module.state_dict())
    learner._train_policy(np.random.default_rng(0), 5, 0.0)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    spoilt = [torch.full_like(weight, 7.0) for weight in model.parameters()]
    for weight, grad in zip(model.parameters(), spoilt, strict=True):
        weight.grad = grad.clone()
    learner._train_policy(np.random.default_rng(0), 5, 0.0)
    assert all(bool((weight.grad == 7.0).all()) for weight in model.parameters())
    assert all(
        weight.grad is not None and weight.grad.any() for weight in module.layers.parameters()
    )
    assert any(not torch.equal(policy[key], value) for key, value in module.state_dict().items())


def test_what_the_surrogate_believes_and_what_is_true_are_reported_side_by_side() -> None:
    result = train(network(Plain()), Plain(), quick("surrogate"), 100)
    rounds = [row for _, row in result.history if "surrogate/true_return" in row]
    assert len(rounds) == quick("surrogate").rounds  # type: ignore[attr-defined]
    assert all("surrogate/believed_return" in row for row in rounds)


# Of the others a seed is tested on another environment, in `test_strategies.py`.
@pytest.mark.thorough
@pytest.mark.parametrize("name", thin(ACTING, NEEDY))
def test_a_seed_gives_the_same_bits_on_a_black_box_used_again_and_on_a_new_one(name: str) -> None:
    strategy = quick(name) if name not in REINFORCEMENT else find_strategy(name)(network="nondiff")
    box = Bowl()
    weights = []
    for used, seed in ((box, 3), (box, 3), (Bowl(), 3), (Bowl(), 4)):
        result = train(None, used, strategy, 130, seed=seed)
        assert result.policy is not None
        weights.append(result.policy.tensors())
    first = weights[0]
    for other in weights[1:3]:
        assert all(torch.equal(first[key], other[key]) for key in first)
    assert any(not torch.equal(first[key], weights[3][key]) for key in first)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "env_id",
    [
        "small_boxes:Plain-v0",
        "small_boxes:Bowl-v0",
        "CartPole-v1",
        "nondiff/PandaReach-v0",  # whose reward has no gradient
    ],
)
def test_what_is_missing_is_named_with_the_strategies_that_would_do(env_id: str) -> None:
    env = gymnasium.make(env_id)
    suited = supported(env)
    fits, refusals = [], {}
    for name in STRATEGIES:
        try:
            find_strategy(name)().check(env)
            fits.append(name)
        except IncompatibleStrategyError as error:
            refusals[name] = str(error)
    assert fits == suited
    for name in refusals.keys() & NEEDY:
        assert refusals[name].endswith(f"these can: {', '.join(suited)}")


@pytest.mark.parametrize("name", ["manual", "finite-difference", "autodiff"])
@pytest.mark.parametrize("kind", [Bowl, Track])
def test_an_operator_has_the_gradient_of_the_black_box(kind: type[BlackBox], name: str) -> None:
    box = kind()
    start = box.initial(6, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    state = torch.from_numpy(start.state + 0.1 * rng.standard_normal(start.state.shape))
    action = torch.from_numpy(rng.uniform(-0.9, 0.9, (6, *box.action_space.shape)))
    config = find_strategy(name)()
    assert isinstance(config, Direct)
    found = []
    for operate in (make_operator(config, Meter(box)), box.twin):  # type: ignore[attr-defined]
        inputs = [part.clone().requires_grad_() for part in (state, action)]
        outcome = operate(*inputs)
        weights = torch.linspace(0.5, 2, outcome.numel(), dtype=torch.float64)
        (outcome.ravel() * weights).sum().backward()
        found.append([part.grad for part in inputs])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-7)
    if box.horizon > 1:
        torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-7)


def test_nothing_passes_the_meter_beyond_the_budget() -> None:
    box = Bowl()
    meter = Meter(box, 5)
    state, action = np.zeros((3, 0)), np.zeros((3, 2))
    meter.transition(state, action)
    with pytest.raises(BudgetSpentError, match=r"3 rows of transition .* 2 of 5 calls are left"):
        meter.transition(state, action)
    with pytest.raises(BudgetSpentError):
        meter.vjp(state, action, action, action)
    assert meter.calls == box.calls == 3


class Own(nn.Module):
    """A network that is no MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.GRUCell(2, 2)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.inner(observation))


@pytest.mark.parametrize(
    "name", thin(["ppo", "sac", "td3", "surrogate", "manual", "cma-es"], ["ppo", "surrogate"])
)
def test_any_network_can_be_trained(name: str) -> None:
    torch.manual_seed(0)
    module, box = Own(), Bowl()
    before = copy.deepcopy(module.state_dict())
    options = {"n_steps": 32} if name == "ppo" else {}
    strategy: Strategy = (
        quick(name) if name not in REINFORCEMENT else find_strategy(name)(**options)
    )
    result = train(module, box, strategy, 256)
    assert any(not torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert result.policy is not None
    with pytest.raises(InvalidOptionError, match="Own can't be kept"):
        result.policy.description()


def test_an_unregistered_environment_must_be_a_black_box() -> None:
    train(None, BlackBoxEnv(Plain()), quick("surrogate"), 50)
    with pytest.raises(InvalidOptionError, match=r"was not made by gymnasium\.make"):
        train(None, gymnasium.make("CartPole-v1").unwrapped.__class__(), quick("cma-es"), 50)
