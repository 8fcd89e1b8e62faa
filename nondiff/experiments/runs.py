"""The run folder: what was asked, on what, what came of it, and the models."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import NonNegativeFloat, NonNegativeInt, TypeAdapter
from typing_extensions import NotRequired, TypedDict

from nondiff.agents.model import load_policy, save_policy
from nondiff.agents.storage import clean, sync_folder
from nondiff.agents.strategy import TrainedPolicy
from nondiff.envs.errors import RunError
from nondiff.envs.recipe import EnvRecipe
from nondiff.experiments.claims import (
    NEW,
    check_name,
    claim,
    is_locked,
    lock_folder,
    remove_leftovers,
)
from nondiff.experiments.files import read_json, write_json
from nondiff.experiments.ownership import is_own, signature
from nondiff.experiments.provenance import timestamp, versions
from nondiff.experiments.trust import check_files, check_recipe, is_data

CONFIG, STATE, METRICS, CURVE = "config.json", "run.json", "metrics.csv", "learning_curve.png"
MODELS, CHECKPOINTS, TENSORBOARD = "models", "checkpoints", "tensorboard"


class RunConfig(TypedDict):
    """What `config.json` holds, as far as a run is looked at; an imported one has less."""

    env: str
    env_arguments: dict[str, Any]
    strategy: str
    seed: NotRequired[NonNegativeInt]
    budget: NotRequired[NonNegativeInt]
    evaluation: NotRequired[dict[str, Any]]
    hyperparameters: NotRequired[dict[str, Any]]
    versions: NotRequired[dict[str, str]]


class Model(TypedDict):
    """A model that a run has kept."""

    folder: str
    steps: NonNegativeInt
    score: tuple[float, float] | None


class RunState(TypedDict):
    """What `run.json` holds, as far as it is used."""

    state: str
    models: dict[str, Model]
    steps: NonNegativeInt
    config_sha256: str
    signature: NotRequired[str | None]
    checkpoint: NotRequired[NonNegativeInt]
    seconds: NotRequired[NonNegativeFloat]
    cpu_seconds: NotRequired[NonNegativeFloat]
    asked: NotRequired[dict[str, float | None]]
    updated: NotRequired[str]
    latest: NotRequired[dict[str, float | None]]
    result: NotRequired[dict[str, Any]]
    ledger: NotRequired[dict[str, float | None]]


class Run:
    """A run folder.

    `config.json` is what was asked and never changes; `run.json` is where the run stands, replaced
    whole at each change; `models/` holds the best and the latest model, each in a folder of its own
    that appears whole; `run.json` says which is which. Whoever writes to a run holds its lock.
    """

    def __init__(self, folder: Path, config: dict[str, Any], state: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.state = state
        self.trusted = False  # whether what `config` names may be imported and started
        self._lock: FileLock | None = None

    @classmethod
    def create(cls, root: Path, name: str | None, stem: str, config: dict[str, Any]) -> Run:
        """Create a folder under `root`: `name`, or else the first free of `stem`-1, `stem`-2, ...

        Raises:
            RunError: the name is taken, or would leave `root`.
        """
        if name is not None:
            check_name(name)
        config = config | versions()
        try:
            root.mkdir(parents=True, exist_ok=True)
            remove_leftovers(root)
            new = Path(tempfile.mkdtemp(prefix=NEW, dir=root))
        except OSError as error:
            raise RunError(f"{root} can't hold runs: {error.strerror}") from error
        try:
            new.chmod(0o755)
            run = cls(new, config, {"state": "running", "started": timestamp(), "models": {}})
            write_json(new / CONFIG, config)
            run.update(config_sha256=_digest(new / CONFIG), signature=signature(config), steps=0)
            run.trusted = True
            run._lock = lock_folder(new)  # it stays locked under its new name
            run.folder = claim(new, root, name, stem)
            sync_folder(root)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            raise RunError(f"{root} can't hold runs: {error.strerror or error}") from error
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return run

    @classmethod
    def open(cls, folder: Path, trust: bool = False) -> Run:
        """Open a finished or unfinished run to read it.

        Args:
            folder: of the run.
            trust: whether the user trusts whoever made it, and so what it names.

        Raises:
            RunError: there is no run in this folder, or its files are damaged.
        """
        if not (folder / CONFIG).is_file():
            raise RunError(f"{folder} is not a run folder: it has no {CONFIG}; {_offer(folder)}")
        config, state = (read_json(folder / name) for name in (CONFIG, STATE))
        try:
            TypeAdapter(RunConfig).validate_python(config)
            TypeAdapter(RunState).validate_python(state)
            for model in state["models"].values():
                check_name(model["folder"])
        except (KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"{folder}: {CONFIG} or {STATE} is damaged: {reason}") from error
        run = cls(folder, config, state)
        run.trusted = trust or is_own(config, state.get("signature"))
        return run

    @classmethod
    def open_to_write(cls, folder: Path, trust: bool = False) -> Run:
        """Open a run that this process goes on with, and clear away what a crash left in it.

        A run that the user trusts is the user's own from then on.

        Raises:
            RunError: there is no run, its files are damaged, or another process is writing to it.
            UntrustedError: it names what may run any code; nothing is touched.
        """
        cls.open(folder, trust).check_trusted()
        lock = lock_folder(folder)
        run = cls.open(folder, trust)  # as whoever held the lock before has left it
        run.check_trusted()
        run._lock = lock
        if run.state.get("config_sha256") != _digest(folder / CONFIG):
            raise RunError(f"{folder / CONFIG} was altered since the run began: it can't go on")
        if trust:
            run.state["signature"] = signature(run.config)  # written when training begins
        for path in folder.glob("*.tmp"):
            path.unlink(missing_ok=True)
        clean(folder / MODELS)
        return run

    def close(self) -> None:
        """Let others write to the run."""
        if self._lock is not None:
            self._lock.release()

    def status(self) -> str:
        """How the run stands: running, interrupted, finished, failed, ..."""
        recorded = str(self.state.get("state"))
        return "interrupted" if recorded == "running" and not is_locked(self.folder) else recorded

    @property
    def asked(self) -> dict[str, Any]:
        """The options that a run may go on with other values of: see `ask`."""
        evaluation = self.config.get("evaluation", {})  # an imported run has none
        first = {
            "budget": self.config.get("budget", 0),
            "stop_at_success": evaluation.get("stop_at_success"),
            "stop_at_return": evaluation.get("stop_at_return"),
        }
        return first | dict(self.state.get("asked", {}))

    def ask(self, **options: Any) -> None:
        """Set the budget, `stop_at_success` or `stop_at_return` that the run goes on with."""
        self.state["asked"] = self.state.get("asked", {}) | options

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
            check_files(self.folder, self.config.get("hyperparameters", {}))

    def _recipe(self) -> EnvRecipe:
        return EnvRecipe(self.config["env"], self.config["env_arguments"])

    def trust_options(self) -> list[str]:
        """The option that later commands need, so that they use what this run names."""
        known = is_own(self.config, self.state.get("signature"))
        return [] if known or is_data(self._recipe()) else ["--trust"]

    def save_model(
        self,
        policy: TrainedPolicy,
        steps: int,
        roles: list[str],
        score: tuple[float, float] | None = None,
    ) -> None:
        """Keep a policy as the run's "best" or "last" model, or both; drop the one replaced.

        Args:
            policy: what to keep.
            steps: environment steps after which it is.
            roles: of "best" and "last".
            score: what the best one is chosen by: success rate and mean return.
        """
        models = self.folder / MODELS
        # The same step may have been kept before the run was interrupted, and be the best one.
        target = next(path for path in _names(models, f"step-{steps:09d}") if not path.exists())
        save_policy(policy, target)
        for role in roles:
            self.state["models"][role] = {"folder": target.name, "steps": steps, "score": score}
        self.update(steps=steps)
        kept = {model["folder"] for model in self.state["models"].values()}
        for other in models.iterdir():
            if other.name not in kept:
                shutil.rmtree(other, ignore_errors=True)

    def score(self, role: str) -> tuple[float, float] | None:
        """What the "best" or "last" model was chosen by, if it was reviewed."""
        score = self.state["models"].get(role, {}).get("score")
        return None if score is None else (float(score[0]), float(score[1]))

    def model_folder(self, role: str) -> Path:
        """Where the "best" or "last" model lies.

        Raises:
            RunError: the run has kept none.
        """
        models = self.state["models"]
        if role not in models:
            raise RunError(
                f"{self.folder} has no model {role!r}; it has {', '.join(models) or '-'}"
            )
        return self.folder / MODELS / str(models[role]["folder"])

    def load_policy(self, role: str = "best") -> TrainedPolicy:
        """Load a model of this run; see `nondiff.agents.model.load_policy`."""
        return load_policy(self.model_folder(role))

    def update(self, **entries: Any) -> None:
        """Note how the run stands."""
        self.state |= {**entries, "updated": timestamp()}
        write_json(self.folder / STATE, self.state)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _names(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / stem
    yield from (folder / f"{stem}-{number}" for number in itertools.count(2))


def _offer(folder: Path) -> str:
    parent = folder if folder.is_dir() else folder.parent
    runs = sorted(path.parent.name for path in parent.glob(f"*/{CONFIG}"))[-5:]
    return f"runs in {parent}: {', '.join(runs)}" if runs else f"there are no runs in {parent}"
