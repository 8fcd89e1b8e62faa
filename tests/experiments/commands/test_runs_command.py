"""The runs command: how runs stand, and their learning curves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer, Command
from PIL import Image

from nondiff.experiments.evaluation.episodes import Episode
from nondiff.experiments.evaluation.statistics import summarize
from nondiff.experiments.plots.curves import MAX_POINTS, group_runs, mean_curve
from nondiff.experiments.plots.learning_curve import learning_curve
from nondiff.experiments.run.file_names import METRICS, TENSORBOARD
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.metrics import MetricsWriter, Rows, read_metrics
from nondiff.experiments.run.schema import RunConfig
from nondiff.experiments.terminal.console import CELL_WIDTH
from nondiff.files.safe_path import SafePath

RETURN, SUCCESS = "evaluation/return_mean", "evaluation/success"
SOLVED = summarize([Episode(seed, 10.0, 5, seed > 0) for seed in range(4)])  # three of four
HOLDER = """
import sys
from pathlib import Path
from nondiff.experiments.run.locks import lock_folder

lock = lock_folder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Sample:
    """A run to make, as a training that came so far leaves it."""

    state: str = "finished"
    seed: int = 0
    steps: int = 64
    returns: dict[int, float] = field(default_factory=lambda: {32: 1.0, 64: 3.0})
    success: float | None = None
    env_arguments: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    strategy: str = "ppo"


def make(root: Path, name: str, sample: Sample) -> Run:
    config = {
        "env": "CartPole-v1",
        "env_arguments": sample.env_arguments,
        "strategy": sample.strategy,
        "budget": 100,
        "seed": sample.seed,
        "hyperparameters": sample.hyperparameters,
        "evaluation": {"stop_at_success": 0.99, "stop_at_return": None},
    }
    with closing(Run.create(root, name, "", RunConfig.model_validate(config))) as run:
        write_metrics(run.folder, sample)
        notes: dict[str, Any] = {}
        if sample.returns:
            last = list(sample.returns.values())[-1]
            notes["latest"] = {"success": sample.success, "return_mean": last}
        if sample.state == "finished":
            notes |= {"result": SOLVED.to_json(), "stop_reason": "budget"}
        run.update(state=sample.state, steps=sample.steps, **notes)
    return run


def write_metrics(folder: Path, sample: Sample) -> None:
    with closing(MetricsWriter(folder / METRICS, folder / TENSORBOARD)) as metrics:
        metrics.begin(0, report=print)
        for steps, value in sample.returns.items():
            row = {RETURN: value}
            metrics.write(steps, row if sample.success is None else row | {SUCCESS: sample.success})


def imported(root: Path, name: str) -> None:
    """A run as `import` leaves it."""
    config = {"env": "Pendulum-v1", "env_arguments": {"g": 9.0}, "strategy": "sac"}
    with closing(Run.create(root, name, "", RunConfig.model_validate(config))) as run:
        run.update(state="imported")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of each kind, in the folder that is looked at where none is named."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "runs"
    make(root, "finished", Sample(seed=3, success=0.25, steps=100))
    make(root, "killed", Sample("running", success=0.25, env_arguments={"length": 4, "x": "y z"}))
    make(root, "trained", Sample("running", returns={}, steps=0))
    make(root, "failed", Sample("failed", strategy="trpo"))
    make(root, "interrupted", Sample("interrupted"))
    imported(root, "imported")
    make(root, "damaged", Sample())
    (root / "damaged" / "run.json").write_text("{")
    (root / "no-run").mkdir()
    return root


