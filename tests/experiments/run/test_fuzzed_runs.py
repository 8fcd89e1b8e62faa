"""Whatever became of a run folder, the commands say so in a line, and lose nothing."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from canary import ATTACKS, make_home, remove
from fuzzing import LONG, SHORT, Sandbox, check_answer, fuzz, nondiff, tiny
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from thorough_cases import thin

from nondiff.agents.policies.model import MODEL
from nondiff.agents.policies.storage import MANIFEST
from nondiff.errors import NondiffError
from nondiff.experiments.run.checkpoints import CHECKPOINT
from nondiff.experiments.run.file_names import CONFIG, STATE
from nondiff.experiments.run.folder import Run

# Of the actor-critic kind with discrete actions, and one with a replay buffer and statistics.
KINDS: dict[str, tuple[object, ...]] = {
    "ppo": ("CartPole-v1", "--num-envs", 2, "--n-steps", 4),
    "sac": (
        *("small_envs:GoTo-v0", "--strategy", "sac", "--learning-starts", 4, "--net-arch", 8),
        *("--batch-size", 4, "--normalize-observation"),
    ),
}
# Of these any number is taken, and as many are done or made, which may take for ever.
PATIENT = ("n_epochs", "gradient_steps", "budget", "n_critics")


@dataclass(frozen=True)
class Damage:
    """What befalls a file or a folder of a run; what does not apply changes nothing.

    Args:
        name: in words, for a failing example.
        act: befalls the path.
    """

    name: str
    act: Callable[[Path], None]

    def __repr__(self) -> str:
        return self.name


def flip(share: float, bit: int) -> Damage:
    def act(path: Path) -> None:
        content = bytearray(path.read_bytes())
        if content:
            content[int(share * (len(content) - 1))] ^= 1 << bit
            path.write_bytes(content)

    return Damage(f"bit {bit} at {share} of it flipped", act)


def cut(share: float) -> Damage:
    def act(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return Damage(f"cut off at {share} of it", act)


def replaced(content: bytes) -> Damage:
    def act(path: Path) -> None:
        remove(path)
        path.write_bytes(content)

    return Damage(f"replaced by {content!r}", act)


def linked(target: str) -> Damage:
    def act(path: Path) -> None:
        remove(path)
        path.symlink_to(target.format(name=path.name))

    return Damage(f"replaced by a link to {target}", act)


def folder(path: Path) -> None:
    remove(path)
    path.mkdir()


def attacked(name: str) -> Damage:
    """What a stranger puts there instead; the user's files lie in `outside/folder`."""

    def act(path: Path) -> None:
        runs = next(folder for folder in path.parents if folder.name == "runs")
        ATTACKS[name](path, runs.parent / "outside" / "folder")

    return Damage(name, act)


def numbered(which: int, number: str) -> Damage:
    """Another number in a text file, of a kind that no library for JSON writes."""

    def act(path: Path) -> None:
        text = path.read_text()
        numbers = [*re.finditer(r"-?\b\d+(\.\d+)?\b", text)]
        if numbers:
            start, end = numbers[which % len(numbers)].span()
            path.write_text(text[:start] + number + text[end:])
            sign(path)

    return Damage(f"number {which} is {number[:9]}", act)


# What lies outside is seen from the run folder, from models/ and from models/step-.../.
OUTSIDE = [
    f"{'../' * up}outside/{name}" for up in (2, 3, 4) for name in ("folder", "file", "nothing")
]
DAMAGES: SearchStrategy[Damage] = st.one_of(
    st.builds(flip, st.floats(0, 1), st.integers(0, 7)),
    st.builds(cut, st.floats(0, 1)),
    st.builds(replaced, st.binary(max_size=20) | st.sampled_from([b"[" * 100_000, b"{}", b"[]"])),
    st.builds(linked, st.sampled_from([*OUTSIDE, "/dev/null", "{name}", ".", ".."])),
    st.sampled_from([Damage("removed", remove), Damage("replaced by a folder", folder)]),
    st.builds(attacked, st.sampled_from(list(ATTACKS))),
)

JUNK = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2, 1.5, -0.5, 10**30, -(10**30), 2**45, math.nan, math.inf),
        *(
            "",
            "x",
            "../x",
            "../../outside/folder",
            "/",
            "\0",
            "\udcff",
            "[/b]",
            "$x^$",
            "nan",
            "-1",
        ),
        *("x" * 300, "a\nb", "\x1b[31m", [], {}, [[]], [1, "x"], {"x": {}}, {"": None}, [0.5] * 3),
    ]
)


