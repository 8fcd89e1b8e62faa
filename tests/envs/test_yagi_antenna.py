"""YagiAntenna: nec2c against theory and PyNEC, its faults contained, requests, determinism."""

from __future__ import annotations

import time
from pathlib import Path

import gymnasium
import numpy as np
import psutil
import pytest
import torch
from simulators import needs

from nondiff.agents.capabilities import supported
from nondiff.black_box import HasPool, capabilities
from nondiff.env_recipe import EnvRecipe
from nondiff.envs.yagi_antenna.nec2 import LIGHT, Answer, Rods, cards, parse, solve
from nondiff.envs.yagi_antenna.requests import MODESTY, best_gain, sample_requests
from nondiff.envs.yagi_antenna.trade_off import BEST_GAINS
from nondiff.envs.yagi_antenna.yagi_antenna import (
    FAILURE,
    HIGH,
    LOW,
    POOLS,
    RADIUS,
    REFERENCE,
    SAMPLES,
    Array,
    YagiAntenna,
    band,
    impedances,
    reflections,
)
from nondiff.errors import InvalidOptionError, MissingDependencyError, UnknownNameError
from nondiff.processes.sandbox import CallFailed, Limits, find_program

pytestmark = needs("nec2c")

ID = "nondiff/YagiAntenna-v0"
MEGAHERTZ = np.array([300.0])
WAVELENGTH = LIGHT / 300
SHORT = Limits(timeout=1.0)
FIVE = Rods(
    np.array([0.482, 0.46, 0.44, 0.435, 0.43]),
    np.array([0.0, 0.2, 0.3, 0.5, 0.75]),
    driven=1,
    radius=RADIUS,
    segments=11,
)
ACROSS = np.array([294.0, 300.0, 306.0])


@pytest.fixture(scope="module")
def program() -> str:
    return find_program("nec2c")


@pytest.fixture(scope="module")
def box() -> YagiAntenna:
    return YagiAntenna("held-out")


def deck_of(*wires: str) -> str:
    """A deck at 300 MHz that nothing has checked."""
    geometry = "\n".join(f"GW {tag} 11 {wire}" for tag, wire in enumerate(wires, start=1))
    return (
        f"CE\n{geometry}\nGE 0\nPT -1\nFR 0 1 0 0 300 0\nEX 0 1 6 0 1 0\n"
        "RP 0 1 1 1000 90 0 0 0\nEN\n"
    )


def half_wave_dipole() -> Rods:
    return Rods(np.array([WAVELENGTH / 2]), np.zeros(1), 0, 1e-9 * WAVELENGTH, 101)


def tensors(*arrays: Array) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


# The physics, two ways


def test_a_half_wave_dipole_is_that_of_the_books(program: str) -> None:
    # Balanis 2016, "Antenna Theory", section 4.6: 73 + j42.5 ohm and a directivity of 1.643 for a
    # sinusoidal current; the method of moments is somewhat above it.
    answer = solve(cards(half_wave_dipole(), MEGAHERTZ), MEGAHERTZ, program)
    assert answer.impedance[0] == pytest.approx(75.3 + 43.3j, abs=0.1)
    assert answer.impedance[0] == pytest.approx(73 + 42.5j, abs=2.5)
    assert answer.gain[0] == pytest.approx(10 * np.log10(1.643), abs=0.02)


@pytest.mark.parametrize("rods", [half_wave_dipole(), FIVE], ids=["dipole", "five rods"])
def test_pynec_agrees(program: str, rods: Rods) -> None:
    frequencies = MEGAHERTZ if len(rods.lengths) == 1 else ACROSS
    answer = solve(cards(rods, frequencies), frequencies, program)
    for k, frequency in enumerate(frequencies):
        impedance, gain = pynec(rods, frequency)
        assert abs(answer.impedance[k] - impedance) < 2e-3 * abs(impedance)
        assert answer.gain[k] == pytest.approx(gain, abs=2e-3)


