"""OpAmp: ngspice against formulas and itself, its faults contained, requests, determinism."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import gymnasium
import numpy as np
import psutil
import pytest
import torch
from processes import started_in
from simulators import needs

from nondiff.agents.capabilities import supported
from nondiff.black_box import HasPool, capabilities
from nondiff.env_recipe import EnvRecipe
from nondiff.envs.op_amp.netlist import BIAS_CURRENT, CENTRE, SIZES, SUPPLY, circuit
from nondiff.envs.op_amp.op_amp import (
    BONUS,
    CENTRE_SPECS,
    FAILURE,
    HORIZON,
    MEASURED,
    POSITION,
    RESERVE,
    STEP,
    Array,
    OpAmp,
)
from nondiff.envs.op_amp.requests import RELAXED, UNITS, natural, read_requests
from nondiff.envs.op_amp.simulator import (
    END,
    MEASURES,
    NETLIST,
    Simulator,
    check_sizes,
    read_specs,
    request,
)
from nondiff.envs.op_amp.sizing import physical
from nondiff.errors import EnvironmentFailedError, InvalidOptionError, MissingDependencyError
from nondiff.processes.sandbox import CallFailed, Limits, find_program, run_once

pytestmark = needs("ngspice")

ID = "nondiff/OpAmp-v0"
SHORT = Limits(timeout=1.5)
GARBAGE = "what is this\nm1 a b c\n.model nch nonsense\nr1 a\n.end\n"
# Two sources that contradict each other, so that no voltage at the output is right.
CONTRADICTION = circuit(CENTRE).replace(".nodeset", "vone out 0 1\nvtwo out 0 2\n.nodeset")
OPEN = circuit(CENTRE).replace("cc d2 out", "rshort out 0 1\ncc d2 out")  # gains nothing


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with closing(Simulator()) as found:
        yield found


@pytest.fixture(scope="module")
def box() -> Iterator[OpAmp]:
    with closing(OpAmp("held-out")) as found:
        yield found


def designs(count: int, seed: int = 0) -> Array:
    """Sizes (count, 7) all over their bounds."""
    return physical(np.random.default_rng(seed).uniform(-1, 1, (count, len(SIZES))))


def measured(simulator: Simulator, sizes: Array) -> list[bytes | str]:
    """The bits of what is measured, or the kind of the failure."""
    found: list[bytes | str] = []
    for row in sizes:
        try:
            found.append(simulator(row).tobytes())
        except CallFailed as failure:
            found.append(failure.kind)
    return found


def failure_of(netlist: str | None, limits: Limits | None = None) -> CallFailed:
    with closing(Simulator(limits, netlist)) as broken, pytest.raises(CallFailed) as failure:
        broken(CENTRE)
    return failure.value


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder by which this test's programs are told from those of others."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def running(simulator: Simulator, home: Path) -> psutil.Process:
    """The one process that it runs, started for it."""
    simulator.close()
    simulator(CENTRE)
    (found,) = started_in(home, NETLIST)
    return found


# The physics, two ways

SMALL_SIGNAL = [f"@{m}[{what}]" for m in ("m1", "m2", "m4", "m6", "m7") for what in ("gm", "gds")]
CURRENTS = ["@m5[id]", "@m7[id]"]


def operating_point(simulator: Simulator, sizes: Array) -> dict[str, float]:
    asked = request(sizes).replace(
        "print supply", f"print supply {' '.join(SMALL_SIGNAL + CURRENTS)}"
    )
    answer = simulator.process.ask(asked, END)
    return {name: float(value) for name, value in re.findall(r"^(\S+) = (\S+)$", answer, re.M)}


def test_formulas_of_the_operating_point_agree(simulator: Simulator) -> None:
    # Allen and Holberg 2002, "CMOS Analog Circuit Design", equations 6.2-17 and 6.2-19.
    position = read_requests("held-out")[1][:40]
    for sizes in physical(position):
        gain, frequency, _, power = simulator(sizes)
        at = operating_point(simulator, sizes)
        first = at["@m1[gm]"] / (at["@m2[gds]"] + at["@m4[gds]"])
        second = at["@m6[gm]"] / (at["@m6[gds]"] + at["@m7[gds]"])
        assert gain == pytest.approx(20 * math.log10(first * second), abs=0.5)
        current = BIAS_CURRENT + at["@m5[id]"] + at["@m7[id]"]
        assert power == pytest.approx(SUPPLY * current, rel=1e-3)
        hand = at["@m1[gm]"] / (2 * math.pi * sizes[-1])  # without parasitic capacitances
        assert 0.5 * hand < frequency < 1.05 * hand


def test_one_shot_ngspice_gives_the_same_and_exits_with_1(simulator: Simulator) -> None:
    for sizes in designs(5, seed=1):
        control = f".control\nset numdgt=15\n{MEASURES}.endc\n.end\n"
        text = circuit(sizes).replace(".end\n", control)
        command = [find_program("ngspice"), "-n", "-b", "one.cir"]
        output = run_once(command, files={"one.cir": text}, accept=(0, 1))
        assert (read_specs(output.stdout) == simulator(sizes)).all()


def test_the_exit_code_says_nothing() -> None:
    # A netlist without an analysis of its own: all is well, and the code is 1; and the reverse.
    control = ".control\nop\n.endc\n.end\n"
    batch = [find_program("ngspice"), "-n", "-b", "one.cir"]
    fine = circuit(CENTRE).replace(".end\n", control)
    assert run_once(batch, files={"one.cir": fine}, accept=(0, 1)).code == 1
    wrong = CONTRADICTION.replace(".end\n", control.replace("op\n", "op\nquit\n"))
    output = run_once(batch, files={"one.cir": wrong}, accept=(0, 1))
    assert output.code == 0
    assert "singular" in output.stderr


def test_the_centre_measures_what_the_start_says(simulator: Simulator) -> None:
    np.testing.assert_allclose(natural(simulator(CENTRE)), CENTRE_SPECS, rtol=1e-6)


# The same bits, whatever was before


def test_results_do_not_depend_on_what_was_simulated_before(simulator: Simulator) -> None:
    sizes = designs(40)
    expected = measured(simulator, sizes)
    assert len(set(expected)) > 30
    assert measured(simulator, sizes[::-1])[::-1] == expected
    for k in (0, 7, 21):
        with closing(Simulator()) as fresh:
            assert measured(fresh, sizes[k : k + 1]) == expected[k : k + 1]


def test_a_process_is_replaced_after_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nondiff.envs.op_amp.simulator.MAX_CALLS", 3)
    with closing(Simulator()) as simulator:
        found = measured(simulator, np.array([CENTRE] * 7))
        assert simulator.process.starts == 3
    assert len(set(found)) == 1


# Faults


def test_a_killed_ngspice_is_started_again_and_gives_the_same_bits(
    simulator: Simulator, home: Path
) -> None:
    expected = simulator(CENTRE)
    running(simulator, home).kill()
    with contextlib.suppress(CallFailed):  # it may be noticed before the call or in it
        simulator(CENTRE)
    again = simulator(CENTRE)
    assert (again == expected).all()


@pytest.mark.thorough
def test_a_hung_ngspice_is_ended_in_time_and_started_again(home: Path) -> None:
    with closing(Simulator(SHORT)) as simulator:
        expected = simulator(CENTRE)
        process = running(simulator, home)
        os.kill(process.pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(CallFailed) as failure:
            simulator(CENTRE)
        assert failure.value.kind == "timeout"
        assert time.monotonic() - started < 15
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        assert (simulator(CENTRE) == expected).all()


def test_one_that_is_killed_in_a_call_is_a_crash(home: Path) -> None:
    with closing(Simulator()) as simulator:
        expected = simulator(CENTRE)
        process = running(simulator, home)
        os.kill(process.pid, signal.SIGSTOP)
        killer = threading.Timer(0.3, process.kill)
        killer.start()
        with pytest.raises(CallFailed) as failure:
            simulator(CENTRE)
        killer.join()
        assert failure.value.kind == "crash"
        assert (simulator(CENTRE) == expected).all()


def test_a_circuit_without_a_solution_does_not_converge() -> None:
    assert failure_of(CONTRADICTION).kind == "nonconvergence"


@pytest.mark.thorough
def test_an_iteration_without_an_end_is_ended() -> None:
    options = ".options itl1=1 itl2=1 gminsteps=1 srcsteps=1 itl6=1\n"
    netlist = re.sub(r"\.nodeset.*\n", options, circuit(CENTRE))
    assert failure_of(netlist, SHORT).kind in {"timeout", "nonconvergence"}


def test_an_amplifier_that_does_not_amplify_has_no_bandwidth() -> None:
    failure = failure_of(OPEN)
    assert failure.kind == "invalid output"
    assert "unity" in failure.message


@pytest.mark.thorough
@pytest.mark.parametrize(
    "netlist",
    [GARBAGE, "", "\0\1\2" * 50, GARBAGE * 2_000, circuit(CENTRE).replace(".param", "*")],
    ids=["garbage", "nothing", "bytes", "huge", "a question that waits for an answer"],
)
def test_a_netlist_that_is_none_is_a_failure_in_time(netlist: str) -> None:
    started = time.monotonic()
    assert failure_of(netlist, SHORT).kind in {
        "nonconvergence",
        "timeout",
        "crash",
        "invalid output",
    }
    assert time.monotonic() - started < 20


def test_failures_do_not_spoil_what_comes_after(simulator: Simulator) -> None:
    expected = simulator(CENTRE)
    simulator.process.ask(f"nonsense\nalter nothing=3\nmeas ac x find y at=z\necho {END}\n", END)
    assert (simulator(CENTRE) == expected).all()


def test_failures_in_a_row_end_a_training() -> None:
    from nondiff.processes.sandbox import ThreadPool

    pool: ThreadPool[Array, Array] = ThreadPool(
        lambda: Simulator(None, CONTRADICTION), 2, max_failures=10
    )
    with pytest.raises(EnvironmentFailedError, match="10 calls of the program failed in a row"):
        pool.map(list(designs(12)))
    pool.close()


def test_nothing_is_left_when_a_box_is_closed(home: Path) -> None:
    box = OpAmp(workers=2)
    box.transition(box.pool().state[:4], np.zeros((4, len(SIZES))))
    assert 1 <= len(started_in(home, NETLIST)) <= 2
    box.close()
    assert not started_in(home, NETLIST)
    box.transition(box.pool().state[:1], np.zeros((1, len(SIZES))))  # it may be used again
    box.close()


def test_without_ngspice_the_environment_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="apt-get install ngspice"):
        EnvRecipe(ID).make()


# What ngspice is not asked, and what it answers


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1e-5, 1.0])
def test_sizes_out_of_their_bounds_are_not_simulated(value: float) -> None:
    for k in range(len(SIZES)):
        sizes = list(CENTRE)
        sizes[k] = value
        with pytest.raises(CallFailed) as failure:
            check_sizes(sizes)
        assert failure.value.kind == "invalid input"


def test_a_state_that_is_not_finite_is_a_failed_row_and_spoils_no_other(box: OpAmp) -> None:
    state, action = box.pool().state[:3], np.zeros((3, len(SIZES)))
    state[1, 2] = math.nan
    outcome = box.transition(state, action)
    assert np.isfinite(outcome).all(axis=1).tolist() == [True, False, True]
    assert box.failures["invalid input"] == 1
    assert (outcome[0] == outcome[2]).all()


ANSWER = "supply = 4.5e-05\ndc = 8.2e+01\nunity = 1.8e+07\nturn = -1.6e+02\n"


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("supply", "sypply", "nonconvergence"),
        ("unity", "other", "invalid output"),
        ("8.2e+01", "nan", "invalid output"),
        ("8.2e+01", "-8.2e+01", "invalid output"),
        ("1.8e+07", "inf", "invalid output"),
        ("1.8e+07", "1.8e+17", "invalid output"),
        ("-1.6e+02", "1.6e+02", "invalid output"),
        ("4.5e-05", "-4.5e-05", "invalid output"),
        ("4.5e-05", "ouch", "invalid output"),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(old: str, new: str, kind: str) -> None:
    assert read_specs(ANSWER).tolist() == pytest.approx([82, 1.8e7, 20, SUPPLY * 4.5e-5])
    with pytest.raises(CallFailed) as failure:
        read_specs(ANSWER.replace(old, new))
    assert failure.value.kind == kind


# Requests


def test_pools_are_fixed_and_disjoint(box: OpAmp) -> None:
    training, held_out = (read_requests(pool)[0] for pool in ("training", "held-out"))
    assert {row.tobytes() for row in training}.isdisjoint(row.tobytes() for row in held_out)
    assert (box.pool().context == held_out).all()
    start = box.initial(50, np.random.default_rng(0))
    assert {row.tobytes() for row in start.context} <= {row.tobytes() for row in held_out}
    box.pool().context[:] = 0
    assert (box.pool().context == held_out).all()


def test_requests_can_be_met(box: OpAmp) -> None:
    requests, position = read_requests("held-out")
    specs = box.measure(position[:60])
    for specification, wanted in zip(specs, requests, strict=False):
        assert not isinstance(specification, CallFailed)
        beyond = (natural(specification) - wanted) / np.abs(RELAXED) * np.sign(UNITS)
        assert (beyond > 0.9).all()


def test_no_episode_starts_solved(box: OpAmp) -> None:
    for pool in ("training", "held-out"):
        requests = read_requests(pool)[0]
        assert not ((np.array(CENTRE_SPECS) - requests) * UNITS >= 0).all(axis=1).any()


# Rewards and episodes


def tensors(*arrays: Array) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize(
    ("beyond", "success", "reward"),
    [
        ([1, 1, 1, 1], True, BONUS),
        ([0.001, 1, 1, 1], True, BONUS - (RESERVE - 0.001)),
        ([-0.5, 1, 1, 1], False, -0.5 - RESERVE),
        ([-0.5, -0.25, 2, -1], False, -1.75 - 3 * RESERVE),
    ],
)
def test_the_reward_is_what_is_missing(
    box: OpAmp, beyond: list[float], success: bool, reward: float
) -> None:
    start = box.pool()
    outcome = np.concatenate([np.zeros(len(SIZES)), start.context[0] + UNITS * beyond])[None]
    parts = tensors(start.state[:1], np.zeros((1, 7)), outcome, start.context[:1])
    assert bool(box.success(*parts)[0]) is success
    assert float(box.reward(*parts)[0]) == pytest.approx(reward)


def test_a_policy_that_knows_the_answer_is_done_in_a_few_steps() -> None:
    with gymnasium.make(ID, pool="held-out") as env:
        requests, position = read_requests("held-out")
        for seed in range(20):
            env.reset(seed=seed)
            context = env.unwrapped._episodes.context[0]
            row = np.flatnonzero((requests == context).all(axis=1))[0]
            for _ in range(math.ceil(1 / STEP)):
                now = env.unwrapped._episodes.state[0, POSITION]
                action = ((position[row] - now) / STEP).clip(-1, 1)
                *_, terminated, _, info = env.step(action)
                if terminated:
                    break
            assert info["is_success"]


def test_a_row_is_the_same_in_any_batch_and_any_instance(box: OpAmp) -> None:
    rng = np.random.default_rng(3)
    state, action = box.initial(8, rng).state, rng.uniform(-1, 1, (8, len(SIZES)))
    together = box.transition(state, action)
    assert np.isfinite(together[:, MEASURED]).all()
    with closing(OpAmp(workers=1)) as alone:
        split = [
            alone.transition(state[rows], action[rows]) for rows in ([0], [1, 2, 3, 4, 5, 6, 7])
        ]
    assert (np.concatenate(split) == together).all()
    assert box.transition(state[:0], action[:0]).shape == (0, 11)


def test_it_offers_a_pool_and_no_gradient(box: OpAmp) -> None:
    assert isinstance(box, HasPool)
    assert capabilities(box) == set()
    with gymnasium.make(ID) as env:
        fit = set(supported(env))
    assert {"ppo", "sac", "surrogate", "finite-difference", "cma-es"} <= fit
    assert not {"manual", "autodiff"} & fit


def test_failure_is_worse_than_a_usual_episode() -> None:
    assert HORIZON * -0.5 >= FAILURE


@pytest.mark.parametrize("arguments", [{"pool": "other"}, {"workers": 0}, {"workers": 1.5}])
def test_arguments_are_checked(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(arguments))):
        OpAmp(**arguments)  # type: ignore[arg-type]
