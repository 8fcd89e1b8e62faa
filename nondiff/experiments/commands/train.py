"""The `train` command: a policy from an environment, a strategy, a budget and a seed."""

from __future__ import annotations

import copy
import math
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.presets import (
    DEFAULT_BUDGET,
    DEFAULT_EVAL_EPISODES,
    DEFAULT_REVIEWS,
    MIN_EVAL_EVERY,
    preset_for,
)
from nondiff.agents.seeds import MAX_SEED, held_out_seeds, selection_seeds, training_seed
from nondiff.agents.strategy import Strategy
from nondiff.env_recipe import EnvRecipe, env_arguments
from nondiff.errors import InvalidOptionError, NondiffError
from nondiff.experiments.evaluation.episodes import check_finite
from nondiff.experiments.ranges import MAX_EPISODES, MAX_STEPS, MAX_THREADS, Device, check_ranges
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.schema import RunConfig
from nondiff.experiments.stopping import Stop
from nondiff.experiments.terminal.parsing import AnyPath, parse_known_options, parse_options
from nondiff.experiments.training.callbacks import Callbacks
from nondiff.experiments.training.demonstration_check import (
    demonstrations_sha256,
    with_absolute_path,
)
from nondiff.experiments.training.monitor import EvaluationPlan
from nondiff.experiments.training.session import carry_on, set_device
from nondiff.gym.returns import has_checked_returns
from nondiff.gym.step_limit import CountsItsSteps

MIN_EPISODES = 10  # of each environment between checkpoints


@dataclass(frozen=True)
class TrainOptions:
    """What to train, and what to keep of it."""

    env: str = "nondiff/PandaReachDense-v0"
    """Id of a registered environment: nondiff/PandaReach-v0, or their_package:TheirEnv-v0."""
    strategy: Annotated[
        str, tyro.conf.arg(help=f"How the policy is trained: {', '.join(STRATEGIES)}.")
    ] = "ppo"
    budget: int | None = None
    """Environment steps, or calls of a black box; None: the preset's."""
    seed: int = 0
    """Of every random number; the same seed gives bit-identical results on one machine."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, an argument of the environment; repeat for more."""
    wrapper: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A wrapper to put the environment in, MODULE:CLASS or MODULE:CLASS,KEY=VALUE,... such as
    gymnasium.wrappers:FlattenObservation; repeat for more, the innermost first."""
    max_episode_steps: int | None = None
    """Truncate episodes after so many steps; None: as the environment is registered."""
    name: str | None = None
    """Name of the run folder; None: made from environment, strategy and seed, with a number."""
    runs: AnyPath = Path("runs")
    """Where run folders lie."""
    eval_every: int | None = None
    """Environment steps between evaluations; None: the preset's."""
    eval_episodes: int | None = None
    """Episodes an evaluation during training; None: the preset's."""
    confirm_episodes: int = 100
    """Episodes to which an evaluation that would stop training early is extended."""
    stop_at_success: float | None = 0.99
    """Stop early once this success rate is confirmed; None: spend the budget."""
    stop_at_return: float | None = None
    """Stop early once this mean return is confirmed; None: spend the budget."""
    held_out_episodes: Annotated[int, tyro.conf.arg(aliases=["--judge-episodes"])] = 100
    """Episodes of the evaluation at the end, which are not used for model selection."""
    device: Device = "cpu"
    """Where the networks are trained; small ones are fastest on the CPU."""
    threads: int = 1
    """Threads of torch; beside a simulator, one is fastest."""
    checkpoint_every: int | None = None
    """Environment steps between checkpoints, at each of which environments are reset; None: the
    strategy's own, or ten episodes of each environment if those are more."""
    resume: Path | None = None
    """Resume this interrupted or finished run; results are bit-identical to those of one that never
    stopped. Beside it, only --budget, --stop-at-success, --stop-at-return and --trust, for a run of
    somebody else's, can be given."""


S = TypeVar("S", bound=Strategy)


@dataclass(frozen=True)
class TrainCommand(Generic[S]):
    """Train a policy, evaluate it as it learns, and keep the best in a run folder."""

    options: Annotated[TrainOptions, tyro.conf.arg(name="")]
    hyperparameters: Annotated[S, tyro.conf.arg(name="")]


def parse(arguments: list[str], prog: str) -> TrainCommand[Any]:
    """Parse a command line; the strategy and the environment decide the other defaults.

    Raises:
        NondiffError: unknown environment, strategy or environment argument.
    """
    chosen = _chosen(arguments, prog)
    preset = preset_for(chosen.strategy, recipe_of(chosen))
    options = replace(  # of which options that are repeated are parsed once more
        chosen,
        env_arg=(),
        wrapper=(),
        budget=preset.budget,
        eval_every=preset.eval_every,
        eval_episodes=preset.eval_episodes,
    )
    kind = find_strategy(options.strategy)
    return parse_options(
        TrainCommand[kind],  # type: ignore[valid-type]
        arguments,
        prog,
        default=TrainCommand(options, preset.strategy),
        description=TrainCommand.__doc__,
    )


def _chosen(arguments: list[str], prog: str) -> TrainOptions:
    """The options that decide the rest; what a strategy adds is left for the second pass."""
    known = [argument for argument in arguments if argument not in ("-h", "--help")]
    return parse_known_options(TrainOptions, known, prog)[0]


