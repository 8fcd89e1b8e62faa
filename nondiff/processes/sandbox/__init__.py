"""Programs that somebody else wrote, run as supervised processes."""

import os

from nondiff.envs.errors import MissingDependencyError

if os.name != "posix":
    raise MissingDependencyError("external programs can be run on Linux and macOS only")

from nondiff.envs.needs import find_program
from nondiff.envs.process.calls import Output, run_once
from nondiff.envs.process.failures import CallFailed, Kind
from nondiff.envs.process.files import (
    Content,
    check_apart,
    check_file_name,
    read_files,
    read_regular_file,
)
from nondiff.envs.process.limits import Limits
from nondiff.envs.process.persistent import PersistentProcess
from nondiff.envs.process.pool import MOST_FAILURES, Pool
from nondiff.envs.process.spawner import Isolation, guards_files, isolation

__all__ = [
    "MOST_FAILURES",
    "CallFailed",
    "Content",
    "Isolation",
    "Kind",
    "Limits",
    "Output",
    "PersistentProcess",
    "Pool",
    "check_apart",
    "check_file_name",
    "find_program",
    "guards_files",
    "isolation",
    "read_files",
    "read_regular_file",
    "run_once",
]
