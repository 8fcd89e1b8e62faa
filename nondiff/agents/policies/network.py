"""The policy network that every strategy can train, and a policy made of it."""

from __future__ import annotations

import math
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from nondiff.agents.policies.spaces import from_json, to_json
from nondiff.black_box import BlackBox, find_black_box
from nondiff.errors import DamagedModelError, InvalidOptionError
from nondiff.validation import first_fault

FIRST_OUTPUT = 0.1  # share of the usual last weights: the first actions are near the Box's centre
NET_ARCH = (128, 128)  # sizes of the hidden layers, unless it is said otherwise
STARTS = 1024  # drawn to scale the inputs
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}
Activation = Literal["silu", "tanh", "relu", "elu", "leaky_relu"]


class MLP(nn.Module):
    """A multilayer perceptron from a flattened observation to an action.

    Actions of a bounded Box are squashed into it by tanh; those of an unbounded one are as they
    come; a Discrete space gets one score a choice. Inputs are shifted and scaled by constants.

    Args:
        inputs: size of the flattened observation.
        action_space: Box or Discrete.
        net_arch: sizes of the hidden layers.
        activation: between layers.

    Raises:
        InvalidOptionError: another kind of action space.
    """

    shift: Tensor
    scale: Tensor
    centre: Tensor
    reach: Tensor

    def __init__(
        self,
        inputs: int,
        action_space: gymnasium.Space[Any],
        net_arch: tuple[int, ...] = NET_ARCH,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        self.net_arch, self.activation = tuple(net_arch), activation
        outputs = _outputs(action_space)
        layers: list[nn.Module] = []
        for width in net_arch:
            layers += [nn.Linear(inputs, width), ACTIVATIONS[activation]()]
            inputs = width
        last = nn.Linear(inputs, outputs)
        with torch.no_grad():
            last.weight.mul_(FIRST_OUTPUT)
            last.bias.zero_()
        self.layers = nn.Sequential(*layers, last)
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        self.register_buffer("shift", torch.zeros(first.in_features))
        self.register_buffer("scale", torch.ones(first.in_features))
        squashed = isinstance(action_space, spaces.Box) and action_space.is_bounded()
        low = torch.as_tensor(action_space.low.ravel()) if squashed else torch.zeros(outputs)  # type: ignore[attr-defined]
        high = torch.as_tensor(action_space.high.ravel()) if squashed else torch.zeros(outputs)  # type: ignore[attr-defined]
        self.squashed = squashed
        self.register_buffer("centre", ((low + high) / 2).float(), persistent=False)
        self.register_buffer("reach", ((high - low) / 2).float(), persistent=False)

    @classmethod
    def for_env(
        cls,
        env: gymnasium.Env[Any, Any] | BlackBox,
        net_arch: tuple[int, ...] = NET_ARCH,
        activation: Activation = "silu",
    ) -> MLP:
        """A network for an environment's spaces, its weights drawn from torch's global generator.

        Where a black box has one-step episodes, inputs are scaled to deviations of its contexts.
        """
        box = env if isinstance(env, BlackBox) else find_black_box(env)
        module = cls(spaces.flatdim(env.observation_space), env.action_space, net_arch, activation)
        if box is not None and box.horizon == 1:
            start = box.initial(STARTS, np.random.default_rng(0))
            seen = box.observation(torch.from_numpy(start.state), torch.from_numpy(start.context))
            module.shift = seen.mean(0).float()
            module.scale = seen.std(0).clamp_min(1e-6).float()
        return module

    def raw(self, observation: Tensor) -> Tensor:
        """What `forward` squashes."""
        found: Tensor = self.layers((observation - self.shift) / self.scale)
        return found

    def forward(self, observation: Tensor) -> Tensor:
        """The actions (..., action), or scores, of flattened observations (..., observation)."""
        raw = self.raw(observation)
        return self.centre + self.reach * torch.tanh(raw) if self.squashed else raw


def check_network(module: nn.Module, env: gymnasium.Env[Any, Any]) -> None:
    """Refuse a network that does not map an environment's observations to its actions.

    Raises:
        InvalidOptionError: names the sizes of both.
    """
    inputs, outputs = spaces.flatdim(env.observation_space), _outputs(env.action_space)
    wanted = f"observations (n, {inputs}) to (n, {outputs})"
    place = next(iter([*module.parameters(), *module.buffers()]), torch.zeros(0))
    tried = torch.zeros(2, inputs, device=place.device)
    modes = {part: part.training for part in module.modules()}
    try:
        with torch.no_grad():
            found = module.eval()(tried)
    except Exception as error:
        raise InvalidOptionError(
            f"the network must map {wanted}, but it can't be called with (2, {inputs}): {error}"
        ) from error
    finally:
        for part, mode in modes.items():
            part.training = mode
    if not isinstance(found, Tensor) or found.shape != (2, outputs):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InvalidOptionError(f"the network must map {wanted}, but gives {shape} for n = 2")


def non_finite_weight(module: nn.Module) -> str | None:
    """The name of the first parameter that holds a NaN or an infinity, if any does."""
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            return name
    return None


def _outputs(space: gymnasium.Space[Any]) -> int:
    if isinstance(space, spaces.Box):
        return math.prod(space.shape)
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    raise InvalidOptionError(f"a network acts in Box or Discrete spaces, not in {space}")


class Description(BaseModel):
    """The JSON description of a policy."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["network"]
    net_arch: list[int]
    activation: Activation
    observation_space: dict[str, Any]
    action_space: dict[str, Any]


class NetworkPolicy:
    """A network that acts in the spaces of an environment, always deterministically.

    Args:
        module: maps flattened observations to actions, or to scores of discrete ones.
        observation_space: what it observes.
        action_space: Box or Discrete.
    """

    def __init__(
        self,
        module: nn.Module,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
    ) -> None:
        self.module = module
        self._observation_space = observation_space
        self._action_space = action_space

    def predict(self, observation: Any, deterministic: bool = True) -> NDArray[Any]:
        """The action for one observation, or for a batch of them."""
        flat, is_batch = self._flattened(observation)
        device = next(self.module.parameters()).device
        with torch.no_grad():
            output = self.module(torch.as_tensor(flat, dtype=torch.float32, device=device))
        actions = self._actions(output.cpu().numpy())
        return actions if is_batch else actions[0]

    def _actions(self, output: NDArray[np.float32]) -> NDArray[Any]:
        space = self._action_space
        if isinstance(space, spaces.Discrete):
            return np.asarray(space.start + output.argmax(axis=1))
        assert isinstance(space, spaces.Box)
        shaped = output.reshape(len(output), *space.shape)
        if not np.issubdtype(space.dtype, np.floating):
            shaped = np.rint(shaped)
        return np.clip(shaped, space.low, space.high).astype(space.dtype)

    def _flattened(self, observation: Any) -> tuple[NDArray[Any], bool]:
        space = self._observation_space
        if isinstance(space, spaces.Dict):
            parts = [np.asarray(observation[key]) for key in space.spaces]
            shapes = [part.shape or () for part in space.spaces.values()]
            if parts[0].ndim == len(shapes[0]):
                return np.asarray(spaces.flatten(space, observation))[None], False
            rows = [part.reshape(len(part), -1) for part in parts]
            return np.concatenate(rows, axis=1), True
        values = np.asarray(observation)
        if isinstance(space, spaces.Box) and values.ndim > len(space.shape):
            return values.reshape(len(values), -1), True
        return np.asarray(spaces.flatten(space, observation))[None], False

    def acting_with(self, module: nn.Module) -> NetworkPolicy:
        """The same policy with another network."""
        return NetworkPolicy(module, self._observation_space, self._action_space)

    def description(self) -> dict[str, Any]:
        if not isinstance(self.module, MLP):
            raise InvalidOptionError(
                f"a {type(self.module).__name__} can't be kept in a run, only an MLP; "
                "keep its state_dict by other means"
            )
        return Description(
            kind="network",
            net_arch=list(self.module.net_arch),
            activation=self.module.activation,
            observation_space=to_json(self._observation_space),
            action_space=to_json(self._action_space),
        ).model_dump()

    def tensors(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.module.state_dict().items()}


def rebuild(data: dict[str, Any], tensors: dict[str, Tensor]) -> NetworkPolicy:
    """The policy that `description` and `tensors` were taken of.

    Raises:
        DamagedModelError: they do not describe one, or do not fit each other.
    """
    try:
        description = Description.model_validate(data)
        observed, acted = map(from_json, (description.observation_space, description.action_space))
        module = MLP(
            spaces.flatdim(observed), acted, tuple(description.net_arch), description.activation
        )
        module.load_state_dict(tensors, strict=True)
        return NetworkPolicy(module, observed, acted)
    except ValidationError as error:
        raise DamagedModelError(f"the description is invalid: {first_fault(error)}") from error
    except (LookupError, ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise DamagedModelError(f"the description and the weights do not fit: {error}") from error
