"""Metrics of a run, as CSV and for TensorBoard."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nondiff.errors import RunError
from nondiff.experiments.ranges import MAX_RETURN, MAX_STEPS
from nondiff.experiments.run.files import replace_text
from nondiff.files.kinds import in_words
from nondiff.files.safe_path import SafePath

if TYPE_CHECKING:  # protocol buffers take long to load
    from nondiff.experiments.run.tensorboard import EventFile

STEPS = "steps"
EVALUATION = "evaluation"  # begins the names of what an evaluation during training writes
MAX_BYTES = 2**28  # of a file that is read
MAX_LINE = 2**20  # [bytes]
MAX_COLUMNS = 200
MAX_CELLS = 2**22  # of all rows, where a row counts as eight more: each takes up to 130 bytes
ROW_CELLS = 8
Rows = list[dict[str, float]]


class MetricsWriter:
    """Appends rows of metrics to a CSV file and to TensorBoard's event file.

    A metric seen for the first time adds a column, and the file is replaced at once, so that what
    is on disk is a whole table at any moment.

    Args:
        csv_path: the CSV file, which may exist.
        tensorboard: folder of the event files.
    """

    def __init__(self, csv_path: Path | SafePath, tensorboard: Path | SafePath) -> None:
        self._path = SafePath.of_file(csv_path)
        self._columns = [STEPS]
        self._folder = SafePath.of_file(tensorboard)
        self._board: EventFile | None = None
        self._there: Rows = []  # rows of the step from which training is resumed

    def begin(self, steps: int, report: Callable[[str], None]) -> Rows:
        """Go on after so many steps: rows of later ones are dropped, for they come again.

        Returns:
            The rows that stay. Those of this step may be written again, and are then replaced.
        """
        try:
            rows = read_metrics(self._path) if self._path.kind() else []
        except RunError as error:
            aside = self._set_aside()
            report(f"{error}; it is now {aside}, and a new one begins")
            rows = []
        kept = [row for row in rows if row[STEPS] <= steps]
        self._there = [row for row in kept if row[STEPS] == steps]
        self._columns = list(dict.fromkeys([STEPS, *(name for row in kept for name in row)]))
        if rows:
            self._replace(kept)
        from nondiff.experiments.run.tensorboard import EventFile

        self._board = EventFile(self._folder, purge_from=steps + 1)
        return kept

    def write(self, steps: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one moment."""
        row: dict[str, float] = {STEPS: steps, **metrics}
        written = self._taken_back(row)
        if written == row:
            return
        new = [name for name in row if name not in self._columns]
        if new or written or self._path.kind() is None:
            rows = read_metrics(self._path) if self._path.kind() else []
            self._columns += new
            self._replace([*(other for other in rows if other != written), row])
        else:
            text = io.StringIO()
            csv.DictWriter(text, self._columns).writerow(row)
            self._path.append(text.getvalue().encode())
        assert self._board is not None
        self._board.write(steps, metrics)

    def _taken_back(self, row: dict[str, float]) -> dict[str, float] | None:
        """The row of the same metrics that was written after the checkpoint, before a cut."""
        for index, there in enumerate(self._there):
            if there.keys() == row.keys() and there[STEPS] == row[STEPS]:
                return self._there.pop(index)
        return None

    def sync(self) -> None:
        """Return once all rows are on the disk."""
        if self._path.kind() is not None:
            with self._path.open_to_append() as file:
                os.fsync(file.fileno())

    def _set_aside(self) -> SafePath:
        """Rename a damaged file, to a name that nothing has."""
        stem = self._path.name.partition(".")[0]
        names = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        taken = self._path.parent.names()
        return self._path.rename_to(
            next(n for end in names if (n := f"{stem}.damaged{end}") not in taken)
        )

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


def read_metrics(path: Path | SafePath) -> Rows:
    """The rows of a metrics file; a last one that was cut off by a crash is left out.

    Raises:
        RunError: the file can't be read, is too large, or is no table of numbers.
    """
    path = SafePath.of_file(path)
    try:
        path.check_size(MAX_BYTES)
        with path.open_to_read() as file:
            return list(_rows(_whole_lines(file)))
    except OSError as error:
        raise RunError(in_words(error)) from error
    except (ValueError, TypeError, csv.Error) as error:
        raise RunError(f"{path} can't be read: {error}") from error


def _whole_lines(file: BinaryIO) -> Iterator[str]:
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise ValueError(f"a line is longer than {MAX_LINE:,} bytes")
        if line.endswith(b"\n"):
            yield line.decode()


def _rows(lines: Iterator[str]) -> Iterator[dict[str, float]]:
    table, cells = csv.DictReader(lines, strict=True), 0
    for row in table:
        cells += len(row) + ROW_CELLS
        if cells > MAX_CELLS or len(row) > MAX_COLUMNS:
            raise ValueError(f"it has more than {MAX_COLUMNS:,} columns or {MAX_CELLS:,} values")
        numbers = {name: _number(name, text) for name, text in row.items() if text}
        if STEPS not in numbers:
            raise ValueError(f"a row without {STEPS}")
        yield numbers


def _number(name: str, text: str) -> float:
    if name != STEPS:
        return float(text)
    steps = int(text)
    if not 0 <= steps <= MAX_STEPS:
        raise ValueError(f"steps {text[:20]}, not from 0 to {MAX_STEPS:,}")
    return steps


def series(rows: Rows, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one metric, where it has one that can be drawn."""
    found = [row for row in rows if name in row and abs(row[name]) <= MAX_RETURN]
    return [row[STEPS] for row in found], [row[name] for row in found]


def evaluation_calls(rows: Rows) -> dict[int, int]:
    """Calls that each evaluation during training made, by its step."""
    episodes, length = (f"{EVALUATION}/{name}" for name in ("episodes", "length_mean"))
    return {int(row[STEPS]): round(row[episodes] * row[length]) for row in rows if episodes in row}
