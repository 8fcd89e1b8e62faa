"""What the README shows works as it stands there."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from nondiff.requirements import NEEDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
HELPS = (
    ["train.py"],
    ["train.py", "--strategy", "sac"],
    ["train.py", "--resume", "RUN"],
    ["evaluate.py"],
    *(["-m", "nondiff", name] for name in ("runs", "export", "import", "compare")),
    ["-m", "nondiff", "check-gradients"],
    ["benchmarks/reach.py"],
    ["benchmarks/arm_throughput.py"],
    ["benchmarks/checkpoint_cost.py"],
    ["benchmarks/strategies.py"],
    ["benchmarks/process_overhead.py"],
    ["benchmarks/doom.py"],
    ["benchmarks/design.py"],
    ["-m", "nondiff", "doctor"],
)


def help_of(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """In this process, which saves the seconds of a start."""
    module, *arguments = command[1:] if command[0] == "-m" else [ROOT / command[0], *command[1:]]
    runs = runpy.run_module if command[0] == "-m" else runpy.run_path
    with (
        patch.object(sys, "argv", [str(module), *arguments, "--help"]),
        patch.object(sys, "path", [str((ROOT / command[0]).parent), *sys.path]),
        pytest.raises(SystemExit) as end,
    ):
        runs(str(module), run_name="__main__")
    assert not end.value.code
    return capsys.readouterr().out


def test_every_option_in_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    helps = "".join(help_of(command, capsys) for command in HELPS)
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--help"}
    assert options
    assert {option for option in options if not re.search(rf"{option}[ ,\n]", helps)} == set()


def test_every_file_in_the_readme_exists() -> None:
    paths = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert paths
    assert [path for path in paths if not (ROOT / path.partition("#")[0]).exists()] == []


@pytest.mark.thorough
def test_the_example_of_a_function_learns() -> None:
    example = next(
        block
        for block in re.findall(r"```python\n(.*?)```", README, re.S)
        if "FunctionBox" in block
    )
    names: dict[str, Any] = {}
    exec(example, names)
    believed = [row["surrogate/true_return"] for _, row in names["result"].history[1:-1]]
    assert names["result"].calls == 200
    assert max(believed[-3:]) > believed[0]


@pytest.mark.thorough
def test_the_strategies_page_trains_one_network_after_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs" / "strategies.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(example, {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "surrogate",
        "manual",
        "ppo",
    ]


@pytest.mark.thorough
def test_the_plain_stable_baselines3_example_learns() -> None:
    example = next(
        block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "PPO(" in block
    )
    names: dict[str, Any] = {}
    exec(example, names)
    env, model = names["env"], names["model"]
    successes = 0
    for seed in range(1000, 1050):
        observation, done = env.reset(seed=seed)[0], False
        while not done:
            action, _ = model.predict(observation, deterministic=True)
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        successes += info["is_success"]
    assert successes >= 45


@pytest.mark.thorough
def test_the_generated_parts_of_the_pages_are_up_to_date() -> None:
    lacking = [need.install for need in NEEDS.values() if not need.is_met()]
    if lacking and not os.environ.get("CI"):
        pytest.skip(f"the environments that the pages describe can't be made: {lacking}")
    command = [sys.executable, ROOT / "docs" / "make_pages.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_runs_every_target_that_it_names_whichever_fails() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    targets = re.findall(r"^make ([\w-]+) \|\| status=1$", script, re.M)
    assert targets == ["test", "check", "test-thorough"]
    assert script.endswith("exit $status\n")
    makefile = (ROOT / "Makefile").read_text()
    assert [name for name in targets if f"\n{name}: " not in makefile] == []
    assert "\nmake test " in README
