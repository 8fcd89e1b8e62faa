"""YagiAntenna: from a requested band, gain and feed resistance to the rods of an antenna."""

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
from nondiff.envs.yagi_antenna.requests import drawn, scaled
from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import CallFailed, Pool, find_program

Array = NDArray[np.float64]
PoolName = Literal["training", "held-out"]

POOLS = {"training": (4096, 1), "held-out": (512, 2)}  # requests, and the seed they are drawn with
RODS = ("reflector", "driven", "director 1", "director 2", "director 3")
DRIVEN = 1
# Least and largest of what an action sets [wavelengths at the centre]: five lengths, and four
# spacings from rod to rod. Antennas of Viezbicke 1976 (NBS Technical Note 688) lie well within.
LOW = np.array([0.46, 0.42, 0.38, 0.38, 0.38, 0.10, 0.04, 0.12, 0.12])
HIGH = np.array([0.54, 0.52, 0.48, 0.48, 0.48, 0.30, 0.24, 0.42, 0.42])
RADIUS = 0.0025  # of every rod [m]
SEGMENTS = 11  # of a rod
SAMPLES = 3  # frequencies at which the band is computed, its edges included
REFERENCE = 50.0  # [ohm] of the reflection coefficients in an outcome
TOLERANCE = 0.1  # that counts as a misfit of 1: a share of the power density, or a reflection
GAIN_RESERVE = 0.1  # [dB] above the request, from which on more gain is worth nothing
LARGEST_REFLECTION = 0.2  # of the feed, which is a VSWR of 1.5
SMALL_REFLECTION = 0.15  # below which less is worth nothing: a VSWR of 1.35
FAILURE = -20.0  # below any misfit, of which there is at most 18.5
MOST_WORKERS = 64


class YagiAntenna(BlackBox):
    """Find the rods of a Yagi-Uda antenna that meets a request.

    One step: the observation (4,) is the request, centre frequency, bandwidth, gain and feed
    resistance, each scaled to about [-1, 1]; the action (9,) sets the lengths of five rods and the
    spacings between them, from `LOW` to `HIGH`, in wavelengths. The outcome is what nec2c computes
    at `SAMPLES` frequencies across the band: gain [dBi] along the boom, and the feed's reflection
    coefficient at `REFERENCE` ohm, its real and its imaginary part.

    A request is met (`success`) if at all of them the gain is at least the requested one and the
    reflection at the requested resistance at most `LARGEST_REFLECTION`. The reward is minus the
    mean misfit over the frequencies: what is missing of the requested power density, with
    `GAIN_RESERVE`, as a share of it, plus what is reflected beyond `SMALL_REFLECTION`, both over
    `TOLERANCE`. A call that fails scores `FAILURE`.

    The rods are thick in wavelengths where frequencies are high (`RADIUS` is the same for all),
    without a loss, in free space. The state is the frequency [MHz] and the bandwidth.

    Args:
        pool: "training" or "held-out", the fixed requests from which episodes draw.
        workers: calls of nec2c at a time.

    Raises:
        InvalidOptionError: an argument outside these choices.
        MissingDependencyError: nec2c is not installed.
    """

    failure_reward: ClassVar[float] = FAILURE
    outcomes = 3 * SAMPLES

    def __init__(self, pool: PoolName = "training", workers: int = 4) -> None:
        if pool not in POOLS:
            raise InvalidOptionError(f"pool must be one of {', '.join(POOLS)}, not {pool!r}")
        if not (isinstance(workers, int) and 1 <= workers <= MOST_WORKERS):
            raise InvalidOptionError(f"workers must be 1 to {MOST_WORKERS}, not {workers!r}")
        self._program = find_program("nec2c")
        self._requests = _requests(pool)
        self._calls: Pool[tuple[Array, Array], Answer] = Pool(self._solver, workers)
        self.action_space = spaces.Box(-1.0, 1.0, (len(LOW),), np.float32)
        self.observation_space = spaces.Box(-2.0, 2.0, (self._requests.shape[1],), np.float32)

    def pool(self) -> Start:
        """All requests: contexts (requests, 4) of frequency [MHz], bandwidth, gain [dBi], ohms."""
        return _start(self._requests)

    def rods(self, frequency: float, action: Array) -> Rods:
        """The antenna that an action (9,) stands for at a centre frequency [MHz]."""
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
        matched = reflections(outcome, context) <= LARGEST_REFLECTION
        return (strong & matched).all(dim=1)

    def draw(
        self,
        figure: Any,
        state: Array,
        action: Array | None,
        outcome: Array | None,
        context: Array,
    ) -> None:
        """Draw the antenna that answers a request, its pattern, gain and match."""
        from nondiff.envs.yagi_antenna.pictures import draw_antenna

        rods = None if action is None else self.rods(context[0], action)
        answer = None
        if outcome is not None:
            pair = (torch.from_numpy(part[None]) for part in (outcome, context))
            answer = outcome[:SAMPLES], reflections(*pair).numpy()[0]
        draw_antenna(figure, context, rods, answer)


def band(frequency: float, bandwidth: float) -> Array:
    """The frequencies (SAMPLES,) [MHz] at which an antenna is computed."""
    return frequency * (1 + bandwidth * np.linspace(-0.5, 0.5, SAMPLES))


def reflections(outcome: Tensor, context: Tensor) -> Tensor:
    """Sizes (n, SAMPLES) of the reflection coefficients at the requested resistances.

    By g = (Z - R) / (Z + R), that at another resistance is (g - r) / (1 - r g), where r is the
    coefficient of the other resistance at R (Pozar 2012, "Microwave Engineering", section 2.3).
    """
    real, imaginary = outcome[:, SAMPLES : 2 * SAMPLES], outcome[:, 2 * SAMPLES :]
    resistance = context[:, 3:4]
    r = (resistance - REFERENCE) / (resistance + REFERENCE)
    above = (real - r).square() + imaginary.square()
    below = (1 - r * real).square() + (r * imaginary).square()
    tiny = torch.finfo(outcome.dtype).tiny  # the root has no slope at 0
    return (above / below).clamp_min(tiny).sqrt()


def impedances(outcome: Array) -> NDArray[np.complex128]:
    """The impedances (n, SAMPLES) [ohm] of the feed in outcomes (n, 9)."""
    reflected = outcome[:, SAMPLES : 2 * SAMPLES] + 1j * outcome[:, 2 * SAMPLES :]
    return np.asarray(REFERENCE * (1 + reflected) / (1 - reflected))


@lru_cache
def _requests(pool: PoolName) -> Array:
    size, seed = POOLS[pool]
    return drawn(size, np.random.default_rng(seed))


def _start(requests: Array) -> Start:
    return Start(requests[:, :2].copy(), requests.copy())


def yagi_antenna(
    pool: PoolName = "training", workers: int = 4, render_mode: str | None = None
) -> BlackBoxEnv:
    """The environment; see `YagiAntenna`."""
    return BlackBoxEnv(YagiAntenna(pool, workers), render_mode)


def yagi_antenna_vector(
    num_envs: int = 1,
    pool: PoolName = "training",
    workers: int = 4,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
) -> BlackBoxVectorEnv:
    """The vectorised environment."""
    box = YagiAntenna(pool, workers)
    return BlackBoxVectorEnv(box, num_envs, render_mode, max_episode_steps, autoreset_mode)
