"""Seeds of environments, from three ranges that never meet.

Training draws from [0, 2^30), evaluation during training (which chooses the best model) from
[2^30, 3 * 2^29), and the held-out evaluation from [3 * 2^29, 2^31).
"""

from __future__ import annotations

import numpy as np

MAX_ENVS = 1024  # environments a run may train on at once
MAX_SEED = 2**31 - 1
MAX_LIST = 10**6  # of seeds
_SELECTION = 2**30
_JUDGEMENT = 3 * 2**29


def training_seed(run_seed: int, segment: int = 0) -> int:
    """The first of `MAX_ENVS` consecutive seeds for the environments of a segment of a run."""
    return MAX_ENVS * _hashed(run_seed, _SELECTION // MAX_ENVS, segment)


def generator_seed(run_seed: int, segment: int) -> int:
    """The seed of everything else that is drawn in a segment of a run."""
    return run_seed if segment == 0 else _hashed(run_seed, 2**32, segment)


def selection_seeds(run_seed: int, episodes: int) -> list[int]:
    """The seeds of the episodes that choose a run's best model."""
    start = _SELECTION + _hashed(run_seed, (_JUDGEMENT - _SELECTION) // 2)
    return list(range(start, start + episodes))


def held_out_seeds(episodes: int, number: int = 0) -> list[int]:
    """The seeds of a list of held-out episodes.

    Args:
        episodes: how many, at most `MAX_LIST`.
        number: of the list; 0: the one on which every finished model is evaluated, which no other
            meets.
    """
    start = _JUDGEMENT
    if number:
        start += MAX_LIST + _hashed(number, MAX_SEED - _JUDGEMENT - 2 * MAX_LIST)
    return list(range(start, start + episodes))


def _hashed(run_seed: int, below: int, segment: int = 0) -> int:
    sequence = np.random.SeedSequence(run_seed, spawn_key=(segment,) if segment else ())
    return int(sequence.generate_state(1, np.uint64)[0] % below)
