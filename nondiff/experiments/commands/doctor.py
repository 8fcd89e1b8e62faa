"""The `doctor` command: what is installed, and the exact command for what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.table import Table

from nondiff.env_recipe import EnvRecipe
from nondiff.envs import ENVIRONMENTS, needs_of
from nondiff.errors import NondiffError
from nondiff.experiments.run import ownership
from nondiff.experiments.run.provenance import versions
from nondiff.experiments.terminal.console import out, out_table
from nondiff.experiments.terminal.parsing import parse_options
from nondiff.requirements import NEEDS, Need

NOT_READY = 1  # exit code where an environment that was named can't be made
CORE = ("nondiff", "gymnasium", "torch", "stable-baselines3", "sb3-contrib", "numpy")
MEANING = {
    "sandbox": "it reads what its user may but secrets, changes what is declared only; no other "
    "processes, sockets, devices or rights; totals are bounded",
    "namespaces": "processes, network and shared memory of its own, no rights; totals are watched; "
    "files are shared",
    "supervised": "no network and rights; watched, and killed one by one however it detaches; "
    "processes and files are shared",
    "process group": "shares all but time, memory and size of files with its user; a process that "
    "leaves its group can escape",
}
GUARDED = "it can't change files but in folders for temporary ones"
UNGUARDED = "it can change whatever its user can"


@dataclass(frozen=True)
class DoctorOptions:
    """Say what is installed, which environments that makes ready, and how to get the rest."""

    env: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Make this environment, to see whether it can be; repeat for more. Exits with 1 if one can't;
    without the option, what is missing is said and the exit code is 0."""


def parse(arguments: list[str], prog: str) -> DoctorOptions:
    """Parse a command line."""
    return parse_options(DoctorOptions, arguments, prog)


def examine(options: DoctorOptions) -> int:
    """Print what was found; returns the exit code."""
    out_table(_installed())
    out_table(_environments())
    out(*_isolation().splitlines())
    out(ownership.in_words())
    commands = sorted({need.install for need in NEEDS.values() if not need.is_met()})
    for command in commands:
        out(f"to get what is missing: {command}")
    return _try(options.env)


def _installed() -> Table:
    table = Table("what", "version")
    found = versions()
    table.add_row("python", f"{found['versions']['python']} on {found['platform']}")
    for package in CORE:
        table.add_row(package, found["versions"].get(package, "missing: pip install nondiff"))
    table.add_row("GPU for --device cuda", _gpu())
    for need in NEEDS.values():
        version = _version(need, found["versions"])
        table.add_row(need.name, version if need.is_met() else f"missing: {need.install}")
    return table


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _version(need: Need, found: dict[str, str]) -> str:
    names = ("pybullet", "pybullet-arm64") if need.name == "pybullet" else (need.name,)
    return next((found[name] for name in names if name in found), "installed")


def _environments() -> Table:
    table = Table("environment", "state")
    for env_id in ENVIRONMENTS:
        lacking = [n for n in needs_of(env_id) if not n.is_met()]
        state = "; ".join(f"needs {n.name}: {n.install}" for n in lacking) or "ready"
        table.add_row(env_id, state)
    return table


def _isolation() -> str:
    try:
        from nondiff.processes.sandbox import guards_files, isolation

        level = isolation()
        files = GUARDED if guards_files() else UNGUARDED
    except NondiffError as error:
        return f"isolation of external programs: none; {error}"
    more = "" if level == "sandbox" else f"; {files}"
    return f"isolation of external programs: {level} ({MEANING[level]}{more}; see docs/trust.md)"


def _try(env_ids: tuple[str, ...]) -> int:
    code = 0
    for env_id in env_ids:
        try:
            with EnvRecipe.typed(env_id, {}).opened() as env:
                env.reset(seed=0)
            out(f"{env_id} was made and reset")
        except Exception as error:  # whatever somebody's environment raises
            kind = "" if isinstance(error, NondiffError) else f"it raised {type(error).__name__}: "
            out(f"{env_id} can't be used: {kind}{error}")
            code = NOT_READY
    return code
