"""SurfaceWaves: disba against the Fortran original, its derivatives against differences, data."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from thorough_cases import thin

disba = pytest.importorskip("disba")

from nondiff.black_box import HasJacobian, HasPool, HasTwin, HasVjp, find_black_box  # noqa: E402
from nondiff.env_recipe import EnvRecipe  # noqa: E402
from nondiff.envs.surface_waves import duals  # noqa: E402
from nondiff.envs.surface_waves.dispersion import (  # noqa: E402
    FASTEST,
    SLOWEST,
    of_shear_velocity,
    phase_velocities,
)
from nondiff.envs.surface_waves.dual_numbers import Dual, MixedError  # noqa: E402
from nondiff.envs.surface_waves.duals import dltar4, dual_sensitivities, polish  # noqa: E402
from nondiff.envs.surface_waves.surface_waves import (  # noqa: E402
    DEVIATION,
    FAILURE,
    NOISE,
    PERIODS,
    POOLS,
    REACH,
    SIZES,
    Array,
    SurfaceWaves,
    _measured,
)
from nondiff.errors import InvalidOptionError, UnknownNameError  # noqa: E402

torch.set_num_threads(1)
NO_STATE = np.zeros((0, 0))


@pytest.fixture(scope="module", params=thin(SIZES, SIZES[:1]))
def box(request: pytest.FixtureRequest) -> SurfaceWaves:
    return SurfaceWaves(request.param, "held-out")


def actions(box: SurfaceWaves, drawn: str, n: int) -> Array:
    """Actions (n, layers) from the prior, which are those of the true models, or of any kind."""
    if drawn == "prior":
        return np.asarray(np.log(box.true_models()[:n] / box.mean_vs) / (REACH * DEVIATION))
    return np.random.default_rng(0).uniform(-1, 1, (n, box.layers))


def valid(box: SurfaceWaves, drawn: str, n: int) -> tuple[Array, Array]:
    """Actions whose models have a dispersion curve, and the curves."""
    action = actions(box, drawn, n)
    outcome = box.transition(NO_STATE, action)
    kept = np.isfinite(outcome).all(axis=1)
    assert kept.mean() > 0.8
    return action[kept], outcome[kept]


def polished(box: SurfaceWaves, action: Array) -> Array:
    """disba's roots, refined on its own function: its search stops within 1e-6 of them."""
    curves = box.transition(NO_STATE, action)
    return polish(PERIODS, box.thickness, box.shear_velocities(action), curves)


def differences(box: SurfaceWaves, action: Array, step: float) -> Array:
    """Central differences (n, 20, layers)."""
    sides = [
        (polished(box, action + step * one) - polished(box, action - step * one)) / (2 * step)
        for one in np.eye(box.layers)
    ]
    return np.stack(sides, axis=2)


def disagreement(found: Array, other: Array) -> Array:
    """Relative Frobenius norms (n,) of differences between Jacobians (n, 20, layers)."""
    return np.asarray(
        np.linalg.norm(found - other, axis=(1, 2)) / np.linalg.norm(other, axis=(1, 2))
    )


# Against the Fortran original


@pytest.mark.parametrize("drawn", thin(["prior", "uniform"], ["uniform"]))
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of what pysurf96 leaves unset
def test_disba_agrees_with_the_fortran_original(box: SurfaceWaves, drawn: str) -> None:
    pysurf96 = pytest.importorskip("pysurf96")
    from pysurf96.wrapper import Surf96Error

    action, curves = valid(box, drawn, 100)
    differ = 0
    for vs, curve in zip(box.shear_velocities(action), curves, strict=True):
        vp, density = of_shear_velocity(vs)
        ground = (box.thickness, vp, vs, density)
        try:
            other = pysurf96.surf96(*ground, PERIODS, "rayleigh", 1, "phase")
        except Surf96Error:
            other = np.zeros_like(curve)
        jumped = np.abs(other - curve) > 1e-5
        differ += jumped.any()
        # Either search can step over two close roots, and goes on to a higher mode: the Fortran's
        # does more often, with steps five times larger. What it then finds is a root too, or none.
        at = jumped & (other > 0)
        found = other[at]
        root = polish(PERIODS[at], box.thickness, vs[None], found[None])
        np.testing.assert_allclose(root[0], found, rtol=1e-4)
    assert differ <= (5 if drawn == "prior" else 20)


# Derivatives


