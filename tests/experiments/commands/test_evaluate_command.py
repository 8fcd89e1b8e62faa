"""The evaluate command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from conftest import FEW_EPISODES, Answer, Command, script
from PIL import Image

from nondiff.agents.seeds import held_out_seeds

SHORT_FILM = ("--episodes", 1, "--random-episodes", 0, "--env-arg", "horizon=3")


@pytest.fixture
def run(reach: tuple[Path, Answer]) -> Path:
    return reach[0]


def judged(command: Command, *arguments: object) -> dict[str, Any]:
    answer = command("evaluate", *arguments, "--json")
    assert answer.code == 0
    assert answer.err == ""
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_the_table_shows_intervals_beside_a_random_policy(run: Path) -> None:
    answer = script("evaluate.py", run, "--episodes", 4, cwd=run)
    assert (answer.code, answer.err) == (0, "")
    for word in ("PandaReachDense-v0", "deterministic", "success", "IQM return", "random policy"):
        assert word in answer.out
    assert "%, " in answer.out
    assert len({len(line) for line in answer.out.splitlines()[1:]}) == 1  # columns line up


@pytest.mark.thorough
def test_json_repeats_itself_to_the_byte(run: Path, command: Command) -> None:
    answers = [command("evaluate", run, "--episodes", 6, "--json") for _ in range(2)]
    assert answers[0] == answers[1]
    data = json.loads(answers[0].out)
    assert data["first_seed"] == held_out_seeds(1)[0]
    policy, at_random = data["policies"]
    assert (policy["name"], at_random["name"]) == ("reach", "random policy")
    assert policy["episodes"] == at_random["episodes"] == 6
    for value in ("success", "return_mean", "return_iqm", "length_mean"):
        estimate = policy[value]
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert data["difference"] is None


@pytest.mark.thorough
def test_another_number_draws_another_held_out_list(run: Path, command: Command) -> None:
    few = ("--episodes", 3, "--random-episodes", 3)
    found = [judged(command, run, *few, "--seed", number) for number in (0, 7, 7)]
    assert found[1] == found[2]
    assert found[0] == judged(command, run, *few)
    assert found[1]["first_seed"] == held_out_seeds(1, 7)[0] != found[0]["first_seed"]
    assert found[1]["policies"] != found[0]["policies"]
    refused = command("evaluate", run, "--seed", -1)
    assert (refused.code, "--seed -1 is not from 0 to" in refused.err) == (2, True)


def test_the_judgement_of_training_is_the_same(run: Path, command: Command) -> None:
    state = json.loads((run / "run.json").read_text())
    (policy,) = judged(command, run, "--episodes", 5, "--random-episodes", 0)["policies"]
    assert {key: policy[key] for key in state["result"]} == state["result"]


def test_the_exit_code_follows_the_lower_bound(run: Path, command: Command) -> None:
    options = ("--episodes", 3, "--random-episodes", 0)
    low = judged(command, run, *options)["policies"][0]["success"]["low"]
    for bound, code in ((low, 0), (low + 1e-6, 1), (1.0, 1), (0.0, 0)):
        answer = command("evaluate", run, *options, "--min-success", bound)
        assert answer.code == code
        assert ("asked for" in answer.err) == (code == 1)


@pytest.mark.thorough
def test_two_runs_are_compared_seed_by_seed(run: Path, command: Command, tmp_path: Path) -> None:
    other = tmp_path / "other"
    train = ("--env", "nondiff/PandaReachDense-v0", "--budget", 128, "--seed", 6, *FEW_EPISODES)
    assert command("train", *train, "--runs", tmp_path, "--name", other.name).code == 0
    options = ("--episodes", 3, "--random-episodes", 0)
    data = judged(command, run, other, *options)
    first, second = data["policies"]
    assert [first["name"], second["name"]] == ["reach", "other"]
    for value, mean in (("episode_return", "return_mean"), ("length", "length_mean")):
        expected = second[mean]["value"] - first[mean]["value"]
        assert data["difference"][value]["value"] == pytest.approx(expected)
    assert data["difference"]["episode_return"]["value"] != 0
    swapped = judged(command, other, run, *options)["difference"]
    assert swapped["episode_return"]["value"] == -data["difference"]["episode_return"]["value"]
    itself = judged(command, run, run, *options)["difference"]
    assert itself["episode_return"] == {"value": 0, "low": 0, "high": 0}
    assert "second minus first" in command("evaluate", run, other, *options).out


def test_another_environment_and_drawn_actions(run: Path, command: Command) -> None:
    options = ("--episodes", 4, "--random-episodes", 0)
    data = judged(command, run, *options, "--env", "nondiff/PandaReach-v0", "--stochastic")
    assert (data["env"], data["deterministic"]) == ("nondiff/PandaReach-v0", False)
    sparse = data["policies"][0]
    failures = 4 - sparse["success"]["value"] * 4
    steps = sparse["length_mean"]["value"] * 4
    assert sparse["return_mean"]["value"] * 4 == pytest.approx(-steps + 4 - failures)
    shorter = judged(command, run, *options, "--env-arg", "horizon=3")
    assert shorter["policies"][0]["length_mean"]["value"] <= 3


@pytest.mark.thorough
def test_a_gif_shows_every_step(run: Path, command: Command, tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    arguments = (run, *SHORT_FILM, "--video-episodes", 2, "--video", film)
    assert command("evaluate", *arguments).code == 0
    with Image.open(film) as picture:
        assert picture.width == 4 / 3 * picture.height >= 320
        durations, colours = [], set()
        for number in range(picture.n_frames):
            picture.seek(number)
            durations.append(picture.info["duration"])
            colours.add(picture.convert("RGB").tobytes())
    assert sum(durations) >= 2 * 800  # the pause at each end
    assert len(colours) > 10
    assert [path.name for path in tmp_path.iterdir()] == [film.name]


def test_an_mp4_can_be_played(run: Path, command: Command, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    arguments = (run, *SHORT_FILM, "--video-episodes", 1, "--video", film)
    assert command("evaluate", *arguments).code == 0
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(film))
    assert frames >= 3 + 20  # of the steps and the pause
    assert seconds == pytest.approx(frames / 25, rel=0.1)
    reader = imageio_ffmpeg.read_frames(str(film))
    assert next(reader)["size"] == (640, 480)
    assert len(set(next(reader))) > 50  # a picture, not one colour
    reader.close()
    assert [path.name for path in tmp_path.iterdir()] == [film.name]
