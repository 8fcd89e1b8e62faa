"""The Gymnasium environment made from a black box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.black_box.contract import Array, BlackBox, Start, failed_rows
from nondiff.black_box.meter import Meter
from nondiff.errors import InvalidActionError, InvalidOptionError
from nondiff.gym.copying import DeepCopied
from nondiff.gym.reset_arguments import check_options
from nondiff.gym.step_limit import CountsItsSteps
from nondiff.gym.wrapping import changing_wrapper

Info = dict[str, Any]
Infos = dict[str, NDArray[Any]]  # one row per episode

RENDER_MODES = ("rgb_array",)
ANSWERS_RATE, STEPS_RATE = 1, 5  # [Hz] frame rates of one-step and of many-step episodes


class BlackBoxEnv(DeepCopied, CountsItsSteps, gymnasium.Env[Any, NDArray[np.float32]]):
    """A black box as a Gymnasium environment.

    Actions outside the Box are clipped. `info` holds `failed`; `outcome`, the result of the last
    transition, NaN before the first; and `is_success` if the black box defines success. A failure
    terminates the episode with the black box's `failure_reward`.

    Args:
        box: the black box.
        render_mode: None; or "rgb_array", a picture of the last transition.

    Raises:
        InvalidOptionError: an unknown render mode.
        InvalidActionError: from `step`, an action of the wrong shape or not finite.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": ANSWERS_RATE,
    }

    def __init__(self, box: BlackBox, render_mode: str | None = None) -> None:
        self.box = box
        self.metadata = metadata_of(box)  # type: ignore[misc]
        self.meter = Meter(box)
        self.observation_space = box.observation_space
        self.action_space = box.action_space  # type: ignore[assignment]
        self.render_mode = checked_render_mode(render_mode)
        self._episodes = Episodes(self.meter)

    @property
    def max_episode_steps(self) -> int:
        return self.box.horizon

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Info]:
        """Sample a start, which depends on the seed alone."""
        check_options(options)
        super().reset(seed=seed)
        return self.begin(self.box.initial(1, self.np_random))

    def begin(self, start: Start) -> tuple[Any, Info]:
        """Begin an episode at a start of one row."""
        info = self._episodes.start(start)
        return self._observation(), _first(info)

    def step(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, Info]:
        """Run the black box once."""
        reward, terminated, truncated, info = self._episodes.step(
            checked(self.box, action, ())[None]
        )
        ends = bool(terminated[0]), bool(truncated[0])
        return self._observation(), float(reward[0]), *ends, _first(info)

    def set_render_mode(self, render_mode: str | None) -> None:
        """Change the render mode.

        Raises:
            InvalidOptionError: the mode is neither None nor "rgb_array".
        """
        self.render_mode = checked_render_mode(render_mode)

    def render(self) -> Any:
        """A picture (height, width, 3) of the last transition; None without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render gives nothing without a render mode: make the environment with "
                "render_mode='rgb_array'"
            )
            return None
        return self._episodes.picture(0)

    def draw(self, figure: Any) -> None:
        """Draw the last transition into an empty matplotlib figure, whatever the render mode."""
        self._episodes.draw(figure, 0)

    def close(self) -> None:
        """Release the resources of the black box."""
        self.box.close()

    def _observation(self) -> Any:
        return spaces.unflatten(self.observation_space, self._episodes.observations()[0])


class Episodes:
    """The running episodes of a black box, one per row, of a single or vectorized environment.

    Args:
        meter: counts the transitions.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._box = meter.box
        self.state: Array = np.zeros((0, 0))
        self.context: Array = np.zeros((0, 0))
        self.steps: NDArray[np.int64] = np.zeros(0, np.int64)
        self._last: LastTransitions | None = None
        self._outcomes = meter.box.outcomes

    def start(self, start: Start) -> Infos:
        """Begin one episode per row.

        Returns:
            the infos, with the same keys and types as those of `step`.
        """
        self.state, self.context = start.state.copy(), start.context.copy()
        self.steps = np.zeros(len(start.context), np.int64)
        self._last = None
        return self._infos_at_start(len(self.steps))

    def restart(self, rows: NDArray[np.intp], start: Start) -> Infos:
        """Begin new episodes in some rows; returns their infos."""
        self.state[rows], self.context[rows], self.steps[rows] = start.state, start.context, 0
        return self._infos_at_start(len(rows))

    def observations(self) -> NDArray[np.float32]:
        """The flattened current observations (n, observation)."""
        with torch.no_grad():
            seen = self._box.observation(*map(torch.from_numpy, (self.state, self.context)))
        return seen.numpy().astype(np.float32)

    def step(
        self, action: Array, which: NDArray[np.intp] | None = None
    ) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_], Infos]:
        """Step rows; returns rewards (n,), terminated (n,), truncated (n,) and infos (n, ...).

        Args:
            action: (n, action).
            which: (n,) indices of the rows to step; None: all.
        """
        which = np.arange(len(self.steps)) if which is None else which
        state, context = self.state[which], self.context[which]
        outcome = self._meter.transition(state, action)
        self._note(which, LastTransitions(state, action, outcome.copy(), context))
        failed = failed_rows(outcome)
        reward = np.full(len(action), self._box.failure_reward)
        info: Infos = {"failed": failed, "outcome": outcome}
        terminated = failed.copy()
        rows = np.flatnonzero(~failed)
        parts = [torch.from_numpy(a[rows]) for a in (state, action, outcome, context)]
        with torch.no_grad():
            reward[rows] = self._box.reward(*parts).numpy()
            self.state[which[rows]] = self._box.next_state(parts[0], parts[2]).numpy()
            success = self._box.success(*parts)
        if success is not None:
            info["is_success"] = np.zeros(len(action), bool)
            info["is_success"][rows] = success.numpy()
            terminated |= info["is_success"]
        self.steps[which] += 1
        if self._box.horizon == 1:  # one-step problems terminate; nothing is truncated
            return reward, np.ones(len(action), bool), np.zeros(len(action), bool), info
        return reward, terminated, ~terminated & (self.steps[which] >= self._box.horizon), info

    def _note(self, which: NDArray[np.intp], last: LastTransitions) -> None:
        """Store the last transitions of some rows, for pictures."""
        self._outcomes = last.outcome.shape[1]
        if self._last is None or len(which) == len(self.steps):
            self._last = last
            return
        for name in ("state", "action", "outcome", "context"):
            getattr(self._last, name)[which] = getattr(last, name)

    def draw(self, figure: Any, row: int) -> None:
        """Draw the last transition of a row, or its start if there is none yet."""
        if len(self.steps) == 0:
            raise gymnasium.error.ResetNeeded("there is nothing to draw yet: call reset")
        if self._last is None:
            self._box.draw(figure, self.state[row], None, None, self.context[row])
        else:
            self._box.draw(figure, *self._last.row(row))

    def picture(self, row: int) -> Any:
        """Draw the last transition of a row as a picture (height, width, 3)."""
        from nondiff.black_box.pictures import picture

        return picture(lambda figure: self.draw(figure, row))

    def _infos_at_start(self, count: int) -> Infos:
        width = self._outcomes
        if width is None:
            width = self.state.shape[1] if self._box.horizon > 1 else 0
        info: Infos = {
            "failed": np.zeros(count, bool),
            "outcome": np.full((count, width), np.nan),
        }
        if self._reports_success(width):
            info["is_success"] = np.zeros(count, bool)
        return info

    def _reports_success(self, width: int) -> bool:
        """Whether `success` returns flags, found by calling it with zero rows."""
        if type(self._box).success is BlackBox.success or width == 0:
            return type(self._box).success is not BlackBox.success
        widths = self.state.shape[1], *self._box.action_space.shape, width, self.context.shape[1]
        with torch.no_grad():
            found = self._box.success(*(torch.zeros((0, one)).double() for one in widths))
        return found is not None


