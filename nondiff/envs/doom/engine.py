"""One running game: ViZDoom, whose engine is a process of its own.

The only module that imports ViZDoom. Whatever happens to the engine, a call ends with an answer or
with `EngineLost`.
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

from nondiff.envs.doom.caller import LOOK_SECONDS, Caller, Unanswered
from nondiff.envs.doom.frames import Pixels
from nondiff.envs.doom.launch import Launch
from nondiff.envs.doom.scenario import Scenario
from nondiff.errors import InvalidOptionError
from nondiff.gym.copying import NeverCopied
from nondiff.requirements import missing

OVERRIDE = Path("_vizdoom.cfg")  # which ViZDoom reads from the current folder, whatever one says
START_SECONDS = 30.0  # that a start may take at least, on a busy machine
GRACE_SECONDS = 2.0  # after the engine's death, for ViZDoom to notice
VARIABLES = {"kills": "KILLCOUNT", "ammo": "SELECTED_WEAPON_AMMO", "health": "HEALTH"}


class EngineLost(Exception):  # noqa: N818 - an event, not an error of the caller
    """The engine died, or hung and was killed; the message says which."""


@dataclass(frozen=True)
class Moment:
    """What there is to see between two actions.

    Args:
        screen: (height, width), or (height, width, 3) in colour; None once the episode has ended.
        variables: the values of `VARIABLES`.
        reward: since the last moment.
    """

    screen: Pixels | None
    variables: dict[str, float]
    reward: float = 0.0


def load_vizdoom() -> Any:
    """ViZDoom's module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import vizdoom
    except ImportError as error:
        raise missing("vizdoom") from error
    return vizdoom


class Engine(NeverCopied):
    """A game of a scenario, waiting for actions.

    Args:
        scenario: what is played.
        screen: name of ViZDoom's resolution, such as "160X120".
        colour: whether screens are in colour, or grey.
        timeout: how long a call may take [s].

    Raises:
        EngineLost: it did not start.
        MissingDependencyError: ViZDoom is not installed.
        InvalidOptionError: the current folder holds a file that would change the game.
    """

    instead = "`close` the environment before; it and its copy go on with a reset"

    def __init__(self, scenario: Scenario, screen: str, colour: bool, timeout: float) -> None:
        vizdoom = load_vizdoom()
        if OVERRIDE.exists():
            raise InvalidOptionError(
                f"{OVERRIDE.absolute()} would change the game: move it, or start elsewhere"
            )
        game = _configured(vizdoom, scenario, screen, colour)
        self.episode_tics = int(game.get_episode_timeout())
        # The environment counts time: the engine would show no screen when it is over.
        game.set_episode_timeout(0)
        launch = Launch(Path(vizdoom.__file__).with_name("vizdoom"))
        game.set_vizdoom_path(str(launch.program))
        self._game, self._launch, self._timeout = game, launch, timeout
        self._variables = {key: getattr(vizdoom.GameVariable, v) for key, v in VARIABLES.items()}
        self._caller = Caller()
        # Runs once: when asked, when this object is collected, or as the interpreter exits.
        self.close = weakref.finalize(self, _close, os.getpid(), game, launch, self._caller)
        self._start()

    def _start(self) -> None:
        limit = max(self._timeout, START_SECONDS)
        launch = self._launch
        try:
            self._caller(self._game.init, lambda waited: waited < limit and not launch.has_failed())
        except Exception as error:  # ViZDoom's have no common base
            reason = launch.output() or error
            launch.abandon()
            self.close()
            raise EngineLost(f"the engine did not start: {reason}") from error
        if not launch.started():
            raise EngineLost("the engine died as its start was over")

    @property
    def pid(self) -> int | None:
        """Number of the engine's process."""
        return self._launch.pid

    def new_episode(self, seed: int) -> Moment:
        """Begin an episode that depends on the seed alone."""
        return self._call(partial(self._begin, seed))

    def act(self, buttons: Sequence[int], tics: int) -> Moment:
        """Hold buttons down for so many tics, or until the episode ends."""
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
        state = self._game.get_state()  # None when the scenario is over, or the player dead
        return Moment(None if state is None else state.screen_buffer.copy(), variables, reward)

    def _call(self, function: Callable[[], Moment]) -> Moment:
        patience = _Patience(self._launch, self._timeout)
        try:
            moment: Moment = self._caller(function, patience)
            return moment
        except Exception as error:
            reason = "hung and was killed" if patience.has_killed else "died"
            raise EngineLost(f"the engine {reason} ({error})") from error


class _Patience:
    """Decides whether to wait on, and kills an engine that has taken too long."""

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
    # The swing of the weapon goes on from one episode into the next, and shows.
    game.add_game_args("+movebob 0")
    return game


def _close(owner: int, game: Any, launch: Launch, caller: Caller) -> None:
    """End the engine, and free what ViZDoom keeps of it."""
    if os.getpid() != owner:  # a forked process has a copy of all but the engine and the threads
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(game))
        return
    launch.kill()
    if not caller.is_stuck and game.is_running():
        # ViZDoom's own `close` waits with Python's lock held, so that nothing could end the wait;
        # an action that finds the engine dead frees the same.
        try:
            caller(lambda: game.advance_action(1), lambda waited: waited < GRACE_SECONDS)
        except Unanswered:
            pass
        except Exception:  # noqa: S110 - as meant: it says that the engine is dead
            pass
    if caller.is_stuck:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(game))  # freeing it would wait for ever
    caller.end()
