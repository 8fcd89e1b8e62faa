"""Remove the working folder from `sys.path`, where `python -m nondiff` puts it first.

The command `nondiff` has no such entry. This module imports only what Python has loaded before.
"""

import os
import sys


def leave_out_working_folder() -> None:
    """Remove the working folder from `sys.path` if `python -m nondiff` is starting."""
    if sys.argv[:1] == ["-m"] and _runs_module("nondiff") and not _is_left_out():
        sys.path[:] = [*filter(None, sys.path[1:])]


def _runs_module(package: str) -> bool:
    """Whether the interpreter's option -m names a package or one of its modules."""
    words = sys.orig_argv[1:]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-") and not word.startswith("--") and "m" in word:
            named = word.partition("m")[2] or following
            if named.partition(".")[0] == package:
                return True
    return False


def _is_left_out() -> bool:
    first = sys.path[:1] in ([""], [os.getcwd()])  # noqa: PTH109 - pathlib is not loaded yet
    return not first or getattr(sys.flags, "safe_path", False)
