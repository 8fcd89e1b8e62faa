"""Domain randomization: ranges of physics, initial pose, latency and noise, sampled per episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nondiff.errors import InvalidOptionError, UnknownNameError
from nondiff.validation import from_json, is_number

Range = Sequence[float]  # the lowest and the highest value
Sample = dict[str, Any]  # sampled values by field: numbers, or tuples with one per object or joint

LIMITS = {  # (low, high, unit) of each range
    "object_mass": (0.1, 10.0, ""),
    "object_friction": (0.0, 10.0, ""),
    "robot_mass": (0.1, 10.0, ""),
    "joint_damping": (0.0, 10.0, " N m s/rad"),
    "joint_offset": (-0.1, 0.1, " rad"),
    "latency": (0, 10, " control steps"),
    "action_noise": (0.0, 1.0, ""),
    "observation_noise": (0.0, 1.0, ""),
}
OF_EACH_OBJECT = ("object_mass", "object_friction")
OF_EACH_JOINT = ("joint_offset",)


def _check_range(name: str, values: Any, low: float, high: float, unit: str) -> None:
    whole = isinstance(low, int)
    is_range = (
        isinstance(values, Sequence)
        and len(values) == 2
        and all(map(is_number, values))
        and low <= values[0] <= values[1] <= high
        and not (whole and any(int(value) != value for value in values))
    )
    if not is_range:
        pair = f"two {'whole ' if whole else ''}numbers (low, high)"
        raise InvalidOptionError(
            f"{name} must be {pair} from {low:g} to {high:g}{unit}, not {values!r}"
        )


@dataclass(frozen=True)
class Randomization:
    """Ranges (low, high) from which values are sampled uniformly for each episode.

    None leaves a value unchanged. The sample of one field does not depend on the other fields.

    Args:
        object_mass: factor on the mass of each object.
        object_friction: factor on the friction coefficient of each object.
        robot_mass: factor on the mass of every link of the robot, the same for all links.
        joint_damping: viscous damping of every joint, the same for all joints [N m s/rad].
        joint_offset: offset of each arm joint from its neutral angle at the start [rad].
        latency: delay of actions [control steps], a whole number; the first actions are then 0.
        action_noise: standard deviation of Gaussian noise on each entry of an action.
        observation_noise: standard deviation of Gaussian noise on each entry of `observation`, in
            the entry's unit. Goals have no noise, since rewards are computed from them.

    Raises:
        InvalidOptionError: a value is not a range within its `LIMITS`.
    """

    object_mass: Range | None = None
    object_friction: Range | None = None
    robot_mass: Range | None = None
    joint_damping: Range | None = None
    joint_offset: Range | None = None
    latency: Range | None = None
    action_noise: Range | None = None
    observation_noise: Range | None = None

    def __post_init__(self) -> None:
        for name, limits in LIMITS.items():
            values = getattr(self, name)
            if values is not None:
                _check_range(name, values, *limits)

    def sample(self, rng: np.random.Generator, objects: int, joints: int) -> Sample:
        """Sample a value of each field that has a range.

        Args:
            rng: the random generator.
            objects: number of objects.
            joints: number of arm joints.
        """
        count = dict.fromkeys(OF_EACH_OBJECT, objects) | dict.fromkeys(OF_EACH_JOINT, joints)
        sampled: Sample = {}
        for field in fields(self):
            shares = rng.random(
                count.get(field.name, 1)
            )  # also without a range, so that fields are independent
            limits = getattr(self, field.name)
            if limits is None:
                continue
            low, high = limits
            if field.name == "latency":
                sampled[field.name] = int(low + shares[0] * (high - low + 1))
                continue
            values = tuple((low + shares * (high - low)).tolist())
            sampled[field.name] = values if field.name in count else values[0]
        return sampled


NAMED = {
    "moderate": Randomization(
        object_mass=(0.5, 2.0),
        object_friction=(0.7, 1.4),
        robot_mass=(0.9, 1.1),
        joint_damping=(0.0, 2.0),
        joint_offset=(-0.05, 0.05),
        latency=(0, 1),
        action_noise=(0.0, 0.1),
        observation_noise=(0.0, 0.005),
    ),
}


def parsed_randomization(value: Any) -> Randomization | None:
    """Parse a `Randomization`, a dict of its fields, a name in `NAMED`, or None.

    Raises:
        InvalidOptionError, UnknownNameError: none of these.
    """
    if isinstance(value, str):
        if value not in NAMED:
            raise UnknownNameError("randomization", value, NAMED)
        return NAMED[value]
    return None if value is None else from_json(Randomization, "randomization", value)


def randomization_of_episode(
    usual: Randomization | None, options: Mapping[str, Any] | None
) -> Randomization | None:
    """The randomization of an episode: from the options of `reset`, otherwise the usual one.

    Raises:
        UnknownNameError: an option other than "randomization".
        InvalidOptionError: its value is invalid.
    """
    for name in options or ():
        if name != "randomization":
            raise UnknownNameError("option of reset", str(name), ["randomization"])
    return parsed_randomization(options["randomization"]) if options else usual
