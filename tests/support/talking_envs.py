"""An environment that prints in every way there is: `talking_envs:Talks-v0`."""

import atexit
import ctypes
import subprocess

import gymnasium
import numpy as np
from gymnasium import spaces

print("Talks: imported")
atexit.register(print, "Talks: at the end")


class Talks(gymnasium.Env):
    """Five steps of noise."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012
    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (1,))

    def __init__(self, render_mode=None):
        self.render_mode, self._now = render_mode, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._now = 0
        print("Talks: reset")
        c = ctypes.CDLL(None)
        c.write(1, b"Talks: written\n", 15)
        c.puts(b"Talks: of C")  # which is kept until the process ends
        subprocess.run(["echo", "Talks: child"], check=False)
        return self._seen(), {}

    def step(self, action):
        self._now += 1
        return self._seen(), float(action[0]), False, self._now == 5, {}

    def render(self):
        return np.zeros((40, 60, 3), np.uint8)

    def _seen(self):
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)


gymnasium.register("Talks-v0", entry_point=f"{__name__}:Talks")
