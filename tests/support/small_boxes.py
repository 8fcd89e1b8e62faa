"""Small black boxes, registered as any user registers theirs: `small_boxes:Bowl-v0`."""

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from nondiff.black_box import BlackBox, BlackBoxEnv, Start


class Plain(BlackBox):
    """One step: find the action that a bent map takes to the observed target.

    It counts its calls, and fails where both entries of the action are above `cliff`.
    """

    failure_reward = -4.0

    def __init__(self, cliff=2.0):
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = spaces.Box(-2, 2, (2,), np.float32)
        self.calls = 0
        self._cliff = cliff

    def initial(self, n, rng):
        return Start(np.zeros((n, 0)), rng.uniform(-0.6, 0.6, (n, 2)))

    def transition(self, state, action):
        self.calls += len(action)
        outcome = np.stack(bent(*action.T), axis=1)
        outcome[(action > self._cliff).all(axis=1)] = np.nan
        return outcome

    def observation(self, state, context):
        return context

    def reward(self, state, action, outcome, context):
        return -(outcome - context).square().sum(dim=1)


def bent(x, y):
    return x + 0.3 * y**2, y - 0.2 * x


class Bowl(Plain):
    """The same with every capability."""

    vjp_cost = jacobian_cost = twin_cost = 1

    def jacobian(self, state, action, outcome):
        slopes = np.tile([[1.0, 0.0], [-0.2, 1.0]], (len(action), 1, 1))
        slopes[:, 0, 1] = 0.6 * action[:, 1]
        return slopes

    def vjp(self, state, action, outcome, cotangent):
        slopes = self.jacobian(state, action, outcome)
        return np.zeros_like(state), np.einsum("no,noa->na", cotangent, slopes)

    def twin(self, state, action):
        self.calls += len(action)
        return torch.stack(bent(*action.T), dim=1)


class Track(BlackBox):
    """Five steps: push a point (position, velocity) to the observed goal and stay there."""

    failure_reward = -10.0
    horizon = 5
    vjp_cost = twin_cost = 0

    def __init__(self):
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.observation_space = spaces.Box(-5, 5, (3,), np.float32)
        self.calls = 0

    def initial(self, n, rng):
        return Start(np.zeros((n, 2)), rng.uniform(-1, 1, (n, 1)))

    def transition(self, state, action):
        self.calls += len(action)
        return np.stack(pushed(*state.T, action[:, 0]), axis=1)

    def observation(self, state, context):
        return torch.cat([state, context], dim=1)

    def reward(self, state, action, outcome, context):
        return -(outcome[:, :1] - context).abs().sum(dim=1)

    def vjp(self, state, action, outcome, cotangent):
        position, velocity = cotangent.T
        by_velocity = 0.8 * (0.5 * position + velocity)
        return np.stack([position, by_velocity], axis=1), (0.5 * position + velocity)[:, None]

    def twin(self, state, action):
        return torch.stack(pushed(*state.T, action[:, 0]), dim=1)


def pushed(position, velocity, push):
    velocity = 0.8 * velocity + push
    return position + 0.5 * velocity, velocity


def box_env(kind, **arguments):
    return BlackBoxEnv(kind(**arguments))


for box in (Plain, Bowl, Track):
    gymnasium.register(
        f"{box.__name__}-v0", entry_point=lambda box=box, **arguments: box_env(box, **arguments)
    )
