"""The files of a comparison, and whether a folder is free for them."""

from __future__ import annotations

from nondiff.errors import RunError
from nondiff.experiments.comparison.cells import LOGS, RECORDS, RUNS
from nondiff.experiments.run.files import read_json
from nondiff.experiments.run.locks import LOCK
from nondiff.files.safe_path import SafePath

RESULTS, TABLE, REPORT, PLOTS = "results.json", "table.md", "report.html", "plots"
COMMAND = "nondiff compare"  # begins the command that results note


def check_comparison(folder: SafePath) -> None:
    """Refuse a folder in which a comparison would follow a link or replace somebody else's file.

    Raises:
        RunError: names it.
        UnsafePathError: a link or a special file is where one of its files or folders is due.
    """
    for name in (RUNS, RECORDS, LOGS, PLOTS):
        (folder / name).check_folder()
    for name in (RECORDS, LOGS, PLOTS):
        for inner in (folder / name).names():
            (folder / name / inner).kind()
    for name in (LOCK, RESULTS, TABLE, REPORT):
        (folder / name).check_file()
    taken = [name for name in (RESULTS, TABLE, REPORT) if (folder / name).kind()]
    if taken and not _is_ours(folder / RESULTS):
        raise RunError(
            f"{folder / taken[0]} was not written by a comparison: choose another --folder, or "
            "move it elsewhere"
        )


def _is_ours(results: SafePath) -> bool:
    if results.kind() is None:
        return False
    try:
        return str(read_json(results).get("command")).startswith(COMMAND)
    except RunError:
        return False
