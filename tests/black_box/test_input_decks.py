"""Input decks as solvers want them: columns, Fortran's exponents, several files, functions."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nondiff
from nondiff.errors import InvalidOptionError

ECHO = "import sys, pathlib; print(len(''.join(pathlib.Path(p).read_text() for p in sys.argv[1:])))"


def box(writes: Any, *command: str, **more: Any) -> nondiff.Executable:
    return nondiff.Executable(
        [sys.executable, "-c", ECHO, *(command or ("{input}",))],
        parameters={"load": (-1e6, 1e6, "N"), "width": (0.1, 5.0, "m")},
        outputs={"length": (0, 1e6)},
        contexts=[[1.0]],
        writes=writes,
        **more,
    )


def deck(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "deck.txt"
    path.write_text(text)
    return path


FORMS = {
    "${load:10.4f}|": "   12.3457|",
    "${load:<10.3f}|": "12.346    |",
    "${load:>12.4e}": "  1.2346e+01",
    "${load:12.5D}": " 1.23457D+01",
    "${load:+08.2f}": "+0012.35",
    "${load:6d}": "    12",
    "${load:.3g}": "12.3",
    "$load ${load} $${load:9} {load:3}": "12.345678 12.345678 ${load:9} {load:3}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_number_is_written_in_its_format(form: str, tmp_path: Path) -> None:
    found = box(deck(tmp_path, form + "\n$width")).trace(np.array([12.345678, 2.0]))
    assert found.failure is None
    assert found.written == {"input": FORMS[form] + "\n2.0"}


def test_a_number_that_does_not_fit_is_invalid_input_and_shifts_nothing(tmp_path: Path) -> None:
    columns = box(deck(tmp_path, "${load:8.2f}${width:5.2f}"))
    assert columns.trace(np.array([99999.99, 2.0])).written["input"] == "99999.99 2.00"
    found = columns.trace(np.array([-99999.99, 2.0]))
    assert found.failure == "invalid input: load = -99999.99 does not fit into 8 columns"
    outcome = columns.transition(np.zeros((2, 0)), np.array([[-1.0, 0.0], [0.0, 0.0]]))
    assert np.isnan(outcome[0, 0])
    assert outcome[1, 0] == 13


@pytest.mark.parametrize(
    "form", ["5x", "10.4", "", "s", "4.2d", "{width}", "1000f", "!r", "<06d", "^08.2f"]
)
def test_what_is_no_format_is_refused(form: str, tmp_path: Path) -> None:
    if form == "10.4":
        box(deck(tmp_path, "${load:10.4} $width"))  # as Python has it
        return
    with pytest.raises(InvalidOptionError, match=r"the template .*deck"):
        box(deck(tmp_path, f"${{load:{form}}} $width"))


def by_hand(values: Mapping[str, float]) -> str:
    return f"BEAM {values['load']:g}\n"


def fails(values: Mapping[str, float]) -> str:
    raise KeyError("span")


def test_a_function_writes_the_deck() -> None:
    found = box(by_hand).trace(np.array([3.0, 1.0]))
    assert (found.failure, found.written) == (None, {"input": "BEAM 3\n"})
    found = box(fails).trace(np.array([3.0, 1.0]))
    assert found.failure == "invalid input: writes raised KeyError: 'span'"
    found = box(lambda values: sys.exit(0)).trace(np.array([3.0, 1.0]))
    assert found.failure == "invalid input: writes raised SystemExit: 0"
    found = box(lambda values: "\ud800").trace(np.array([3.0, 1.0]))
    assert found.failure is not None
    assert found.failure.startswith("invalid input: writes gave no Unicode")
    found = box(lambda values: 3).trace(np.array([3.0, 1.0]))
    assert found.failure == "invalid input: writes gave int, and no text"


def test_several_files_are_written(tmp_path: Path) -> None:
    writes = {"a/loads.inp": deck(tmp_path, "${load:8.1f}"), "w.txt": by_hand}
    found = box(writes, "a/loads.inp", "w.txt").trace(np.array([3.0, 1.0]))
    assert found.written == {"a/loads.inp": "     3.0", "w.txt": "BEAM 3\n"}
    assert found.outcome is not None
    assert found.outcome.tolist() == [15.0]


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    loads = deck(tmp_path, "$load")
    refused: list[tuple[Any, tuple[str, ...], dict[str, Any], str]] = [
        ({"a": loads}, ("a",), {}, "together does not name"),
        ({}, ("a",), {}, "writes no file"),
        ({"../a": by_hand}, ("a",), {}, "writes"),
        ({"a": by_hand}, ("{input}",), {}, "writes names its files itself"),
        ({"a": by_hand}, ("a",), {"files": {"a": "x"}}, "a"),
        ({"a": "yaml"}, ("a",), {}, "writes must be"),
    ]
    for writes, command, more, words in refused:
        with pytest.raises(InvalidOptionError, match=words):
            box(writes, *command, **more)
