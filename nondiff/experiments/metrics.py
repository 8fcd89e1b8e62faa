"""Metrics of a run, as CSV and for TensorBoard."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nondiff.envs.errors import RunError
from nondiff.experiments.events import EventFile
from nondiff.experiments.files import replace_text

STEPS = "steps"
Rows = list[dict[str, float]]


class MetricsWriter:
    """Appends rows of metrics to a CSV file and to TensorBoard's event file.

    A metric seen for the first time adds a column, and the file is replaced at once, so that what
    is on disk is a whole table at any moment.

    Args:
        csv_path: the CSV file, which may exist.
        tensorboard: folder of the event files.
    """

    def __init__(self, csv_path: Path, tensorboard: Path) -> None:
        self._path = csv_path
        self._columns = [STEPS]
        self._folder = tensorboard
        self._board: EventFile | None = None
        self._there: list[dict[str, float]] = []  # rows of the step where training goes on

    def begin(self, steps: int, report: Callable[[str], None]) -> None:
        """Go on after so many steps: rows of later ones are dropped, for they come again."""
        try:
            rows = read_metrics(self._path) if self._path.exists() else []
        except RunError as error:
            aside = self._path.with_suffix(".damaged")
            os.replace(self._path, aside)  # noqa: PTH105
            report(f"{error}; it is now {aside}, and a new one begins")
            rows = []
        kept = [row for row in rows if row[STEPS] <= steps]
        self._there = [row for row in kept if row[STEPS] == steps]
        self._columns = list(dict.fromkeys([STEPS, *(name for row in kept for name in row)]))
        if rows:
            self._replace(kept)
        self._board = EventFile(self._folder, purge_from=steps + 1)

    def write(self, steps: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one moment."""
        row = {STEPS: steps, **metrics}
        if row in self._there:  # written after the checkpoint, before an interruption
            self._there.remove(row)
            return
        new = [name for name in row if name not in self._columns]
        if new or not self._path.exists():
            rows = read_metrics(self._path) if self._path.exists() else []
            self._columns += new
            self._replace([*rows, row])
        else:
            with self._path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        assert self._board is not None
        self._board.write(steps, metrics)

    def _replace(self, rows: Rows) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(rows)
        replace_text(self._path, text.getvalue())

    def close(self) -> None:
        """Flush TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> Rows:
    """The rows of a metrics file; a last one that was cut off by a crash is left out.

    Raises:
        RunError: the file can't be read, or is no table of numbers.
    """
    try:
        with path.open(newline="") as file:
            lines = [line for line in file if line.endswith("\n")]
        table = csv.DictReader(lines, strict=True)
        rows = [{name: _number(name, text) for name, text in row.items() if text} for row in table]
        if any(STEPS not in row for row in rows):
            raise ValueError(f"a row without {STEPS}")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise RunError(f"{path} can't be read: {error}") from error
    return rows


def _number(name: str, text: str) -> float:
    return int(text) if name == STEPS else float(text)


def series(rows: Rows, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one metric."""
    found = [row for row in rows if name in row]
    return [row[STEPS] for row in found], [row[name] for row in found]
