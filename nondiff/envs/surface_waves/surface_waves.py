"""SurfaceWaves: from noisy Rayleigh phase velocities to a layered shear-velocity model."""

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
Pool = Literal["training", "held-out"]

POOLS = {"training": (4096, 1), "held-out": (512, 2)}  # curves, and the seed they are drawn with
SIZES = (6, 10)  # layers
PERIODS = np.geomspace(1 / 40, 1 / 1.5, 20)  # [s]
NOISE = 0.01  # deviation of a measured velocity, as a share of it
DEPTH = 0.06  # [km] of the half-space's top
GROWTH = 1.25  # thickness of a layer over that of the one above
SURFACE_VS, DEEP_VS = 0.2, 0.65  # [km/s] mean profile at the surface and at DEPTH
DEVIATION = 0.35  # of the logarithm of vs
CORRELATION = 0.8  # e-folding length, in logarithm of depth
DEPTH_OFFSET = 0.002  # [km] keeps that logarithm finite
REACH = 4.0  # deviations of the prior that an action of 1 stands for
FAILURE = -50.0
BATCH = 64  # models whose dual numbers are carried at once, which a processor's cache holds


class SurfaceWaves(BlackBox):
    """Find the shear velocities under a site from its Rayleigh-wave dispersion curve.

    One step: the observation is the measured curve (20,), as deviations from the prior's; the
    action (layers,) is the logarithm of the shear velocity of each layer over the prior mean's, in
    units of `REACH` prior deviations; the reward is minus the misfit, the root mean square residual
    in units of the noise, so that the truth scores about -1. A model without a dispersion curve is
    a failure and scores `FAILURE`.

    The ground: flat layers over a half-space, thicknesses fixed and growing with depth, vp and
    density tied to vs (`dispersion.py`). The prior on vs is log-normal and smooth in log depth.

    Args:
        layers: 6 or 10, the half-space included.
        pool: "training" or "held-out", the fixed measured curves from which episodes draw.

    Raises:
        InvalidOptionError: an argument outside these choices.
        MissingDependencyError: disba is not installed.
    """

    failure_reward: ClassVar[float] = FAILURE
    outcomes = len(PERIODS)
    vjp_cost = 1
    jacobian_cost = 1
    twin_cost = 1  # it runs disba

    def __init__(self, layers: int = 10, pool: Pool = "training") -> None:
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
        """All measured curves: contexts (curves, 20) of phase velocities [km/s]."""
        return Start(np.zeros((len(self._pool[0]), 0)), self._pool[0].copy())

    def true_models(self) -> Array:
        """The shear velocities (curves, layers) [km/s] behind them, which no strategy is shown."""
        return self._pool[1].copy()

    def shear_velocities(self, action: Array) -> Array:
        """The models (n, layers) [km/s] that actions (n, layers) stand for."""
        with np.errstate(over="ignore"):  # beyond the Box; an infinite velocity is a failure
            return self.mean_vs * np.exp(REACH * DEVIATION * action)

    def sample_models(self, n: int, rng: np.random.Generator) -> Array:
        """Shear velocities (n, layers) [km/s] drawn from the prior; some may have no curve."""
        return np.array([_drawn(self.layers, rng) for _ in range(n)]).reshape(n, self.layers)

    def draw(
        self,
        figure: Any,
        state: Array,
        action: Array | None,
        outcome: Array | None,
        context: Array,
    ) -> None:
        """Draw the true and the recovered model of a measured curve, and the curves of both."""
        from nondiff.envs.surface_waves.pictures import draw_curves, draw_ground

        ground, curves = figure.subplots(1, 2)
        models = {"true": self._true_model(context)}
        models["recovered"] = None if action is None else self.shear_velocities(action)
        draw_ground(ground, self.thickness, models, DEVIATION, self.mean_vs)
        draw_curves(curves, PERIODS, context, outcome, NOISE)

    def _true_model(self, curve: Array) -> Array | None:
        """The shear velocities (layers,) [km/s] behind a curve; None: it is not of the pool."""
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
        """What the reward is minus the root mean square of, (n, 20), in units of the noise."""
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
        """The phase velocities (n, 20) [km/s], by disba itself, and differentiable.

        This is operator overloading through disba's own source (`duals.py`), not a second
        implementation in torch: what it differentiates is the program that is run, so that nothing
        can differ between the two. A row that failed is NaN and has a gradient of zero.
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
    """Runs disba forwards, and its dual numbers backwards."""

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
        if ctx.jacobian is None:  # the same for a second backward pass
            ctx.jacobian = ctx.box.dual_jacobian(ctx.values[rows], ctx.outcome[rows])
        weights = cotangent.detach().to("cpu", torch.float64).numpy()[rows]
        gradient[rows] = np.einsum("no,noa->na", weights, ctx.jacobian)
        return torch.as_tensor(gradient, dtype=cotangent.dtype, device=cotangent.device), None


@lru_cache
def _prior(layers: int) -> tuple[Array, Array, Array]:
    """Thicknesses [km], mean shear velocities [km/s], and the factor of the log covariance."""
    growing = GROWTH ** np.arange(layers - 1)
    thickness: Array = np.append(growing * DEPTH / growing.sum(), 0.0)
    depth = np.asarray(np.cumsum(thickness) - thickness / 2, np.float64)
    mean: Array = SURFACE_VS + (DEEP_VS - SURFACE_VS) * np.sqrt(depth / DEPTH)
    position = np.log(depth + DEPTH_OFFSET)
    distance = (position[:, None] - position) / CORRELATION
    covariance = DEVIATION**2 * np.exp(-(distance**2) / 2)
    factor = np.asarray(np.linalg.cholesky(covariance + 1e-9 * np.eye(layers)), np.float64)
    return thickness, mean, factor


def _drawn(layers: int, rng: np.random.Generator) -> Array:
    """The shear velocities (layers,) [km/s] of one ground of the prior."""
    _, mean, factor = _prior(layers)
    vs: Array = mean * np.exp(factor @ rng.standard_normal(layers))
    return vs


@lru_cache
def _measured(layers: int, pool: Pool) -> tuple[Array, Array]:
    """Noisy curves (curves, 20) [km/s], and the models (curves, layers) [km/s] behind them."""
    thickness, _, _ = _prior(layers)
    size, seed = POOLS[pool]
    rng = np.random.default_rng([seed, layers])
    curves: list[Array] = []
    models: list[Array] = []
    while len(curves) < size:
        vs = _drawn(layers, rng)
        velocities = phase_velocities(PERIODS, thickness, vs)
        noise = NOISE * rng.standard_normal(len(PERIODS))
        if np.isfinite(velocities).all():
            curves.append(velocities * (1 + noise))
            models.append(vs)
    return np.array(curves), np.array(models)


def surface_waves(
    layers: int = 10, pool: Pool = "training", render_mode: str | None = None
) -> BlackBoxEnv:
    """The environment; see `SurfaceWaves`."""
    return BlackBoxEnv(SurfaceWaves(layers, pool), render_mode)


def surface_waves_vector(
    num_envs: int = 1,
    layers: int = 10,
    pool: Pool = "training",
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
) -> BlackBoxVectorEnv:
    """The vectorised environment."""
    box = SurfaceWaves(layers, pool)
    return BlackBoxVectorEnv(box, num_envs, render_mode, max_episode_steps, autoreset_mode)
