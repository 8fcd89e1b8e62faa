"""A dataset's files refer to nothing outside themselves, or are refused before a value is read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from canary import ATTACKS, make_home, unharmed

from nondiff.agents.demonstrations.dataset import checksum, read_demonstrations
from nondiff.errors import InvalidOptionError
from nondiff.experiments.evaluation.episodes import RandomPolicy, play
from nondiff.experiments.evaluation.recording import Recorder, write_dataset

h5py = pytest.importorskip("h5py")
pytest.importorskip("minari")

ENV = "small_envs:GoTo-v0"
VALUES, METADATA = "main_data.hdf5", "metadata.json"
REWARDS = "episode_0/rewards"


@pytest.fixture(scope="module")
def env() -> Iterator[gymnasium.Env[Any, Any]]:
    made = gymnasium.make(ENV)
    yield made
    made.close()


@pytest.fixture(scope="module")
def written(env: gymnasium.Env[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "dataset"
    recorder = Recorder(env)

    def episodes() -> Iterator[dict[str, Any]]:
        for seed in range(3):
            play(recorder, RandomPolicy(env.action_space), [seed])
            yield recorder.episode()

    write_dataset(folder, env, episodes(), {"dataset_id": "small/goto-v0"})
    return folder


@pytest.fixture
def place(written: Path, tmp_path: Path) -> Path:
    """A dataset, and beside it the user's files, one of which holds numbers in HDF5."""
    make_home(tmp_path / "home")
    (tmp_path / "home" / "secret.raw").write_bytes(np.zeros(1).tobytes())
    with h5py.File(tmp_path / "home" / "secret.hdf5", "w") as file:
        file["rewards"] = np.zeros(1)
    shutil.copytree(written, tmp_path / "dataset")
    return tmp_path


def external_storage(file: Any, home: Path) -> None:
    del file[REWARDS]
    stored = [(str(home / "secret.raw"), 0, 8)]
    file.create_dataset(REWARDS, (1,), "f8", external=stored)


def external_link(file: Any, home: Path) -> None:
    del file[REWARDS]
    file[REWARDS] = h5py.ExternalLink(str(home / "secret.hdf5"), "/rewards")


def soft_link(file: Any, home: Path) -> None:
    del file[REWARDS]
    file[REWARDS] = h5py.SoftLink("/episode_1/rewards")


def external_episode(file: Any, home: Path) -> None:
    del file["episode_0"]
    file["episode_0"] = h5py.ExternalLink(str(home / "secret.hdf5"), "/")


def virtual(file: Any, home: Path) -> None:
    del file[REWARDS]
    layout = h5py.VirtualLayout((1,), "f8")
    layout[:] = h5py.VirtualSource(str(home / "secret.hdf5"), "rewards", (1,))
    file.create_virtual_dataset(REWARDS, layout)


def twice(file: Any, home: Path) -> None:
    del file[REWARDS]
    file[REWARDS] = file["episode_1/rewards"]


def circle(file: Any, home: Path) -> None:
    file["episode_0/infos/again"] = file["episode_0"]


def references(file: Any, home: Path) -> None:
    file.create_dataset("episode_0/infos/reference", (1,), h5py.ref_dtype)


def regions(file: Any, home: Path) -> None:
    file.create_dataset("episode_0/infos/reference", (1,), h5py.regionref_dtype)


def listed_references(file: Any, home: Path) -> None:
    file.create_dataset("episode_0/infos/lists", (1,), h5py.vlen_dtype(h5py.ref_dtype))


def records(file: Any, home: Path) -> None:
    file.create_dataset("episode_0/infos/records", (1,), np.dtype([("a", "f8")]))


def named_type(file: Any, home: Path) -> None:
    file["episode_0/infos/type"] = np.dtype("f8")


def bomb(file: Any, home: Path) -> None:
    file.create_dataset("episode_0/infos/much", (2**40,), "f8", chunks=(1024,))