@pytest.fixture
def held(runs: Path) -> Any:
    """Another process holds the lock of the run `trained`."""
    command = [sys.executable, "-c", HOLDER, str(runs / "trained")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate(timeout=60)


STATES = {
    "finished": "finished",
    "killed": "interrupted",
    "trained": "running",
    "failed": "failed",
    "interrupted": "interrupted",
    "imported": "imported",
    "damaged": "damaged",
}


def listed(answer: Answer) -> dict[str, dict[str, Any]]:
    """What --json printed, by the runs' names."""
    assert answer.code == 0, answer.err
    return {Path(entry["run"]).name: entry for entry in json.loads(answer.out)}


@pytest.mark.usefixtures("held")
def test_every_run_stands_as_it_is(runs: Path, command: Command) -> None:
    answer = command("runs", "--json")
    entries = listed(answer)
    assert {name: entry["state"] for name, entry in entries.items()} == STATES
    (line,) = answer.err.splitlines()
    assert line.startswith("runs/damaged: ")
    damaged = entries.pop("damaged")
    assert (damaged["environment"], damaged["steps"], damaged["success"]) == (None, None, None)
    reasons = {name: entry["stop_reason"] for name, entry in entries.items()}
    assert (reasons["finished"], reasons["killed"], reasons["trained"]) == (
        "budget",
        "killed",
        None,
    )
    finished = entries["finished"]
    assert (finished["run"], finished["seed"], finished["strategy"]) == ("runs/finished", 3, "ppo")
    assert (finished["steps"], finished["budget"]) == (100, 100)
    # Of the held-out evaluation, where there is one; of the latest evaluation otherwise.
    assert (finished["success"], finished["return_mean"]) == (0.75, 10.0)
    killed = entries["killed"]
    assert (killed["success"], killed["return_mean"], killed["steps"]) == (0.25, 3.0, 64)
    assert killed["environment"] == "CartPole-v1 length=4 x=y z"
    assert (entries["trained"]["return_mean"], entries["trained"]["steps"]) == (None, 0)
    assert (entries["failed"]["strategy"], entries["failed"]["success"]) == ("trpo", None)
    ours = entries["imported"]
    assert (ours["environment"], ours["seed"], ours["budget"]) == ("Pendulum-v1 g=9.0", None, 0)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", e["updated"]) for e in entries.values())


def rows(answer: Answer) -> dict[str, list[str]]:
    """The cells of a printed table, by the runs' names."""
    assert answer.code == 0, answer.err
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in answer.out.splitlines()]
    return {Path(row[0]).name: row[1:] for row in cells if row and row[0]}


def test_the_table_says_the_same(runs: Path, command: Command) -> None:
    table = rows(command("runs"))
    assert table.keys() == STATES.keys()
    *finished, changed = table["finished"]
    steps = "100 of 100, 100%"
    assert finished == ["CartPole-v1", "ppo", "3", steps, "75.0%", "10", "finished", "budget"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:]{8}", changed)
    killed = ["CartPole-v1 length=4 x=y z", "ppo", "0", "64 of 100, 64%", "25.0%", "3"]
    assert table["killed"][:-1] == [*killed, "interrupted", "killed"]
    assert table["trained"][3:-1] == [
        "0 of 100, 0%",
        "-",
        "-",
        "interrupted",
        "killed",
    ]  # nobody holds it
    assert table["damaged"] == ["-"] * 6 + ["damaged", "-", "-"]


def test_listing_changes_nothing(runs: Path, command: Command) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.name != ".lock"}
    assert command("runs").code == 0
    after = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.name != ".lock"}
    assert after == before


def test_runs_and_folders_of_runs_are_named_in_any_order(
    runs: Path, tmp_path: Path, command: Command
) -> None:
    make(tmp_path / "others", "theirs", Sample())
    entries = listed(command("runs", "others", runs / "failed", "runs/killed", "--json"))
    assert list(entries) == ["theirs", "failed", "killed"]
    assert entries["failed"]["run"] == str(runs / "failed")
    assert list(listed(command("runs", "runs", "others", "--json"))) == [*sorted(STATES), "theirs"]


