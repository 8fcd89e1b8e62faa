"""Means and rates with the intervals that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from nondiff.experiments.episodes import Episode

CONFIDENCE = 0.95
RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Episodes summed up."""

    episodes: int
    success: Estimate | None  # Wilson interval; None where success is not reported
    return_mean: Estimate  # bootstrap intervals
    return_iqm: Estimate
    length_mean: Estimate

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types."""
        return asdict(self)


def wilson(successes: int, trials: int) -> Estimate:
    """A success rate with its interval (Wilson 1927, JASA 22:209-212)."""
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high))


def interquartile_mean(values: Any, axis: int = -1) -> Any:
    """The mean of the middle half (Agarwal et al. 2021, arXiv:2108.13264)."""
    return stats.trim_mean(values, 0.25, axis=axis)


def bootstrapped(values: Sequence[float], statistic: Callable[..., Any] = np.mean) -> Estimate:
    """A statistic with its percentile-bootstrap interval, the same at every call."""
    sample = np.asarray(values, np.float64)
    value = float(statistic(sample, axis=-1))
    if len(sample) < 2:
        return Estimate(value, value, value)
    interval = stats.bootstrap(
        (sample,),
        statistic,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def summarize(episodes: Sequence[Episode]) -> Summary:
    """Sum up episodes of one policy."""
    returns = [episode.episode_return for episode in episodes]
    return Summary(
        episodes=len(episodes),
        success=_success(episodes),
        return_mean=bootstrapped(returns),
        return_iqm=bootstrapped(returns, interquartile_mean),
        length_mean=bootstrapped([float(episode.length) for episode in episodes]),
    )


def _success(episodes: Sequence[Episode]) -> Estimate | None:
    if any(episode.success is None for episode in episodes):
        return None
    return wilson(sum(bool(episode.success) for episode in episodes), len(episodes))


@dataclass(frozen=True)
class PairedDifference:
    """How a second policy differs from a first on the same seeds, second minus first."""

    episodes: int
    success: Estimate | None
    episode_return: Estimate
    length: Estimate

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types."""
        return asdict(self)


def paired_difference(first: Sequence[Episode], second: Sequence[Episode]) -> PairedDifference:
    """Compare two policies, paired by seed, with bootstrap intervals over the pairs."""
    assert [e.seed for e in first] == [e.seed for e in second]
    pairs = list(zip(first, second, strict=True))
    rated = all(a.success is not None and b.success is not None for a, b in pairs)
    return PairedDifference(
        episodes=len(pairs),
        success=(
            bootstrapped([float(bool(b.success)) - float(bool(a.success)) for a, b in pairs])
            if rated
            else None
        ),
        episode_return=bootstrapped([b.episode_return - a.episode_return for a, b in pairs]),
        length=bootstrapped([float(b.length - a.length) for a, b in pairs]),
    )
