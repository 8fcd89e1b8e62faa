"""Replay buffers that draw a part of each batch from demonstrations, which they keep.

As in Ball et al. 2023, "Efficient online reinforcement learning with offline data",
arXiv:2302.02948, section 4.1.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecTransposeImage, is_vecenv_wrapped

from nondiff.agents.demonstrations.dataset import Demonstrations, rows_of


def drawing_from_demonstrations(kind: type[ReplayBuffer]) -> type[ReplayBuffer]:
    """A class of buffers like `kind`; `give` one its demonstrations."""

    class Mixed(kind):  # type: ignore[misc, valid-type]
        demonstrated: ReplayBuffer
        share: float

        def sample(self, batch_size: int, env: Any = None) -> Any:
            own = batch_size - round(self.share * batch_size)
            if self.share > 0 and not _can_be_sampled(self):
                own = 0
            drawn = [super().sample(own, env)] if own else []
            if own < batch_size:
                drawn.append(self.demonstrated.sample(batch_size - own, env))
            return drawn[0] if len(drawn) == 1 else _joined(*drawn)

    return Mixed


def _can_be_sampled(buffer: ReplayBuffer) -> bool:
    """Whether there is anything in it; with hindsight, a whole episode."""
    if isinstance(buffer, HerReplayBuffer):
        return bool((buffer.ep_length > 0).any())
    return buffer.size() > 0


def _joined(first: Any, second: Any) -> Any:
    """Two batches as one."""
    return type(first)(*(_stacked(a, b) for a, b in zip(first, second, strict=True)))


def _stacked(first: Any, second: Any) -> Any:
    if first is None:
        return None
    if isinstance(first, dict):
        return {key: torch.cat((first[key], second[key])) for key in first}
    return torch.cat((first, second))


def give(algorithm: Any, demonstrations: Demonstrations, share: float) -> None:
    """Have an algorithm draw so large a share of each batch from demonstrations.

    Its buffer is one of `drawing_from_demonstrations`. With hindsight, goals are relabelled within
    each demonstrated episode as within any other.
    """
    algorithm.demonstrations = demonstrations
    buffer: Any = algorithm.replay_buffer
    kind: Any = type(buffer).__mro__[1]
    options = dict(algorithm.replay_buffer_kwargs)
    if issubclass(kind, HerReplayBuffer):
        options["env"] = algorithm.env
    demonstrated = kind(
        len(demonstrations),
        algorithm.observation_space,
        algorithm.action_space,
        device=algorithm.device,
        **options,
    )
    _fill(demonstrated, algorithm, demonstrations)
    buffer.demonstrated, buffer.share = demonstrated, share


def _fill(buffer: Any, algorithm: OffPolicyAlgorithm, demonstrations: Demonstrations) -> None:
    observations, next_observations = (
        _as_stored(algorithm, values)
        for values in (demonstrations.observations, demonstrations.next_observations)
    )
    actions = demonstrations.actions
    if isinstance(algorithm.action_space, spaces.Box):
        actions = algorithm.policy.scale_action(actions)
    # What is cut short by a limit of steps, or by whoever recorded it, did not end there.
    cut = demonstrations.last & ~demonstrations.terminated
    for row in range(len(demonstrations)):
        buffer.add(
            rows_of(observations, slice(row, row + 1)),
            rows_of(next_observations, slice(row, row + 1)),
            actions[row][None],
            demonstrations.rewards[row][None],
            demonstrations.last[row][None],
            [{"TimeLimit.truncated": bool(cut[row])}],
        )


def _as_stored(algorithm: OffPolicyAlgorithm, observations: Any) -> Any:
    """Observations as the algorithm's environments give them: pictures with channels first."""
    env: Any = algorithm.env
    if is_vecenv_wrapped(env, VecTransposeImage):
        return env.transpose_observations(observations)
    return observations
