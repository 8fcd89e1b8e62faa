"""The network of a policy of Stable-Baselines3, told from its tensors and its zip's plain JSON."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from nondiff.agents.policies.spaces import from_json
from nondiff.agents.sb3.algorithms.layout import Layout
from nondiff.agents.sb3.library import ACTIVATIONS
from nondiff.agents.sb3.policy import PolicyArguments
from nondiff.errors import DamagedModelError

# What `policy_kwargs` may say that changes nothing in how a policy acts.
NO_MATTER = ("optimizer_class", "optimizer_kwargs", "ortho_init", ":type:", ":serialized:")
PICTURE_FEATURES = {"CnnPolicy": 512, "MultiInputPolicy": 256}  # of a picture, by default


def policy_arguments(
    kind: type[BasePolicy],
    layout: Layout,
    given: Any,
    tensors: Mapping[str, Tensor],
    activation: str | None,
) -> dict[str, Any]:
    """The fields of a policy's `PolicyArguments`.

    Args:
        kind: the policy's class.
        layout: where it keeps its layers.
        given: `policy_kwargs` of the zip, without what is pickled.
        tensors: the policy's state.
        activation: what the user says of the activation; None: nothing.

    Raises:
        DamagedModelError: a network that has no counterpart here, or another activation.
    """
    arguments = _given(kind, given)
    arguments |= _from_tensors(kind, layout, arguments, tensors)
    named = _activation(arguments.pop("activation_fn", None), activation)
    return arguments | {"activation_fn": named}


def _given(kind: type[BasePolicy], given: Any) -> dict[str, Any]:
    """The arguments that were given to a policy, of those that have a counterpart here."""
    if not isinstance(given, dict):
        raise DamagedModelError("its policy_kwargs are not a dictionary")
    defaults = {name: p.default for name, p in inspect.signature(kind).parameters.items()}
    arguments = {}
    for name, value in given.items():
        if name in PolicyArguments.model_fields:
            arguments[name] = value  # some of which the tensors will replace
        elif not (name in NO_MATTER or (name in defaults and value == _printed(defaults[name]))):
            raise DamagedModelError(
                f"its policy argument {name} = {value!r} has no counterpart here; what has: "
                f"{', '.join(PolicyArguments.model_fields)}"
            )
    return arguments


def _printed(value: Any) -> Any:
    """A value as Stable-Baselines3 writes it into JSON."""
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return str(value)


def _activation(printed: Any, chosen: str | None) -> str | None:
    """The name of the activation; None: the policy's default."""
    found = next((name for name, kind in ACTIVATIONS.items() if str(kind) == printed), None)
    if printed is None:
        return chosen
    if found is None and chosen is None:
        raise DamagedModelError(
            f"its activation {printed} is none of {', '.join(ACTIVATIONS)}; if it computes what "
            "one of them does, say which with --activation"
        )
    if found and chosen and found != chosen:
        raise DamagedModelError(f"its activation is {found}: leave out --activation {chosen}")
    return found or chosen


