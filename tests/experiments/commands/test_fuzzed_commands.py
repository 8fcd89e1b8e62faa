"""Whatever is typed, a command ends with a line that says why, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import chain
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import gymnasium
import pytest
import tyro
from fuzzing import LONG, SHORT, Sandbox, check_answer, fuzz, nondiff, tiny
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from suited import QUADRANT, needs_choices
from thorough_cases import some_thorough

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.sb3.algorithms.off_policy import OffPolicy
from nondiff.experiments.commands.answer import AnswerOptions
from nondiff.experiments.commands.check_gradients import CheckGradientsOptions
from nondiff.experiments.commands.cli import COMMANDS
from nondiff.experiments.commands.compare import CompareOptions
from nondiff.experiments.commands.demonstrate import DemonstrateOptions
from nondiff.experiments.commands.doctor import DoctorOptions
from nondiff.experiments.commands.evaluate import EvaluateOptions
from nondiff.experiments.commands.exchange import ExportOptions, ImportOptions
from nondiff.experiments.commands.resume import ResumeOptions
from nondiff.experiments.commands.runs import RunsOptions
from nondiff.experiments.commands.train import TrainOptions
from nondiff.experiments.commands.try_call import TryOptions

T = TypeVar("T")

# An argument of a program holds no NUL, and bytes that are no UTF-8 come as these surrogates.
CHARACTERS = st.characters(exclude_characters="\0/", exclude_categories=["Cs"])
NO_UTF8 = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
ODD_TEXT = st.sampled_from(
    [
        *(
            "",
            " ",
            "-",
            "--",
            "---",
            "-1",
            "=",
            "None",
            "nan",
            "True",
            "[/b]",
            "[red]",
            "{0}",
            "%s",
        ),
        *("\x1b[31m", "a\nb", "\r", "\udcff", "ü", "日本", "\u202e", "'", '"', "\\", "$HOME", "~"),
        *("x" * 300, "x" * 5_000, "[" * 5_000, "9" * 5_000),
    ]
) | st.text(CHARACTERS | NO_UTF8, max_size=12)

# Beyond every range; where there is none, it must do no harm.
HUGE = str(10**30)
COUNTS = st.sampled_from(["1", "2", "3", "7", "0", "-1", "1_0", "+3", "\u0661", HUGE, f"-{HUGE}"])
NUMBERS = st.sampled_from(
    [
        *(
            "0.5",
            "1",
            "1e-3",
            "0",
            "-0.0",
            "-1",
            "1.5",
            "1e-320",
            "1e300",
            "1e400",
            "-1e400",
            "nan",
        ),
        *("Infinity", "1_0", "\u0661", HUGE, "-1e300"),
    ]
) | st.floats(0, 1).map(str)


@st.composite
def mostly(draw: st.DrawFn, usual: SearchStrategy[T], odd: SearchStrategy[T]) -> T:
    """The odd once in eight times."""
    return draw(odd if draw(st.integers(0, 7)) == 7 else usual)


# No path leads out of the sandbox to where root could write.
PATHS = st.sampled_from(
    [
        *("", ".", "..", "../..", "runs", "runs/mine", "runs/normalized", "runs/broken", "empty"),
        *("file", "file/below", "link", "/dev/null", "/dev/null/below", "/proc/below", "new"),
        *("new/below", "runs/../new", "mine.zip", "cut.zip", "normalized.zip", "statistics.pkl"),
        *("\udcff", "a\nb", "[/b]", "x" * 300, "x" * 5_000),
    ]
)


def files(*suffixes: str) -> SearchStrategy[str]:
    """Places of a file of some kinds, where it can be written and where it can't."""
    stems = ["new", "folder", "link", "/proc/new", "nowhere/new", "runs/mine/new", "../../new"]
    odd = ["", "\udcff", "a\nb", "[/b]", "$x^$", "x" * 252, "x" * 300, "x" * 5_000, "file/new"]
    return st.builds("{}{}".format, st.sampled_from(stems + odd), st.sampled_from(suffixes))


