"""The weekly moves, the aligned predictions and the intervals of the lesson `domain`."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from torch import nn

from steepest.course.parts.domain import Moves, Scaling, interval, transferred
from steepest.data.home import HOME


def test_a_move_is_the_mean_absolute_log_return_of_a_week():
    read = Moves(file="stocks.csv.gz", series=["KO"], since="2000-01-01").read().loc["KO", "value"]
    price = pd.read_csv(HOME / "data" / "stocks.csv.gz", index_col=0, parse_dates=True)["KO"]
    week = price["2000-01-07":"2000-01-14"]
    assert read.index[1] == pd.Timestamp("2000-01-14")
    assert read.iloc[1] == pytest.approx(100 * np.abs(np.diff(np.log(week))).mean())


def test_an_aligned_model_does_not_depend_on_the_level_and_the_size_of_the_moves():
    torch.manual_seed(0)
    net, x_SND = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double(), torch.randn(3, 5, 4).double()
    mean, scale = torch.tensor([1.0, 5.0, -2.0])[:, None, None], torch.tensor([0.5, 2.0, 9.0])[:, None, None]
    moved_SN1 = transferred(net, Scaling(mean, scale), x_SND * scale + mean)
    torch.testing.assert_close(moved_SN1, net(x_SND).detach() * scale + mean)


def test_the_interval_of_stocks_is_that_of_the_normal_distribution():
    growth_S = np.random.default_rng(0).normal(size=400)
    error = growth_S.std() / np.sqrt(len(growth_S))
    mean, *ends = np.log(interval(growth_S))
    assert mean == pytest.approx(growth_S.mean())
    assert ends == pytest.approx(norm.interval(0.95, growth_S.mean(), error), abs=0.15 * error)


def test_the_interval_of_pairs_is_as_wide_as_that_of_the_stocks_on_which_they_depend():
    growth_S = np.random.default_rng(0).normal(size=60)
    pairs_SS = np.repeat(growth_S[:, None], 60, axis=1)  # 3600 pairs, but only 60 independent numbers
    width, of_pairs = (np.ptp(np.log(interval(some)[1:])) for some in (growth_S, pairs_SS))
    assert of_pairs == pytest.approx(width, rel=0.1)
