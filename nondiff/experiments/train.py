"""The `train` command: a policy from an environment, a strategy, a budget and a seed."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from nondiff.agents import find_strategy
from nondiff.agents.presets import (
    DEFAULT_BUDGET,
    DEFAULT_REVIEWS,
    LEAST_EVAL_EVERY,
    Preset,
    find_preset,
)
from nondiff.agents.seeds import LARGEST_SEED, judgement_seeds, selection_seeds, training_seed
from nondiff.agents.strategy import Strategy, Training
from nondiff.envs.errors import InvalidOptionError, NondiffError
from nondiff.envs.recipe import EnvRecipe, env_arguments
from nondiff.experiments.display import Display
from nondiff.experiments.episodes import play
from nondiff.experiments.monitor import ReviewPlan, TrainingMonitor
from nondiff.experiments.ranges import MOST_EPISODES, MOST_THREADS, check_ranges
from nondiff.experiments.runs import CURVE, METRICS, Run


@dataclass(frozen=True)
class TrainOptions:
    """What to train, and what to keep of it."""

    env: str = "nondiff/PandaReachDense-v0"
    """Id of a registered environment: nondiff/PandaReach-v0, or their_package:TheirEnv-v0."""
    strategy: str = "ppo"
    """How the policy is trained: ppo, a2c, trpo, sac, td3 or tqc."""
    budget: int | None = None
    """Environment steps; None: the preset's."""
    seed: int = 0
    """Of everything that is drawn; the same seed gives the same bits on one machine."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, an argument of the environment; repeat for more."""
    name: str | None = None
    """Name of the run folder; None: made from environment, strategy and seed, with a number."""
    runs: Path = Path("runs")
    """Where run folders lie."""
    eval_every: int | None = None
    """Environment steps between evaluations; None: the preset's."""
    eval_episodes: int = 20
    """Episodes an evaluation during training; the preset may have its own default."""
    confirm_episodes: int = 100
    """Episodes to which an evaluation that would stop training early is extended."""
    stop_at_success: float | None = 0.99
    """Stop early once this success rate is confirmed; None: spend the budget."""
    stop_at_return: float | None = None
    """Stop early once this mean return is confirmed; None: spend the budget."""
    judge_episodes: int = 100
    """Episodes that judge the best model at the end."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where the networks are trained; small ones are fastest on the CPU."""
    threads: int = 1
    """Threads of torch; beside a simulator, one is fastest."""


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
    preset = _preset(chosen)
    options = replace(
        chosen,
        budget=preset.budget,
        eval_every=preset.eval_every,
        eval_episodes=preset.eval_episodes,
    )
    kind = find_strategy(options.strategy)
    return tyro.cli(
        TrainCommand[kind],  # type: ignore[valid-type]
        args=arguments,
        default=TrainCommand(options, preset.strategy),
        prog=prog,
        description=TrainCommand.__doc__,
    )


def _chosen(arguments: list[str], prog: str) -> TrainOptions:
    """The options that decide the rest; what a strategy adds is left for the second pass."""
    known = [argument for argument in arguments if argument not in ("-h", "--help")]
    return tyro.cli(TrainOptions, args=known, prog=prog, return_unknown_args=True)[0]


def _preset(options: TrainOptions) -> Preset:
    find_strategy(options.strategy)
    recipe = EnvRecipe(options.env, env_arguments(options.env_arg))
    return find_preset(options.strategy, recipe.preset_id())


def train(options: TrainOptions, strategy: Strategy) -> Run:
    """Train, and judge the best model; returns the finished run.

    Raises:
        NondiffError: an option is wrong (nothing is written then), or training broke down (the
            models kept until then stay, and the message names them).
        KeyboardInterrupt: the models kept until then stay.
    """
    import torch

    plan, budget = _checked(options)
    torch.set_num_threads(options.threads)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InvalidOptionError("device 'cuda': torch finds no GPU here; choose cpu or auto")
    recipe = EnvRecipe(options.env, env_arguments(options.env_arg))
    with closing(recipe.make()) as env:
        strategy.check(env)
        _check_reset(recipe, env)
        stem = f"{recipe.spec().id.rpartition('/')[2]}-{options.strategy}-s{options.seed}"
        run = Run.create(options.runs, options.name, stem, _config(options, strategy, plan, budget))
        training = Training(recipe, budget, options.seed, options.device)
        try:
            _train(run, env, strategy, training, plan)
            _judge(run, env, options.judge_episodes)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            run.finish("interrupted" if interrupted else "failed", error=str(error))
            if isinstance(error, NondiffError):
                error.args = (f"{error}; {_kept(run)}",)
            raise
    return run


