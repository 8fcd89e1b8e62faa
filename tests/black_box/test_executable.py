"""Programs wrapped as black boxes: how they are given parameters, read, and described wrongly."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import ROOT
from fakesim_env import FAKESIM, REQUESTS, fakesim
from gymnasium.utils.env_checker import check_env
from suited import needs_choices

from nondiff.agents import STRATEGIES
from nondiff.agents.capabilities import supported
from nondiff.black_box import BlackBoxEnv
from nondiff.black_box.executable import Executable
from nondiff.errors import InvalidOptionError, MissingDependencyError, NondiffError
from nondiff.processes.sandbox import Limits

TUTORIAL = (ROOT / "docs" / "wrap_your_program.md").read_text()
PARAMETERS = {"a": (0, 1, "m"), "b": (-2, 2)}
OUTPUTS = {"y": (-100, 100, "N"), "z": (-100, 100)}
CONTEXTS = np.arange(40.0).reshape(20, 2)
ROW = np.array([[0.5, -0.25]])  # a = 0.75, b = -0.5


def box(command: Any, **options: Any) -> Executable:
    given: dict[str, Any] = {"parameters": PARAMETERS, "outputs": OUTPUTS, "contexts": CONTEXTS}
    return Executable(command, **{**given, **options})


def outcome(its: Executable) -> list[float]:
    with closing(its):
        return its.transition(np.zeros((1, 0)), ROW)[0].tolist()


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "deck.in"
    path.write_text("${a}$a $$5\n$b\n")
    return path


@pytest.mark.thorough
def test_the_tutorial_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TUTORIAL, re.S)
    assert len(blocks) >= 6
    names: dict[str, Any] = {}
    try:
        for block in blocks:
            exec(block, names)
        assert names["reward"] > -10
    finally:
        gymnasium.registry.pop("MyOscillator-v0", None)


def test_the_tutorials_links_exist() -> None:
    paths = re.findall(r"\]\(((?!http)[^)]+)\)", TUTORIAL)
    assert paths
    assert [path for path in paths if not (ROOT / "docs" / path).exists()] == []


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (["echo", "{parameters}"], {}),
        (["echo", "{a}", "{b}"], {}),
        (["sh", "-c", "echo '{{}}' >&2; echo {a},{b}"], {}),
        (["cat"], {"writes": "numbers"}),
        (["cat", "{input}"], {"writes": "numbers"}),
        (["sh", "-c", "cp {input} {output}; echo chatter"], {"writes": "numbers"}),
        (["tr", "ab", "yz"], {"writes": "json", "reads": "json"}),
        (["echo", "[{a}, {b}]"], {"reads": "json"}),
        (["echo", "z: {b} y: {a}"], {"reads": {"y": r"y: (\S+)", "z": r"z: (\S+)"}}),
        (["echo", "{a}/{b}"], {"reads": lambda text: text.split("/")}),
        (["cat"], {"writes": "numbers", "persistent": True}),
        (["tr", "ab", "yz"], {"writes": "json", "reads": "json", "accept": None}),
        (["cat", "here"], {"files": {"here": "0.75 -0.5"}, "writes": "numbers"}),
        (
            ["sh", "-c", "echo $Y {b} {a}"],
            {"environment": {"Y": "0.75"}, "reads": lambda t: t.split()[:2]},
        ),
    ],
)
def test_parameters_reach_a_program_and_outputs_come_back(
    command: list[str], options: dict[str, Any]
) -> None:
    assert outcome(box(command, **options)) == [0.75, -0.5]


def test_a_template_is_filled(template: Path) -> None:
    its = box(
        ["cat", "{input}"], writes=template, reads=lambda text: [text == "0.750.75 $5\n-0.5\n", 0]
    )
    assert outcome(its) == [1, 0]


def test_floats_are_written_so_that_every_bit_comes_back() -> None:
    its = box(["echo", "{parameters}"], parameters={"a": (0, 1 / 3), "b": (-1e-30, 1e-30)})
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    found = its.transition(np.zeros((20, 0)), actions)
    assert np.array_equal(found, its.parameters(actions))


@pytest.mark.parametrize(
    ("command", "options", "kind", "message"),
    [
        (["echo", "{a}"], {"writes": "json"}, "invalid output", "1 numbers instead of 2"),
        (["echo", "{a}", "{b}", "x"], {}, "invalid output", "'x' is not a number"),
        (
            ["echo", "{a}", "1000", "{b}"],
            {"reads": lambda t: t.split()[:2]},
            "invalid output",
            "z = 1000 is not within",
        ),
        (
            ["echo", "-1000", "{b}", "{a}"],
            {"reads": lambda t: t.split()[:2]},
            "invalid output",
            "y = -1000 N is not within",
        ),
        (["echo", '{{"y": {a}, "x": {b}}}'], {"reads": "json"}, "invalid output", "no 'z'"),
        (["echo", '{{"y": {a}, "z": "{b}"}}'], {"reads": "json"}, "invalid output", "no numbers"),
        (
            ["echo", '{{"y": {a}, "z": true}} {b}'],
            {"reads": "json"},
            "invalid output",
            "Extra data",
        ),
        (
            ["echo", "y", "{parameters}"],
            {"reads": {"y": "y (.)", "z": "z (.)"}},
            "invalid output",
            "no z",
        ),
        (
            ["echo", "no solution", "{parameters}"],
            {"nonconvergence": "no solu"},
            "nonconvergence",
            "'no solu'",
        ),
        (
            ["sh", "-c", "echo diverged >&2; echo {a} {b}"],
            {"nonconvergence": "diverged"},
            "nonconvergence",
            "'diverged'",
        ),
        (["sh", "-c", "echo {a} {b}; exit 1"], {}, "crash", "exited with code 1"),
        (
            ["sh", "-c", "touch x; : {a} {b}; mkdir {output}"],
            {},
            "invalid output",
            "'output' is not a file",
        ),
    ],
)
def test_what_is_no_outcome_is_a_failure_that_says_why(
    command: list[str], options: dict[str, Any], kind: str, message: str
) -> None:
    its = box(command, **options)
    assert np.isnan(outcome(its)).all()
    assert its.failures == {kind: 1}
    assert message in its.last_failure


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("echo {a}", {}, "must be a list of words"),
        ([], {}, "must be a list of words"),
        (["echo", "{a}"], {}, "does not name {b}"),
        (["echo", "{a}", "{c}"], {}, "names {c}; choose from a, b, input, output, parameters"),
        (["echo", "x{parameters}"], {}, "must be a word of its own"),
        (["echo", "{a:.3f}", "{b}"], {}, "plain names in braces"),
        (["echo", "{a", "{b}"], {}, "double a brace"),
        (["cat"], {"writes": "yaml"}, "'arguments', 'numbers', 'json' or the path of a template"),
        (["cat"], {"writes": Path("/no/such/file")}, "can't be read"),
        (["cat"], {"writes": "json", "reads": "xml"}, "'numbers', 'json', a regular expression"),
        (
            ["cat"],
            {"writes": "json", "reads": {"y": "(.)"}},
            "a regular expression for each of y, z",
        ),
        (["cat"], {"writes": "json", "reads": {"y": "(.)", "z": "("}}, "reads: z"),
        (["cat"], {"writes": "json", "reads": {"y": "(.)", "z": "."}}, "must have one group"),
        (["cat"], {"writes": "json", "nonconvergence": "("}, "nonconvergence"),
        (["cat", "{a}", "{b}"], {"persistent": True}, "can't name {a}"),
        (["cat"], {"persistent": True}, "must be 'numbers' or 'json'"),
        (["cat"], {"writes": "json", "parameters": {}}, "parameters must name one"),
        (
            ["cat"],
            {"writes": "json", "parameters": {"a": (1, 0)}},
            "a has low 1.0 not below high 0.0",
        ),
        (["cat"], {"writes": "json", "parameters": {"a": 1}}, "a is 1, not"),
        (["cat"], {"writes": "json", "parameters": {"a b": (0, 1)}}, "'a b' is not a name"),
        (["cat"], {"writes": "json", "parameters": {"input": (0, 1)}}, "can be called 'input'"),
        (["cat"], {"writes": "json", "outputs": {"y": (0, "x"), "z": (0, 1)}}, "y is"),
        (["cat"], {"writes": "json", "outputs": {"y": (0, 1)}}, "give a reward"),
        (["cat"], {"writes": "json", "files": {"../x": "1"}}, "can't name a file"),
        (["cat"], {"writes": "json", "files": {"x": Path("/no/such")}}, "files: x"),
        (["cat"], {"writes": "json", "workers": 0}, "1 worker or more"),
    ],
)
def test_a_description_that_can_not_be_meant_is_refused_by_name(
    command: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidOptionError, match=message.replace("{", r"\{")) as caught:
        box(command, **options)
    assert isinstance(caught.value, NondiffError)


@pytest.mark.parametrize("text", ["$a", "$a $b $c", "$a $b $"])
def test_a_template_that_does_not_fit_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "deck").write_text(text)
    with pytest.raises(InvalidOptionError, match=r"the template .*deck"):
        box(["cat"], writes=tmp_path / "deck")


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(MissingDependencyError, match="'/no/such/program' is missing"):
        box(["/no/such/program"], writes="json")


def test_a_relative_program_is_found_from_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "forward"
    program.write_text("#!/bin/sh\necho $1 $2\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    its = box(["./forward", "{parameters}"])
    monkeypatch.chdir("/")
    assert outcome(its) == [0.75, -0.5]


@pytest.mark.parametrize("persistent", [False, True])
def test_it_is_an_environment_with_the_units_of_its_program(persistent: bool) -> None:
    with closing(BlackBoxEnv(fakesim("exit", persistent, threshold=2, timeout=20))) as env:
        check_env(env, skip_render_check=True)
        assert isinstance(env.box, Executable)
        assert [q.unit for q in env.box.results.values()] == ["m", "m"]
        plain = {name for name in STRATEGIES if not needs_choices(name)}
        assert set(supported(env)) == plain - {"manual", "autodiff"}


def test_gradients_can_be_offered_beside_a_program() -> None:
    words = [sys.executable, "-I", "-S", str(FAKESIM), "once", "exit", "2", "{parameters}"]
    its = Executable(
        words,
        parameters={"x0": (0, 1), "x1": (0, 1)},
        outputs={"sum": (-10, 10), "difference": (-10, 10)},
        contexts=REQUESTS,
        jacobian=lambda p: [[2 * p[0], 1], [1, -1]],
        gradient_cost=0,
        limits=Limits(timeout=20),
    )
    action, step = np.zeros((1, 2)), 1e-5
    found = its.jacobian(np.zeros((1, 0)), action, its.transition(np.zeros((1, 0)), action))[0]
    for column, shift in enumerate(step * np.eye(2)):
        ends = its.transition(np.zeros((2, 0)), np.array([shift, -shift]))
        np.testing.assert_allclose(found[:, column], (ends[0] - ends[1]) / (2 * step), atol=1e-8)