def train(
    options: TrainOptions,
    strategy: Strategy,
    stop: Stop | None = None,
    callbacks: Callbacks | None = None,
) -> Run:
    """Train, and evaluate the best model on held-out episodes; returns the finished run.

    Raises:
        NondiffError: an option is wrong (nothing is written then), or training broke down (the
            models kept until then stay, and the message names them).
        Interrupted: `stop` was asked for; the models and checkpoints kept until then stay.
    """
    stop = stop or Stop()  # which nothing asks for
    plan, budget = _checked(options)
    recipe = recipe_of(options)
    set_device(options.device, options.threads)
    strategy = with_absolute_path(strategy)
    with recipe.opened() as env:
        strategy.check(env)
        _try_out(recipe, env)
        every = options.checkpoint_every or _checkpoint_every(env, strategy)
        config = _config(options, strategy, plan, budget).model_copy(
            update={"checkpoint_every": every, **demonstrations_sha256(strategy)}
        )
        stop.check("no run was begun, so there is nothing to go on with")
        stem = f"{recipe.spec().id.rpartition('/')[2]}-{options.strategy}-s{options.seed}"
        with closing(Run.create(Path(options.runs), options.name, stem, config)) as run:
            carry_on(run, env, strategy, plan, stop, callbacks)
    return run


def recipe_of(options: TrainOptions) -> EnvRecipe:
    """The environment that the options name."""
    return EnvRecipe.typed(
        options.env,
        env_arguments(options.env_arg),
        options.wrapper,
        options.max_episode_steps,
    )


def _checkpoint_every(env: Any, strategy: Strategy) -> int:
    """Seldom enough that few episodes are cut short by the reset that begins a segment."""
    # Environments that count by themselves stated no limit when their trainings were published,
    # and another length of segments would change the bits of these.
    counts = isinstance(env.unwrapped, CountsItsSteps)
    horizon = 0 if counts else (env.spec and env.spec.max_episode_steps) or 0
    episodes = MIN_EPISODES * horizon * getattr(strategy, "num_envs", 1)
    return max(strategy.checkpoint_every, episodes)


def _try_out(recipe: EnvRecipe, env: Any) -> None:
    """An environment may fail only when it starts: find out before writing.

    One that nobody has tested is also stepped once, for what it returns.
    """
    from nondiff.black_box import find_black_box

    tried = "reset"
    try:
        env.reset(seed=held_out_seeds(1)[0])
        if has_checked_returns(env) and find_black_box(env) is None:
            tried = "stepped"
            actions = copy.deepcopy(env.action_space)
            actions.seed(0)
            observation, reward, *_ = env.step(actions.sample())
            check_finite(observation, reward, "the first step that was tried")
    except NondiffError:
        raise
    except Exception as error:
        raise InvalidOptionError(
            f"{recipe.id} with arguments {dict(recipe.arguments)} can't be {tried}: {error!r}"
        ) from error


def _checked(options: TrainOptions) -> tuple[EvaluationPlan, int]:
    """The plan of evaluations and the budget, with every number in its range."""
    budget = DEFAULT_BUDGET if options.budget is None else options.budget
    episodes = DEFAULT_EVAL_EPISODES if options.eval_episodes is None else options.eval_episodes
    every = options.eval_every
    if every is None:
        every = max(MIN_EVAL_EVERY, budget // DEFAULT_REVIEWS)
    ranges: dict[str, tuple[float, float, float]] = {
        "budget": (budget, 1, MAX_STEPS),
        "seed": (options.seed, 0, MAX_SEED),
        "eval_every": (every, 1, MAX_STEPS),
        "checkpoint_every": (_or_one(options.checkpoint_every), 1, MAX_STEPS),
        "max_episode_steps": (_or_one(options.max_episode_steps), 1, MAX_STEPS),
        "eval_episodes": (episodes, 1, MAX_EPISODES),
        "confirm_episodes": (options.confirm_episodes, 1, MAX_EPISODES),
        "held_out_episodes": (options.held_out_episodes, 1, MAX_EPISODES),
        "threads": (options.threads, 1, MAX_THREADS),
        "stop_at_success": (options.stop_at_success or 0.0, 0.0, 1.0),
        "stop_at_return": (options.stop_at_return or 0.0, -math.inf, math.inf),
    }
    check_ranges(ranges)
    plan = EvaluationPlan(
        every,
        episodes,
        options.confirm_episodes,
        options.stop_at_success,
        options.stop_at_return,
    )
    return plan, budget


def _or_one(value: int | None) -> int:
    return 1 if value is None else value


def planned(options: TrainOptions, strategy: Strategy) -> RunConfig:
    """The configuration that a run with these options would be given.

    Raises:
        InvalidOptionError: an option out of its range.
    """
    return _config(options, strategy, *_checked(options))


def _config(
    options: TrainOptions, strategy: Strategy, plan: EvaluationPlan, budget: int
) -> RunConfig:
    recipe = recipe_of(options)
    return RunConfig(
        env=options.env,
        env_arguments=env_arguments(options.env_arg),
        **recipe.more(),
        env_folder=recipe.folder,
        strategy=options.strategy,
        budget=budget,
        seed=options.seed,
        first_seeds_of_environments={
            "training": training_seed(options.seed),
            "evaluation during training": selection_seeds(options.seed, 1)[0],
            "held-out evaluation": held_out_seeds(1)[0],
        },
        hyperparameters=asdict(strategy),
        evaluation=asdict(plan),
        held_out_episodes=options.held_out_episodes,
        device=options.device,
        threads=options.threads,
    )
