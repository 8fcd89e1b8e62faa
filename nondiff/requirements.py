"""What environments and commands need beside nondiff itself, and how to get it."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from typing import Literal

from nondiff.envs.errors import MissingDependencyError


@dataclass(frozen=True)
class Need:
    """Something that an environment or a command can't do without.

    Args:
        kind: "package" of Python, or external "program".
        name: under which it is imported or run.
        install: the command that installs it.
        families: the packages of environments that need it; none for what a command needs.
        version: for a program, the arguments that make it print its version.
    """

    kind: Literal["package", "program"]
    name: str
    install: str
    families: tuple[str, ...]
    version: tuple[str, ...] = ()

    def is_met(self) -> bool:
        """Whether this machine has it; nothing is imported or run."""
        if self.kind == "program":
            return shutil.which(self.name) is not None
        return importlib.util.find_spec(self.name) is not None


NEEDS: dict[str, Need] = {
    need.name: need
    for need in (
        Need("package", "pybullet", "pip install nondiff", ("nondiff.envs.arm",)),
        Need(
            "package",
            "disba",
            "pip install 'nondiff[surface-waves]'",
            ("nondiff.envs.surface_waves",),
        ),
        Need("package", "vizdoom", "pip install 'nondiff[doom]'", ("nondiff.envs.doom",)),
        Need("package", "minari", "pip install 'nondiff[demonstrations]'", ()),
        Need(
            "program",
            "nec2c",
            "sudo apt-get install nec2c",
            ("nondiff.envs.yagi_antenna",),
            ("-v",),
        ),
        Need(
            "program",
            "ngspice",
            "sudo apt-get install ngspice",
            ("nondiff.envs.op_amp",),
            ("--version",),
        ),
    )
}


def needs_of(entry_point: object) -> list[Need]:
    """What the environment of an entry point needs, as far as nondiff knows."""
    module = str(entry_point).partition(":")[0]
    return [need for need in NEEDS.values() if any(module.startswith(f) for f in need.families)]


def missing(name: str) -> MissingDependencyError:
    """The error that says how to get one of `NEEDS`."""
    need = NEEDS[name]
    what = f"the program {name}" if need.kind == "program" else name
    return MissingDependencyError(f"{what} is missing: {need.install}")


def find_program(name: str) -> str:
    """The path of a program of `NEEDS`.

    Raises:
        MissingDependencyError: it is not installed; the message says how to install it.
    """
    path = shutil.which(name)
    if path is None:
        raise missing(name)
    return path
