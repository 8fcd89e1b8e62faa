"""A compiled program as a black box: design a beam that bends as requested.

    cc -O2 -o examples/compiled_program/forward examples/compiled_program/forward.c -lm
    python examples/compiled_program/compiled_program.py
    PYTHONPATH=examples/compiled_program python train.py --env compiled_program:Beam-v0 \
        --strategy surrogate --budget 300

Given the deflections that a loaded cantilever is to have, the policy answers with the heights of
its four segments. `forward.c` says what it computes.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import torch

from nondiff import BlackBoxEnv, Executable, Limits, errors

FOLDER = Path(__file__).parent
PROGRAM = FOLDER / "forward"
TIMEOUT = 5.0  # [s]
POSITIONS = np.array([0.25, 0.5, 0.75, 1.0])  # of the segments' ends, in lengths of the beam


def read(text):
    """The deflections that the program printed; raises if they can't be meant."""
    found = [float(word) for word in text.split()]
    # An exit code of 0 proves little: such a load bends a beam more and more towards its end.
    if not (np.diff(found, prepend=0.0) > 0).all():
        raise ValueError("no beam bends like this")
    return found


# ---- The ten lines that make it a black box, an environment, and an id for the command line.
TIP, POWER = np.random.default_rng(0).uniform([[20.0], [1.7]], [[80.0], [2.0]], (2, 400))
REQUESTS = TIP[:, None] * POSITIONS ** POWER[:, None]  # [mm]
HEIGHTS = {f"height_{n}": (0.008, 0.030, "m") for n in (1, 2, 3, 4)}
DEFLECTIONS = {f"deflection_{n}": (0, 1_000, "mm") for n in (1, 2, 3, 4)}


def beam(pool="training", program=PROGRAM, jacobian=False):
    command = [compiled(program), "{parameters}"]
    options = {"reads": read, "limits": Limits(timeout=TIMEOUT), "contexts": REQUESTS, "pool": pool}
    if jacobian:
        options |= {"jacobian": sensitivities, "gradient_cost": 0}
    return BlackBoxEnv(Executable(command, parameters=HEIGHTS, outputs=DEFLECTIONS, **options))


gymnasium.register("Beam-v0", entry_point=beam)
# ----


def compiled(program):
    """The program's absolute path; says how to make it if it is missing."""
    path = Path(program).resolve()
    if not path.exists():
        raise errors.MissingDependencyError(
            f"{path} is missing: cc -O2 -o {path} {FOLDER / 'forward.c'} -lm"
        )
    return str(path)


def sensitivities(heights):
    """Derivatives [mm/m] of the deflections by the heights (4, 4); they let `manual` train too.

    By the unit-load method, with I = b h^3 / 12: segment i adds to the deflection at x the integral
    over its length of P (L - s) (x - s) / (E I), so that the derivative by h is -3 / h times that.
    """
    length, width, youngs, load = 1.0, 0.05, 70e9, 200.0  # as in forward.c: [m], [m], [Pa], [N]
    ends = length * POSITIONS
    starts = ends - ends[0]

    def moments(place):  # (deflection, segment): P (L - s) (x - s), at a place in each segment
        return load * (length - place) * (ends[:, None] - place)

    # Simpson's rule, which is exact for quadratics.
    integral = moments(starts) + 4 * moments((starts + ends) / 2) + moments(ends)
    flexibility = 12 / (youngs * width * heights**3)
    added = 1e3 * np.tril(integral * ends[0] / 6 * flexibility)  # later segments add nothing
    return -3 * added / heights


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
    env = gymnasium.make("Beam-v0", pool="held-out")
    print(f"{'strategy':20}{'calls':>6}{'untrained':>12}{'trained':>10}")
    for strategy in (Surrogate(), FiniteDifference(batch_size=4, learning_rate=2e-2)):
        torch.manual_seed(0)
        network = MLP.for_env(env, (64, 64))
        before = mean_reward(NetworkPolicy(network, env.observation_space, env.action_space), env)
        result = train(network, "Beam-v0", strategy, budget=500)
        after = mean_reward(result.policy, env)
        print(f"{strategy.name:20}{result.calls:6}{before:12.2f}{after:10.2f}")


if __name__ == "__main__":
    main()
