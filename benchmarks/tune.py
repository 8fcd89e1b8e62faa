"""Search for the hyperparameters with which a task is solved soonest: a study by Optuna.

A trial draws hyperparameters, the first those of the preset, and trains by `nondiff train` on one
seed after another, each until an evaluation of 100 episodes finds enough of them solved. Its value
is the mean of what that cost in CPU seconds, or in steps. A training that did not get there costs
what it took, and as much again for what is missing. One that has taken twice the best trial's mean
is stopped, and its trial pruned; so is a trial that is worse than most after the same seeds.

    pip install 'nondiff[tuning]'
    python benchmarks/tune.py --env nondiff/PandaPush-v0 --strategy sac --trials 40

The study is kept in a file after every trial and goes on where it was stopped. At the end a table
of all trials is written beside it, and the best printed as an entry of `nondiff/agents/presets/`:
check it on seeds that the study has not seen, which are those below `FIRST_SEED`.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Annotated, Any, Literal

import numpy as np
import optuna
import psutil
import tune_report
import tyro
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from trainings import outcome, until
from tune_spaces import SPACES, drawing, suggested

from nondiff.agents.presets import Preset, find_preset
from nondiff.agents.strategy import Strategy
from nondiff.env_recipe import EnvRecipe
from nondiff.experiments.stopping import Interrupted, Stop

FIRST_SEED = 1_000
LIMIT = 2.0  # times the best trial's CPU seconds
LOOK = 0.5  # seconds between looks at a training's CPU time


@dataclass(frozen=True)
class Options:
    """What to tune."""

    env: str = "nondiff/PandaReach-v0"
    """Id of the environment."""
    strategy: str = "sac"
    """Of `nondiff train`: ppo, trpo, a2c, sac, td3 or tqc."""
    trials: int = 20
    """Sets of hyperparameters, with those of earlier calls."""
    seeds: int = 2
    """Trainings a trial."""
    cost: Literal["cpu_seconds", "steps"] = "cpu_seconds"
    """What is to be small."""
    budget: int | None = None
    """Steps a training; None: the preset's."""
    eval_every: int | None = None
    """Steps between evaluations; None: the preset's."""
    success: float = 0.95
    """Where a training is done."""
    train_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A further option for every training, as in --train-arg=--env-arg=control_type=joints; repeat
    for more."""
    folder: Path = Path("studies")
    """Where studies are kept."""


def main(options: Options) -> None:
    """Go on with the study, and print its best trial as a preset."""
    if options.strategy not in SPACES:
        sys.exit(f"error: can't tune {options.strategy!r}; choose from {', '.join(SPACES)}")
    preset = find_preset(options.strategy, EnvRecipe(options.env).preset_id())
    preset = replace(
        preset,
        budget=options.budget or preset.budget,
        eval_every=options.eval_every or preset.eval_every,
    )
    study = opened(options)
    done = study.get_trials(states=tune_report.FINISHED)
    if not done:
        study.enqueue_trial(drawing(preset.strategy))
    try:
        with Stop() as stop:
            judge = partial(objective, study=study, preset=preset, options=options, stop=stop)
            study.optimize(judge, max(0, options.trials - len(done)))
    except Interrupted as error:
        sys.exit(f"{error}; the same command goes on with the study")
    command = " ".join(["python benchmarks/tune.py", *sys.argv[1:]])
    tune_report.write(study, command, options.folder / f"{study.study_name}.md")
    best = study.best_trial
    print(f"# {options.cost} {best.value:,.1f} over {options.seeds} seeds, trial {best.number}")
    print(entry(options, replace(preset, strategy=suggested(best, preset.strategy))))


def opened(options: Options) -> optuna.Study:
    """The study of these options, new or from its file."""
    options.folder.mkdir(parents=True, exist_ok=True)
    task = re.sub(r"\W+", "-", options.env.removeprefix("nondiff/"))
    name = f"{task}-{options.strategy}-{options.cost}"
    backend = JournalFileBackend(str(options.folder / f"{name}.log"))
    return optuna.create_study(
        storage=JournalStorage(backend),
        study_name=name,
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=6),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )


def objective(
    trial: optuna.Trial, study: optuna.Study, preset: Preset, options: Options, stop: Stop
) -> float:
    """The mean cost of a trial's trainings.

    Raises:
        TrialPruned: it is worse than others.
        Interrupted: `stop` was asked for.
    """
    strategy = suggested(trial, preset.strategy)
    limit = LIMIT * min_cpu_seconds(study)
    costs, seconds = [], []
    for number in range(options.seeds):
        found = train(strategy, preset, options, FIRST_SEED + number, limit, stop)
        costs.append(found[options.cost] * (1.0 + missing(found)))
        seconds.append(found["cpu_seconds"])
        trial.report(float(np.mean(costs)), number)
        if found["cpu_seconds"] >= limit or (number + 1 < options.seeds and trial.should_prune()):
            raise optuna.TrialPruned
    trial.set_user_attr("cpu_seconds", float(np.mean(seconds)))
    return float(np.mean(costs))


def min_cpu_seconds(study: optuna.Study) -> float:
    """The mean that the trainings of the cheapest trial took; infinite before the first."""
    done = study.get_trials(states=[TrialState.COMPLETE])
    return min((trial.user_attrs["cpu_seconds"] for trial in done), default=np.inf)


def missing(found: dict[str, Any]) -> float:
    """The share of success that a training lacked in the end."""
    if found["solved"]:
        return 0.0
    return 1.0 - (found["curve"][-1][1] if found["curve"] else 0.0)


def train(
    strategy: Strategy, preset: Preset, options: Options, seed: int, limit: float, stop: Stop
) -> dict[str, Any]:
    """Train once; a training that takes more CPU seconds than the limit is interrupted."""
    with tempfile.TemporaryDirectory() as folder:
        run, log = Path(folder) / "run", Path(folder) / "log"
        command = [sys.executable, "-m", "nondiff", "train", *arguments(strategy, preset, options)]
        command += ["--seed", str(seed), "--runs", folder, "--name", "run", "--judge-episodes", "1"]
        with log.open("w") as output, Popen(command, stdout=output, stderr=output) as child:
            try:
                wait(child, limit, stop)
            finally:
                child.terminate()  # which it ends cleanly on, if it has not ended
        if not (run / "run.json").exists():
            sys.exit(f"error: the training failed:\n{log.read_text()}")
        return outcome(run, options.success)


def wait(child: Popen[bytes], limit: float, stop: Stop) -> None:
    """Wait until a training ends, or has taken so many CPU seconds."""
    while child.poll() is None and spent(child.pid) < limit:
        stop.check()
        time.sleep(LOOK)


def arguments(strategy: Strategy, preset: Preset, options: Options) -> list[str]:
    """Options of `nondiff train` for these hyperparameters."""
    found = ["--env", options.env, "--strategy", options.strategy, *until(options.success)]
    found += ["--budget", str(preset.budget), "--eval-episodes", str(preset.eval_episodes)]
    if preset.eval_every:
        found += ["--eval-every", str(preset.eval_every)]
    for name, value in changed(strategy, preset.strategy).items():  # where `train` starts
        words = map(str, value) if isinstance(value, tuple) else [str(value)]
        found += [f"--{name.replace('_', '-')}", *words]
    return [*found, *options.train_arg]


def changed(strategy: Strategy, base: Strategy) -> dict[str, Any]:
    """The hyperparameters that differ from those of another configuration of the strategy."""
    values = {field.name: getattr(strategy, field.name) for field in fields(strategy)}
    return {name: value for name, value in values.items() if value != getattr(base, name)}


def spent(pid: int) -> float:
    """CPU seconds so far of a process and those below it."""
    try:
        own = psutil.Process(pid)
        return sum(sum(p.cpu_times()[:2]) for p in [own, *own.children(recursive=True)])
    except psutil.Error:
        return 0.0


def entry(options: Options, preset: Preset) -> str:
    """A line of a module of presets."""
    values = ", ".join(
        f"{k}={v!r}" for k, v in changed(preset.strategy, type(preset.strategy)()).items()
    )
    kept = f"budget={preset.budget}, eval_every={preset.eval_every}"
    kept += f", eval_episodes={preset.eval_episodes}"
    kind = type(preset.strategy).__name__
    return f'("{options.strategy}", "{options.env}"): Preset({kind}({values}), {kept}),'


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
