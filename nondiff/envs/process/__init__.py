"""Programs that somebody else wrote, run as supervised processes."""

from nondiff.envs.process.calls import Output, run_once
from nondiff.envs.process.failures import CallFailed, Kind
from nondiff.envs.process.launching import Isolation, Limits, isolation
from nondiff.envs.process.persistent import PersistentProcess
from nondiff.envs.process.pool import MOST_FAILURES, Pool
from nondiff.envs.process.programs import PROGRAMS, find_program, install_command

__all__ = [
    "MOST_FAILURES",
    "PROGRAMS",
    "CallFailed",
    "Isolation",
    "Kind",
    "Limits",
    "Output",
    "PersistentProcess",
    "Pool",
    "find_program",
    "install_command",
    "isolation",
    "run_once",
]
