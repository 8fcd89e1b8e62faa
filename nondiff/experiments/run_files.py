"""The names of the files in a run folder, and whether nothing else stands in their place."""

from __future__ import annotations

import re

from nondiff.agents.model import MODEL
from nondiff.envs.errors import RunError
from nondiff.experiments.checkpoints import CHECKPOINT
from nondiff.experiments.checkpoints import NAME as CHECKPOINT_NAME
from nondiff.experiments.claims import LOCK
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
