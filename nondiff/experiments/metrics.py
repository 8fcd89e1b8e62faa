"""Metrics of a run, as CSV and for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard.writer import SummaryWriter

from nondiff.experiments.runs import replace_text


class MetricsWriter:
    """Appends rows of metrics to a CSV file and to TensorBoard's event file.

    A metric seen for the first time adds a column, and the file is replaced at once, so that what
    is on disk is a whole table at any moment.
    """

    def __init__(self, csv_path: Path, tensorboard: Path) -> None:
        self._path = csv_path
        self._board = SummaryWriter(str(tensorboard))
        self._columns = ["steps"]
        self._rows: list[dict[str, float]] = []

    def write(self, steps: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one moment."""
        row = {"steps": steps, **metrics}
        new = [name for name in row if name not in self._columns]
        self._rows.append(row)
        if new or not self._path.exists():
            self._columns += new
            self._replace()
        else:
            with self._path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        for name, value in metrics.items():
            self._board.add_scalar(name, value, steps)

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of one metric."""
        rows = [row for row in self._rows if name in row]
        return [row["steps"] for row in rows], [row[name] for row in rows]

    def _replace(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(self._rows)
        replace_text(self._path, text.getvalue())

    def close(self) -> None:
        """Flush TensorBoard's file."""
        self._board.close()
