"""Judges the last model of a run on data that training never saw, and keeps each episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from nondiff.agents.seeds import judgement_seeds
from nondiff.envs.errors import RunError
from nondiff.experiments.episodes import play
from nondiff.experiments.files import read_json, write_json
from nondiff.experiments.metrics import read_metrics
from nondiff.experiments.runs import METRICS, Run

EVALUATION = "evaluation"  # begins the names of what an evaluation during training writes


class Judgement(TypedDict):
    """What a cell came to, as its record holds it.

    The last model is judged, for choosing the best one costs calls that no budget counts.
    """

    state: Literal["judged"]
    model_steps: int
    env_arguments: dict[str, Any]
    returns: list[float]  # one an episode
    lengths: list[int]
    failed: list[bool]
    success: list[bool] | None  # None where it is not reported
    steps: int  # calls spent on training
    evaluation_calls: int  # made by evaluations during training, which no budget counts
    test_calls: int  # needed by the trained policy to answer
    cpu_seconds: float
    seconds: float


class Refusal(TypedDict):
    """That a cell failed, or was refused, and why."""

    state: Literal["failed"]
    error: str


def judge(run: Run, episodes: int) -> Judgement:
    """Play episodes on the judgement seeds with the last model of a run.

    Raises:
        NondiffError: there is no model, it is damaged, or the environment failed.
    """
    from nondiff.experiments.evaluate import check_spaces

    policy, recipe = run.load_policy("last"), run.recipe.held_out()
    with recipe.opened() as env:
        check_spaces(str(run.folder), policy, env)
        played = play(env, policy, judgement_seeds(episodes))
    rated = all(episode.success is not None for episode in played)
    return Judgement(
        state="judged",
        model_steps=run.state["models"]["last"]["steps"],
        env_arguments=dict(recipe.arguments),
        returns=[episode.episode_return for episode in played],
        lengths=[episode.length for episode in played],
        failed=[episode.failed for episode in played],
        success=[bool(episode.success) for episode in played] if rated else None,
        steps=int(run.state["steps"]),
        evaluation_calls=_evaluation_calls(run),
        test_calls=0,
        cpu_seconds=float(run.state.get("cpu_seconds", 0.0)),
        seconds=float(run.state.get("seconds", 0.0)),
    )


def _evaluation_calls(run: Run) -> int:
    rows = read_metrics(run.folder / METRICS)
    episodes, length = f"{EVALUATION}/episodes", f"{EVALUATION}/length_mean"
    return round(sum(row[episodes] * row[length] for row in rows if episodes in row))


def write_record(path: Path, record: Judgement | Refusal) -> None:
    """Note what a cell came to, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)


def read_record(path: Path) -> Judgement | Refusal | None:
    """What a cell came to; None: nothing yet.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return None
    kinds: TypeAdapter[Judgement | Refusal] = TypeAdapter(Judgement | Refusal)
    try:
        return kinds.validate_python(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"{path} is damaged: {first['loc']}: {first['msg']}; remove it") from error
