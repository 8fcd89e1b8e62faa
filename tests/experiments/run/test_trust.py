"""A stranger's run imports and starts nothing of what it names; one's own goes on as before."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import gymnasium
import pytest
from conftest import Answer, Command
from fuzzing import nondiff, tiny

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.env_recipe import EnvRecipe, _parameters
from nondiff.envs import ENVIRONMENTS
from nondiff.errors import UntrustedError
from nondiff.experiments.run import ownership
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.schema import RunConfig
from nondiff.experiments.run.trust import DATA, FILES, is_data

EVIL = """
import gymnasium
def note(text):
    with open({note!r}, "a") as file:
        file.write(text + "\\n")
note("imported")
from gymnasium.envs.classic_control import CartPoleEnv

class Own(CartPoleEnv):
    def __init__(self, command="", **more):
        super().__init__()
        note(f"started {{command}}")

class Wrapper(gymnasium.Wrapper):
    pass

gymnasium.register("Evil-v0", Own, max_episode_steps=5)
"""
FEW = ("--episodes", 1, "--random-episodes", 0)
A2C = ("--strategy", "a2c", "--n-steps", 4, "--num-envs", 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "own"
    tiny(folder, "CartPole-v1", *A2C)
    return folder


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Notes what is imported and started; `evil_package` can be imported."""
    package, note = tmp_path / "packages", tmp_path / "note"
    package.mkdir()
    (package / "evil_package.py").write_text(EVIL.format(note=str(note)))
    monkeypatch.syspath_prepend(package)
    yield note
    sys.modules.pop("evil_package", None)
    gymnasium.registry.pop("Evil-v0", None)