def plugin(file: Any, home: Path) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((1,))
    creation.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL)  # Zstandard, which is a plugin
    space = h5py.h5s.create_simple((1,))
    infos = file["episode_0"].require_group("infos")
    h5py.h5d.create(infos.id, b"packed", h5py.h5t.NATIVE_DOUBLE, space, creation)


REFUSED: dict[str, tuple[Callable[[Any, Path], None], str]] = {
    "external storage": (external_storage, "lies in another file"),
    "an external link": (external_link, "is a link to elsewhere"),
    "a soft link": (soft_link, "is a link to elsewhere"),
    "an external episode": (external_episode, "is a link to elsewhere"),
    "a virtual dataset": (virtual, "is made of other datasets"),
    "an array twice": (twice, "is in it twice"),
    "a group in itself": (circle, "is in it twice"),
    "references": (references, "not numbers or text"),
    "references to regions": (regions, "not numbers or text"),
    "lists of references": (listed_references, "not numbers or text"),
    "records": (records, "not numbers or text"),
    "a named type": (named_type, "neither a group nor a dataset"),
    "an array that is not stored": (bomb, "that say they have"),
    "a filter": (plugin, "filter 32015, which is a plugin"),
}


def test_a_dataset_is_read(place: Path, env: gymnasium.Env[Any, Any]) -> None:
    assert len(read_demonstrations(place / "dataset", env)) == 3


@pytest.mark.parametrize("name", REFUSED)
def test_values_of_other_files_are_refused(
    name: str, place: Path, env: gymnasium.Env[Any, Any]
) -> None:
    change, says = REFUSED[name]
    with h5py.File(place / "dataset" / "data" / VALUES, "a") as file:
        change(file, place / "home")
    with unharmed(place), pytest.raises(InvalidOptionError, match=says):
        read_demonstrations(place / "dataset", env)


@pytest.mark.parametrize("where", ["data", f"data/{VALUES}", f"data/{METADATA}"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_no_file_is_refused(
    attack: str, where: str, place: Path, env: gymnasium.Env[Any, Any]
) -> None:
    ATTACKS[attack](place / "dataset" / where, place / "home")
    for read in (lambda path: read_demonstrations(path, env), checksum):
        if read is checksum and ATTACKS[attack].is_plain:
            continue  # whatever a plain file holds has a checksum
        with unharmed(place / "home"), pytest.raises(InvalidOptionError):
            read(place / "dataset")


def test_the_user_may_name_a_link_to_a_dataset(place: Path, env: gymnasium.Env[Any, Any]) -> None:
    (place / "link").symlink_to("dataset")
    assert len(read_demonstrations(place / "link", env)) == 3


SPACES = {
    "a huge space": {"type": "Box", "dtype": "float32", "shape": [10**12], "low": 0, "high": 1},
    "many bits": {"type": "MultiBinary", "n": 10**12},
    "a deep space": None,
}


@pytest.mark.parametrize("name", SPACES)
def test_spaces_that_can_not_be_made_are_refused(
    name: str, place: Path, env: gymnasium.Env[Any, Any]
) -> None:
    path = place / "dataset" / "data" / METADATA
    space = json.dumps(SPACES[name]) if SPACES[name] else "[" * 5000 + "]" * 5000
    text = json.dumps(json.loads(path.read_text()) | {"observation_space": space})
    path.write_text(text)
    with pytest.raises(InvalidOptionError, match=r"space|nested"):
        read_demonstrations(place / "dataset", env)


@pytest.mark.parametrize("changed", [VALUES, METADATA])
def test_the_checksum_covers_what_is_read(changed: str, place: Path) -> None:
    before = checksum(place / "dataset")
    (place / "dataset" / "data" / "notes").write_text("not read")
    assert checksum(place / "dataset") == before
    with (place / "dataset" / "data" / changed).open("ab") as file:
        file.write(b" ")
        os.fsync(file.fileno())
    assert checksum(place / "dataset") != before
