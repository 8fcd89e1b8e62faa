"""The worker pool of a vector environment."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from gymnasium.vector import AutoresetMode

from nondiff.errors import EnvironmentFailedError
from nondiff.processes.cores import pin_to_separate_cores, processors
from nondiff.processes.env_worker import EnvironmentRaised, Worker, WorkerLost
from nondiff.processes.vector_env.env_group import Env, GroupRecipe
from nondiff.processes.vector_env.shared_arrays import Layout
from nondiff.validation import check_positive, check_whole

_OURS = f"{EnvironmentFailedError.__name__}: "  # an `EnvGroup` has named the environment


class WorkerPool:
    """Workers that each serve an `EnvGroup`; commands go to all, then all answers are awaited.

    Args:
        make_one: makes one environment; pickled by reference.
        layout: the layout of the shared memory.
        memory: the shared memory.
        shares: the indices of each worker's environments.
        mode: when an environment is reset after an episode.
        timeout: maximum time for a worker's answer [s].
        apart: whether to pin the workers to separate cores; see `pin_to_separate_cores`.

    Raises:
        InvalidOptionError: `make_one` can't be pickled.
        EnvironmentFailedError: from `ask` and `ask_first`, an environment can't be made or raised,
            or a process died or hung.
    """

    def __init__(
        self,
        make_one: Callable[[], Env],
        layout: Layout,
        memory: Any,
        shares: list[range],
        mode: AutoresetMode,
        timeout: float,
        apart: bool,
    ) -> None:
        self._shares = shares
        self._workers: list[Worker] = []
        try:
            for numbers in shares:
                recipe = GroupRecipe(make_one, numbers, layout, mode)
                self._workers.append(Worker(recipe, timeout, memory=memory))
            if apart:
                pin_to_separate_cores([worker.pid for worker in self._workers])
        except BaseException:
            self.close()
            raise

    def ask(self, name: str, *arguments: Any) -> list[Any]:
        """Call a method of each `EnvGroup`; returns the results of all environments in order."""
        for worker in self._workers:
            worker.send("method", name, arguments, {})
        answers, failures = [], []
        for worker, numbers in zip(self._workers, self._shares, strict=True):
            try:
                answers.extend(_answer(worker, numbers))
            except EnvironmentFailedError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]
        return answers

    def ask_first(self, name: str, *arguments: Any) -> Any:
        """Call a method of the first `EnvGroup`."""
        self._workers[0].send("method", name, arguments, {})
        return _answer(self._workers[0], self._shares[0])

    def settle(self) -> None:
        """Wait until all workers are idle, even after an interrupt, and read no shared memory."""
        for worker in self._workers:
            worker.settle()

    def close(self) -> None:
        """Close the environments and end the processes."""
        for worker in self._workers:
            worker.ask_to_close()
        for worker in self._workers:
            worker.close()


def _answer(worker: Worker, numbers: range) -> Any:
    try:
        return worker.receive()
    except EnvironmentRaised as raised:
        summary = raised.summary.removeprefix(_OURS)
        if raised.making:
            summary = f"{_named(numbers)} can't be made: {summary}"
        raise EnvironmentFailedError(summary, raised.traceback) from raised
    except WorkerLost as lost:
        raise EnvironmentFailedError(f"the process of {_named(numbers)} {lost.reason}") from lost


def _named(numbers: range) -> str:
    if len(numbers) == 1:
        return f"environment {numbers[0]}"
    return f"environments {numbers[0]} to {numbers[-1]}"


def shares_of(num_envs: int, processes: int | None) -> list[range]:
    """Divide environment indices among processes, as evenly as possible.

    Args:
        num_envs: number of environments.
        processes: number of processes, at most `num_envs`; None: one per core.

    Raises:
        InvalidOptionError: a number out of its range.
    """
    check_positive("num_envs", num_envs)
    if processes is None:
        processes = min(num_envs, processors())
    check_whole("processes", processes, 1, num_envs)
    bounds = [num_envs * index // processes for index in range(processes + 1)]
    return [range(*pair) for pair in itertools.pairwise(bounds)]
