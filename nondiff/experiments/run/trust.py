"""What of a stranger's run is used: what is known to be data. See docs/trust.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nondiff.env_recipe import EnvRecipe
from nondiff.envs import ENVIRONMENTS
from nondiff.errors import UntrustedError
from nondiff.experiments.terminal.shell_commands import shell_line

FILES = ("demonstrations",)  # hyperparameters that name some
GYMNASIUMS = "gymnasium.envs."  # begins the entry points of its own environments
# Arguments of nondiff's environments that are numbers, words and objects of them, within limits.
# Any other may open windows, start so many processes, or be of another environment.
DATA = frozenset(
    {
        *("reward_type", "control_type", "horizon", "physics", "camera", "randomization"),
        *("relative", "goal_relative", "pool", "layers"),
        *("frame_skip", "frame_stack", "engine_timeout"),
    }
)


def check_recipe(folder: Path, recipe: EnvRecipe) -> None:
    """Refuse a stranger's environment that may be more than data.

    Raises:
        UntrustedError: it names a module, or gives arguments, that may run any code.
        UnknownNameError: there is no such environment.
    """
    if is_data(recipe):
        return
    arguments = f" with the arguments {dict(recipe.arguments)}" if recipe.arguments else ""
    if recipe.wrappers:
        arguments += f" in the wrappers {', '.join(recipe.wrappers)}"
    raise UntrustedError(
        f"{folder} is not known to be a run of yours, and the environment that it names, "
        f"{recipe.id!r}{arguments}, may run any code: if you trust whoever made it, add --trust"
    )


def check_files(folder: Path, hyperparameters: Mapping[str, Any]) -> None:
    """Refuse a stranger's hyperparameters that name files.

    Raises:
        UntrustedError: they do.
    """
    for name in FILES:
        if hyperparameters.get(name) is not None:
            raise UntrustedError(
                f"{folder} is not known to be a run of yours, and its {name} are files that it "
                f"names, {hyperparameters[name]!r}: if you trust whoever made it, add --trust"
            )


def is_data(recipe: EnvRecipe) -> bool:
    """Whether making an environment imports and starts only what nondiff and Gymnasium choose."""
    if ":" in recipe.id or recipe.wrappers:
        return False
    entry_point = recipe.spec().entry_point
    if recipe.id in ENVIRONMENTS and entry_point == ENVIRONMENTS[recipe.id][0]:
        return set(recipe.arguments) <= DATA
    own = isinstance(entry_point, str) and entry_point.startswith(GYMNASIUMS)
    return own and not recipe.arguments


def options_for(recipe: EnvRecipe) -> str:
    """The options of a command that name an environment, to be typed into a shell."""
    parts = ["--env", recipe.id]
    for name, value in recipe.arguments.items():
        parts += ["--env-arg", f"{name}={json.dumps(value)}"]
    for name in recipe.wrappers:
        parts += ["--wrapper", name]
    if recipe.max_episode_steps is not None:
        parts += ["--max-episode-steps", str(recipe.max_episode_steps)]
    return shell_line(*parts)
