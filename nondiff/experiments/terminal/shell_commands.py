"""Commands that are printed for the user to type into a shell."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def shell_line(*words: str | Path) -> str:
    """Words as a line for a POSIX shell, which gives a program exactly these.

    What can't be seen is written as bytes in hexadecimal, which bash, zsh and ksh understand. A
    path that begins like an option is given its folder.
    """
    return " ".join(_quoted(_not_an_option(word)) for word in words)


def nondiff_line(command: str, *words: str | Path, prog: str = "nondiff") -> str:
    """A line that runs a command of nondiff.

    Args:
        command: such as `evaluate`.
        words: its arguments.
        prog: how the user called nondiff: `nondiff train`, or a script such as `train.py`.
    """
    if not prog.endswith(".py"):
        return shell_line("nondiff", command, *words)
    called, name = Path(sys.argv[0]), f"{command}.py"
    script = called.with_name(name) if called.name == prog else Path(name)
    return shell_line(_python(), script, *words)


def _python() -> str | Path:
    """The interpreter that runs this, as short as it can be typed."""
    found = shutil.which("python")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        return "python"
    short = Path(os.path.relpath(sys.executable))
    return Path(sys.executable) if ".." in short.parts or len(short.parts) == 1 else short


def _not_an_option(word: str | Path) -> str:
    text = str(word)
    return f"./{text}" if isinstance(word, Path) and text.startswith("-") else text


def _quoted(word: str) -> str:
    return shlex.quote(word) if word.isprintable() else f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
