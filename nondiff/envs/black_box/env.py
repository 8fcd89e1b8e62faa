"""The ordinary Gymnasium environment made from a black box."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.envs.black_box.contract import Array, BlackBox, Start, failed_rows
from nondiff.envs.black_box.meter import Meter
from nondiff.envs.copying import DeepCopied
from nondiff.envs.errors import InvalidActionError
from nondiff.envs.wrapping import changing_wrapper

Info = dict[str, Any]


class BlackBoxEnv(DeepCopied, gymnasium.Env[Any, NDArray[np.float32]]):
    """One episode of a black box at a time.

    Actions beyond the Box are clipped. `info` holds `failed`, the `outcome` of the last transition,
    and `is_success` where the black box defines it. A failure ends the episode with the black
    box's `failure_reward`.

    Args:
        box: the black box.

    Raises:
        InvalidActionError: from `step`, an action of the wrong shape or not finite.
    """

    def __init__(self, box: BlackBox) -> None:
        self.box = box
        self.meter = Meter(box)
        self.observation_space = box.observation_space
        self.action_space = box.action_space  # type: ignore[assignment]
        self._episodes = Episodes(self.meter)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Info]:
        """Draw a start, which depends on the seed alone."""
        super().reset(seed=seed)
        self._episodes.start(self.box.initial(1, self.np_random))
        return self._observation(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, Info]:
        """Run the black box once."""
        reward, terminated, truncated, info = self._episodes.step(
            checked(self.box, action, ())[None]
        )
        one = {key: values[0] for key, values in info.items()}
        for flag in ("failed", "is_success"):
            if flag in one:
                one[flag] = bool(one[flag])
        return self._observation(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), one

    def close(self) -> None:
        """End what runs for the black box."""
        self.box.close()

    def _observation(self) -> Any:
        return spaces.unflatten(self.observation_space, self._episodes.observations()[0])


class Episodes:
    """Episodes of a black box under way, one a row; shared by the plain and the vector environment.

    Args:
        meter: what transitions pass through.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._box = meter.box
        self.state: Array = np.zeros((0, 0))
        self.context: Array = np.zeros((0, 0))
        self._steps: NDArray[np.int64] = np.zeros(0, np.int64)

    def start(self, start: Start) -> None:
        """Begin one episode a row."""
        self.state, self.context = start.state.copy(), start.context.copy()
        self._steps = np.zeros(len(start.context), np.int64)

    def restart(self, rows: NDArray[np.intp], start: Start) -> None:
        """Begin the episodes of some rows again."""
        self.state[rows], self.context[rows], self._steps[rows] = start.state, start.context, 0

    def observations(self) -> NDArray[np.float32]:
        """What is seen at present, (n, observation), flattened."""
        with torch.no_grad():
            seen = self._box.observation(*map(torch.from_numpy, (self.state, self.context)))
        return seen.numpy().astype(np.float32)

    def step(
        self, action: Array
    ) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[Any]]]:
        """Rewards (n,), terminated (n,), truncated (n,) and the infos, an array of n each."""
        outcome = self._meter.transition(self.state, action)
        failed = failed_rows(outcome)
        reward = np.full(len(action), self._box.failure_reward)
        info: dict[str, NDArray[Any]] = {"failed": failed, "outcome": outcome}
        terminated = failed.copy()
        rows = np.flatnonzero(~failed)
        parts = [torch.from_numpy(a[rows]) for a in (self.state, action, outcome, self.context)]
        with torch.no_grad():
            reward[rows] = self._box.reward(*parts).numpy()
            self.state[rows] = self._box.next_state(parts[0], parts[2]).numpy()
            success = self._box.success(*parts)
        if success is not None:
            info["is_success"] = np.zeros(len(action), bool)
            info["is_success"][rows] = success.numpy()
            terminated |= info["is_success"]
        self._steps += 1
        if self._box.horizon == 1:  # the one step is the whole problem: nothing was cut off
            return reward, np.ones(len(action), bool), np.zeros(len(action), bool), info
        return reward, terminated, ~terminated & (self._steps >= self._box.horizon), info


def checked(box: BlackBox, action: Any, batch: tuple[int, ...]) -> Array:
    """An action, or a batch of them, as float64 within the Box.

    Raises:
        InvalidActionError: the wrong shape, or an entry that is NaN or infinite.
    """
    space = box.action_space
    try:
        values = np.asarray(action, np.float64)
    except (TypeError, ValueError):
        raise InvalidActionError(f"action {action!r} is no array of numbers") from None
    wanted = (*batch, *space.shape)
    if values.shape != wanted:
        raise InvalidActionError(f"action has shape {values.shape}; this takes {wanted}")
    if not np.isfinite(values).all():
        raise InvalidActionError(
            f"action {values.tolist()} is not finite; entries must be within {space}"
        )
    return np.clip(values, space.low.astype(np.float64), space.high.astype(np.float64))


def find_black_box(env: gymnasium.Env[Any, Any]) -> BlackBox | None:
    """The black box that an environment is made from or offers as `black_box()`, if any.

    One in a wrapper that changes what it does, or cuts its episodes short, is another problem than
    the black box, and has none.
    """
    inner = env.unwrapped
    offered = getattr(inner, "black_box", None)
    box = inner.box if isinstance(inner, BlackBoxEnv) else offered() if callable(offered) else None
    if not isinstance(box, BlackBox) or changing_wrapper(env, box.horizon) is not None:
        return None
    return box
