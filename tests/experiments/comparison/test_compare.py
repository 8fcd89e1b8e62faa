"""The compare command: what is trained, skipped, resumed, refused and reported."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Command
from processes import PATIENCE, check_all_gone, hear_ctrl_c, session

from nondiff.env_recipe import EnvRecipe
from nondiff.errors import InvalidOptionError, NondiffError, RunError, UnknownNameError
from nondiff.experiments.commands.compare import CompareOptions, compare
from nondiff.experiments.commands.train import TrainOptions
from nondiff.experiments.comparison import cell_process
from nondiff.experiments.comparison.cell_result import read_record
from nondiff.experiments.comparison.cells import Plan, plan_cells
from nondiff.experiments.comparison.jobs import run_jobs
from nondiff.experiments.comparison.report import REPORT, RESULTS, TABLE
from nondiff.experiments.comparison.results import RETURN
from nondiff.experiments.comparison.train_args import TrainArg, with_train_args
from nondiff.experiments.evaluation.episodes import RandomPolicy, play
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.metrics import read_metrics

GO_TO, WAVES = "small_envs:GoTo-v0", "nondiff/SurfaceWaves6-v0"
FEW = ("--eval-episodes=2", "--n-steps=16", "ppo:--batch-size=16", "ppo:--n-epochs=1")


def asked(folder: Path, **changes: Any) -> CompareOptions:
    """PPO and A2C on a small environment with two seeds."""
    options = CompareOptions(
        envs=(GO_TO,),
        strategies=("ppo", "a2c"),
        budgets=(64,),
        folder=folder,
        seeds=2,
        jobs=2,
        episodes=8,
        train_arg=FEW,
    )
    return replace(options, **changes)


@dataclass(frozen=True)
class Done:
    """A comparison that was made, and the options it was made with."""

    options: CompareOptions
    results: dict[str, Any]
    page: str


def run_most_here(jobs: Any, at_once: int, ended: Any, stop: Any) -> None:
    """Run the first job as `compare` does, the others in this process: a start takes seconds."""
    run_jobs(jobs[:1], at_once, ended, stop)
    for job in jobs[1:]:
        ended(job, cell_process._run(cell_process.Order.from_json(job.arguments[1])))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A comparison with a reference whose name is not safe in a page."""
    home = tmp_path_factory.mktemp("home")
    references = home / "references.json"
    row = {"name": "<script>alert(1)</script> $x^2$", "env": GO_TO, "calls": 30}
    elsewhere = {**row, "env": "Pendulum-v1"}
    returns = {"returns": [-1.0, -2.0, -4.0], "failed": [False, True, False]}
    references.write_text(json.dumps([row | returns, elsewhere | returns]))
    options = asked(home / "both", references=references, targets=(-8.0, 1000.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nondiff.experiments.commands.compare.run_jobs", run_most_here)
        compare(options)
    return Done(
        options,
        json.loads((options.folder / RESULTS).read_text()),
        (options.folder / REPORT).read_text(),
    )


def state_of(folder: Path) -> dict[str, int]:
    """When each file of the trainings and their records was last written."""
    files = [path for part in ("runs", "cells") for path in (folder / part).rglob("*")]
    return {str(p): p.stat().st_mtime_ns for p in files if p.is_file() and p.name != ".lock"}


def test_every_cell_is_trained_and_judged(done: Done) -> None:
    names = {path.name for path in (done.options.folder / "runs").iterdir()}
    assert names == {
        f"small_envs-GoTo-v0-{strategy}-b64-s{seed}"
        for strategy in ("ppo", "a2c")
        for seed in (0, 1)
    }
    for name in names:
        run = Run.open(done.options.folder / "runs" / name)
        assert (run.status(), run.state.steps) == ("finished", 64)
        assert run.config.evaluation["every"] == 7
        assert run.config.hyperparameters["n_steps"] == 16
    assert [(row["strategy"], row["budget"]) for row in done.results["rows"]] == [
        ("ppo", 64),
        ("a2c", 64),
    ]
    assert done.results["missing"] == []


def test_numbers_are_those_of_the_last_models(done: Done) -> None:
    for row in done.results["rows"]:
        for seed, score in enumerate(row["seed_scores"]):
            name = f"small_envs-GoTo-v0-{row['strategy']}-b64-s{seed}"
            run = Run.open(done.options.folder / "runs" / name)
            with EnvRecipe(GO_TO).opened() as env:
                seeds = range(3 * 2**29, 3 * 2**29 + 8)
                episodes = play(env, run.load_policy("last"), seeds)
            returns = [episode.episode_return for episode in episodes]
            assert score == pytest.approx(sum(returns) / 8)
            record = read_record(done.options.folder / "cells" / f"{name}.json")
            assert record is not None
            assert record["state"] == "evaluated"
            assert record["returns"] == pytest.approx(returns)
        assert (row["episodes"], row["failed"], row["test_calls"]) == (16, 0, 0)
        assert row["calls"] == 64
        assert row["evaluation_calls"] == 10 * 2  # after 7, 14, ..., 63 and 64 steps
        assert row["cpu_seconds"] > 0


def test_targets_and_references_are_in_the_results(done: Done) -> None:
    reached = {(r["strategy"], r["target"]): r for r in done.results["calls_to_targets"]}
    assert set(reached) == {(s, t) for s in ("ppo", "a2c") for t in (-8.0, 1000.0)}
    never = reached["ppo", 1000.0]
    assert (never["calls"], never["spent"], never["median_calls"]) == ([None, None], [64, 64], None)
    (reference,) = done.results["references"]
    assert (reference["test_calls"], reference["failed"]) == (30, 1)
    assert (reference["median"]["value"], reference["episodes"]) == (-2.0, 3)


class Page(HTMLParser):
    """What a page would load, and the tags it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster"):
                self.loaded.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_file_that_loads_nothing(done: Done) -> None:
    page = Page(done.page)
    assert not page.open
    assert all(address.startswith("#") for address in page.loaded)
    assert {address[1:] for address in page.loaded} <= set(page.ids)
    assert not re.search(r"url\((?!#)|@import", done.page)
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    assert page.tags.count("svg") == 3
    assert len(page.ids) == len(set(page.ids))


def test_names_are_text_in_the_report_and_in_its_pictures(done: Done) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x^2$" in done.page
    assert "<script" not in done.page


def test_the_report_says_what_was_done(done: Done) -> None:
    best = max(done.results["rows"], key=lambda row: row["score"]["value"])
    (heading,) = re.findall("<h1>(.*?)</h1>", done.page)
    assert f"with 64 simulator calls, {best['strategy']} scored" in heading
    assert "nondiff compare --envs small_envs:GoTo-v0" in done.page
    assert "prefers-color-scheme: dark" in done.page
    assert done.results["versions"]["torch"] in done.page
    table = (done.options.folder / TABLE).read_text()
    assert re.search(r"^\| ppo +\| +64 \|", table, re.MULTILINE)
    for name in ("budget", "learning", "targets"):
        picture = (done.options.folder / "plots" / f"small_envs-GoTo-v0-{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")


def test_values_that_no_axis_can_show_are_left_out_of_a_report(
    done: Done, tmp_path: Path, command: Command
) -> None:
    folder = shutil.copytree(done.options.folder, tmp_path / "both")
    tables = sorted((folder / "runs").glob("*/metrics.csv"))
    assert len(tables) == 4
    for path in tables:
        rows = read_metrics(path)
        kept = [row for row in rows if "ppo" in str(path) and row is rows[-1]]
        for row in rows:
            if row not in kept and RETURN in row:
                row[RETURN] = 1e308
        names = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    compare(replace(done.options, folder=folder, targets=()))
    assert (folder / REPORT).read_text().count("<svg") >= 2


def test_the_same_command_again_only_reports(done: Done, command: Command) -> None:
    before = state_of(done.options.folder)
    (done.options.folder / REPORT).unlink()
    answer = command(
        "compare",
        *("--envs", GO_TO, "--strategies", "ppo", "a2c", "--budgets", 64, "--seeds", 2),
        *("--episodes", 8, "--folder", done.options.folder, "--targets", "-8", 1000, "--json"),
        *(f"--train-arg={argument}" for argument in FEW),
    )
    assert answer.code == 0, answer.err
    assert answer.err == "4 of 4 trainings are there already\n"
    assert json.loads(answer.out)["rows"] == done.results["rows"]
    assert state_of(done.options.folder) == before
    assert (done.options.folder / REPORT).exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_arg": (*FEW, "--learning-rate=0.5")}, "hyperparameters.learning_rate 0.0003, not"),
        ({"train_arg": (*FEW, "--eval-every=9")}, "evaluation.every 7, not 9"),
        ({"train_arg": ("--eval-episodes=2",)}, "hyperparameters.n_steps 16, not 2048"),
    ],
)
def test_runs_made_with_other_options_are_one_clear_error(
    done: Done, changes: dict[str, Any], words: str
) -> None:
    before = state_of(done.options.folder)
    with pytest.raises(RunError, match=re.escape(words)) as caught:
        compare(replace(done.options, **changes))
    assert str(caught.value).endswith("choose another --folder, or remove it")
    assert state_of(done.options.folder) == before


WRONG: dict[str, tuple[dict[str, Any], type[NondiffError], str]] = {
    "strategy": ({"strategies": ("poo",)}, UnknownNameError, "did you mean ppo"),
    "environment": ({"envs": ("Pendulum-v9",)}, UnknownNameError, "Pendulum-v9"),
    "nothing": ({"budgets": ()}, InvalidOptionError, "--budgets needs at least one"),
    "budget": ({"budgets": (64, 0)}, InvalidOptionError, "--budgets 0"),
    "seeds": ({"seeds": 0}, InvalidOptionError, "--seeds 0"),
    "target": ({"targets": (float("nan"),)}, InvalidOptionError, "--targets nan"),
    "reserved": ({"train_arg": ("--seed=3",)}, InvalidOptionError, "a comparison sets --seed"),
    "form": ({"train_arg": ("n-steps=3",)}, InvalidOptionError, "STRATEGY:--OPTION=VALUE"),
    "owner": ({"train_arg": ("poo:--n-steps=3",)}, InvalidOptionError, "STRATEGY:--OPTION=VALUE"),
    "unknown": (
        {"train_arg": ("--n-stepps=3",)},
        InvalidOptionError,
        r"'--n-stepps=3': ppo has no option --n-stepps; choose from --n-steps",
    ),
    "value": (
        {"train_arg": ("--n-steps=many",)},
        InvalidOptionError,
        "'--n-steps=many': Input should",
    ),
    "range": (
        {"train_arg": ("--n-steps=0",)},
        InvalidOptionError,
        "'--n-steps=0': Input should be g",
    ),
    "no value": ({"train_arg": ("--n-steps",)}, InvalidOptionError, "'--n-steps' needs a value"),
    "no flag": ({"train_arg": ("--no-n-steps",)}, InvalidOptionError, "needs a value"),
    "choice": ({"train_arg": ("--device=gpu",)}, InvalidOptionError, "'cpu', 'cuda' or 'auto'"),
    "references": ({"references": Path(__file__)}, InvalidOptionError, "can't be read"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_option_is_named_before_anything_is_written(fault: str, tmp_path: Path) -> None:
    changes, kind, words = WRONG[fault]
    with pytest.raises(kind, match=re.escape(words)):
        compare(asked(tmp_path / "new", **changes))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "content",
    [
        '{"name": "x"}',
        '[{"name": "x", "env": "y", "calls": 1, "returns": []}]',
        '[{"name": "x", "env": "y", "calls": 1, "returns": [1, 1e308]}]',
        "[1]",
    ],
)
def test_references_of_another_form_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    path.write_text(content)
    with pytest.raises(InvalidOptionError, match="it is a list of"):
        compare(asked(tmp_path / "new", references=path))


def test_two_environments_with_runs_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="runs of the same name"):
        plan_cells(tmp_path, ("a:b-v0", "a/b-v0"), ("ppo",), (64,), 1)


def test_the_first_seed_of_everything_comes_first(tmp_path: Path) -> None:
    plan = plan_cells(tmp_path, (GO_TO,), ("a2c", "ppo"), (128, 64, 64), 2)
    assert [(c.seed, c.budget, c.strategy) for c in plan.cells] == [
        (seed, budget, strategy)
        for seed in (0, 1)
        for budget in (64, 128)
        for strategy in ("a2c", "ppo")
    ]


@pytest.mark.thorough
def test_a_refused_training_is_noted_and_the_rest_goes_on(tmp_path: Path, command: Command) -> None:
    few = ("--train-arg=--eval-episodes=1", "--train-arg=ppo:--n-steps=16")
    arguments = (
        *("--envs", "CartPole-v1", "--strategies", "sac", "ppo", "--budgets", 32, "--seeds", 1),
        *("--episodes", 2, "--folder", tmp_path / "carts", "--jobs", 2, *few),
    )
    answer = command("compare", *arguments)
    assert answer.code == 1
    assert "sac on CartPole-v1, 32 calls, seed 0: failed: " in answer.err
    results = json.loads((tmp_path / "carts" / RESULTS).read_text())
    assert [row["strategy"] for row in results["rows"]] == ["ppo"]
    (missing,) = results["missing"]
    assert (missing["strategy"], missing["state"]) == ("sac", "failed")
    assert "ppo" in missing["error"]  # which the strategy's error offers
    assert "Without result" in (tmp_path / "carts" / REPORT).read_text()
    assert missing["error"] in (tmp_path / "carts" / TABLE).read_text()

    again = command("compare", *arguments)  # it is not tried again
    assert (again.code, again.err) == (1, "2 of 2 trainings are there already\n")
    alone = command("compare", *arguments[:3], "sac", *arguments[5:])
    assert alone.code == 2
    assert alone.err.splitlines()[-1].startswith("error: no training has a result; sac on")


SLOW = {"budgets": (1200,), "strategies": ("ppo",), "seeds": 1, "episodes": 4}
SLOW_ARGS = (
    "--eval-episodes=1",
    "--n-steps=20",
    "--batch-size=20",
    "--n-epochs=1",
    "--checkpoint-every=40",
    "--eval-every=600",
)


class Comparing:
    """`nondiff compare` in a process of its own, whose processes are gone in the end."""

    def __init__(self, folder: Path) -> None:
        self.run_folder = folder / "runs" / f"Pendulum-v1-ppo-b{SLOW['budgets'][0]}-s0"
        options = ("--envs", "Pendulum-v1", "--strategies", "ppo", "--budgets", "1200")
        more = ("--seeds", "1", "--episodes", "4", "--folder", str(folder))
        extra = [f"--train-arg={argument}" for argument in SLOW_ARGS]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nondiff", "compare", *options, *more, *extra],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
        )

    def __enter__(self) -> Comparing:
        return self

    def __exit__(self, *_: object) -> None:
        for process in session(self.process.pid):
            process.kill()
        self.process.communicate(timeout=PATIENCE)

    def wait_for_checkpoint(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self._checkpoint():
            assert self.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)

    def _checkpoint(self) -> int:
        made = (self.run_folder / "config.json").exists()
        return (Run.open(self.run_folder).state.checkpoint or 0) if made else 0


def slow(folder: Path) -> CompareOptions:
    return asked(folder, envs=("Pendulum-v1",), train_arg=SLOW_ARGS, **SLOW)


@pytest.mark.thorough
def test_nothing_outlives_a_kill_and_the_training_goes_on(tmp_path: Path) -> None:
    with Comparing(tmp_path / "killed") as comparing:
        comparing.wait_for_checkpoint()
        trainings = psutil.Process(comparing.process.pid).children(recursive=True)
        assert trainings
        os.kill(comparing.process.pid, signal.SIGKILL)
        check_all_gone(trainings)
        # The last thread of a killed process lets go of the run's lock after the first has ended.
        end = time.monotonic() + PATIENCE
        while Run.open(comparing.run_folder).status() == "running":
            assert time.monotonic() < end
    run = Run.open(comparing.run_folder)
    assert run.status() == "interrupted"
    at, started = run.state.checkpoint, run.state.started
    assert 0 < at < 1200

    compare(slow(tmp_path / "killed"))
    run = Run.open(comparing.run_folder)
    assert (run.status(), run.state.steps) == ("finished", 1200)
    assert run.state.started == started  # the same run, which went on


@pytest.mark.thorough
def test_ctrl_c_keeps_what_is_there_and_says_how_to_go_on(tmp_path: Path) -> None:
    with Comparing(tmp_path / "stopped") as comparing:
        comparing.wait_for_checkpoint()
        os.kill(comparing.process.pid, signal.SIGINT)
        _, err = comparing.process.communicate(timeout=PATIENCE)
    assert comparing.process.returncode == 130, err
    assert "0 of 1 trainings are done and kept in" in err
    assert "go on with: nondiff compare --envs Pendulum-v1 --strategies ppo" in err
    run = Run.open(comparing.run_folder)
    assert run.state.state == "interrupted"  # it ended cleanly
    plan = plan_of(slow(tmp_path / "stopped"))
    assert read_record(plan.record_path(plan.cells[0])) is None


def plan_of(options: CompareOptions) -> Plan:
    return plan_cells(
        options.folder,
        options.envs,
        options.strategies,
        options.budgets,
        options.seeds,
        options.train_arg,
    )


@pytest.mark.thorough
def test_inversions_are_judged_on_held_out_data_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("disba")
    options = asked(tmp_path / "waves", envs=(WAVES,), strategies=("ppo",), seeds=1)
    compare(options)
    plan = plan_of(options)
    record = read_record(plan.record_path(plan.cells[0]))
    assert record is not None
    assert record["state"] == "evaluated"
    assert record["env_arguments"] == {"pool": "held-out"}
    page = (tmp_path / "waves" / REPORT).read_text()
    assert page.count("Instance ") == 3
    assert page.count("<svg") == 3 + 3
    assert "shear velocity [m/s]" in page


def test_held_out_is_another_pool_where_there_is_one() -> None:
    assert EnvRecipe(WAVES).held_out() == EnvRecipe(WAVES, {"pool": "held-out"})
    chosen = EnvRecipe(WAVES, {"pool": "training"})
    assert chosen.held_out() is chosen
    plain = EnvRecipe("Pendulum-v1", {"g": 9.0})
    assert plain.held_out() is plain


def test_training_keeps_to_its_pool_and_the_end_is_judged_on_the_other(
    tmp_path: Path, command: Command
) -> None:
    pytest.importorskip("disba")
    few = ("--eval-episodes", 3, "--confirm-episodes", 3, "--judge-episodes", 3, "--n-steps", 16)
    options = ("--budget", 16, "--eval-every", 16, "--runs", tmp_path, "--name", "run")
    assert command("train", "--env", WAVES, *options, *few).code == 0
    run = Run.open(tmp_path / "run")
    policy, seeds = run.load_policy("best"), range(3 * 2**29, 3 * 2**29 + 3)
    means = {}
    for pool in ("training", "held-out"):
        with EnvRecipe(WAVES, {"pool": pool}).opened() as env:
            means[pool] = sum(e.episode_return for e in play(env, policy, seeds)) / 3
    assert means["training"] != pytest.approx(means["held-out"], rel=1e-3)
    assert run.state.result.return_mean.value == pytest.approx(means["held-out"])
    answer = command(
        "evaluate", tmp_path / "run", "--episodes", 3, "--random-episodes", 0, "--json"
    )
    verdict = json.loads(answer.out)
    assert verdict["env_arguments"] == {"pool": "held-out"}
    (judged,) = verdict["policies"]
    assert judged["return_mean"]["value"] == pytest.approx(means["held-out"])


def test_failures_are_noted_by_episode() -> None:
    pytest.importorskip("disba")
    with EnvRecipe(WAVES).opened() as env:
        episodes = play(env, RandomPolicy(env.action_space), range(60))
    failed = [episode for episode in episodes if episode.failed]
    assert 0 < len(failed) < 60
    assert {episode.episode_return for episode in failed} == {-50.0}


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (("--net-arch=64,32",), "net_arch", (64, 32)),
        (("--net-arch=[64, 32]",), "net_arch", (64, 32)),
        (("--net-arch=64",), "net_arch", (64,)),
        (("--net-arch=None",), "net_arch", None),
        (("ppo:--gamma=0.5", "--gamma=0.9", "sac:--gamma=0.1"), "gamma", 0.5),
        (("--normalize-observation",), "normalize_observation", True),
        (("--normalize-observation=True",), "normalize_observation", True),
        (("--no-normalize-observation",), "normalize_observation", False),
        (("--env-arg=a=1", "--env-arg=b=2"), "env_arg", ("a=1", "b=2")),
        (("--eval-episodes=3",), "eval_episodes", 3),
    ],
)
def test_options_of_trainings_are_of_the_fields_types(
    args: tuple[str, ...], name: str, value: object
) -> None:
    options = TrainOptions(env="CartPole-v1", strategy="ppo")
    found = with_train_args(options, [TrainArg.parse(arg) for arg in args])
    assert [getattr(one, name) for one in found if hasattr(one, name)] == [value]


def test_a_record_of_version_0_1_0_is_read(done: Done, tmp_path: Path) -> None:
    record = next((done.options.folder / "cells").glob("*.json"))
    old = json.loads(record.read_text())
    assert old["state"] == "evaluated"
    (tmp_path / "old.json").write_text(json.dumps(old | {"state": "judged"}))
    assert read_record(tmp_path / "old.json") == read_record(record)
