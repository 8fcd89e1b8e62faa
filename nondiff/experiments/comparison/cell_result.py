"""Evaluates the last model of a run on held-out data, and records each episode."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from nondiff.agents.seeds import held_out_seeds
from nondiff.errors import RunError
from nondiff.experiments.evaluation.episodes import play
from nondiff.experiments.ranges import MAX_STEPS, Return
from nondiff.experiments.run.file_names import METRICS
from nondiff.experiments.run.files import read_json, write_json
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.metrics import evaluation_calls, read_metrics
from nondiff.files.safe_path import SafePath
from nondiff.validation import first_fault

Count = Annotated[int, Ge(0), Le(MAX_STEPS)]
Seconds = Annotated[float, Ge(0), Le(1e12)]


class CellResult(TypedDict):
    """The result of a cell, as its record holds it.

    The last model is evaluated, since selecting the best one costs calls that no budget counts.
    """

    state: Literal["evaluated"]
    model_steps: Count
    env_arguments: dict[str, Any]
    returns: list[Return]  # one an episode
    lengths: list[Count]
    failed: list[bool]
    success: list[bool] | None  # None where it is not reported
    steps: Count  # calls spent on training
    evaluation_calls: Count  # made by evaluations during training, which no budget counts
    test_calls: Count  # needed by the trained policy to answer
    cpu_seconds: Seconds
    seconds: Seconds


class Refusal(TypedDict):
    """That a cell failed, or was refused, and why."""

    state: Literal["failed"]
    error: str


def evaluate_last(run: Run, episodes: int) -> CellResult:
    """Play episodes on the held-out seeds with the last model of a run.

    Raises:
        NondiffError: there is no model, it is damaged, or the environment failed.
    """
    from nondiff.experiments.evaluation.fit import check_spaces

    policy, recipe = run.load_policy("last"), run.recipe.held_out()
    with recipe.opened() as env:
        check_spaces(str(run.folder), policy, env)
        played = play(env, policy, held_out_seeds(episodes))
    rated = all(episode.success is not None for episode in played)
    return CellResult(
        state="evaluated",
        model_steps=run.state.models["last"].steps,
        env_arguments=dict(recipe.arguments),
        returns=[episode.episode_return for episode in played],
        lengths=[episode.length for episode in played],
        failed=[episode.failed for episode in played],
        success=[bool(episode.success) for episode in played] if rated else None,
        steps=run.state.steps,
        evaluation_calls=sum(evaluation_calls(read_metrics(run.files / METRICS)).values()),
        test_calls=0,
        cpu_seconds=run.state.cpu_seconds,
        seconds=run.state.seconds,
    )


def write_record(path: SafePath, record: CellResult | Refusal) -> None:
    """Record the result of a cell, atomically and durably."""
    path.parent.make_folder()
    write_json(path, record)


def read_record(path: Path | SafePath) -> CellResult | Refusal | None:
    """The result of a cell; None: there is none yet.

    Raises:
        RunError: the file is damaged.
    """
    path = SafePath.of_file(path)
    if path.kind() is None:
        return None
    kinds: TypeAdapter[CellResult | Refusal] = TypeAdapter(CellResult | Refusal)
    try:
        found = read_json(path)
        if found.get("state") == "judged":  # as version 0.1.0 wrote it
            found["state"] = "evaluated"
        record = kinds.validate_python(found)
    except ValidationError as error:
        raise RunError(f"{path} is damaged: {first_fault(error)}; remove it") from error
    if record["state"] == "evaluated":
        _check_lengths(path, record)
    return record


def _check_lengths(path: SafePath, record: CellResult) -> None:
    lengths = {len(record["returns"]), len(record["lengths"]), len(record["failed"])}
    if record["success"] is not None:
        lengths.add(len(record["success"]))
    if len(lengths) != 1 or 0 in lengths:
        raise RunError(f"{path} is damaged: its lists have not one entry an episode; remove it")
