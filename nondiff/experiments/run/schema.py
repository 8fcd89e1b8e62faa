"""What the JSON files of a run hold, as far as it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import FiniteFloat
from typing_extensions import NotRequired, TypedDict

from nondiff.agents.seeds import LARGEST_SEED
from nondiff.experiments.ranges import MOST_EPISODES, MOST_STEPS, MOST_THREADS

Name = Annotated[str, MaxLen(500)]
Steps = Annotated[int, Ge(0), Le(MOST_STEPS)]
Seconds = Annotated[FiniteFloat, Ge(0), Le(1e12)]


class RunConfig(TypedDict):
    """What `config.json` holds, as far as a run is looked at; an imported one has less."""

    env: Name
    env_arguments: dict[str, Any]
    wrappers: NotRequired[list[Name]]
    max_episode_steps: NotRequired[Annotated[int, Ge(1), Le(MOST_STEPS)] | None]
    strategy: Name
    seed: NotRequired[Annotated[int, Ge(0), Le(LARGEST_SEED)]]
    budget: NotRequired[Steps]
    checkpoint_every: NotRequired[Annotated[int, Ge(1), Le(MOST_STEPS)]]
    judge_episodes: NotRequired[Annotated[int, Ge(1), Le(MOST_EPISODES)]]
    threads: NotRequired[Annotated[int, Ge(1), Le(MOST_THREADS)]]
    evaluation: NotRequired[dict[str, Any]]
    hyperparameters: NotRequired[dict[str, Any]]
    versions: NotRequired[dict[str, str]]


class Model(TypedDict):
    """A model that a run has kept."""

    folder: Name
    steps: Steps
    score: Annotated[Sequence[float], MinLen(2), MaxLen(2)] | None


class Asked(TypedDict):
    """The options that a run goes on with, where they are not those that it began with."""

    budget: NotRequired[Steps]
    stop_at_success: NotRequired[FiniteFloat | None]
    stop_at_return: NotRequired[FiniteFloat | None]


class Interval(TypedDict):
    """An estimate with its interval."""

    value: float
    low: float
    high: float


class Result(TypedDict):
    """What the evaluation at the end came to."""

    episodes: Steps
    success: Interval | None
    return_mean: Interval


class Checkpoint(TypedDict):
    """A checkpoint that is part of a run's record, and what was spent up to it."""

    steps: Steps
    seconds: Seconds
    cpu_seconds: Seconds
    simulator_cpu_seconds: Seconds | None


class RunState(TypedDict):
    """What `run.json` holds, as far as it is used."""

    state: Literal["running", "interrupted", "failed", "finished", "imported"]
    models: dict[str, Model]
    steps: Steps
    config_sha256: Name
    signature: NotRequired[Name | None]
    checkpoint: NotRequired[Steps]
    checkpoints: NotRequired[Annotated[list[Checkpoint], MaxLen(100)]]
    seconds: NotRequired[Seconds]
    cpu_seconds: NotRequired[Seconds]
    asked: NotRequired[Asked]
    stopped_by: NotRequired[Literal["callback"]]
    updated: NotRequired[Name]
    latest: NotRequired[dict[str, float | None]]
    result: NotRequired[Result | None]
    ledger: NotRequired[dict[str, FiniteFloat | None]]
