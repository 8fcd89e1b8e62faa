"""Demonstrations to learn from, read of a Minari dataset; the only module that imports Minari."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.agents.demonstrations.files import (
    METADATA,
    VALUES,
    check_values,
    data_folder,
    read_metadata,
)
from nondiff.errors import InvalidOptionError, MissingDependencyError, NonFiniteError
from nondiff.files.safe_path import SafePath
from nondiff.requirements import missing

DATA = "data"  # the folder in a dataset's that Minari reads
PIECE = 2**20  # [bytes]
Observations = Any  # an array with a row a step, or a dictionary of them


@dataclass(frozen=True)
class Demonstrations:
    """The steps of all episodes of a dataset, one after another.

    Args:
        observations: before each step, (n, shape), or a dictionary of them.
        next_observations: after each step, alike.
        actions: (n, shape).
        rewards: (n,).
        terminated: (n,), whether the task ended with the step.
        last: (n,), whether the step is its episode's last.
    """

    observations: Observations
    next_observations: Observations
    actions: NDArray[Any]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    last: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rewards)


def load_minari() -> tuple[Any, Any, str]:
    """Minari's storage, its episodes, and its version.

    Raises:
        MissingDependencyError: it, or the library for its files, is not installed.
    """
    try:
        import h5py  # noqa: F401
        import minari
        from minari.data_collector import EpisodeBuffer
        from minari.dataset.minari_storage import MinariStorage
    except ImportError as error:
        raise missing("minari") from error
    return MinariStorage, EpisodeBuffer, minari.__version__


def checksum(path: str | Path) -> str:
    """SHA-256 of the files that are read of a dataset, and their names.

    Raises:
        InvalidOptionError: there is none, or it can't be read.
    """
    folder = _data_folder(Path(path))
    total = hashlib.sha256()
    with _readable(folder):
        for name in (VALUES, METADATA):
            with (folder / name).open_to_read() as file:
                total.update(f"{_sha256(file)}  {name}\n".encode())
    return total.hexdigest()


def _sha256(file: BinaryIO) -> str:
    total = hashlib.sha256()
    while piece := file.read(PIECE):
        total.update(piece)
    return total.hexdigest()


def read_demonstrations(path: str | Path, env: gymnasium.Env[Any, Any]) -> Demonstrations:
    """The demonstrations of a dataset of this environment.

    Args:
        path: the folder that `nondiff demonstrate` wrote, or any that Minari reads.
        env: what will be trained on.

    Raises:
        InvalidOptionError: there is no dataset, it is damaged or empty, or it is of another
            environment, or of other observations or actions.
        NonFiniteError: a value is NaN or infinite.
        MissingDependencyError: Minari is not installed.
    """
    folder = _data_folder(Path(path))
    storage = _opened(folder, env)
    with _readable(folder):
        numbers = range(storage.total_episodes)
        episodes = [_steps(episode, env) for episode in storage.get_episodes(numbers)]
    for number, episode in enumerate(episodes):
        _check_values(f"{folder}: episode {number}", episode, env)
    episodes = [episode for episode in episodes if len(episode)]
    if not episodes:
        raise InvalidOptionError(f"{folder} is empty: it holds no step of an episode")
    names = Demonstrations.__dataclass_fields__
    return Demonstrations(**{n: _joined([getattr(e, n) for e in episodes]) for n in names})


def _opened(folder: SafePath, env: gymnasium.Env[Any, Any]) -> Any:
    """Minari's storage of a dataset of this environment."""
    storage_class, _, _ = load_minari()
    with _readable(folder):
        metadata = read_metadata(folder)
        check_values(folder)
        # Minari would make the environment to learn them, and run whatever code it names.
        described = {"observation_space", "action_space"} <= set(metadata)
        storage = storage_class.read(folder.path) if described else None
    if storage is None:
        raise InvalidOptionError(f"{folder}: its {METADATA} does not say which spaces it is of")
    _check_env(folder, metadata.get("env_spec"), env)
    for what in ("observation_space", "action_space"):
        theirs, ours = getattr(storage, what), getattr(env, what)
        if theirs != ours:
            raise InvalidOptionError(
                f"{folder} has the {what} {theirs}, and the environment {ours}"
            )
    return storage