@pytest.mark.parametrize("place", ["empty", "nowhere", "file", "empty/..", "runs"])
def test_where_no_run_is_a_line_says_so(
    place: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    answer = command("runs", *([] if place == "runs" else [place]))
    words = "a run folder holds config.json"
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: there are no runs in {place}; {words}\n"


@pytest.mark.parametrize("columns", [1, 20, 60, 80, 240])
def test_nothing_is_cut_on_a_narrow_terminal(
    columns: int, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "a" + "-very" * 10 + "-long-name"
    make(tmp_path, name, Sample("interrupted", env_arguments={"text": "[/b] :smile: [red]"}))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for variable, value in {"COLUMNS": columns, "LINES": 50, "TERM": "xterm"}.items():
        monkeypatch.setenv(variable, str(value))
    answer = command("runs", ".")
    assert (answer.code, answer.err) == (0, "")
    lines = re.sub(r"\x1b\[[\d;]*m", "", answer.out).splitlines()
    assert max(map(len, lines)) <= max(columns, 10 * CELL_WIDTH)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    whole = ["".join(pieces).replace(" ", "") for pieces in zip(*cells, strict=True)]
    shown = (name, "CartPole-v1text=[/b]:smile:[red]", "ppo", "0", "64of100,64%", "-", "3")
    assert whole[:7] == list(shown)
    assert whole[7] == "interrupted"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d[\d:]{8}", whole[9])


# Curves


def curve(points: dict[int, float]) -> Rows:
    return [{"steps": steps, RETURN: value} for steps, value in points.items()]


def check_curve(curves: list[Rows], expected: dict[int, tuple[float, float, float]]) -> None:
    """Compare steps, and mean and both ends of the interval at each."""
    steps, estimates = mean_curve(curves, RETURN)
    assert list(steps) == list(expected)
    for estimate, numbers in zip(estimates, expected.values(), strict=True):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(numbers)


FIRST = {10: 0.0, 20: 10.0, 30: 20.0}


def test_the_curve_of_one_run_is_its_own() -> None:
    check_curve([curve(FIRST)], {step: (value,) * 3 for step, value in FIRST.items()})


def test_of_two_runs_it_is_the_mean_and_between_them() -> None:
    # Of the resamples of two values a quarter holds the lower twice, and one the higher twice.
    second = curve({10: 10.0, 20: 20.0, 30: 24.0})
    expected = {10: (5, 0, 10), 20: (15, 10, 20), 30: (22, 20, 24)}
    check_curve([curve(FIRST), second], expected)


def test_between_its_steps_a_run_is_interpolated() -> None:
    expected = {10: (5, 0, 10), 15: (10, 5, 15), 20: (15, 10, 20), 30: (25, 20, 30)}
    check_curve([curve(FIRST), curve({10: 10.0, 15: 15.0, 30: 30.0})], expected)


def test_a_run_that_ended_early_holds_its_last_value() -> None:
    check_curve(
        [curve({10: 0.0, 20: 4.0}), curve(FIRST)], {10: (0, 0, 0), 20: (7, 4, 10), 30: (12, 4, 20)}
    )


def test_the_mean_begins_where_all_have_begun() -> None:
    check_curve([curve({25: 5.0}), curve(FIRST)], {25: (10, 5, 15), 30: (12.5, 5, 20)})


def test_a_run_that_reports_nothing_is_left_out() -> None:
    other: Rows = [{"steps": 10, "loss": 1.0}]
    check_curve([other, curve({10: 1.0}), []], {10: (1, 1, 1)})
    assert mean_curve([other, []], RETURN) == ([], [])
    assert mean_curve([], RETURN) == ([], [])


def test_long_curves_are_thinned_out_evenly() -> None:
    lines = [curve({steps: slope * steps for steps in range(0, 1001, 5)}) for slope in (1.0, 3.0)]
    steps, estimates = mean_curve(lines, RETURN)
    assert steps == pytest.approx(np.linspace(0, 1000, MAX_POINTS))
    assert [e.value for e in estimates] == pytest.approx([2 * step for step in steps])
    assert [e.high for e in estimates] == pytest.approx([3 * step for step in steps])


def test_the_interval_is_that_of_the_mean_over_runs() -> None:
    values = np.random.default_rng(0).normal(5, 2, 40)
    (estimate,) = mean_curve([curve({1: value}) for value in values.tolist()], RETURN)[1]
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def labels(root: Path, *samples: Sample) -> list[str]:
    numbered = enumerate(samples)
    groups = group_runs([make(root, f"run-{number}", sample) for number, sample in numbered])
    assert len({group.label for group in groups}) == len(groups)
    return [group.label for group in groups]


def test_seeds_are_one_group_and_what_differs_tells_groups_apart(tmp_path: Path) -> None:
    slow, fast = ({"learning_rate": rate, "gamma": 0.9} for rate in (1e-4, 1e-3))
    found = labels(
        tmp_path,
        *(Sample(seed=seed, hyperparameters=slow) for seed in range(2)),
        *(Sample(seed=seed, hyperparameters=fast) for seed in range(3)),
        Sample(strategy="sac", hyperparameters={"tau": 0.1}),
    )
    assert found == [
        "CartPole-v1 ppo learning_rate=0.0001 (2 runs)",
        "CartPole-v1 ppo learning_rate=0.001 (3 runs)",
        "CartPole-v1 sac (1 run)",
    ]


def test_arguments_of_the_environment_tell_groups_apart(tmp_path: Path) -> None:
    samples = [Sample(env_arguments=arguments) for arguments in ({}, {"length": 4}, {"length": 5})]
    assert labels(tmp_path, *samples) == [
        "CartPole-v1 ppo length=None (1 run)",
        "CartPole-v1 ppo length=4 (1 run)",
        "CartPole-v1 ppo length=5 (1 run)",
    ]


@pytest.mark.parametrize("name", ["gamma", "env", "strategy"])
def test_an_argument_that_is_named_like_an_option_is_another_thing(
    name: str, tmp_path: Path
) -> None:
    options = {"gamma": 0.9}
    short, long = (Sample(env_arguments={name: x}, hyperparameters=options) for x in (1, 2))
    found = labels(tmp_path, short, long)
    assert len(found) == 2
    assert all(label.startswith("CartPole-v1 ppo ") for label in found)


def drawn(root: Path, path: Path, command: Command) -> Path:
    answer = command("runs", root, "--plot", path)
    assert answer.code == 0, answer.err
    assert answer.err == f"drew {path}\n"
    assert path.stat().st_size > 1_000
    return path


@pytest.fixture
def two_groups(tmp_path: Path) -> Path:
    """Three seeds of one configuration, and two of another, one of which ended early."""
    root = tmp_path / "runs"
    for seed in range(3):
        returns = {steps: steps / 10 + seed for steps in (20, 40, 60)}
        one = {"hyperparameters": {"gamma": 0.9}, "success": 0.5}
        make(root, f"first-{seed}", Sample(seed=seed, returns=returns, **one))
    for seed in range(2):
        returns = dict.fromkeys((30, 60)[: seed + 1], 1.0 + seed)
        other = {"hyperparameters": {"gamma": 0.5}, "success": 1.0}
        make(root, f"second-{seed}", Sample(seed=seed, returns=returns, **other))
    return root


def test_each_configuration_is_a_curve_with_its_interval(
    two_groups: Path, tmp_path: Path, command: Command
) -> None:
    text = drawn(two_groups, tmp_path / "curves.svg", command).read_text()
    for label in ("CartPole-v1 ppo gamma=0.9 (3 runs)", "CartPole-v1 ppo gamma=0.5 (2 runs)"):
        assert text.count(f"<!-- {label} -->") == 1
    assert len(re.findall(r'id="\w*PolyCollection_\d+"', text)) == 4  # of return and of success
    for label in ("environment steps", "return in evaluation", "success rate in evaluation"):
        assert f"<!-- {label} -->" in text
    groups = {
        group.label.split()[2]: group.curves
        for group in group_runs([Run.open(path) for path in sorted(two_groups.iterdir())])
    }
    check_curve(groups["gamma=0.9"], {20: (3, 2, 4), 40: (5, 4, 6), 60: (7, 6, 8)})
    check_curve(groups["gamma=0.5"], {30: (1.5, 1, 2), 60: (1.5, 1, 2)})


def test_pictures_are_written_in_each_kind(
    two_groups: Path, tmp_path: Path, command: Command
) -> None:
    with Image.open(drawn(two_groups, tmp_path / "curves.png", command)) as picture:
        assert (picture.format, picture.size) == ("PNG", (1440, 504))
        assert len(picture.convert("RGB").getcolors(1_000_000) or ()) > 10
    assert drawn(two_groups, tmp_path / "curves.pdf", command).read_bytes().startswith(b"%PDF")


def test_where_no_success_is_reported_there_is_one_panel(tmp_path: Path, command: Command) -> None:
    make(tmp_path / "runs", "run", Sample())
    with Image.open(drawn(tmp_path / "runs", tmp_path / "curves.png", command)) as picture:
        assert picture.size == (720, 504)


def test_names_that_look_like_formulas_are_drawn_as_they_are(
    tmp_path: Path, command: Command
) -> None:
    for number, text in enumerate((r"$x^$", r"$\frac")):
        make(tmp_path / "runs", f"run-{number}", Sample(env_arguments={"text": text}))
    text = drawn(tmp_path / "runs", tmp_path / "curves.svg", command).read_text()
    assert "frac" in text


HUGE = {20: 1e308, 40: 1e308, 50: float("nan"), 60: -1e308, 80: float("inf")}


def test_values_that_no_axis_can_show_are_said_and_left_out(
    tmp_path: Path, command: Command
) -> None:
    for seed in range(2):
        make(tmp_path / "runs", f"run-{seed}", Sample(seed=seed, returns=HUGE | {30: 1, 70: 2}))
    answer = command("runs", tmp_path / "runs", "--plot", tmp_path / "curves.png")
    assert answer.code == 0
    left_out = "left out 10 values that are not from -1e+100 to 1e+100"
    assert answer.err.splitlines() == [left_out, f"drew {tmp_path / 'curves.png'}"]
    check_curve([curve(HUGE | {30: 1, 70: 2})], {30: (1, 1, 1), 70: (2, 2, 2)})


def test_where_no_value_can_be_shown_there_are_no_curves(tmp_path: Path, command: Command) -> None:
    make(tmp_path / "runs", "run", Sample(returns=HUGE))
    answer = command("runs", tmp_path / "runs", "--plot", tmp_path / "curves.png")
    assert (answer.code, (tmp_path / "curves.png").exists()) == (2, False)
    assert "there are no curves to draw" in answer.err.splitlines()[-1]


def test_the_learning_curve_of_a_run_leaves_such_values_out(tmp_path: Path) -> None:
    place = SafePath.of_file(tmp_path / "curve.png")
    learning_curve(curve(HUGE), "huge", place)
    assert not place.is_anything()
    rows: Rows = [{**row, "rollout/ep_rew_mean": 1e308} for row in curve(HUGE | {30: 1})]
    learning_curve(rows, "huge", place)
    assert place.kind() == "file"


def test_a_damaged_run_is_left_out_of_the_curves(
    runs: Path, tmp_path: Path, command: Command
) -> None:
    answer = command("runs", "--plot", "curves.png")
    assert answer.code == 0
    assert answer.err.splitlines()[-1] == "drew curves.png"
    assert (tmp_path / "curves.png").stat().st_size > 1_000


def test_metrics_that_cannot_be_read_are_said_and_left_out(
    two_groups: Path, tmp_path: Path, command: Command
) -> None:
    (two_groups / "first-1" / METRICS).write_text(f"steps,{RETURN}\nmany,2\n")
    answer = command("runs", two_groups, "--plot", tmp_path / "curves.png")
    assert answer.code == 0, answer.err
    assert f"{two_groups / 'first-1' / METRICS} can't be read" in answer.err


REFUSED = {
    "suffix": ("curves.jpg", "--plot curves.jpg: the name must end in .png, .pdf, .svg"),
    "no suffix": ("curves", "the name must end in .png, .pdf, .svg"),
    "folder": ("nowhere/curves.png", "there is no folder"),
    "device": ("/dev/null", "the name must end in"),
    "a folder's name": ("folder.png", "folder.png"),
    "too long": ("x" * 300 + ".png", "too long"),
    "no place for files": ("/proc/curves.png", "/proc/curves.png"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_no_picture_is_a_line_and_no_file(
    fault: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "runs", "run", Sample())
    (tmp_path / "folder.png").mkdir()
    path, words = REFUSED[fault]
    answer = command("runs", "--plot", path)
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert {entry.name for entry in tmp_path.iterdir()} == {"runs", "folder.png"}


def test_runs_without_evaluations_have_no_curves(tmp_path: Path, command: Command) -> None:
    make(tmp_path / "runs", "run", Sample("failed", returns={}))
    answer = command("runs", tmp_path / "runs", "--plot", tmp_path / "curves.png")
    assert answer.code == 2
    assert "there are no curves to draw" in answer.err
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.thorough
def test_real_trainings_of_two_configurations_are_two_curves(
    tmp_path: Path, command: Command
) -> None:
    few = ("--eval-episodes", 2, "--confirm-episodes", 2, "--judge-episodes", 2)
    tiny = ("--env", "small_envs:GoTo-v0", "--budget", 32, "--eval-every", 8, *few)
    for rate in (1e-3, 1e-2):
        for seed in range(2):
            options = ("--seed", seed, "--learning-rate", rate, "--runs", tmp_path / "runs")
            assert command("train", *tiny, *options).code == 0
    folders = sorted((tmp_path / "runs").iterdir())
    found = group_runs([Run.open(folder) for folder in folders])
    assert sorted(group.label.split()[2:] for group in found) == [
        ["learning_rate=0.001", "(2", "runs)"],
        ["learning_rate=0.01", "(2", "runs)"],
    ]
    for group in found:
        steps, estimates = mean_curve(group.curves, RETURN)
        assert steps == [8, 16, 24, 32]
        ends = [rows[-1][RETURN] for rows in group.curves]
        assert estimates[-1].value == pytest.approx(np.mean(ends))
    assert read_metrics(folders[0] / METRICS)[-1]["steps"] == 32
    drawn(tmp_path / "runs", tmp_path / "curves.png", command)
