"""Standard output holds the answer alone; streams and terminals of any kind do no harm."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from conftest import FEW_EPISODES, SUPPORT, Command
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough_cases import thin

from nondiff.experiments.commands.cli import COMMANDS
from nondiff.experiments.run.folder import Run
from nondiff.experiments.terminal.console import MAX_WIDTH, MIN_WIDTH, out_json, terminal_width
from nondiff.experiments.terminal.shell_commands import nondiff_line, shell_line

PATIENCE = 240  # [s]; of a busy machine
NONDIFF = (sys.executable, "-m", "nondiff")
TESTS = str(SUPPORT)
TALKS = ("--env", "talking_envs:Talks-v0")
TRAIN = (
    *("train", *TALKS, "--budget", "32", "--n-steps", "16", "--num-envs", "2"),
    *("--batch-size", "16", "--n-epochs", "1", "--eval-every", "16", *FEW_EPISODES),
)
SHORT = ("--episodes", "1", "--random-episodes", "1")


def shell(home: Path, line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line in bash, in which $nondiff is the command."""
    environment = os.environ | {"PYTHONPATH": TESTS, "nondiff": " ".join(NONDIFF)}
    environment = {key: text for key, text in environment.items() if key != "COLUMNS"}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=home,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of an environment that prints whenever it can."""
    home = tmp_path_factory.mktemp("home")
    done = shell(home, f"$nondiff {shlex.join(TRAIN)} --name talks")
    assert done.returncode == 0, done.stderr
    said = ("imported", "reset", "written", "of C", "child", "at the end")
    assert [word for word in said if f"Talks: {word}" in done.stdout] == []
    assert [word for word in said if f"Talks: {word}" not in done.stderr] == []
    assert len(done.stdout.splitlines()) == 4
    return home


@pytest.mark.thorough
@pytest.mark.parametrize("command", ["evaluate runs/talks " + " ".join(SHORT), "runs"])
def test_json_stands_alone(command: str, home: Path) -> None:
    done = shell(home, f"$nondiff {command} --json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert ("Talks: at the end" in done.stderr) == command.startswith("evaluate")


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    out_json({"a": [float("nan"), (1.5, -float("inf"))], "b": {"c": 2}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, [1.5, None]], "b": {"c": 2}}


# Streams: what a shell may do to them, the exit codes that are the truth, and what is said.

FULL = "error: standard output can't be written: No space left on device\n"
STREAMS: dict[str, tuple[str, tuple[int, ...], str | None]] = {
    "closed output": (">&-", (0,), None),
    "closed error output": ("2>&-", (0,), ""),
    "closed input": ("<&-", (0,), None),
    "all closed": (">&- 2>&- <&-", (0,), ""),
    "full output": ("> /dev/full", (2,), FULL),
    "full error output": ("2> /dev/full", (0,), ""),
    "all full": ("> /dev/full 2>&1", (2,), ""),
    "no reader": ("| true; exit ${PIPESTATUS[0]}", (0, 141), None),
    "a short reader": ("| head -1 > /dev/null; exit ${PIPESTATUS[0]}", (0, 141), None),
    "no reader of errors": ("2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", (0,), ""),
}


def check_streams(case: str, command: str, home: Path) -> None:
    redirection, codes, said = STREAMS[case]
    done = shell(home, f"$nondiff {command} {redirection}")
    assert done.returncode in codes, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if said is not None and "train" not in command:
        assert done.stderr == said


@pytest.mark.parametrize("case", ["closed error output", "all closed"])
@pytest.mark.thorough
def test_workers_without_an_error_output_say_in_the_run_what_failed(
    case: str, home: Path, tmp_path: Path
) -> None:
    redirection = STREAMS[case][0]
    env = "--env faulty_envs:Breaks-v0 --env-arg at=20 --vec-env processes --num-envs 2"
    done = shell(
        home, f"$nondiff train {env} --n-steps 16 --budget 64 --runs {tmp_path} {redirection}"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    (run,) = tmp_path.iterdir()
    state = json.loads((run / "run.json").read_text())
    said = "environment 0 raised ValueError: no such joint: left, at its step 20"
    assert (state["state"], state["error"]) == ("failed", said)


@pytest.mark.parametrize("case", STREAMS)
def test_streams_that_fail_do_no_harm(case: str, home: Path) -> None:
    check_streams(case, "--help", home)


@pytest.mark.slow
@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("command", ["runs", "runs --json", "train --help", "doctor"])
def test_streams_that_fail_do_no_harm_to_any_command(case: str, command: str, home: Path) -> None:
    check_streams(case, command, home)


@pytest.mark.thorough
@pytest.mark.parametrize("case", thin(["all closed", "all full"], ["all full"]))
def test_a_training_outlives_its_streams(case: str, home: Path, tmp_path: Path) -> None:
    check_streams(case, f"{shlex.join(TRAIN)} --runs {shlex.quote(str(tmp_path))} --name a", home)
    assert Run.open(tmp_path / "a").status() == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("how", ["serial", "processes"])
def test_any_training_outlives_its_streams(case: str, how: str, home: Path, tmp_path: Path) -> None:
    place = f"--vec-env {how} --runs {shlex.quote(str(tmp_path))} --name a"
    check_streams(case, f"{shlex.join(TRAIN)} {place}", home)
    assert Run.open(tmp_path / "a").status() == "finished"


@pytest.mark.thorough
@pytest.mark.parametrize("encoding", thin(["ascii", "cp1252"], ["ascii"]))
def test_what_an_encoding_lacks_is_written_as_escapes(encoding: str, home: Path) -> None:
    line = "$nondiff runs 'r\u00fcns \u2192'; $nondiff runs --help"
    done = shell(home, line, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "UnicodeEncodeError" not in done.stderr
    assert "\\u2192" in done.stderr
    assert "\\u" not in done.stdout  # boxes of ASCII


# Terminals


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, home: Path, columns: int, *words: str, **variables: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 1, columns, 0, 0))
        environment = os.environ | {"PYTHONPATH": TESTS, "TERM": "xterm"} | variables
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [*NONDIFF, *words],
            cwd=home,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def read(self) -> str:
        """All that it prints, until it ends."""
        data = b""
        while True:
            assert select.select([self._ours], [], [], PATIENCE)[0], data
            try:
                more = os.read(self._ours, 65_536)
            except OSError:  # nobody has the other end any more
                more = b""
            if not more:
                break
            data += more
        os.close(self._ours)
        assert self.process.wait(PATIENCE) == 0, data
        return data.decode()


@pytest.mark.parametrize("columns", thin([0, 1, 5], [1]))
def test_a_narrow_terminal_shows_all(columns: int, home: Path) -> None:
    text = Terminal(home, columns, "runs").read()
    assert "\x1b[" in text


@pytest.mark.thorough
@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_escape_codes_can_be_left_out(variable: str, home: Path, tmp_path: Path) -> None:
    variables = {variable: "dumb"}
    line = (*TRAIN, "--runs", str(tmp_path))
    assert "\x1b" not in Terminal(home, 80, *line, **variables).read()
    assert "\x1b" not in Terminal(home, 80, "evaluate", "--help", **variables).read()


@pytest.mark.thorough
def test_a_training_shows_a_bar_on_a_terminal(home: Path, tmp_path: Path) -> None:
    assert "\x1b" in Terminal(home, 80, *TRAIN, "--runs", str(tmp_path)).read()


ODD_WIDTHS = ["1", "5", "20", "0", "-1", "1e9", "1000000000", "9" * 5_000, "x", "\u00b2", "\u0665"]


@pytest.mark.parametrize("columns", ODD_WIDTHS, ids=lambda text: text[:10])
def test_help_ends_at_any_width(
    columns: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    assert MIN_WIDTH <= terminal_width(sys.stdout) <= MAX_WIDTH
    for name in COMMANDS:
        answer = command(name, "--help")
        assert (answer.code, answer.err) == (0, "")
        assert max(map(len, answer.out.splitlines())) <= MAX_WIDTH
        assert os.environ["COLUMNS"] == columns
    assert command("train", "--no-such-option").code == 2


@pytest.mark.parametrize("signum", thin([signal.SIGINT, signal.SIGTERM], [signal.SIGINT]))
def test_a_signal_ends_the_parsing_at_once(signum: signal.Signals, home: Path) -> None:
    code = (
        "import os, time, nondiff.experiments.commands.train as train\n"
        "from nondiff.experiments.commands import cli\n"
        "def parse(*line):\n"
        f"    os.kill(os.getpid(), {int(signum)})\n"
        "    time.sleep(5)  # another thread may take the signal first\n"
        "    print('went on')\n"
        "train.parse = parse\n"
        "cli.run_command('train', [], 'nondiff train')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=home)
    assert done.returncode in (-signum, 128 + signum)
    assert "went on" not in done.stdout
    assert "Traceback" not in done.stderr


# Commands to be typed

ODD_NAMES = [
    *("my runs", "-dash", "--", "it's", '"', "$HOME", "`id`", "a:b", "a;b", "*", "~", "#", "\\"),
    *("new\nline", "tab\t", "\x1b[31m", "\u202e", "\u00fc \u65e5\u672c", "!x", "a=b", "{a,b}"),
]
ECHO = "import sys, os; sys.stdout.buffer.write(b'|'.join(map(os.fsencode, sys.argv[1:])))"
TEXTS = st.text(st.characters(exclude_characters="\0|", exclude_categories=["Cs"]))


def words_of(line: str) -> list[bytes]:
    """What a program is given by a shell that reads a line."""
    script = f"{shlex.join([sys.executable, '-S', '-c', ECHO])} {line}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return done.stdout.split(b"|")


@settings(max_examples=20, derandomize=True, database=None, deadline=None)
@given(st.lists(TEXTS, min_size=1))
def test_a_shell_reads_what_was_meant(words: list[str]) -> None:
    line = shell_line(*words)
    assert line.isprintable()
    assert words_of(line) == [word.encode() for word in words]


def test_a_name_that_is_no_utf8_is_typed_by_its_bytes() -> None:
    assert words_of(shell_line("a\udcffb")) == [b"a\xffb"]


def test_a_path_is_no_option() -> None:
    assert shell_line("--video", Path("-x/a b")) == "--video './-x/a b'"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_path_of_any_name_is_typed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    line = shell_line("cd", Path(name)) + " && pwd -P"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == os.fsencode(tmp_path.resolve() / name) + b"\n"


def test_scripts_are_typed_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["some where/train.py"])
    line = nondiff_line("evaluate", Path("a"), prog="train.py")
    assert shlex.split(line)[1:] == ["some where/evaluate.py", "a"]
    assert nondiff_line("evaluate", Path("a"), prog="nondiff train") == "nondiff evaluate a"


def follow(home: Path, text: str, start: str, **variables: str) -> None:
    """Type a command that was printed."""
    (line,) = (line.removeprefix(start) for line in text.splitlines() if line.startswith(start))
    assert line.startswith("nondiff ")
    more = " ".join(SHORT) if " evaluate " in line else ""
    done = shell(home, f"$nondiff {line.removeprefix('nondiff ')} {more}", **variables)
    assert done.returncode == 0, done.stderr


ODD_RUNS = "-my \"runs'\n: $HOME \u00fc\u202e*"


@pytest.mark.thorough
@pytest.mark.parametrize("where", thin(["output", "card"], ["output"]))
def test_what_is_printed_can_be_typed(
    where: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cart = ("--env", "CartPole-v1", "--budget", 16, "--n-steps", 8, "--num-envs", 2)
    answer = command("train", *cart, *FEW_EPISODES, f"--runs={ODD_RUNS}", "--name", "a")
    assert answer.code == 0, answer.err
    if where == "output":
        follow(tmp_path, answer.out, "look at it: ")
        return
    card = (tmp_path / ODD_RUNS / "a" / "README.md").read_text()
    typed = card.rpartition("Look at it with ")[2].splitlines()[0].strip("`. ")
    follow(tmp_path, typed, "")
