"""OpAmp: adjust the sizes of an operational amplifier step by step to meet a request."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from nondiff.black_box import BlackBox, BlackBoxEnv, BlackBoxVectorEnv, Start
from nondiff.envs.op_amp.netlist import SIZES
from nondiff.envs.op_amp.requests import UNITS, ContextPool, natural, read_requests
from nondiff.envs.op_amp.simulator import SPECS, Simulator
from nondiff.envs.op_amp.sizing import physical
from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import CallFailed, Limits, ThreadPool, find_program

Array = NDArray[np.float64]

STEP = 0.2  # change of a position in [-1, 1] by an action of 1
HORIZON = 20
BONUS = 2.0  # reward for a met request
RESERVE = 0.02  # margin in the reward, in `UNITS`, so that its optimum meets the request
FAILURE = -10.0
MAX_WORKERS = 64
MAX_UNITS = 10.0  # bound of margins and requests in observations
POSITION = slice(0, len(SIZES))  # the sizes in a state
MEASURED = slice(len(SIZES), len(SIZES) + len(SPECS))  # the specs in a state
# Specs of the design in the centre of all bounds: dB, log10 Hz, degrees, log10 W. Tested.
CENTRE_SPECS = (82.1750666, math.log10(18423630.0), 20.0694, math.log10(1.126703818e-4))
SHOWN_CENTRE = np.array([80.0, 7.0, 60.0, -4.0])  # of requests in observations


class OpAmp(BlackBox):
    """Size a two-stage operational amplifier for a requested gain, bandwidth, margin and power.

    An episode is a short design session, as in AutoCkt (Settaluri et al. 2020, arXiv:2001.01808).
    It begins with every size in the middle of its bounds. An action (7,) changes the logarithm of
    each size by at most `STEP` of half its range, and ngspice measures the new design. The episode
    terminates when the request is met, and is truncated after `HORIZON` steps.

    State and outcome (11,) hold the sizes as positions in [-1, 1] (`sizing.physical`), and the
    specs of that design: gain [dB], log10 of the unity-gain frequency [Hz], phase margin [degree],
    log10 of the power [W]. The context (4,) is the request, in the same units. The reward is minus
    the sum of the shortfalls in `UNITS`, plus `BONUS` if the request is met.

    Args:
        pool: "training" or "held-out": the fixed requests from which episodes sample.
        workers: maximum number of concurrent simulators.
        limits: resource limits of each; the timeout applies to each call.

    Attributes:
        failures: number of failed calls by kind.

    Raises:
        InvalidOptionError: an argument outside these choices.
        MissingDependencyError: ngspice is not installed.
    """

    failure_reward: ClassVar[float] = FAILURE
    horizon = HORIZON
    outcomes = len(SIZES) + len(SPECS)

    def __init__(
        self, pool: ContextPool = "training", workers: int = 2, limits: Limits | None = None
    ) -> None:
        if pool not in get_args(ContextPool):
            choices = ", ".join(get_args(ContextPool))
            raise InvalidOptionError(f"pool must be one of {choices}, not {pool!r}")
        if not (isinstance(workers, int) and 1 <= workers <= MAX_WORKERS):
            raise InvalidOptionError(f"workers must be 1 to {MAX_WORKERS}, not {workers!r}")
        find_program("ngspice")
        self.failures: Counter[str] = Counter()
        self._requests = read_requests(pool)[0]
        self._simulators: ThreadPool[Array, Array] = ThreadPool(partial(Simulator, limits), workers)
        self.action_space = spaces.Box(-1.0, 1.0, (len(SIZES),), np.float32)
        self.observation_space = spaces.Box(
            -MAX_UNITS, MAX_UNITS, (len(SIZES) + 2 * len(SPECS),), np.float32
        )

    def pool(self) -> Start:
        """All requests, each with the initial state."""
        return self._start(self._requests.copy())

    def initial(self, n: int, rng: np.random.Generator) -> Start:
        return self._start(self._requests[rng.integers(len(self._requests), size=n)])

    def _start(self, context: Array) -> Start:
        state = np.concatenate([np.zeros(len(SIZES)), CENTRE_SPECS])
        return Start(np.tile(state, (len(context), 1)), context)

    def transition(self, state: Array, action: Array) -> Array:
        moved = np.clip(state[:, POSITION] + STEP * action, -1.0, 1.0)
        outcome = np.full((len(action), self.outcomes), np.nan)
        for row, position, specs in zip(outcome, moved, self.measure(moved), strict=True):
            if isinstance(specs, CallFailed):
                self.failures[specs.kind] += 1
            else:
                row[POSITION], row[MEASURED] = position, natural(specs)
        return outcome

    def measure(self, position: Array) -> Sequence[Array | CallFailed]:
        """Simulate gain [dB], unity-gain frequency [Hz], phase margin [degree] and power [W].

        Args:
            position: (n, 7) designs as positions in [-1, 1].

        Returns:
            For each design its specs (4,), or the failure of the call.
        """
        return self._simulators.map(list(physical(position)))

    def margins(self, outcome: Tensor, context: Tensor) -> Tensor:
        """Margins (n, 4) of the specs of states or outcomes over the request, in `UNITS`."""
        return (outcome[:, MEASURED] - context) / torch.from_numpy(UNITS).to(outcome)

    def observation(self, state: Tensor, context: Tensor) -> Tensor:
        centre, units = (torch.from_numpy(a).to(state) for a in (SHOWN_CENTRE, np.abs(UNITS)))
        shown = [state[:, POSITION], self.margins(state, context), (context - centre) / units]
        return torch.cat(shown, dim=1).clamp(-MAX_UNITS, MAX_UNITS)

    def reward(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        shortfall = (RESERVE - self.margins(outcome, context)).clamp(min=0).sum(dim=1)
        return BONUS * self.success(state, action, outcome, context).to(outcome) - shortfall

    def success(self, state: Tensor, action: Tensor, outcome: Tensor, context: Tensor) -> Tensor:
        """Flags (n,) of the designs whose every spec is at least as good as requested."""
        met: Tensor = (self.margins(outcome, context) >= 0).all(dim=1)
        return met

    def draw(
        self,
        figure: Any,
        state: Array,
        action: Array | None,
        outcome: Array | None,
        context: Array,
    ) -> None:
        """Draw the Bode plots of the initial and the current design, and the request."""
        from nondiff.envs.op_amp.pictures import draw_bode

        start = self._start(context[None]).state[0]
        draw_bode(figure.subplots(2, 1, sharex=True), start, outcome, context)

    def close(self) -> None:
        """End the simulators."""
        self._simulators.close()


def op_amp(
    pool: ContextPool = "training", workers: int = 2, render_mode: str | None = None
) -> BlackBoxEnv:
    """Make the environment; see `OpAmp`."""
    return BlackBoxEnv(OpAmp(pool, workers), render_mode)


def op_amp_vector(
    num_envs: int = 1,
    pool: ContextPool = "training",
    workers: int = 2,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
) -> BlackBoxVectorEnv:
    """Make the vectorized environment; see `OpAmp`."""
    box = OpAmp(pool, workers)
    return BlackBoxVectorEnv(box, num_envs, render_mode, max_episode_steps, autoreset_mode)