def pynec(rods: Rods, frequency: float) -> tuple[complex, float]:
    """The impedance [ohm] and the gain [dBi] by the C++ translation of NEC-2."""
    oracle = pytest.importorskip("PyNEC")
    context = oracle.nec_context()
    geometry = context.get_geometry()
    places = zip(rods.lengths / 2, rods.positions, strict=True)
    for tag, (half, x) in enumerate(places, start=1):
        geometry.wire(tag, rods.segments, x, -half, 0, x, half, 0, rods.radius, 1.0, 1.0)
    context.geometry_complete(0)
    context.fr_card(0, 1, float(frequency), 0)
    context.ex_card(0, rods.driven + 1, (rods.segments + 1) // 2, 0, 1, 0, 0, 0, 0, 0)
    context.rp_card(0, 1, 1, 0, 0, 0, 0, 90, 0, 0, 0, 0, 0)
    impedance = context.get_input_parameters(0).get_impedance()[0]
    return complex(impedance), float(context.get_radiation_pattern(0).get_gain()[0][0])


def test_an_antenna_scales_with_the_wavelength(program: str) -> None:
    half = Rods(FIVE.lengths / 2, FIVE.positions / 2, 1, RADIUS / 2, 11)
    one, other = (
        solve(cards(rods, f), f, program) for rods, f in ((FIVE, ACROSS), (half, 2 * ACROSS))
    )
    np.testing.assert_allclose(one.impedance, other.impedance, rtol=1e-4)
    np.testing.assert_allclose(one.gain, other.gain, atol=2e-3)


def test_gains_have_more_digits_than_are_printed(box: YagiAntenna) -> None:
    state, action = np.array([[200.0, 0.03]]), np.full((1, 9), 0.1)
    moved = action + 1e-3 * np.eye(9)[:1]
    gains = [box.transition(state, one)[0, :SAMPLES] for one in (action, moved)]
    assert 0 < np.abs(gains[1] - gains[0]).max() < 0.01


# The faults of nec2c


def test_a_rod_without_a_length_hangs_nec2c_which_is_ended(program: str) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    started = time.monotonic()
    with pytest.raises(CallFailed) as failure:
        solve(deck_of("0 0 0 0 0 0 .001"), MEGAHERTZ, program, SHORT)
    assert failure.value.kind == "timeout"
    assert time.monotonic() - started < 10
    left = [
        child
        for child in psutil.Process().children(recursive=True)
        if child.pid not in before and child.name() == "nec2c"
    ]
    assert not left


def test_rods_in_the_same_place_have_an_impossible_gain_and_exit_with_0(program: str) -> None:
    deck = deck_of("0 -.25 0 0 .25 0 .0025", "0 -.24 0 0 .24 0 .0025")
    with pytest.raises(CallFailed, match=r"a gain of -999\.99 dBi is impossible") as failure:
        solve(deck, MEGAHERTZ, program)
    assert failure.value.kind == "invalid output"


def test_nan_in_a_card_is_a_crash(program: str) -> None:
    with pytest.raises(CallFailed, match="exited with code 255") as failure:
        solve(deck_of("0 nan 0 0 .25 0 .001"), MEGAHERTZ, program)
    assert failure.value.kind == "crash"


def test_a_program_that_is_not_there_fails_to_start(tmp_path: Path) -> None:
    with pytest.raises(CallFailed) as failure:
        solve(deck_of("0 -.25 0 0 .25 0 .001"), MEGAHERTZ, str(tmp_path / "nec2c"))
    assert failure.value.kind == "start failure"


def test_without_nec2c_the_environment_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="apt-get install nec2c"):
        EnvRecipe(ID).make()


