"""What a person sees while a run trains."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nondiff.experiments.terminal.console import (
    MIN_WIDTH,
    error_console,
    said_width,
    terminal_width,
)

REDRAW_EVERY = 32  # steps


class Display:
    """A progress bar with return and success, and a line for each evaluation.

    Without a terminal, and on one that is too narrow for the bar, only the lines appear.
    """

    def __init__(self, budget: int) -> None:
        self.console = error_console()
        self._progress = Progress(
            TextColumn("{task.completed:>9,.0f} steps"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal or said_width(sys.stderr) < MIN_WIDTH,
            transient=True,
        )
        self._task = self._progress.add_task("", total=budget, status="")
        self._drawn = 0

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, steps: int) -> None:
        """Start the bar where training begins."""
        self._drawn = steps
        self._progress.update(self._task, completed=steps)

    def update(self, steps: int, mean_return: float | None, success: float | None) -> None:
        """Move the bar; called after every step, so it seldom does anything."""
        if steps - self._drawn < REDRAW_EVERY:
            return
        self._drawn = steps
        self.console.width = terminal_width(sys.stderr)  # which may have been resized
        parts = []
        if mean_return is not None:
            parts.append(f"return {mean_return:.2f}")
        if success is not None:
            parts.append(f"success {success:.0%}")
        self._progress.update(self._task, completed=steps, status="  ".join(parts))

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text, soft_wrap=True)
