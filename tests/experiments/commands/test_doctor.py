"""What is missing is said with the command that gets it, by the doctor and by environments."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Command
from simulators import needs
from thorough_cases import some_thorough

from nondiff.agents.policies.model import load_policy
from nondiff.env_recipe import EnvRecipe
from nondiff.envs import ENVIRONMENTS, needs_of
from nondiff.errors import MissingDependencyError
from nondiff.requirements import NEEDS, Need

EXTRAS = {n.name for n in NEEDS.values() if "[" in n.install and n.name != "minari"}
PROGRAMS = [need for need in NEEDS.values() if need.kind == "program"]


def family_of(need_name: str) -> list[str]:
    return [
        env_id for env_id in ENVIRONMENTS if need_name in [need.name for need in needs_of(env_id)]
    ]


def test_the_doctor_names_versions_environments_and_the_isolation(command: Command) -> None:
    answer = command("doctor")
    assert answer.code == 0
    for name in ("python", "torch", "gymnasium", *NEEDS, *ENVIRONMENTS):
        assert name in answer.out
    assert "isolation of external programs: " in answer.out


@pytest.mark.parametrize("need", PROGRAMS, ids=lambda need: need.name)
def test_a_missing_program_is_said_with_the_command_that_installs_it(
    need: Need, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (env_id, *_) = family_of(need.name)
    with pytest.raises(MissingDependencyError) as caught:
        EnvRecipe(env_id).make()
    assert str(caught.value) == f"the program {need.name} is missing: {need.install}"
    answer = command("doctor", "--env", env_id)
    assert answer.code == 1
    assert f"needs {need.name}: {need.install}" in " ".join(answer.out.split())
    assert f"to get what is missing: {need.install}\n" in answer.out
    assert f"{env_id} can't be used: {caught.value}\n" in answer.out
    trained = command("train", "--env", env_id, "--budget", "8")
    assert (trained.code, trained.err) == (2, f"error: {caught.value}\n")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name",
    some_thorough(
        [n.name for n in NEEDS.values() if "[" in n.install and n.name != "minari"], ["vizdoom"]
    ),
)
def test_a_missing_extra_is_said_with_the_command_that_installs_it(name: str) -> None:
    (env_id, *_) = family_of(name)
    code = (
        f"import sys; sys.modules[{name!r}] = None\n"
        "from nondiff.experiments.commands.cli import run_command\n"
        f"run_command('train', ['--env', {env_id!r}], 'nondiff train')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert NEEDS[name].install in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_doctor_makes_the_environments_that_are_named(command: Command) -> None:
    answer = command("doctor", "--env", "nondiff/PandaReach-v0", "--env", "CartPole-v1")
    assert answer.code == 0
    assert "CartPole-v1 was made and reset" in answer.out
    wrong = command("doctor", "--env", "nondiff/PandaReech-v0")
    assert wrong.code == 1
    assert "did you mean nondiff/PandaReach-v0" in " ".join(wrong.out.split())


@needs("nec2c")
def test_a_policy_trained_elsewhere_acts_without_the_program(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--env", "nondiff/YagiAntenna-v0", "--strategy", "ppo", "--budget", 16)
    few = ("--num-envs", 1, "--n-steps", 16, "--batch-size", 16, "--eval-episodes", 2)
    few += ("--judge-episodes", 2, "--runs", tmp_path, "--name", "yagi")
    assert command("train", *arguments, *few).code == 0
    with EnvRecipe("nondiff/YagiAntenna-v0").opened() as env:
        observation, _ = env.reset(seed=0)
    monkeypatch.setenv("PATH", "/nowhere")
    (model,) = (tmp_path / "yagi" / "models").glob("*")
    assert np.isfinite(load_policy(model).predict(observation)).all()
    refused = command("evaluate", tmp_path / "yagi", "--episodes", 2)
    assert refused.code == 2
    assert NEEDS["nec2c"].install in refused.err
    monkeypatch.undo()
    assert command("evaluate", tmp_path / "yagi", "--episodes", 2).code == 0


def test_the_makefile_installs_every_program() -> None:
    (line,) = [
        line
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line.startswith("SIMULATORS")
    ]
    packages = line.partition("=")[2].split()
    assert sorted(packages) == sorted(need.install.split()[-1] for need in PROGRAMS)


def test_every_extra_is_in_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for need in NEEDS.values():
        if "[" in need.install:
            extra = need.install.partition("[")[2].partition("]")[0]
            assert f'\n{extra} = ["{need.name}' in text


@pytest.mark.skipif(not os.environ.get("CI"), reason="other machines may lack simulators")
def test_ci_lacks_no_simulator() -> None:
    assert [need.name for need in NEEDS.values() if not need.is_met()] == []
    assert importlib.util.find_spec("PyNEC") is not None