# The environment of somebody else that need not have a limit of time plays for ever.
ENDLESS = ("CliffWalking", "tabular/")
REGISTERED = sorted(name for name in gymnasium.registry if not name.startswith(ENDLESS))
ENVIRONMENTS = [
    *("faulty_envs:Breaks-v0", "small_envs:GoTo-v0", "small_envs:Faulty-v0", "CartPole-v1"),
    *("small_envs:", ":GoTo-v0", ":", "nope:X-v0", "small_envs:Nope-v0", "small_envs", "CartPole"),
    *(".:X-v0", ".small_envs:X-v0", "..:X", "a..b:X", "small_envs.deeper:X-v0", "CartPole-v99"),
    *("nondiff/PandaReech-v0", "nondiff/", "gymnasium:CartPole-v1", "unimportable:X-v0"),
]
# Those of `Breaks`; a horizon of 0 and a hanging or exiting fault would end the tests themselves.
ARGUMENTS = [
    *("at=1", "at=6", "where=reset", "where=make", "where=close", "fault=stranger", "fault=lock"),
    *("fault=nope", "fault=1", "size=4", "size=-1", "size=[1]", "pause=NaN", "pause=-1", "at=null"),
    *("horizon=1", "seed=5", "render_mode=human", "render_mode=rgb_array", "at", "=", "at=", "=1"),
    *('at={"a": 1}', "at=NaN", "at=Infinity", "x=1", "flag=/proc/flag", "id=1", "at=1=2"),
    *("at=" + "[" * 5_000, "at=" + "9" * 5_000, "self=1", "max_episode_steps=1", "autoreset=1"),
]
KNOWN: dict[str, SearchStrategy[str]] = {
    "env": st.sampled_from(ENVIRONMENTS) | st.sampled_from(REGISTERED),
    "env_arg": st.sampled_from(ARGUMENTS),
    "strategy": st.sampled_from([*STRATEGIES, "PPO", "dpn"]),
    "budget": st.sampled_from(["1", "2", "7", "16", "40", "48"]),
    "name": st.sampled_from(["mine", "new", "../new", "..", ".", ".new", "a/b", "x" * 101, "A.b-"]),
    "plot": files(".png", ".pdf", ".svg", ".PNG"),
    "video": files(".gif", ".gif", ".gif", ".mp4", ".avi"),
    "to": files(".zip", ""),
    "statistics": files(".pkl") | st.just("statistics.pkl"),
    "resume": mostly(st.just("runs/mine"), PATHS),
    "net_arch": st.sampled_from(["1", "0", "-1", "3 4", ""]),
    "ent_coef": NUMBERS | NUMBERS.map("auto_{}".format) | st.just("auto"),
    # Processes take seconds to start: see test_workers.py.
    "vec_env": st.sampled_from(["serial", "threads"]),
    # A million episodes, or a thousand threads or environments, are what was asked for.
    **dict.fromkeys(
        ("eval_episodes", "confirm_episodes", "held_out_episodes", "episodes", "random_episodes"),
        st.sampled_from(["1", "2", "0", "-1", "1000001", HUGE, "nan", "1.0"]),
    ),
    # Of a comparison, whose trainings are processes: each takes seconds.
    "envs": st.sampled_from(ENVIRONMENTS),
    "strategies": st.sampled_from(["a2c", "PPO", "dpn"]),
    "budgets": st.sampled_from(["8", "2", "0", "-1", HUGE, "nan"]),
    "seeds": st.sampled_from(["1", "0", "-1", "1001", HUGE]),
    "jobs": st.sampled_from(["1", "2", "0", "-1", "1001", HUGE]),
    "train_arg": st.sampled_from(
        ["--threads=1", "a2c:--seed=1", "--gamma=0.5", "a2c:", "--", "--nope=1", "=1", "dpn:--x=1"]
    ),
    "video_episodes": st.sampled_from(["1", "2", "0", "-1", "1000001", HUGE]),
    "random": st.sampled_from(["1", "2", "0", "-1", "1000001", HUGE, "nan", "1.0"]),
    "points": st.sampled_from(["1", "2", "0", "-1", "1000001", HUGE, "nan", "1.0"]),
    "threads": st.sampled_from(["1", "2", "0", "-1", "1025", HUGE]),
    "num_envs": st.sampled_from(["1", "2", "3", "0", "-1", "1025", HUGE]),
}
# They have no upper limit, and a huge one takes for ever, or all memory, as it must.
PATIENT = (
    *("n_epochs", "n_critic_updates", "cg_max_steps", "line_search_max_iter", "gradient_steps"),
    "n_critics",
)


