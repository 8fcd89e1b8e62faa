"""What is in a stranger's file is not executed, and what is no such file is refused in a line."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import Command
from sb3_contrib import ARS
from sb3_zips import (
    ALGORITHMS,
    HOME,
    Intruder,
    as_saved,
    edited,
    imported,
    learned,
    members,
    one,
    options_of,
    packed,
    spiked,
    with_tensors,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from nondiff.agents.policies.model import load_policy
from nondiff.agents.sb3.exchange import archive
from nondiff.agents.sb3.exchange import statistics as reading
from nondiff.agents.sb3.policy import ReinforcementPolicy
from nondiff.errors import DamagedModelError, UnknownNameError
from nondiff.experiments.commands.exchange import ImportOptions, import_run

FEW = ("--episodes", 2, "--random-episodes", 0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of Stable-Baselines3."""
    path = tmp_path_factory.mktemp("saved") / "model.zip"
    learned("a2c", "Pendulum-v1").save(path)
    return path


def doubled(saved: Path) -> bytes:
    file = io.BytesIO(saved.read_bytes())
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("data", b"{}")
    return file.getvalue()


def with_member(saved: Path, name: str) -> bytes:
    return packed(members(saved) | {name: b"x"})


def forged_size(saved: Path) -> bytes:
    """A zip whose headers declare that the weights are smaller than they are."""
    content = packed(members(saved), zipfile.ZIP_DEFLATED)
    for signature, offset, name_at in ((b"PK\3\4", 22, 30), (b"PK\1\2", 24, 46)):
        start = content.find(signature)
        while content[start + name_at :][:10] != b"policy.pth":
            start = content.index(signature, start + 1)
        size = struct.pack("<I", 1000)
        content = content[: start + offset] + size + content[start + offset + 4 :]
    return content


def weights(**changes: Tensor | None) -> Callable[[Path], bytes]:
    """The zip with other weights, the dots in their names as two underscores; None: without."""

    def change(tensors: dict[str, Tensor]) -> None:
        for name, tensor in changes.items():
            key = name.replace("__", ".")
            if tensor is None:
                del tensors[key]
            else:
                tensors[key] = tensor

    return lambda saved: with_tensors(saved, change)


def only(tensors: dict[str, Tensor]) -> Callable[[Path], bytes]:
    """The zip with these weights alone."""

    def change(found: dict[str, Tensor]) -> None:
        found.clear()
        found.update(tensors)

    return lambda saved: with_tensors(saved, change)


def compressed_weights(saved: Path) -> bytes:
    contents = members(saved)
    with zipfile.ZipFile(io.BytesIO(contents["policy.pth"])) as inner:
        files = {name: inner.read(name) for name in inner.namelist()}
    return packed(contents | {"policy.pth": packed(files, zipfile.ZIP_DEFLATED)})


def observing(space: gymnasium.Space[Any], **changes: Any) -> Callable[[Path], bytes]:
    """The zip with another observation space."""
    return lambda saved: edited(saved, observation_space=as_saved(space, **changes))


class Derived(ActorCriticPolicy):
    """A policy that may compute anything."""


class Adapted(ActorCriticPolicy):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)


