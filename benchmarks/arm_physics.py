"""What a policy loses when it meets the other physics profile of the arm.

The scripted experts play the same episodes with each profile. Policies that PPO trained on
PandaReachDense with one are judged with both.

    python benchmarks/arm_physics.py                 # 200 episodes of each, some minutes
    python benchmarks/arm_physics.py --episodes 20 --seeds 1
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from arm_playing import episodes, sparse_ids
from measuring import run

from nondiff.agents.strategy import Policy
from nondiff.envs.arm.world.physics import PROFILES
from nondiff.experiments.evaluation.statistics import bootstrapped, wilson
from nondiff.experiments.run.folder import Run

Played = dict[str, Any]

LEARNT = "nondiff/PandaReachDense-v0"
HEADING = """# The arm's physics profiles

Success with its 95 % interval, and the mean of the steps of the solved episodes with its own.
`python benchmarks/arm_physics.py`.

## Scripted experts
The same {episodes} episodes with either profile.

{experts}

## Policies that PPO trained on PandaReachDense
{seeds} seeds, {episodes} episodes each.

{policies}
"""


@dataclass(frozen=True)
class Options:
    """Let experts and trained policies play with each physics profile."""

    episodes: int = 200
    """Episodes of each policy."""
    seeds: int = 3
    """Policies trained with each profile."""
    out: Path = Path("docs/results")
    """Where arm_physics.json and arm_physics.md are written."""


def judge(env_id: str, physics: str, policy: Policy | None, count: int) -> Played:
    """What a policy, or the expert, comes to on seeds that no training sees."""
    played = episodes(env_id, count, policy, physics=physics)
    return {
        "episodes": count,
        "steps": [episode.length for episode in played if episode.success],
    }


def train(physics: str, seed: int, runs: Path) -> Policy:
    """PPO's best policy, by the `train` command."""
    name = f"{physics}-{seed}"
    command = [sys.executable, "-m", "nondiff", "train", "--env", LEARNT, "--strategy", "ppo"]
    command += ["--env-arg", f"physics={physics}", "--seed", str(seed)]
    command += ["--name", name, "--runs", str(runs)]
    run(command, runs / f"{name}.log")
    return Run.open(runs / name).load_policy("best")


def experts(count: int) -> dict[str, dict[str, Played]]:
    """Of each environment and profile."""
    return {
        env_id: {physics: judge(env_id, physics, None, count) for physics in PROFILES}
        for env_id in sparse_ids()
    }


def policies(options: Options, runs: Path) -> dict[str, dict[str, Played]]:
    """Of the profile that policies were trained with and the one that judges them."""
    results: dict[str, dict[str, Played]] = {}
    for trained in PROFILES:
        learnt = [train(trained, seed, runs) for seed in range(options.seeds)]
        results[trained] = {
            judged: joined([judge(LEARNT, judged, one, options.episodes) for one in learnt])
            for judged in PROFILES
        }
    return results


def joined(played: Sequence[Played]) -> Played:
    """Several policies as one."""
    return {
        "episodes": sum(one["episodes"] for one in played),
        "steps": [steps for one in played for steps in one["steps"]],
    }


def cell(played: Played) -> str:
    """Success, and steps of the solved episodes."""
    share = wilson(len(played["steps"]), played["episodes"])
    steps = bootstrapped(played["steps"], np.mean)
    return (
        f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}], "
        f"{steps.value:.1f} [{steps.low:.1f}, {steps.high:.1f}]"
    )


def table(corner: str, results: dict[str, dict[str, Played]]) -> str:
    """A row an entry, a column a profile that it played with."""
    lines = [f"| {corner} | {' | '.join(f'`{name}`' for name in PROFILES)} |"]
    lines.append("|---" * (len(PROFILES) + 1) + "|")
    for name, row in results.items():
        lines.append(f"| `{name}` | {' | '.join(cell(row[physics]) for physics in PROFILES)} |")
    return "\n".join(lines)


def main(options: Options) -> None:
    """Measure, write and print."""
    by_experts = experts(options.episodes)
    with tempfile.TemporaryDirectory() as folder:
        by_policies = policies(options, Path(folder))
    text = HEADING.format(
        episodes=options.episodes,
        seeds=options.seeds,
        experts=table("the expert's environment", by_experts),
        policies=table("trained with", by_policies),
    )
    document = {"experts": by_experts, "policies": by_policies}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "arm_physics.json").write_text(json.dumps(document) + "\n")
    (options.out / "arm_physics.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main(tyro.cli(Options))