# What nec2c is not asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": np.array([0.48, 0.0, 0.44, 0.43, 0.43])}, "too short"),
        ({"lengths": np.array([0.48, -0.4, 0.44, 0.43, 0.43])}, "too short"),
        ({"lengths": np.array([0.48, np.nan, 0.44, 0.43, 0.43])}, "not finite"),
        ({"lengths": np.array([0.48, 5.0, 0.44, 0.43, 0.43])}, "too long"),
        ({"positions": np.array([0.0, 0.2, 0.2, 0.5, 0.7])}, "touch or cross"),
        ({"positions": np.array([0.0, 0.2, 0.1, 0.5, 0.7])}, "touch or cross"),
        ({"positions": np.array([0.0, 0.2, np.inf, 0.5, 0.7])}, "not finite"),
        ({"radius": 0.0}, "above 0"),
        ({"radius": 0.1}, "too short"),
    ],
)
def test_rods_that_nec2c_would_not_refuse_are(change: dict[str, object], message: str) -> None:
    with pytest.raises(CallFailed, match=message) as failure:
        cards(Rods(**{**vars(FIVE), **change}), ACROSS)  # type: ignore[arg-type]
    assert failure.value.kind == "invalid input"


@pytest.mark.parametrize("frequency", [0.0, -1.0, np.nan, np.inf])
def test_frequencies_that_are_none_are_refused(frequency: float) -> None:
    with pytest.raises(CallFailed, match="frequenc") as failure:
        cards(FIVE, np.array([frequency]))
    assert failure.value.kind == "invalid input"


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e6, -1e6, 30.0, -30.0])
def test_odd_actions_are_failed_rows_and_spoil_no_other(box: YagiAntenna, odd: float) -> None:
    state, action = np.tile([200.0, 0.03], (3, 1)), np.zeros((3, 9))
    action[1, 2] = odd
    outcome = box.transition(state, action)
    assert np.isfinite(outcome).all(axis=1).tolist() == [True, False, True]
    assert (outcome[0] == outcome[2]).all()
    assert np.isnan(outcome[1]).all()


def test_all_corners_of_the_actions_can_be_computed(box: YagiAntenna) -> None:
    rng = np.random.default_rng(0)
    action = np.concatenate([np.sign(rng.uniform(-1, 1, (30, 9))), rng.uniform(-1, 1, (30, 9))])
    state = box.initial(len(action), rng).state
    state[:30, 0] = np.repeat([100.0, 450.0], 15)
    outcome = box.transition(state, action)
    assert np.isfinite(outcome).all()
    assert (np.abs(outcome[:, SAMPLES:]) < 1).all()  # a passive antenna reflects no more than all


# What nec2c answers


@pytest.fixture(scope="module")
def output(program: str) -> str:
    from nondiff.processes.sandbox import run_once

    files = {"in": cards(FIVE, ACROSS)}
    return run_once((program, "-i", "in", "-o", "out"), files=files, reads=("out",)).files["out"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ANTENNA INPUT PARAMETERS", "", "0 of 3 frequencies have a feed"),
        ("FREQUENCY :", "", "0 of 3 frequencies have a frequency"),
        ("RADIATION PATTERNS", "", "0 of 3 frequencies have a field"),
        ("3.0000E+02 MHz", "3.1000E+02 MHz", "other frequencies"),
        ("2.6966E+01", "nan", "is impossible"),
        ("2.6966E+01", "-2.6966E+01", "is impossible"),
        ("-1.2691E+01", "inf", "is impossible"),
        ("2.6966E+01", "ouch", "are not 11 numbers"),
        ("10.60", "-999.99", "is impossible"),
        ("10.60", "nan", "is impossible"),
        ("10.60", "10.00", "but fields of"),
        ("LINEAR", "", "are not 11 numbers"),
    ],
)
def test_what_is_not_a_whole_answer_is_invalid(
    output: str, old: str, new: str, message: str
) -> None:
    assert isinstance(parse(output, ACROSS), Answer)
    assert old in output
    with pytest.raises(CallFailed, match=message) as failure:
        parse(output.replace(old, new), ACROSS)
    assert failure.value.kind == "invalid output"