BOX = gymnasium.spaces.Box(-1, 1, (3,))
NESTED = gymnasium.spaces.Dict({"a": gymnasium.spaces.Dict({"b": BOX})})
LARGE = torch.zeros(2**16)
BROKEN: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "empty": (lambda saved: b"", "not a zip"),
    "random": (lambda saved: np.random.default_rng(0).bytes(5000), "not a zip"),
    "truncated": (lambda saved: saved.read_bytes()[:-100], "no member named"),
    "half": (lambda saved: saved.read_bytes()[:3000], "not a zip"),
    "beheaded": (lambda saved: saved.read_bytes()[1000:], ""),
    "nothing in it": (lambda saved: packed({}), "no member 'data'"),
    "no weights": (lambda saved: packed({"data": b"{}"}), "no member 'policy.pth'"),
    "another's zip": (lambda saved: packed({"word/document.xml": b""}), "no member named 'word/"),
    "upwards": (lambda saved: with_member(saved, "../x.pth"), "no member named '../x.pth'"),
    "absolute": (lambda saved: with_member(saved, "/x.pth"), "no member named '/x.pth'"),
    "Windows": (lambda saved: with_member(saved, "..\\x.pth"), "no member named"),
    "drive": (lambda saved: with_member(saved, "C:x.pth"), "no member named"),
    "dots": (lambda saved: with_member(saved, "...pth"), "no member named"),
    "folder": (lambda saved: with_member(saved, "folder/"), "no member named 'folder/'"),
    "script": (lambda saved: with_member(saved, "setup.py"), "no member named 'setup.py'"),
    "twice": (doubled, "more than one member named 'data'"),
    "bzip2": (lambda saved: packed(members(saved), zipfile.ZIP_BZIP2), "stored nor deflated"),
    "forged size": (forged_size, "Bad CRC-32"),
    "not JSON": (lambda saved: packed(members(saved) | {"data": b"\xff{"}), "can't decode"),
    "deep JSON": (lambda saved: packed(members(saved) | {"data": b"[" * 10**5}), "nested deeper"),
    "list": (lambda saved: packed(members(saved) | {"data": b"[]"}), "not a JSON object"),
    "other weights": (lambda saved: packed(members(saved) | {"policy.pth": b"abc"}), "as tensors"),
    "no tensors": (
        lambda saved: packed(
            members(saved) | {"policy.pth": members(saved)["policy.optimizer.pth"]}
        ),
        "something else than tensors",
    ),
    "compressed weights": (compressed_weights, "as tensors"),
    "NaN": (weights(value_net__bias=torch.tensor([torch.nan])), "value_net.bias is NaN"),
    "expanded": (
        weights(value_net__bias=torch.zeros(1).expand(2**40)),
        "larger than what is saved",
    ),
    "repeated": (only({f"a{i}": LARGE for i in range(9)}), "weights are larger than what is saved"),
    "sparse": (weights(value_net__bias=torch.zeros(1).to_sparse()), "as tensors|larger than what"),
    "no output": (weights(action_net__weight=None), "its weights have none of action_net.weight"),
    "one weight more": (weights(more=LARGE), "do not fit.*more"),
    "one weight less": (weights(value_net__bias=None), "do not fit.*value_net.bias"),
    "other weight": (weights(value_net__bias=LARGE), "do not fit.*value_net.bias"),
    "layers": (
        weights(mlp_extractor__value_net__0__weight=torch.zeros(5, 3)),
        r"layers \[4\] and \[5\] have no counterpart here",
    ),
    "broken layers": (
        weights(mlp_extractor__policy_net__2__weight=torch.zeros(4, 9)),
        "its layers do not fit each other",
    ),
    "other actions": (
        weights(action_net__weight=torch.zeros(2, 4)),
        "action space, which is of 1 ",
    ),
    "no policy": (lambda saved: edited(saved, policy_class=None), "lacks 'policy_class'"),
    "text for a policy": (lambda saved: edited(saved, policy_class="MlpPolicy"), "is none of Mlp"),
    "derived policy": (
        lambda saved: edited(saved, policy_class=as_saved(Derived)),
        "a class of .*test_untrusted_zips .*is none of MlpPolicy",
    ),
    "adapted policy": (
        lambda saved: edited(saved, policy_class=as_saved(Adapted)),
        "Adapted.__init__.* is none of MlpPolicy",
    ),
    "odd space": (observing(gymnasium.spaces.Text(3)), "Text'>, and none of Box, Dict"),
    "no space": (lambda saved: edited(saved, observation_space=None), "lacks 'observation_space'"),
    "text for a space": (lambda saved: edited(saved, observation_space="Box"), "it is str, and"),
    "other space": (
        observing(gymnasium.spaces.Box(-1, 1, (9,))),
        "observation space, which is of 9 numbers, not 3",
    ),
    "huge space": (observing(BOX, _shape=[10**5, 10**5]), "more than 4194304 numbers"),
    "negative space": (observing(BOX, _shape=[-3]), "more than 4194304 numbers"),
    "shape of a space": (observing(BOX, _shape="3"), "observation_space can't be read"),
    "dtype": (observing(BOX, dtype="object"), "dtype object is not one of float16"),
    "cut bounds": (observing(BOX, low="[1. ... 3.]"), "more bounds than are printed"),
    "odd bounds": (observing(BOX, low="[a b c]"), "could not convert"),
    "few bounds": (observing(BOX, low="[-1. -2.]"), "reshape"),
    "list of bounds": (observing(BOX, low=[1, 2, 3]), "observation_space can't be read"),
    "many choices": (
        observing(gymnasium.spaces.Discrete(2), n="1" * 12),
        "of 111111111111 numbers",
    ),
    "too many choices": (
        observing(gymnasium.spaces.Discrete(2), n="1" * 30),
        "space can't be read",
    ),
    "nested": (observing(NESTED), "in a Dict, only Box, Discrete, MultiDiscrete, MultiBinary can"),
    "quotes": (observing(NESTED, spaces="{" + "'" * 10**6), "in a Dict, only Box"),
    "brackets": (observing(NESTED, spaces="[(" * 10**6), "in a Dict, only Box"),
    "arguments": (lambda saved: edited(saved, policy_kwargs="x"), "not a dictionary"),
    "argument": (
        lambda saved: edited(saved, policy_kwargs={"full_std": False}),
        "full_std = False",
    ),
    "type of an argument": (
        lambda saved: edited(saved, policy_kwargs={"log_std_init": "x"}),
        "log_std_init",
    ),
    "activation": (
        lambda saved: edited(saved, policy_kwargs=as_saved({"activation_fn": torch.nn.GLU})),
        "GLU.* is none of tanh, relu, .*--activation",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_such_zip_is_refused_in_one_line(
    fault: str, saved: Path, tmp_path: Path
) -> None:
    make, words = BROKEN[fault]
    path = tmp_path / "broken.zip"
    path.write_bytes(make(saved))
    with pytest.raises(
        DamagedModelError, match=f"broken.zip can't be imported: .*{words}"
    ) as error:
        imported(path, "a2c")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.zip"]


def test_every_truncation_and_flipped_bit_is_refused_or_harmless(
    saved: Path, tmp_path: Path
) -> None:
    whole, path = saved.read_bytes(), tmp_path / "damaged.zip"
    for length in range(0, len(whole), len(whole) // 50):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedModelError):
            imported(path, "a2c")
    weights = whole.index(b"PK", whole.index(b"policy.pth"))  # where that member begins
    for position in range(weights, weights + 4000, 50):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(DamagedModelError, match=r"damaged.zip can't be imported"):
            imported(path, "a2c")


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedModelError, match=r"absent can't be imported: No such file"):
        imported(tmp_path / "absent", "ppo")
    with pytest.raises(DamagedModelError, match="it is not a file"):
        imported(tmp_path, "ppo")


def test_another_strategy_is_refused(saved: Path, tmp_path: Path) -> None:
    for strategy in ("ppo", "trpo", "sac"):
        with pytest.raises(DamagedModelError, match=f"model of a2c, not of {strategy}"):
            imported(saved, strategy)
    with pytest.raises(UnknownNameError, match="unknown strategy 'a3c'; did you mean sac or a2c"):
        imported(saved, "a3c")
    other = tmp_path / "ars.zip"
    ARS("LinearPolicy", "Pendulum-v1").save(other)
    with pytest.raises(DamagedModelError, match="none of ppo, a2c"):
        imported(other, "ppo")


def test_every_strategy_is_told_from_the_others(tmp_path: Path) -> None:
    for strategy in ALGORITHMS:
        path = tmp_path / f"{strategy}.zip"
        kind = ALGORITHMS[strategy]
        kind("MlpPolicy", gymnasium.make(HOME[strategy]), **options_of(strategy)).save(path)
        imported(path, strategy, env_id=HOME[strategy])
        other = "a2c" if strategy != "a2c" else "ppo"
        with pytest.raises(DamagedModelError, match=f"say --strategy {strategy}"):
            imported(path, other)


def test_no_pickle_is_executed(saved: Path, command: Command, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path, statistics = tmp_path / "model.zip", tmp_path / "statistics.pkl"
    path.write_bytes(spiked(saved, Intruder(mark)))
    check_same_policies(imported(path, "a2c"), imported(saved, "a2c"))
    with closing(VecNormalize(one("Pendulum-v1"))) as env:
        env.observation_space = Intruder(mark)
        env.save(str(statistics))
    assert imported(path, "a2c", statistics).normalizer is not None
    more = ("--env", "Pendulum-v1", "--strategy", "a2c", "--runs", tmp_path / "runs")
    answer = command("import", path, *more, "--statistics", statistics)
    assert (answer.code, answer.err) == (0, "")
    assert command("import", path, *more, "--trust-pickle").code == 2
    statistics.write_bytes(pickle.dumps(Intruder(mark)))
    with pytest.raises(DamagedModelError, match=r"holds no VecNormalize.*pathlib.Path.touch"):
        imported(path, "a2c", statistics)
    assert not mark.exists()
    pickle.loads(statistics.read_bytes())
    assert mark.exists()  # the intruder works where it is let in


def check_same_policies(one: ReinforcementPolicy, other: ReinforcementPolicy) -> None:
    assert one.description() == other.description()
    tensors = other.tensors()
    assert all(torch.equal(value, tensors[key]) for key, value in one.tensors().items())


def test_statistics_of_another_shape_are_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "statistics.pkl"
    with closing(VecNormalize(one("CartPole-v1"))) as env:
        env.save(str(path))
    with pytest.raises(DamagedModelError, match="statistics of observation have another shape"):
        imported(saved, "a2c", path)


MEBIBYTE = 2**20


@pytest.mark.parametrize("member", ["data", "policy.pth", "policy.optimizer.pth"])
def test_a_bomb_is_refused_without_unpacking_it(
    member: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    content = members(saved) | {member: bytes(40 * MEBIBYTE)}
    path.write_bytes(packed(content, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < MEBIBYTE
    monkeypatch.setattr(archive, "MAX_DATA", MEBIBYTE)
    with monkeypatch.context() as patch:
        patch.setattr(archive, "MAX_MEMBER", MEBIBYTE)
        refused_cheaply(path, f"its member {member!r} is larger than {MEBIBYTE} bytes")
    if member != "data":
        monkeypatch.setattr(archive, "MAX_SUM", 20 * MEBIBYTE)
        refused_cheaply(path, "together larger")


def test_a_bomb_that_lies_about_its_size_is_refused_without_unpacking_it(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    bomb = tmp_path / "honest.zip"
    bomb.write_bytes(packed(members(saved) | {"policy.pth": bytes(40 * MEBIBYTE)}))
    path.write_bytes(forged_size(bomb))
    refused_cheaply(path, "Bad CRC-32")
    # Were the check of what is declared to fail, the one of what comes out would hold.
    monkeypatch.setattr(archive, "_check_members", lambda members: None)
    monkeypatch.setattr(archive, "MAX_MEMBER", MEBIBYTE)
    path.write_bytes(packed(members(bomb), zipfile.ZIP_DEFLATED))
    refused_cheaply(path, "its member 'policy.pth' is larger than")


def refused_cheaply(path: Path, words: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DamagedModelError, match=words):
            imported(path, "a2c")
        assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE
    finally:
        tracemalloc.stop()


def test_limits_hold_for_members_and_files(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(packed(members(saved) | {f"p{i}.pth": b"" for i in range(100)}))
    with pytest.raises(DamagedModelError, match="106 members, more than 64"):
        imported(path, "a2c")
    monkeypatch.setattr(reading, "MAX_BYTES", 10)
    (tmp_path / "statistics").write_bytes(b"x" * 11)
    with pytest.raises(DamagedModelError, match="statistics can't be imported: it is larger than"):
        imported(saved, "a2c", tmp_path / "statistics")
    monkeypatch.setattr(archive, "MAX_SUM", 100)
    with pytest.raises(DamagedModelError, match="it is larger than 100 bytes"):
        imported(saved, "a2c")


@pytest.mark.parametrize("form", ["zip", "pickle", "torch"])
def test_models_and_runs_never_unpickle(
    form: str,
    saved: Path,
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mark = tmp_path / "executed"
    torch_file = io.BytesIO()
    torch.save(Intruder(mark), torch_file)
    contents = {
        "zip": spiked(saved, Intruder(mark)),
        "pickle": pickle.dumps(Intruder(mark)),
        "torch": torch_file.getvalue(),
    }
    options = ImportOptions(saved, "Pendulum-v1", "a2c", runs=tmp_path)
    import_run(replace(options, name="run"))
    capsys.readouterr()
    run = tmp_path / "run"
    for path in [*run.glob("models/*/*"), run / "config.json", run / "run.json"]:
        before = path.read_bytes()
        path.write_bytes(contents[form])
        if path.parent != run:
            with pytest.raises(DamagedModelError):
                load_policy(path.parent)
        for name, more in (("evaluate", FEW), ("export", ("--to", tmp_path / "x.zip"))):
            answer = command(name, run, *more)
            assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
        path.write_bytes(before)
    assert command("evaluate", run, *FEW).code == 0
    alone = tmp_path / "model.zip"
    alone.write_bytes(contents[form])
    with pytest.raises(DamagedModelError):
        load_policy(alone)
    assert command("evaluate", alone).code == 2
    assert not mark.exists()
    assert not (tmp_path / "x.zip").exists()
