"""The `evaluate` command: how good a trained policy is, and against another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium
import tyro

from nondiff.agents.seeds import MAX_SEED, held_out_seeds
from nondiff.agents.strategy import TrainedPolicy
from nondiff.env_recipe import EnvRecipe, env_arguments
from nondiff.errors import InvalidOptionError, UntrustedError
from nondiff.experiments.evaluation.episodes import RandomPolicy, play
from nondiff.experiments.evaluation.evaluation import Evaluation, PolicyEvaluation
from nondiff.experiments.evaluation.fit import check_spaces
from nondiff.experiments.evaluation.statistics import Summary, paired_difference, summarize
from nondiff.experiments.evaluation.table import print_table
from nondiff.experiments.ranges import MAX_EPISODES, MAX_STEPS, MAX_THREADS, check_ranges
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.trust import is_data, options_for
from nondiff.experiments.terminal.console import err, out_json
from nondiff.experiments.terminal.parsing import AnyPath, parse_options
from nondiff.gym.named_modules import folder_of

PATHS = tyro.conf.arg(metavar="[PATH [PATH ...]]")
NOT_GOOD_ENOUGH = 1  # exit code where --min-success is missed


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate the policy of a run on fixed seeds, beside a random one; or compare two runs."""

    runs: Annotated[tuple[Path | str, ...], tyro.conf.Positional, PATHS]
    """One run folder, or two to compare on the same seeds."""
    episodes: int = 100
    """Episodes, on the first so many of a list of seeds that no training uses."""
    random_episodes: int = 20
    """Episodes of the random policy, on the same seeds; 0: none."""
    seed: int = 0
    """Another list of held-out seeds for another number; 0: the one on which a run is evaluated at
    its end."""
    model: Literal["best", "last"] = "best"
    """Which model of the run."""
    stochastic: bool = False
    """Draw actions instead of taking the most likely one."""
    env: str | None = None
    """Another environment with the same spaces, bounds of actions included; None: the first run's
    own."""
    trust: bool = False
    """Import and start what somebody else's run names, which may be any code."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, an argument of the environment that replaces the run's; repeat for more."""
    wrapper: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A wrapper to put the environment in, beside the run's own; see train."""
    max_episode_steps: int | None = None
    """Truncate episodes after so many steps; None: as in the run, or as registered with --env."""
    json: bool = False
    """Print JSON instead of a table."""
    min_success: float | None = None
    """Exit with 1 unless the lower bound of the first run's success interval reaches this."""
    video: AnyPath | None = None
    """Film some episodes into this .mp4 or .gif file."""
    video_episodes: int = 5
    """Episodes filmed."""
    render: Literal["none", "human"] = "none"
    """Show the episodes in a window as they are played."""
    threads: int = 1
    """Threads of torch."""


def parse(arguments: list[str], prog: str) -> EvaluateOptions:
    """Parse a command line."""
    return parse_options(EvaluateOptions, arguments, prog)


def print_evaluation(options: EvaluateOptions) -> int:
    """Evaluate, and print the result; returns the exit code.

    Raises:
        NondiffError: what `evaluate` raises; or the environment reports no success, and
            --min-success asks for some.
    """
    result, film = _evaluated(options)
    out_json(result.to_json()) if options.json else print_table(result)
    if options.video is not None:
        film(note=err)
        count = options.video_episodes
        err(f"filmed {count} episode{'s' * (count != 1)} in {options.video} (--video-episodes)")
    return _exit_code(options, result.summary)


def evaluate(options: EvaluateOptions | Path | str) -> Evaluation:
    """Evaluate the policy of a run on held-out episodes, as the command `evaluate` does.

    Nothing is printed: of the command's options, `json` and `min_success` change nothing here.

    Args:
        options: those of the command, or a run folder.

    Raises:
        RunError: a folder that is no run.
        DamagedModelError: a model that was altered.
        InvalidOptionError: an option out of its range, or runs that can't be compared.
    """
    import torch

    if not isinstance(options, EvaluateOptions):
        options = EvaluateOptions((options,))
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            result, film = _evaluated(options)
            film()
    finally:
        torch.set_num_threads(threads)
    return result


def _evaluated(options: EvaluateOptions) -> tuple[Evaluation, Callable[..., None]]:
    """The result, and what films the first policy if a film is asked for."""
    import torch

    _check(options)
    torch.set_num_threads(options.threads)
    runs = [Run.open(Path(folder), options.trust) for folder in options.runs]
    recipe = _recipe(options, runs)
    policies = [run.load_policy(options.model) for run in runs]
    if options.video is not None:
        from nondiff.experiments.evaluation.video import check_film

        check_film(recipe, Path(options.video), held_out_seeds(1, options.seed)[0])
    mode = "human" if options.render == "human" else None
    with recipe.opened(render_mode=mode) as env:
        for run, policy in zip(runs, policies, strict=True):
            check_spaces(str(run.folder), policy, env)
        found = [_play(run, p, env, options) for run, p in zip(runs, policies, strict=True)]
    if options.random_episodes:
        found.append(_random(recipe, options))
    pair = [one.episodes for one in found[: len(runs)]]
    difference = paired_difference(*pair) if len(pair) == 2 else None
    result = Evaluation(recipe, not options.stochastic, found, difference)
    return result, partial(_film, options, recipe, policies[0])


