"""Leave out the working folder, which `python -m nondiff` puts in front of what is imported.

`nondiff`, the same command, has no such entry. Nothing is imported here that is not loaded before.
"""

import os
import sys


def leave_out_working_folder() -> None:
    """Take the working folder off the path, if `python -m nondiff` is being started."""
    if sys.argv[:1] == ["-m"] and _runs_module("nondiff") and not _is_left_out():
        sys.path[:] = [*filter(None, sys.path[1:])]


def _runs_module(package: str) -> bool:
    """Whether an option -m of the interpreter names a package, or a module in it."""
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
