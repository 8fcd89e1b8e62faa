"""An environment that breaks in a chosen way at a chosen moment: `faulty_envs:Breaks-v0`."""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class BadlyPickledError(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, one, two):
        super().__init__(one)


def _raise():
    raise ValueError("no such joint:\n left")


def _interrupt():
    raise KeyboardInterrupt


def _die():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1000)


def _hang_in_c():
    re.match(r"(a+)+$", "a" * 40 + "b")  # holds the interpreter's lock for hours


FAULTS = {
    "raise": _raise,
    "interrupt": _interrupt,
    "exit": lambda: os._exit(3),
    "sys.exit": lambda: exit(3),
    "kill": _die,
    "nap": lambda: time.sleep(2),
    "sleep": lambda: time.sleep(1000),
    "hang": _hang_in_c,
    "lock": threading.Lock,  # can't be pickled
    "stranger": lambda: BadlyPickledError(1, 2),
}


class Breaks(gymnasium.Env):
    """Observes the numbers of episode and step and a random one; the reward is the step's.

    Args:
        fault: one of `FAULTS`; what it returns goes into the info.
        where: "make", "reset", "step" or "close".
        at: the how-manieth reset or step of this instance breaks.
        seed: if given, only an environment reset with it breaks.
        flag: if given, a path: the environment that creates it breaks, others don't.
        horizon: steps an episode.
        pause: what a step takes [s].
        child: if given, a path: a process that sleeps on is started, and its number written there.
        size: entries of the observation.
    """

    metadata: ClassVar = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        fault="raise",
        where="step",
        at=0,
        seed=None,
        flag=None,
        horizon=5,
        pause=0.0,
        child=None,
        size=3,
        render_mode=None,
    ):
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,))
        self.action_space = spaces.Box(-1, 1, (1,))
        self.render_mode = render_mode
        self.seeds = []
        self._fault, self._where, self._at, self._flag = FAULTS[fault], where, at, flag
        self._only, self._horizon, self._pause, self._size = seed, horizon, pause, size
        self._resets = self._steps = self._step = 0
        if child is not None:
            with Path(child).open("a") as file:
                sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
                file.write(f"{sleeper.pid}\n")
        self._break("make", at)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.seeds.append(seed)
        self._resets += 1
        self._step = 0
        info = {"fault": self._break("reset", self._resets), "options": options}
        return self._observe(), info

    def step(self, action):
        time.sleep(self._pause)
        self._steps += 1
        self._step += 1
        info = {"fault": self._break("step", self._steps)}
        return self._observe(), float(self._step), False, self._step == self._horizon, info

    def render(self):
        return np.full((2, 2, 3), self._step, np.uint8)

    def close(self):
        self._break("close", self._at)

    def pid(self):
        return os.getpid()

    def fail(self, fault):
        return FAULTS[fault]()

    def children_of_signals(self):
        """How a process started here takes SIGINT and SIGTERM: the masks of what it ignores."""
        status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True)
        return [
            line for line in status.stdout.splitlines() if line.startswith(("SigIgn", "SigBlk"))
        ]

    def _observe(self):
        rest = self.np_random.uniform(size=self._size - 2)
        return np.array([self._resets, self._step, *rest], np.float32)

    def _break(self, where, now):
        if (where, now) != (self._where, self._at):
            return None
        if self._only is not None and self._only not in self.seeds:
            return None
        if self._flag is not None:
            try:
                Path(self._flag).touch(exist_ok=False)
            except FileExistsError:
                return None
        return self._fault()


gymnasium.register("Breaks-v0", entry_point=Breaks, disable_env_checker=True)
