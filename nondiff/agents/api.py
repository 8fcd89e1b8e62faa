"""Train any network on any environment, from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import torch
from torch import nn

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.callback import Callback
from nondiff.agents.policies.network import check_network
from nondiff.agents.presets import Preset, completed, preset_for
from nondiff.agents.seeds import MAX_SEED
from nondiff.agents.strategy import EndReason, Strategy, TrainedPolicy, Training
from nondiff.black_box import BlackBox, BlackBoxEnv, BlackBoxVectorEnv
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import InvalidOptionError
from nondiff.gym.step_limit import asked_limit
from nondiff.gym.wrapping import changing_wrapper
from nondiff.processes.cpu_time import cpu_seconds

Environment = str | gymnasium.Env[Any, Any] | BlackBox


OnProgress = Callable[[int, float | None], object]  # steps, mean return; False ends the training

MOST = 10**12  # steps or threads
DEVICES = ("cpu", "cuda", "auto")


@dataclass
class Result:
    """The result of a training.

    Attributes:
        policy: acts with the trained network, and can be saved with `agents.model.save_policy`.
        calls: environment steps, or calls of the black box, that were spent.
        cpu_seconds: of this process, and of the programs that it ran.
        history: (calls, metrics) as they were recorded.
    """

    policy: TrainedPolicy | None = None
    calls: int = 0
    cpu_seconds: float = 0.0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def train(
    policy: nn.Module | None,
    env: Environment,
    strategy: Strategy | str,
    budget: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    on_progress: OnProgress | None = None,
    presets: bool = True,
) -> Result:
    """Train a network, in place, by a strategy, within a budget of calls.

    The same network serves every strategy: it maps flattened observations (n, observation) to
    actions (n, action) within the action space, or to scores of discrete actions.

    Args:
        policy: the network, such as `MLP.for_env(env)`; None: the strategy makes its own.
        env: an id, an environment made by `gymnasium.make`, or a black box.
        strategy: such as `Surrogate()`, or its name.
        budget: environment steps, or calls of the black box; None: as many as the preset says.
        seed: of everything that is drawn.
        device: "cpu", "cuda" or "auto".
        threads: of torch during the training; beside a simulator, one is by far the fastest.
        on_progress: called now and then with the calls so far and the recent mean return; training
            ends once it returns False.
        presets: take the hyperparameters that were not passed to `strategy` from the preset of
            strategy and environment, where there is one, as the command `train` does.

    Raises:
        CallbackFailedError: `on_progress` raised; the network is as it was trained until then.
        IncompatibleStrategyError: the environment lacks what the strategy needs.
        InvalidOptionError: a value out of its range, or an environment that can't be made again.
    """
    recipe = recipe_of(env)
    strategy, preset = with_preset(strategy, recipe, presets)
    budget = preset.budget if budget is None else budget
    _check_counts(budget=(budget, 1, MOST), seed=(seed, 0, MAX_SEED), threads=(threads, 1, MOST))
    if device not in DEVICES:
        raise InvalidOptionError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    with recipe.opened() as made:
        strategy.check(made)
        if policy is not None:
            check_network(policy, made)
    observer = _Recorder(on_progress)
    started = cpu_seconds()
    training = Training(recipe, budget, seed, device, strategy.checkpoint_every, module=policy)
    with torch_threads(threads):
        observer.result.policy = strategy.train(training, observer)
    observer.result.cpu_seconds = cpu_seconds() - started
    return observer.result


def with_preset(
    strategy: Strategy | str, recipe: EnvRecipe, presets: bool = True
) -> tuple[Strategy, Preset]:
    """A strategy with what was not passed to it from its preset, and the preset.

    Args:
        strategy: one, or a name.
        recipe: the environment.
        presets: whether to use any; without, what was not passed is as the strategy says.

    Raises:
        UnknownNameError: no such strategy or environment.
        InvalidOptionError: something else than a strategy.
    """
    if isinstance(strategy, str):
        strategy = find_strategy(strategy)()
    if not isinstance(strategy, Strategy):
        raise InvalidOptionError(
            f"strategy must be one such as PPO(), or a name such as 'ppo', not {strategy!r}"
        )
    known = presets and strategy.name in STRATEGIES
    preset = preset_for(strategy.name, recipe) if known else Preset(strategy)
    return completed(strategy, preset), preset


def _check_counts(**given: tuple[object, int, int]) -> None:
    for name, (value, least, largest) in given.items():
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not (is_whole and least <= value <= largest):  # type: ignore[operator]
            raise InvalidOptionError(
                f"{name} must be a whole number from {least} to {largest:,}, not {value!r}"
            )


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads within."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def recipe_of(env: Environment) -> EnvRecipe:
    """How to make an environment again.

    Raises:
        InvalidOptionError: it was not made by `gymnasium.make`.
    """
    if isinstance(env, str):
        return EnvRecipe(env)
    if not isinstance(env, gymnasium.Env | BlackBox):
        raise InvalidOptionError(
            f"env must be an id, an environment of gymnasium.make or a BlackBox, not {env!r}"
        )
    if isinstance(env, BlackBox):
        return BoxRecipe(type(env).__name__, {}, box=env)
    if isinstance(env.unwrapped, BlackBoxEnv) and env.spec is None:
        return BoxRecipe(type(env.unwrapped.box).__name__, {}, box=env.unwrapped.box)
    if env.spec is None:
        raise InvalidOptionError(
            f"{env} was not made by gymnasium.make, so that it can't be made again; register it, "
            "or give a BlackBox"
        )
    if name := changing_wrapper(env, env.spec.max_episode_steps or 0):
        raise InvalidOptionError(
            f"the environment is in the wrapper {name}, which would be lost as it is made again; "
            "register an id whose entry point puts it in there"
        )
    arguments = {k: v for k, v in env.spec.kwargs.items() if k != "render_mode"}
    return EnvRecipe(env.spec.id, arguments, max_episode_steps=asked_limit(env))


@dataclass(frozen=True)
class BoxRecipe(EnvRecipe):
    """Makes environments of one black box, which no registry knows.

    Args:
        box: shared by the environments made.
    """

    box: BlackBox | None = None

    @property
    def stands_alone(self) -> bool:
        """It is sent whole."""
        return True

    def preset_id(self) -> None:
        """Presets are for registered ids."""

    def make(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        assert self.box is not None
        return BlackBoxEnv(self.box, render_mode)

    def make_vector(self, num_envs: int) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
        assert self.box is not None
        return BlackBoxVectorEnv(self.box, num_envs)


class _Recorder:
    """An observer that keeps metrics, and ends a training where `on_progress` says so."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.result = Result()
        self._callback = Callback("on_progress", on_progress)

    def begin(self, steps: int, evaluated: bool = True) -> bool:
        return False

    def after_step(self, steps: int, mean_return: float | None, success: float | None) -> bool:
        self.result.calls = steps
        return not self._callback(steps, mean_return)

    def evaluate(self, steps: int, policy: TrainedPolicy) -> EndReason | None:
        return None if self._callback.goes_on else "callback"

    def keep(self, steps: int, policy: TrainedPolicy) -> None:
        """The network is trained in place, and so is kept already."""

    def record(self, steps: int, metrics: Mapping[str, float]) -> None:
        self.result.history.append((steps, dict(metrics)))

    def note(self, text: str) -> None:
        """Nothing is shown."""
