"""The process of a cell: trains as `nondiff train` does, then evaluates the last model."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gymnasium.error import DependencyNotInstalled
from pydantic import TypeAdapter

from nondiff.agents import find_strategy
from nondiff.agents.strategy import Strategy
from nondiff.errors import NondiffError
from nondiff.experiments.commands.cli import exit_with
from nondiff.experiments.commands.resume import ResumeOptions, resume
from nondiff.experiments.commands.train import TrainOptions, train
from nondiff.experiments.comparison.cell_result import Refusal, evaluate_last, write_record
from nondiff.experiments.comparison.cells import record_path, run_folder
from nondiff.experiments.run.folder import Run
from nondiff.experiments.stopping import Stop
from nondiff.experiments.terminal.streams import separate_streams
from nondiff.files.safe_path import SafePath
from nondiff.processes.lifetime import end_with_parent
from nondiff.text import shortened


@dataclass(frozen=True)
class CellTraining:
    """What a cell is trained with."""

    options: TrainOptions
    strategy: Strategy


@dataclass(frozen=True)
class Order:
    """What the process of a cell is to do.

    Args:
        parent: number of the process with which this one ends.
        comparison: its folder.
        cell: name of the cell.
        episodes: held-out episodes that the last model is evaluated on.
        training: None: it has been trained.
        resumes: whether a run is there, which is resumed.
    """

    parent: int
    comparison: str
    cell: str
    episodes: int
    training: CellTraining | None
    resumes: bool

    def to_json(self) -> str:
        """As an argument of the process."""
        data: dict[str, Any] = vars(self) | {"training": None}
        if self.training is not None:
            options = TypeAdapter(TrainOptions).dump_python(self.training.options, mode="json")
            data["training"] = {"options": options, "strategy": asdict(self.training.strategy)}
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> Order:
        """What `to_json` gave."""
        data = json.loads(text)
        if data["training"] is not None:
            options = TypeAdapter(TrainOptions).validate_python(data["training"]["options"])
            kind = TypeAdapter(find_strategy(options.strategy))
            strategy = kind.validate_python(data["training"]["strategy"])
            data["training"] = CellTraining(options, strategy)
        return cls(**data)


def main() -> None:
    """Do what the one argument, an `Order`, says."""
    separate_streams()
    order = Order.from_json(sys.argv[1])
    end_with_parent(order.parent)
    exit_with(lambda: _run(order), "nondiff train")


def _run(order: Order) -> int:
    record = record_path(SafePath(Path(order.comparison)), order.cell)
    try:
        if order.training is not None:
            with Stop() as stop:
                _train(order, order.training, stop)
        _evaluate(order, record)
    except (NondiffError, DependencyNotInstalled) as error:
        write_record(record, Refusal(state="failed", error=shortened(error)))
        raise
    return 0


def _train(order: Order, training: CellTraining, stop: Stop) -> None:
    if order.resumes:
        # It was compared with what the user asked for; see `cells`.
        folder = run_folder(SafePath(Path(order.comparison)), order.cell)
        resume(ResumeOptions(Path(str(folder)), trust=True), stop)
    else:
        train(training.options, training.strategy, stop)


def _evaluate(order: Order, record: SafePath) -> None:
    import torch

    torch.set_num_threads(1)
    folder = run_folder(SafePath(Path(order.comparison)), order.cell)
    # It is trained by this process, or was compared with what the user asked for.
    write_record(record, evaluate_last(Run.open(folder, trust=True), order.episodes))
