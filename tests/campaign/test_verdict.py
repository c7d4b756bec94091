"""A small part of the campaign on the verdict. `python -m tests.campaign.verdict` runs all of it."""

import pytest
from scipy.stats import binom

from campaign.verdict import bound, power, size


def test_the_bound_is_exceeded_once_in_10000_campaigns_at_the_highest_allowed_share():
    assert binom.sf(bound(1000), 1000, 0.065) <= 1e-4 < binom.sf(bound(1000) - 1, 1000, 0.065)


@pytest.mark.slow
def test_the_verdict_is_rarely_wrong_on_short_random_walks():
    found = size(300, 10, 1, False, range(100))
    assert found.given == 100
    assert found.beat <= bound(100)


@pytest.mark.parametrize(("rows", "horizon", "window"), [(200, 10, 1), (300, 5, 28), (2000, 96, 28)])
def test_there_is_no_verdict_where_the_test_part_is_shorter_than_2_horizons(rows, horizon, window):
    assert size(rows, horizon, window, False, range(2)).given == 0


def test_1000_rows_have_a_verdict_for_each_horizon_up_to_30():
    for horizon in (1, 5, 10, 30):
        assert size(1000, horizon, 28, False, range(1)).given == 1


def test_a_planted_lead_is_found():
    assert power(range(10)) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "horizon", "window", "relative"),
    [(200, 5, 1, True), (300, 1, 1, False), (300, 10, 1, True), (1000, 5, 1, False), (1000, 30, 28, True)],
)
def test_the_verdict_is_rarely_wrong_on_random_walks(rows, horizon, window, relative):
    found = size(rows, horizon, window, relative, range(400))
    assert found.given == 400
    assert found.beat <= bound(400)
