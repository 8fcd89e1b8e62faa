"""Environments in processes of their own, made by a script without a guard, or from no file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from thorough_cases import thin

from nondiff.processes.main_module import GUARD

MADE = "print('made here')\n"  # by whichever process runs the script
VECTOR = """
import gymnasium
vector = gymnasium.make_vec("nondiff:nondiff/PandaReach-v0", num_envs=2)
print(vector.reset(seed=0)[0]["desired_goal"].shape)
vector.close()
"""
TRAINING = """
from nondiff.agents.api import train
from nondiff.agents.policies.network import MLP
from nondiff import PPO
import gymnasium
env = gymnasium.make("{env_id}")
policy = MLP.for_env(env)
config = PPO(num_envs=2, n_steps=16, batch_size=16, vec_env="processes")
print(train(policy, env, config, budget=32, seed=0).calls)
"""
OWN = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
class Own(CartPoleEnv):
    pass
gymnasium.register("Own-v0", entry_point=Own, max_episode_steps=20)
"""
OWN_VECTOR = """
from nondiff.processes.vector_env import ParallelVectorEnv
vector = ParallelVectorEnv(Own, num_envs=2)
print(vector.reset(seed=0)[0].shape)
vector.close()
"""


def run(*arguments: str | Path, script: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], input=script, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.py"


def test_a_script_needs_no_guard_for_our_environments(file: Path) -> None:
    file.write_text(MADE + VECTOR)
    done = run(file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "made here\n(2, 3)\n"  # once


@pytest.mark.parametrize("arguments", thin([("-",), ("-c", MADE + VECTOR), ("-i", "-")], [("-",)]))
def test_nor_does_what_is_in_no_file(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, script=MADE + VECTOR)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "made here\n(2, 3)\n"


@pytest.mark.thorough
@pytest.mark.parametrize("env_id", ["nondiff:nondiff/PandaReachDense-v0", "CartPole-v1"])
def test_a_training_in_processes_needs_no_guard(file: Path, env_id: str) -> None:
    script = MADE + TRAINING.format(env_id=env_id)
    file.write_text(script)
    for done in (run(file), run("-", script=script)):
        assert done.returncode == 0, done.stderr
        assert done.stdout == "made here\n32\n"


@pytest.mark.thorough
@pytest.mark.parametrize("use", [OWN_VECTOR, pytest.param(TRAINING, marks=pytest.mark.thorough)])
def test_what_a_script_defines_needs_the_guard(file: Path, use: str) -> None:
    use = use.format(env_id="Own-v0")
    file.write_text(OWN + use)
    done = run(file)
    assert done.returncode == 1
    assert f"has to do so below `{GUARD}`" in done.stderr.splitlines()[-1]
    below = "\n    ".join((GUARD, *use.splitlines()))  # as it says
    file.write_text(OWN + below)
    done = run(file)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("use", [OWN_VECTOR, pytest.param(TRAINING, marks=pytest.mark.thorough)])
def test_what_is_defined_in_no_file_needs_one(use: str) -> None:
    use = use.format(env_id="Own-v0")
    for arguments in (("-",), ("-c", OWN + use)):
        done = run(*arguments, script=OWN + use)
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert "put them into a file" in last
        assert GUARD in last
