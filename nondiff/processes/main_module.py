"""Control whether `multiprocessing` runs the main module again in each spawned process.

A process needs the main module only for what it defines. Without it, a script that makes
environments needs no `GUARD`, and a script from standard input, which can't be run again, works.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from nondiff.errors import InvalidOptionError

GUARD = 'if __name__ == "__main__":'
NEEDS_GUARD = f"a script that starts processes has to do so below `{GUARD}`"
NEEDS_FILE = (
    "environments that are defined in an interactive session or read from standard input can't be "
    f"made in other processes: put them into a file, and what uses them there below `{GUARD}`"
)
_lock = threading.Lock()


def is_needed(order: bytes, stands_alone: bool) -> bool:
    """Whether a spawned process needs the main module to carry out an order.

    Args:
        order: a pickle of what the process is to make.
        stands_alone: whether any process can make it.

    Raises:
        InvalidOptionError: the main module is needed, and can't be run again.
    """
    defines_it = b"__main__" in order
    if _can_run_again():
        return defines_it or not stands_alone
    if defines_it:
        raise InvalidOptionError(NEEDS_FILE)
    return False


def _can_run_again() -> bool:
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is not None:
        return True
    return Path(getattr(main, "__file__", None) or "").is_file()


@contextmanager
def started(with_main: bool) -> Iterator[None]:
    """Let this thread start processes that do or do not run the main module.

    Raises:
        InvalidOptionError: this is such a process, which runs an unguarded main module again.
    """
    try:
        with nullcontext() if with_main else _without():
            yield
    except RuntimeError as error:
        if "bootstrapping phase" in str(error):
            raise InvalidOptionError(NEEDS_GUARD) from None
        raise


@contextmanager
def _without() -> Iterator[None]:
    with _lock:
        whole, thread = spawn.get_preparation_data, threading.get_ident()

        def partial_data(name: str) -> dict[str, Any]:
            data = whole(name)
            if threading.get_ident() == thread:
                data.pop("init_main_from_name", None)
                data.pop("init_main_from_path", None)
            return data

        spawn.get_preparation_data = partial_data
        try:
            yield
        finally:
            spawn.get_preparation_data = whole