def _check(options: EvaluateOptions) -> None:
    given: object = options.runs
    if not isinstance(given, tuple):
        raise InvalidOptionError(f"runs must be a tuple of run folders, not {given!r}")
    if len(options.runs) not in (1, 2):
        raise InvalidOptionError(f"give one run folder, or two to compare, not {len(options.runs)}")
    check_ranges(
        {
            "episodes": (options.episodes, 1, MAX_EPISODES),
            "seed": (options.seed, 0, MAX_SEED),
            "random_episodes": (options.random_episodes, 0, MAX_EPISODES),
            "video_episodes": (options.video_episodes, 1, MAX_EPISODES),
            "threads": (options.threads, 1, MAX_THREADS),
            "min_success": (options.min_success or 0, 0, 1),
            "max_episode_steps": (
                1 if options.max_episode_steps is None else options.max_episode_steps,
                1,
                MAX_STEPS,
            ),
        }
    )
    if options.video is not None:
        from nondiff.experiments.evaluation.video import check_video_path

        check_video_path(Path(options.video))


def _recipe(options: EvaluateOptions, runs: Sequence[Run]) -> EnvRecipe:
    given = env_arguments(options.env_arg)
    if options.env is not None:  # which the user trusts, and nothing of what the runs name
        wrappers, steps = tuple(options.wrapper), options.max_episode_steps
        return EnvRecipe.typed(options.env, given, wrappers, steps).held_out()
    own, *others = [_own_recipe(run, given) for run in runs]
    if any(other != own for other in others):
        raise InvalidOptionError(
            f"the runs trained on different environments, {_named(own)} and {_named(others[0])}; "
            "say with --env and --env-arg which one to evaluate them on"
        )
    steps = options.max_episode_steps or own.max_episode_steps
    arguments, wrappers = dict(own.arguments) | given, own.wrappers + tuple(options.wrapper)
    given_modules = [name.partition(":")[0] for name in options.wrapper]
    return replace(
        own,
        arguments=arguments,
        wrappers=wrappers,
        max_episode_steps=steps,
        folder=own.folder or folder_of(given_modules),
    ).held_out()


def _own_recipe(run: Run, given: Mapping[str, Any]) -> EnvRecipe:
    """The environment of a run, whose arguments are the user's choice if the user gives the same.

    Raises:
        UntrustedError: it may run any code; the message says how to name it.
    """
    try:
        return run.recipe
    except UntrustedError as error:
        named = run.named_recipe
        items = named.arguments.items()
        theirs = {name: value for name, value in items if (name, value) not in given.items()}
        if is_data(replace(named, arguments=theirs)):
            return named
        raise UntrustedError(f"{error}, or name it yourself: {options_for(named)}") from error


def _named(recipe: EnvRecipe) -> str:
    return f"{recipe.id} {dict(recipe.arguments) or ''}".strip()


def _play(
    run: Run, policy: TrainedPolicy, env: gymnasium.Env[Any, Any], options: EvaluateOptions
) -> PolicyEvaluation:
    import torch

    torch.manual_seed(0)
    seeds = held_out_seeds(options.episodes, options.seed)
    episodes = play(env, policy, seeds, deterministic=not options.stochastic)
    return PolicyEvaluation(run.folder.name, episodes, summarize(episodes))


def _random(recipe: EnvRecipe, options: EvaluateOptions) -> PolicyEvaluation:
    with recipe.opened() as env:
        seeds = held_out_seeds(min(options.random_episodes, options.episodes), options.seed)
        episodes = play(env, RandomPolicy(env.action_space), seeds)
    return PolicyEvaluation("random policy", episodes, summarize(episodes))


def _film(
    options: EvaluateOptions,
    recipe: EnvRecipe,
    policy: TrainedPolicy,
    note: Callable[[str], None] = lambda text: None,
) -> None:
    from nondiff.experiments.evaluation.video import film

    if options.video is not None:
        seeds = held_out_seeds(options.video_episodes, options.seed)
        film(recipe, policy, seeds, Path(options.video), note)


def _exit_code(options: EvaluateOptions, summary: Summary) -> int:
    if options.min_success is None:
        return 0
    if summary.success is None:
        raise InvalidOptionError("--min-success needs an environment that reports is_success")
    if summary.success.low >= options.min_success:
        return 0
    err(
        f"the success interval begins at {summary.success.low:.1%}, below the "
        f"{options.min_success:.1%} asked for"
    )
    return NOT_GOOD_ENOUGH
