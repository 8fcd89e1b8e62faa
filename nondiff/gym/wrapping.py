"""Wrappers that the user names, applied to an environment that is registered without them."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
from gymnasium import wrappers

from nondiff.errors import InvalidOptionError, MissingDependencyError, NondiffError
from nondiff.gym.named_modules import import_named

Env = gymnasium.Env[Any, Any]
FORM = "MODULE:CLASS or MODULE:CLASS,KEY=VALUE,..."
# Wrappers that change nothing of what is observed, done or rewarded.
TRANSPARENT = (
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.RenderCollection,
    wrappers.HumanRendering,
)
TRANSPARENT_PACKAGES = ("nondiff", "minari")  # wrappers of which are such, except for these:
CHANGING = (gymnasium.ActionWrapper, gymnasium.ObservationWrapper, gymnasium.RewardWrapper)


def parsed(text: str) -> Any:
    """A value given as text: JSON if it can be, otherwise the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def wrapped(env: Env, name: str, folder: str | None = None) -> Env:
    """An environment in the wrapper of a name.

    Args:
        env: the environment.
        name: MODULE:CLASS, with the wrapper's arguments as ",KEY=VALUE"; a value is JSON if it can
            be, otherwise text.
        folder: see `import_named`.

    Raises:
        InvalidOptionError: there is no such wrapper, or it refuses its arguments or the
            environment.
        MissingDependencyError: something that it needs is not installed.
    """
    path, *pairs = name.split(",")
    arguments = dict(_pair(name, pair) for pair in pairs)
    kind = _found(name, path, folder)
    try:
        made = kind(env, **arguments)
    except NondiffError:
        raise
    except gymnasium.error.DependencyNotInstalled as error:
        raise MissingDependencyError(f"the wrapper {name} can't start: {error}") from error
    except Exception as error:
        raise InvalidOptionError(
            f"the wrapper {name} can't wrap this environment: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, gymnasium.Env):
        raise InvalidOptionError(f"the wrapper {name} gave no environment, but {made!r}")
    return made


def _pair(name: str, pair: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not (key.isidentifier() and equals):
        raise InvalidOptionError(f"the wrapper {name!r} is not of the form {FORM}")
    return key, parsed(text)


def _found(name: str, path: str, folder: str | None) -> Any:
    module, _, attribute = path.partition(":")
    if not (module and attribute):
        raise InvalidOptionError(f"the wrapper {name!r} is not of the form {FORM}")
    kind = getattr(import_named(module, f"the wrapper {name!r}", folder), attribute, None)
    if not callable(kind):
        raise InvalidOptionError(f"the wrapper {name!r}: {module} has no {attribute}")
    return kind


def changing_wrapper(env: Env, steps: int) -> str | None:
    """The name of a wrapper that changes what an environment does, if it is in one.

    Args:
        env: the environment.
        steps: that an episode can have; a limit of so many changes nothing.
    """
    while isinstance(env, gymnasium.Wrapper):
        kind = type(env)
        is_limit = isinstance(env, wrappers.TimeLimit) and env._max_episode_steps >= steps
        is_ours = kind.__module__.partition(".")[0] in TRANSPARENT_PACKAGES
        is_ours = is_ours and not isinstance(env, CHANGING)
        if not (kind in TRANSPARENT or is_limit or is_ours):
            return kind.__name__
        env = env.env
    return None
