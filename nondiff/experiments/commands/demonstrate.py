"""The `demonstrate` command: episodes of a scripted expert, as a Minari dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from nondiff import __version__
from nondiff.agents.demonstrations.dataset import DATA
from nondiff.env_recipe import EnvRecipe, env_arguments
from nondiff.envs.arm.experts import EXPERTS
from nondiff.envs.arm.experts.expert import Expert, find_expert
from nondiff.envs.arm.randomization.randomization import Randomization, parsed_randomization
from nondiff.errors import RunError
from nondiff.experiments.evaluation.episodes import play
from nondiff.experiments.evaluation.recording import Recorder, Values, write_dataset
from nondiff.experiments.ranges import MAX_EPISODES, check_ranges
from nondiff.experiments.stopping import Stop
from nondiff.experiments.terminal.console import out
from nondiff.experiments.terminal.parsing import parse_options

MAX_SEED = 2**30 - MAX_EPISODES  # below the seeds that select and evaluate models


@dataclass(frozen=True)
class DemonstrateOptions:
    """Let a scripted expert play, and keep its episodes as a Minari dataset."""

    env: str
    """Id of a registered environment that has an expert: those on the robot arm."""
    out: Path
    """Folder of the dataset; never one that exists."""
    episodes: int = 100
    """Episodes played."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, an argument of the environment; repeat for more."""
    seed: int = 0
    """Seed of the first episode; the others follow it."""
    failures: bool = False
    """Keep the episodes in which the expert failed too."""
    action_noise: float = 0.0
    """Disturb each episode's actions by Gaussian noise of a standard deviation drawn from 0 to
    this, in units of half an action's range. What is kept is the action that the expert wanted, so
    that it shows how to recover (Laskey et al. 2017, "DART", arXiv:1703.09327)."""


@dataclass
class Count:
    """What was played, and what of it was kept."""

    played: int = 0
    solved: int = 0
    kept: int = 0
    steps: int = 0


def parse(arguments: list[str], prog: str) -> DemonstrateOptions:
    """Parse a command line."""
    return parse_options(DemonstrateOptions, arguments, prog)


def demonstrate(options: DemonstrateOptions, stop: Stop) -> int:
    """Play and write; returns the exit code. A signal ends it after a whole episode.

    Raises:
        UnknownNameError, InvalidOptionError: no such environment, no expert for it, or a number
            out of its range.
        MissingDependencyError: Minari is not installed.
        RunError: the folder exists or can't be written, or there is no episode to keep.
        Interrupted: by a signal; the episodes before it are kept.
    """
    check_ranges(
        {
            "episodes": (options.episodes, 1, MAX_EPISODES),
            "seed": (options.seed, 0, MAX_SEED),
            "action_noise": (options.action_noise, 0.0, 1.0),
        }
    )
    recipe = EnvRecipe.typed(options.env, env_arguments(options.env_arg))
    count = Count()
    with recipe.opened() as env:
        expert = find_expert(env)
        disturbed = _disturbed(recipe, options.action_noise)
        episodes = _episodes(Recorder(env), expert, options, disturbed, count, stop)
        write_dataset(options.out, env, episodes, _facts(recipe, options.action_noise))
    out(
        f"solved {count.solved:,} of {count.played:,} episodes; kept {count.kept:,}, "
        f"{count.steps:,} steps: {options.out}",
        f"read them: minari.MinariDataset({str(options.out / DATA)!r})",
    )
    stop.check()
    return 0


def _episodes(
    recorder: Recorder,
    expert: Expert,
    options: DemonstrateOptions,
    disturbed: dict[str, Any] | None,
    count: Count,
    stop: Stop,
) -> Iterator[Values]:
    for seed in range(options.seed, options.seed + options.episodes):
        if stop.signum is not None:
            break
        (episode,) = play(recorder, expert, [seed], options=disturbed)
        count.played += 1
        count.solved += bool(episode.success)
        if episode.success or options.failures:
            count.kept += 1
            count.steps += episode.length
            yield recorder.episode()
    if not count.kept:
        stop.check()
        raise RunError(f"the expert solved none of {count.played:,} episodes; nothing was written")


def _disturbed(recipe: EnvRecipe, noise: float) -> dict[str, Any] | None:
    """What each episode's reset is given, so that actions have noise."""
    if not noise:
        return None
    usual = parsed_randomization(recipe.arguments.get("randomization")) or Randomization()
    return {"randomization": replace(usual, action_noise=(0.0, noise))}


def _facts(recipe: EnvRecipe, noise: float) -> dict[str, Any]:
    spec = recipe.spec()
    noisy = f", its actions disturbed by noise of 0 to {noise:g}" if noise else ""
    return {
        "dataset_id": f"{spec.namespace}/{spec.name}/expert-v{spec.version or 0}",
        "algorithm_name": EXPERTS.get(str(spec.entry_point), ""),
        "description": f"A scripted expert of nondiff {__version__} in {spec.id}{noisy}.",
        "requirements": [f"nondiff=={__version__}"],
    }