def strangers(folder: Path, to: Path, **changes: Any) -> Path:
    """A copy of a run as a stranger may hand it over: altered, and its checksum made to fit."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("checkpoints"))  # they fit no other
    config = json.loads((to / "config.json").read_text())
    changes = {**changes, "budget": 64}
    config |= {key: value for key, value in changes.items() if key != "hyperparameters"}
    config["hyperparameters"] |= changes.get("hyperparameters", {})
    (to / "config.json").write_text(json.dumps(config, indent=1))
    state = json.loads((to / "run.json").read_text())
    digest = hashlib.sha256((to / "config.json").read_bytes()).hexdigest()
    state |= {"config_sha256": digest, "state": "interrupted"}
    (to / "run.json").write_text(json.dumps(state))
    return to


def is_refused(answer: Answer) -> str:
    assert answer.code == 2, answer
    lines = answer.err.splitlines()
    assert lines[-1].startswith("error: "), answer.err
    assert "--trust" in lines[-1]
    return lines[-1]


MODULE = {"env": "evil_package:Evil-v0", "env_arguments": {"command": "rm"}}


@pytest.mark.parametrize("line", [("evaluate", *FEW), ("train", "--resume")])
def test_a_strangers_module_is_not_imported(
    finished: Path, note: Path, tmp_path: Path, line: tuple[str, ...]
) -> None:
    folder = strangers(finished, tmp_path / "theirs", **MODULE)
    is_refused(nondiff(tmp_path, *line, folder))
    assert not note.exists()
    answer = nondiff(tmp_path, *line, folder, "--trust")
    assert answer.code == 0, answer.err
    assert note.read_text().startswith("imported\nstarted rm\n")


def test_the_environment_may_be_named_as_the_error_says(
    finished: Path, note: Path, tmp_path: Path
) -> None:
    folder = strangers(finished, tmp_path / "theirs", **MODULE)
    error = is_refused(nondiff(tmp_path, "evaluate", folder, *FEW))
    options = shlex.split(error.partition("name it yourself: ")[2])
    assert options == ["--env", "evil_package:Evil-v0", "--env-arg", 'command="rm"']
    assert nondiff(tmp_path, "evaluate", folder, *FEW, *options).code == 0
    assert note.exists()


def test_a_strangers_wrapper_is_not_imported(finished: Path, note: Path, tmp_path: Path) -> None:
    folder = strangers(finished, tmp_path / "theirs", wrappers=["evil_package:Wrapper"])
    error = is_refused(nondiff(tmp_path, "evaluate", folder, *FEW))
    is_refused(nondiff(tmp_path, "train", "--resume", folder))
    assert not note.exists()
    options = shlex.split(error.partition("name it yourself: ")[2])
    assert options == ["--env", "CartPole-v1", "--wrapper", "evil_package:Wrapper"]
    assert nondiff(tmp_path, "evaluate", folder, *FEW, *options).code == 0
    assert note.exists()


def test_all_that_makes_an_environment_is_thought_of() -> None:
    """What is added to `EnvRecipe` is data whatever a stranger gives, or `is_data` refuses it."""
    numbers = {"max_episode_steps"}
    # A folder is looked at for a module that an id or a wrapper names, which is refused already.
    known = {"id", "arguments", "wrappers", "folder"} | numbers
    assert {field.name for field in dataclasses.fields(EnvRecipe)} == known


def test_arguments_of_ones_own_environment_are_not_a_strangers_choice(
    finished: Path, note: Path, tmp_path: Path
) -> None:
    import evil_package  # type: ignore[import-not-found]  # noqa: F401 - registered by the user

    note.write_text("")
    for name, arguments in (("plain", {}), ("command", {"command": "rm"})):
        changes = {"env": "Evil-v0", "env_arguments": arguments}
        folder = strangers(finished, tmp_path / name, **changes)
        is_refused(nondiff(tmp_path, "evaluate", folder, *FEW))
        is_refused(nondiff(tmp_path, "train", "--resume", folder))
        given = nondiff(tmp_path, "evaluate", folder, *FEW, "--env", "Evil-v0")
        assert given.code == 0
        assert note.read_text().replace("started \n", "") == ""


def test_no_other_command_looks_at_it(finished: Path, note: Path, tmp_path: Path) -> None:
    folder = strangers(finished, tmp_path / "theirs", **MODULE)
    assert nondiff(tmp_path, "runs", folder, "--plot", "a.png").code == 0
    assert nondiff(tmp_path, "export", folder, "--to", "a.zip").code == 0
    assert not note.exists()


def test_a_strangers_comparison_is_what_the_user_asks_for_or_refused(
    note: Path, tmp_path: Path
) -> None:
    what = ("--envs", "CartPole-v1", "--strategies", "a2c", "--budgets", 16, "--seeds", 1)
    small = ("--train-arg=--n-steps=4", "--train-arg=--num-envs=1", "--episodes", 1, "--no-html")
    line = ("compare", *what, *small, "--folder", "c")
    with closing(
        Run.create(
            tmp_path / "c" / "runs",
            "CartPole-v1-a2c-b16-s0",
            "",
            RunConfig.model_validate(config()),
        )
    ):
        pass
    answer = nondiff(tmp_path, *line)
    assert answer.code == 2
    assert "evil_package" in answer.err
    assert not note.exists()


def config(**changes: Any) -> dict[str, Any]:
    return {
        "env": "evil_package:Evil-v0",
        "env_arguments": {},
        "strategy": "a2c",
        "budget": 16,
        "seed": 0,
        "hyperparameters": {},
        "evaluation": {},
        **changes,
    }


@pytest.mark.parametrize("name", FILES)
def test_a_strangers_run_reads_no_file_that_it_names(
    finished: Path, tmp_path: Path, name: str
) -> None:
    folder = strangers(finished, tmp_path / "theirs", hyperparameters={name: "/etc/passwd"})
    assert "/etc/passwd" in is_refused(nondiff(tmp_path, "train", "--resume", folder))


def test_nothing_is_touched_before_it_is_refused(finished: Path, tmp_path: Path) -> None:
    folder = strangers(finished, tmp_path / "theirs", **MODULE)
    (folder / "a.tmp").write_text("")
    is_refused(nondiff(tmp_path, "train", "--resume", folder))
    assert (folder / "a.tmp").exists()


def test_ones_own_run_needs_no_trust(note: Path, tmp_path: Path) -> None:
    more = ("--env-arg", "command=mine", *A2C)
    tiny(tmp_path / "runs" / "a", "evil_package:Evil-v0", *more)
    for line in (("evaluate", "runs/a", *FEW), ("train", "--resume", "runs/a", "--budget", 64)):
        assert nondiff(tmp_path, *line).code == 0
    state = json.loads((tmp_path / "runs" / "a" / "run.json").read_text())
    altered = strangers(tmp_path / "runs" / "a", tmp_path / "b", env_arguments={"command": "x"})
    assert json.loads((altered / "run.json").read_text())["signature"] == state["signature"]
    is_refused(nondiff(tmp_path, "evaluate", altered, *FEW))


def test_a_trusted_run_is_ones_own_from_then_on(finished: Path, note: Path, tmp_path: Path) -> None:
    folder = strangers(finished, tmp_path / "theirs", **MODULE)
    assert nondiff(tmp_path, "train", "--resume", folder, "--trust").code == 0
    assert nondiff(tmp_path, "evaluate", folder, *FEW).code == 0


def test_without_a_place_for_the_key_the_commands_that_are_printed_say_trust(
    note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("")  # no folder
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    small = ("--budget", 16, "--eval-every", 16, "--eval-episodes", 1, "--confirm-episodes", 1)
    line = ("--env", "evil_package:Evil-v0", *A2C, *small, "--judge-episodes", 1)
    answer = nondiff(tmp_path, "train", *line)
    assert answer.code == 0, answer.err
    printed = shlex.split(answer.out.partition("look at it: ")[2].splitlines()[0])
    printed = printed[: printed.index("--video")] if "--video" in printed else printed
    assert printed[-1] == "--trust"
    assert nondiff(tmp_path, *printed[1:], *FEW).code == 0
    is_refused(nondiff(tmp_path, *printed[1:-1], *FEW))


def test_known_environments_need_no_trust(finished: Path, tmp_path: Path) -> None:
    folder = strangers(finished, tmp_path / "theirs", name="x")
    assert nondiff(tmp_path, "evaluate", folder, *FEW).code == 0
    assert nondiff(tmp_path, "train", "--resume", folder).code == 0


@pytest.mark.parametrize(
    "recipe",
    [
        EnvRecipe("CartPole-v1", {"render_mode": "human"}),
        EnvRecipe("GymV26Environment-v0", {"env_id": "evil_package:X"}),
        EnvRecipe("Ant-v5", {"xml_file": "/tmp/evil.xml"}),
        EnvRecipe("nondiff/PandaReach-v0", {"render_mode": "human"}),
        EnvRecipe("nondiff/PandaReach-v0", {"task": "x"}),
        EnvRecipe("nondiff/OpAmp-v0", {"workers": 16}),
        EnvRecipe("evil_package:nondiff/PandaReach-v0"),
        EnvRecipe(":CartPole-v1"),
        EnvRecipe("GymV26Environment-v0"),
        EnvRecipe("CartPole-v1", wrappers=("gymnasium.wrappers:RecordVideo,video_folder=x",)),
    ],
    ids=str,
)
def test_what_is_not_known_to_be_data(recipe: EnvRecipe) -> None:
    assert not is_data(recipe)


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_every_argument_of_our_environments_is_known(env_id: str) -> None:
    """A new argument is added to `DATA`, or here if it is more than data."""
    more = {name for name in _names(env_id) if name.startswith("render_") or name == "workers"}
    unknown = _names(env_id) - DATA - more
    assert not unknown, f"is {unknown} data, whatever a stranger gives?"


def _names(env_id: str) -> set[str]:
    parameters = _parameters(gymnasium.spec(env_id)).values()
    fixed = {"task", "robot", "scenario"}  # given by the entry point
    kinds = {parameter.kind for parameter in parameters}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    return {parameter.name for parameter in parameters} - fixed


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_other_hyperparameter_is_a_text(strategy: str) -> None:
    """A text that is not one of a few may be a path or a module: see `FILES`."""
    for field in dataclasses.fields(find_strategy(strategy)):
        hint = get_type_hints(find_strategy(strategy))[field.name]
        parts = get_args(hint) if get_origin(hint) is not Literal else ()
        if hint is str or str in parts:
            assert field.name in (*FILES, "ent_coef"), f"{field.name} of {strategy}"


def test_the_key_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    signed = ownership.signature({"a": 1})
    key = tmp_path / "nondiff" / ownership.NAME
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert list(key.parent.iterdir()) == [key]
    assert ownership.is_own({"a": 1}, signed)
    assert not ownership.is_own({"a": 2}, signed)
    assert not ownership.is_own({"a": 1}, None)
    assert not ownership.is_own({"a": 1}, "\udcff")
    assert ownership.signature({"a": 1}) == signed
    assert ownership.in_words() == f"runs are signed as yours with {key}"
    for spoil in (_open_to_others, _a_link, _short, _a_fifo):
        spoil(key)
        assert not ownership.is_own({"a": 1}, signed), spoil
        assert "are not signed" in ownership.in_words()
        key.unlink()
        (key.parent / "other").unlink(missing_ok=True)
        signed = ownership.signature({"a": 1})
        assert ownership.is_own({"a": 1}, signed)


def _open_to_others(key: Path) -> None:
    key.chmod(0o644)


def _a_link(key: Path) -> None:
    key.rename(key.with_name("other"))
    key.symlink_to("other")


def _short(key: Path) -> None:
    key.write_bytes(b"")


def _a_fifo(key: Path) -> None:
    key.unlink()
    os.mkfifo(key, 0o600)


@pytest.mark.parametrize("place", ["", "relative", "/dev/null/x", "/proc/x"])
def test_there_may_be_no_place_for_a_key(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", place)
    monkeypatch.setenv("HOME", "" if place in ("", "relative") else str(tmp_path))
    assert ownership.signature({"a": 1}) is None
    with closing(Run.create(tmp_path / "runs", "a", "", RunConfig.model_validate(config()))) as run:
        assert run.recipe.id == "evil_package:Evil-v0"
    with pytest.raises(UntrustedError, match="--trust"):
        Run.open(run.folder).recipe  # noqa: B018


def test_a_run_of_before_is_asked_about(command: Command, finished: Path, tmp_path: Path) -> None:
    old = strangers(finished, tmp_path / "old", env_arguments={"sutton_barto_reward": True})
    state = json.loads((old / "run.json").read_text())
    del state["signature"]
    (old / "run.json").write_text(json.dumps(state))
    is_refused(command("evaluate", old, *FEW))
    same = ("--env-arg", "sutton_barto_reward=true")
    for given in (("--env", "CartPole-v1", *same), same):
        assert command("evaluate", old, *FEW, *given).code == 0
    is_refused(command("evaluate", old, *FEW, "--env-arg", "sutton_barto_reward=false"))


@pytest.mark.parametrize(
    "changes",
    [{"wrappers": 5}, {"wrappers": [{}]}, {"max_episode_steps": "x"}, {"max_episode_steps": 0}],
    ids=str,
)
def test_what_else_makes_an_environment_is_of_its_kind(
    finished: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    answer = nondiff(tmp_path, "evaluate", strangers(finished, tmp_path / "theirs", **changes))
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert next(iter(changes)) in answer.err


def test_a_device_of_a_config_is_one_of_a_few(finished: Path, tmp_path: Path) -> None:
    folder = strangers(finished, tmp_path / "theirs", device="privateuseone")
    answer = nondiff(tmp_path, "train", "--resume", folder)
    assert answer.code == 2
    assert "device" in answer.err.splitlines()[-1]
