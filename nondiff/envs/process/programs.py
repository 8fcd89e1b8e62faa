"""The external programs that environments run, and how to get them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from nondiff.envs.errors import MissingDependencyError


@dataclass(frozen=True)
class ExternalProgram:
    """A program that an environment needs.

    Args:
        package: of Debian, which holds it.
        version: the arguments that make it print its version.
        environments: the ids that need it.
    """

    package: str
    version: tuple[str, ...]
    environments: tuple[str, ...]


PROGRAMS: dict[str, ExternalProgram] = {
    "nec2c": ExternalProgram("nec2c", ("-v",), ("nondiff/YagiAntenna-v0",)),
    "ngspice": ExternalProgram("ngspice", ("-v",), ("nondiff/OpAmp-v0",)),
}


def install_command(name: str) -> str:
    """How to get one of `PROGRAMS`."""
    return f"sudo apt-get install {PROGRAMS[name].package}"


def find_program(name: str) -> str:
    """The path of one of `PROGRAMS`.

    Raises:
        MissingDependencyError: it is not installed; the message says how to install it.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingDependencyError(
            f"the program {name} is missing: {install_command(name)} "
            "(or `make simulators` in a checkout; `nondiff doctor` shows all that is missing)"
        )
    return path
