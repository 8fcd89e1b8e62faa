"""Small environments, registered as any user registers theirs: `small_envs:GoTo-v0`."""

import gymnasium
import numpy as np
from gymnasium import spaces


class GoTo(gymnasium.Env):
    """One step: the action should be the observed target; the reward is -10 times the distance."""

    def __init__(self):
        self.observation_space = spaces.Box(-1, 1, (2,))
        self.action_space = spaces.Box(-1, 1, (2,))
        self._target = np.zeros(2, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._target = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self._target.copy(), {}

    def step(self, action):
        distance = float(np.linalg.norm(action - self._target))
        return self._target.copy(), -10 * distance, True, False, {}


class Quadrant(gymnasium.Env):
    """One step: the action should be the number of the quadrant that the observation is in."""

    def __init__(self):
        self.observation_space = spaces.Box(-1, 1, (2,))
        self.action_space = spaces.Discrete(4)
        self._point = np.zeros(2, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._point = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self._point.copy(), {}

    def step(self, action):
        return self._point.copy(), float(action == quadrant(self._point)), True, False, {}


def quadrant(point):
    return int(point[0] > 0) + 2 * int(point[1] > 0)


class BitFlip(gymnasium.Env):
    """An action flips a bit; the goal is a row of bits (Andrychowicz 2017, section 3.1)."""

    def __init__(self, bits=4):
        bit = spaces.Box(0, 1, (bits,))
        self.observation_space = spaces.Dict(
            {"observation": bit, "achieved_goal": bit, "desired_goal": bit}
        )
        self.action_space = spaces.Discrete(bits)
        self._state = self._goal = np.zeros(bits, np.float32)
        self._steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        bits = self.np_random.integers(0, 2, (2, len(self._state)))
        self._state, self._goal = bits.astype(np.float32)
        self._steps = 0
        return self._observe(), {}

    def step(self, action):
        self._state[action] = 1 - self._state[action]
        self._steps += 1
        reward = float(self.compute_reward(self._state, self._goal, {}))
        return self._observe(), reward, reward == 0, self._steps == len(self._state), {}

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.asarray(achieved_goal) != desired_goal).any(axis=-1).astype(np.float32)

    def _observe(self):
        state, goal = self._state.copy(), self._goal.copy()
        return {"observation": state, "achieved_goal": state.copy(), "desired_goal": goal}


class Picture(gymnasium.Env):
    """Random images, for five steps an episode."""

    def __init__(self):
        self.observation_space = spaces.Box(0, 255, (36, 36, 3), np.uint8)
        self.action_space = spaces.Box(-1, 1, (1,))
        self._step = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._image(), {}

    def step(self, action):
        self._step += 1
        return self._image(), float(action[0]), False, self._step == 5, {}

    def _image(self):
        return self.np_random.integers(0, 256, (36, 36, 3), np.uint8)


class Faulty(gymnasium.Env):
    """Returns a NaN once, in the reward or the observation, at a step counted over episodes.

    Args:
        fault: "reward" or "observation".
        at: the step of the fault.
        horizon: steps an episode.
        choices: how many discrete actions there are; 0: actions are continuous.
    """

    def __init__(self, fault="reward", at=40, horizon=25, choices=0):
        self.observation_space = spaces.Box(-1, 1, (2,))
        self.action_space = spaces.Discrete(choices) if choices else spaces.Box(-1, 1, (1,))
        self._fault, self._at, self._horizon = fault, at, horizon
        self._steps = 0
        self._begin = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._begin = self._steps
        return self._observe(), {}

    def step(self, action):
        self._steps += 1
        broken = self._steps == self._at
        observation, reward = self._observe(), -abs(float(np.ravel(action)[0]))
        if broken and self._fault == "observation":
            observation[1] = np.nan
        if broken and self._fault == "reward":
            reward = float("nan")
        return observation, reward, False, self._steps - self._begin == self._horizon, {}

    def _observe(self):
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)


for kind in (GoTo, Quadrant, BitFlip, Picture, Faulty):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=f"{__name__}:{kind.__name__}")
