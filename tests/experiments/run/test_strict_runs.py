"""Numbers of a run's files are numbers within their ranges, or the run is refused as damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

ODD: list[tuple[str, tuple[str, ...], Any]] = [
    ("config.json", ("budget",), "900"),
    ("config.json", ("seed",), "5"),
    ("config.json", ("seed",), 2**64),
    ("config.json", ("held_out_episodes",), "1"),
    ("config.json", ("held_out_episodes",), 0),
    ("config.json", ("checkpoint_every",), 0),
    ("config.json", ("checkpoint_every",), "200"),
    ("config.json", ("max_episode_steps",), "50"),
    ("config.json", ("max_episode_steps",), True),
    ("config.json", ("hyperparameters", "sigma"), "0.1"),
    ("config.json", ("hyperparameters", "num_envs"), "abc"),
    ("config.json", ("hyperparameters", "num_envs"), [1]),
    ("config.json", ("evaluation", "every"), "200"),
    ("run.json", ("asked",), {"budget": "900"}),
    ("run.json", ("asked",), {"stop_at_return": float("nan")}),
    ("run.json", ("models", "best", "steps"), "600"),
    ("run.json", ("steps",), "64"),
    ("run.json", ("ledger", "training_calls"), float("nan")),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from nondiff.experiments.commands.cli import run_command

    home = tmp_path_factory.mktemp("strict")
    few = ("--eval-every", "64", "--eval-episodes", "1", "--judge-episodes", "1")
    options = ("--env", "CartPole-v1", "--strategy", "cma-es", "--budget", "64", *few)
    with pytest.raises(SystemExit) as end:
        run_command("train", [*options, "--runs", str(home), "--name", "r"], "nondiff train")
    assert end.value.code == 0
    return home / "r"


@pytest.mark.parametrize(("file", "place", "value"), ODD)
def test_an_odd_number_is_refused_before_anything_is_written(
    file: str, place: tuple[str, ...], value: Any, made: Path, command: Command
) -> None:
    before = (made / file).read_text()
    data = json.loads(before)
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (made / file).write_text(json.dumps(data))
    other = (made / ("run.json" if file == "config.json" else "config.json")).read_bytes()
    try:
        answer = command("train", "--resume", made, "--budget", 128)
        assert answer.code == 2
        assert "Traceback" not in answer.err
        assert "damaged" in answer.err or "altered since the run began" in answer.err
        assert (
            made / ("run.json" if file == "config.json" else "config.json")
        ).read_bytes() == other
    finally:
        (made / file).write_text(before)
