"""The names of the files in a run folder, and whether nothing else stands in their place."""

from __future__ import annotations

import re

from nondiff.agents.policies.model import MODEL
from nondiff.errors import RunError
from nondiff.experiments.run.checkpoints import CHECKPOINT
from nondiff.experiments.run.checkpoints import NAME as CHECKPOINT_NAME
from nondiff.experiments.run.locks import LOCK
from nondiff.experiments.terminal.console import err
from nondiff.files.kinds import UnsafePathError
from nondiff.files.safe_path import SafePath

CONFIG, STATE, METRICS, CURVE = "config.json", "run.json", "metrics.csv", "learning_curve.png"
CARD = "README.md"
MODELS, CHECKPOINTS, TENSORBOARD = "models", "checkpoints", "tensorboard"
FILES = (CONFIG, STATE, METRICS, CURVE, CARD, LOCK)
FOLDERS = (MODELS, CHECKPOINTS, TENSORBOARD)
MODEL_NAME = re.compile(r"step-\d{9,12}(-\d+)?")
# A file that is being replaced, as this version and the one before name it.
TEMPORARY = re.compile(
    r"\.(config\.json|run\.json|metrics\.csv|learning_curve\.png|README\.md)\.[0-9a-f]{8}\.tmp"
    r"|(config|run|metrics)\.tmp"
)

MARK = "Written by nondiff"  # in what a run makes for people to look at
# The second of each is of runs that began before there was a mark.
MARKS = {
    CARD: (MARK.encode(), b"\nLook at it with `nondiff evaluate "),
    CURVE: (b"Software\0" + MARK.encode(), b"Software\0Matplotlib"),
}
MAX_MARKED = 2**24  # [bytes] of a file in which a mark is looked for


def write_marked(file: SafePath, content: bytes) -> None:
    """Write a file for people to look at, unless one is there that nondiff did not write."""
    if _is_free(file):
        file.write(content)
    else:
        err(f"{file} was not written by nondiff: it is left as it is")


def _is_free(file: SafePath) -> bool:
    if file.kind() is None:
        return True
    try:
        content = file.read(MAX_MARKED)
    except UnsafePathError:  # too large for one of ours
        return False
    return any(mark in content for mark in MARKS[file.name])


def check_kinds(files: SafePath) -> None:
    """Refuse links and special files where a run has files and folders."""
    for name in FILES:
        (files / name).check_file()
    for name in FOLDERS:
        (files / name).check_folder()


def check_made(files: SafePath) -> None:
    """Refuse models and checkpoints that hold what a training never puts there.

    They are removed as others take their place, and nothing of somebody else's may go with them.

    Raises:
        RunError: names it.
    """
    for folder, kind, names in (
        (MODELS, MODEL_NAME, MODEL.files),
        (CHECKPOINTS, CHECKPOINT_NAME, CHECKPOINT.files),
    ):
        for name in filter(kind.fullmatch, (files / folder).names()):
            for inner in (files / folder / name).names():
                if inner not in names:
                    raise RunError(
                        f"{files / folder / name / inner} is not of this run, which removes "
                        f"{name} when it is replaced: move it elsewhere"
                    )
                (files / folder / name / inner).kind()
