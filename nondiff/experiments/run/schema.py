"""What a run's `config.json` and `run.json` hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, FiniteFloat, PrivateAttr
from typing_extensions import Self

from nondiff.agents.seeds import MAX_SEED
from nondiff.experiments.ranges import MAX_EPISODES, MAX_STEPS, MAX_THREADS

Name = Annotated[str, MaxLen(500)]
Steps = Annotated[int, Ge(0), Le(MAX_STEPS)]
MAX_SECONDS = 1e12
Seconds = Annotated[FiniteFloat, Ge(0), Le(MAX_SECONDS)]
Score = Annotated[Sequence[float], MinLen(2), MaxLen(2)]

StopReason = Literal["budget", "success", "return", "callback", "signal", "error", "killed"]


# Fields of the configuration by which a comparison knows its runs; the latter, where they are set.
COMPARED = ("env", "env_arguments", "strategy", "budget", "seed", "hyperparameters", "evaluation")
OPTIONAL = ("wrappers", "max_episode_steps")


class JsonObject(BaseModel):
    """An object of a JSON file; keys that this version does not know are kept."""

    # Strictly: a number in quotes is none, and would be met where it is computed with.
    model_config = ConfigDict(extra="allow", strict=True, populate_by_name=True)

    def to_json(self) -> dict[str, Any]:
        """Parsed JSON, of what was set."""
        return self.model_dump(exclude_unset=True)


class RunConfig(JsonObject):
    """What a run was asked for, which never changes; an imported run has less."""

    model_config = ConfigDict(frozen=True)
    _source: dict[str, Any] | None = PrivateAttr(None)

    env: Name
    env_arguments: dict[str, Any]
    wrappers: list[Name] = []
    max_episode_steps: Annotated[int, Ge(1), Le(MAX_STEPS)] | None = None
    env_folder: Annotated[str, MaxLen(4096)] | None = None
    strategy: Name
    budget: Steps = 0
    seed: Annotated[int, Ge(0), Le(MAX_SEED)] | None = None
    first_seeds_of_environments: dict[str, Any] = {}
    hyperparameters: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    held_out_episodes: Annotated[int, Ge(1), Le(MAX_EPISODES)] | None = Field(
        default=None, validation_alias=AliasChoices("held_out_episodes", "judge_episodes")
    )
    device: Any = None
    threads: Annotated[int, Ge(1), Le(MAX_THREADS)] | None = None
    checkpoint_every: Annotated[int, Ge(1), Le(MAX_STEPS)] | None = None
    demonstrations_sha256: Any = None
    imported_from: Any = None
    statistics: Any = None
    versions: dict[str, str] = {}
    platform: Any = None
    git_revision: Any = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Validate parsed JSON, and keep it: its signature is that of what was read."""
        config = cls.model_validate(data)
        config._source = data
        return config

    def to_json(self) -> dict[str, Any]:
        return super().to_json() if self._source is None else self._source

    def compared(self) -> dict[str, Any]:
        """What two runs of the same cell of a comparison have in common."""
        compared = {name: getattr(self, name) for name in COMPARED}
        return compared | {name: getattr(self, name) for name in OPTIONAL if getattr(self, name)}


class Model(JsonObject):
    """A model that a run has kept.

    `score` is the success rate and the mean return by which the best one is chosen.
    """

    folder: Name
    steps: Steps
    score: Score | None


class Asked(JsonObject):
    """The options that a run is resumed with, where they are not those that it began with."""

    budget: Steps = 0
    stop_at_success: FiniteFloat | None = None
    stop_at_return: FiniteFloat | None = None


class Interval(JsonObject):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


class Result(JsonObject):
    """The held-out evaluation of the best model."""

    episodes: Steps
    success: Interval | None
    return_mean: Interval


class Latest(JsonObject):
    """The latest evaluation during training."""

    success: float | None = None
    return_mean: float | None = None


class Spent(JsonObject):
    """What a training took.

    `simulator_cpu_seconds` is None where there is no black box, or it runs in other processes.
    """

    seconds: Seconds = 0.0
    cpu_seconds: Seconds = 0.0
    simulator_cpu_seconds: Seconds | None = None


class Checkpoint(Spent):
    """A checkpoint that is part of a run's record, and what was spent up to it."""

    steps: Steps


class Calls(JsonObject):
    """Calls of the environment, by what they were made for."""

    training_calls: Annotated[FiniteFloat, Ge(0)] = 0
    evaluation_calls: Annotated[FiniteFloat, Ge(0)] = 0
    held_out_calls: Annotated[FiniteFloat, Ge(0)] | None = Field(
        default=None, validation_alias=AliasChoices("held_out_calls", "judgement_calls")
    )
    simulator_cpu_seconds: FiniteFloat | None = None


class RunState(JsonObject):
    """How a run stands.

    `stop_reason` says why its latest session ended. It is None while that session is under way, and
    in runs of version 0.1.0.
    """

    model_config = ConfigDict(validate_assignment=True)

    state: Literal["running", "interrupted", "failed", "finished", "imported"]
    started: Any = None
    models: dict[str, Model]
    steps: Steps
    config_sha256: Name
    signature: Name | None = None
    checkpoint: Steps | None = None
    checkpoints: Annotated[list[Checkpoint], MaxLen(100)] | None = None
    seconds: Seconds = 0.0
    cpu_seconds: Seconds = 0.0
    asked: Asked = Asked()
    stop_reason: StopReason | None = None
    updated: Name | None = None
    latest: Latest | None = None
    result: Result | None = None
    ledger: Calls = Calls()
    error: Any = None