def _data_folder(path: Path) -> SafePath:
    with suppress(OSError, ValueError):  # of a path that can't be one
        if (folder := data_folder(path, DATA)) is not None:
            return folder
    there = "is not a Minari dataset" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
    raise InvalidOptionError(
        f"demonstrations {str(path)!r}: the folder {str(path.absolute())!r} {there}; "
        "`nondiff demonstrate --out` writes one"
    )


@contextmanager
def _readable(folder: SafePath) -> Iterator[None]:
    """Whatever goes wrong within is the fault of the dataset's files."""
    try:
        yield
    except ImportError as error:  # its files are in a format that needs more
        raise MissingDependencyError(f"{folder} can't be read: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InvalidOptionError(
            f"{folder} can't be read as a Minari dataset: {type(error).__name__}: {reason}"
        ) from error


def _check_env(folder: SafePath, spec_json: str | None, env: gymnasium.Env[Any, Any]) -> None:
    """Refuse what was played elsewhere; a dataset need not say where it was played."""
    if spec_json is None or env.spec is None:
        return
    with _readable(folder):
        spec = json.loads(spec_json)
        theirs = (spec["id"], _arguments(spec["kwargs"]))
    ours = (env.spec.id, _arguments(env.spec.kwargs))
    if theirs != ours:
        described = [f"{name} with arguments {arguments}" for name, arguments in (theirs, ours)]
        raise InvalidOptionError(
            f"{folder} is of {described[0]}, and training is on {described[1]}"
        )


def _arguments(keywords: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in keywords.items() if key != "render_mode"}
    return dict(json.loads(json.dumps(kept, default=str)))


def _steps(episode: dict[str, Any], env: gymnasium.Env[Any, Any]) -> Demonstrations:
    space, count = env.observation_space, len(episode["rewards"])
    observations, actions = episode["observations"], episode["actions"]
    if isinstance(space, spaces.Dict):
        observations = {key: observations[key] for key in space}
        for key, values in observations.items():
            _check_shape(key, values, count + 1, space[key])
    else:
        _check_shape("observations", observations, count + 1, space)
    _check_shape("actions", actions, count, env.action_space)
    terminated = np.asarray(episode["terminations"], bool)
    if len(terminated) != count:
        raise ValueError(f"terminations of {len(terminated)} steps, rewards of {count}")
    return Demonstrations(
        rows_of(observations, slice(None, -1)),
        rows_of(observations, slice(1, None)),
        np.asarray(actions),
        np.asarray(episode["rewards"], float),
        terminated,
        np.arange(count) == count - 1,
    )


def _check_shape(name: str, values: Any, count: int, space: spaces.Space[Any]) -> None:
    expected = (count, *(space.shape or ()))
    if np.shape(values) != expected:
        raise ValueError(f"{name} of shape {np.shape(values)} instead of {expected}")


def rows_of(values: Observations, rows: slice | NDArray[np.int64]) -> Observations:
    """Some rows of observations."""
    if isinstance(values, dict):
        return {key: value[rows] for key, value in values.items()}
    return values[rows]


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)


def _check_values(name: str, episode: Demonstrations, env: gymnasium.Env[Any, Any]) -> None:
    observations = [episode.observations, episode.next_observations]
    named = [("reward", episode.rewards), ("action", episode.actions)]
    for values in observations:
        parts = values if isinstance(values, dict) else {"": values}
        named += [(f"observation {key!r}" if key else "observation", v) for key, v in parts.items()]
    for what, array in named:
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            raise NonFiniteError(
                f"{name} has the {what} {array[tuple(bad[0])]} at step {bad[0][0]}"
            )
    outside = [action for action in episode.actions if not _is_inside(action, env.action_space)]
    if outside:
        raise InvalidOptionError(f"{name} has the action {outside[0]}, not in {env.action_space}")


def _is_inside(action: NDArray[Any], space: spaces.Space[Any]) -> bool:
    if isinstance(space, spaces.Box):  # of whatever precision
        return bool(((action >= space.low) & (action <= space.high)).all())
    return action in space
