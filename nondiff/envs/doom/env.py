"""The Gymnasium environment of a Doom scenario."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from nondiff.envs.doom.camera import Camera, check_display
from nondiff.envs.doom.engine import Engine, EngineLost, load_vizdoom
from nondiff.envs.doom.frames import HEIGHT, WIDTH, FrameStack, Pixels
from nondiff.envs.doom.scenario import BASIC, DEFEND_THE_CENTER, TIC_RATE, Buttons, Scenario
from nondiff.errors import EnvironmentFailedError, InvalidActionError, InvalidOptionError
from nondiff.gym.copying import DeepCopied
from nondiff.gym.reset_arguments import check_options
from nondiff.gym.step_limit import CountsItsSteps
from nondiff.validation import check_number, check_whole

Info = dict[str, Any]

RENDER_MODES = ("human", "rgb_array", "rgb_array_list")
RESOLUTION = "160X120"  # of observed screens
MAX_LOSSES = 3  # consecutive lost engines, without a step between
MIN_TIMEOUT, MAX_TIMEOUT = 1e-3, 1e6  # [s]
MAX_FRAMES = 32  # maximum of frame_stack and frame_skip
MAX_SEED = 2**31 - 1  # that the engine accepts


class DoomEnv(DeepCopied, CountsItsSteps, gymnasium.Env[Pixels, np.int64]):
    """A scenario of ViZDoom (Kempka et al. 2016, arXiv:1605.02097), played synchronously.

    Observations are the last `frame_stack` grey screens (frame_stack, HEIGHT, WIDTH), oldest first.
    Actions are those of the scenario; each holds buttons down for `frame_skip` tics of 1/35 s.
    Rewards and episode lengths are the scenario's own, unscaled. An episode terminates when the
    scenario ends or the player dies, and is truncated when its time is over. It is also truncated
    when the engine is lost, with the last observation, a reward of 0, and the flags `engine_lost`
    and `failed` in `info`; the next reset starts a new engine. `info` also holds `kills`, `ammo`,
    `health` and `tics`. There is no `is_success`: runs would stop at the first policy that
    succeeds, although faster success earns more reward.

    Args:
        scenario: the scenario.
        frame_skip: tics per step; with more than 2, shots come too late and turns are too coarse.
        frame_stack: screens per observation.
        engine_timeout: maximum time of a start, a step or a reset, after which the engine is killed
            and counts as lost [s].
        render_mode: None; "rgb_array", a picture per call; "rgb_array_list", the pictures since the
            last call, one per tic; or "human", a window. A second engine that repeats the episode
            makes the pictures, so that rendering does not change observations.

    Raises:
        InvalidOptionError: an argument outside these choices.
        InvalidActionError: from `step`, an unknown action.
        MissingDependencyError: ViZDoom is not installed, or "human" without a display.
        EnvironmentFailedError: `MAX_LOSSES` consecutive engines were lost.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": TIC_RATE,
    }

    def __init__(
        self,
        scenario: Scenario,
        frame_skip: int = 2,
        frame_stack: int = 4,
        engine_timeout: float = 30.0,
        render_mode: str | None = None,
    ) -> None:
        _check_options(frame_skip, frame_stack, engine_timeout, render_mode)
        load_vizdoom()
        self.render_mode = render_mode
        self.metadata = {  # type: ignore[misc]
            "render_modes": list(RENDER_MODES),
            "render_fps": TIC_RATE / frame_skip,
            "frames_per_step": frame_skip,
        }
        self.scenario = scenario
        self._frame_skip = frame_skip
        self._timeout = engine_timeout
        self._stack = FrameStack(frame_stack)
        self._player: Engine | None = None
        self._camera: Camera | None = None
        self._losses = 0
        self._tics = 0
        self._is_playing = False
        self._variables: dict[str, float] = {}
        self.action_space = spaces.Discrete(len(scenario.actions))
        self.observation_space = spaces.Box(0, 255, (frame_stack, HEIGHT, WIDTH), np.uint8)

    @property
    def max_episode_steps(self) -> int:
        return -(-self.scenario.tics // self._frame_skip)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, Info]:
        """Start an episode that depends on the seed alone."""
        check_options(options)
        super().reset(seed=seed)
        engine_seed = int(self.np_random.integers(MAX_SEED, endpoint=True))
        self._begin(engine_seed)
        self._tics = 0
        self._is_playing = True
        return self._stack.observation(), self._told()

    def _begin(self, seed: int) -> None:
        while True:
            try:
                player = self._opened()
                moment = player.new_episode(seed)
                if self._camera:
                    self._camera.new_episode(seed)
                if moment.screen is None:
                    raise EngineLost("the engine began an episode that was over")
                self._variables = moment.variables
                self._stack.begin(moment.screen)
                return
            except EngineLost as loss:
                self._lose(loss)

    def _opened(self) -> Engine:
        if self._player is None:
            self._player = Engine(self.scenario, RESOLUTION, colour=False, timeout=self._timeout)
        if self._camera is None and self.render_mode is not None:
            self._camera = Camera(self.scenario, self.render_mode, self._timeout)
        return self._player

    def step(self, action: np.int64) -> tuple[Pixels, float, bool, bool, Info]:
        """Hold buttons down for `frame_skip` tics, or until the episode ends."""
        buttons = _buttons(self.scenario, action)
        player = self._player
        if player is None or not self._is_playing:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset")
        tics = min(self._frame_skip, player.episode_tics - self._tics)
        try:
            moment = player.act(buttons, tics)
            if self._camera:
                self._camera.act(buttons, tics)
        except EngineLost as loss:
            self._lose(loss)
            return self._stack.observation(), 0.0, False, True, self._told(engine_lost=True)
        self._losses = 0
        self._tics += tics
        self._variables = moment.variables
        self._stack.append(moment.screen)
        terminated = moment.screen is None
        truncated = not terminated and self._tics >= player.episode_tics
        self._is_playing = not (terminated or truncated)
        return self._stack.observation(), moment.reward, terminated, truncated, self._told()

    def _lose(self, loss: EngineLost) -> None:
        """End both engines, and count the loss.

        Raises:
            EnvironmentFailedError: too many consecutive engines were lost.
        """
        self.close()
        self._losses += 1
        if self._losses >= MAX_LOSSES:
            self._losses = 0
            raise EnvironmentFailedError(
                f"{MAX_LOSSES} engines of {self.scenario.config} were lost in a row; "
                f"the last time {loss}"
            ) from loss

    def _told(self, engine_lost: bool = False) -> Info:
        variables = {name: np.float64(value) for name, value in self._variables.items()}
        lost = np.bool_(engine_lost)
        return {**variables, "tics": np.int64(self._tics), "engine_lost": lost, "failed": lost}

    def render(self) -> Any:
        """A picture (480, 640, 3), a list of pictures, or None, depending on `render_mode`."""
        if self._camera is None or self.render_mode == "human":
            return None
        return self._camera.picture()

    @property
    def engine_pids(self) -> list[int]:
        """PIDs of the running engines."""
        pids = [self._player and self._player.pid, self._camera and self._camera.pid]
        return [pid for pid in pids if pid]

    def close(self) -> None:
        """End the engines; a later reset starts new ones."""
        self._is_playing = False
        for engine in (self._player, self._camera):
            if engine is not None:
                engine.close()
        self._player = self._camera = None


def _buttons(scenario: Scenario, action: Any) -> Buttons:
    choices = list(scenario.actions.values())
    try:
        index = operator.index(action)
    except TypeError:
        index = -1
    if not 0 <= index < len(choices):
        names = ", ".join(f"{number} {name}" for number, name in enumerate(scenario.actions))
        raise InvalidActionError(f"action {action!r} is unknown; choose from {names}")
    return choices[index]


def _check_options(
    frame_skip: int, frame_stack: int, engine_timeout: float, render_mode: str | None
) -> None:
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise InvalidOptionError(
            f"render_mode {render_mode!r} is unknown; choose from {', '.join(RENDER_MODES)} or None"
        )
    check_whole("frame_skip", frame_skip, 1, MAX_FRAMES)
    check_whole("frame_stack", frame_stack, 1, MAX_FRAMES)
    check_number("engine_timeout", engine_timeout, MIN_TIMEOUT, MAX_TIMEOUT, "s")
    if render_mode == "human":
        check_display()


doom_basic = partial(DoomEnv, BASIC)
doom_defend_the_center = partial(DoomEnv, DEFEND_THE_CENTER)
