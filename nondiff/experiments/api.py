"""The commands that train runs, as functions for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from nondiff.agents.api import torch_threads, with_preset
from nondiff.agents.policies import model as models
from nondiff.agents.strategy import Strategy, TrainedPolicy
from nondiff.errors import InvalidOptionError, RunError
from nondiff.experiments.commands.answer import opened_box
from nondiff.experiments.commands.resume import ResumeOptions, resume
from nondiff.experiments.commands.train import TrainOptions, recipe_of, train
from nondiff.experiments.run.file_names import CONFIG
from nondiff.experiments.run.folder import Run
from nondiff.experiments.training.callbacks import Callbacks, OnEvaluation, OnProgress
from nondiff.files.safe_path import SafePath

if TYPE_CHECKING:
    from torch import Tensor

    from nondiff.agents.answers import Answer


def train_run(
    options: TrainOptions,
    strategy: Strategy | str | None = None,
    on_progress: OnProgress | None = None,
    on_evaluation: OnEvaluation | None = None,
    presets: bool = True,
) -> Run:
    """Train into a run folder and evaluate the best model, as the command `train` does.

    Args:
        options: those of the command.
        strategy: such as `PPO()`, or a name; None: that of the options.
        on_progress: see `Callbacks`.
        on_evaluation: see `Callbacks`.
        presets: take what is not said from the preset of strategy and environment.

    Raises:
        NondiffError: as the command says in one line; the models kept until then stay.
    """
    if options.resume is not None:
        raise InvalidOptionError(f"resume={options.resume!r}: use resume_run to resume a run")
    strategy, preset = with_preset(strategy or options.strategy, recipe_of(options), presets)
    options = replace(
        options,
        strategy=strategy.name,
        budget=preset.budget if options.budget is None else options.budget,
        eval_every=preset.eval_every if options.eval_every is None else options.eval_every,
        eval_episodes=(
            preset.eval_episodes if options.eval_episodes is None else options.eval_episodes
        ),
    )
    with torch_threads(options.threads):
        return train(options, strategy, callbacks=Callbacks(on_progress, on_evaluation))


def resume_run(
    options: ResumeOptions | Path | str,
    on_progress: OnProgress | None = None,
    on_evaluation: OnEvaluation | None = None,
) -> Run:
    """Resume a run to its end, with bit-identical results, as `train --resume` does.

    Args:
        options: those of the command, or the run folder.
        on_progress: see `Callbacks`.
        on_evaluation: see `Callbacks`.

    Raises:
        NondiffError: as the command says in one line; the models kept until then stay.
    """
    if not isinstance(options, ResumeOptions):
        options = ResumeOptions(options)
    with torch_threads(1):  # or as many as the run began with
        return resume(options, callbacks=Callbacks(on_progress, on_evaluation))


class RunPolicy:
    """A policy of a run, which also answers requests in the user's units."""

    def __init__(self, policy: TrainedPolicy, run: Run) -> None:
        self._policy, self._run = policy, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def predict(self, observation: Any, deterministic: bool = True) -> NDArray[Any]:
        """The action for one observation."""
        return self._policy.predict(observation, deterministic)

    def description(self) -> dict[str, Any]:
        """See `TrainedPolicy`."""
        return self._policy.description()

    def tensors(self) -> dict[str, Tensor]:
        """See `TrainedPolicy`."""
        return self._policy.tensors()

    def answer(
        self,
        requests: Mapping[str, float] | Sequence[Mapping[str, float]],
        call: bool = True,
        refine: int = 0,
    ) -> list[Answer]:
        """Propose parameters for requests, as the command `answer` does.

        Args:
            requests: one, or several: each entry of a context by its name.
            call: whether the function or program may be called, once for each request.
            refine: calls more for each request, to improve its answer with.

        Raises:
            UntrustedError: the run is not known to be the user's own.
            UnknownNameError, InvalidOptionError: a request that the environment can't have, or an
                environment that has none.
        """
        from nondiff.agents.answers import answer

        several = [requests] if isinstance(requests, Mapping) else requests
        with opened_box(self._run, self._policy) as box:
            return answer(self._policy, box, several, call, refine)


def load_policy(folder: Path | str, model: Literal["best", "last"] = "best") -> TrainedPolicy:
    """Load a policy, which predicts byte for byte like the one that was saved.

    That of a run has also `answer`; see `RunPolicy`.

    Args:
        folder: a run folder, or one that `save_policy` wrote.
        model: which one of a run.

    Raises:
        RunError: there is neither a run nor a model, or the run has kept no such model.
        DamagedModelError: the model was altered.
    """
    files = SafePath.of_folder(folder)
    if (files / CONFIG).is_anything():
        run = Run.open(files)
        return RunPolicy(run.load_policy(model), run)
    if not (files / models.MODEL.values).is_anything():
        raise RunError(
            f"{folder} is neither a run folder nor a model: it has neither {CONFIG} nor "
            f"{models.MODEL.values}"
        )
    if model != "best":
        raise InvalidOptionError(f"{folder} is a model, not a run: there is no {model!r} one of it")
    return models.load_policy(files)
