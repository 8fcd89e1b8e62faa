"""`nondiff answer`: a trained policy's proposals for a user's requests, by name and in units."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from conftest import Command

import nondiff

BEAM = "BeamOfAnswers-v0"
FEW = ("--eval-episodes", 2, "--held-out-episodes", 2, "--net-arch", 16)


def deflection(parameters: np.ndarray) -> np.ndarray:
    """Of a beam, by load and width; it breaks under a large load."""
    load, width = parameters
    return np.array([load / width, np.nan if load > 9.9 else load])


def beam(pool: str = "training") -> nondiff.BlackBoxEnv:
    requests = np.random.default_rng(0).uniform([5, 2], [15, 8], (60, 2))
    box = nondiff.FunctionBox(
        deflection, low=[1, 0.2], high=[10, 1], contexts=requests, pool=pool, scale=[1, 1],
        parameter_names=["load [kN]", "width [m]"], outcome_names=["deflection [mm]", "force [kN]"],
    )  # fmt: skip
    return nondiff.BlackBoxEnv(box)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from nondiff.experiments.commands.cli import run_command

    home = tmp_path_factory.mktemp("answers")
    gymnasium.register(BEAM, entry_point=beam)
    options = ("--env", BEAM, "--strategy", "cma-es", "--budget", 200, *FEW)
    try:
        with pytest.raises(SystemExit) as end:
            run_command("train", [*map(str, options), "--runs", str(home), "--name", "r"], "train")
        assert end.value.code == 0
        yield home / "r"
    finally:
        del gymnasium.registry[BEAM]


REQUEST = ("--request", "deflection=10", "force=5")


def test_a_request_is_answered_by_name_and_in_units(run: Path, command: Command) -> None:
    answer = command("answer", run, *REQUEST, "--json")
    assert answer.code == 0, answer.err
    (found,) = json.loads(answer.out)
    assert found["request"] == {"deflection": 10.0, "force": 5.0}
    load, width = found["parameters"]["load"], found["parameters"]["width"]
    assert 1 <= load <= 10
    assert found["outcome"] == pytest.approx({"deflection": load / width, "force": load})
    off = np.array([load / width - 10, load - 5])
    assert found["reward"] == pytest.approx(-np.sqrt(np.mean(off**2)))
    assert (found["calls"], found["failure"], found["warnings"]) == (1, False, [])
    table = command("answer", run, *REQUEST)
    assert "load [kN]" in table.out
    assert "true deflection" in table.out


def test_refinement_makes_it_better_without_a_jacobian(run: Path, command: Command) -> None:
    plain, refined = (
        json.loads(command("answer", run, *REQUEST, "--json", *more).out)[0]
        for more in ((), ("--refine", 20))
    )
    assert refined["reward"] >= plain["reward"]
    assert refined["reward"] > -1e-3
    assert 1 < refined["calls"] <= 21


def test_without_a_call_there_is_no_outcome(run: Path, command: Command) -> None:
    (found,) = json.loads(command("answer", run, *REQUEST, "--no-call", "--json").out)
    assert (found["outcome"], found["reward"], found["calls"]) == (None, None, 0)


def test_a_request_outside_of_what_was_trained_on_is_warned_about(
    run: Path, command: Command
) -> None:
    answer = command("answer", run, "--request", "deflection=100", "force=5", "--no-call")
    assert answer.code == 0
    assert "request 1: deflection = 100 is outside of the contexts that were trained on" in (
        answer.err
    )


def test_a_file_of_requests(run: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "requests.csv"
    path.write_text("\ufeffname,force [kN],deflection\na,5,10\n\nb,6,12\n", encoding="utf-8")
    found = json.loads(command("answer", run, "--csv", path, "--json").out)
    assert [one["request"] for one in found] == [
        {"deflection": 10.0, "force": 5.0},
        {"deflection": 12.0, "force": 6.0},
    ]


def test_the_same_in_python(run: Path) -> None:
    policy = nondiff.load_policy(run)
    (one,) = policy.answer({"deflection": 10, "force": 5})
    assert set(one.parameters) == {"load", "width"}
    assert len(policy.answer([one.request, one.request], call=False)) == 2
    with pytest.raises(nondiff.errors.InvalidOptionError, match="force = nan is not finite"):
        policy.answer({"deflection": 10, "force": float("nan")})
    observation = np.zeros(2, np.float32)
    assert policy.predict(observation).shape == (2,)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "give one of --request"),
        (("--request", "deflexion=1"), "unknown entry of a request 'deflexion'; did you mean"),
        (("--request", "force=5"), "the request says nothing of 'deflection'"),
        (("--request", "force"), "'force' is not NAME=VALUE"),
        (("--request", "force=much", "deflection=1"), "'much' is no number"),
        (("--request", "force=nan", "deflection=1"), "force = nan is not finite"),
        (("--request", "force=1e300", "deflection=1"), "force = 1e+300 is beyond"),
        (("--request", "force=1", "force=2", "deflection=1"), "names 'force' more than once"),
        (("--csv", "none.csv"), "holds no request"),
        (("--csv", "twice.csv"), "has the column 'force' more than once"),
        (("--csv", "nowhere.csv"), "nowhere.csv can't be read"),
        (("--csv", "bad.csv"), "has no column 'deflection'; it has force, x"),
        (("--csv", "text.csv"), "line 2, deflection: 'soft' is no number"),
        (("--csv", "empty.csv"), "empty.csv can't be read"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    more: tuple[object, ...],
    words: str,
    run: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("force,x\n1,2\n")
    Path("text.csv").write_text("force,deflection\n1,soft\n")
    Path("empty.csv").touch()
    Path("none.csv").write_text("force,deflection\n")
    Path("twice.csv").write_text("force,deflection,force [kN]\n1,2,3\n")
    answer = command("answer", run, *more)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert words in answer.err


def test_an_environment_without_requests_is_refused(tmp_path: Path, command: Command) -> None:
    options = ("--env", "CartPole-v1", "--strategy", "cma-es", "--budget", 64, *FEW)
    assert command("train", *options, "--runs", tmp_path, "--name", "c").code == 0
    answer = command("answer", tmp_path / "c", "--request", "x=1")
    assert answer.code == 2
    assert "no FunctionBox or Executable" in answer.err
