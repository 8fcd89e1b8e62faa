"""What an expert plays is kept as a Minari dataset, whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import minari
import numpy as np
import pytest

from nondiff.envs.arm.experts.expert import find_expert
from nondiff.errors import (
    InvalidOptionError,
    MissingDependencyError,
    NondiffError,
    RunError,
    UnknownNameError,
)
from nondiff.experiments.commands.demonstrate import DemonstrateOptions, demonstrate
from nondiff.experiments.evaluation import recording as demonstrations
from nondiff.experiments.evaluation.episodes import play
from nondiff.experiments.stopping import Interrupted, Stop

PUSH = "nondiff/PandaPush-v0"


def options(folder: Path, env: str = PUSH, **others: object) -> DemonstrateOptions:
    return DemonstrateOptions(env, folder / "new", **{"episodes": 3, **others})  # type: ignore[arg-type]


def test_a_dataset_holds_what_was_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demonstrations, "AT_ONCE", 2)
    assert demonstrate(options(Path(), seed=5), Stop()) == 0
    assert "solved 3 of 3 episodes; kept 3, " in capsys.readouterr().out
    dataset = minari.MinariDataset("new/data")
    env = dataset.recover_environment()
    expert = find_expert(env)
    for seed, kept in zip((5, 6, 7), dataset, strict=True):
        observation, info = env.reset(seed=seed)
        for step, action in enumerate(kept.actions):
            for key, values in observation.items():
                np.testing.assert_array_equal(kept.observations[key][step], values, strict=True)
            assert kept.infos["distance"][step] == info["distance"]
            np.testing.assert_array_equal(expert.predict(observation), action, strict=True)
            observation, reward, terminated, truncated, info = env.step(action)
            assert kept.rewards[step] == reward
            assert (kept.terminations[step], kept.truncations[step]) == (terminated, truncated)
        assert terminated
        np.testing.assert_array_equal(
            kept.observations["observation"][-1], observation["observation"]
        )
    env.close()
    assert [m["seed"] for m in dataset.storage.get_episode_metadata(range(3))] == [5, 6, 7]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_noise_disturbs_what_is_done_and_not_what_is_shown(tmp_path: Path) -> None:
    env_arg = ("relative=true", 'randomization={"object_mass":[0.5,2]}')
    noisy = options(tmp_path, action_noise=0.5, failures=True, env_arg=env_arg)
    assert demonstrate(noisy, Stop()) == 0
    dataset = minari.MinariDataset(tmp_path / "new" / "data")
    assert "disturbed by noise of 0 to 0.5" in dataset.storage.metadata["description"]
    env = dataset.recover_environment()
    expert, deviations = find_expert(env), set()
    for kept in dataset:
        drawn = kept.infos["randomization"]
        assert 0.5 <= drawn["object_mass"][0, 0] <= 2
        deviations.add(drawn["action_noise"][0])
        for step, action in enumerate(kept.actions):
            seen = {key: values[step] for key, values in kept.observations.items()}
            np.testing.assert_array_equal(expert.predict(seen), action, strict=True)
    env.close()
    assert len(deviations) == 3
    assert all(0 < deviation < 0.5 for deviation in deviations)


def test_failed_episodes_are_kept_on_request(tmp_path: Path) -> None:
    short = {"env_arg": ("horizon=2",), "episodes": 2}
    with pytest.raises(RunError, match="the expert solved none of 2 episodes"):
        demonstrate(options(tmp_path, **short), Stop())
    assert list(tmp_path.iterdir()) == []
    assert demonstrate(options(tmp_path, failures=True, **short), Stop()) == 0
    dataset = minari.MinariDataset(tmp_path / "new" / "data")
    assert [list(episode.truncations) for episode in dataset] == [[False, True]] * 2


@pytest.mark.parametrize(
    ("env", "others", "error", "says"),
    [
        ("CartPole-v1", {}, InvalidOptionError, "CartPole-v1 has no expert"),
        ("nondiff/PandaPusch-v0", {}, UnknownNameError, "did you mean"),
        (PUSH, {"env_arg": ("control_type=joints",)}, InvalidOptionError, "must be 'ee'"),
        (PUSH, {"episodes": 0}, InvalidOptionError, "--episodes 0 is not from 1"),
        (PUSH, {"seed": -1}, InvalidOptionError, "--seed -1 is not from 0"),
        (PUSH, {"action_noise": 1.5}, InvalidOptionError, "--action-noise 1.5 is not from 0"),
    ],
)
def test_what_can_not_be_demonstrated_is_refused(
    env: str, others: dict[str, object], error: type[NondiffError], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        demonstrate(options(tmp_path, env, **others), Stop())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "precious").write_text("")
    with pytest.raises(RunError, match="new exists already"):
        demonstrate(options(tmp_path), Stop())
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "precious"]


def test_a_missing_minari_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'nondiff\[demonstrations\]'"):
        demonstrate(options(tmp_path), Stop())


@pytest.mark.parametrize("call", ["posix_fallocate", "fsync"])
def test_a_full_disk_leaves_nothing_half_written(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, *arguments: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full, raising=False)
    with pytest.raises(RunError, match=r"new can't be written: .*No space left on device"):
        demonstrate(options(tmp_path), Stop())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("episodes", [1, 30])
def test_room_is_sought_for_all_that_is_written(
    episodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought = []
    monkeypatch.setattr(os, "posix_fallocate", lambda file, start, size: sought.append(size))
    demonstrate(options(tmp_path, "nondiff/PandaReach-v0", episodes=episodes), Stop())
    files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < sum(sought)


def test_a_signal_keeps_the_episodes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()

    def play_and_stop(*arguments: object, **others: object) -> object:
        stop.signum = signal.SIGINT
        return play(*arguments, **others)  # type: ignore[arg-type]

    monkeypatch.setattr("nondiff.experiments.commands.demonstrate.play", play_and_stop)
    with pytest.raises(Interrupted):
        demonstrate(options(tmp_path), stop)
    assert minari.MinariDataset(tmp_path / "new" / "data").total_episodes == 1


def test_a_signal_at_once_leaves_nothing(tmp_path: Path) -> None:
    stop = Stop()
    stop.signum = signal.SIGTERM
    with pytest.raises(Interrupted):
        demonstrate(options(tmp_path), stop)
    assert list(tmp_path.iterdir()) == []
