"""A model that was altered in any way is refused, and nothing in it is executed."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load, save
from watcher import trained

from nondiff.agents import find_strategy
from nondiff.agents.policies.model import MODEL, load_policy, save_policy
from nondiff.agents.policies.spaces import from_json, to_json
from nondiff.agents.policies.storage import MANIFEST
from nondiff.errors import DamagedModelError

DESCRIPTION, TENSORS = MODEL.values, MODEL.tensors
FILES = (DESCRIPTION, TENSORS, MANIFEST)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, whose observations are normalised."""
    strategy = find_strategy("a2c")(net_arch=(4,), normalize_observation=True)  # type: ignore[call-arg]
    folder = tmp_path_factory.mktemp("models") / "original"
    save_policy(trained(strategy, "Pendulum-v1", 10), folder)
    return folder


@pytest.fixture
def model(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "model"))


def sign(folder: Path) -> None:
    """Make the manifest match, as a forger would."""
    contents = {name: (folder / name).read_bytes() for name in (DESCRIPTION, TENSORS)}
    (folder / MANIFEST).write_bytes(MODEL.manifest(contents))


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_byte_is_refused(name: str, model: Path) -> None:
    load_policy(model)
    path = model / name
    data = path.read_bytes()
    for position in range(len(data)):
        flipped = data[position] ^ (1 << position % 8)
        path.write_bytes(data[:position] + bytes([flipped]) + data[position + 1 :])
        with pytest.raises(DamagedModelError, match="damaged or was altered"):
            load_policy(model)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_truncated_or_longer_file_is_refused(name: str, model: Path) -> None:
    data = (model / name).read_bytes()
    for altered in (b"", data[:-1], data[: len(data) // 2], data + b"\n"):
        (model / name).write_bytes(altered)
        with pytest.raises(DamagedModelError, match="damaged or was altered"):
            load_policy(model)
    (model / name).unlink()
    with pytest.raises(DamagedModelError, match=name):
        load_policy(model)
    (model / name).mkdir()
    with pytest.raises(DamagedModelError, match=name):
        load_policy(model)


def test_a_folder_that_is_not_there_or_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("absent", "file"):
        with pytest.raises(DamagedModelError, match=name):
            load_policy(tmp_path / name)


class Intruder:
    """Unpickled, it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def as_pickle(mark: Path) -> bytes:
    return pickle.dumps(Intruder(mark))


def as_torch_archive(mark: Path) -> bytes:
    file = io.BytesIO()
    torch.save(Intruder(mark), file)
    return file.getvalue()


def as_zip(mark: Path) -> bytes:
    """The form of a model of Stable-Baselines3."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data", as_pickle(mark))
        archive.writestr("policy.pth", as_torch_archive(mark))
    return file.getvalue()


@pytest.mark.parametrize("form", [as_pickle, as_torch_archive, as_zip])
@pytest.mark.parametrize(
    ("name", "signed"),
    [
        (DESCRIPTION, False),
        (TENSORS, False),
        (MANIFEST, False),
        (DESCRIPTION, True),
        (TENSORS, True),
    ],
)
def test_nothing_in_a_foreign_file_is_executed(
    form: Callable[[Path], bytes], name: str, signed: bool, model: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    pickle.loads(as_pickle(mark))
    assert mark.exists()  # the intruder works where it is let in
    mark.unlink()
    (model / name).write_bytes(form(mark))
    if signed:
        sign(model)
    with pytest.raises(DamagedModelError):
        load_policy(model)
    assert not mark.exists()


def edit_description(folder: Path, **changes: Any) -> None:
    description = json.loads((folder / DESCRIPTION).read_bytes())
    (folder / DESCRIPTION).write_text(json.dumps(description | changes))


def drop_a_tensor(folder: Path) -> None:
    tensors = load((folder / TENSORS).read_bytes())
    (folder / TENSORS).write_bytes(save(dict(list(tensors.items())[1:])))


def cut_tensors(folder: Path, prefix: str) -> None:
    tensors = load((folder / TENSORS).read_bytes())
    shortened = {
        name: tensor[:1].clone() if name.startswith(prefix) else tensor
        for name, tensor in tensors.items()
    }
    (folder / TENSORS).write_bytes(save(shortened))


BOX = {"kind": "Box", "shape": [3], "dtype": "float32", "low": -1.0, "high": 1.0}
FORGERIES: dict[str, Callable[[Path], Any]] = {
    "text": lambda folder: (folder / DESCRIPTION).write_bytes(b"\xff\xfe not JSON"),
    "deep JSON": lambda folder: (folder / DESCRIPTION).write_bytes(b"[" * 100_000),
    "list": lambda folder: (folder / DESCRIPTION).write_bytes(b"[]"),
    "no tensors": lambda folder: (folder / TENSORS).write_bytes(b"\0" * 100),
    "missing tensor": drop_a_tensor,
    "cut weights": lambda folder: cut_tensors(folder, "policy."),
    "cut statistics": lambda folder: cut_tensors(folder, "normalizer."),
    "unknown kind": lambda folder: edit_description(folder, kind="os:system"),
    "unhashable kind": lambda folder: edit_description(folder, kind=[]),
    "unknown strategy": lambda folder: edit_description(folder, strategy="os"),
    "unknown argument": lambda folder: edit_description(folder, arguments={"features": "x"}),
    "unknown space": lambda folder: edit_description(folder, action_space={"kind": "Text"}),
    "bad dtype": lambda folder: edit_description(folder, action_space=BOX | {"dtype": "object"}),
    "bad bounds": lambda folder: edit_description(
        folder, observation_space=BOX | {"dtype": "uint8", "low": -1, "high": 300}
    ),
    "another space": lambda folder: edit_description(
        folder, observation_space=BOX | {"shape": [9]}
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_with_a_matching_manifest_is_refused(forgery: str, model: Path) -> None:
    FORGERIES[forgery](model)
    sign(model)
    with pytest.raises(DamagedModelError, match="model"):
        load_policy(model)


def test_saving_never_replaces_a_folder(original: Path, model: Path) -> None:
    before = (model / TENSORS).read_bytes()
    with pytest.raises(OSError, match="model"):
        save_policy(load_policy(original), model)
    assert (model / TENSORS).read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]


SPACES = {
    "infinite": spaces.Box(-np.inf, np.inf, (3,)),
    "half infinite": spaces.Box(
        np.array([-np.inf, 0]), np.array([1 / 3, np.inf]), (2,), np.float64
    ),
    "scalar": spaces.Box(-1, 1, ()),
    "image": spaces.Box(0, 255, (4, 5, 3), np.uint8),
    "whole numbers": spaces.Box(-(2**62), 2**62 + 1, (2,), np.int64),
    "discrete": spaces.Discrete(5, start=-2),
    "multi-discrete": spaces.MultiDiscrete([2, 3, 4]),
    "multi-discrete from": spaces.MultiDiscrete([2, 3], start=[1, -1]),
    "multi-binary": spaces.MultiBinary(4),
    "multi-binary table": spaces.MultiBinary([2, 3]),
    "dict": spaces.Dict([("z", spaces.Discrete(2)), ("a", spaces.Box(0, 1, (2,)))]),
}


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_bounds_beyond_their_type_are_refused(dtype: str) -> None:
    data = to_json(spaces.Box(0, 1, (2,), np.dtype(dtype).type)) | {"high": 10**60}
    with pytest.raises(ValueError, match=f"a bound is no {dtype}"):
        from_json(data)


@pytest.mark.parametrize("name", SPACES)
def test_spaces_survive_json(name: str) -> None:
    space = SPACES[name]
    back = from_json(json.loads(json.dumps(to_json(space))))
    assert back == space
    assert str(back) == str(space)  # which shows a Dict's order
    assert back.dtype == space.dtype


def test_a_space_without_json_form_is_refused() -> None:
    with pytest.raises(ValueError, match="Text"):
        to_json(spaces.Text(5))
