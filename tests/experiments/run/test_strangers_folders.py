"""What a stranger puts into a folder never reaches the user's files, whatever command opens it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
from canary import ATTACKS, make_home, unharmed
from conftest import Answer
from fuzzing import check_answer, nondiff, tiny
from thorough_cases import some_thorough, thin

from nondiff.agents.policies.model import MODEL
from nondiff.experiments.run.checkpoints import CHECKPOINT
from nondiff.experiments.run.file_names import FILES, FOLDERS
from nondiff.experiments.run.folder import Run

NEW = "step-000000999"  # which no run has
INSIDE = ("models/STEP", "checkpoints/STEP")
PLACES = (
    *(*FILES, *FOLDERS, *INSIDE),
    *(f"models/STEP/{name}" for name in MODEL.files),
    *(f"checkpoints/STEP/{name}" for name in CHECKPOINT.files),
    *("run.tmp", ".run.json.0a1b2c3d.tmp", f"models/.{NEW}-0a1b2c3d", "metrics.damaged"),
)
FEW = ("--episodes", 1, "--random-episodes", 0)
COMMANDS: dict[str, tuple[object, ...]] = {
    "runs": ("runs", "../runs"),
    "runs --json": ("runs", "../runs", "--json"),
    "runs --plot": ("runs", "../runs", "--plot", "../out/curves.png"),
    "runs of one": ("runs", "../runs/bad"),
    "evaluate": ("evaluate", "../runs/bad", *FEW),
    "evaluate two": ("evaluate", "../runs/good", "../runs/bad", *FEW),
    "export": ("export", "../runs/bad", "--to", "../out/model.zip"),
    "resume": ("train", "--resume", "../runs/bad", "--budget", 40),
}
# In these places a training has nothing.
UNUSED = ("metrics.damaged",)
# These list what is damaged, and end well.
LISTING = ("runs", "runs --json", "runs --plot", "runs of one")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    tiny(run, "CartPole-v1", "--num-envs", 2, "--n-steps", 4)
    return run


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """A user's home with, beside it, two runs of a stranger's, one of which will be bad."""
    make_home(tmp_path / "home")
    (tmp_path / "out").mkdir()
    for name in ("bad", "good"):
        shutil.copytree(trained, tmp_path / "runs" / name)
    return tmp_path


def located(run: Path, where: str) -> Path:
    """A place in a run, of its newest model or checkpoint."""
    first, _, rest = where.partition("/STEP")
    if "/STEP" not in where:
        return run / where
    return sorted((run / first).glob("step-*"))[-1] / rest.strip("/")


def check_said(name: str, answer: Answer, bad: Path, is_plain: bool) -> None:
    """Assert that a command said what is wrong in a line, and listed what is right."""
    check_answer(answer)
    assert answer.code in (0, 2), answer
    if name in LISTING:
        assert answer.code == 0 or name == "runs of one", answer
        assert "good" in answer.out or name == "runs of one"
    elif name == "resume" and not is_plain and bad.name not in UNUSED:
        (line,) = answer.err.splitlines()
        assert answer.code == 2
        assert bad.name in line


# The others are like these, or take longer.
QUICK = {
    ("resume", "link to a folder"),
    ("resume", "link to a file of its name"),
    ("runs", "pipe"),
}
CASES = [(name, attack) for name in COMMANDS for attack in ATTACKS]


@pytest.mark.thorough
@pytest.mark.parametrize("case", some_thorough(CASES, {*CASES} - QUICK), ids=str)
def test_nothing_outside_a_run_is_touched(case: tuple[str, str], place: Path) -> None:
    name, attack = case
    for where in PLACES:
        shutil.rmtree(place / "runs" / "bad")
        shutil.copytree(place / "runs" / "good", place / "runs" / "bad")
        bad = located(place / "runs" / "bad", where)
        ATTACKS[attack](bad, place / "home")
        with unharmed(place / "home"):
            answer = nondiff(place / "home", *COMMANDS[name])
        check_said(name, answer, bad, ATTACKS[attack].is_plain)
        for path in (place / "out").iterdir():
            path.unlink()


# What a user keeps in a folder of a run


def test_what_a_run_did_not_make_stays_in_it(place: Path) -> None:
    run = place / "runs" / "good"
    kept = ["notes.tmp", "models/mine/model.json", "checkpoints/step-notes/a", "models/.x-y/a"]
    for name in (*kept, "tensorboard/mine/b", "models/step-old/weights.safetensors"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("precious")
    answer = nondiff(place / "home", "train", "--resume", run, "--budget", 40)
    assert answer.code == 0, answer.err
    assert all((run / name).read_text() == "precious" for name in kept)


@pytest.mark.parametrize("folder", ["models", "checkpoints"])
def test_what_would_be_removed_with_a_model_is_named(folder: str, place: Path) -> None:
    run = place / "runs" / "good"
    for path in (run / folder).glob("step-*"):
        (path / "notes.txt").write_text("precious")
    with unharmed(run):
        answer = nondiff(place / "home", "train", "--resume", run, "--budget", 40)
    assert answer.code == 2
    assert "notes.txt is not of this run" in answer.err
    for path in (run / folder).glob("step-*"):
        (path / "notes.txt").rename(place / "out" / path.name)
    assert nondiff(place / "home", "train", "--resume", run, "--budget", 40).code == 0


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["README.md", "learning_curve.png"])
@pytest.mark.parametrize("how", ["write", "link"])
def test_a_file_of_the_users_is_not_replaced(name: str, how: str, place: Path) -> None:
    mine = place / "runs" / "good" / name
    mine.unlink()
    if how == "write":
        mine.write_text("precious")
    else:
        os.link(place / "home" / "README.md", mine)
    before = mine.read_bytes()
    with unharmed(place / "home"):
        answer = nondiff(place / "home", "train", "--resume", mine.parent, "--budget", 40)
    assert answer.code == 0, answer.err
    assert mine.read_bytes() == before
    assert f"{name} was not written by nondiff" in answer.err


def test_a_damaged_table_is_kept_beside_an_earlier_one(place: Path) -> None:
    run = place / "runs" / "good"
    (run / "metrics.csv").write_text("steps\nmany\n")
    (run / "metrics.damaged").write_text("precious")
    assert nondiff(place / "home", "train", "--resume", run, "--budget", 40).code == 0
    assert (run / "metrics.damaged").read_text() == "precious"
    assert (run / "metrics.damaged-2").read_text() == "steps\nmany\n"


def test_only_what_a_crash_left_is_removed_from_a_folder_of_runs(place: Path) -> None:
    runs, old = place / "runs", 1e9
    for name in (".new-projects", ".new-0a1b2c3d", ".new-x"):
        shutil.copytree(runs / "good", runs / name)
        os.utime(runs / name, (old, old))
    (runs / ".new-leftover").mkdir()
    (runs / ".new-a_crash_").mkdir()
    shutil.copy(runs / "good" / "config.json", runs / ".new-a_crash_")
    (runs / ".new-linked__").symlink_to("../home")
    for name in (".new-leftover", ".new-a_crash_"):
        os.utime(runs / name, (old, old))
    with unharmed(place / "home"), unharmed(runs / ".new-projects"):
        tiny(runs / "new", "CartPole-v1", "--num-envs", 2, "--n-steps", 4)
    assert {path.name for path in runs.iterdir() if path.name.startswith(".")} == {
        *(".new-projects", ".new-0a1b2c3d", ".new-x", ".new-linked__")
    }


# Links that the user names, and links in folders of runs


def test_a_link_in_a_folder_of_runs_is_listed_and_not_followed(place: Path) -> None:
    (place / "runs" / "link").symlink_to("good")
    answer = nondiff(place / "home", "runs", "../runs", "--json")
    states = {Path(entry["run"]).name: entry["state"] for entry in json.loads(answer.out)}
    assert states == {"bad": "finished", "good": "finished", "link": "damaged"}
    assert "link is a symbolic link" in answer.err


def test_the_user_may_name_a_link_to_a_run(place: Path) -> None:
    (place / "home" / "link").symlink_to("../runs/good")
    assert nondiff(place / "home", "evaluate", "link", *FEW).code == 0
    assert nondiff(place / "home", "train", "--resume", "link", "--budget", 40).code == 0
    assert Run.open(place / "runs" / "good").state.steps >= 40


# Files that the user names to be written


OUTPUTS: dict[str, tuple[object, ...]] = {
    "plot": ("runs", "../runs", "--plot", "../runs/bad/out.png"),
    "film": ("evaluate", "../runs/bad", *FEW, "--video", "../runs/bad/out.gif"),
    "export": ("export", "../runs/bad", "--to", "../runs/bad/out.zip"),
}


WRITTEN = ("plot", "hard link"), ("film", "link to a file"), ("export", "link to a file")


@pytest.mark.parametrize("case", thin(itertools.product(OUTPUTS, ATTACKS), WRITTEN), ids=", ".join)
def test_no_output_is_written_through_a_link(case: tuple[str, str], place: Path) -> None:
    name, attack = case
    if name == "film":
        pytest.importorskip("pygame")
    *_, last = OUTPUTS[name]
    target = place / "home" / str(last)
    ATTACKS[attack](target, place / "home")
    (target.parent / f".{target.name}.tmp").symlink_to(place / "home" / "run.json")
    (target.parent / f".out-partial{target.suffix}").symlink_to(place / "home" / "run.json")
    with unharmed(place / "home"):
        answer = nondiff(place / "home", *OUTPUTS[name])
    check_answer(answer)
    replaced = name != "export" and attack in ("hard link", "much of nothing")
    assert answer.code == (0 if replaced else 2), answer
    assert not list(target.parent.glob(".partial*"))


# Comparisons


CELL = "CartPole-v1-ppo-b32-s0"
COMPARE = (
    *("compare", "--envs", "CartPole-v1", "--strategies", "ppo", "--budgets", 32, "--seeds", 1),
    *("--episodes", 2, "--folder", "../comparison", "--train-arg=--eval-episodes=1"),
)
NOT_PLAIN = [name for name in ATTACKS if not ATTACKS[name].is_plain]
IN_COMPARISONS = (
    *("runs", "cells", "logs", "plots", ".lock", "results.json", "table.md", "report.html"),
    *(f"runs/{CELL}", f"cells/{CELL}.json", f"logs/{CELL}.log", "plots/any.png"),
)


@pytest.mark.parametrize("where", IN_COMPARISONS)
@pytest.mark.parametrize("attack", some_thorough(NOT_PLAIN, {*NOT_PLAIN} - {"link to a folder"}))
def test_nothing_outside_a_comparison_is_touched(attack: str, where: str, place: Path) -> None:
    ATTACKS[attack](place / "comparison" / where, place / "home")
    with unharmed(place / "home"):
        answer = nondiff(place / "home", *COMPARE)
    check_answer(answer)
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    assert Path(where).name in line


@pytest.mark.parametrize("name", ["results.json", "table.md", "report.html"])
def test_what_no_comparison_wrote_is_not_replaced(name: str, place: Path) -> None:
    mine = place / "comparison" / name
    mine.parent.mkdir()
    mine.write_text("{}")
    with unharmed(place / "comparison"):
        answer = nondiff(place / "home", *COMPARE)
    assert answer.code == 2
    assert f"{name} was not written by a comparison" in answer.err


# References that the user names


@pytest.mark.parametrize("attack", ["pipe", "socket", "link to a device", "much of nothing"])
def test_references_are_a_plain_file(attack: str, place: Path) -> None:
    ATTACKS[attack](place / "out" / "references.json", place / "home")
    answer = nondiff(place / "home", *COMPARE, "--references", "../out/references.json")
    assert answer.code == 2
    assert "references.json can't be read" in answer.err
