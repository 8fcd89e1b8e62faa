"""What benchmarks of the arm's scripted experts have in common."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gymnasium

from nondiff.agents.seeds import held_out_seeds
from nondiff.agents.strategy import Policy
from nondiff.envs import ENVIRONMENTS
from nondiff.envs.arm.experts import EXPERTS
from nondiff.envs.arm.experts.expert import find_expert
from nondiff.experiments.evaluation.episodes import Episode, play


def sparse_ids() -> list[str]:
    """The environments that have an expert, without their dense variants, which it plays alike."""
    ids = [env_id for env_id, (entry, _) in ENVIRONMENTS.items() if entry in EXPERTS]
    return [env_id for env_id in ids if "Dense" not in env_id]


def episodes(
    env_id: str, count: int, policy: Policy | None = None, **arguments: Any
) -> list[Episode]:
    """Episodes on fixed seeds that no training sees.

    Args:
        env_id: of the environment.
        count: of episodes.
        policy: who plays; None: the environment's expert.
        arguments: of the environment.
    """
    with closing(gymnasium.make(env_id, **arguments)) as env:
        return play(env, find_expert(env) if policy is None else policy, held_out_seeds(count))
