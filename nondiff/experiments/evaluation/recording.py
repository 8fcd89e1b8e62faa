"""Episodes as they are played, kept as a Minari dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from numpy.typing import NDArray

from nondiff.agents.demonstrations.dataset import DATA, load_minari
from nondiff.agents.policies.storage import appearing
from nondiff.errors import NondiffError, RunError
from nondiff.files.safe_path import SafePath

AT_ONCE = 100  # episodes that wait in memory
PER_ARRAY = 4096  # [bytes] of HDF5's own for an array, at most
Values = dict[str, Any]  # arrays, or dictionaries of them, with a row a step


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Remembers the present episode as it is played."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._seed = seed
        self._observations, self._infos = [observation], [info]
        self._actions: list[Any] = []
        self._outcomes: list[tuple[float, bool, bool]] = []
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._observations.append(observation)
        self._infos.append(info)
        self._actions.append(np.array(action))
        self._outcomes.append((float(reward), terminated, truncated))
        return observation, reward, terminated, truncated, info

    def episode(self) -> Values:
        """All that was played since the last reset; observations and infos have a row more."""
        rewards, terminations, truncations = zip(*self._outcomes, strict=True)
        return {
            "seed": self._seed,
            "observations": _stacked(self._observations),
            "actions": _stacked(self._actions),
            "rewards": np.array(rewards),
            "terminations": np.array(terminations),
            "truncations": np.array(truncations),
            "infos": _stacked(self._infos),
        }


def _stacked(rows: list[Any]) -> Any:
    if isinstance(rows[0], dict):
        return {key: _stacked([row[key] for row in rows]) for key in rows[0]}
    return np.array(rows)


def write_dataset(
    folder: Path, env: gymnasium.Env[Any, Any], episodes: Iterable[Values], facts: Values
) -> None:
    """Write episodes as a Minari dataset into a new folder, atomically.

    `minari.MinariDataset(folder / "data")` reads it.

    Args:
        folder: must not exist.
        env: what the episodes were played in.
        episodes: see `Recorder.episode`.
        facts: what Minari is to note of the dataset: `dataset_id` and others.

    Raises:
        MissingDependencyError: Minari, or the library for its files, is not installed.
        RunError: the folder exists, or can't be written.
    """
    check_new(folder)
    storage_class, buffer_class, version = load_minari()
    with _appearing(folder) as temporary:
        storage = storage_class.new(
            (temporary / DATA).path,
            env.observation_space,
            env.action_space,
            env.spec,
            jpeg_encoding=False,  # which would change pictures
        )
        storage.update_metadata({**facts, "minari_version": version})
        for group in _groups(episodes, AT_ONCE):
            _check_room(temporary, group)
            storage.update_episodes([buffer_class(**episode) for episode in group])


def check_new(folder: Path) -> None:
    """Refuse a folder that exists."""
    if os.path.lexists(folder):
        raise RunError(f"{folder} exists already; name a new folder")


@contextmanager
def _appearing(folder: Path) -> Iterator[SafePath]:
    """A hidden folder that takes its name once what others wrote into it is on the disk."""
    try:
        # Minari joins relative paths twice.
        with appearing(SafePath(folder.parent.resolve()) / folder.name) as temporary:
            yield temporary
            data = temporary / DATA
            for name in data.names():
                with (data / name).open_to_read() as file:
                    os.fsync(file.fileno())
            data.sync()
            check_new(folder)
    except NondiffError:
        raise
    except (OSError, RuntimeError) as error:
        raise RunError(f"{folder} can't be written: {error}") from error


def _check_room(folder: SafePath, episodes: list[Values]) -> None:
    """Fail while it is safe to: HDF5 crashes the process if the disk gets full as it writes."""
    arrays = [array for episode in episodes for array in _arrays(episode)]
    size = sum(2 * array.nbytes + PER_ARRAY for array in arrays)
    path = folder / "room"
    with path.create() as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
    path.remove_file()


def _arrays(values: Values) -> Iterator[NDArray[Any]]:
    for value in values.values():
        if isinstance(value, dict):
            yield from _arrays(value)
        elif isinstance(value, np.ndarray):
            yield value


def _groups(episodes: Iterable[Values], size: int) -> Iterator[list[Values]]:
    group: list[Values] = []
    for episode in episodes:
        group.append(episode)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
