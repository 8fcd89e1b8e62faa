"""`nondiff try`: one call of a real program, a function or a foreign environment, shown whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import Command

import nondiff

BEAM = "BeamOfTry-v0"
SOLVER = """
import pathlib, sys, os
load, width = map(float, pathlib.Path(sys.argv[1]).read_text().split("=")[1].split())
print("BEAM 1.0", load)
os.mkdir("work"); pathlib.Path("work/log.txt").write_text("converged")
os.symlink("/etc/passwd", "work/link")
if load > 9:
    print("singular matrix", file=sys.stderr); sys.exit(3)
pathlib.Path(sys.argv[2]).write_text(f"deflection {load / width}")
"""


@pytest.fixture
def beam(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "solver.py").write_text(SOLVER)
    (tmp_path / "deck.txt").write_text("case = $load $width\n")

    def make() -> nondiff.BlackBoxEnv:
        box = nondiff.Executable(
            [sys.executable, str(tmp_path / "solver.py"), "{input}.dat", "{output}"],
            parameters={"load": (1, 10, "kN"), "width": (0.1, 0.5, "m")},
            outputs={"deflection": (0, 200, "mm")},
            contexts=[[1.0], [2.0]],
            writes=tmp_path / "deck.txt",
            reads={"deflection": r"deflection (\S+)"},
        )
        return nondiff.BlackBoxEnv(box)

    gymnasium.register(BEAM, entry_point=make)
    try:
        yield tmp_path
    finally:
        del gymnasium.registry[BEAM]


def test_a_call_is_shown_whole(beam: Path, command: Command) -> None:
    answer = command("try", BEAM, "--parameters", "load=5", "width=0.25", "--keep", beam / "kept")
    assert answer.code == 0, answer.err
    for line in (
        *("  load  = 5 kN", "  width = 0.25 m", "written to input.dat:", "  | case = 5.0 0.25"),
        *("standard output:", "  | BEAM 1.0 5.0", "output:", "  | deflection 20.0"),
        "  deflection = 20 mm",
    ):
        assert line in answer.out.splitlines(), answer.out
    assert f"command: {sys.executable} {beam / 'solver.py'} input.dat output" in answer.out
    kept = beam / "kept" / "call-1"
    assert (kept / "input.dat").read_text() == "case = 5.0 0.25\n"
    assert (kept / "work" / "log.txt").read_text() == "converged"
    assert not (kept / "work" / "link").is_symlink()


def test_a_call_that_fails_says_how_and_exits_with_1(beam: Path, command: Command) -> None:
    answer = command("try", BEAM, "--parameters", "load=10", "--keep", beam / "kept")
    assert answer.code == 1
    assert ": crash: it exited with code 3\n" in answer.out
    assert "  | singular matrix\n" in answer.out
    assert "  | BEAM 1.0 10.0\n" in answer.out
    assert (beam / "kept" / "call-1" / "input.dat").exists()


def test_random_calls_are_the_same_for_a_seed(beam: Path, command: Command) -> None:
    first, second = (command("try", BEAM, "--random", 3, "--seed", 1, "--json") for _ in range(2))
    calls = json.loads(first.out)
    assert len(calls) == 3
    assert [c["parameters"] for c in calls] == [c["parameters"] for c in json.loads(second.out)]
    assert all(c["failure"] is None or c["outcome"] is None for c in calls)
    assert calls[0]["written"]["input.dat"].startswith("case = ")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--parameters", "lod=3"), "unknown parameter 'lod'; did you mean load"),
        (("--parameters", "load"), "'load' is not NAME=VALUE"),
        (("--parameters", "load=much"), "'much' is no number"),
        (("--parameters", "load=3", "--random", 2), "not both"),
        (("--parameters", "load=3", "load=4"), "names 'load' more than once"),
        (("--random", 0), "--random 0"),
        (("--keep", "."), "name a new folder"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    more: tuple[object, ...], words: str, beam: Path, command: Command
) -> None:
    answer = command("try", BEAM, *more)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert words in answer.err


def test_parameters_beyond_their_bounds_are_invalid_input(beam: Path, command: Command) -> None:
    answer = command("try", BEAM, "--parameters", "load=11")
    assert answer.code == 1
    assert "invalid input: load = 11 kN is not within [1, 10]" in answer.out


def test_a_function_is_called(command: Command) -> None:
    def make() -> nondiff.BlackBoxEnv:
        box = nondiff.FunctionBox(
            lambda p: np.sqrt(p), low=[-1.0], high=[1.0], contexts=[[0.5]],
            parameter_names=["x [m]"], outcome_names=["root"],
        )  # fmt: skip
        return nondiff.BlackBoxEnv(box)

    gymnasium.register("RootOfTry-v0", entry_point=make)
    try:
        answer = command("try", "RootOfTry-v0", "--parameters", "x=0.25")
        assert answer.code == 0
        assert "  root = 0.5\n" in answer.out
        with np.errstate(invalid="ignore"):
            answer = command("try", "RootOfTry-v0", "--parameters", "x=-1")
        assert answer.code == 1
        assert "NaN or infinity" in answer.out
        answer = command("try", "RootOfTry-v0", "--keep", "x")
        assert answer.code == 2
        assert "a function, which runs in no folder" in answer.err
    finally:
        del gymnasium.registry["RootOfTry-v0"]


def test_any_other_environment_is_stepped(command: Command) -> None:
    answer = command("try", "CartPole-v1", "--random", 2, "--json")
    reset, *steps = json.loads(answer.out)
    assert (list(reset), len(steps), steps[0]["reward"]) == (["observation"], 2, 1.0)
    answer = command("try", "CartPole-v1", "--parameters", "x=1")
    assert answer.code == 2
    assert "CartPole-v1 is no FunctionBox or Executable" in answer.err


def exits(parameters: np.ndarray) -> np.ndarray:
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        (exits, 1, "failed after"),
        (lambda p: [1.0, 2.0, 3.0], 2, "an array of shape (3,)"),
        (lambda p: [[1.0]], 2, "an array of shape (1, 1)"),
        (lambda p: None, 1, "TypeError: it gave None"),
    ],
)
def test_a_function_that_misbehaves_is_a_line(
    function: Any, code: int, words: str, command: Command
) -> None:
    def make() -> nondiff.BlackBoxEnv:
        return nondiff.BlackBoxEnv(
            nondiff.FunctionBox(function, low=[0.0], high=[1.0], contexts=[[0.5]])
        )

    gymnasium.register("OddOfTry-v0", entry_point=make)
    try:
        answer = command("try", "OddOfTry-v0")
        assert answer.code == code, answer
        assert words in answer.out + answer.err
        assert "Traceback" not in answer.err
        answer = command("try", "OddOfTry-v0", "--parameters", "parameter=nan")
        assert answer.code == 1
        assert "invalid input: parameter = nan is not within [0, 1]" in answer.out
    finally:
        del gymnasium.registry["OddOfTry-v0"]
