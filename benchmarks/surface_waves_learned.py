"""What learns from pairs of models and curves drawn from the prior: a regression, and sbi's NPE.

Both are told the prior, which no strategy of nondiff is.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import redirect_stdout
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nondiff.envs.surface_waves.surface_waves import DEVIATION, NOISE, REACH, SurfaceWaves

Array = NDArray[np.float64]

WIDTH = 256
LEARNING_RATE = 1e-3
VALIDATION_SHARE = 0.1
PATIENCE = 20  # epochs without a better validation loss
POSTERIOR_SAMPLES = 200  # of whose mean the model is made


def pairs(box: SurfaceWaves, calls: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Observations (n, 20) and the actions (n, layers) behind them; failed runs are left out."""
    action = np.log(box.sample_models(calls, rng) / box.mean_vs) / (REACH * DEVIATION)
    curves = box.transition(np.zeros((calls, 0)), action)
    noisy = curves * (1 + NOISE * rng.standard_normal(curves.shape))
    found = np.isfinite(curves).all(axis=1)
    return observed(box, noisy[found]), torch.from_numpy(action[found]).float()


def observed(box: SurfaceWaves, context: Array) -> Tensor:
    """What a policy sees of curves (n, 20)."""
    return box.observation(torch.zeros(len(context), 0), torch.from_numpy(context)).float()


def regression(box: SurfaceWaves, calls: int, seed: int, context: Array) -> Array:
    """Actions for curves by a network fitted to pairs with the squared error, stopped early."""
    torch.manual_seed(seed)
    x, y = pairs(box, calls, np.random.default_rng([seed, calls]))
    scale = y.std(dim=0)
    layers = [nn.Linear(x.shape[1], WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU()]
    network = nn.Sequential(*layers, nn.Linear(WIDTH, box.layers))
    held_out = int(VALIDATION_SHARE * len(x))
    fit(network, (x[held_out:], y[held_out:] / scale), (x[:held_out], y[:held_out] / scale))
    with torch.no_grad():
        return (network(observed(box, context)) * scale).double().numpy()


def fit(network: nn.Module, data: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]) -> None:
    """Adam until the validation loss has not improved for `PATIENCE` epochs; the best is kept."""
    (x, y), loss = data, nn.MSELoss()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    best, kept, waited = np.inf, network.state_dict(), 0
    while waited < PATIENCE:
        for rows in torch.randperm(len(x)).split(max(100, len(x) // 40)):
            optimizer.zero_grad()
            loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            found = float(loss(network(validation[0]), validation[1]))
        waited += 1
        if found < best:
            best, kept, waited = found, deepcopy(network.state_dict()), 0
    network.load_state_dict(kept)


def has_sbi() -> bool:
    """Whether sbi can be imported."""
    try:
        import sbi  # noqa: F401
    except ImportError:
        return False
    return True


def posterior_mean(box: SurfaceWaves, calls: int, seed: int, context: Array) -> Array:
    """Actions for curves: the mean of NPE's posterior, with sbi's own settings."""
    from sbi.inference import NPE

    torch.manual_seed(seed)
    x, y = pairs(box, calls, np.random.default_rng([seed, calls]))
    factor = torch.from_numpy(box.prior_factor / (REACH * DEVIATION)).float()
    prior = torch.distributions.MultivariateNormal(torch.zeros(box.layers), scale_tril=factor)
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        inference = NPE(prior=prior, show_progress_bars=False)
        inference.append_simulations(y, x).train()
        samples = inference.build_posterior().sample_batched(
            (POSTERIOR_SAMPLES,), observed(box, context), show_progress_bars=False
        )
    return samples.mean(dim=0).double().numpy()
