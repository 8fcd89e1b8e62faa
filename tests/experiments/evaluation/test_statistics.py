"""Intervals against known values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nondiff.experiments.evaluation.episodes import Episode
from nondiff.experiments.evaluation.statistics import (
    Estimate,
    bootstrapped,
    interquartile_mean,
    median_calls,
    paired_difference,
    pooled,
    stratified,
    stratified_difference,
    summarize,
    wilson,
)


def episodes(
    returns: list[float], successes: list[bool | None], first_seed: int = 0
) -> list[Episode]:
    return [
        Episode(first_seed + i, value, 10 + i, success)
        for i, (value, success) in enumerate(zip(returns, successes, strict=True))
    ]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (95, 100, 0.8882, 0.9785),
        (100, 100, 0.9630, 1.0),
        (0, 10, 0.0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Stat. Med. 17:857-872, table I
    ],
)
def test_wilson_interval(successes: int, trials: int, low: float, high: float) -> None:
    estimate = wilson(successes, trials)
    assert estimate.value == successes / trials
    assert estimate.low == pytest.approx(low, abs=5e-5)
    assert estimate.high == pytest.approx(high, abs=5e-5)


def test_wilson_interval_solves_its_own_equation() -> None:
    z = 1.959963984540054  # of 95 %
    for successes in range(1, 20):
        estimate = wilson(successes, 20)
        for bound in (estimate.low, estimate.high):
            deviation = z * math.sqrt(bound * (1 - bound) / 20)
            assert abs(estimate.value - bound) == pytest.approx(deviation, rel=1e-6)


def test_interquartile_mean_ignores_the_outer_quarters() -> None:
    assert interquartile_mean([-1e9, 1.0, 2.0, 1e9]) == 1.5
    assert interquartile_mean(np.arange(8.0)[::-1]) == 3.5
    table = np.array([[0.0, 1.0, 2.0, 99.0], [5.0, 5.0, 5.0, 5.0]])
    assert interquartile_mean(table, axis=-1).tolist() == [1.5, 5.0]


def test_bootstrap_repeats_itself_and_covers_the_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, 400).tolist()
    estimate = bootstrapped(values)
    assert estimate == bootstrapped(values)
    assert estimate.value == pytest.approx(np.mean(values))
    half = 1.96 * np.std(values) / math.sqrt(400)  # the normal approximation
    assert estimate.low == pytest.approx(estimate.value - half, abs=0.05)
    assert estimate.high == pytest.approx(estimate.value + half, abs=0.05)


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    intervals = [bootstrapped(rng.normal(0.0, 1.0, 40).tolist()) for _ in range(100)]
    covered = sum(interval.low <= 0 <= interval.high for interval in intervals)
    assert 88 <= covered <= 99


@pytest.mark.parametrize("statistic", [np.mean, interquartile_mean])
@pytest.mark.parametrize("values", [[2.5], [2.5] * 7])
def test_bootstrap_of_equal_values_has_no_width(values: list[float], statistic: object) -> None:
    assert bootstrapped(values, statistic) == Estimate(2.5, 2.5, 2.5)  # type: ignore[arg-type]


def test_summary_reports_success_only_where_every_episode_does() -> None:
    assert summarize(episodes([1.0, 2.0], [True, False])).success == wilson(1, 2)
    assert summarize(episodes([1.0, 2.0], [None, None])).success is None
    summary = summarize(episodes([1.0, 2.0, 6.0], [None] * 3))
    assert summary.return_mean.value == 3.0
    assert summary.length_mean.value == 11.0
    assert summary.to_json()["success"] is None


def test_pairing_removes_what_both_policies_share() -> None:
    hard = np.random.default_rng(0).normal(0.0, 100.0, 50)
    first = episodes(hard.tolist(), [False] * 50)
    second = episodes((hard + 1.0).tolist(), [True] * 25 + [False] * 25)
    difference = paired_difference(first, second)
    assert difference.episodes == 50
    assert difference.episode_return.low == pytest.approx(1.0)
    assert difference.episode_return.high == pytest.approx(1.0)
    assert difference.success is not None
    assert difference.success.value == 0.5
    assert 0.3 < difference.success.low < 0.5 < difference.success.high < 0.7
    assert difference.length == Estimate(0.0, 0.0, 0.0)


def test_pairs_must_share_their_seeds() -> None:
    with pytest.raises(AssertionError):
        paired_difference(episodes([1.0], [None]), episodes([1.0], [None], first_seed=5))


def test_stratified_bootstrap_of_one_value_a_run_has_its_hand_computed_interval() -> None:
    # Three runs draw 27 samples, 10 different means; 2.5 % is below the one of 1/27.
    estimate = stratified([[0.0], [0.0], [9.0]], np.mean)
    assert estimate == Estimate(3.0, 0.0, 9.0)
    assert stratified([[1.0], [2.0], [3.0], [100.0]]).value == 2.5  # the middle half
    assert stratified([[5.0]]) == Estimate(5.0, 5.0, 5.0)


def test_stratified_bootstrap_draws_within_each_task() -> None:
    scores = np.array([[0.0, 100.0]] * 4)  # (runs, tasks): tasks differ, runs do not
    assert stratified(scores, np.mean) == Estimate(50.0, 50.0, 50.0)
    rng = np.random.default_rng(0)
    wide = stratified(rng.normal([0, 100], 1.0, (20, 2)), np.mean)
    assert wide.high - wide.low == pytest.approx(2 * 1.96 / math.sqrt(40), rel=0.25)


def test_stratified_difference_is_between_the_statistics() -> None:
    first, second = [[1.0], [1.0], [1.0]], [[4.0], [4.0], [4.0]]
    assert stratified_difference(first, second) == Estimate(3.0, 3.0, 3.0)
    estimate = stratified_difference([[0.0], [9.0]], [[0.0], [9.0]], np.mean)
    assert (estimate.value, estimate.low, estimate.high) == (0.0, -9.0, 9.0)


def test_pooled_episodes_draw_whole_runs() -> None:
    returns = [[1.0] * 100, [5.0] * 100]
    assert pooled(returns, np.mean) == Estimate(3.0, 1.0, 5.0)  # 400 episodes of 2 policies
    assert pooled([[1.0, 2.0, 30.0]]) == Estimate(2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("reached", "spent", "median"),
    [
        ([10, 20, 30], [99, 99, 99], 20.0),
        ([10, None, 30, 40], [99, 20, 99, 99], 30.0),  # 3/4, then 3/4 * 1/2
        ([10, 20, None, None], [99, 99, 99, 99], 20.0),  # half is reached at 20
        ([10, None, None], [99, 99, 99], None),
        ([None, None], [99, 99], None),
        ([10, None, None], [99, 5, 5], 10.0),  # the others were cut off before
    ],
)
def test_median_calls_are_those_of_kaplan_and_meier(
    reached: list[float | None], spent: list[float], median: float | None
) -> None:
    assert median_calls(reached, spent) == median


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:random_state is deprecated:FutureWarning")
def test_intervals_are_those_of_rliable() -> None:
    library = pytest.importorskip("rliable.library", reason="pip install 'nondiff[oracle]'")
    metrics = pytest.importorskip("rliable.metrics")
    scores = np.random.default_rng(3).gamma(2.0, 10.0, (10, 3))  # (runs, tasks)
    mine = stratified(scores)
    values, intervals = library.get_interval_estimates(
        {"policy": scores},
        lambda table: np.array([metrics.aggregate_iqm(table)]),
        reps=2_000,
        random_state=np.random.RandomState(0),
    )
    assert mine.value == pytest.approx(values["policy"][0], rel=1e-12)
    width = mine.high - mine.low
    assert mine.low == pytest.approx(intervals["policy"][0, 0], abs=0.06 * width)
    assert mine.high == pytest.approx(intervals["policy"][1, 0], abs=0.06 * width)