def values(name: str, hint: Any) -> SearchStrategy[str]:
    """What may be typed for an option, mostly of its type."""
    good = KNOWN[name] if name in KNOWN else _of_type(hint)
    if name in PATIENT:
        good = good.filter(lambda text: text != HUGE)
    return mostly(good, ODD_TEXT)


def _of_type(hint: Any) -> SearchStrategy[str]:
    origin = get_origin(hint)
    if origin in (Annotated, tuple):
        return _of_type(get_args(hint)[0])
    if set(get_args(hint)) == {Path, str}:
        return PATHS
    if origin in (Union, UnionType):
        return st.one_of([_of_type(part) for part in get_args(hint)])
    if origin is Literal:
        return st.sampled_from([str(choice) for choice in get_args(hint)])
    if hint in (int, float):
        return {int: COUNTS, float: NUMBERS}[hint]
    if hint is Path:
        return PATHS
    known: dict[Any, list[str]] = {NoneType: ["None"], bool: ["True", "False"]}
    return st.sampled_from(known[hint]) if hint in known else ODD_TEXT


def options(*kinds: type) -> SearchStrategy[tuple[str, ...]]:
    """An option of some dataclasses as it may be typed: mostly whole, or cut off, or misspelt."""
    whole: list[SearchStrategy[tuple[str, ...]]] = []
    broken: list[SearchStrategy[tuple[str, ...]]] = [st.tuples(ODD_TEXT), st.just(("--help",))]
    for kind in kinds:
        hints = get_type_hints(kind, include_extras=True)
        for field in fields(kind):
            hint, flag = hints[field.name], f"--{field.name.replace('_', '-')}"
            value = values(field.name, hint)
            if tyro.conf.Positional in get_args(hint) or field.name == "resume":
                broken.append(st.tuples(value))
            elif hint is bool:
                whole.append(st.sampled_from([(flag,), (f"--no-{flag[2:]}",)]))
                broken.append(st.tuples(st.just(flag), value))
            else:
                whole.append(st.tuples(st.just(flag), value))
                whole.append(st.tuples(value.map(f"{flag}={{}}".format)))
                broken.append(
                    st.sampled_from([(flag,), (f"--{field.name}", "1"), (flag[:-1], "1")])
                )
    return mostly(st.one_of(whole), st.one_of(broken))


Line = tuple[str, ...]


def lines(
    begin: Sequence[str], argument: str, end: Sequence[str], *kinds: type
) -> SearchStrategy[Line]:
    """A command, its argument, and up to three options beside those that keep it small."""
    place = mostly(st.just(argument), PATHS | ODD_TEXT)
    more = st.lists(options(*kinds), max_size=3)
    return st.builds(lambda place, more: (*begin, place, *end, *chain(*more)), place, more)


FEW = (
    "--budget",
    "8",
    *("--eval-episodes", "1", "--confirm-episodes", "1"),
    "--judge-episodes",
    "1",
)
ONCE = ("--episodes", "1", "--random-episodes", "0", "--video-episodes", "1")
BREAKS, GO_TO = "faulty_envs:Breaks-v0", "small_envs:GoTo-v0"
WAVES, FEW_POINTS = "nondiff/SurfaceWaves6-v0", ("--env-arg", "pool=held-out", "--points", "2")
REACH, FEW_PLAYED = "nondiff/PandaReach-v0", ("--out", "new", "--episodes", "2")
IMPORT = ("--env", BREAKS, "--strategy", "ppo")
TO, BOTH = ("--to", "new.zip"), ("--to", "new.zip", "--statistics", "new.pkl")


def trained_by(name: str) -> SearchStrategy[Line]:
    """Trainings by one strategy that reach its updates."""
    kind = find_strategy(name)
    small = ("--strategy", name, "--net-arch", "8")
    begins = ("--learning-starts", "3") if issubclass(kind, OffPolicy) else ()
    env_id = QUADRANT if needs_choices(name) else GO_TO
    return lines(("train", "--env"), env_id, (*FEW, *small, *begins), kind)