def test_any_half_of_an_output_is_invalid(output: str) -> None:
    for share in np.linspace(0, 0.95, 60):
        with pytest.raises(CallFailed) as failure:
            parse(output[: int(share * len(output))], ACROSS)
        assert failure.value.kind == "invalid output"


# Requests


def test_pools_are_fixed_and_disjoint(box: YagiAntenna) -> None:
    training = YagiAntenna("training").pool().context
    held_out = box.pool().context
    assert [len(training), len(held_out)] == [size for size, _ in POOLS.values()]
    assert {row.tobytes() for row in training}.isdisjoint(row.tobytes() for row in held_out)
    size, seed = POOLS["held-out"]
    assert (sample_requests(size, np.random.default_rng(seed)) == held_out).all()
    start = box.initial(50, np.random.default_rng(0))
    assert {row.tobytes() for row in start.context} <= {row.tobytes() for row in held_out}
    assert (start.state == start.context[:, :2]).all()


def test_requests_are_modest(box: YagiAntenna) -> None:
    frequency, bandwidth, gain, resistance = box.pool().context.T
    below = best_gain(frequency, bandwidth, resistance) - gain
    assert MODESTY[0] - 1e-9 <= below.min() < below.max() <= MODESTY[1] + 1e-9
    assert np.array(BEST_GAINS).shape == (3, 4, 3)
    assert (np.diff(np.array(BEST_GAINS), axis=1) < 0).all()  # wider bands cost gain


def test_what_is_handed_out_is_a_copy(box: YagiAntenna) -> None:
    box.pool().context[:] = 0
    box.pool().state[:] = 0
    assert (box.pool().context > 0).all()


def test_observations_are_scaled(box: YagiAntenna) -> None:
    start = box.pool()
    seen = box.observation(*tensors(start.state, start.context)).numpy()
    assert np.abs(seen).max() <= 1
    assert np.ptp(seen, axis=0).min() > 1


# Rewards


def test_reflections_at_the_reference_are_those_of_the_outcome() -> None:
    impedance = np.array([[30 + 10j, 50 - 5j, 90 + 0.5j]])
    coefficient = (impedance - REFERENCE) / (impedance + REFERENCE)
    outcome = np.concatenate([np.zeros((1, 3)), coefficient.real, coefficient.imag], axis=1)
    np.testing.assert_allclose(impedances(outcome), impedance)
    for resistance in (30.0, 50.0, 75.0):
        context = np.array([[200.0, 0.03, 10.0, resistance]])
        expected = np.abs((impedance - resistance) / (impedance + resistance))
        found = reflections(*tensors(outcome, context))
        np.testing.assert_allclose(found.numpy(), expected)


def outcome_of(gain: float, resistance: float) -> Array:
    reflected = (resistance - REFERENCE) / (resistance + REFERENCE)
    return np.array([[gain] * 3 + [reflected] * 3 + [0.0] * 3])


@pytest.mark.parametrize(
    ("gain", "resistance", "success", "reward"),
    [
        (10.5, 60.0, True, 0.0),
        (10.0, 60.0, True, -10 * (1 - 10**-0.01)),  # met, but without the reserve
        (9.99, 60.0, False, -10 * (1 - 10**-0.011)),
        (10.5, 89.0, True, -10 * (29 / 149 - 0.15)),
        (10.5, 91.0, False, -10 * (31 / 151 - 0.15)),
    ],
)
def test_the_reward_is_what_is_missing(
    box: YagiAntenna, gain: float, resistance: float, success: bool, reward: float
) -> None:
    context = np.array([[200.0, 0.03, 10.0, 60.0]])
    parts = tensors(context[:, :2], np.zeros((1, 9)), outcome_of(gain, resistance), context)
    assert bool(box.success(*parts)[0]) is success
    assert float(box.reward(*parts)[0]) == pytest.approx(reward, abs=1e-9)


