"""Means and rates with the intervals that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from nondiff.experiments.evaluation.episodes import Episode

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


def stratified(scores: Any, statistic: Callable[..., Any] = interquartile_mean) -> Estimate:
    """A statistic of runs on tasks, with its stratified percentile-bootstrap interval.

    Runs are drawn again within each task (Agarwal et al. 2021, arXiv:2108.13264, section 4.1).

    Args:
        scores: (runs, tasks).
        statistic: takes `axis`.
    """
    table = np.asarray(scores, np.float64)
    value = float(statistic(table.reshape(-1), axis=-1))
    return _percentiles(value, statistic(_redrawn(table, np.random.default_rng(0)), axis=-1))


def stratified_difference(
    first: Any, second: Any, statistic: Callable[..., Any] = interquartile_mean
) -> Estimate:
    """How a statistic of second runs (runs, tasks) differs from that of first, second minus first.

    Both are drawn again independently; see `stratified`.
    """
    rng = np.random.default_rng(0)
    tables = [np.asarray(scores, np.float64) for scores in (first, second)]
    values = [float(statistic(table.reshape(-1), axis=-1)) for table in tables]
    drawn = [statistic(_redrawn(table, rng), axis=-1) for table in tables]
    return _percentiles(values[1] - values[0], drawn[1] - drawn[0])


def pooled(returns: Any, statistic: Callable[..., Any] = np.median) -> Estimate:
    """A statistic of the episodes of all runs together; whole runs are drawn again.

    Episodes of one run share its policy, so that they are no independent sample.

    Args:
        returns: (runs, episodes).
        statistic: of the flattened episodes.
    """
    table, rng = np.asarray(returns, np.float64), np.random.default_rng(0)
    picks = rng.integers(len(table), size=(RESAMPLES, len(table)))
    return _percentiles(float(statistic(table)), [float(statistic(table[p])) for p in picks])


def _redrawn(table: Any, rng: np.random.Generator) -> Any:
    """Samples (resamples, runs x tasks) of runs, drawn with replacement within each task."""
    picks = rng.integers(len(table), size=(RESAMPLES, *table.shape))
    return np.take_along_axis(table[None], picks, axis=1).reshape(RESAMPLES, -1)


def _percentiles(value: float, drawn: Any) -> Estimate:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Estimate(value, float(low), float(high))


def median_calls(reached: Sequence[float | None], spent: Sequence[float]) -> float | None:
    """The median calls to a target where some runs never got there (Kaplan and Meier 1958).

    Args:
        reached: calls after which each run got there; None: it did not.
        spent: calls that each run was given, at which one that did not is censored.

    Returns:
        None where fewer than half of the runs get there.
    """
    events = [calls for calls in reached if calls is not None]
    if not events:
        return None
    censored = [end for calls, end in zip(reached, spent, strict=True) if calls is None]
    cdf = stats.ecdf(stats.CensoredData(uncensored=events, right=censored)).cdf
    half = np.flatnonzero(cdf.probabilities >= 0.5 - 1e-12)
    return float(cdf.quantiles[half[0]]) if len(half) else None
