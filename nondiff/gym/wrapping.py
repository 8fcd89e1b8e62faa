"""Apply the wrappers that a user names, and import the modules that a user names."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
from gymnasium import wrappers

from nondiff.errors import InvalidOptionError, MissingDependencyError, NondiffError
from nondiff.gym.named_modules import import_named

Env = gymnasium.Env[Any, Any]
FORM = "MODULE:CLASS or MODULE:CLASS,KEY=VALUE,..."
# Wrappers that leave observations, actions and rewards unchanged.
TRANSPARENT = (
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.RenderCollection,
    wrappers.HumanRendering,
)
TRANSPARENT_PACKAGES = ("nondiff", "minari")  # so are their wrappers, except of these kinds:
CHANGING = (gymnasium.ActionWrapper, gymnasium.ObservationWrapper, gymnasium.RewardWrapper)


def parsed(text: str) -> Any:
    """Parse a value given as text: as JSON if possible, otherwise the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def wrapped(env: Env, name: str, folder: str | None = None) -> Env:
    """Wrap an environment in a named wrapper.

    Args:
        env: the environment.
        name: MODULE:CLASS, with the wrapper's arguments as ",KEY=VALUE"; a value is parsed as JSON
            if possible, otherwise it is text.
        folder: see `import_named`.

    Raises:
        InvalidOptionError: there is no such wrapper, or it rejects its arguments or the
            environment.
        MissingDependencyError: a dependency of the wrapper is not installed.
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
        raise InvalidOptionError(f"the wrapper {name} gave {made!r}, not an environment")
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
    """The name of a wrapper that changes an environment's behaviour; None: there is none.

    Args:
        env: the environment.
        steps: the maximum length of its episodes; a time limit of at least that changes nothing.
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
