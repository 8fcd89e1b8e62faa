"""A picklable description of an environment: registered id, arguments and wrappers."""

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

TRAINING, HELD_OUT = "training", "held-out"  # values of the constructor argument `pool`


@dataclass(frozen=True)
class EnvRecipe:
    """An environment that Gymnasium can make, of nondiff or of another package.

    Args:
        id: a registered id, such as `CartPole-v1` or `their_package:TheirEnv-v0`.
        arguments: keyword arguments for its constructor.
        wrappers: names of wrappers to apply, innermost first; see `wrapping.wrapped`.
        max_episode_steps: truncate episodes after this many steps; None: as registered.
        folder: folder of a module that `id` or a wrapper names; None: all are installed.
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
        """Make a recipe from what a user typed; modules may lie in the working folder."""
        modules = [id.rpartition(":")[0], *(name.partition(":")[0] for name in wrappers)]
        return cls(id, arguments, tuple(wrappers), max_episode_steps, folder_of(modules))

    def more(self) -> dict[str, Any]:
        """The fields other than id and arguments, as JSON types; defaults are left out."""
        more: dict[str, Any] = {"wrappers": list(self.wrappers)} if self.wrappers else {}
        if self.max_episode_steps is not None:
            more["max_episode_steps"] = self.max_episode_steps
        return more

    @property
    def stands_alone(self) -> bool:
        """Whether any process can make it: the id names its module, or is built in."""
        registered = gymnasium.registry.get(self.id)
        entry = None if registered is None else registered.entry_point
        known = isinstance(entry, str) and entry.partition(".")[0] in ("nondiff", "gymnasium")
        return ":" in self.id or known

    def spec(self) -> EnvSpec:
        """Look up the registered specification.

        Raises:
            UnknownNameError: the id is not registered; the message suggests similar ones.
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

        A black box can be rendered even if its factory function takes no `render_mode`.

        Raises:
            UnknownNameError: the id is not registered.
            InvalidOptionError: the environment rejects an argument or its value.
            MissingDependencyError: a dependency of the environment is not installed.
            EnvironmentFailedError: the constructor raised anything else.
        """
        spec = self.spec()
        _check_arguments(spec, self.arguments)
        if render_mode is None:
            return self._made(spec, self.arguments)
        try:
            return self._made(spec, {**self.arguments, "render_mode": render_mode})
        except InvalidOptionError as refusal:
            env = self._made(spec, self.arguments)
            if _set_render_mode(env, render_mode):
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
        """Make the vectorized environment of `num_envs` copies.

        A black box needs no registered vector entry point.

        Raises:
            InvalidOptionError: there is no vectorized form; also whatever `make` raises.
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
        """Make the environment, and close it on exit.

        Raises:
            EnvironmentFailedError: `close` raised; also whatever `make` raises.
        """
        env = self.make(render_mode)
        try:
            yield env
        except BaseException:
            with suppress(Exception):  # the first error matters more
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
        """The recipe of the same environment on held-out data, if it has such data.

        It has if its constructor takes `pool` with the default "training", and none is given.
        """
        spec = self.spec()
        pool = _parameters(spec).get("pool")
        if pool is None or pool.default != TRAINING or "pool" in {**spec.kwargs, **self.arguments}:
            return self
        return replace(self, arguments={**self.arguments, "pool": HELD_OUT})

    def preset_id(self) -> str | None:
        """The id whose presets apply; None: there can't be any.

        Arguments count: PandaReach with dense rewards has the presets of PandaReachDense.
        """
        spec = self.spec()
        if not self.arguments:  # two ids may be of one entry point, such as CartPole's
            return spec.id
        for other in gymnasium.registry.values():
            same = (
                other.entry_point == spec.entry_point and other.kwargs.keys() == spec.kwargs.keys()
            )
            wanted = {key: self.arguments.get(key, value) for key, value in spec.kwargs.items()}
            if same and wanted == other.kwargs:
                return other.id
        return spec.id


def env_arguments(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Parse KEY=VALUE pairs; a value is JSON if it parses as JSON, otherwise text.

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


def _set_render_mode(env: gymnasium.Env[Any, Any], render_mode: str) -> bool:
    """Set the render mode of an existing environment, and return whether it allows that."""
    from nondiff.black_box import BlackBoxEnv

    if not isinstance(env.unwrapped, BlackBoxEnv):
        return False
    env.unwrapped.set_render_mode(render_mode)
    return True


def _registered_by(module: str) -> list[str]:
    """The ids of the environments that a module's package defines."""
    package = module.partition(".")[0]
    places = {name: _place(spec) for name, spec in gymnasium.registry.items()}
    return [name for name, place in places.items() if re.match(re.escape(package) + "[.:]", place)]


def _place(spec: EnvSpec) -> str:
    """The module of an environment's entry point, followed by a colon."""
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
    """The parameters of an environment's constructor."""
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
