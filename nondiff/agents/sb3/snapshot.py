"""The state of a Stable-Baselines3 algorithm as JSON values and tensors, and back."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import Tensor

from nondiff.agents.origin import restoring
from nondiff.agents.strategy import State
from nondiff.errors import DamagedCheckpointError

COUNTERS = ("num_timesteps", "_episode_num", "_n_updates")
MODULE = "policy"  # the one entry of `get_parameters` that is no optimiser


def snapshot(
    algorithm: BaseAlgorithm, origin: dict[str, Any], segment: int, counters: Sequence[str] = ()
) -> State:
    """Everything that the segment of this number, the next one, depends on.

    Episodes that are under way end here: the next segment begins with a reset.

    Args:
        algorithm: which has done a segment.
        origin: see `origin_of`.
        segment: number of the next one.
        counters: attributes of this algorithm alone that are numbers.
    """
    parameters = algorithm.get_parameters()
    # Copies, since the layers that read pictures go by several names, and files hold each once.
    module = parameters.pop(MODULE)
    tensors = {f"{MODULE}.{name}": tensor.clone() for name, tensor in module.items()}
    values: dict[str, Any] = {
        "origin": origin,
        "segment": segment,
        "counters": {name: getattr(algorithm, name) for name in (*COUNTERS, *counters)},
        "episodes": [[float(e["r"]), int(e["l"])] for e in algorithm.ep_info_buffer or ()],
        "successes": [bool(success) for success in algorithm.ep_success_buffer or ()],
        "optimizers": {},
        "statistics": {},
    }
    for name, optimizer in parameters.items():
        values["optimizers"][name] = _flattened(name, optimizer, tensors)
    for name in _variables(algorithm):
        tensors[f"variable.{name}"] = getattr(algorithm, name)
    for name, statistics in _statistics(algorithm):
        values["statistics"][name] = float(statistics.count)
        tensors[f"{name}.mean"] = torch.tensor(statistics.mean)
        tensors[f"{name}.variance"] = torch.tensor(statistics.var)
    buffer = getattr(algorithm, "replay_buffer", None)
    if buffer is not None:
        _end_episodes(buffer)
        filled = _filled(buffer)
        values["replay"] = {"pos": buffer.pos, "full": buffer.full}
        for name, array in _arrays(buffer):
            tensors[f"replay.{name}"] = torch.from_numpy(array[:filled])
    return State(algorithm.num_timesteps, values, tensors)


def segment_after(state: State) -> int:
    """The number of the segment that begins with a state.

    Raises:
        DamagedCheckpointError: it has none.
    """
    segment = state.values.get("segment")
    if not isinstance(segment, int) or segment < 1:
        raise DamagedCheckpointError(f"the checkpoint of step {state.steps:,} has no segment")
    return segment


def restore(
    algorithm: BaseAlgorithm, origin: dict[str, Any], state: State, counters: Sequence[str] = ()
) -> None:
    """Bring a new algorithm of the same configuration to a state.

    Raises:
        DamagedCheckpointError: the state is not one of this configuration.
    """
    with restoring(state, origin):
        if state.values["counters"]["num_timesteps"] != state.steps:
            raise ValueError("its counter says another step")
        for name in (*COUNTERS, *counters):
            kind = type(getattr(algorithm, name))  # int or float
            setattr(algorithm, name, kind(state.values["counters"][name]))
        _restore(algorithm, state.values, state.tensors)


def _restore(algorithm: BaseAlgorithm, values: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    parameters: dict[str, Any] = algorithm.get_parameters()
    parameters[MODULE] = {name: tensors[f"{MODULE}.{name}"] for name in parameters[MODULE]}
    for name, optimizer in parameters.items():
        if name != MODULE:
            _refill(name, optimizer, values["optimizers"][name], tensors)
    algorithm.set_parameters(parameters, exact_match=True)
    for name in _variables(algorithm):
        getattr(algorithm, name).data.copy_(tensors[f"variable.{name}"])
    for name, statistics in _statistics(algorithm):
        statistics.count = float(values["statistics"][name])
        statistics.mean = _shaped(tensors[f"{name}.mean"], statistics.mean)
        statistics.var = _shaped(tensors[f"{name}.variance"], statistics.var)
    buffer = getattr(algorithm, "replay_buffer", None)
    if buffer is not None:
        _refill_buffer(buffer, values["replay"], tensors)
    recent = [{"r": float(r), "l": int(length)} for r, length in values["episodes"]]
    algorithm.ep_info_buffer = deque(recent, maxlen=algorithm._stats_window_size)
    successes = map(bool, values["successes"])
    algorithm.ep_success_buffer = deque(successes, maxlen=algorithm._stats_window_size)


def _flattened(name: str, optimizer: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Put an optimiser's tensors beside the others; returns what it has beside them."""
    numbers: dict[str, dict[str, float]] = {}
    for index, entries in optimizer["state"].items():
        numbers[str(index)] = {}
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{name}.{index}.{key}"] = value
            else:
                numbers[str(index)][key] = value
    return {"numbers": numbers, "lr": [group["lr"] for group in optimizer["param_groups"]]}


