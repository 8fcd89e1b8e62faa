"""However large, deep or many what a stranger wrote is, a line says so, in bounded memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SUPPORT
from fuzzing import check_answer, nondiff, tiny
from test_strangers_folders import COMMANDS
from thorough_cases import some_thorough

from nondiff.agents.policies.model import MODEL
from nondiff.agents.policies.storage import MANIFEST, Layout
from nondiff.experiments.run.checkpoints import CHECKPOINT

MAX_MEMORY = 2**30  # [bytes], of which the libraries take about a third


def edit(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def text(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Replace a part of a text file, and sign the configuration."""

    def act(run: Path) -> None:
        path = run / name
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new, 1))
        digest = hashlib.sha256((run / "config.json").read_bytes()).hexdigest()
        if name == "config.json":
            edit(run / "run.json", config_sha256=digest)

    return act


def whole(name: str, content: bytes, times: int = 1) -> Callable[[Path], None]:
    return lambda run: (run / name).write_bytes(content * times) and None


def sparse(name: str, start: bytes, size: int) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        with (run / name).open("wb") as file:
            file.write(start)
            file.truncate(size)

    return act


def step(run: Path, layout: Layout) -> Path:
    return sorted((run / f"{layout.kind}s").glob("step-*"))[-1]


def tensors(
    layout: Layout, header: object, size: int, said: int | None = None
) -> Callable[[Path], None]:
    """Tensors of zeros that take no room on the disk, with a manifest that fits."""

    def act(run: Path) -> None:
        for folder in sorted((run / f"{layout.kind}s").glob("step-*")):
            line = json.dumps(header).encode()
            with (folder / layout.tensors).open("wb") as file:
                file.write(struct.pack("<Q", len(line) if said is None else said) + line)
                file.truncate(8 + len(line) + size)
            digests = {name: _digest(folder / name) for name in layout.files[:2]}
            (folder / MANIFEST).write_bytes(layout.manifest_of(digests))

    return act


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            total.update(piece)
    return total.hexdigest()


def values(layout: Layout, content: bytes) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        for folder in sorted((run / f"{layout.kind}s").glob("step-*")):
            (folder / layout.values).write_bytes(content)
            digests = {name: _digest(folder / name) for name in layout.files[:2]}
            (folder / MANIFEST).write_bytes(layout.manifest_of(digests))

    return act


def many(folder: str, name: str, count: int) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        (run / folder).mkdir(exist_ok=True)
        for number in range(count):
            (run / folder / name.format(number)).touch()

    return act


