"""A plain Python function as a black box: aim a cannon at a place and a time.

    python examples/python_function.py
    PYTHONPATH=examples python train.py --env python_function:Cannon-v0 --strategy surrogate \
        --budget 300

Given where a ball is to land, and when, the policy answers with an elevation and a muzzle speed.
"""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import torch

from nondiff import BlackBoxEnv, FunctionBox

GRAVITY = 9.81  # [m/s2]
DRAG = 0.002  # [1/m] air density, drag coefficient and cross section over twice the ball's mass
STEP = 0.02  # [s]
WALL, HEIGHT = 20.0, 8.0  # [m] how far away it stands, and how high


def shot(parameters):
    """Where [m] and when [s] a ball lands, fired at (elevation [deg], speed [m/s])."""
    elevation, speed = math.radians(parameters[0]), parameters[1]
    right, up = speed * math.cos(elevation), speed * math.sin(elevation)
    x = y = time = 0.0
    while y >= 0:
        before = x, y
        slowing = STEP * DRAG * math.hypot(right, up)
        right, up = right * (1 - slowing), up * (1 - slowing) - STEP * GRAVITY
        x, y, time = x + STEP * right, y + STEP * up, time + STEP
        if before[0] < WALL <= x and y < HEIGHT:
            raise ValueError("it hits the wall")
    below = y / (y - before[1])  # share of the last step that was under the ground
    return x - below * (x - before[0]), time - below * STEP


# ---- The ten lines that make it a black box, an environment, and an id for the command line.
REQUESTS = np.random.default_rng(0).uniform([70.0, 4.0], [130.0, 6.0], (400, 2))  # [m], [s]
BOUNDS = {"low": [20.0, 20.0], "high": [75.0, 60.0]}  # [deg], [m/s]
SCALE = [1.0, 0.1]  # a miss by 1 m counts as much as one by 0.1 s


def cannon(pool="training", twin=False):
    offered = {"twin": shot_in_torch} if twin else {}
    box = FunctionBox(shot, **BOUNDS, contexts=REQUESTS, scale=SCALE, pool=pool, **offered)
    return BlackBoxEnv(box)


gymnasium.register("Cannon-v0", entry_point=cannon)
# ----


def shot_in_torch(parameters):
    """The same in torch, many shots at once; with it, `autodiff` can train too."""
    elevation, speed = torch.deg2rad(parameters[:, 0]), parameters[:, 1]
    right, up = speed * torch.cos(elevation), speed * torch.sin(elevation)
    x = y = time = torch.zeros_like(speed)
    is_hit = torch.zeros_like(speed, dtype=torch.bool)
    landing = torch.full_like(parameters, math.nan)
    flying = ~is_hit
    while flying.any():
        before = x, y
        slowing = STEP * DRAG * torch.hypot(right, up)
        right, up = right * (1 - slowing), up * (1 - slowing) - STEP * GRAVITY
        x, y, time = x + STEP * right, y + STEP * up, time + STEP
        is_hit = is_hit | (flying & (before[0] < WALL) & (x >= WALL) & (y < HEIGHT))
        lands = flying & (y < 0)
        below = torch.where(lands, y / (y - before[1]), 0.0)
        where_and_when = torch.stack([x - below * (x - before[0]), time - below * STEP], 1)
        landing = torch.where((lands & ~is_hit)[:, None], where_and_when, landing)
        flying = flying & ~lands
    return landing


def mean_reward(policy, env):
    """On requests that training never saw."""
    rewards = []
    for seed in range(100):
        observation, _ = env.reset(seed=seed)
        rewards.append(env.step(policy.predict(observation))[1])
    return np.mean(rewards)


def main():
    from nondiff import MLP, FiniteDifference, NetworkPolicy, Surrogate, train

    torch.set_num_threads(1)
    env = gymnasium.make("Cannon-v0", pool="held-out")
    print(f"{'strategy':20}{'calls':>6}{'untrained':>12}{'trained':>10}")
    for strategy in (Surrogate(), FiniteDifference(batch_size=4, learning_rate=2e-2)):
        torch.manual_seed(0)
        network = MLP.for_env(env, (64, 64))
        before = mean_reward(NetworkPolicy(network, env.observation_space, env.action_space), env)
        result = train(network, "Cannon-v0", strategy, budget=500)
        after = mean_reward(result.policy, env)
        print(f"{strategy.name:20}{result.calls:6}{before:12.2f}{after:10.2f}")


if __name__ == "__main__":
    main()
