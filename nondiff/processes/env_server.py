"""The server side of a `Worker`: a process that holds one environment and answers commands."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import connection
from typing import Any, SupportsFloat

import gymnasium
import psutil

from nondiff.errors import NondiffError
from nondiff.processes.lifetime import end_with_parent, kill_descendants
from nondiff.processes.python_processes import restore_safe_path

Env = gymnasium.Env[Any, Any]

MARK = "NONDIFF_WORKER"  # environment variable that identifies all descendants of a worker
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def work(
    pipe: connection.Connection,
    parent: int,
    bound: bool,
    order: bytes,
    mark: str,
    memory: Any,
    path_before: str | None,
) -> None:
    """Serve an environment until the client closes the pipe; the main function of the process.

    Args:
        pipe: receives commands and sends answers.
        parent: PID of the client, with which this process ends.
        bound: whether the client's main thread starts this process.
        order: pickle of the recipe and the wrapper.
        mark: value of the variable `MARK` for all that the environment starts.
        memory: memory shared with the client, passed to the recipe; or None.
        path_before: the value that `safe_path` yielded, to be restored.
    """
    restore_safe_path(path_before)
    end_with_parent(parent, by_kernel=bound)
    _take_signals()
    os.environ[MARK] = mark
    try:
        with contextlib.suppress(EOFError, OSError):  # the client is gone
            _serve(pipe, order, memory)
    finally:
        kill_descendants(psutil.Process())


def _take_signals() -> None:
    """Ignore Ctrl-C, which reaches the whole process group: the client ends this process."""
    for number in SIGNALS:
        signal.signal(number, _do_nothing)  # what the environment starts would inherit SIG_IGN
    if sys.platform != "win32":
        for number in SIGNALS:
            signal.siginterrupt(number, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _do_nothing(number: int, frame: object) -> None:
    pass


def _serve(pipe: connection.Connection, order: bytes, memory: Any) -> None:
    """Make the environment, report it, then answer commands until an empty one arrives."""
    try:
        env = _make(order, memory)
    except BaseException as error:
        pipe.send_bytes(_failure(error, making=True))
        return
    try:
        pipe.send_bytes(pickle.dumps((True, None)))
        while message := pipe.recv_bytes():
            pipe.send_bytes(_answer(env, message))
    finally:
        try:
            env.close()
        except Exception:
            if sys.stderr is not None:  # print_exc would write to standard output
                with contextlib.suppress(
                    OSError, ValueError
                ):  # stderr is closed, or its device full
                    traceback.print_exc()


def _make(order: bytes, memory: Any) -> Env:
    recipe, wrap = pickle.loads(order)  # noqa: S301 - sent by our own client
    env: Env = recipe.make() if memory is None else recipe.make(memory)
    return env if wrap is None else wrap(env)


def _answer(env: Env, message: bytes) -> bytes:
    try:
        name, arguments = pickle.loads(message)  # noqa: S301 - sent by our own client
        answer = _COMMANDS[name](env, *arguments)
        try:
            return pickle.dumps((True, answer))
        except Exception as error:
            raise pickle.PicklingError(f"its answer to {name!r} can't be sent: {error}") from error
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException, making: bool = False) -> bytes:
    summary = " ".join(str(error).split())
    if not (
        making and isinstance(error, NondiffError)
    ):  # nondiff's own messages need no class name
        summary = f"{type(error).__name__}: {summary}" if summary else type(error).__name__
    return pickle.dumps((False, (summary, "".join(traceback.format_exception(error)))))


def _reset(env: Env, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, Any]:
    return env.reset(seed=seed, options=options) if options else env.reset(seed=seed)


def _step(env: Env, action: Any) -> tuple[Any, SupportsFloat, bool, dict[str, Any], Any]:
    """Step, and reset after the last step of an episode, as Stable-Baselines3's VecEnv does.

    Returns:
        observation, reward, done, info, and the info of the reset; None if the episode continues.
    """
    observation, reward, terminated, truncated, info = env.step(action)
    info["TimeLimit.truncated"] = truncated and not terminated
    reset_info = None
    if terminated or truncated:
        info["terminal_observation"] = observation
        observation, reset_info = env.reset()
    return observation, reward, terminated or truncated, info, reset_info


def _has_attribute(env: Env, name: str) -> bool:
    try:
        env.get_wrapper_attr(name)
    except AttributeError:
        return False
    return True


def _is_wrapped(env: Env, kind: type) -> bool:
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, kind):
            return True
        env = env.env
    return False


_COMMANDS: dict[str, Callable[..., Any]] = {
    "spaces": lambda env: (env.observation_space, env.action_space),
    "reset": _reset,
    "step": _step,
    "render": lambda env: env.render(),
    "attribute": lambda env, name: env.get_wrapper_attr(name),
    "has_attribute": _has_attribute,
    "set_attribute": setattr,
    "method": lambda env, name, some, named: env.get_wrapper_attr(name)(*some, **named),
    "is_wrapped": _is_wrapped,
}
