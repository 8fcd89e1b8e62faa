"""One session of a run: from its start, or its last checkpoint, until it ends or is interrupted."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from nondiff.agents import find_strategy
from nondiff.agents.seeds import held_out_seeds
from nondiff.agents.strategy import Strategy, Training
from nondiff.errors import EnvironmentFailedError, InvalidOptionError, NondiffError, RunError
from nondiff.experiments.evaluation.episodes import play
from nondiff.experiments.ranges import Device
from nondiff.experiments.run.checkpoints import CheckpointFolder
from nondiff.experiments.run.file_names import CHECKPOINTS, CONFIG, CURVE, METRICS, TENSORBOARD
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.ledger import Ledger, committed
from nondiff.experiments.run.schema import StopReason
from nondiff.experiments.stopping import Interrupted, Stop
from nondiff.experiments.terminal.shell_commands import shell_line
from nondiff.experiments.training.callbacks import Callbacks
from nondiff.experiments.training.display import Display
from nondiff.experiments.training.monitor import EvaluationPlan, TrainingMonitor
from nondiff.validation import first_fault

NUMBERS = ("seed", "checkpoint_every", "held_out_episodes", "threads")
# What the disk, rather than a program, is at fault for.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


def carry_on(
    run: Run,
    env: Any,
    strategy: Strategy,
    plan: EvaluationPlan,
    stop: Stop,
    callbacks: Callbacks | None = None,
) -> None:
    """Train a run to its end, and evaluate its best model on held-out episodes.

    Args:
        run: a new run, or one that was interrupted.
        env: an environment of the run's, to evaluate on.
        strategy: of the run's configuration.
        plan: of the run's configuration.
        stop: asked after each step.
        callbacks: told of the training.

    Raises:
        NondiffError: training broke down; the models and checkpoints kept until then stay, and the
            message names them.
        Interrupted: a signal came; the same holds.
        RunError: the disk is full.
    """
    with _accounted(run), stop.no_other():
        run.begin_session()
        stop.check()
        reason = _train(run, env, strategy, plan, stop, callbacks or Callbacks())
        _evaluate_best(run, env, stop, reason)


def configured(run: Run) -> tuple[Strategy, EvaluationPlan]:
    """The strategy and the plan of evaluations of a run.

    Raises:
        RunError: its configuration is damaged.
    """
    try:
        config, asked = run.config, run.asked
        numbers = {name: getattr(config, name) for name in NUMBERS} | {"budget": asked.budget}
        TypeAdapter(dict[str, NonNegativeInt]).validate_python(numbers)
        TypeAdapter(Device).validate_python(config.device)
        kind = find_strategy(config.strategy)
        hyperparameters = json.dumps(config.hyperparameters)
        strategy = TypeAdapter(kind).validate_json(hyperparameters, strict=True)
        stops = {
            "stop_at_success": asked.stop_at_success,
            "stop_at_return": asked.stop_at_return,
        }
        evaluation = json.dumps(config.evaluation | stops)
        plan = TypeAdapter(EvaluationPlan).validate_json(evaluation, strict=True)
    except ValidationError as error:
        raise RunError(f"{run.folder / CONFIG} is damaged: {first_fault(error)}") from error
    except (LookupError, TypeError) as error:
        raise RunError(f"{run.folder / CONFIG} is damaged: {error!r}") from error
    return strategy, plan


def set_device(device: str, threads: int) -> None:
    """Make torch ready.

    Raises:
        InvalidOptionError: there is no such device.
    """
    import torch

    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidOptionError("device 'cuda': torch finds no GPU here; choose cpu or auto")


@contextmanager
def _accounted(run: Run) -> Iterator[None]:
    """Note how the session ended, and tell the user what is left of it."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # on a full disk the run is told from a running one by its lock
            run.end_session(error, isinstance(error, Interrupted | KeyboardInterrupt))
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise RunError(f"{error.strerror} in {run.folder}; {what_is_kept(run)}") from error
        if isinstance(error, EnvironmentFailedError):
            raise EnvironmentFailedError(f"{error}; {what_is_kept(run)}", error.details) from error
        if isinstance(error, Interrupted):
            error.run, error.options = run.folder, run.trust_options()
        if isinstance(error, NondiffError | Interrupted):
            error.args = (f"{error}; {what_is_kept(run)}",)
        raise


def what_is_kept(run: Run) -> str:
    """Which models a run has, and from where it can be resumed, for a message."""
    models, checkpoint = run.state.models, run.state.checkpoint
    text = "no model had been kept yet"
    if "last" in models:
        last, best = models["last"], models["best"]
        text = f"the last good model, of step {last.steps:,}, is {run.model_folder('last')}"
        text += (
            ", which is also the best"
            if last.folder == best.folder
            else f", and the best, of step {best.steps:,}, {run.model_folder('best')}"
        )
    place = "its start" if checkpoint is None else f"the checkpoint of step {checkpoint:,}"
    options = shell_line("--resume", run.folder, *run.trust_options())
    return f"{text}; {options} goes on from {place}"


def _train(
    run: Run,
    env: Any,
    strategy: Strategy,
    plan: EvaluationPlan,
    stop: Stop,
    callbacks: Callbacks,
) -> StopReason:
    """Train from the last checkpoint; returns why training ended."""
    from nondiff.experiments.plots.learning_curve import learning_curve
    from nondiff.experiments.run.metrics import MetricsWriter, read_metrics

    config, budget = run.config, run.asked.budget
    metrics = MetricsWriter(run.files / METRICS, run.files / TENSORBOARD)
    with closing(metrics), Display(budget) as display:
        display.line(f"training in {run.folder}")
        monitor = TrainingMonitor(run, env, plan, display, metrics, stop, callbacks)
        assert config.seed is not None  # as `configured` has found
        assert config.checkpoint_every is not None
        training = Training(run.recipe, budget, config.seed, config.device, config.checkpoint_every)
        ledger = Ledger(run, monitor, lambda: training.simulator_seconds())

        def saved(steps: int) -> None:
            metrics.sync()
            ledger.checkpoint_saved(steps)

        training.checkpoints = CheckpointFolder(
            run.files / CHECKPOINTS, display.line, saved, committed(run)
        )
        try:
            policy = strategy.train(training, monitor)
            reason = monitor.reason or "budget"
            monitor.evaluate(monitor.steps, policy)
        finally:
            ledger.note()
    learning_curve(read_metrics(run.files / METRICS), run.folder.name, run.files / CURVE)
    return reason


def _evaluate_best(run: Run, env: Any, stop: Stop, reason: StopReason) -> None:
    from nondiff.experiments.evaluation.statistics import summarize
    from nondiff.experiments.run.card import write_card

    seeds = held_out_seeds(run.config.held_out_episodes or 1)
    policy = run.load_policy("best")
    with _held_out(run, env) as unseen:
        episodes = play(unseen, policy, seeds, on_step=lambda _: stop.check())
    calls = sum(episode.length for episode in episodes)
    run.finish(reason, summarize(episodes).to_json(), calls)
    write_card(run)
    run.update(state="finished", error=None)


@contextmanager
def _held_out(run: Run, env: Any) -> Iterator[Any]:
    """The environment of a run's held-out evaluation: its own, where it has no held-out data."""
    recipe = run.recipe.held_out()
    if recipe == run.recipe:
        yield env
    else:
        with recipe.opened() as unseen:
            yield unseen
