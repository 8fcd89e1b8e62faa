"""A checkpoint that is whole but of another run, or made by an enemy, does no harm."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import FEW_EPISODES, Command
from processes import PENDULUM, final, train_here, trained_once, unfinished
from thorough_cases import diagonal, thin

from nondiff.agents.policies.storage import MANIFEST
from nondiff.experiments.run.checkpoints import CHECKPOINT
from nondiff.experiments.run.folder import Run

A2C = (
    *("--env", "Pendulum-v1", "--strategy", "a2c", "--n-steps", 20, "--net-arch", 8),
    *FEW_EPISODES,
)
FOREIGN: dict[str, tuple[object, ...]] = {
    "another strategy": (*A2C, "--checkpoint-every", 40),
    "another environment": (*PENDULUM, "--env", "MountainCarContinuous-v0"),
    "another network": (*PENDULUM, "--net-arch", 9),
    "another seed": (*PENDULUM, "--seed", 8),
    "another learning rate": (*PENDULUM, "--learning-rate", 1e-4),
}


def trained(root: Path, name: str, *options: object) -> Path:
    arguments = (*options, "--budget", 120, "--runs", root, "--name", name)
    assert train_here(*arguments) == 0
    return root / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return unfinished(tmp_path)


def newest(folder: Path) -> Path:
    return max(folder.glob("checkpoints/step-*"))


def replace(checkpoint: Path, **files: bytes) -> None:
    """Replace files of a checkpoint, with the manifest that makes it whole."""
    layout = {"values": CHECKPOINT.values, "tensors": CHECKPOINT.tensors}
    contents = {
        name: files.get(key, (checkpoint / name).read_bytes()) for key, name in layout.items()
    }
    for name, data in contents.items():
        (checkpoint / name).write_bytes(data)
    (checkpoint / MANIFEST).write_bytes(CHECKPOINT.manifest(contents))


def check_whole(folder: Path) -> None:
    assert final(folder).items() <= trained_once(*PENDULUM).items()


# Of another run


@pytest.mark.thorough
@pytest.mark.parametrize("case", thin(FOREIGN, ["another strategy"]))
def test_a_checkpoint_of_another_run_is_refused(
    case: str, folder: Path, tmp_path: Path, command: Command
) -> None:
    foreign = newest(trained(tmp_path, "other", *FOREIGN[case]))
    shutil.rmtree(newest(folder))
    shutil.copytree(foreign, folder / "checkpoints" / foreign.name)
    models = {path: path.read_bytes() for path in folder.glob("models/*/*")}
    answer = command("train", "--resume", folder, "--budget", 200)
    assert answer.code == 2, "the checkpoint was taken for one of this run"
    (error,) = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert answer.err.splitlines()[-1] == error
    assert "checkpoint" in error
    assert {path: path.read_bytes() for path in folder.glob("models/*/*")} == models
    assert len(list(folder.glob("checkpoints/step-*"))) == 3
    shutil.rmtree(newest(folder))
    assert command("train", "--resume", folder, "--budget", 200).code == 0
    check_whole(folder)


# Of an enemy


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._place),)


def weapons(place: Path) -> Iterator[bytes]:
    """A pickle, a file of torch in both formats, and a zip that has one."""
    yield pickle.dumps(Bomb(place))
    for new in (True, False):
        file = BytesIO()
        torch.save({"policy.weight": Bomb(place)}, file, _use_new_zipfile_serialization=new)
        yield file.getvalue()
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb(place)))
        archive.writestr(f"../{place.name}", "escaped")
    yield file.getvalue()


@pytest.mark.thorough
@pytest.mark.parametrize(("part", "weapon"), diagonal(["values", "tensors"], range(4)))
def test_nothing_in_a_checkpoint_is_executed(
    part: str, weapon: int, folder: Path, tmp_path: Path, command: Command
) -> None:
    place = tmp_path / "bombed"
    data = list(weapons(place))[weapon]
    if weapon == 0:
        pickle.loads(data)
        place.rmdir()  # it works
    replace(newest(folder), **{part: data})
    answer = command("train", "--resume", folder, "--budget", 200)
    assert answer.code == 0, answer.err
    assert len([line for line in answer.err.splitlines() if newest(folder).name in line]) <= 1
    assert "is not a checkpoint of ours" in answer.err
    assert list(tmp_path.rglob("bombed")) == []
    check_whole(folder)


ODD: list[Any] = [None, True, -1, 1e300, float("nan"), float("inf"), "", "x" * 9, [], [[1]], {}]


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something can be put in nested JSON."""
    if path:
        yield path
    if isinstance(values, dict | list):
        keys = values if isinstance(values, dict) else range(min(1, len(values)))
        for key in keys:
            yield from places(values[key], (*path, key))


def changed(values: Any, path: tuple[Any, ...], odd: Any) -> Any:
    copy = json.loads(json.dumps(values))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = odd
    return copy


def check_odd(folder: Path, values: Any, command: Command) -> None:
    """Assert that a checkpoint with these values ends in a line, if it does not do its work."""
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy)
    replace(newest(copy), values=json.dumps(values).encode())
    answer = command("train", "--resume", copy, "--budget", 140)
    shutil.rmtree(copy)
    assert answer.code in (0, 2)
    assert answer.code == 0 or answer.err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("name", "odd"),
    diagonal(
        ["steps", "segment", "counters", "episodes", "num_timesteps"], [float("inf"), "x", []]
    ),
)
def test_an_odd_value_never_ends_in_a_traceback(
    name: str, odd: Any, folder: Path, command: Command
) -> None:
    values = json.loads((newest(folder) / CHECKPOINT.values).read_text())
    path = next(path for path in places(values) if path[-1] == name)
    check_odd(folder, changed(values, path, odd), command)


@pytest.mark.slow
def test_no_odd_value_ends_in_a_traceback(folder: Path, command: Command) -> None:
    values = json.loads((newest(folder) / CHECKPOINT.values).read_text())
    for path in places(values):
        for odd in ODD:
            check_odd(folder, changed(values, path, odd), command)
    assert Run.open(folder).status() == "finished"