COMPARE = (
    *("--strategies", "a2c", "--budgets", "8", "--seeds", "1", "--episodes", "1"),
    *("--folder", "compared", "--train-arg=--eval-episodes=1", "--train-arg=--n-steps=4"),
)
FUZZED = {
    "compare": lines(("compare", "--envs"), GO_TO, COMPARE, CompareOptions),
    "train": lines(("train", "--env"), BREAKS, FEW, TrainOptions),
    **{f"train {name}": trained_by(name) for name in STRATEGIES},
    "train --resume": lines(("train", "--resume"), "runs/mine", ("--budget", "40"), ResumeOptions),
    "train --resume with options": lines(("train", "--resume"), "runs/mine", (), TrainOptions),
    "evaluate": lines(("evaluate",), "runs/mine", ONCE, EvaluateOptions),
    "check-gradients": lines(
        ("check-gradients", "--env"), WAVES, FEW_POINTS, CheckGradientsOptions
    ),
    "demonstrate": lines(("demonstrate", "--env"), REACH, FEW_PLAYED, DemonstrateOptions),
    "doctor": lines(("doctor", "--env"), "CartPole-v1", (), DoctorOptions),
    "runs": lines(("runs",), "runs", (), RunsOptions),
    "export": lines(("export",), "runs/mine", TO, ExportOptions),
    "export, normalised": lines(("export",), "runs/normalized", BOTH, ExportOptions),
    "import": lines(("import",), "mine.zip", IMPORT, ImportOptions),
    "try": lines(("try",), BREAKS, (), TryOptions),
    "answer": lines(("answer",), "runs/mine", ("--request", "x=1"), AnswerOptions),
}


