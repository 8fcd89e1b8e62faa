"""Statistics of VecNormalize are read as they were saved; nothing in their pickle is executed."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from sb3_zips import REACH, Intruder, one
from stable_baselines3.common.vec_env import VecNormalize

from nondiff.agents.sb3.exchange import inert_pickle
from nondiff.agents.sb3.exchange.importing import UNREADABLE
from nondiff.agents.sb3.exchange.inert_pickle import Described, Name, describe
from nondiff.agents.sb3.exchange.statistics import read_normalizer
from nondiff.agents.sb3.policy import Normalizer
from nondiff.errors import DamagedModelError


@pytest.fixture
def env() -> Iterator[VecNormalize]:
    """Statistics of Pendulum's observations."""
    with closing(VecNormalize(one("Pendulum-v1"), clip_obs=3)) as env:
        env.obs_rms.update(np.random.default_rng(0).normal(size=(9, 3)))
        yield env


def check_same(found: Normalizer | None, env: VecNormalize) -> None:
    expected = Normalizer.of(env)
    assert found is not None
    assert (found.clip, found.epsilon) == (expected.clip, expected.epsilon)
    for ours, theirs in ((found.mean, expected.mean), (found.variance, expected.variance)):
        assert list(ours) == list(theirs)
        for key, array in ours.items():
            assert (array.dtype, array.shape) == (theirs[key].dtype, theirs[key].shape)
            assert array.tobytes() == theirs[key].tobytes()


def saved(env: Any, folder: Path, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    path = folder / "statistics.pkl"
    path.write_bytes(pickle.dumps(env, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_numbers_are_those_that_were_saved(
    protocol: int, env: VecNormalize, tmp_path: Path
) -> None:
    check_same(read_normalizer(saved(env, tmp_path, protocol)), env)
    env.norm_obs = False
    assert read_normalizer(saved(env, tmp_path, protocol)) is None


def test_every_key_of_a_dict_is_read(tmp_path: Path) -> None:
    with closing(VecNormalize(one(REACH))) as env:
        check_same(read_normalizer(saved(env, tmp_path)), env)


@pytest.mark.parametrize("dtype", [">f8", "<f4", "f8"])
def test_arrays_of_every_layout_are_read(dtype: str, env: VecNormalize, tmp_path: Path) -> None:
    env.obs_rms.mean = np.asfortranarray(np.arange(6, dtype=dtype).reshape(2, 3))
    env.clip_obs = np.float32(2.5)  # type: ignore[assignment]
    found = read_normalizer(saved(env, tmp_path))
    assert found is not None
    assert found.clip == 2.5
    (mean,) = found.mean.values()
    assert mean.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert mean.dtype == np.dtype(dtype).newbyteorder("=")


class Mine(VecNormalize):
    """Normalises in any way."""


def test_a_class_derived_from_it_is_refused(tmp_path: Path) -> None:
    with closing(Mine(one("Pendulum-v1"))) as env:
        path = saved(env, tmp_path)
    with pytest.raises(DamagedModelError, match=r"no VecNormalize of .*but .*Mine; docs/runs\.md"):
        read_normalizer(path)


def test_the_script_in_the_docs_writes_one_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "runs.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    with closing(Mine(one("Pendulum-v1"), clip_obs=3)) as env:
        env.obs_rms.update(np.random.default_rng(0).normal(size=(9, 3)))
        env.save("mine.pkl")
        exec(script, {})
        check_same(read_normalizer(Path("plain.pkl")), env)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_statistics_that_are_no_numbers_are_refused(
    value: float, env: VecNormalize, tmp_path: Path
) -> None:
    env.obs_rms.var[1] = value
    with pytest.raises(DamagedModelError, match="NaN or infinite"):
        read_normalizer(saved(env, tmp_path))
    for mean in (["x"], Intruder(tmp_path / "executed"), np.array([object()]), np.array(["x"])):
        env.obs_rms.mean = mean
        with pytest.raises(DamagedModelError, match="its statistics are"):
            read_normalizer(saved(env, tmp_path))
    assert not (tmp_path / "executed").exists()


@pytest.mark.thorough
def test_every_flipped_bit_and_truncation_is_refused_or_harmless(
    env: VecNormalize, tmp_path: Path
) -> None:
    path = saved(env, tmp_path)
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        for damaged in (
            whole[:position],
            whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :],
        ):
            path.write_bytes(damaged)
            try:
                read_normalizer(path)
            except UNREADABLE:
                refused += 1
    assert refused > len(whole)  # every truncation, and some of the rest


def test_what_a_pickle_would_make_is_described(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    made = describe(pickle.dumps(Intruder(mark)))
    assert isinstance(made, Described)
    assert made.maker == Name("pathlib", "Path.touch")
    assert not mark.exists()
    plain = {"a": [1, 2.5, True, None, b"b"], "c": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))}
    for protocol in (3, 4, 5):
        assert describe(pickle.dumps(plain, protocol)) == plain


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "exhausted"),
        (b"abc", "APPEND|BINPUT|unknown|empty|opcode"),
        (b"\x80\x04Pid\n.", "the opcode PERSID"),
        (b"\x80\x04\x82\x01.", "the opcode EXT1"),
        (b"\x80\x04K\x01\x85\x87.", "takes more than it has"),
        (b"\x80\x04K\x01K\x02\x93.", "names something by other than text"),
        (b"\x80\x04" + b"N" * 200 + b".", "more than 100 opcodes"),
    ],
)
def test_odd_pickles_are_refused(
    content: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inert_pickle, "MAX_OPCODES", 100)
    with pytest.raises(UNREADABLE, match=words):
        describe(content)