def test_two_derivatives_agree_on_models_of_the_prior(box: SurfaceWaves) -> None:
    action, curves = valid(box, "prior", 200)
    error = disagreement(box.jacobian(NO_STATE, action, curves), box.dual_jacobian(action, curves))
    assert (error > 1e-6).mean() <= 0.01
    assert error.max() < 1e-5


def test_two_derivatives_agree_on_any_models(box: SurfaceWaves) -> None:
    # With contrasts as large as these, Dunkin's minors lose digits at long periods, which the
    # differences of a layer's matrix in the hand-written gradient magnify; the duals take none.
    action, curves = valid(box, "uniform", 200)
    error = disagreement(box.jacobian(NO_STATE, action, curves), box.dual_jacobian(action, curves))
    assert np.median(error) < 3e-7
    assert (error > 1e-6).mean() <= 0.12
    assert (error > 1e-5).mean() <= 0.01
    assert error.max() < 3e-4


@pytest.mark.parametrize("drawn", thin(["prior", "uniform"], ["uniform"]))
def test_derivatives_agree_with_differences_of_the_roots(box: SurfaceWaves, drawn: str) -> None:
    action, curves = valid(box, drawn, 60)
    measured = differences(box, action, 1e-5)
    for found in (box.jacobian(NO_STATE, action, curves), box.dual_jacobian(action, curves)):
        error = disagreement(found, measured)
        assert np.median(error) < 1e-6
        assert (error > 1e-4).mean() <= 0.01
        hopped = error > 1e-4  # a mode lies so near that the search hops to it within the step
        if hopped.any():
            closer = disagreement(found[hopped], differences(box, action[hopped], 1e-6))
            assert (closer < 1e-4).all()


@pytest.mark.thorough
def test_differences_that_do_not_agree_hop_to_another_mode() -> None:
    box = SurfaceWaves(6)
    action = np.array(
        [
            [
                *(0.011076992249283647, -0.0740617555915424, -0.2868352193513485),
                *(-0.47818596648121114, -0.587361257757042, -0.6137434817593289),
            ]
        ]
    )
    curves = box.transition(NO_STATE, action)
    exact = box.dual_jacobian(action, curves)
    assert disagreement(differences(box, action, 1e-5), exact)[0] > 1
    assert disagreement(differences(box, action, 1e-6), exact)[0] < 1e-6
    # The curve is not continuous there: one step moves a period's velocity by more than 1 m/s.
    moves = [
        np.abs(polished(box, action + side * 1e-5 * one) - curves).max()
        for one in np.eye(6)
        for side in (-1, 1)
    ]
    assert max(moves) > 1e-3
    assert np.median(moves) < 1e-5


def test_duals_run_the_code_of_disba_itself() -> None:
    assert duals._rebuilt(dltar4).__code__ is dltar4.py_func.__code__
    box = SurfaceWaves(6, "held-out")
    vs = box.true_models()[0]
    vp, density = of_shear_velocity(vs)
    for period, c in ((PERIODS[0], 0.2), (PERIODS[10], 0.3), (PERIODS[19], 0.5)):
        omega = 2 * np.pi / period
        compiled = dltar4(omega / c, omega, box.thickness, vp, vs, density, -1, np.empty((5, 5)))
        speed = Dual.seed(np.array([c]), 0, 1)
        ground = np.array([vp, vs, density], object)
        matrix = np.empty((5, 5), object)
        found = duals._dispersion(omega / speed, omega, box.thickness, *ground, -1, matrix)
        assert found.value[0] == pytest.approx(compiled, rel=1e-9)


def test_a_row_of_duals_is_the_same_in_any_batch(box: SurfaceWaves) -> None:
    action, curves = valid(box, "uniform", 70)
    models = box.shear_velocities(action)
    together = dual_sensitivities(PERIODS, box.thickness, models, curves)
    for row in (0, 17, len(models) - 1):
        alone = dual_sensitivities(
            PERIODS, box.thickness, models[row : row + 1], curves[row : row + 1]
        )
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-9, atol=1e-12)


def test_a_dual_batch_on_both_sides_of_a_comparison_is_split() -> None:
    x = Dual.seed(np.array([1.0, -1.0]), 0, 1)
    assert x < 2.0
    assert not x > 2.0
    with pytest.raises(MixedError) as mixed:
        bool(x < 0.0)
    assert mixed.value.holds.tolist() == [False, True]


