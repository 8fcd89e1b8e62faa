"""What programs print, how they want their files named, and what they say when they fail."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nondiff.black_box.executable import Executable, Last
from nondiff.black_box.executable.decimals import number
from nondiff.errors import InvalidOptionError, NondiffError
from nondiff.processes.sandbox import Limits, PersistentProcess, run_once

WIDE = (-1e300, 1e300)


def box(command: Any, **options: Any) -> Executable:
    given: dict[str, Any] = {
        "parameters": {"a": (0, 1)},
        "outputs": {"y": WIDE},
        "contexts": [[0.0]],
        "limits": Limits(timeout=20),
    }
    return Executable(command, **{**given, **options})


def shell(text: str, **options: Any) -> Executable:
    """A program of a shell's, which prints what it likes."""
    return box(["sh", "-c", text.replace("{", "{{").replace("}", "}}"), "{a}"], **options)


def outcome(its: Executable) -> tuple[list[float], str]:
    """What a = 0.75 gives, and how it failed."""
    with closing(its):
        row = its.transition(np.zeros((1, 0)), np.full((1, len(its.inputs)), 0.5))[0]
        return row.tolist(), its.last_failure


def fortran(value: float, letter: str) -> str:
    """A number by Fortran's edit descriptor E25.16, D or Q: .ddd x 10^exponent."""
    mantissa, _, exponent = f"{value:.16e}".partition("e")
    digits = mantissa.replace(".", "").lstrip("-")
    power = int(exponent) + 1
    sign = "-" if mantissa.startswith("-") else ""
    if abs(power) > 99:
        return f"{sign}0.{digits}{power:+04d}"
    return f"{sign}0.{digits}{letter}{power:+03d}"


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from("EDQedq"))
def test_numbers_are_read_as_programs_print_them(value: float, letter: str) -> None:
    for text in (repr(value), f"{value:.17g}", f"{value:+.17e}", f"{value:.17E}"):
        assert number(text) == value
    assert math.isclose(number(fortran(value, letter)), value, rel_tol=1e-15)


@given(st.text(alphabet="0123456789+-.eEdD_xinfa* \u0661\u2212", max_size=8))
def test_a_text_is_a_number_only_where_it_is_one_anywhere(text: str) -> None:
    try:
        found = number(text)
    except ValueError as error:
        said = str(error)
        assert repr(text.strip()) in said
    else:
        letter = re.sub("[dD]", "e", text.strip())
        assert found == float(re.sub(r"(?<=[\d.])([+-]\d{3})$", r"e\1", letter))
        assert "_" not in text
        assert math.isfinite(found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5D+00", 1.5),
        ("0.25d+01", 2.5),
        ("1.5+100", 1.5e100),
        ("-2.5-101", -2.5e-101),
        ("1.Q3", 1000.0),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("-0", 0.0),
        (" \f7\r\n", 7.0),
    ],
)
def test_a_form_of_a_number(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("****", "too wide for its field"),
        ("-1.5-2.5", "not a number"),
        ("1.0E+00-2.0E+00", "not a number"),
        ("15+100", "not a number"),  # two numbers as much as one
        ("1_000", "not a number"),
        ("0x1p3", "not a number"),
        ("\u22121.5", "not a number"),
        ("1.5\0", "not a number"),
        ("", "not a number"),
        ("NaN", "not finite"),
        ("-nan(ind)", "not finite"),
        ("1.#QNAN", "not finite"),
        ("+Infinity", "not finite"),
        ("1e999", "not finite"),
    ],
)
def test_what_is_no_number_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        number(text)


READINGS: list[tuple[str, Any]] = [
    ("1.5D+00", "numbers"),
    ("x = 1.5D+00, m", {"y": r"x = (\S+),"}),
    ("one 1.5D+00", lambda text: text.split()[1:]),
]


@pytest.mark.parametrize(("text", "reads"), READINGS)
@pytest.mark.parametrize(
    "encoding", ["ascii", "utf-8-sig", pytest.param("utf-16", marks=pytest.mark.thorough)]
)
def test_every_way_of_reading_reads_them(text: str, reads: Any, encoding: str) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in text.encode(encoding))
    assert outcome(shell(f"printf '{octal}'", reads=reads)) == ([1.5], "")


TABLE = "printf 'step 1 res 0.9\\nstep 2 res 0.5\\nstep 3 res 0.1\\n'"


def test_the_first_match_counts_or_the_last_if_asked() -> None:
    assert outcome(shell(TABLE, reads={"y": r"res (\S+)"}))[0] == [0.9]
    assert outcome(shell(TABLE, reads={"y": Last(r"res (\S+)")}))[0] == [0.1]
    row, why = outcome(shell(TABLE, reads={"y": r"res (9)|step"}))
    assert math.isnan(row[0])
    assert "no number for y in 'step'" in why