def test_no_outcome_is_worth_less_than_a_failure(box: YagiAntenna) -> None:
    context = box.pool().context[:1]
    worst = np.array([[-50.0] * 3 + [-1.0] * 3 + [0.0] * 3])
    reward = box.reward(*tensors(context[:, :2], np.zeros((1, 9)), worst, context))
    assert float(reward[0]) > FAILURE


def test_the_reward_has_a_gradient_even_at_a_perfect_match(box: YagiAntenna) -> None:
    context = np.array([[200.0, 0.03, 10.0, 50.0]])
    outcome = torch.from_numpy(outcome_of(9.0, 50.0)).requires_grad_()
    box.reward(
        *tensors(context[:, :2], np.zeros((1, 9))), outcome, *tensors(context)
    ).sum().backward()
    assert outcome.grad is not None
    assert torch.isfinite(outcome.grad).all()
    assert (outcome.grad[0, :3] > 0).all()


# Environments


def test_it_offers_a_pool_and_no_gradient(box: YagiAntenna) -> None:
    assert isinstance(box, HasPool)
    assert capabilities(box) == set()
    with gymnasium.make(ID) as env:
        fit = set(supported(env))
    assert {"ppo", "sac", "surrogate", "finite-difference", "cma-es"} <= fit
    assert not {"manual", "autodiff"} & fit


def test_a_row_is_the_same_in_any_batch_and_any_instance(box: YagiAntenna) -> None:
    rng = np.random.default_rng(3)
    state, action = box.initial(9, rng).state, rng.uniform(-1, 1, (9, 9))
    together = box.transition(state, action)
    alone = YagiAntenna("training", workers=1)
    split = [
        alone.transition(state[rows], action[rows]) for rows in ([0], [1, 2, 3, 4, 5, 6], [7, 8])
    ]
    assert (np.concatenate(split) == together).all()
    assert box.transition(state[:0], action[:0]).shape == (0, 3 * SAMPLES)


def test_an_action_sets_sizes_in_wavelengths(box: YagiAntenna) -> None:
    for frequency in (100.0, 450.0):
        short, long = (box.rods(frequency, np.full(9, side)) for side in (-1.0, 1.0))
        for rods, sizes in ((short, LOW), (long, HIGH)):
            found = np.concatenate([rods.lengths, np.diff(rods.positions)])
            np.testing.assert_allclose(found * frequency / LIGHT, sizes)
    np.testing.assert_allclose(band(200.0, 0.04), [196, 200, 204])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool": "secret"}, "pool must be one of training, held-out, not 'secret'"),
        ({"workers": 0}, "workers must be 1 to 64, not 0"),
        ({"workers": "two"}, "workers must be 1 to 64, not 'two'"),
    ],
)
def test_other_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        EnvRecipe(ID, arguments).make()


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean workers"):
        EnvRecipe(ID, {"worker": 6}).make()


def test_the_vector_environment_steps_as_environments_alone() -> None:
    many = gymnasium.make_vec(ID, num_envs=3, pool="held-out")
    seen, _ = many.reset(seed=11)
    moves = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 9)).astype(np.float32)
    _, rewards, terminated, _, _ = many.step(moves)
    assert terminated.all()
    for i in range(3):
        with gymnasium.make(ID, pool="held-out") as alone:
            observation, _ = alone.reset(seed=11 + i)
            assert (observation == seen[i]).all()
            assert alone.step(moves[i])[1] == rewards[i]
    many.close()


def test_an_answer_can_be_drawn(box: YagiAntenna) -> None:
    from matplotlib.figure import Figure

    action = np.zeros(9)
    good = box.transition(box.pool().state[:1], action[None])[0]
    start = box.pool()
    for answer in ((action, good), (action, np.full_like(good, np.nan)), (None, None)):
        figure = Figure()
        box.draw(figure, start.state[0], *answer, start.context[0])
        figure.canvas.draw()
