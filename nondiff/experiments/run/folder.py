"""The run folder: configuration, state and models."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nondiff.agents.policies.model import MODEL, is_saved, load_policy, save_policy
from nondiff.agents.policies.storage import clean
from nondiff.agents.strategy import TrainedPolicy
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import RunError
from nondiff.experiments.run.file_names import (
    CONFIG,
    MODEL_NAME,
    MODELS,
    STATE,
    TEMPORARY,
    check_kinds,
    check_made,
)
from nondiff.experiments.run.files import read_json, write_json
from nondiff.experiments.run.locks import (
    LOCK,
    NEW,
    check_name,
    claim,
    is_locked,
    lock_folder,
    remove_leftovers,
)
from nondiff.experiments.run.ownership import is_own, signature
from nondiff.experiments.run.provenance import timestamp, versions
from nondiff.experiments.run.schema import (
    Asked,
    Latest,
    Model,
    Result,
    RunConfig,
    RunState,
    Score,
    StopReason,
)
from nondiff.experiments.run.trust import check_files, check_recipe, is_data
from nondiff.files.folders import new_folder, remove_made, share
from nondiff.files.kinds import UnsafePathError
from nondiff.files.locks import FolderLock
from nondiff.files.safe_path import SafePath
from nondiff.files.untrusted_json import MAX_BYTES


class Run:
    """A run folder, whose own path may be a link; no link in it is followed.

    `config.json` holds the configuration and never changes; `run.json` holds the state, and each of
    its changes is atomic; `models/` holds the best and the latest model, each in a folder that is
    written atomically; `run.json` says which is which. Whoever writes to a run holds its lock.
    """

    def __init__(self, files: SafePath, config: RunConfig, state: RunState) -> None:
        self.files = files
        self.config = config
        self.state = state
        self.trusted = False  # whether what `config` names may be imported and started
        self._lock: FolderLock | None = None

    @property
    def folder(self) -> Path:
        """Its path, for messages."""
        return self.files.path

    @classmethod
    def create(cls, root: Path, name: str | None, stem: str, config: RunConfig) -> Run:
        """Create a folder under `root`: `name`, or else the first free of `stem`-1, `stem`-2, ...

        Raises:
            RunError: the name is taken, or would leave `root`.
        """
        if name is not None:
            check_name(name)
        config = config.model_copy(update=versions())
        place = SafePath(root)
        try:
            remove_leftovers(place.make_folder(), (CONFIG, STATE, LOCK))
            new = new_folder(place, NEW)
        except OSError as error:
            raise RunError(f"{root} can't hold runs: {error.strerror}") from error
        try:
            write_json(new / CONFIG, config.to_json())
            run = cls(new, config, _first_state(config, _digest(new / CONFIG)))
            run.update()
            run.trusted = True
            run._lock = lock_folder(new)  # it stays locked under its new name
            share(new)
            run.files = SafePath(claim(new, name, stem))
            place.sync()
        except OSError as error:
            remove_made(new, (CONFIG, STATE, LOCK))
            raise RunError(f"{root} can't hold runs: {error.strerror or error}") from error
        except BaseException:
            remove_made(new, (CONFIG, STATE, LOCK))
            raise
        return run

    @classmethod
    def open(cls, folder: Path | SafePath, trust: bool = False) -> Run:
        """Open a finished or unfinished run to read it.

        Args:
            folder: of the run.
            trust: whether the user trusts whoever made it, and so what it names.

        Raises:
            RunError: there is no run in this folder, its files are damaged, or a link or a special
                file is where one of them is due.
        """
        files = SafePath.of_folder(folder)
        try:
            check_kinds(files)
            if (files / CONFIG).kind() is None:
                raise RunError(f"{folder} is not a run folder: it has no {CONFIG}; {_offer(files)}")
        except UnsafePathError as error:
            raise RunError(f"{folder} is damaged: {error}") from error
        read = [read_json(files / name) for name in (CONFIG, STATE)]
        try:
            config, state = RunConfig.from_json(read[0]), RunState.model_validate(read[1])
            for model in state.models.values():
                check_name(model.folder)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise RunError(f"{folder}: {CONFIG} or {STATE} is damaged: {reason}") from error
        run = cls(files, config, state)
        run.trusted = trust or is_own(config.to_json(), state.signature)
        return run

    @classmethod
    def open_to_write(cls, folder: Path, trust: bool = False) -> Run:
        """Open a run to resume it, and remove what a crash left in it.

        A run that the user trusts is the user's own from then on.

        Raises:
            RunError: there is no run, its files are damaged, or another process is writing to it.
            UntrustedError: it names what may run any code; nothing is touched.
        """
        unlocked = cls.open(folder, trust)
        unlocked._check_unaltered()
        unlocked.check_trusted()
        lock = lock_folder(folder)
        try:
            run = cls.open(folder, trust)  # as whoever held the lock before has left it
            run._clear_away(trust)
        except BaseException:  # whoever keeps the error must not keep the lock with it
            lock.release()
            raise
        run._lock = lock
        return run

    def _clear_away(self, trust: bool) -> None:
        """Refuse a run that can't be resumed, and remove what a crash left in it."""
        self._check_unaltered()
        self.check_trusted()
        check_made(self.files)
        if trust:
            self.state.signature = signature(self.config.to_json())  # written as training begins
        for name in self.files.names():
            if TEMPORARY.fullmatch(name):
                (self.files / name).remove_file()
        clean(MODEL, self.files / MODELS)
        self._remove_other_models()

    def _check_unaltered(self) -> None:
        if self.state.config_sha256 != _digest(self.files / CONFIG):
            raise RunError(
                f"{self.folder / CONFIG} was altered since the run began, so that it can't be "
                "resumed, with --trust neither: put it back as it was, or begin a new run"
            )

    def close(self) -> None:
        """Let others write to the run."""
        if self._lock is not None:
            self._lock.release()

    def status(self) -> str:
        """How the run stands: running, interrupted, finished, failed, ..."""
        if self.state.state == "running" and not is_locked(self.files):
            return "interrupted"
        return self.state.state

    @property
    def stop_reason(self) -> StopReason | None:
        """Why its latest session ended.

        None: it is under way, or the run was imported or made by version 0.1.0.
        """
        killed = self.state.state == "running" and not is_locked(self.files)
        return "killed" if killed else self.state.stop_reason

    @property
    def asked(self) -> Asked:
        """The options that a run may be resumed with other values of: see `ask`."""
        evaluation = self.config.evaluation
        first: dict[str, Any] = {
            "budget": self.config.budget,
            "stop_at_success": evaluation.get("stop_at_success"),
            "stop_at_return": evaluation.get("stop_at_return"),
        }
        return Asked.model_construct(**first | self.state.asked.to_json())

    def ask(self, **options: Any) -> None:
        """Set the budget, `stop_at_success` or `stop_at_return` that the run is resumed with."""
        self.state.asked = self.state.asked.model_copy(update=options)

    @property
    def recipe(self) -> EnvRecipe:
        """The environment this run trained on.

        Raises:
            UntrustedError: it may run any code, and the user has not said to trust this run.
        """
        if not self.trusted:
            check_recipe(self.folder, self._recipe())
        return self._recipe()

    def check_trusted(self) -> None:
        """Refuse to train on with what a stranger's run names.

        Raises:
            UntrustedError: it may run any code, or is a file of the user's.
        """
        if not self.trusted:
            check_recipe(self.folder, self._recipe())
            check_files(self.folder, self.config.hyperparameters)

    def _recipe(self) -> EnvRecipe:
        config = self.config
        return EnvRecipe(
            config.env,
            config.env_arguments,
            tuple(config.wrappers),
            config.max_episode_steps,
            config.env_folder,
        )

    @property
    def named_recipe(self) -> EnvRecipe:
        """The environment that it names, which may run any code: to be told, not made."""
        return self._recipe()

    def trust_options(self) -> list[str]:
        """The option that later commands need, so that they use what this run names."""
        known = is_own(self.config.to_json(), self.state.signature)
        return [] if known or is_data(self._recipe()) else ["--trust"]

    def save_model(
        self,
        policy: TrainedPolicy,
        steps: int,
        roles: list[str],
        score: Score | None = None,
    ) -> None:
        """Keep a policy as the run's "best" or "last" model, or both; drop the one replaced.

        Args:
            policy: what to keep.
            steps: environment steps after which it is.
            roles: of "best" and "last".
            score: what the best one is chosen by: success rate and mean return.
        """
        models = self.files / MODELS
        taken = models.names()
        # The same step may have been kept before the run was interrupted, and be the best one.
        name = next(
            name
            for name in _names(f"step-{steps:09d}")
            if name not in taken or is_saved(policy, models / name)
        )
        if name not in taken:
            save_policy(policy, models / name)
        for role in roles:
            self.state.models[role] = Model(folder=name, steps=steps, score=score)
        self.update(steps=steps)
        self._remove_other_models()

    def _remove_other_models(self) -> None:
        kept = {model.folder for model in self.state.models.values()}
        for name in (self.files / MODELS).names():
            if MODEL_NAME.fullmatch(name) and name not in kept:
                remove_made(self.files / MODELS / name, MODEL.files)

    def score(self, role: str) -> tuple[float, float] | None:
        """The score of the "best" or "last" model, if it was evaluated."""
        model = self.state.models.get(role)
        if model is None or model.score is None:
            return None
        return float(model.score[0]), float(model.score[1])

    def model_folder(self, role: str) -> Path:
        """The path of the "best" or "last" model, for messages; see `model`."""
        return self.model(role).path

    def model(self, role: str) -> SafePath:
        """Where the "best" or "last" model lies.

        Raises:
            RunError: the run has kept none.
        """
        models = self.state.models
        if role not in models:
            raise RunError(
                f"{self.folder} has no model {role!r}; it has {', '.join(models) or '-'}"
            )
        return self.files / MODELS / models[role].folder

    def load_policy(self, role: str = "best") -> TrainedPolicy:
        """Load a model of this run; see `nondiff.agents.policies.model.load_policy`."""
        return load_policy(self.model(role))

    def begin_session(self) -> None:
        """Note that training begins, or is resumed."""
        self.update(state="running", stop_reason=None, error=None)

    def end_session(self, error: BaseException, signalled: bool) -> None:
        """Note that training broke off."""
        state, reason = ("interrupted", "signal") if signalled else ("failed", "error")
        self.update(state=state, stop_reason=reason, error=str(error))

    def note_evaluation(self, success: float | None, return_mean: float) -> None:
        """Set the latest evaluation, which the next update writes."""
        self.state.latest = Latest(success=success, return_mean=return_mean)

    def finish(self, reason: StopReason, result: dict[str, Any], calls: int) -> None:
        """Set the result, which the next update writes.

        Args:
            reason: why training ended.
            result: statistics of the held-out evaluation.
            calls: that this evaluation made.
        """
        self.state.stop_reason, self.state.result = reason, Result.model_validate(result)
        self.state.ledger = self.state.ledger.model_copy(update={"held_out_calls": calls})

    def update(self, **entries: Any) -> None:
        """Set fields of the state, and write it atomically.

        Raises:
            ValueError: the state has no such field, or it can't have the value.
        """
        for name, value in {**entries, "updated": timestamp()}.items():
            if name not in RunState.model_fields:
                raise ValueError(f"the state of a run has no field {name!r}")
            setattr(self.state, name, value)
        write_json(self.files / STATE, self.state.to_json())


def _first_state(config: RunConfig, digest: str) -> RunState:
    return RunState(
        state="running",
        started=timestamp(),
        models={},
        steps=0,
        config_sha256=digest,
        signature=signature(config.to_json()),
        checkpoints=[],
    )


def _digest(path: SafePath) -> str:
    return hashlib.sha256(path.read(MAX_BYTES)).hexdigest()


def _names(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}-{number}" for number in itertools.count(2))


def _offer(folder: SafePath) -> str:
    parent = folder if folder.kind() == "folder" else folder.parent
    runs = [name for name in parent.names() if (parent / name / CONFIG).is_anything()][-5:]
    return f"runs in {parent}: {', '.join(runs)}" if runs else f"there are no runs in {parent}"