CATASTROPHIC = r"(?:.*?,){25}(P)"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "options",
    [
        {"reads": {"y": CATASTROPHIC}},
        {"reads": {"y": Last(CATASTROPHIC)}},
        {"nonconvergence": CATASTROPHIC},
    ],
)
def test_an_expression_that_takes_for_ever_is_given_up(options: dict[str, Any]) -> None:
    its = shell("printf '1,%.0s' $(seq 60)", limits=Limits(timeout=0.5), **options)
    begin = time.monotonic()
    row, why = outcome(its)
    assert time.monotonic() - begin < 60  # it would be years
    assert math.isnan(row[0])
    assert its.failures == {"timeout": 1}
    assert repr(CATASTROPHIC) in why


COPY = "import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read())"
LOOK = (
    "import os, sys; from pathlib import Path;"
    "print(*sorted(str(p) for p in Path('.').rglob('*') if p.is_file()), file=sys.stderr);"
    "sys.exit(1)"
)


@pytest.mark.parametrize(
    ("words", "options", "files"),
    [
        (["{input}", "{output}"], {}, ["input"]),
        (["{input}.inp", "{output}"], {}, ["input.inp"]),
        (["{input}", "{output}.dat"], {}, ["input"]),
        (["{input}_a-b.1.txt", "./{output}.out"], {}, ["input_a-b.1.txt"]),
        (["{input}.c++", "{output}~"], {}, ["input.c++"]),
        (["job.inp", "job.dat"], {"input_file": "job.inp", "output_file": "job.dat"}, ["job.inp"]),
        (["{input}", "{output}"], {"input_file": "in/a b.inp", "output_file": "out/x"}, ["in/a b"]),
    ],
)
def test_files_are_named_as_the_command_says(
    words: list[str], options: dict[str, Any], files: list[str]
) -> None:
    python = [sys.executable, "-I", "-S", "-c"]
    its = box([*python, COPY, *words], writes="numbers", **options)
    assert outcome(its) == ([0.75], "")
    why = outcome(box([*python, LOOK, *words], writes="numbers", **options))[1]
    assert all(name in why for name in files), why


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["out/{output}"], {}, "'out/{output}' leaves the output file's name open"),
        (["/tmp/{input}"], {}, "input_file="),
        (["../{input}"], {}, "input_file="),
        (["job{input}.inp"], {}, "'job{input}.inp' leaves the input file's name open"),
        (["{input}.{a}"], {}, "'{input}.{...}' leaves the input file's name open"),
        (["{input}/.."], {}, "can't name a file"),
        (["{input}.$n"], {}, "leaves the input file's name open"),
        (["x\0"], {}, "null character"),
        ([], {"accept": ["0"]}, "accept must be exit codes"),
        ([], {"accept": 0}, "accept must be exit codes"),
        ([], {"environment": {"A": 5}}, "must both be text"),
        ([], {"environment": {"A=B": "x"}}, "can't name a variable"),
        ([], {"nonconvergence": b"x"}, "it is not text"),
        ([], {"files": {"x" * 300: "x"}}, "can't name a file"),
        (["{input}", "{input}.inp"], {}, "several names: 'input', 'input.inp'"),
        (["{input}.inp"], {"input_file": "job.inp"}, "leave out '.inp'"),
        ([], {"output_file": "/tmp/x"}, "output_file: '/tmp/x' can't name a file"),
        ([], {"input_file": "../x"}, "input_file: '../x' can't name a file"),
        ([], {"input_file": "x", "output_file": "x"}, "can't both be 'x'"),
        (["{input}"], {"files": {"input": "x"}}, "files: 'input' is the name of 2 files"),
        (["{output}"], {"files": {"output/x": "x"}}, "'output' is a file, and a folder"),
        (["{input}"], {"writes": "arguments"}, "writes no input file"),
        (["{input}"], {"persistent": True}, "can't name {input}"),
        ([], {"persistent": True, "output_file": "x"}, "nor is there an input_file"),
    ],
)
def test_a_name_that_is_not_certain_is_refused(
    words: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidOptionError, match=re.escape(message)):
        box(["cat", *words], **{"writes": "numbers", **options})


def test_long_words_take_no_longer_than_they_are() -> None:
    box(["echo", "{a}", "x" * 1_000_000])


def test_a_template_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidOptionError, match="not a regular file"):
        box(["cat", "{input}"], writes=tmp_path / "pipe")


def test_a_function_that_leaves_python_is_a_failed_row() -> None:
    def leave(text: str) -> Any:
        raise SystemExit(0)

    row, why = outcome(shell("echo 1", reads=leave))
    assert math.isnan(row[0])
    assert "invalid output" in why


