"""An episode of the arm can be left and returned to, and leaves no trace."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from arm_episodes import HORIZON, MakeArm, bits, follow, random_actions


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("control_type", "on_the_table"), [("joints", False), ("ee", False), ("ee", True)]
)
def test_state_restores_every_bit(make: MakeArm, control_type: str, on_the_table: bool) -> None:
    env = make(control_type=control_type, horizon=HORIZON)
    env.reset(seed=1)
    actions = random_actions(env, 4 * HORIZON, scale=0.2)
    if on_the_table:  # contacts have state of their own
        actions = [np.array([*action[:2], -1], np.float32) for action in actions]
    follow(env, actions[:12])
    state = env.get_state()
    assert (env.set_state(state)["achieved_goal"][2] < 0.01) == on_the_table
    expected = follow(env, actions[12:])
    truncated = [entry[3] for entry in expected[: HORIZON - 12]]
    assert truncated == [False] * (HORIZON - 13) + [True]
    for others in (0, 5, 3 * HORIZON):
        follow(env, random_actions(env, others, seed=2))
        env.set_state(state)
        assert follow(env, actions[12:]) == expected


def test_set_state_observes_the_state(make: MakeArm) -> None:
    env = make()
    env.reset(seed=0)
    for action in random_actions(env, 5):
        observation = env.step(action)[0]
    state = env.get_state()
    env.reset(seed=1)
    assert bits(env.set_state(state)) == bits(observation)


def test_reset_forgets_contacts(make: MakeArm) -> None:
    used, fresh = make(), make()
    used.reset(seed=0)
    follow(used, [np.array([0.3, 0.2, -1], np.float32)] * 70)
    actions = [np.array([0.1, -0.2, -1], np.float32)] * 70
    assert bits(used.reset(seed=3)[0]) == bits(fresh.reset(seed=3)[0])
    assert follow(used, actions) == follow(fresh, actions)


@pytest.mark.thorough
def test_states_are_freed_with_their_last_reference(make: MakeArm) -> None:
    env = make()
    env.reset(seed=0)
    held = [env.get_state() for _ in range(3)]
    numbers = {state.physics.id for state in held}
    reused = {env.get_state().physics.id for _ in range(500)}
    assert len(numbers) == 3
    assert len(reused) == 1
    assert not reused & numbers
    del held
    gc.collect()
    assert env.get_state().physics.id in numbers


def test_closing_one_environment_leaves_others_alone(make: MakeArm) -> None:
    actions = random_actions(make(), HORIZON)
    first, second = make(), make()
    first.reset(seed=0)
    second.reset(seed=0)
    expected = follow(second, actions)
    stale = first.get_state()
    first.close()
    third = make()  # takes the number of the closed connection, and its state the number of `stale`
    third.reset(seed=0)
    state = third.get_state()
    assert (third._simulation.client, state.physics.id) == (
        first._simulation.client,
        stale.physics.id,
    )
    del stale, first
    gc.collect()
    third.step(actions[0])
    third.set_state(state)
    assert follow(third, actions) == expected
    third.close()
    third.close()
    second.reset(seed=0)
    assert follow(second, actions) == expected