@dataclass(frozen=True)
class LastTransitions:
    """The last transition of each row; see `BlackBox.draw`."""

    state: Array
    action: Array
    outcome: Array
    context: Array

    def row(self, number: int) -> tuple[Array, Array, Array, Array]:
        """The last transition of one row."""
        parts = self.state, self.action, self.outcome, self.context
        state, action, outcome, context = (part[number] for part in parts)
        return state, action, outcome, context


def metadata_of(box: BlackBox) -> dict[str, Any]:
    """The Gymnasium metadata of a black box's environments."""
    rate = ANSWERS_RATE if box.horizon == 1 else STEPS_RATE
    return {"render_modes": list(RENDER_MODES), "render_fps": rate}


def checked_render_mode(mode: str | None) -> str | None:
    """Validate a render mode.

    Raises:
        InvalidOptionError: an unknown mode.
    """
    if mode is not None and mode not in RENDER_MODES:
        choices = ", ".join(RENDER_MODES)
        raise InvalidOptionError(f"render_mode {mode!r} is unknown; choose from {choices} or None")
    return mode


def _first(infos: Infos) -> Info:
    """The info of the first row, as numpy scalars and arrays."""
    return {key: values[0] for key, values in infos.items()}


def checked(box: BlackBox, action: Any, batch: tuple[int, ...]) -> Array:
    """Convert an action, or a batch of actions, to float64, clipped to the Box.

    Raises:
        InvalidActionError: a wrong shape, or an entry that is NaN or infinite.
    """
    space = box.action_space
    try:
        values = np.asarray(action, np.float64)
    except (TypeError, ValueError):
        raise InvalidActionError(f"action {action!r} is not an array of numbers") from None
    wanted = (*batch, *space.shape)
    if values.shape != wanted:
        raise InvalidActionError(f"action has shape {values.shape}; this takes {wanted}")
    if not np.isfinite(values).all():
        raise InvalidActionError(
            f"action {values.tolist()} is not finite; entries must be within {space}"
        )
    return np.clip(values, space.low.astype(np.float64), space.high.astype(np.float64))


def find_black_box(env: gymnasium.Env[Any, Any]) -> BlackBox | None:
    """The black box that an environment is made from, or offers as `black_box()`, if any.

    An environment in a wrapper that changes its behaviour, or truncates its episodes earlier, poses
    a different problem, so it has none.
    """
    inner = env.unwrapped
    offered = getattr(inner, "black_box", None)
    box = inner.box if isinstance(inner, BlackBoxEnv) else offered() if callable(offered) else None
    if not isinstance(box, BlackBox) or changing_wrapper(env, box.horizon) is not None:
        return None
    return box
