"""The result of an evaluation of policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nondiff.env_recipe import EnvRecipe
from nondiff.experiments.evaluation.episodes import Episode
from nondiff.experiments.evaluation.statistics import PairedDifference, Summary


@dataclass(frozen=True)
class PolicyEvaluation:
    """The episodes of one policy, and their statistics.

    Args:
        name: of the run folder, or "random policy".
        episodes: one a seed.
        summary: success rate, return and length, with 95 % intervals.
    """

    name: str
    episodes: list[Episode]
    summary: Summary


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Args:
        recipe: the environment.
        deterministic: whether the most likely actions were taken.
        policies: those evaluated, the random one last.
        difference: between the first two, where two runs were compared.
    """

    recipe: EnvRecipe
    deterministic: bool
    policies: list[PolicyEvaluation]
    difference: PairedDifference | None

    @property
    def summary(self) -> Summary:
        """The statistics of the first run."""
        return self.policies[0].summary

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types, without single episodes."""
        return {
            "env": self.recipe.id,
            "env_arguments": dict(self.recipe.arguments),
            **self.recipe.more(),
            "deterministic": self.deterministic,
            "first_seed": self.policies[0].episodes[0].seed,
            "policies": [{"name": one.name, **one.summary.to_json()} for one in self.policies],
            "difference": self.difference.to_json() if self.difference else None,
        }