def edited(picks: list[int], how: str, junk: Any, signed: bool) -> Damage:
    """One entry of a JSON file replaced, removed, renamed or added; its checksum may be renewed."""

    def act(path: Path) -> None:
        try:
            data = json.loads(path.read_text())
        except (ValueError, RecursionError):
            return
        path.write_text(json.dumps(_edited(data, picks, how, junk)))
        if signed:
            sign(path)

    where = " signed" if signed else ""
    return Damage(f"{how} at {picks} with {str(junk)[:40]!r} of {type(junk)}{where}", act)


def _edited(data: Any, picks: list[int], how: str, junk: Any) -> Any:
    """The data with a change at the place that the picks lead to."""
    places: list[Any] = list(data) if isinstance(data, dict) else list(range(len(data)))
    if not places:
        return junk
    place = places[picks[0] % len(places)]
    if picks[1:] and isinstance(data[place], dict | list):
        data[place] = _edited(data[place], picks[1:], how, junk)
    elif how == "replaced":
        endless = place in PATIENT and isinstance(junk, int) and junk > 2
        data[place] = 2 if endless else junk
    elif how == "removed":
        del data[place]
    elif isinstance(data, list):
        data.insert(place, junk)
    elif how == "renamed":
        data[str(junk)] = data.pop(place)
    else:
        data["added"] = junk
    return data


def sign(path: Path) -> None:
    """Make the checksum of an altered file that of the file."""
    for layout in (MODEL, CHECKPOINT):
        if path.name == layout.values:
            names = (layout.values, layout.tensors)
            contents = {name: (path.parent / name).read_bytes() for name in names}
            (path.parent / MANIFEST).write_bytes(layout.manifest(contents))
    if path.name == CONFIG:
        state = json.loads((path.parent / STATE).read_text())
        state["config_sha256"] = sha256(path.read_bytes()).hexdigest()
        (path.parent / STATE).write_text(json.dumps(state))


EDITS = st.builds(
    edited,
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.sampled_from(["replaced", "replaced", "removed", "renamed", "added"]),
    JUNK,
    st.booleans(),
)
NUMBERS = st.builds(
    numbered,
    st.integers(0, 60),
    st.sampled_from(
        ["9" * 4_000, "9" * 40, "1e400", "-1e400", "1e308", "NaN", "-Infinity", "1e-400"]
    ),
)
Damages = list[tuple[str, Damage]]


def damages(run: Path) -> SearchStrategy[Damages]:
    """One to three damages of a run, most of them in the files that say how it stands."""
    places = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
    texts = [place for place in places if place.endswith(".json") and MANIFEST not in place]
    one = st.one_of(
        st.tuples(st.sampled_from(places), DAMAGES),
        st.tuples(st.sampled_from(texts), EDITS | NUMBERS),
        st.tuples(st.sampled_from([CONFIG, STATE]), EDITS | NUMBERS),
    )
    return st.lists(one, min_size=1, max_size=3)


def inflict(run: Path, befallen: Damages) -> None:
    for place, damage in befallen:
        try:
            damage.act(run / place)
        except (OSError, ValueError, LookupError, TypeError):  # an earlier one left nothing of it
            continue