FEW_EXAMPLES = {
    "compare": 6,
    "train": 15,
    "train --resume": 15,
    "train --resume with options": 50,
    "doctor": 6,
    "check-gradients": 3,
    "runs": 12,
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Runs, files and folders of a user, two folders deep, where `home` is."""
    model = tmp_path_factory.mktemp("model")
    home = model / "far" / "home"
    for place in ("runs/broken", "empty", "folder.png", "folder.gif", "folder.mp4"):
        (home / place).mkdir(parents=True)
    tiny(home / "runs" / "mine", BREAKS)
    tiny(home / "runs" / "normalized", GO_TO, "--normalize-observation", "--strategy", "a2c")
    (home / "runs" / "broken" / "config.json").write_text("{")
    (home / "file").write_text("precious")
    (home / "unimportable.py").write_text("import nowhere_to_be_found, 1")
    for link in ("link", "link.png", "link.gif"):
        (home / link).symlink_to("nowhere.at.all")
    for name, more in (("mine", ()), ("normalized", ("--statistics", "statistics.pkl"))):
        assert nondiff(home, "export", f"runs/{name}", "--to", f"{name}.zip", *more).code == 0
    assert nondiff(home, "compare", "--envs", GO_TO, *COMPARE).code == 0
    whole = (home / "mine.zip").read_bytes()
    (home / "cut.zip").write_bytes(whole[: len(whole) // 2])
    return Sandbox(model, tmp_path_factory.mktemp("sandbox") / "copy")


def check_line(line: Line, sandbox: Sandbox) -> None:
    """A line's answer is a proper one, and what it leaves on disk is what it was asked for."""
    with sandbox.example() as folder:
        answer = nondiff(folder / "far" / "home", *line)
        check_answer(answer)
        if answer.code == 1 and line[0] not in ("compare", "doctor"):
            assert any(text.startswith(("--min-success", "--max-disagreeing")) for text in line)
        changed = sandbox.changed()
        if changed:
            resumes = any("--resume" in text for text in line)
            check = check_continued if resumes else CHECKS[line[0]]
            check(sandbox, changed, answer.code, line)


def check_new_run(sandbox: Sandbox, changed: list[str], code: object, line: Line) -> None:
    """Nothing but a new run: a whole one, or one that broke down when it was under way."""
    assert not sandbox.before.keys() & set(changed), changed
    (state,) = (sandbox.folder / place for place in changed if place.endswith("run.json"))
    run = state.parent
    for place in changed:
        path = sandbox.folder / place
        assert path in (run, *run.parents) or run in path.parents, changed
    expected = {"train": ["finished"], "import": ["imported"]}[line[0]] if code == 0 else ["failed"]
    assert json.loads(state.read_text())["state"] in expected


def check_continued(sandbox: Sandbox, changed: list[str], code: object, line: Line) -> None:
    """One whole run that was longer trained."""
    assert code == 0, changed
    (run,) = {"/".join(Path(place).parts[:4]) for place in changed}
    assert run in ("far/home/runs/mine", "far/home/runs/normalized")
    assert json.loads((sandbox.folder / run / "run.json").read_text())["state"] == "finished"


def check_new_files(sandbox: Sandbox, changed: list[str], code: object, line: Line) -> None:
    """New files, or what a link has led to, that the line has named."""
    assert code in (0, 1), changed
    for place in changed:
        path = sandbox.folder / place
        assert sandbox.before.get(place, "link").startswith("link"), changed
        assert path.is_file()
        assert path.stat().st_size > 0
        assert any(path.name in text for text in line) or path.name == "nowhere.at.all"


def check_comparison(sandbox: Sandbox, changed: list[str], code: object, line: Line) -> None:
    """A comparison that went on, or a new one; its trainings are whole or have not begun."""
    runs = {place for place in changed if place.endswith("run.json") and "/runs/" in place}
    for place in runs:
        assert json.loads((sandbox.folder / place).read_text())["state"] in ("finished", "failed")
    kept = {place for place in sandbox.before if place.startswith("far/home/compared/runs/")}
    assert not kept & set(changed), changed


def check_dataset(sandbox: Sandbox, changed: list[str], code: object, line: Line) -> None:
    """Nothing but a new dataset, which is whole."""
    assert code == 0, changed
    assert not sandbox.before.keys() & set(changed), changed
    (place,) = (place for place in changed if place.endswith("data/metadata.json"))
    data = (sandbox.folder / place).parent
    assert json.loads((data / "metadata.json").read_text())["total_episodes"] > 0
    for path in map(sandbox.folder.joinpath, changed):
        assert path in (data, *data.parents) or data in path.parents, changed


CHECKS: dict[str, Callable[[Sandbox, list[str], object, Line], None]] = {
    "demonstrate": check_dataset,
    "train": check_new_run,
    "import": check_new_run,
    "evaluate": check_new_files,
    "compare": check_comparison,
    "runs": check_new_files,
    "export": check_new_files,
}


SHARE = 3  # of the examples that the thorough test tries
# Their options are those of the others; a comparison starts processes.
ALIKE = (
    "compare",
    "train",
    *(f"train {name}" for name in ("a2c", "trpo", "sac", "td3", "tqc", "ddpg", "crossq", "qrdqn")),
    "train autodiff",
)


def check_lines(command: str, sandbox: Sandbox, share: int) -> None:
    """Check a share of the examples of a command."""
    examples = FEW_EXAMPLES.get(command, 6 if command.startswith("train ") else 50)
    fuzz(
        lambda line: check_line(line, sandbox),
        FUZZED[command],
        settings(SHORT, max_examples=max(1, examples // share)),
    )


@pytest.mark.parametrize("command", some_thorough(FUZZED, ALIKE))
def test_any_line_gets_a_proper_answer(command: str, sandbox: Sandbox) -> None:
    check_lines(command, sandbox, SHARE)


@pytest.mark.thorough
@pytest.mark.parametrize("command", FUZZED)
def test_more_lines_get_a_proper_answer(command: str, sandbox: Sandbox) -> None:
    check_lines(command, sandbox, 1)


@pytest.mark.slow
@pytest.mark.parametrize("command", FUZZED)
def test_any_line_gets_a_proper_answer_at_length(command: str, sandbox: Sandbox) -> None:
    fuzz(lambda line: check_line(line, sandbox), FUZZED[command], LONG)


def test_every_command_is_fuzzed() -> None:
    assert {command.replace(",", " ").split()[0] for command in FUZZED} == set(COMMANDS)


def test_unknown_commands_are_refused(sandbox: Sandbox) -> None:
    def check(line: list[str]) -> None:
        answer = nondiff(sandbox.folder / "far" / "home", *line)
        check_answer(answer)
        assert answer.code == (0 if line[:1] in (["-h"], ["--help"]) else 2)
        assert not sandbox.changed()

    words = st.sampled_from(["--help", "-h", "Train", "trian", "run", "train ", "--env"]) | ODD_TEXT
    fuzz(
        check,
        st.lists(words.filter(lambda word: word not in COMMANDS), min_size=1, max_size=2),
        SHORT,
    )