DEEP = b"[" * 100_000 + b"]" * 100_000
DIGITS = "9" * 4_000
GIB = 2**30
ZEROS = {"x": {"dtype": "F32", "shape": [3 * GIB // 4], "data_offsets": [0, 3 * GIB]}}

SMALL: dict[str, Callable[[Path], None]] = {
    **{
        f"{name} {what}": act
        for name in ("config.json", "run.json")
        for what, act in {
            "of 8 GiB": sparse(name, b"{", 8 * GIB),
            "nested deep": whole(name, b'{"a": ' + DEEP + b"}"),
            "nested in text": whole(name, b'{"a": ' * 5_000),
            "no text": whole(name, b"\xff\xfe"),
            "NUL": whole(name, b"\0" * 1_000),
        }.items()
    },
    **{
        f"steps {new[:9]}": text("run.json", '"steps": 32', f'"steps": {new}')
        for new in (DIGITS, "1e400", "NaN", "-Infinity", "1e308", "10" * 20, "-1", "true", "[]")
    },
    **{
        f"budget {new[:9]}": text("config.json", '"budget": 32', f'"budget": {new}')
        for new in (DIGITS, "1e400", "NaN", "1e308", "10" * 20)
    },
    **{
        f"seed {new[:9]}": text("config.json", '"seed": 0', f'"seed": {new}')
        for new in (DIGITS, "1e400", "NaN", "10" * 20)
    },
    "long id": text("config.json", '"CartPole-v1"', f'"{"x" * 1_000_000}"'),
    "long state": text("run.json", '"finished"', f'"{"x" * 1_000_000}"'),
    "long argument": text(
        "config.json", '"env_arguments": {', f'"env_arguments": {{"{"x" * 10**6}": 1'
    ),
    "metrics of 8 GiB": sparse("metrics.csv", b"steps\n", 8 * GIB),
    "metrics without numbers": whole("metrics.csv", b"steps\n" + b"9" * 5_000 + b"\n"),
    "metrics of later": whole(
        "metrics.csv", b"steps,evaluation/return_mean\n" + b"9" * 30 + b",1\n"
    ),
    "metrics of NaN": whole(
        "metrics.csv", b"steps,evaluation/return_mean\n8,nan\n16,inf\n24,1e400\n"
    ),
    "metrics with a long field": whole("metrics.csv", b"steps,a\n1," + b"1" * 200_000 + b"\n"),
    "metrics with NUL": whole("metrics.csv", b"steps,\0\n1,\0\n"),
    "metrics with many columns": whole("metrics.csv", b"steps" + b",a" * 400_000 + b"\n1\n"),
    "metrics with a quote": whole("metrics.csv", b'steps,"a\n' + b"1,2\n" * 1_000),
    "a model's header that lies": tensors(MODEL, {}, 0, 2**60),
    "a checkpoint's header that lies": tensors(CHECKPOINT, {}, 100, 2**60),
    "a model nested deep": values(MODEL, DEEP),
    "a checkpoint nested deep": values(CHECKPOINT, DEEP),
    "a checkpoint with digits": values(
        CHECKPOINT, b'{"steps": ' + DIGITS.encode() + b', "values": {}}'
    ),
    "many models": many("models", "step-{:09d}", 2_000),
    "many checkpoints": many("checkpoints", "step-{:012d}", 2_000),
    "many events": many("tensorboard", "events.{}", 2_000),
}
LARGE: dict[str, Callable[[Path], None]] = {
    "lists": whole("run.json", b'{"a": [' + b"[]," * 5_000_000 + b"0]}"),
    "rows": whole("metrics.csv", b"steps\n" + b"1\n" * 2**26),
    "a line": sparse("metrics.csv", b"steps\n", 2**28),
    "wide rows": whole(
        "metrics.csv", b"steps" + b",a" * 500 + b"\n" + (b"1," * 500 + b"1\n") * 100_000
    ),
    "a model of 3 GiB": tensors(MODEL, ZEROS, 3 * GIB),
    "a checkpoint of 3 GiB": tensors(CHECKPOINT, ZEROS, 3 * GIB),
    "a model of 1 GiB": tensors(
        MODEL, {"x": {**ZEROS["x"], "shape": [GIB // 4], "data_offsets": [0, GIB]}}, GIB
    ),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    tiny(run, "CartPole-v1", "--num-envs", 2, "--n-steps", 4)
    return run


def inflicted(trained: Path, place: Path, act: Callable[[Path], None]) -> Path:
    (place / "home").mkdir(parents=True)
    (place / "out").mkdir()
    for name in ("bad", "good"):
        shutil.copytree(trained, place / "runs" / name)
    act(place / "runs" / "bad")
    return place / "home"


# The others are like these.
QUICK = {
    *("config.json of 8 GiB", "run.json nested deep", f"steps {DIGITS[:9]}", "steps 1e400"),
    *("long argument", "metrics of 8 GiB", "metrics of later", "a model's header that lies"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", some_thorough(SMALL, {*SMALL} - QUICK))
def test_what_is_large_or_deep_is_said_in_a_line(name: str, trained: Path, tmp_path: Path) -> None:
    home = inflicted(trained, tmp_path, SMALL[name])
    for command in ("runs", "evaluate", "resume"):
        answer = nondiff(home, *COMMANDS[command])
        check_answer(answer)
        assert answer.code in ((0,) if command == "runs" else (0, 2))
        assert len(answer.err) + len(answer.out) < 20_000
        assert command != "runs" or "good" in answer.out


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_takes_little_memory(name: str, trained: Path, tmp_path: Path) -> None:
    home = inflicted(trained, tmp_path, LARGE[name])
    for command in ("runs", "runs --plot", "evaluate", "export", "resume"):
        code = (
            "import resource, sys\n"
            "from fuzzing import nondiff, check_answer\n"
            "from pathlib import Path\n"
            "answer = nondiff(Path(sys.argv[1]), *sys.argv[2:])\n"
            "check_answer(answer)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, home, *map(str, COMMANDS[command])],
            env=os.environ | {"PYTHONPATH": str(SUPPORT)},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[-1]) < MAX_MEMORY, command


def test_thousands_of_runs_are_listed(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for number in range(300):
        folder = tmp_path / "runs" / f"run-{number}"
        folder.mkdir(parents=True)
        for name in ("config.json", "run.json"):
            os.link(trained / name, folder / name)
    (tmp_path / "runs" / "run-7" / "run.json").unlink()
    answer = nondiff(tmp_path / "home", "runs", "../runs", "--json")
    states = [entry["state"] for entry in json.loads(answer.out)]
    assert (len(states), states.count("damaged")) == (300, 1)
