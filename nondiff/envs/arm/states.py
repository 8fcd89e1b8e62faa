"""Save and restore states of the arm, and copy and pickle the environment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff import __version__
from nondiff.envs.arm.cameras.film import Film
from nondiff.envs.arm.randomization.disturbances import Disturbances, Disturbed
from nondiff.envs.arm.world.engine import Snapshot, api_version
from nondiff.envs.arm.world.simulation import Simulation
from nondiff.errors import CopyRefusedError, InvalidOptionError
from nondiff.gym.copying import DeepCopied

VERSIONS = {"nondiff": __version__, "PyBullet's API": api_version()}


@dataclass(frozen=True)
class ArmState:
    """Everything that the future of an episode depends on; see `Returning.get_state`.

    Attributes:
        physics: positions, velocities and contacts.
        goal: (goal,) the desired goal.
        elapsed_steps: control steps since the reset.
        rng: state of the random generator of later episodes.
        disturbed: the state of the episode's domain randomization.
        origin: the arguments and versions of the environment that it is a state of.
    """

    physics: Snapshot
    goal: NDArray[np.float32]
    elapsed_steps: int
    rng: dict[str, Any]
    disturbed: Disturbed
    origin: Mapping[str, Any]


BUILT = (  # attributes that a copy builds anew
    "_simulation",
    "_scene",
    "_film",
    "_robot",
    "_task",
    "_disturbances",
    "_senses",
    "_picture_world",
    "_origin",
)
DESIGN = {  # by argument name: attributes that must agree for a state to be restored
    "task": "_task_class",
    "robot": "_robot_model",
    "reward_type": "_reward_type",
    "control_type": "_control_type",
    "horizon": "_horizon",
    "physics": "_physics",
    "camera": "_camera",
    "randomization": "_randomization",
    "relative": "_relative",
    "goal_relative": "_goal_relative",
}


class Returning(DeepCopied, ABC):
    """The part of `ArmEnv` that saves and restores states, and copies and pickles it."""

    render_mode: str | None
    np_random: np.random.Generator
    _simulation: Simulation
    _film: Film
    _disturbances: Disturbances
    _goal: NDArray[np.float32]
    _elapsed_steps: int

    @abstractmethod
    def _build(self) -> None:
        """Build the simulator and all objects that refer to it: the attributes `BUILT`."""

    @abstractmethod
    def _seen(self) -> Any:
        """The current observation."""

    def __getstate__(self) -> dict[str, Any]:
        """The attributes except `BUILT`, and the state, from which a copy builds its simulator."""
        if self.render_mode == "human":
            raise CopyRefusedError(
                "an arm with render_mode 'human' can't be copied, since there is one window; "
                "make it with another render_mode"
            )
        state = self.get_state()
        kept = {name: value for name, value in self.__dict__.items() if name not in BUILT}
        return kept | {"copied": (state, list(self._film.frames))}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        state, frames = self.__dict__.pop("copied")
        check_state(state, self._origin)
        self._build()
        self._return_to(state)
        self._film.frames = frames

    def get_state(self) -> ArmState:
        """Save the current state, for `set_state` of any environment with the same arguments.

        The state can be pickled, and outlives this environment.

        Raises:
            CopyRefusedError: this environment is closed.
        """
        if not self._simulation.is_open:
            raise CopyRefusedError("this arm was closed: take states and copies before that")
        return ArmState(
            physics=self._simulation.save(),
            goal=self._goal.copy(),
            elapsed_steps=self._elapsed_steps,
            rng=dict(self.np_random.bit_generator.state),
            disturbed=self._disturbances.state,
            origin=self._origin,
        )

    def set_state(self, state: ArmState) -> Any:
        """Restore a state and return its observation; the state can be used again.

        Later results are bit-identical to those in the environment that saved the state. That can
        be another environment, also in another process, with the same arguments except those of
        `render`.

        Raises:
            InvalidOptionError: not a state, or from an environment with other arguments or of
                another version; nothing is changed.
        """
        check_state(state, self._origin)
        self._return_to(state)
        self.np_random.bit_generator.state = state.rng
        return self._seen()

    @cached_property
    def _origin(self) -> dict[str, Any]:
        return {name: _plain(getattr(self, where)) for name, where in DESIGN.items()} | VERSIONS

    def _return_to(self, state: ArmState) -> None:
        self._disturbances.restore(state.disturbed)
        self._simulation.restore(state.physics)
        self._goal = state.goal.copy()
        self._elapsed_steps = state.elapsed_steps


def check_state(state: Any, origin: Mapping[str, Any]) -> None:
    """Require a state of an environment of the same origin.

    Raises:
        InvalidOptionError: names the first difference.
    """
    if not isinstance(state, ArmState):
        raise InvalidOptionError(
            f"set_state takes what get_state gave, an ArmState, not a {type(state).__name__}"
        )
    if state.origin is not origin and (found := _difference(state.origin, origin)):
        name, theirs, ours = found
        raise InvalidOptionError(
            f"the state is of an environment with {name} {theirs!r}; this one has {ours!r}, "
            "and both must be the same"
        )


def _difference(theirs: Any, ours: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The name of a differing part and both values; None: there is no difference."""
    if theirs == ours:
        return None
    if not (isinstance(theirs, Mapping) and isinstance(ours, Mapping)):
        return name, theirs, ours
    parts = ours.keys() | theirs.keys()
    differing = min(part for part in parts if theirs.get(part) != ours.get(part))
    inner = f"{name}.{differing}" if name else differing
    return _difference(theirs.get(differing), ours.get(differing), inner)


def _plain(value: Any) -> Any:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if is_dataclass(value):
        return _plain(asdict(value))  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(_plain, value))
    return value
