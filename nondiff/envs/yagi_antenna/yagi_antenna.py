"""YagiAntenna: find the rods of an antenna for a requested band, gain and feed resistance."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from nondiff.black_box import BlackBox, BlackBoxEnv, BlackBoxVectorEnv, Start
from nondiff.envs.yagi_antenna.nec2 import LIGHT, Answer, Rods, cards, solve
from nondiff.envs.yagi_antenna.requests import sample_requests, scaled
from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import CallFailed, ThreadPool, find_program

Array = NDArray[np.float64]
ContextPool = Literal["training", "held-out"]

POOLS = {"training": (4096, 1), "held-out": (512, 2)}  # number of requests, and their seed
RODS = ("reflector", "driven", "director 1", "director 2", "director 3")
DRIVEN = 1
# Bounds of an action [wavelengths at the centre frequency]: five lengths, and four spacings
# between adjacent rods. Antennas of Viezbicke 1976 (NBS Technical Note 688) lie well within.
LOW = np.array([0.46, 0.42, 0.38, 0.38, 0.38, 0.10, 0.04, 0.12, 0.12])
HIGH = np.array([0.54, 0.52, 0.48, 0.48, 0.48, 0.30, 0.24, 0.42, 0.42])
RADIUS = 0.0025  # [m] of every rod
SEGMENTS = 11  # per rod
SAMPLES = 3  # frequencies at which the band is computed, its edges included
REFERENCE = 50.0  # [ohm] of the reflection coefficients in an outcome
TOLERANCE = 0.1  # deviation that counts as a misfit of 1, in relative power density or reflection
GAIN_RESERVE = 0.1  # [dB] above the request, beyond which more gain is not rewarded
MAX_REFLECTION = 0.2  # of the feed, a VSWR of 1.5
SMALL_REFLECTION = 0.15  # below which less reflection is not rewarded: a VSWR of 1.35
FAILURE = -20.0  # below any other reward: the misfit is at most 18.5
MAX_WORKERS = 64


class YagiAntenna(BlackBox):
    """Find the rods of a Yagi-Uda antenna that meets a request.

    Episodes have one step. The observation (4,) is the request: centre frequency, bandwidth, gain
    and feed resistance, each scaled to about [-1, 1]. The action (9,) sets the lengths of five rods
    and the spacings between them, from `LOW` to `HIGH`, in wavelengths. nec2c computes the outcome
    at `SAMPLES` frequencies across the band: the gain [dBi] along the boom, and the real and
    imaginary parts of the feed's reflection coefficient at `REFERENCE` ohm.

    A request is met (`success`) if at each frequency the gain is at least the requested one and the
    reflection at the requested resistance is at most `MAX_REFLECTION`. The reward is minus the
    misfit, averaged over the frequencies: the relative shortfall from the requested power density
    (including `GAIN_RESERVE`), plus the reflection beyond `SMALL_REFLECTION`, both divided by
    `TOLERANCE`. A failed call has the reward `FAILURE`.

    The rods are lossless and in free space. All have the same `RADIUS`, so at high frequencies they
    are thick in wavelengths. The state is the frequency [MHz] and the bandwidth.

    Args:
        pool: "training" or "held-out": the fixed requests from which episodes sample.
        workers: maximum number of concurrent calls of nec2c.

    Raises:
        InvalidOptionError: an argument outside these choices.
        MissingDependencyError: nec2c is not installed.
    """

    failure_reward: ClassVar[float] = FAILURE
    outcomes = 3 * SAMPLES

    def __init__(self, pool: ContextPool = "training", workers: int = 4) -> None:
        if pool not in POOLS:
            raise InvalidOptionError(f"pool must be one of {', '.join(POOLS)}, not {pool!r}")
        if not (isinstance(workers, int) and 1 <= workers <= MAX_WORKERS):
            raise InvalidOptionError(f"workers must be 1 to {MAX_WORKERS}, not {workers!r}")
        self._program = find_program("nec2c")
        self._requests = _requests(pool)
        self._calls: ThreadPool[tuple[Array, Array], Answer] = ThreadPool(self._solver, workers)
        self.action_space = spaces.Box(-1.0, 1.0, (len(LOW),), np.float32)
        self.observation_space = spaces.Box(-2.0, 2.0, (self._requests.shape[1],), np.float32)

    def pool(self) -> Start:
        """All requests (requests, 4): frequency [MHz], bandwidth, gain [dBi], resistance [ohm]."""
        return _start(self._requests)

    def rods(self, frequency: float, action: Array) -> Rods:
        """The antenna of an action (9,) at a centre frequency [MHz]."""
        sizes = (LOW + (HIGH - LOW) * (action + 1) / 2) * LIGHT / frequency
        lengths, spacings = sizes[: len(RODS)], sizes[len(RODS) :]
        return Rods(lengths, np.append(0.0, np.cumsum(spacings)), DRIVEN, RADIUS, SEGMENTS)

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        return _start(self._requests[rng.integers(len(self._requests), size=n)])

    def transition(self, state: Array, action: Array) -> Array:
        outcome = np.full((len(action), self.outcomes), np.nan)
        answers = self._calls.map(list(zip(state, action, strict=True)))
        for row, answer in zip(outcome, answers, strict=True):
            if not isinstance(answer, CallFailed):
                reflected = (answer.impedance - REFERENCE) / (answer.impedance + REFERENCE)
                row[:] = np.concatenate([answer.gain, reflected.real, reflected.imag])
        return outcome

    def _solver(self) -> Callable[[tuple[Array, Array]], Answer]:
        return self._solve

    def _solve(self, row: tuple[Array, Array]) -> Answer:
        (frequency, bandwidth), action = row
        frequencies = band(frequency, bandwidth)
        return solve(cards(self.rods(frequency, action), frequencies), frequencies, self._program)

    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        return scaled(context)

    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        gain, reflected = outcome[:, :SAMPLES], reflections(outcome, context)
        aim = context[:, 2:3] + GAIN_RESERVE
        missing = torch.relu(1 - 10 ** ((gain - aim) / 10))
        return -((missing + torch.relu(reflected - SMALL_REFLECTION)) / TOLERANCE).mean(dim=1)

    def success(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        strong = outcome[:, :SAMPLES] >= context[:, 2:3]
        matched = reflections(outcome, context) <= MAX_REFLECTION
        return (strong & matched).all(dim=1)

    def draw(
        self,
        figure: Any,
        state: Array,
        action: Array | None,
        outcome: Array | None,
        context: Array,
    ) -> None:
        """Draw the antenna, its pattern, gain and match, and the request."""
        from nondiff.envs.yagi_antenna.pictures import draw_antenna

        rods = None if action is None else self.rods(context[0], action)
        answer = None
        if outcome is not None:
            pair = (torch.from_numpy(part[None]) for part in (outcome, context))
            answer = outcome[:SAMPLES], reflections(*pair).numpy()[0]
        draw_antenna(figure, context, rods, answer)


def band(frequency: float, bandwidth: float) -> Array:
    """The frequencies (SAMPLES,) [MHz] at which nec2c computes an antenna."""
    return frequency * (1 + bandwidth * np.linspace(-0.5, 0.5, SAMPLES))


def reflections(outcome: Tensor, context: Tensor) -> Tensor:
    """Magnitudes (n, SAMPLES) of the reflection coefficients at the requested resistances.

    With g = (Z - R) / (Z + R), the coefficient at another resistance is (g - r) / (1 - r g), where
    r is the coefficient of that resistance at R (Pozar 2012, "Microwave Engineering", section 2.3).
    """
    real, imaginary = outcome[:, SAMPLES : 2 * SAMPLES], outcome[:, 2 * SAMPLES :]
    resistance = context[:, 3:4]
    r = (resistance - REFERENCE) / (resistance + REFERENCE)
    above = (real - r).square() + imaginary.square()
    below = (1 - r * real).square() + (r * imaginary).square()
    tiny = torch.finfo(outcome.dtype).tiny  # the square root has no derivative at 0
    return (above / below).clamp_min(tiny).sqrt()


def impedances(outcome: Array) -> NDArray[np.complex128]:
    """The feed impedances (n, SAMPLES) [ohm] of outcomes (n, 9)."""
    reflected = outcome[:, SAMPLES : 2 * SAMPLES] + 1j * outcome[:, 2 * SAMPLES :]
    return np.asarray(REFERENCE * (1 + reflected) / (1 - reflected))


@lru_cache
def _requests(pool: ContextPool) -> Array:
    size, seed = POOLS[pool]
    return sample_requests(size, np.random.default_rng(seed))


def _start(requests: Array) -> Start:
    return Start(requests[:, :2].copy(), requests.copy())


def yagi_antenna(
    pool: ContextPool = "training", workers: int = 4, render_mode: str | None = None
) -> BlackBoxEnv:
    """Make the environment; see `YagiAntenna`."""
    return BlackBoxEnv(YagiAntenna(pool, workers), render_mode)


def yagi_antenna_vector(
    num_envs: int = 1,
    pool: ContextPool = "training",
    workers: int = 4,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
) -> BlackBoxVectorEnv:
    """Make the vectorized environment; see `YagiAntenna`."""
    box = YagiAntenna(pool, workers)
    return BlackBoxVectorEnv(box, num_envs, render_mode, max_episode_steps, autoreset_mode)