def test_dual_arithmetic_is_that_of_calculus() -> None:
    points = np.array([0.7, 1.3])
    x = Dual.seed(points, 0, 1)
    quotient = (2.0 - x) * x / (1.0 + x**0.25) - 3.0 / x
    step = 1e-6

    def plain(p: Array) -> Array:
        return (2.0 - p) * p / (1.0 + p**0.25) - 3.0 / p

    np.testing.assert_allclose(quotient.value, plain(points))
    slope = (plain(points + step) - plain(points - step)) / (2 * step)
    np.testing.assert_allclose(quotient.tangent[0], slope, rtol=1e-8)


# The twin, for torch


def test_the_twin_runs_disba_and_differentiates_it(box: SurfaceWaves) -> None:
    values, curves = valid(box, "prior", 5)
    action = torch.tensor(values, requires_grad=True)
    outcome = box.twin(torch.zeros(len(values), 0), action)
    assert (outcome.detach().numpy() == curves).all()
    weights = torch.from_numpy(np.random.default_rng(1).standard_normal(curves.shape))
    (outcome * weights).sum().backward()
    _, expected = box.vjp(np.zeros((len(values), 0)), values, curves, weights.numpy())
    assert action.grad is not None
    np.testing.assert_allclose(action.grad.numpy(), expected, rtol=1e-4, atol=1e-7)


def test_the_twin_keeps_the_type_of_what_it_is_given(box: SurfaceWaves) -> None:
    values, curves = valid(box, "prior", 3)
    action = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    outcome = box.twin(torch.zeros(3, 0), action)
    assert outcome.dtype == torch.float32
    np.testing.assert_allclose(outcome.detach().numpy(), curves, rtol=1e-5)
    outcome.sum().backward()
    assert action.grad is not None
    assert action.grad.dtype == torch.float32
    assert (action.grad.abs().amax(dim=1) > 0).all()


def test_a_failed_row_of_the_twin_is_nan_and_has_no_gradient(box: SurfaceWaves) -> None:
    values, _ = valid(box, "prior", 2)
    values = np.concatenate([values, np.full((1, box.layers), np.nan)])
    action = torch.tensor(values, requires_grad=True)
    outcome = box.twin(torch.zeros(3, 0), action)
    assert torch.isfinite(outcome).all(dim=1).tolist() == [True, True, False]
    outcome[:2].sum().backward()
    assert action.grad is not None
    assert (action.grad[2] == 0).all()
    assert torch.isfinite(action.grad).all()
    outcome = box.twin(torch.zeros(0, 0), torch.zeros(0, box.layers, requires_grad=True))
    assert outcome.shape == (0, len(PERIODS))


def test_it_offers_every_capability(box: SurfaceWaves) -> None:
    for capability in (HasVjp, HasJacobian, HasTwin, HasPool):
        assert isinstance(box, capability)
    assert box.twin_cost == 1


# What is no model


@pytest.mark.parametrize(
    "bad",
    [np.nan, np.inf, -np.inf, 0.0, -0.3, SLOWEST, FASTEST, 1e300],
    ids=str,
)
@pytest.mark.parametrize("layer", [0, 3, -1])
def test_velocities_of_no_ground_give_no_curve(box: SurfaceWaves, bad: float, layer: int) -> None:
    vs = box.mean_vs.copy()
    vs[layer] = bad
    assert np.isnan(phase_velocities(PERIODS, box.thickness, vs)).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e6, -1e6, 30.0, -30.0])
def test_odd_actions_are_failed_rows_and_spoil_no_other(box: SurfaceWaves, odd: float) -> None:
    action = np.zeros((3, box.layers))
    action[1, 2] = odd
    outcome = box.transition(NO_STATE, action)
    assert np.isfinite(outcome).all(axis=1).tolist() == [True, False, True]
    assert (outcome[0] == outcome[2]).all()
    assert np.isnan(outcome[1]).all()


def test_a_search_without_a_root_is_a_failed_row_of_the_environment(box: SurfaceWaves) -> None:
    action = actions(box, "uniform", 200)
    failed = np.isnan(box.transition(NO_STATE, action)).any(axis=1)
    assert 0.01 < failed.mean() < 0.15
    env = gymnasium.make("nondiff/SurfaceWaves-v0", layers=box.layers, pool="held-out")
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(action[failed][0].astype(np.float32))
    assert (reward, terminated, info["failed"]) == (FAILURE, True, True)
    env.close()


