"""One running game of ViZDoom, whose engine is a separate process.

The only module that imports ViZDoom. Whatever happens to the engine, a call returns or raises
`EngineLost`.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nondiff.envs.doom.call_thread import LOOK_SECONDS, CallThread, Unanswered
from nondiff.envs.doom.frames import Pixels
from nondiff.envs.doom.launch import Launch
from nondiff.envs.doom.scenario import Scenario
from nondiff.errors import InvalidOptionError
from nondiff.gym.copying import NeverCopied
from nondiff.requirements import missing

OVERRIDE = Path("_vizdoom.cfg")  # which ViZDoom always reads from the working folder
START_SECONDS = 30.0  # [s] minimum timeout of a start, for busy machines
GRACE_SECONDS = 2.0  # [s] for ViZDoom to notice the engine's death
VARIABLES = {"kills": "KILLCOUNT", "ammo": "SELECTED_WEAPON_AMMO", "health": "HEALTH"}


class EngineLost(Exception):  # noqa: N818 - an event, not a misuse
    """The engine died, or hung and was killed; the message says which."""


@dataclass(frozen=True)
class Moment:
    """The state of the game between two actions.

    Args:
        screen: (height, width) in grey, or (height, width, 3) in colour; None after the episode.
        variables: the values of `VARIABLES`.
        reward: reward of the last action.
    """

    screen: Pixels | None
    variables: dict[str, float]
    reward: float = 0.0


def load_vizdoom() -> Any:
    """Import ViZDoom.

    Raises:
        MissingDependencyError: ViZDoom is not installed.
    """
    try:
        import vizdoom
    except ImportError as error:
        raise missing("vizdoom") from error
    return vizdoom


class Engine(NeverCopied):
    """A running game of a scenario, played synchronously.

    Args:
        scenario: the scenario.
        screen: name of ViZDoom's resolution, such as "160X120".
        colour: whether screens are in colour or grey.
        timeout: maximum time of a call [s].

    Raises:
        EngineLost: the engine did not start.
        MissingDependencyError: ViZDoom is not installed.
        InvalidOptionError: the working folder holds a file that would change the game.
    """

    instead = "`close` the environment first; then it and its copy continue with a reset"

    def __init__(self, scenario: Scenario, screen: str, colour: bool, timeout: float) -> None:
        vizdoom = load_vizdoom()
        if OVERRIDE.exists():
            raise InvalidOptionError(
                f"{OVERRIDE.absolute()} would change the game: move it, or start elsewhere"
            )
        game = _configured(vizdoom, scenario, screen, colour)
        self.episode_tics = int(game.get_episode_timeout())
        # The environment counts the time: after its own timeout the engine gives no screen.
        game.set_episode_timeout(0)
        launch = Launch(Path(vizdoom.__file__).with_name("vizdoom"))
        game.set_vizdoom_path(str(launch.program))
        self._game, self._launch, self._timeout = game, launch, timeout
        self._variables = {key: getattr(vizdoom.GameVariable, v) for key, v in VARIABLES.items()}
        self._calls = CallThread()
        # Runs once: when asked, when this object is collected, or as the interpreter exits.
        self.close = weakref.finalize(self, _close, os.getpid(), game, launch, self._calls)
        self._start()

    def _start(self) -> None:
        limit = max(self._timeout, START_SECONDS)
        launch = self._launch
        try:
            self._calls(self._game.init, lambda waited: waited < limit and not launch.has_failed())
        except Exception as error:  # ViZDoom's errors have no common base class
            reason = launch.output() or error
            launch.abandon()
            self.close()
            raise EngineLost(f"the engine did not start: {reason}") from error
        if not launch.started():
            raise EngineLost("the engine died as its start was over")

    @property
    def pid(self) -> int | None:
        """PID of the engine."""
        return self._launch.pid

    def new_episode(self, seed: int) -> Moment:
        """Begin an episode that depends on the seed alone."""
        return self._call(partial(self._begin, seed))

    def act(self, buttons: Sequence[int], tics: int) -> Moment:
        """Hold buttons down for `tics`, or until the episode ends."""
        return self._call(partial(self._make_action, list(buttons), tics))

    def _begin(self, seed: int) -> Moment:
        self._game.set_seed(seed)
        self._game.new_episode()
        return self._moment(0.0)

    def _make_action(self, buttons: list[int], tics: int) -> Moment:
        return self._moment(float(self._game.make_action(buttons, tics)))

    def _moment(self, reward: float) -> Moment:
        read = self._game.get_game_variable
        variables = {key: float(read(variable)) for key, variable in self._variables.items()}
        state = self._game.get_state()  # None after the scenario or the player's death
        return Moment(None if state is None else state.screen_buffer.copy(), variables, reward)

    def _call(self, function: Callable[[], Moment]) -> Moment:
        patience = _Patience(self._launch, self._timeout)
        try:
            moment: Moment = self._calls(function, patience)
            return moment
        except Exception as error:
            reason = "hung and was killed" if patience.has_killed else "died"
            raise EngineLost(f"the engine {reason} ({error})") from error


class _Patience:
    """Decides whether to keep waiting, and kills an engine after its timeout."""

    def __init__(self, launch: Launch, timeout: float) -> None:
        self._launch = launch
        self._timeout = timeout
        self._dead_for = 0.0
        self.has_killed = False

    def __call__(self, waited: float) -> bool:
        if not self._launch.is_alive():
            self._dead_for += LOOK_SECONDS
        elif waited > self._timeout:
            self.has_killed = True
            self._launch.kill()
        return max(self._dead_for, waited - self._timeout) < GRACE_SECONDS


def _configured(vizdoom: Any, scenario: Scenario, screen: str, colour: bool) -> Any:
    game = vizdoom.DoomGame()
    game.load_config(str(Path(vizdoom.scenarios_path) / scenario.config))
    game.set_available_buttons([getattr(vizdoom.Button, name) for name in scenario.buttons])
    game.set_doom_game_path(str(Path(vizdoom.__file__).with_name("freedoom2.wad")))
    game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{screen}"))
    game.set_screen_format(vizdoom.ScreenFormat.RGB24 if colour else vizdoom.ScreenFormat.GRAY8)
    game.set_window_visible(False)
    game.set_mode(vizdoom.Mode.PLAYER)
    # Without this, the visible swing of the weapon would carry over to the next episode.
    game.add_game_args("+movebob 0")
    return game


def _close(owner: int, game: Any, launch: Launch, calls: CallThread) -> None:
    """End the engine, and free ViZDoom's resources."""
    if os.getpid() != owner:  # a forked process, which has neither the engine nor the thread
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(game))
        return
    launch.kill()
    if not calls.is_stuck and game.is_running():
        # ViZDoom's own `close` waits while holding the GIL, so that nothing could end the wait. An
        # action that finds the engine dead frees the same resources.
        try:
            calls(lambda: game.advance_action(1), lambda waited: waited < GRACE_SECONDS)
        except Unanswered:
            pass
        except Exception:  # noqa: S110 - expected: the engine is dead
            pass
    if calls.is_stuck:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(game))  # freeing it would hang
    calls.end()
