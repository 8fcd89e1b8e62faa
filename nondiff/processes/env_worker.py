"""An environment in its own process, so that its crash or hang leaves the client unharmed.

The process serves one `Worker`. It ends when the worker asks it to, when its pipe closes, or when
the process that started it ends, for whatever reason.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import connection, process
from multiprocessing.util import Finalize
from typing import Any, Protocol
from uuid import uuid4

import psutil

from nondiff.errors import InvalidOptionError
from nondiff.gym.copying import NeverCopied
from nondiff.processes import cpu_time, main_module
from nondiff.processes.awake_clock import AwakeClock
from nondiff.processes.env_server import MARK, SIGNALS, Env, work
from nondiff.processes.lifetime import kill_descendants
from nondiff.processes.python_processes import safe_path, signals_held

Wrap = Callable[[Env], Env]

START_SECONDS = 120.0  # [s] to make an environment; many that start at once slow each other down
CLOSE_SECONDS = 5.0  # [s] to close one, and for a killed process to be gone
SCRIPT_FAILED = "exited with code 1"  # also how Python ends if the main module raises
_LOOK_SECONDS = 0.25  # [s] between checks that a silent worker is alive
_SPAWN = multiprocessing.get_context("spawn")


class WorkerLost(Exception):  # noqa: N818 - an event; the worker's owner raises the error
    """A worker died, or hung and was killed; `reason` says how, such as "exited with code 3"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EnvironmentRaised(Exception):  # noqa: N818
    """An environment raised: a one-line summary, its traceback, and whether its making failed."""

    def __init__(self, summary: str, traceback: str, making: bool = False) -> None:
        super().__init__(summary)
        self.summary = summary
        self.traceback = traceback
        self.making = making


class Recipe(Protocol):
    """A picklable factory of an environment, such as an `EnvRecipe`."""

    @property
    def id(self) -> str:
        """The environment's name in messages."""
        ...

    @property
    def make(self) -> Callable[..., Env]:
        """The function that makes the environment; it receives the worker's `memory`, if any."""
        ...

    @property
    def stands_alone(self) -> bool:
        """Whether a process that does not run the main module can make it."""
        ...