def _refill(
    name: str, optimizer: dict[str, Any], values: dict[str, Any], tensors: dict[str, Tensor]
) -> None:
    state: dict[int, dict[str, Any]] = {
        int(index): dict(numbers) for index, numbers in values["numbers"].items()
    }
    for full, tensor in tensors.items():
        if full.startswith(f"{name}."):
            index, _, key = full.removeprefix(f"{name}.").partition(".")
            state[int(index)][key] = tensor.clone()
    optimizer["state"] = state
    for group, rate in zip(optimizer["param_groups"], values["lr"], strict=True):
        group["lr"] = rate


def _variables(algorithm: BaseAlgorithm) -> list[str]:
    """Names of the tensors that Stable-Baselines3 keeps outside its modules."""
    return algorithm._get_torch_save_params()[1]


def _statistics(algorithm: BaseAlgorithm) -> Iterator[tuple[str, RunningMeanStd]]:
    """The running statistics of `VecNormalize`, where there are any."""
    env = algorithm.get_vec_normalize_env()
    if env is None:
        return
    yield "statistics.return", env.ret_rms
    if not env.norm_obs:
        return
    found: Any = env.obs_rms
    if isinstance(found, dict):
        for key, statistics in found.items():
            yield f"statistics.observation.{key}", statistics
    else:
        yield "statistics.observation", found


def _shaped(tensor: Tensor, like: np.ndarray) -> np.ndarray:
    array = tensor.numpy().copy()
    if array.shape != np.shape(like) or array.dtype != np.float64:
        raise ValueError(f"statistics of shape {array.shape} instead of {np.shape(like)}")
    return array


def _end_episodes(buffer: ReplayBuffer) -> None:
    if isinstance(buffer, HerReplayBuffer):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The last trajectory in the replay buffer")
            buffer.truncate_last_trajectory()


def _filled(buffer: ReplayBuffer) -> int:
    return buffer.buffer_size if buffer.full else buffer.pos


def _arrays(buffer: ReplayBuffer) -> Iterator[tuple[str, np.ndarray]]:
    """The buffer's arrays, whose first axis is time."""
    names = ["observations", "next_observations", "actions", "rewards", "dones", "timeouts"]
    if isinstance(buffer, HerReplayBuffer):
        names += ["ep_start", "ep_length"]
    for name in names:
        arrays = getattr(buffer, name)
        if isinstance(arrays, dict):
            yield from ((f"{name}.{key}", array) for key, array in arrays.items())
        else:
            yield name, arrays


def _refill_buffer(
    buffer: ReplayBuffer, values: dict[str, Any], tensors: dict[str, Tensor]
) -> None:
    buffer.pos, buffer.full = int(values["pos"]), bool(values["full"])
    if not 0 <= buffer.pos < buffer.buffer_size:
        raise ValueError(f"position {buffer.pos} in a replay buffer of {buffer.buffer_size}")
    filled = _filled(buffer)
    for name, array in _arrays(buffer):
        stored = tensors[f"replay.{name}"].numpy()
        if stored.shape != array[:filled].shape or stored.dtype != array.dtype:
            raise ValueError(f"replay.{name} has shape {stored.shape} of {stored.dtype}")
        array[:filled] = stored
    if isinstance(buffer, HerReplayBuffer):
        # Every episode was ended before the state was taken.
        buffer._current_ep_start = np.full(buffer.n_envs, buffer.pos, np.int64)
