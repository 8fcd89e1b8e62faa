"""What a stranger wrote reaches the terminal without what a terminal obeys; see docs/trust.md."""

from __future__ import annotations

import ast
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer
from fuzzing import LONG, SHORT, fuzz, nondiff, tiny
from hypothesis import settings
from hypothesis import strategies as st

from nondiff.experiments.terminal.console import show_warnings_plainly

ROOT = Path(__file__).parents[1] / "nondiff"
# The places where text meets a stream; of those below `envs`, processes that nobody reads.
# The modules that print; a worker's, which reports what its environment raised; and PyBullet's,
# which keeps what the engine prints off them.
STREAMS = {
    "experiments/terminal/console.py",
    "experiments/terminal/streams.py",
    "processes/env_server.py",
    "envs/arm/world/engine.py",
}
STANDARD = ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__")
ASK = ("said_width", "terminal_width", "is_plain", "Page")  # what it is like, no more
FAKE = "\nerror: all is well"
BAD = f"\x1b]0;title\x07\x1b[2J\x9b31m\u202e\u2066\u200b\u2028\x7f\udcff\r[red]|`<b>{FAKE}"
FEW_EXAMPLES = settings(SHORT, max_examples=15)
FEW = ("--episodes", 1, "--random-episodes", 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "own"
    tiny(folder, "CartPole-v1", "--strategy", "a2c", "--n-steps", 4, "--num-envs", 1)
    return folder


def check_shown(answer: Answer) -> None:
    """Nothing but text and the ends of lines, none of which a stranger made."""
    for shown in (answer.out, answer.err):
        bad = {c for c in shown if not (c.isprintable() or c == "\n")}
        assert not bad, (bad, shown)
        assert FAKE not in shown, shown
    assert "Traceback" not in answer.err, answer.err


def everywhere(value: Any, bad: str) -> Iterator[Any]:
    """A JSON value with a text of it, or the name of one, replaced or followed by a bad one."""
    if isinstance(value, str):
        yield bad
        yield value + bad
    elif isinstance(value, dict):
        for key, part in value.items():
            yield {**value, key + bad: part}
            yield {**value, key: bad}
            yield from ({**value, key: changed} for changed in everywhere(part, bad))
        yield {**value, bad: bad}
    elif isinstance(value, list):
        yield [bad, *value]


COMMANDS: tuple[Callable[[Path], tuple[object, ...]], ...] = (
    lambda folder: ("runs", folder.parent),
    lambda folder: ("runs", folder, "--json"),
    lambda folder: ("evaluate", folder, *FEW),
    lambda folder: ("evaluate", folder, *FEW, "--trust"),
    lambda folder: ("evaluate", folder, folder, *FEW, "--json"),
    lambda folder: ("train", "--resume", folder, "--trust"),
    lambda folder: ("export", folder, "--to", folder / "a.zip"),
)
FILES = ("config.json", "run.json", "models/*/model.json", "models/*/manifest.json")


def spoilt(run: Path, to: Path, draw: st.DataObject, bad: str) -> None:
    """A copy of a run with a bad text somewhere in one of its files."""
    shutil.copytree(run, to)
    path = draw.draw(st.sampled_from([p for name in FILES for p in sorted(to.glob(name))]))
    data = json.loads(path.read_text())
    path.write_text(json.dumps(draw.draw(st.sampled_from(list(everywhere(data, bad))))))


@pytest.mark.thorough
@pytest.mark.parametrize("how", [FEW_EXAMPLES, pytest.param(LONG, marks=pytest.mark.slow)])
def test_whatever_a_file_of_a_run_says(run: Path, tmp_path: Path, how: settings) -> None:
    def check(draw: st.DataObject) -> None:
        folder = tmp_path / "runs" / "theirs"
        shutil.rmtree(folder.parent, ignore_errors=True)
        spoilt(run, folder, draw, BAD)
        command = draw.draw(st.sampled_from(COMMANDS))
        check_shown(nondiff(tmp_path, *command(folder)))

    fuzz(check, st.data(), how)


def test_a_listing_shows_it_all(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "theirs"
    shutil.copytree(run, folder)
    bad = BAD.replace("\udcff", "")  # with which it is damaged
    for name, changes in (
        ("config.json", {"env": bad, "env_arguments": {bad: bad}, "strategy": bad}),
        ("run.json", {"updated": bad}),
    ):
        data = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(data | changes))
    answer = nondiff(tmp_path, "runs")
    check_shown(answer)
    assert answer.code == 0
    (shown,) = json.loads(nondiff(tmp_path, "runs", "--json").out)
    assert shown["strategy"] == bad  # as it is, and written in printable characters


@pytest.mark.parametrize(
    "command", [("runs",), ("evaluate", *FEW), ("train", "--resume"), ("export", "--to", "a.zip")]
)
def test_names_of_folders(run: Path, tmp_path: Path, command: tuple[object, ...]) -> None:
    folder = tmp_path / BAD.replace("/", "")
    shutil.copytree(run, folder)
    check_shown(nondiff(tmp_path, *command, folder))
    (folder / "run.json").write_text("{")
    check_shown(nondiff(tmp_path, *command, folder))


def test_versions_of_a_run(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(run, folder)
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**data, "versions": {BAD: BAD}}))
    import hashlib

    state = json.loads((folder / "run.json").read_text())
    state["config_sha256"] = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    (folder / "run.json").write_text(json.dumps(state))
    answer = nondiff(tmp_path, "train", "--resume", folder, "--budget", 64)
    check_shown(answer)
    assert r"\u202e" in answer.err
    assert answer.code == 0, answer.err


def test_what_a_dataset_says(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    line = ("--env", "nondiff/PandaReach-v0", "--strategy", "sac", "--demonstrations", tmp_path)
    space = json.dumps({"type": BAD, "shape": [1]})
    for metadata in (
        {"observation_space": BAD, "action_space": BAD, "data_format": "hdf5"},
        {"observation_space": space, "action_space": space, "data_format": BAD},
        {"env_spec": json.dumps({"id": BAD, "kwargs": {BAD: BAD}})},
        {BAD: BAD},
    ):
        (tmp_path / "data" / "metadata.json").write_text(json.dumps(metadata))
        answer = nondiff(tmp_path, "train", *line)
        assert answer.code == 2
        check_shown(answer)


def writers(path: Path) -> Iterator[str]:
    """Where a module could write to a stream of the process by itself."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    asked = {id(part) for call in calls if name_of(call) in ASK for part in call.args}
    for node in nodes:
        stream = isinstance(node, ast.Attribute) and ast.unparse(node) in STANDARD
        if stream and id(node) not in asked:
            yield f"{ast.unparse(node)}, line {node.lineno}"
    for call in calls:
        descriptor = name_of(call) == "os.write" and isinstance(call.args[0], ast.Constant)
        if descriptor or name_of(call) in ("print", "print_exc", "Console"):
            yield f"{ast.unparse(call)}, line {call.lineno}"


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).removeprefix("traceback.")


def test_there_is_one_place_that_prints() -> None:
    modules = list(ROOT.rglob("*.py"))
    found = {
        place: list(writers(path))
        for path in modules
        if (place := path.relative_to(ROOT).as_posix()) not in STREAMS and list(writers(path))
    }
    assert not found


def test_warnings_hold_nothing_that_a_terminal_obeys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    show_warnings_plainly()
    text = warnings.formatwarning("\x1b[33mWARN: \x07it\x1b[2J\x1b[0m", UserWarning, "a.py", 1, "")
    assert text == "a.py:1: UserWarning: WARN: \\x07it\\x1b[2J\n"