class Worker(NeverCopied):
    """The client of one environment in its own process; constructing it does not wait.

    Args:
        recipe: makes the environment.
        timeout: maximum time for an answer [s]; making the environment may take `START_SECONDS`.
        wrap: wraps the environment in its process; pickled by reference.
        memory: memory shared with the process, such as a `RawArray`, passed to the recipe.

    Raises:
        InvalidOptionError: the recipe's arguments or `wrap` can't be pickled, or no other process
            can import them.
    """

    instead = "make another one of the same recipe"

    def __init__(
        self, recipe: Recipe, timeout: float, wrap: Wrap | None = None, memory: Any = None
    ) -> None:
        self._timeout = timeout
        self._made = False
        self._unread = 0
        order = _pickled_order(recipe, wrap)
        mark = uuid4().hex
        self._connection, theirs = _SPAWN.Pipe()
        _limit_stalls(self._connection, timeout)
        bound = threading.current_thread() is threading.main_thread()
        runs_main = main_module.is_needed(order, recipe.stands_alone)
        self._may_lack_main = not (runs_main or recipe.stands_alone)
        self._runs_main = runs_main
        with safe_path() as before:
            self._process = _SPAWN.Process(
                target=work, args=(theirs, os.getpid(), bound, order, mark, memory, before)
            )
            with theirs, signals_held(SIGNALS), main_module.started(runs_main):
                self._process.start()
        assert self._process.pid is not None  # it has been started
        self.pid = self._process.pid
        self._deadline = _clock.now() + max(timeout, START_SECONDS)
        self._close_by = 0.0
        # Runs once: when asked, when this object is collected, or as the interpreter exits.
        state = (self._process, self._connection, mark)
        self._kill = Finalize(self, _kill, state, exitpriority=10)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._kill.still_active() and self._process.is_alive()

    def send(self, name: str, *arguments: object) -> None:
        """Send a command of `_COMMANDS` without waiting; `receive` reports a lost worker."""
        message = pickle.dumps((name, arguments))
        self._unread += 1
        if self._made:
            self._deadline = _clock.now() + self._timeout
        with contextlib.suppress(OSError):
            self._connection.send_bytes(message)

    def receive(self) -> Any:
        """Wait for the answer to the last command, discarding unread answers to earlier ones.

        Raises:
            EnvironmentRaised: the environment raised, or its answer can't be pickled.
            WorkerLost: the process died, or hung and was killed.
        """
        if not self._made:
            self._learn_that_it_is_made()
            self._made = True
            self._deadline = _clock.now() + self._timeout
        while self._unread > 1:
            self._read()
            self._unread -= 1
        answer = self._read()
        self._unread = 0  # only now: after an interrupt in between, the answer must be discarded
        return _unpacked(answer)

    def _learn_that_it_is_made(self) -> None:
        try:
            _unpacked(self._read(), making=True)
        except EnvironmentRaised as raised:
            if not self._may_lack_main:
                raise
            summary = f"{raised.summary}; {main_module.NEEDS_FILE}"
            raise EnvironmentRaised(summary, raised.traceback, making=True) from raised

    def settle(self) -> None:
        """Wait until the worker is idle, discarding answers left unread by an interrupt."""
        if self._unread:
            with contextlib.suppress(EnvironmentRaised, WorkerLost):
                self.receive()

    def call(self, name: str, *arguments: object) -> Any:
        """Send a command and wait for its answer."""
        self.send(name, *arguments)
        return self.receive()

    def ask_to_close(self) -> None:
        """Tell the process to close its environment and end, without waiting for it."""
        if not self._connection.closed:
            self._note_cpu_time()  # can't be read once the process has ended
            with contextlib.suppress(OSError):
                self._connection.send_bytes(b"")
            self._connection.close()
            self._close_by = time.monotonic() + CLOSE_SECONDS

    def close(self) -> None:
        """Ask the process to end, and kill it `CLOSE_SECONDS` later."""
        self.ask_to_close()
        if self._kill.still_active():
            self._process.join(max(0.0, self._close_by - time.monotonic()))
            if self._process.exitcode == 0:  # it has ended its descendants, too
                self._kill.cancel()
                self._process.close()
            else:
                self.kill()

    def kill(self) -> None:
        """Kill the process and everything it started."""
        self._kill()

    def _note_cpu_time(self) -> None:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self.pid).cpu_times()
            cpu_time.add(times.user + times.system)

    def _read(self) -> bytes:
        if self._connection.closed:
            raise WorkerLost("was closed")
        try:
            self._wait()
            return self._connection.recv_bytes()
        except BlockingIOError:  # also if it stopped within a message
            limit = self._timeout if self._made else max(self._timeout, START_SECONDS)
            raise self._lost(f"did not answer within {limit:g} s") from None
        except (EOFError, OSError):
            self._process.join(CLOSE_SECONDS)
            raise self._lost(_end_in_words(self._process.exitcode)) from None

    def _wait(self) -> None:
        """Wait for a message or the end of the pipe.

        Raises:
            EOFError: the process is dead, though one that it forked may hold the pipe open.
            BlockingIOError: nothing came in time.
        """
        while True:
            left = self._deadline - _clock.now()
            patience = min(max(left, 0.0), _LOOK_SECONDS)
            ready = connection.wait([self._connection, self._process.sentinel], patience)
            if self._connection in ready:
                return
            if ready or not self._process.is_alive():
                if self._connection.poll():  # it answered, then died
                    return
                raise EOFError
            if left <= 0:
                raise BlockingIOError

    def _lost(self, reason: str) -> WorkerLost:
        self.kill()
        if self._made:
            return WorkerLost(reason)
        failed = self._runs_main and reason == SCRIPT_FAILED
        hint = f"; {main_module.NEEDS_GUARD}" if failed else ""
        return WorkerLost(f"{reason} while it was being made{hint}")


_clock = AwakeClock(1.5 * _LOOK_SECONDS)


def _pickled_order(recipe: Recipe, wrap: Wrap | None) -> bytes:
    try:
        return pickle.dumps((recipe, wrap))
    except Exception as error:
        raise InvalidOptionError(f"{recipe.id} can't be sent to a process: {error}") from error


def _limit_stalls(pipe: connection.Connection, seconds: float) -> None:
    """Set a timeout on reads and writes that stall within a message."""
    if sys.platform != "win32":
        limit = struct.pack("ll", int(min(seconds, 1e6)), int(min(seconds, 1e6) % 1 * 1e6))
        with socket.socket(fileno=os.dup(pipe.fileno())) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _unpacked(message: bytes, making: bool = False) -> Any:
    try:
        done, answer = pickle.loads(message)  # noqa: S301 - sent by our own server
    except Exception as error:
        summary = f"{type(error).__name__}: its answer can't be unpickled: {error}"
        raise EnvironmentRaised(summary, traceback.format_exc(), making) from error
    if not done:
        summary, original = answer
        raise EnvironmentRaised(summary, original, making)
    return answer


def _end_in_words(code: int | None) -> str:
    if code is None:
        return "closed its pipe"
    if code >= 0:
        return f"exited with code {code}"
    names = {int(number): number.name for number in signal.Signals}
    return f"was killed by {names.get(-code, f'signal {-code}')}"


def _kill(worker: process.BaseProcess, pipe: connection.Connection, mark: str) -> None:
    pipe.close()
    if worker.is_alive():  # not reaped, so its PID can't have been reused
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(worker.pid)
            root.suspend()  # or it might fork while its children are listed
            kill_descendants(root)
        worker.kill()
    for other in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if other.environ().get(MARK) == mark:
                other.kill()
    worker.join(CLOSE_SECONDS)
    if worker.exitcode is not None:
        worker.close()
