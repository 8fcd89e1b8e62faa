"""The `export` and `import` commands: policies as zip files of Stable-Baselines3, and back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from nondiff.agents.strategy import TrainedPolicy
from nondiff.env_recipe import EnvRecipe, env_arguments
from nondiff.errors import InvalidOptionError, RunError
from nondiff.experiments.evaluation.fit import check_spaces
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.schema import RunConfig
from nondiff.experiments.terminal.console import out
from nondiff.experiments.terminal.parsing import parse_options
from nondiff.experiments.terminal.shell_commands import nondiff_line


@dataclass(frozen=True)
class ExportOptions:
    """Write the policy of a run as a zip that Stable-Baselines3 loads without nondiff."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    to: Path
    """The zip to write; never one that exists."""
    model: Literal["best", "last"] = "best"
    """Which model of the run."""
    statistics: Path | None = None
    """Where to write the statistics of a policy that normalises observations, for VecNormalize."""


@dataclass(frozen=True)
class ImportOptions:
    """Make a run of a zip that Stable-Baselines3 or sb3-contrib saved, to evaluate it."""

    file: Annotated[Path, tyro.conf.Positional]
    """The zip."""
    env: str
    """Id of the registered environment that it was trained on."""
    strategy: str
    """The strategy whose algorithm saved it, as `nondiff train` names it."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, an argument of the environment; repeat for more."""
    wrapper: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A wrapper that the environment was in; see train."""
    statistics: Path | None = None
    """The file that VecNormalize saved, if it was trained with observations normalised so."""
    activation: Literal["tanh", "relu", "elu", "leaky_relu", "silu"] | None = None
    """Activation function, where the zip names none of these; None: the algorithm's default."""
    name: str | None = None
    """Name of the run folder; None: made from environment and strategy, with a number."""
    runs: Path = Path("runs")
    """Where run folders lie."""


def parse_export(arguments: list[str], prog: str) -> ExportOptions:
    """Parse the command line of `export`."""
    return parse_options(ExportOptions, arguments, prog)


def parse_import(arguments: list[str], prog: str) -> ImportOptions:
    """Parse the command line of `import`."""
    return parse_options(ImportOptions, arguments, prog)


def export_run(options: ExportOptions) -> int:
    """Write a run's policy as a zip; returns the exit code.

    Raises:
        RunError, DamagedModelError: no run, or a model that was altered.
        InvalidOptionError: a policy or a file that can't be written so.
    """
    policy = Run.open(options.run).load_policy(options.model)
    from nondiff.agents.sb3.exchange.exporting import export_zip
    from nondiff.agents.sb3.policy import ReinforcementPolicy

    if not isinstance(policy, ReinforcementPolicy):
        raise InvalidOptionError(
            f"{options.run} is a model of kind {policy.description()['kind']!r}, which "
            "Stable-Baselines3 can't hold; only those of its own algorithms"
        )
    export_zip(policy, options.to, options.statistics)
    beside = f", and {options.statistics} for VecNormalize" if options.statistics else ""
    out(f"wrote {options.to} for Stable-Baselines3{beside}")
    return 0


def import_run(options: ImportOptions) -> int:
    """Make a run of a zip; returns the exit code.

    Raises:
        InvalidOptionError: spaces that do not fit.
        UnknownNameError, DamagedModelError: see `import_zip`.
        RunError: the run can't be created or written.
    """
    from nondiff.agents.sb3.exchange.importing import import_zip

    recipe = EnvRecipe.typed(options.env, env_arguments(options.env_arg), options.wrapper)
    with recipe.opened() as env:
        policy = import_zip(
            options.file, options.strategy, env, options.statistics, options.activation
        )
        check_spaces(str(options.file), policy, env)
    stem = f"{recipe.spec().id.rpartition('/')[2]}-{options.strategy}-imported"
    with closing(Run.create(options.runs, options.name, stem, _config(options, recipe))) as run:
        _keep(run, policy)
    line = nondiff_line("evaluate", run.folder)
    out(f"imported {options.file} as {run.folder}: {line} evaluates it")
    return 0


def _keep(run: Run, policy: TrainedPolicy) -> None:
    try:
        run.save_model(policy, 0, ["best", "last"])
        run.update(state="imported")
    except OSError as error:
        raise RunError(f"{run.folder} can't be written: {error.strerror or error}") from error


def _config(options: ImportOptions, recipe: EnvRecipe) -> RunConfig:
    return RunConfig(
        env=recipe.id,
        env_arguments=dict(recipe.arguments),
        **recipe.more(),
        strategy=options.strategy,
        imported_from=str(options.file),
        statistics=None if options.statistics is None else str(options.statistics),
        env_folder=recipe.folder,
    )
