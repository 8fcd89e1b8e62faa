"""What a strategy is: a configuration that can train a policy on an environment."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import gymnasium
from numpy.typing import NDArray
from typing_extensions import Self

from nondiff.env_recipe import EnvRecipe
from nondiff.errors import IncompatibleStrategyError

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT_EVERY = 10_000  # environment steps
Need = Literal["black box", "vjp", "twin"]
EndReason = Literal["success", "return", "callback"]  # why an observer ends a training


class Policy(Protocol):
    """Anything that acts."""

    def predict(self, observation: Any, deterministic: bool = True) -> NDArray[Any]:
        """The action for one observation."""
        ...


class TrainedPolicy(Policy, Protocol):
    """A policy that can be kept: a JSON description and named tensors."""

    def description(self) -> dict[str, Any]:
        """Everything but the weights, as JSON types; `kind` names its loader."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The weights and statistics, by name."""
        ...


class Observer(Protocol):
    """What an experiment plugs into a training."""

    def begin(self, steps: int, evaluated: bool = True) -> bool:
        """Note that training begins, or is resumed, after so many steps.

        Args:
            steps: environment steps done.
            evaluated: whether the checkpoint of a step is saved after the step's evaluation; if
                not, an interruption may have come between them.

        Returns:
            Whether the policy is to be evaluated before training continues.
        """
        ...

    def after_step(self, steps: int, mean_return: float | None, success: float | None) -> bool:
        """Note the progress; returns whether the policy is to be evaluated now."""
        ...

    def evaluate(self, steps: int, policy: TrainedPolicy) -> EndReason | None:
        """Evaluate and keep the policy; returns why training is to end, if it is."""
        ...

    def keep(self, steps: int, policy: TrainedPolicy) -> None:
        """Keep the policy of a training that is breaking off."""
        ...

    def record(self, steps: int, metrics: Mapping[str, float]) -> None:
        """Write metrics of the training."""
        ...

    def note(self, text: str) -> None:
        """Tell the user what happened, in a line."""
        ...


@dataclass(frozen=True)
class State:
    """All that the rest of a training depends on, at the end of one of its segments.

    Args:
        steps: environment steps done.
        values: JSON types.
        tensors: the rest.
    """

    steps: int
    values: dict[str, Any]
    tensors: dict[str, Tensor]


class Checkpoints(Protocol):
    """Where a training saves its state, and restores it from."""

    def save(self, state: State) -> None:
        """Keep a state, atomically."""
        ...

    def load(self) -> State | None:
        """The newest state that is whole, if there is one."""
        ...


class InMemory:
    """Keeps the newest state of a training that leaves nothing on disk."""

    def __init__(self) -> None:
        self._state: State | None = None

    def save(self, state: State) -> None:
        copies = {name: tensor.detach().clone() for name, tensor in state.tensors.items()}
        self._state = replace(state, tensors=copies)

    def load(self) -> State | None:
        return self._state


@dataclass
class Training:
    """A training to do, apart from how.

    It runs in segments. Each one begins with what `checkpoints` holds, whether or not the training
    was interrupted there, with environments reset and generators seeded by (seed, number of the
    segment): so a training that was killed and resumed has bit-identical results.

    Args:
        recipe: the environment.
        budget: environment steps.
        seed: of everything that is drawn.
        device: "cpu", "cuda" or "auto".
        checkpoint_every: environment steps a segment; it ends with the first update after them.
        checkpoints: where segments begin and end.
        module: the network to train, in place; None: the strategy makes its own.
        simulator_seconds: CPU seconds that the black box has taken since this training was begun or
            resumed; the trainer sets it where there is a black box.
    """

    recipe: EnvRecipe
    budget: int
    seed: int
    device: str = "cpu"
    checkpoint_every: int = CHECKPOINT_EVERY
    checkpoints: Checkpoints = field(default_factory=InMemory)
    module: Any = None
    simulator_seconds: Callable[[], float | None] = lambda: None


class _InitSignature:
    """The signature of a class is its `__init__`'s, though it has a `__new__` too."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        _, *others = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]
        return inspect.Signature(others)


@dataclass(frozen=True)
class Strategy:
    """Hyperparameters, and the module that trains with them.

    The module is named rather than imported, so that a command line can be read without loading a
    learning library; it has the functions `check` and `train`.
    """

    name: ClassVar[str]
    trainer: ClassVar[str]
    checkpoint_every: ClassVar[int] = CHECKPOINT_EVERY
    needs: ClassVar[Need | None] = None  # what the environment must offer
    __signature__: ClassVar[Any] = _InitSignature()

    def __new__(cls, *values: Any, **named: Any) -> Self:
        self = object.__new__(cls)
        names = [entry.name for entry in fields(cls)]
        object.__setattr__(self, "_given", frozenset({*names[: len(values)], *named}))
        return self

    @property
    def given(self) -> frozenset[str]:
        """The names of the hyperparameters that were passed: a preset leaves them as they are.

        A copy made by `dataclasses.replace` was passed all of them.
        """
        given: frozenset[str] = vars(self)["_given"]
        return given

    def check(self, env: gymnasium.Env[Any, Any]) -> None:
        """Refuse an environment or a value that this strategy can't train with.

        Raises:
            IncompatibleStrategyError: the environment does not fit; names strategies that do.
            InvalidOptionError: a hyperparameter is out of its range.
        """
        try:
            import_module(self.trainer).check(self, env)
        except IncompatibleStrategyError as error:
            from nondiff.agents.capabilities import supported

            others = ", ".join(supported(env)) or "none as it is"
            raise IncompatibleStrategyError(f"{error}; these can: {others}") from error

    def train(self, training: Training, observer: Observer) -> TrainedPolicy:
        """Train from the last checkpoint until the budget is spent or the observer ends it.

        Raises:
            NonFiniteError: an environment, or the training itself, produced a NaN or an infinity.
            EnvironmentFailedError: an environment raised, or died or hung too often.
            DamagedCheckpointError: the checkpoint is not one of this training.
        """
        policy: TrainedPolicy = import_module(self.trainer).train(self, training, observer)
        return policy
