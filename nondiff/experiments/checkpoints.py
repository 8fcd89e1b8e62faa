"""The checkpoints of a run on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from nondiff.agents.storage import Layout, clean, read, write
from nondiff.agents.strategy import State
from nondiff.envs.errors import DamagedCheckpointError

KEPT = 3  # checkpoints, the newest ones
CHECKPOINT = Layout(
    "checkpoint",
    "nondiff-checkpoint-1",
    "state.json",
    "tensors.safetensors",
    2**38,
    DamagedCheckpointError,
)


class CheckpointFolder:
    """Keeps the last `KEPT` states of a training, each in a folder that appears whole.

    Args:
        folder: holds them.
        report: told of damaged ones.
        saved: told of the steps of each new one.
    """

    def __init__(
        self, folder: Path, report: Callable[[str], None], saved: Callable[[int], None]
    ) -> None:
        self._folder = folder
        self._report = report
        self._saved = saved
        clean(folder)
        self._prune()

    def save(self, state: State) -> None:
        target = self._folder / f"step-{state.steps:012d}"
        # One that is there already is damaged, or of a training that went another way.
        shutil.rmtree(target, ignore_errors=True)
        values = {"steps": state.steps, "values": state.values}
        write(CHECKPOINT, target, values, state.tensors)
        for path in self._newest_first():
            if path.name > target.name:
                shutil.rmtree(path, ignore_errors=True)
        self._prune()
        self._saved(state.steps)

    def _prune(self) -> None:
        for path in self._newest_first()[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)

    def load(self) -> State | None:
        damaged = False
        for path in self._newest_first():
            try:
                return _read(path)
            except DamagedCheckpointError as error:
                self._report(f"{error}; going on from the one before it")
                damaged = True
        if damaged:
            self._report("there is no whole checkpoint before it: training starts over")
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"), reverse=True)


def _read(path: Path) -> State:
    data, tensors = read(CHECKPOINT, path)
    try:
        steps, values = data["steps"], data["values"]
        if path.name != f"step-{steps:012d}" or not isinstance(values, dict):
            raise ValueError(f"it says step {steps}")
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedCheckpointError(f"{path} is not a checkpoint of ours: {error}") from error
    return State(steps, values, tensors)
