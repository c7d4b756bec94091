"""The look-ahead audit: clean configs pass, and each kind of planted leak is found in the step that has it."""

import json
import logging
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import composed
from omegaconf import OmegaConf

from steepest import cli
from steepest.data import preparation
from steepest.data.batches import Batches
from steepest.data.future import FACTOR, KINDS, FutureChange, changed_future
from steepest.data.prices.glitches import find_glitches
from steepest.data.sources import RandomWalk
from steepest.data.windows import Windows
from steepest.engine.descent import Descent
from steepest.evaluate import baselines
from steepest.runs import loop
from steepest.runs.config import check
from steepest.runs.lookahead import cases
from steepest.runs.lookahead.cases import LookAhead
from steepest.runs.lookahead.columns import leaking_columns
from steepest.runs.lookahead.command import run_audit
from steepest.runs.lookahead.report import as_data, findings, result
from steepest.runs.lookahead.training import fit_with_kernel, without_observers

QUICK = ["data.window=3", "stop.epochs=2", "callbacks=none", "logger=none"]
WALK = ["data=random_walk", "data.rows=200"]
SMALL = [*WALK, *QUICK, "model=linear_manual"]


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.INFO, "steepest")  # restored after the test; the audit changes it


@cache
def checked(*overrides):
    given = [*QUICK, *([] if {"data=csv", "data=stocks"} & {*overrides} else WALK), *overrides]
    given += [] if any(o.startswith("model=") for o in overrides) else ["model=linear_manual"]
    return without_observers(check(composed(*given), typed=given))


def audited(*overrides, days=1, seed=0):
    return LookAhead(checked(*overrides), fit_with_kernel, days, seed).run()


def steps(found):
    """(refitted, part, step) of each case with a difference."""
    return {(case.refitted, case.part, case.step) for case in found.cases if case.difference}


def csv(tmp_path, **columns):
    rows = len(next(iter(columns.values())))
    path = tmp_path / "prices.csv"
    pd.DataFrame({"date": pd.bdate_range("2015-01-01", periods=rows)} | columns).to_csv(path, index=False)
    return [f"data.path={path}", "data=csv"]


def walk(rows=200, seed=3):
    return 100 * np.exp(np.random.default_rng(seed).normal(0, 0.01, rows).cumsum())


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model=mlp_manual", "model.hidden=[3]", "data.horizon=2", "data.transform=log_return"],
        ["data.target=direction", "model.loss=cross_entropy", "objective=val/cross_entropy"],
        pytest.param(["data=stocks", "data.series=[AAPL,RRC]"], marks=pytest.mark.slow),
        pytest.param(["evaluation.statistics=[ets,arima]", "data.horizon=2"], marks=pytest.mark.slow),
        pytest.param(
            ["data.split=[0.8,0,0.2]", "objective=train/mse_scaled", "data.history=borrow"], marks=pytest.mark.slow
        ),
        pytest.param(["stop=early", "stop.patience=1", "stop.epochs=9", "optimizer.lr=0.3"], marks=pytest.mark.slow),
        ["scheduler=plateau", "scheduler.patience=0", "stop.epochs=4", "data.split=[1990-05-01,1990-06-01]"],
    ],
)
def test_nothing_before_a_cutoff_day_changes_with_the_future(overrides):
    found = audited(*overrides, days=2)
    assert found.clean, list(findings(found))
    assert [(c.refitted, c.part) for c in found.cases[:12]] == [(False, "test")] * 8 + [(True, "test")] * 4
    assert {c.part for c in found.cases[12:]} == {"train" if "data.split=[0.8,0,0.2]" in overrides else "val"}
    assert all(case.count > 100 for case in found.cases)
    assert result(found).startswith("No number up to a cutoff day changed: no look-ahead")


BASELINES = ("persistence", "drift", "seasonal_naive", "moving_average", "least_squares", "ridge")


def test_the_windows_up_to_the_cutoff_day_are_all_compared():
    found = audited()
    case = found.cases[0]
    days = (case.day - pd.Timestamp("1990-01-01")).days + 1
    counts = {comparison.step: comparison.count for comparison in case.comparisons}
    assert counts["rows read"] == days
    assert counts["windows"] == 3 * (days - 2) + (days - 3)  # the window of the cutoff day has no known target
    assert counts["baselines"] == len(BASELINES) * (days - 2)
    assert counts["model"] == 2 * (days - 2)


def scaler_on_all_rows(patch):
    right = preparation.Standardizer.fit
    patch.setattr(preparation.Standardizer, "fit", lambda rows_TF: right(rows_TF._base))


