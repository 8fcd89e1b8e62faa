"""SurfaceWaves: invert noisy Rayleigh phase velocities for a layered shear-velocity model."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from nondiff.black_box import BlackBox, BlackBoxEnv, BlackBoxVectorEnv, Start, failed_rows
from nondiff.envs.surface_waves.dispersion import phase_velocities, sensitivities
from nondiff.envs.surface_waves.duals import dual_sensitivities
from nondiff.errors import InvalidOptionError

Array = NDArray[np.float64]
ContextPool = Literal["training", "held-out"]

POOLS = {"training": (4096, 1), "held-out": (512, 2)}  # number of curves, and their seed
SIZES = (6, 10)  # numbers of layers
PERIODS = np.geomspace(1 / 40, 1 / 1.5, 20)  # [s]
NOISE = 0.01  # relative standard deviation of a measured velocity
DEPTH = 0.06  # [km] of the top of the half-space
GROWTH = 1.25  # ratio of a layer's thickness to that of the one above
SURFACE_VS, DEEP_VS = 0.2, 0.65  # [km/s] mean profile at the surface and at DEPTH
DEVIATION = 0.35  # standard deviation of the prior on log vs
CORRELATION = 0.8  # length scale of the prior, in log depth
DEPTH_OFFSET = 0.002  # [km] keeps log depth finite
REACH = 4.0  # an action of 1, in standard deviations of the prior
FAILURE = -50.0
BATCH = 64  # models per pass of dual numbers, which fit into a CPU cache


class SurfaceWaves(BlackBox):
    """Find the shear velocities under a site from its Rayleigh-wave dispersion curve.

    Episodes have one step. The observation (20,) is the measured curve, as a log ratio to the curve
    of the prior mean in units of `DEVIATION`. The action (layers,) is the log ratio of each layer's
    shear velocity to the prior mean, in units of `REACH` standard deviations of the prior. The
    reward is minus the misfit: the root mean square residual in units of the noise, so the true
    model scores about -1. A model without a dispersion curve is a failure with the reward
    `FAILURE`.

    The ground has flat layers over a half-space. Thicknesses are fixed and grow with depth; vp and
    density follow from vs (`dispersion.py`). The prior on vs is log-normal and smooth in log depth.

    Args:
        layers: 6 or 10, including the half-space.
        pool: "training" or "held-out": the fixed measured curves from which episodes sample.

    Raises:
        InvalidOptionError: an argument outside these choices.
        MissingDependencyError: disba is not installed.
    """

    failure_reward: ClassVar[float] = FAILURE
    outcomes = len(PERIODS)
    vjp_cost = 1
    jacobian_cost = 1
    twin_cost = 1  # it runs disba

    def __init__(self, layers: int = 10, pool: ContextPool = "training") -> None:
        if layers not in SIZES:
            raise InvalidOptionError(f"layers must be one of {SIZES}, not {layers!r}")
        if pool not in POOLS:
            raise InvalidOptionError(f"pool must be one of {', '.join(POOLS)}, not {pool!r}")
        self.layers = layers
        self.thickness, self.mean_vs, self.prior_factor = _prior(layers)
        self._pool = _measured(layers, pool)
        self._centre = np.log(phase_velocities(PERIODS, self.thickness, self.mean_vs))
        self.action_space = spaces.Box(-1.0, 1.0, (layers,), np.float32)
        self.observation_space = spaces.Box(-20.0, 20.0, (len(PERIODS),), np.float32)

    def pool(self) -> Start:
        """All measured curves, as contexts (curves, 20) of phase velocities [km/s]."""
        return Start(np.zeros((len(self._pool[0]), 0)), self._pool[0].copy())

    def true_models(self) -> Array:
        """The true shear velocities (curves, layers) [km/s] of `pool`, hidden from strategies."""
        return self._pool[1].copy()

    def shear_velocities(self, action: Array) -> Array:
        """Convert actions (n, layers) to shear velocities (n, layers) [km/s]."""
        with np.errstate(over="ignore"):  # outside the Box; an infinite velocity is a failure
            return self.mean_vs * np.exp(REACH * DEVIATION * action)

    def sample_models(self, n: int, rng: np.random.Generator) -> Array:
        """Sample shear velocities (n, layers) [km/s] from the prior; some may have no curve."""
        return np.array([_sample_model(self.layers, rng) for _ in range(n)]).reshape(n, self.layers)

    def draw(
        self,
        figure: Any,
        state: Array,
        action: Array | None,
        outcome: Array | None,
        context: Array,
    ) -> None:
        """Draw the true and the recovered model, and the measured and the recovered curve."""
        from nondiff.envs.surface_waves.pictures import draw_curves, draw_ground

        ground, curves = figure.subplots(1, 2)
        models = {"true": self._true_model(context)}
        models["recovered"] = None if action is None else self.shear_velocities(action)
        draw_ground(ground, self.thickness, models, DEVIATION, self.mean_vs)
        draw_curves(curves, PERIODS, context, outcome, NOISE)

    def _true_model(self, curve: Array) -> Array | None:
        """The true shear velocities (layers,) [km/s] of a curve; None: it is not in the pool."""
        rows = np.flatnonzero((self._pool[0] == curve).all(axis=1))
        return self._pool[1][rows[0]] if len(rows) else None

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        curves = self._pool[0][rng.integers(len(self._pool[0]), size=n)]
        return Start(np.zeros((n, 0)), curves)

    def transition(self, state: Array, action: Array) -> Array:
        models = self.shear_velocities(action)
        outcome = np.empty((len(models), len(PERIODS)))
        for row, vs in zip(outcome, models, strict=True):
            row[:] = phase_velocities(PERIODS, self.thickness, vs)
        return outcome

    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        return (context.log() - torch.from_numpy(self._centre).to(context)) / DEVIATION

    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        return -self.residual(outcome, context).square().mean(dim=1).sqrt()

    def residual(self, outcome: Tensor, context: Tensor) -> Tensor:
        """The residuals (n, 20) in units of the noise; the reward is minus their RMS."""
        return (outcome - context) / (NOISE * context)

    def jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        """dc/da (n, 20, layers) by the implicit function theorem; see `sensitivities`."""
        models = self.shear_velocities(action)
        slopes = np.empty((*outcome.shape, self.layers))
        for row, vs, c in zip(slopes, models, outcome, strict=True):
            row[:] = sensitivities(PERIODS, self.thickness, vs, c)
        return slopes * (REACH * DEVIATION * models[:, None, :])

    def vjp(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]:
        jacobian = self.jacobian(state, action, outcome)
        return np.zeros_like(state), np.einsum("no,noa->na", cotangent, jacobian)

    def twin(self, state: Tensor, action: Tensor) -> Tensor:
        """The differentiable phase velocities (n, 20) [km/s], by disba itself.

        Operator overloading through disba's own source (`duals.py`) differentiates the very program
        that runs, so there is no second implementation that could differ. A failed row is NaN and
        has a gradient of zero.
        """
        outcome: Tensor = _Differentiable.apply(action, self)  # type: ignore[no-untyped-call]
        return outcome

    def dual_jacobian(self, action: Array, outcome: Array) -> Array:
        """dc/da (n, 20, layers) by `dual_sensitivities`."""
        models = self.shear_velocities(action)
        parts = [
            dual_sensitivities(PERIODS, self.thickness, models[rows], outcome[rows])
            for rows in np.array_split(np.arange(len(models)), -(-len(models) // BATCH) or 1)
        ]
        slopes: Array = np.concatenate(parts) * (REACH * DEVIATION * models[:, None, :])
        return slopes


class _Differentiable(torch.autograd.Function):
    """Runs disba in the forward pass, and disba on dual numbers in the backward pass."""

    @staticmethod
    def forward(ctx: Any, action: Tensor, box: SurfaceWaves) -> Tensor:
        values = action.detach().to("cpu", torch.float64).numpy()
        outcome = box.transition(np.zeros((len(values), 0)), values)
        outcome[failed_rows(outcome)] = np.nan
        ctx.box, ctx.values, ctx.outcome, ctx.jacobian = box, values, outcome, None
        return torch.as_tensor(outcome, dtype=action.dtype, device=action.device)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, None]:
        (cotangent,) = cotangents
        gradient = np.zeros_like(ctx.values)
        rows = ~failed_rows(ctx.outcome)
        if ctx.jacobian is None:  # kept for a second backward pass
            ctx.jacobian = ctx.box.dual_jacobian(ctx.values[rows], ctx.outcome[rows])
        weights = cotangent.detach().to("cpu", torch.float64).numpy()[rows]
        gradient[rows] = np.einsum("no,noa->na", weights, ctx.jacobian)
        return torch.as_tensor(gradient, dtype=cotangent.dtype, device=cotangent.device), None


@lru_cache
def _prior(layers: int) -> tuple[Array, Array, Array]:
    """Thicknesses [km], mean vs [km/s], and the Cholesky factor of the covariance of log vs."""
    growing = GROWTH ** np.arange(layers - 1)
    thickness: Array = np.append(growing * DEPTH / growing.sum(), 0.0)
    depth = np.asarray(np.cumsum(thickness) - thickness / 2, np.float64)
    mean: Array = SURFACE_VS + (DEEP_VS - SURFACE_VS) * np.sqrt(depth / DEPTH)
    position = np.log(depth + DEPTH_OFFSET)
    distance = (position[:, None] - position) / CORRELATION
    covariance = DEVIATION**2 * np.exp(-(distance**2) / 2)
    factor = np.asarray(np.linalg.cholesky(covariance + 1e-9 * np.eye(layers)), np.float64)
    return thickness, mean, factor


def _sample_model(layers: int, rng: np.random.Generator) -> Array:
    """Sample the shear velocities (layers,) [km/s] of one model from the prior."""
    _, mean, factor = _prior(layers)
    vs: Array = mean * np.exp(factor @ rng.standard_normal(layers))
    return vs


@lru_cache
def _measured(layers: int, pool: ContextPool) -> tuple[Array, Array]:
    """Sample noisy curves (curves, 20) [km/s] and their true models (curves, layers) [km/s]."""
    thickness, _, _ = _prior(layers)
    size, seed = POOLS[pool]
    rng = np.random.default_rng([seed, layers])
    curves: list[Array] = []
    models: list[Array] = []
    while len(curves) < size:
        vs = _sample_model(layers, rng)
        velocities = phase_velocities(PERIODS, thickness, vs)
        noise = NOISE * rng.standard_normal(len(PERIODS))
        if np.isfinite(velocities).all():
            curves.append(velocities * (1 + noise))
            models.append(vs)
    return np.array(curves), np.array(models)


def surface_waves(
    layers: int = 10, pool: ContextPool = "training", render_mode: str | None = None
) -> BlackBoxEnv:
    """Make the environment; see `SurfaceWaves`."""
    return BlackBoxEnv(SurfaceWaves(layers, pool), render_mode)


def surface_waves_vector(
    num_envs: int = 1,
    layers: int = 10,
    pool: ContextPool = "training",
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
) -> BlackBoxVectorEnv:
    """Make the vectorized environment; see `SurfaceWaves`."""
    box = SurfaceWaves(layers, pool)
    return BlackBoxVectorEnv(box, num_envs, render_mode, max_episode_steps, autoreset_mode)
