"""What a run has spent, noted with each checkpoint so that a cut neither loses nor repeats any."""

from __future__ import annotations

import time
from collections.abc import Callable

from nondiff.experiments.run.checkpoints import KEPT
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.schema import MAX_SECONDS, Calls, Checkpoint, Spent
from nondiff.experiments.training.monitor import TrainingMonitor
from nondiff.processes.cpu_time import cpu_seconds


class Ledger:
    """Adds what a session spends to what was spent up to the checkpoint that it resumed from.

    What an interrupted session did after its last checkpoint is done again, and counts once.

    Args:
        run: whose `run.json` keeps the account.
        monitor: knows the steps and the calls of evaluations.
        simulator_seconds: CPU seconds of the black box in this session.
    """

    def __init__(
        self, run: Run, monitor: TrainingMonitor, simulator_seconds: Callable[[], float | None]
    ) -> None:
        self._run, self._monitor = run, monitor
        self._simulator_seconds = simulator_seconds
        self._started = time.perf_counter(), cpu_seconds()
        self._earlier = run.state.model_copy()  # as the session before left it

    def checkpoint_saved(self, steps: int) -> None:
        """Make a new checkpoint part of the run's record, atomically."""
        self.note()
        before = [entry for entry in self._run.state.checkpoints or () if entry.steps < steps]
        kept = [*before, Checkpoint(steps=steps, **self._spent().to_json())][-KEPT:]
        self._run.update(checkpoint=steps, steps=steps, checkpoints=kept)

    def note(self) -> None:
        """Put what was spent until now into the run's state, which the next update writes."""
        if self._monitor.start is None:
            return  # training has not begun
        spent, state = self._spent(), self._run.state
        state.steps = self._monitor.steps
        state.seconds, state.cpu_seconds = spent.seconds, spent.cpu_seconds
        state.ledger = Calls(
            training_calls=self._monitor.steps,
            simulator_cpu_seconds=spent.simulator_cpu_seconds,
            evaluation_calls=self._monitor.evaluation_calls,
        )

    def _spent(self) -> Spent:
        before, simulator = self._before(), self._simulator_seconds()
        if simulator is not None:
            simulator = _rounded((before.simulator_cpu_seconds or 0.0) + simulator)
        wall, cpu = self._started
        return Spent(
            seconds=_rounded(before.seconds + time.perf_counter() - wall),
            cpu_seconds=_rounded(before.cpu_seconds + cpu_seconds() - cpu),
            simulator_cpu_seconds=simulator,
        )

    def _before(self) -> Spent:
        """What was spent up to where this session began."""
        start, state = self._monitor.start, self._earlier
        for entry in state.checkpoints or ():
            if entry.steps == start:
                return entry
        if not start:
            return Spent()
        return Spent(  # a run of version 0.1.0, which kept totals alone
            seconds=state.seconds,
            cpu_seconds=state.cpu_seconds,
            simulator_cpu_seconds=state.ledger.simulator_cpu_seconds,
        )


def _rounded(seconds: float) -> float:
    """To milliseconds, and within what a run's state may hold, whatever it held before."""
    return min(round(seconds, 3), MAX_SECONDS)


def committed(run: Run) -> int | None:
    """Steps of the newest checkpoint that is part of the run's record; 0: there is none.

    None: every whole checkpoint is, as in a run of version 0.1.0.
    """
    if run.state.checkpoints is None:
        return None
    return max((entry.steps for entry in run.state.checkpoints), default=0)
