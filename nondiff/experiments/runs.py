"""The run folder: what was asked, on what, what came of it, and the models."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nondiff.agents.model import load_policy, save_policy
from nondiff.agents.strategy import TrainedPolicy
from nondiff.envs.errors import RunError
from nondiff.envs.recipe import EnvRecipe

CONFIG, STATE, METRICS, CURVE = "config.json", "run.json", "metrics.csv", "learning_curve.png"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PACKAGES = (
    "nondiff",
    "gymnasium",
    "numpy",
    "torch",
    "stable-baselines3",
    "sb3-contrib",
    "pybullet",
    "pybullet-arm64",
)


class Run:
    """A run folder.

    `config.json` is what was asked and never changes; `run.json` is where the run stands, replaced
    whole at each change; `models/` holds the best and the latest model, each in a folder of its own
    that appears whole; `run.json` says which is which.
    """

    def __init__(self, folder: Path, config: dict[str, Any], state: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.state = state

    @classmethod
    def create(cls, root: Path, name: str | None, stem: str, config: dict[str, Any]) -> Run:
        """Create a folder under `root`: `name`, or else the first free of `stem`-1, `stem`-2, ...

        Raises:
            RunError: the name is taken, or would leave `root`.
        """
        folder = _claim(root, name, stem)
        run = cls(folder, config | versions(), {"state": "running", "models": {}})
        write_json(folder / CONFIG, run.config)
        run._save_state()
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open a finished or unfinished run.

        Raises:
            RunError: there is no run in this folder, or its files are damaged.
        """
        if not (folder / CONFIG).is_file():
            raise RunError(f"{folder} is not a run folder: it has no {CONFIG}; {_offer(folder)}")
        config, state = (_read_json(folder / name) for name in (CONFIG, STATE))
        try:
            EnvRecipe(str(config["env"]), dict(config["env_arguments"]))
            for model in dict(state["models"]).values():
                _checked_name(model["folder"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{folder}: {CONFIG} or {STATE} is damaged: {error!r}") from error
        return cls(folder, config, state)

    @property
    def recipe(self) -> EnvRecipe:
        """The environment this run trained on."""
        return EnvRecipe(self.config["env"], self.config["env_arguments"])

    def save_model(self, policy: TrainedPolicy, steps: int, roles: list[str]) -> None:
        """Keep a policy as the run's "best" or "last" model, or both; drop the one replaced."""
        folder = f"step-{steps:09d}"
        target = self.folder / "models" / folder
        if not target.exists():
            save_policy(policy, target)
        for role in roles:
            self.state["models"][role] = {"folder": folder, "steps": steps}
        self._save_state()
        kept = {model["folder"] for model in self.state["models"].values()}
        for other in (self.folder / "models").iterdir():
            if other.name not in kept:
                shutil.rmtree(other, ignore_errors=True)

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
        return self.folder / "models" / str(models[role]["folder"])

    def load_policy(self, role: str = "best") -> TrainedPolicy:
        """Load a model of this run; see `nondiff.agents.model.load_policy`."""
        return load_policy(self.model_folder(role))

    def finish(self, state: str, **results: Any) -> None:
        """Note how the run ended: "finished", "interrupted" or "failed"."""
        self.state |= {"state": state, **results}
        self._save_state()

    def _save_state(self) -> None:
        write_json(self.folder / STATE, self.state)


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file whole, durably."""
    replace_text(path, json.dumps(data, indent=1))


def replace_text(path: Path, text: str) -> None:
    """Replace a text file whole, durably, its line ends as they are."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105


def versions() -> dict[str, Any]:
    """What the run depends on beside its options."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"versions": found, "platform": platform.platform(), "git_revision": _git_revision()}


def _git_revision() -> str | None:
    """The revision of the checkout that nondiff runs from, if it does from one."""
    home = Path(__file__).parents[2]
    if not (home / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(home), "describe", "--always", "--dirty", "--abbrev=40"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _claim(root: Path, name: str | None, stem: str) -> Path:
    if name is not None:
        _checked_name(name)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{root} can't hold runs: {error.strerror}") from error
    if name is not None:
        folder = root / name
        try:
            folder.mkdir()
        except FileExistsError:
            raise RunError(
                f"the run {folder} exists already; choose another --name, or remove it"
            ) from None
        return folder
    for number in range(1, 1_000_000):
        folder = root / f"{stem}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise RunError(f"{root} holds a million runs named {stem}")


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise RunError(
            f"{name!r} can't name a run: use up to 100 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    return name


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read: {error}") from error
    if not isinstance(data, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object")
    return data


def _offer(folder: Path) -> str:
    parent = folder if folder.is_dir() else folder.parent
    runs = sorted(path.parent.name for path in parent.glob(f"*/{CONFIG}"))[-5:]
    return f"runs in {parent}: {', '.join(runs)}" if runs else f"there are no runs in {parent}"
