"""Optional dependencies of environments and commands, and how to install them."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from nondiff.errors import MissingDependencyError


@dataclass(frozen=True)
class Need:
    """A package or program that an environment or a command requires.

    Args:
        kind: a Python "package", or an external "program".
        name: the name to import or run.
        install: the command that installs it.
        version: for a program, the arguments that make it print its version.
    """

    kind: Literal["package", "program"]
    name: str
    install: str
    version: tuple[str, ...] = ()

    def is_met(self) -> bool:
        """Whether this machine has it; imports and runs nothing."""
        if self.kind == "program":
            return shutil.which(self.name) is not None
        return importlib.util.find_spec(self.name) is not None


# Needs of commands; registering an environment family adds its own.
NEEDS: dict[str, Need] = {
    "minari": Need("package", "minari", "pip install 'nondiff[demonstrations]'"),
}


def add_needs(needs: Iterable[Need]) -> None:
    """Add the needs of environments to `NEEDS`."""
    NEEDS.update((need.name, need) for need in needs)


def missing(name: str) -> MissingDependencyError:
    """Make the error that says how to install one of `NEEDS`."""
    need = NEEDS[name]
    what = f"the program {name}" if need.kind == "program" else name
    return MissingDependencyError(f"{what} is missing: {need.install}")


def find_program(name: str) -> str:
    """Find the path of a program of `NEEDS`.

    Raises:
        MissingDependencyError: it is not installed; the message says how to install it.
    """
    path = shutil.which(name)
    if path is None:
        raise missing(name)
    return path
