"""Run third-party programs in a sandbox, as supervised processes."""

import os

from nondiff.errors import MissingDependencyError

if os.name != "posix":
    raise MissingDependencyError("external programs can be run on Linux and macOS only")

from nondiff.processes.sandbox.failures import CallFailed, Kind
from nondiff.processes.sandbox.limits import Limits
from nondiff.processes.sandbox.persistent import PersistentProcess
from nondiff.processes.sandbox.program_files import (
    Content,
    check_distinct,
    check_file_name,
    read_files,
    read_regular_file,
)
from nondiff.processes.sandbox.run_once import Output, run_once
from nondiff.processes.sandbox.spawner import Isolation, guards_files, isolation
from nondiff.processes.sandbox.thread_pool import MAX_FAILURES, ThreadPool
from nondiff.requirements import find_program

__all__ = [
    "MAX_FAILURES",
    "CallFailed",
    "Content",
    "Isolation",
    "Kind",
    "Limits",
    "Output",
    "PersistentProcess",
    "ThreadPool",
    "check_distinct",
    "check_file_name",
    "find_program",
    "guards_files",
    "isolation",
    "read_files",
    "read_regular_file",
    "run_once",
]