@pytest.fixture(scope="module", params=KINDS)
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Two runs, of which `bad` will be damaged, and what lies outside."""
    model = tmp_path_factory.mktemp("model")
    (model / "home").mkdir()
    kept = model / "outside" / "folder"
    make_home(kept)
    for name in ("step-000000001", ".config-x", "mine"):
        (kept / name).mkdir(parents=True, exist_ok=True)
        (kept / name / "file").write_text("precious")
    (model / "outside" / "file").write_text("precious")
    tiny(model / "runs" / "bad", *KINDS[request.param], "--seed", 3)  # best and last differ
    shutil.copytree(model / "runs" / "bad", model / "runs" / "good")
    return Sandbox(model, tmp_path_factory.mktemp("sandbox") / "copy")


def check_listing(home: Path, is_run: bool) -> None:
    """Both runs are listed."""
    table = nondiff(home, "runs", "../runs")
    listed = nondiff(home, "runs", "../runs", "--json")
    for answer in (table, listed):
        check_answer(answer)
        assert answer.code == 0, answer.err
    states = {entry["run"]: entry["state"] for entry in json.loads(listed.out)}
    assert states.pop("../runs/good") == "finished"
    assert set(states) == ({"../runs/bad"} if is_run else set())
    assert "../runs/good" in table.out


def check_drawing(home: Path, is_run: bool) -> None:
    """The curve of the good run is drawn."""
    answer = nondiff(home, "runs", "../runs", "--plot", "new.png")
    check_answer(answer)
    assert answer.code == 0, answer.err
    assert (home / "new.png").stat().st_size > 0


def check_judging(home: Path, is_run: bool) -> None:
    """The damaged run is judged, or its damage is said."""
    few = ("--episodes", 1, "--random-episodes", 0)
    answer = nondiff(home, "evaluate", "../runs/bad", *few)
    check_answer(answer)
    assert answer.code in ((0, 2) if is_run else (2,))


def check_comparing(home: Path, is_run: bool) -> None:
    """The damaged run is compared with the other, or its damage is said."""
    few = ("--episodes", 1, "--random-episodes", 0)
    answer = nondiff(home, "evaluate", "../runs/good", "../runs/bad", *few, "--json")
    check_answer(answer)
    assert answer.code in ((0, 2) if is_run else (2,))


def check_export(home: Path, is_run: bool) -> None:
    """The policy of the damaged run is written, or its damage is said."""
    for more in ((), ("--statistics", "new.pkl")):
        answer = nondiff(home, "export", "../runs/bad", "--to", "new.zip", *more)
        check_answer(answer)
        written = {"new.zip", "new.pkl"} if more else {"new.zip"}
        assert {path.name for path in home.iterdir()} == (written if answer.code == 0 else set())
        for path in home.iterdir():
            path.unlink()


# Each with its number of examples, of which a default run tries a third.
READINGS: dict[str, tuple[Callable[[Path, bool], None], int]] = {
    "runs": (check_listing, 40),
    "runs --plot": (check_drawing, 15),
    "evaluate": (check_judging, 40),
    "evaluate two": (check_comparing, 10),
    "export": (check_export, 40),
}


def check_reading(befallen: Damages, sandbox: Sandbox, check: Callable[[Path, bool], None]) -> None:
    """A command that reads does what it can, and changes nothing but what it was asked to write."""
    with sandbox.example() as folder:
        inflict(folder / "runs" / "bad", befallen)
        damaged = sandbox.changed()
        check(folder / "home", os.path.lexists(folder / "runs" / "bad" / CONFIG))
        (folder / "home" / "new.png").unlink(missing_ok=True)
        assert sandbox.changed() == damaged


def check_resuming(befallen: Damages, sandbox: Sandbox, budget: int = 40) -> None:
    """The run goes on and is whole then, or its damage is said and its models stay."""
    with sandbox.example() as folder:
        run = folder / "runs" / "bad"
        inflict(run, befallen)
        damaged = set(sandbox.changed())
        before = whole_models(run)
        answer = nondiff(folder / "home", "train", "--resume", "../runs/bad", "--budget", budget)
        check_answer(answer)
        assert answer.code in (0, 2)
        assert all(place.startswith("runs/bad") for place in sandbox.changed())
        after = whole_models(run)
        if answer.code == 0:
            assert after.keys() == {"best", "last"}
            assert Run.open(run).state.state == "finished"
        else:
            assert after.keys() >= before.keys()
            assert answer.err.count("evaluation of") or before == after
        assert damaged or answer.code == 0


def whole_models(run: Path) -> dict[str, Path]:
    """The models that can be loaded, by their role."""
    whole = {}
    for role in ("best", "last"):
        try:
            opened = Run.open(run)
            opened.load_policy(role)
            whole[role] = opened.model_folder(role)
        except (NondiffError, OSError):
            continue
    return whole


def fuzz_reading(sandbox: Sandbox, command: str, how: settings) -> None:
    examples, check = damages(sandbox.folder / "runs" / "bad"), READINGS[command][0]
    fuzz(lambda befallen: check_reading(befallen, sandbox, check), examples, how)


def fuzz_resuming(sandbox: Sandbox, how: settings) -> None:
    examples = damages(sandbox.folder / "runs" / "bad")
    fuzz(lambda befallen: check_resuming(befallen, sandbox), examples, how)


@pytest.mark.parametrize("share", thin([3, 1], [3]))
@pytest.mark.parametrize("command", READINGS)
def test_a_damaged_run_is_read_or_said_to_be_damaged(
    command: str, share: int, sandbox: Sandbox
) -> None:
    fuzz_reading(sandbox, command, settings(SHORT, max_examples=READINGS[command][1] // share))


@pytest.mark.slow
@pytest.mark.parametrize("command", READINGS)
def test_a_damaged_run_is_read_at_length(command: str, sandbox: Sandbox) -> None:
    fuzz_reading(sandbox, command, LONG)


@pytest.mark.thorough
@pytest.mark.parametrize("examples", thin([8, 25], [8]))
def test_a_damaged_run_goes_on_or_keeps_its_models(examples: int, sandbox: Sandbox) -> None:
    fuzz_resuming(sandbox, settings(SHORT, max_examples=examples))


@pytest.mark.slow
def test_a_damaged_run_goes_on_or_keeps_its_models_at_length(sandbox: Sandbox) -> None:
    fuzz_resuming(sandbox, LONG)