@pytest.mark.parametrize("word", ["-i{input}", "--in={input}", "if={input}", '"$PWD/{input}"'])
def test_an_option_or_a_folder_of_the_shell_may_come_before_a_name(word: str) -> None:
    its = box(["sh", "-c", f"echo {word} | sed 's/^-i//; s/.*=//' | xargs cat"], writes="numbers")
    assert outcome(its) == ([0.75], "")


def test_a_program_may_have_braces_in_its_path(tmp_path: Path) -> None:
    program = tmp_path / "solver {v2}"
    program.write_text('#!/bin/sh\necho "$1"\n')
    program.chmod(0o755)
    with pytest.raises(InvalidOptionError, match="double a brace"):
        box([str(program), "{a}"])
    doubled = str(program).replace("{", "{{").replace("}", "}}")
    assert outcome(box([doubled, "{a}"])) == ([0.75], "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo 'element 12 is distorted'; exit 1", "it printed: element 12 is distorted"),
        ("echo 'note: underflow' >&2; echo distorted; exit 1", "underflow; it printed: distorted"),
        ("echo 'no licence' >&2; exit 1", "it said: no licence"),
        ("echo 'stuck at 3'; kill -SEGV $$", "it printed: stuck at 3"),
    ],
)
def test_the_reason_is_quoted_wherever_it_was_given(text: str, message: str) -> None:
    why = outcome(shell(text))[1]
    assert why.startswith("at the parameters [0.75]: crash: ")
    assert message in why


def test_what_was_printed_before_a_timeout_or_a_missing_file_is_quoted() -> None:
    why = outcome(shell("echo iterating; sleep 60", limits=Limits(timeout=1)))[1]
    assert "it printed: iterating" in why
    why = outcome(shell("echo 'disk full'", output_file="job.dat"))[1]
    assert "it left no file 'job.dat'" in why
    assert "it printed: disk full" in why


def test_a_persistent_program_is_quoted_too() -> None:
    its = PersistentProcess(["sh", "-c", "read x; echo reason; exit 3"])
    with closing(its), pytest.raises(Exception, match=r"code 3 .*; it printed: reason"):
        its.ask("go\n", last="end")


@pytest.mark.parametrize(
    "text",
    [
        "echo 'did not converge' > job.dat; echo 1.5",
        "echo 'did not converge' > job.dat; exit 1",
        "echo 'did not converge'; exit 4",
        "echo 'did not converge' >&2",
    ],
)
def test_nonconvergence_counts_wherever_it_is_written(text: str) -> None:
    its = shell(text, output_file="job.dat", nonconvergence="did not converge")
    outcome(its)
    assert its.failures == {"nonconvergence": 1}


def test_nonconvergence_counts_in_a_persistent_program() -> None:
    loop = "while read a; do echo 'did not converge' >&2; echo 1.5; done"
    its = box(["sh", "-c", loop], writes="numbers", persistent=True, nonconvergence="not converge")
    outcome(its)
    assert its.failures == {"nonconvergence": 1}


def test_files_may_be_binary_lie_in_folders_and_be_programs(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "mesh" / "deep").mkdir(parents=True)
    (tmp_path / "mesh" / "deep" / "m.bin").write_bytes(data)
    (tmp_path / "tool").write_text("#!/bin/sh\nwc -c < data/deep/m.bin\n")
    (tmp_path / "tool").chmod(0o755)
    files = {"data": tmp_path / "mesh", "bin/tool": tmp_path / "tool", "raw/x": data[:100]}
    its = shell(
        "bin/tool; cat raw/x | wc -c",
        files=files,
        outputs={"y": WIDE, "z": WIDE},
        contexts=[[0, 0]],
    )
    (tmp_path / "mesh" / "deep" / "m.bin").unlink()  # it was read when the box was made
    assert outcome(its)[0] == [256_000.0, 100.0]


def test_a_folder_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "again").symlink_to(tmp_path)
    with pytest.raises(InvalidOptionError, match="again is a link to a folder"):
        shell("true", files={"mesh": tmp_path / "mesh"})


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", ".", "a//b", "a/", "x\0y"])
def test_files_stay_in_the_folder(name: str) -> None:
    with pytest.raises(InvalidOptionError, match="can't name a file in the program's folder"):
        shell("true", files={name: "text"})


@pytest.mark.parametrize("name", ["/etc/x", "../x"])
def test_no_call_writes_a_file_elsewhere(name: str) -> None:
    with pytest.raises(NondiffError, match="can't name a file in the program's folder"):
        run_once(["true"], files={name: "text"})


@pytest.mark.parametrize("content", [Path("/no/such/file"), Path("/dev/null"), 5, None])
def test_files_that_cannot_be_read_are_refused(content: Any) -> None:
    with pytest.raises(InvalidOptionError, match="files: x"):
        shell("true", files={"x": content})