def _layers(tensors: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    """The weights of linear layers in their order."""
    numbered = re.compile(re.escape(prefix) + r"(\d{1,3})\.weight")
    found = {int(match[1]): t for name, t in tensors.items() if (match := numbered.fullmatch(name))}
    return [found[number] for number in sorted(found) if found[number].dim() == 2]


def _actor(layout: Layout, tensors: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
    """The weights of the hidden layers that lead to an action, and of the one after them."""
    layers = _layers(tensors, layout.actor)
    outputs = [tensors[name] for name in layout.outputs if name in tensors]
    if not layout.outputs:
        outputs, layers = layers[-1:], layers[:-1]
    if not outputs:
        names = ", ".join(layout.outputs) or f"{layout.actor}N.weight"
        raise DamagedModelError(f"its weights have none of {names}")
    return layers, outputs[0]


def _from_tensors(
    kind: type[BasePolicy],
    layout: Layout,
    given: dict[str, Any],
    tensors: Mapping[str, Tensor],
) -> dict[str, Any]:
    hidden, output = _actor(layout, tensors)
    _check_chain([*hidden, output])
    sizes = [len(weight) for weight in hidden]
    accepted = inspect.signature(kind).parameters
    if layout.critic is None:
        quantiles = {n: accepted[n].default for n in ("n_quantiles",) if n in accepted}
        return quantiles | given | {"net_arch": sizes}
    critic = _layers(tensors, layout.critic)
    _check_chain(critic)
    others = [len(weight) for weight in critic]
    differ = others[: len(others) - layout.critic_ends] != sizes
    if differ and "net_arch" in given:
        raise DamagedModelError(
            f"its layers {sizes} and {others} have no counterpart here: actor and critic must have "
            "the same layers"
        )
    found: dict[str, Any] = {"net_arch": None if differ else sizes}  # None: the policy's own
    if "n_critics" in accepted:
        found["n_critics"] = _count_critics(tensors, critic)
    if "n_quantiles" in accepted:
        found["n_quantiles"] = len(critic[-1])
    return found


def _check_chain(layers: list[Tensor]) -> None:
    """Refuse layers that do not take what the ones before them give."""
    for before, after in pairwise(layers):
        if after.shape[1] != before.shape[0]:
            raise DamagedModelError("its layers do not fit each other")


def _count_critics(tensors: Mapping[str, Tensor], first: list[Tensor]) -> int:
    count = 0
    while layers := _layers(tensors, f"critic.qf{count}."):
        if [weight.shape for weight in layers] != [weight.shape for weight in first]:
            raise DamagedModelError("its critics differ from each other")
        count += 1
    return count


def check_sizes(
    layout: Layout, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Refuse spaces of another size than the tensors, before a network of that size is made.

    Args:
        layout: where the policy keeps its layers.
        description: of the policy.
        tensors: the policy's state.

    Raises:
        DamagedModelError: names both sizes.
    """
    observed, acted = (from_json(description[f"{n}_space"]) for n in ("observation", "action"))
    hidden, output = _actor(layout, tensors)
    first = (*hidden, output)[0]
    inputs = _features(observed, description["policy"], tensors)
    for what, wanted, found in (
        ("observation", inputs, first.shape[1]),
        (
            "action",
            spaces.flatdim(acted),
            output.shape[0] // _values_an_action(layout, description),
        ),
    ):
        if wanted != found:
            raise DamagedModelError(
                f"its weights do not fit its {what} space, which is of {wanted} numbers, "
                f"not {found}"
            )


def _values_an_action(layout: Layout, description: Mapping[str, Any]) -> int:
    """How many numbers the last layer gives for each action, or entry of one."""
    quantiles = description["arguments"].get("n_quantiles")
    return quantiles if layout.critic is None and isinstance(quantiles, int) else 1


def _features(space: spaces.Space[Any], policy: str, tensors: Mapping[str, Tensor]) -> int:
    """How many numbers the layers are given of an observation."""
    if policy == "MlpPolicy":
        return spaces.flatdim(space)
    parts = {"": space}
    if isinstance(space, spaces.Dict):
        parts = {f"extractors.{key}.": part for key, part in space.items()}
    count = 0
    for name, part in parts.items():
        if isinstance(part, spaces.Box) and is_image_space(part):
            _check_picture(part, f"features_extractor.{name}linear.0.weight", tensors)
            count += PICTURE_FEATURES[policy]
        else:
            count += spaces.flatdim(part)
    return count


def _check_picture(space: spaces.Box, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a picture of another size than the convolutions of Stable-Baselines3 were made for."""
    pixels = 64
    for size in space.shape[1:]:  # kernels of 8, 4 and 3 pixels at strides of 4, 2 and 1
        pixels *= ((size - 8) // 4 + 1 - 4) // 2 + 1 - 2
    found = {weight.shape[1] for key, weight in tensors.items() if key.endswith(name)}
    if found != {pixels}:
        raise DamagedModelError(f"its weights do not fit its pictures of shape {space.shape}")
