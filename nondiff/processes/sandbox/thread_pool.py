"""A pool of threads that wait for programs concurrently."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from nondiff.errors import EnvironmentFailedError, InvalidOptionError
from nondiff.processes.cores import processors
from nondiff.processes.sandbox.failures import CallFailed

Row = TypeVar("Row")
Result = TypeVar("Result")

MAX_FAILURES = 100  # consecutive ones, after which training ends


class ThreadPool(Generic[Row, Result]):
    """Processes the rows of a batch concurrently; rows do not affect each other's results.

    Args:
        make: makes a worker: a function from a row to its result, which raises `CallFailed` on
            failure. One thread uses it at a time. `close` calls its method `close`, if it has one.
        size: number of workers, made on demand; None: one per core.
        max_failures: consecutive failures, across batches, that end training; None: no limit.

    Raises:
        InvalidOptionError: size or max_failures below 1.
    """

    def __init__(
        self,
        make: Callable[[], Callable[[Row], Result]],
        size: int | None = None,
        max_failures: int | None = MAX_FAILURES,
    ) -> None:
        size = processors() if size is None else size
        if size < 1 or (max_failures is not None and max_failures < 1):
            raise InvalidOptionError(
                f"a pool has 1 worker or more and ends after 1 failure or more, not {size} and "
                f"{max_failures}"
            )
        self._make, self._size, self._limit = make, size, max_failures
        self._in_a_row = 0
        self._begin()

    def _begin(self) -> None:
        self._idle: queue.SimpleQueue[Callable[[Row], Result]] = queue.SimpleQueue()
        self._made: list[Callable[[Row], Result]] = []
        self._threads: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The state without the workers, since a copy makes its own."""
        return {name: self.__dict__[name] for name in ("_make", "_size", "_limit", "_in_a_row")}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._begin()

    def map(self, rows: Sequence[Row]) -> list[Result | CallFailed]:
        """Process rows; returns each row's result or failure, in order.

        Raises:
            EnvironmentFailedError: `max_failures` consecutive rows failed.
        """
        for _ in range(min(self._size, len(rows)) - len(self._made)):
            self._made.append(self._make())
            self._idle.put(self._made[-1])
        if self._size == 1 or len(rows) == 1:
            results = [self._attempt(row) for row in rows]
        else:
            self._threads = self._threads or ThreadPoolExecutor(self._size, "nondiff-pool")
            results = list(self._threads.map(self._attempt, rows))
        self._count(results)
        return results

    def close(self) -> None:
        """Close the workers; the next batch makes new ones."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None
        made, self._made = self._made, []
        self._idle = queue.SimpleQueue()
        for worker in made:
            close = getattr(worker, "close", None)
            if close is not None:
                close()

    def _attempt(self, row: Row) -> Result | CallFailed:
        worker = self._idle.get()
        try:
            return worker(row)
        except CallFailed as failure:
            return failure
        finally:
            self._idle.put(worker)

    def _count(self, results: Sequence[Result | CallFailed]) -> None:
        for result in results:
            if not isinstance(result, CallFailed):
                self._in_a_row = 0
                continue
            self._in_a_row += 1
            if self._in_a_row == self._limit:
                self._in_a_row = 0
                raise EnvironmentFailedError(
                    f"{self._limit} calls of the program failed in a row, the last one by {result}"
                )
