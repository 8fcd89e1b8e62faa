"""A disk that gets full ends a run in a line; with room again, it goes on to the same bits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Answer, Command, script
from processes import PENDULUM, bits, leftovers, trained_once
from thorough_cases import thin

from nondiff.agents.policies.model import load_policy
from nondiff.experiments.run.checkpoints import CheckpointFolder
from nondiff.experiments.run.folder import Run

KIBIBYTE = 1024
ENOUGH = 400  # for a run [KiB]
ARGUMENTS = ("--runs", "disk", "--name", "run")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small file system in memory; the working directory is beside it."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount"):
        pytest.skip("there is no mount command to mount a small disk with")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs needs root: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def leave(disk: Path, free: int) -> Path:
    """Fill a disk but for so many KiB; returns what fills it."""
    filler = disk / "filler"
    room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    filler.write_bytes(bytes(room - free * KIBIBYTE))
    return filler


def check_full(answer: Answer, folder: Path) -> None:
    """Assert that a run ended in one line, with all that it names as it should be."""
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err, answer.err
    assert "Exception" not in answer.err, answer.err
    error = answer.err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "No space left on device" in error
    if not folder.exists():
        assert list(folder.parent.glob(".new-*")) == []
        return
    assert f"--resume {folder} goes on from" in error
    check_whole(folder, error)


def check_whole(folder: Path, error: str) -> None:
    """Assert that a run's models and checkpoints load, and so do those that a message names."""
    run = Run.open(folder)
    for role in run.state.models:
        run.load_policy(role)
    for model in re.findall(r"\S+/models/step-[\d-]+", error):
        load_policy(model)
    reports: list[str] = []
    newest = CheckpointFolder(folder / "checkpoints", reports.append, lambda steps: None).load()
    assert reports == []
    named = re.search(r"the checkpoint of step ([\d,]+)", error)
    steps = int(named[1].replace(",", "")) if named else 0
    assert steps <= (newest.steps if newest else 0)  # run.json could not be written any more


def check_goes_on(folder: Path, command: Command) -> None:
    if not folder.exists():
        answer = command("train", *PENDULUM, *ARGUMENTS)
    elif Run.open(folder).status() != "finished":
        answer = command("train", "--resume", folder)
        assert answer.code == 0, answer.err
    assert leftovers(folder.parent) == []
    assert bits(folder) == trained_once(*PENDULUM)


def check_levels(levels: Iterator[int], disk: Path, command: Command) -> None:
    """Train on disks that are full but for so many KiB, in this process."""
    folder = Path("disk", "run")
    for free in levels:
        filler = leave(disk, free)
        check_full(command("train", *PENDULUM, *ARGUMENTS), folder)
        if folder.exists():  # and it is full still
            check_full(command("train", "--resume", folder), folder)
        filler.unlink()
        check_goes_on(folder, command)
        shutil.rmtree(folder)


# In the KiB that each state of the run needs: from its creation to its learning curve.


@pytest.mark.parametrize("free", thin([0, 12, 40, 88], [0, 40]))
def test_a_full_disk_ends_a_run_in_a_line(free: int, disk: Path, command: Command) -> None:
    check_levels(iter([free]), disk, command)


@pytest.mark.thorough
def test_a_process_leaves_no_traceback_either(disk: Path, command: Command) -> None:
    filler, folder = leave(disk, 60), Path("disk", "run")
    check_full(script("train.py", *PENDULUM, *ARGUMENTS, cwd=disk.parent), folder)
    filler.unlink()
    check_goes_on(folder, command)


@pytest.mark.slow
@pytest.mark.parametrize("free", range(0, 180, 8))
def test_a_disk_that_gets_full_at_any_moment(free: int, disk: Path, command: Command) -> None:
    filler, folder = leave(disk, free), Path("disk", "run")
    answer = script("train.py", *PENDULUM, *ARGUMENTS, cwd=disk.parent)
    if answer.code != 0:
        check_full(answer, folder)
    filler.unlink()
    check_goes_on(folder, command)
