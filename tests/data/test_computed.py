"""Inputs of the user's own, computed from the prices."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import composed

import steepest
from steepest.data.batches import PreparedData
from steepest.runs.config import check
from steepest.runs.lookahead.cases import LookAhead
from steepest.runs.lookahead.training import fit_with_kernel

sys.path.insert(0, str(Path(__file__).parent))
WALK = ("data=random_walk", "data.rows=150", "data.window=3", "model=linear_manual", "stop.epochs=1")
MOMENTUM = "+data.computed.momentum._target_=own_inputs.Momentum"


def own(*overrides):
    return (*WALK, "trust=[own_inputs]", *overrides)


def test_a_computed_input_has_the_numbers_of_pandas_and_starts_where_it_has_a_value():
    overrides = own(
        MOMENTUM,
        "+data.computed.spread._target_=own_inputs.volatility",
        "+data.computed.spread._partial_=true",
        "+data.computed.spread.days=7",
    )
    data = PreparedData(check(composed(*overrides)).groups["data"](), keeps_frame=True)
    data.setup()
    price = steepest.RandomWalk(rows=150).read().loc["random_walk"]["value"]
    assert data.windows.input_names == ["value", "momentum", "spread"]
    frame = data.frame.loc["random_walk"]
    assert len(frame) == 143
    np.testing.assert_array_equal(frame["value"], price.iloc[7:])
    np.testing.assert_allclose(frame["momentum"], (price / price.shift(5) - 1).iloc[7:], rtol=1e-12)
    np.testing.assert_allclose(frame["spread"], (price / price.shift(1) - 1).rolling(7).std().iloc[7:], rtol=1e-9)
    assert "'spread' starts in row 8; the rows before it are left out" in data.windows.recognised["notes"]


def test_new_prices_get_the_same_input_and_predictions_beyond_the_horizon_are_refused(train):
    outcome, folder = train(*own(MOMENTUM))
    run = steepest.load(folder, trust=["own_inputs"])
    pd.testing.assert_series_equal(pd.Series(run.evaluate().model["test"]), pd.Series(outcome.evaluation.model["test"]))
    frame = steepest.RandomWalk(rows=150).read().reset_index(level="series", drop=True).reset_index()
    later = run.predict(frame.rename(columns={"value": "random_walk"}))
    assert later["prediction"].item() == pytest.approx(run.predict()["prediction"].item(), rel=1e-12)
    with pytest.raises(ValueError, match=r"the inputs \['momentum'\], whose next values are unknown"):
        run.predict(horizon=2)
    with pytest.raises(ValueError, match="_target_ .own_inputs.Momentum. is not approved"):
        steepest.load(folder).predict()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Gap", r"data.computed.mine has no finite value in 1 row of random_walk, first on 1990-0"),
        ("Short", r"data.computed.mine returns the shape \(1,\); it must be \(150,\), one per row"),
        ("Broken", r"data.computed.mine fails on random_walk: KeyError: 'volume'"),
    ],
)
def test_a_wrong_input_has_a_message(train, name, message):
    with pytest.raises(ValueError, match=message):
        train(*own(f"+data.computed.mine._target_=own_inputs.{name}"))


def test_a_name_of_a_column_is_refused(train):
    with pytest.raises(ValueError, match="data.computed.value: the data have a column of this name"):
        train(*own("+data.computed.value._target_=own_inputs.Momentum"))


def test_the_audit_finds_an_input_that_looks_ahead():
    clean = {}
    for name in ("Momentum", "Centred"):
        overrides = own(f"+data.computed.mine._target_=own_inputs.{name}")
        audit = LookAhead(check(composed(*overrides)), fit_with_kernel, 1, 0).run()
        clean[name] = audit.clean
        steps = {case.step for case in audit.cases if case.difference}
        assert steps == (set() if name == "Momentum" else {"rows read"})
    assert clean == {"Momentum": True, "Centred": False}
