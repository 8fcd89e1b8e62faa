"""The checkpoints of a run on disk."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from nondiff.agents.policies.storage import Layout, clean, read, write
from nondiff.agents.strategy import State
from nondiff.errors import DamagedCheckpointError
from nondiff.files.folders import remove_made
from nondiff.files.safe_path import SafePath

KEPT = 3  # checkpoints, the newest ones
NAME = re.compile(r"step-\d{12}")
CHECKPOINT = Layout(
    "checkpoint",
    "nondiff-checkpoint-1",
    "state.json",
    "tensors.safetensors",
    2**38,
    DamagedCheckpointError,
)


class CheckpointFolder:
    """Keeps the last `KEPT` states of a training, each in a folder that is written atomically.

    Args:
        folder: holds them.
        report: told of damaged ones.
        saved: told of the steps of each new one.
        committed: steps of the newest one that counts: later ones, of which `saved` was not told
            before the process was killed, are removed; None: all count.
    """

    def __init__(
        self,
        folder: Path | SafePath,
        report: Callable[[str], None],
        saved: Callable[[int], None],
        committed: int | None = None,
    ) -> None:
        self._folder = SafePath.of_folder(folder)
        self._report = report
        self._saved = saved
        clean(CHECKPOINT, self._folder)
        if committed is not None:
            self._remove_after(committed)
        self._prune()

    def save(self, state: State) -> None:
        target = self._folder / f"step-{state.steps:012d}"
        # One that is there already is damaged, or of a training that went another way.
        _remove(target)
        values = {"steps": state.steps, "values": state.values}
        write(CHECKPOINT, target, values, state.tensors)
        self._remove_after(state.steps)
        self._saved(state.steps)
        self._prune()

    def _remove_after(self, steps: int) -> None:
        for path in self._newest_first():
            if path.name > f"step-{steps:012d}":
                _remove(path)

    def _prune(self) -> None:
        for path in self._newest_first()[KEPT:]:
            _remove(path)

    def load(self) -> State | None:
        damaged = False
        for path in self._newest_first():
            try:
                return _read(path)
            except DamagedCheckpointError as error:
                self._report(f"{error}; the one before it is used")
                damaged = True
        if damaged:
            self._report("there is no whole checkpoint before it: training starts over")
        return None

    def _newest_first(self) -> list[SafePath]:
        names = sorted(self._folder.names(), reverse=True)
        return [self._folder / name for name in names if NAME.fullmatch(name)]


def _remove(checkpoint: SafePath) -> None:
    """Remove a checkpoint, and leave what is in it that is none of ours."""
    remove_made(checkpoint, CHECKPOINT.files)


def _read(path: SafePath) -> State:
    data, tensors = read(CHECKPOINT, path)
    try:
        steps, values = data["steps"], data["values"]
        if path.name != f"step-{steps:012d}" or not isinstance(values, dict):
            raise ValueError(f"it says step {steps}")
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedCheckpointError(f"{path} is not a checkpoint of ours: {error}") from error
    return State(steps, values, tensors)
