"""How to make an environment again: a registered id and its arguments."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

from nondiff.errors import (
    EnvironmentFailedError,
    InvalidOptionError,
    MissingDependencyError,
    NondiffError,
    UnknownNameError,
)
from nondiff.gym.named_modules import folder_of, import_named
from nondiff.gym.returns import checked
from nondiff.gym.wrapping import parsed, wrapped

TRAINING, HELD_OUT = "training", "held-out"  # values of an environment's argument `pool`


@dataclass(frozen=True)
class EnvRecipe:
    """Any environment that Gymnasium can find, ours or not.

    Args:
        id: a registered id, such as `CartPole-v1` or `their_package:TheirEnv-v0`.
        arguments: keyword arguments for its constructor.
        wrappers: that it is put in, the innermost first; see `wrapping.wrapped`.
        max_episode_steps: after which an episode is truncated; None: as it is registered.
        folder: where a module that `id` or a wrapper names lies; None: it is installed.
    """

    id: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()
    max_episode_steps: int | None = None
    folder: str | None = None

    @classmethod
    def typed(
        cls,
        id: str,
        arguments: Mapping[str, Any],
        wrappers: Sequence[str] = (),
        max_episode_steps: int | None = None,
    ) -> EnvRecipe:
        """The environment that a user typed, whose modules may lie in the working folder."""
        modules = [id.rpartition(":")[0], *(name.partition(":")[0] for name in wrappers)]
        return cls(id, arguments, tuple(wrappers), max_episode_steps, folder_of(modules))

    def more(self) -> dict[str, Any]:
        """What it says beside id and arguments, as JSON types; nothing where that is as usual."""
        more: dict[str, Any] = {"wrappers": list(self.wrappers)} if self.wrappers else {}
        if self.max_episode_steps is not None:
            more["max_episode_steps"] = self.max_episode_steps
        return more

    @property
    def stands_alone(self) -> bool:
        """Whether any process can make it: its id names its module, or is Gymnasium's or ours."""
        registered = gymnasium.registry.get(self.id)
        entry = None if registered is None else registered.entry_point
        known = isinstance(entry, str) and entry.partition(".")[0] in ("nondiff", "gymnasium")
        return ":" in self.id or known

    def spec(self) -> EnvSpec:
        """The registered specification.

        Raises:
            UnknownNameError: no such id; the message offers near ones.
            InvalidOptionError: the module before the colon can't be imported.
        """
        module, _, name = self.id.rpartition(":")
        if module:
            import_named(module, f"environment {self.id!r}", self.folder)
        try:
            return gymnasium.spec(name)
        except gymnasium.error.Error:
            own = _registered_by(module)
            raise UnknownNameError(
                "environment", name, own or gymnasium.registry, list_all=bool(own)
            ) from None

    def make(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """Make the environment.

        A black box is drawn also if the function that makes it takes no `render_mode`.

        Raises:
            UnknownNameError: no such id.
            InvalidOptionError: an argument it does not take, or a value it refuses.
            MissingDependencyError: what it needs is not installed.
            EnvironmentFailedError: it raised something else.
        """
        spec = self.spec()
        _check_arguments(spec, self.arguments)
        if render_mode is None:
            return self._made(spec, self.arguments)
        try:
            return self._made(spec, {**self.arguments, "render_mode": render_mode})
        except InvalidOptionError as refusal:
            env = self._made(spec, self.arguments)
            if _is_drawn(env, render_mode):
                return env
            env.close()
            raise refusal

    def _made(self, spec: EnvSpec, arguments: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
        try:
            env = gymnasium.make(spec, max_episode_steps=self.max_episode_steps, **arguments)
            for name in self.wrappers:
                env = wrapped(env, name, self.folder)
            return checked(env, bool(self.wrappers))
        except NondiffError:
            raise
        except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
            raise MissingDependencyError(f"{self.id} can't start: {error}") from error
        except (TypeError, ValueError, gymnasium.error.Error) as error:
            raise InvalidOptionError(
                f"{self.id} refuses the arguments {dict(arguments)}: {error}"
            ) from error
        except (Exception, SystemExit) as error:
            raise EnvironmentFailedError(
                f"{self.id} can't be made: it raised {type(error).__name__}: {error}",
                traceback.format_exc(),
            ) from error

    def make_vector(self, num_envs: int) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
        """Make the vectorised environment, which steps all by one call.

        A black box registered without one is vectorised all the same.

        Raises:
            InvalidOptionError: it has none; and what `make` raises.
        """
        if self.wrappers or self.max_episode_steps is not None:
            raise InvalidOptionError(
                f"{self.id} can't be stepped many at once in wrappers or with other limits of steps"
            )
        spec = self.spec()
        env = self.make()
        box = getattr(env.unwrapped, "box", None)
        env.close()
        if spec.vector_entry_point is None and box is not None:
            from nondiff.black_box import BlackBoxVectorEnv

            return BlackBoxVectorEnv(box, num_envs)
        if spec.vector_entry_point is None:
            raise InvalidOptionError(f"{self.id} has no vectorised form: no vector_entry_point")
        mode = gymnasium.VectorizeMode.VECTOR_ENTRY_POINT
        return gymnasium.make_vec(spec, num_envs, mode, **self.arguments)

    @contextmanager
    def opened(self, render_mode: str | None = None) -> Iterator[gymnasium.Env[Any, Any]]:
        """Make the environment, and close it in the end.

        Raises:
            EnvironmentFailedError: it raised when it was closed; and what `make` raises.
        """
        env = self.make(render_mode)
        try:
            yield env
        except BaseException:
            with suppress(Exception):  # what went wrong before matters more
                env.close()
            raise
        try:
            env.close()
        except (Exception, SystemExit) as error:
            raise EnvironmentFailedError(
                f"{self.id} can't be closed: it raised {type(error).__name__}: {error}",
                traceback.format_exc(),
            ) from error

    def held_out(self) -> EnvRecipe:
        """The same environment on data kept apart from training, where it has such data.

        It has if its constructor takes `pool`, "training" unless it is told otherwise.
        """
        spec = self.spec()
        pool = _parameters(spec).get("pool")
        if pool is None or pool.default != TRAINING or "pool" in {**spec.kwargs, **self.arguments}:
            return self
        return replace(self, arguments={**self.arguments, "pool": HELD_OUT})

    def preset_id(self) -> str | None:
        """The id under which presets are kept; None: there can't be any.

        An id made by arguments, such as PandaReach with dense rewards, is the one registered so.
        """
        spec = self.spec()
        for other in gymnasium.registry.values():
            same = (
                other.entry_point == spec.entry_point and other.kwargs.keys() == spec.kwargs.keys()
            )
            wanted = {key: self.arguments.get(key, value) for key, value in spec.kwargs.items()}
            if same and wanted == other.kwargs:
                return other.id
        return spec.id


def env_arguments(pairs: tuple[str, ...]) -> dict[str, Any]:
    """KEY=VALUE pairs as arguments; a value is JSON if it can be, otherwise text.

    Raises:
        InvalidOptionError: a pair without "=".
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise InvalidOptionError(f"--env-arg {pair!r} is not of the form KEY=VALUE")
        arguments[key] = parsed(text)
    return arguments


def _is_drawn(env: gymnasium.Env[Any, Any], render_mode: str) -> bool:
    """Whether an environment, made without a render mode, could be given one: a black box's can."""
    from nondiff.black_box import BlackBoxEnv

    if not isinstance(env.unwrapped, BlackBoxEnv):
        return False
    env.unwrapped.set_render_mode(render_mode)
    return True


def _registered_by(module: str) -> list[str]:
    """The ids whose environments lie in the package of a module."""
    package = module.partition(".")[0]
    places = {name: _place(spec) for name, spec in gymnasium.registry.items()}
    return [name for name, place in places.items() if re.match(re.escape(package) + "[.:]", place)]


def _place(spec: EnvSpec) -> str:
    """The module that an environment's entry point lies in, and a colon."""
    entry = spec.entry_point
    return f"{entry if isinstance(entry, str) else getattr(entry, '__module__', '')}:"


def _check_arguments(spec: EnvSpec, arguments: Mapping[str, Any]) -> None:
    parameters = _parameters(spec)
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            raise UnknownNameError(f"argument of {spec.id}", name, parameters)


def _parameters(spec: EnvSpec) -> Mapping[str, inspect.Parameter]:
    """What an environment's constructor takes."""
    assert spec.entry_point is not None
    try:
        creator = (
            load_env_creator(spec.entry_point)
            if isinstance(spec.entry_point, str)
            else spec.entry_point
        )
    except ImportError as error:
        raise MissingDependencyError(f"{spec.id} can't start: {error}") from error
    return inspect.signature(creator).parameters