def test_no_rows_are_no_rows(box: SurfaceWaves) -> None:
    none = np.zeros((0, box.layers))
    outcome = box.transition(NO_STATE, none)
    assert outcome.shape == (0, len(PERIODS))
    assert box.jacobian(NO_STATE, none, outcome).shape == (0, len(PERIODS), box.layers)
    assert box.dual_jacobian(none, outcome).shape == (0, len(PERIODS), box.layers)


# Data


def test_pools_are_fixed_and_disjoint() -> None:
    training, held_out = SurfaceWaves(6, "training"), SurfaceWaves(6, "held-out")
    assert [len(one.true_models()) for one in (training, held_out)] == [4096, 512]
    seen = {models.tobytes() for models in training.true_models()}
    assert seen.isdisjoint(models.tobytes() for models in held_out.true_models())
    curves = {curve.tobytes() for curve in training.pool().context}
    assert curves.isdisjoint(curve.tobytes() for curve in held_out.pool().context)
    drawn = training.initial(50, np.random.default_rng(0)).context
    assert all(curve.tobytes() in curves for curve in drawn)


def test_pools_are_drawn_the_same_every_time(box: SurfaceWaves) -> None:
    kept = _measured(box.layers, "held-out")
    again = _measured.__wrapped__(box.layers, "held-out")
    assert (kept[0] == again[0]).all()
    assert (kept[1] == again[1]).all()
    assert len(again[0]) == POOLS["held-out"][0]


def test_what_is_handed_out_is_a_copy(box: SurfaceWaves) -> None:
    box.pool().context[:] = 0
    box.true_models()[:] = 0
    assert (box.pool().context > 0).all()
    assert (box.true_models() > 0).all()


def test_the_truth_scores_the_noise_and_the_prior_mean_far_less(box: SurfaceWaves) -> None:
    curves = torch.from_numpy(box.pool().context)
    action = actions(box, "prior", len(curves))
    state = torch.zeros(len(curves), 0)

    def misfit(outcome: Array) -> float:
        rewards = box.reward(state, state, torch.from_numpy(outcome), curves)
        return float(-rewards.median())

    truth = box.transition(NO_STATE, action)
    assert misfit(truth) == pytest.approx(0.98, abs=0.02)
    noise = curves.numpy() / truth - 1
    assert noise.std() == pytest.approx(NOISE, rel=0.02)
    mean = box.transition(NO_STATE, np.zeros((1, box.layers)))
    assert 27 < misfit(np.repeat(mean, len(curves), axis=0)) < 40


def test_true_models_lie_within_the_actions(box: SurfaceWaves) -> None:
    assert np.abs(actions(box, "prior", 512)).max() < 1


def test_observations_are_in_deviations_of_the_prior(box: SurfaceWaves) -> None:
    start = box.pool()
    seen = box.observation(*map(torch.from_numpy, (start.state, start.context))).numpy()
    assert 0.3 < seen.std() < 2
    assert np.abs(seen).max() < box.observation_space.high.max()


# Environments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 7}, r"layers must be one of \(6, 10\), not 7"),
        ({"layers": "six"}, r"layers must be one of \(6, 10\), not 'six'"),
        ({"pool": "secret"}, "pool must be one of training, held-out, not 'secret'"),
    ],
)
def test_other_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        EnvRecipe("nondiff/SurfaceWaves-v0", arguments).make()


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean layers"):
        EnvRecipe("nondiff/SurfaceWaves-v0", {"layer": 6}).make()


def test_the_vector_environment_steps_as_environments_alone() -> None:
    arguments = {"pool": "held-out"}
    many = gymnasium.make_vec("nondiff/SurfaceWaves6-v0", num_envs=3, **arguments)
    seen, _ = many.reset(seed=11)
    rng = np.random.default_rng(0)
    moves = [rng.uniform(-0.5, 0.5, (3, 6)).astype(np.float32) for _ in range(4)]
    steps = [many.step(move) for move in moves]
    for i in range(3):
        alone = gymnasium.make("nondiff/SurfaceWaves6-v0", **arguments)
        box = find_black_box(alone)
        assert isinstance(box, SurfaceWaves)
        observation, _ = alone.reset(seed=11 + i)
        assert (observation == seen[i]).all()
        for move, (observations, rewards, terminated, truncated, _) in zip(
            moves, steps, strict=True
        ):
            _, reward, done, cut, _ = alone.step(move[i])
            assert (
                (rewards[i], terminated[i], truncated[i])
                == (reward, done, cut)
                == (
                    reward,
                    True,
                    False,
                )
            )
            observation, _ = alone.reset()
            assert (observation == observations[i]).all()
        alone.close()
    many.close()