def scaler_on_train_and_val(patch):
    right = preparation.Standardizer.fit
    patch.setattr(preparation.Standardizer, "fit", lambda rows_TF: right(rows_TF._base[: len(rows_TF) * 85 // 70]))


def centred_average(patch):
    right = RandomWalk.read

    def read(self):
        frame = right(self)
        frame["value"] = frame["value"].rolling(3, center=True, min_periods=1).mean()
        return frame

    patch.setattr(RandomWalk, "read", read)


def windows_off_by_one(patch):
    right = Windows.gather

    def gather(self, origin_N):
        return right(self, origin_N)._replace(x_ND=right(self, (origin_N + 1).clamp(max=len(self.price_T) - 2)).x_ND)

    patch.setattr(Windows, "gather", gather)


def baseline_of_the_test_mean(patch):
    patch.setattr(
        baselines,
        "drift",
        lambda windows, origin_N: windows.price_T[-30:].mean().expand(len(origin_N), windows.horizon),
    )


def model_that_sees_tomorrow(patch):
    right = Descent.predict
    patch.setattr(
        Descent, "predict", lambda self, origin_N: right(self, np.minimum(origin_N + 1, len(self.rows[0]) - 2))
    )


def training_on_test(patch):
    patch.setattr(loop, "Batches", lambda windows, part, size, **o: Batches(windows, "test", size, **o))


def training_on_val(patch):
    patch.setattr(loop, "Batches", lambda windows, part, size, **o: Batches(windows, "val", size, **o))


FIXED, TEST, VAL = (False, "test"), (True, "test"), (True, "val")


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (scaler_on_all_rows, {(*FIXED, "scaler"), (*TEST, "scaler"), (*VAL, "scaler")}),
        (scaler_on_train_and_val, {(*VAL, "scaler")}),
        (centred_average, {(*FIXED, "rows read"), (*TEST, "rows read"), (*VAL, "rows read")}),
        (windows_off_by_one, {(*FIXED, "windows")}),
        (baseline_of_the_test_mean, {(*FIXED, "baselines")}),
        (model_that_sees_tomorrow, {(*FIXED, "model")}),
        (training_on_test, {(*TEST, "training"), (*VAL, "training")}),
        pytest.param(training_on_val, {(*VAL, "training")}, marks=pytest.mark.slow),
    ],
)
def test_a_planted_leak_is_found_in_its_step(monkeypatch, plant, expected):
    monkeypatch.setattr(cases, "KINDS", ("truncated", "scaled"))
    plant(monkeypatch)
    found = audited()
    assert steps(found) == expected
    assert not found.clean
    assert result(found).startswith("Look-ahead found: numbers up to a cutoff day depend on later rows.")


def test_the_first_difference_names_the_day_the_series_and_the_column(monkeypatch):
    centred_average(monkeypatch)
    found = audited()
    case = found.cases[1]
    difference = case.difference
    assert (case.change, case.step) == ("scaled", "rows read")
    assert (difference.what, difference.series) == ("value", "random_walk")
    assert difference.day == str(case.day.date())  # the average of the cutoff day contains the next day
    assert float(difference.after) > 100 * float(difference.before)
    data = json.loads(json.dumps(as_data(found)))
    assert data["clean"] is False
    assert data["cases"][1]["difference"]["day"] == difference.day
    assert "scaled after" in data["findings"][1]


def test_filling_gaps_from_later_rows_is_found(tmp_path, monkeypatch):
    price = pd.Series(walk()).where(np.arange(200) % 3 != 2)
    given = *csv(tmp_path, close=price), "data.missing=forward_fill"
    monkeypatch.setattr(cases, "KINDS", ("truncated", "scaled"))
    assert audited(*given, days=4).clean
    monkeypatch.setattr(pd.DataFrame, "ffill", pd.DataFrame.bfill)
    found = audited(*given, days=4)
    gaps = {case.day for case in found.cases if case.difference}
    assert gaps == {case.day for case in found.cases if pd.isna(price[pd.bdate_range("2015-01-01", case.day).size - 1])}
    assert gaps
    assert {case.step for case in found.cases if case.difference} == {"rows read"}


def test_a_series_that_is_left_out_because_it_ends_later_is_look_ahead(tmp_path):
    """Survivorship: on the cutoff day nobody knew that the third series would end."""
    days = pd.bdate_range("2015-01-01", periods=200)
    tables = [
        pd.DataFrame({"date": days[:end], "ticker": name, "close": walk(end, seed)})
        for seed, (name, end) in enumerate([("A", 200), ("B", 200), ("C", 196)])
    ]
    pd.concat(tables).to_csv(tmp_path / "long.csv", index=False)
    found = audited("data=csv", f"data.path={tmp_path}/long.csv", "data.short=drop")
    assert {(case.change, case.step) for case in found.cases if case.difference} == {("truncated", "rows read")}
    assert found.cases[0].difference.series == "C"


def test_a_source_that_does_not_use_the_readers_is_refused(monkeypatch):
    frame = checked().groups["data"]().read()
    monkeypatch.setattr(RandomWalk, "read", lambda self: frame.copy())
    with pytest.raises(ValueError, match="neither read_prices nor check_prices"):
        cases.read_frame(checked().groups["data"](), FutureChange("scaled", frame.index[100][1]))
    found = audited()
    assert all(case.refused for case in found.cases)
    assert result(found).startswith("The audit is incomplete: 11 of 11 cases failed")


LOOSE = {"check_names": False, "check_freq": False, "check_index_type": False}
LAYOUTS = {
    "wide": lambda days, a, b: pd.DataFrame({"date": days, "A": a, "B": b}),
    "long": lambda days, a, b: pd.concat(
        [pd.DataFrame({"date": days, "id": name, "value": value}) for name, value in (("A", a), ("B", b))]
    ).sample(frac=1, random_state=0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_future_has_the_same_past(read, layout, kind):
    days, cut = pd.bdate_range("2015-01-01", periods=60), 40
    real = pd.DataFrame({"A": walk(60, 1), "B": walk(60, 2)}, index=days)
    text = LAYOUTS[layout](days, real["A"], real["B"]).to_csv(index=False)
    change = FutureChange(kind, days[cut], seed=1)
    with changed_future(change):
        found = read(text)["value"].unstack("series")[["A", "B"]]
    pd.testing.assert_frame_equal(found[: cut + 1], real[: cut + 1], **LOOSE)
    late, known = found[cut + 1 :], real[cut + 1 :]
    assert change.rows == (len(days) - cut - 1) * (1 if layout == "wide" else 2)
    if kind == "truncated":
        assert late.empty
    elif kind == "scaled":
        np.testing.assert_array_equal(late, known * FACTOR)
    elif kind == "blanked":
        np.testing.assert_array_equal(late, np.broadcast_to(real.iloc[cut], late.shape))
    else:
        np.testing.assert_array_equal(np.sort(late, axis=0), np.sort(known, axis=0))
        assert (late.to_numpy() != known.to_numpy()).mean() > 0.8
    pd.testing.assert_frame_equal(read(text)["value"].unstack("series")[["A", "B"]], real, **LOOSE)


PRICE = pd.Series(walk())
LEAKS = {
    "next": PRICE.shift(-1),
    "scaled": 3 * PRICE.shift(-2) + 7,
    "change": PRICE.shift(-1) - PRICE,
    "return": PRICE.shift(-1) / PRICE - 1,
    "up": (PRICE.shift(-1) > PRICE).astype(float),
    "week": PRICE.shift(-5) - PRICE,
}
HARMLESS = {
    "same": PRICE,
    "yesterday": PRICE.shift(1),
    "average": PRICE.rolling(5).mean(),
    "noise": pd.Series(walk(seed=9)),
    "past": PRICE - PRICE.shift(1),
    "near": PRICE * (1 + pd.Series(np.random.default_rng(5).normal(0, 0.001, 200))),
}


def test_an_input_with_later_prices_is_found_and_other_inputs_are_not():
    days = pd.bdate_range("2015-01-01", periods=200)
    table = pd.DataFrame({"value": PRICE} | LEAKS | HARMLESS).set_axis(days)
    frame = pd.concat({"A": table}, names=["series", "date"]).dropna()
    assert {leak.column: leak.ahead for leak in leaking_columns(frame, 1)} == {
        "next": 1, "scaled": 2, "change": 1, "return": 1, "up": 1, "week": 5,
    }  # fmt: skip
    smooth = pd.DataFrame({"value": 100 + np.sin(np.arange(200) / 50)}, index=days)
    smooth = smooth.assign(same=smooth["value"], past=smooth["value"].shift(1), slope=smooth["value"].diff()).dropna()
    assert leaking_columns(pd.concat({"A": smooth}, names=["series", "date"]), 1) == []  # today tells tomorrow


def test_a_shifted_column_of_a_file_fails_the_audit(tmp_path):
    found = audited(
        *csv(tmp_path, close=PRICE, next=PRICE.shift(-1).ffill()), "data.value=close", "data.features=[next]"
    )
    assert not any(case.difference or case.refused for case in found.cases)  # the past rows are not computed again
    assert [leak.column for leak in found.columns] == ["next"]
    assert next(findings(found)).startswith("Input 'next' of close follows the price of the next row (correlation")
    assert result(found) == "Look-ahead found: 1 input of the data contains later prices."


def test_suspicious_days_and_the_scores_without_them(tmp_path):
    price = walk()
    price[185] *= 3.5  # undone by the next row: the rows 185 and 186 are suspicious
    found = audited(*csv(tmp_path, close=price), days=1).glitches
    days = pd.bdate_range("2015-01-01", periods=200)
    assert found.days == {"close": [days[185], days[186]]}
    assert found.samples == 200 - 170 - 1 - 2 - 1  # the test part without its gap, its first window and its last row
    assert found.touched == 2 + 3  # a sample has 3 + 1 rows
    table = found.without.predictions[lambda t: t["part"] == "test"]
    assert len(table) == found.samples - found.touched
    assert not table["date"].isin(days[185:190]).any()
    rmse = float(np.sqrt(((table["last"] - table["actual"]) ** 2).mean()))
    assert found.without.baselines["persistence"]["test"]["rmse"] == pytest.approx(rmse)
    assert found.every.baselines["persistence"]["test"]["rmse"] > 3 * rmse
    assert not found.verdict_changes


def test_the_rows_of_glitches():
    price = np.array([10.0, 11, 44, 11, 12, 50, 50, -50, 0, 3] + [3.0] * 9)
    found = find_glitches(price)
    assert found.days().tolist() == [2, 3, 5, 7, 8, *range(10, 19)]
    assert found.undone.tolist() == [2]
    assert found.stale == [(9, 10)]
    assert len(find_glitches(walk()).days()) == 0


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here")
def test_the_command_audits_a_runs_config_and_writes_only_the_file_of_out(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    OmegaConf.save(composed(*SMALL), tmp_path / "run" / "config.yaml", resolve=True)
    cli.audit(["run"], days=1, seed=4, out=tmp_path / "found.json")
    printed = capsys.readouterr().out
    assert printed.splitlines()[-2].startswith("No number up to a cutoff day changed")
    assert sum(line.rstrip().endswith("equal") for line in printed.splitlines()) == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.json", "run"]
    assert json.loads((tmp_path / "found.json").read_text())["clean"] is True


@pytest.mark.usefixtures("here")
def test_a_finding_ends_the_command_with_exit_code_1(monkeypatch, capsys):
    baseline_of_the_test_mean(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        cli.audit(SMALL, days=1)
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "baselines: prediction 1 of drift of random_walk on 1990-01-03 is" in printed
    assert printed.splitlines()[-1].endswith("First in: baselines.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=table", "data.path=data/norris.csv", "data.inputs=[x]", "data.target=y"], "rows without dates"),
        ([*SMALL, "data.split=[0.8,0.2,0]"], "the test part is empty"),
        (
            [*SMALL, "optimizer.lr=1e9"],
            "the training failed, so there is nothing to audit: diverged",
        ),
        (["resume=run"], "the audit trains from scratch"),
    ],
)
def test_what_cannot_be_audited_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        run_audit(arguments, 1, 0, None, lambda: fit_with_kernel)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["model=linear", "model=mlp_manual"])
def test_with_a_changed_future_a_trainer_gives_the_same_numbers_bit_for_bit(model, tmp_path):
    from steepest.lightning.lookahead import fit_with_trainer

    node = checked(model, "model.hidden=[4]") if model == "model=mlp_manual" else checked(model)
    found = LookAhead(node, fit_with_trainer, 1, 0).run()
    assert found.clean, list(findings(found))
    assert all(case.count > 100 for case in found.cases)
    if model == "model=mlp_manual":
        look = LookAhead(node, fit_with_kernel, 1, 0)
        lightning = fit_with_trainer(node, look.real.windows)
        assert torch.equal(lightning.parameters_EP, look.fit.parameters_EP)
        np.testing.assert_array_equal(lightning.losses_K, look.fit.losses_K)


def test_days_after_data_until_are_not_used_as_the_future():
    """The last windows before `data.until` have no known targets, also if the changed file has later days."""
    found = audited("data.until=1990-10-01", "data.horizon=9", days=3)
    assert steps(found) == set()
    assert found.clean