def _check_reset(recipe: EnvRecipe, env: Any) -> None:
    """An environment may meet a bad argument only when it starts: find out before writing."""
    try:
        env.reset(seed=judgement_seeds(1)[0])
    except NondiffError:
        raise
    except Exception as error:
        raise InvalidOptionError(
            f"{recipe.id} with arguments {dict(recipe.arguments)} can't be reset: {error!r}"
        ) from error


def _train(run: Run, env: Any, strategy: Strategy, training: Training, plan: ReviewPlan) -> None:
    from nondiff.experiments.metrics import MetricsWriter

    metrics = MetricsWriter(run.folder / METRICS, run.folder / "tensorboard")
    begin = time.perf_counter(), time.process_time()
    with closing(metrics), Display(training.budget) as display:
        display.line(f"training in {run.folder}")
        monitor = TrainingMonitor(run, env, plan, display, metrics)
        try:
            policy = strategy.train(training, monitor)
            monitor.review(monitor.steps, policy)
        finally:
            run.state |= {
                "steps": monitor.steps,
                "seconds": round(time.perf_counter() - begin[0], 3),
                "cpu_seconds": round(time.process_time() - begin[1], 3),
            }
    from nondiff.experiments.plots import learning_curve

    learning_curve(metrics, run.folder.name, run.folder / CURVE)


def _judge(run: Run, env: Any, episodes: int) -> None:
    from nondiff.experiments.card import write_card
    from nondiff.experiments.statistics import summarize

    summary = summarize(play(env, run.load_policy("best"), judgement_seeds(episodes)))
    run.finish("finished", result=summary.to_json())
    write_card(run)


def _checked(options: TrainOptions) -> tuple[ReviewPlan, int]:
    """The plan of evaluations and the budget, with every number in its range."""
    budget = DEFAULT_BUDGET if options.budget is None else options.budget
    every = options.eval_every
    if every is None:
        every = max(LEAST_EVAL_EVERY, budget // DEFAULT_REVIEWS)
    ranges: dict[str, tuple[float, float, float]] = {
        "budget": (budget, 1, 10**12),
        "seed": (options.seed, 0, LARGEST_SEED),
        "eval_every": (every, 1, 10**12),
        "eval_episodes": (options.eval_episodes, 1, MOST_EPISODES),
        "confirm_episodes": (options.confirm_episodes, 1, MOST_EPISODES),
        "judge_episodes": (options.judge_episodes, 1, MOST_EPISODES),
        "threads": (options.threads, 1, MOST_THREADS),
        "stop_at_success": (options.stop_at_success or 0.0, 0.0, 1.0),
        "stop_at_return": (options.stop_at_return or 0.0, -math.inf, math.inf),
    }
    check_ranges(ranges)
    plan = ReviewPlan(
        every,
        options.eval_episodes,
        options.confirm_episodes,
        options.stop_at_success,
        options.stop_at_return,
    )
    return plan, budget


def _config(
    options: TrainOptions, strategy: Strategy, plan: ReviewPlan, budget: int
) -> dict[str, Any]:
    return {
        "env": options.env,
        "env_arguments": env_arguments(options.env_arg),
        "strategy": options.strategy,
        "budget": budget,
        "seed": options.seed,
        "first_seeds_of_environments": {
            "training": training_seed(options.seed),
            "evaluation during training": selection_seeds(options.seed, 1)[0],
            "judgement": judgement_seeds(1)[0],
        },
        "hyperparameters": asdict(strategy),
        "evaluation": asdict(plan),
        "judge_episodes": options.judge_episodes,
        "device": options.device,
        "threads": options.threads,
    }


def _kept(run: Run) -> str:
    models = run.state["models"]
    if "last" not in models:
        return "no model had been kept yet"
    last, best = models["last"], models["best"]
    return (
        f"the last good model, of step {last['steps']:,}, is {run.model_folder('last')}, "
        f"and the best, of step {best['steps']:,}, {run.model_folder('best')}"
    )
