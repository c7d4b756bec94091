"""Pictures of predictions, losses and parameters show the right numbers, and their titles state them."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.dates import num2date
from sklearn.metrics import confusion_matrix

from steepest.evaluate.intervals import Interval
from steepest.evaluate.pooled import WalkForwardScores
from steepest.nets.losses import LOSSES
from steepest.observe import figures, predictions, walk_forward
from steepest.observe.theme import DARK, LIGHT, lay_out


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, laid out."""
    found = []

    def keep(figure, path):
        lay_out(figure, 100).draw()
        found.append(figure)

    monkeypatch.setattr(figures, "save", keep)
    monkeypatch.setattr(predictions, "save", keep)
    return found


def prices(count=300, size=100.0, better=0.5, series="INDEX"):
    """Return a test part in which the model's errors are `better` times those of tomorrow = today."""
    random = np.random.default_rng(0)
    actual = size * np.exp(random.normal(0, 0.01, count).cumsum())
    last = np.concatenate([[size], actual[:-1]])
    return pd.DataFrame(
        {
            "part": ["train"] * 10 + ["test"] * (count - 10), "series": series,
            "date": pd.bdate_range("2020-01-01", periods=count), "horizon": 1,
            "last": last, "prediction": actual + better * (last - actual), "actual": actual,
        }
    )  # fmt: skip


def title(figure):
    return figure.get_suptitle().replace("\n", " ")


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("better", "doubt", "sentence"),
    [
        (0.5, "", "The model saved 75 % of the squared error against tomorrow = today"),
        (0.5, "untested", "The model saved 75 % of the squared error against tomorrow = today; the lead is untested"),
        (
            0.01,
            "untested",
            "The model saved all but 0.01 % of the squared error against tomorrow = today; the lead is untested",
        ),
        (0.0, "", "The model's predictions are exact"),
        (1.1, "untested", "The model's squared error is 21 % above that of tomorrow = today"),
        (3.0, "", "The model's squared error is 9 times that of tomorrow = today"),
        (1.0, "", "The model's squared error is equal to that of tomorrow = today"),
    ],
)
def test_the_title_says_how_much_of_the_squared_error_the_model_saved(drawn, tmp_path, better, doubt, sentence):
    predictions.draw_predictions(prices(better=better), "Model", tmp_path / "p.png", LIGHT, doubt)
    assert title(drawn[0]) == sentence


def test_the_error_saved_ends_at_the_skill_and_the_zoom_shows_the_last_60_days(drawn, tmp_path):
    rows = prices(better=1.3)
    predictions.draw_predictions(rows, "Model", tmp_path / "p.png", DARK)
    whole, zoom, _, _, saved, saved_zoom = drawn[0].axes
    test = rows[rows["part"] == "test"]
    skill = 1 - ((test["prediction"] - test["actual"]) ** 2).sum() / ((test["last"] - test["actual"]) ** 2).sum()
    assert saved.lines[-1].get_ydata()[-1] == pytest.approx(skill)
    assert texts(saved_zoom) == ["\u221269 %"]
    assert len(whole.lines[0].get_xdata()) == 290
    assert len(zoom.lines[0].get_xdata()) == 60
    assert num2date(zoom.get_xlim()[0]).date() >= test["date"].iloc[-62].date()
    assert texts(zoom) == ["price", "prediction"]


def test_axes_of_a_price_in_billions_have_no_factor_and_no_offset(drawn, tmp_path):
    predictions.draw_predictions(prices(size=2e9), "Model", tmp_path / "p.png")
    for axes in drawn[0].axes:
        assert axes.yaxis.get_offset_text().get_text() == ""
        assert axes.xaxis.get_offset_text().get_text() == ""
    assert "2,000,000,000" in [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]


def test_a_short_part_has_no_zoom(drawn, tmp_path):
    predictions.draw_predictions(prices(60), "Model", tmp_path / "p.png")
    assert len(drawn[0].axes) == 3


@pytest.mark.parametrize(
    ("predicted", "sentence"),
    [
        (np.nan, "Some predictions are not finite numbers"),
        (1e30, r"The model's squared error is \d\.?\d*e\+\d\d times that of tomorrow = today"),
        (0.0, r"The model's squared error is [\d,]+ times that of tomorrow = today"),
    ],
)
def test_the_title_says_that_a_model_failed(drawn, tmp_path, predicted, sentence):
    predictions.draw_predictions(prices(80).assign(prediction=predicted), "Model", tmp_path / "p.png")
    assert re.fullmatch(sentence, title(drawn[0]))


def test_the_title_names_the_series_if_the_picture_shows_one_of_several(drawn, tmp_path):
    rows = pd.concat([prices(better=0.5, series="AAA"), prices(better=3.0, series="BBB")])
    predictions.draw_predictions(rows, "Model", tmp_path / "p.png", LIGHT, "untested")
    predictions.draw_predictions(
        pd.concat([directions(), directions().assign(series="B")]), "Model", tmp_path / "p.png"
    )
    assert title(drawn[0]) == (
        "AAA, one of 2 series: The model saved 75 % of the squared error against tomorrow = today"
    )
    assert title(drawn[1]).startswith("INDEX, one of 2 series: ")


def test_rows_of_less_than_a_day_have_equal_distances(drawn, tmp_path):
    rows = prices(80)
    rows["date"] = pd.date_range("2024-01-02 09:00", periods=len(rows), freq="h")
    rows.loc[rows.index[-20:], "date"] += pd.Timedelta(days=3)
    predictions.draw_predictions(rows, "Model", tmp_path / "p.png")
    line = drawn[0].axes[0].lines[0]
    assert set(np.diff(line.get_xdata())) == {1}
    labels = [label.get_text() for label in drawn[0].axes[-1].get_xticklabels()]
    assert any(label.startswith("2024-01-0") and ":00" in label for label in labels)


@pytest.mark.parametrize("days", [1, 2, 61])
def test_parts_of_few_days_are_drawn(drawn, tmp_path, days):
    predictions.draw_predictions(prices(10 + days), "Model", tmp_path / "p.png")
    predictions.draw_predictions(directions(500 + days), "Model", tmp_path / "p.png")
    assert len(drawn) == 2


def directions(count=2000):
    random = np.random.default_rng(1)
    probability = random.uniform(0.3, 0.9, count)
    dates = pd.bdate_range("2015-01-01", periods=count)
    return pd.DataFrame(
        {
            "part": ["train"] * 500 + ["test"] * (count - 500), "series": "INDEX", "date": dates, "horizon": 1,
            "last": 1.0, "probability_up": probability, "up": (random.uniform(size=count) < probability).astype(int),
        }
    )  # fmt: skip


def test_the_picture_of_directions_shows_reliability_confusion_and_hits(drawn, tmp_path):
    rows = directions()
    predictions.draw_predictions(rows, "Model", tmp_path / "p.png")
    reliability, confusion, hits = drawn[0].axes
    test = rows[rows["part"] == "test"]
    right = (test["probability_up"] > 0.5) == test["up"]
    always_up = test["up"] == 1
    assert title(drawn[0]) == (
        f"{100 * right.mean():.1f} % of the days were predicted correctly; always up: {100 * always_up.mean():.1f} %"
    )
    x, share = reliability.lines[1].get_data()
    assert len(x) == 10
    assert share == pytest.approx(x, abs=0.15)  # the probabilities are calibrated
    assert (np.corrcoef(x, share)[0, 1]) > 0.9
    counts = [int(text.split("\n")[0].replace(",", "")) for text in texts(confusion)]
    assert counts == confusion_matrix(test["up"], test["probability_up"] > 0.5).ravel().tolist()
    assert hits.lines[1].get_ydata()[-1] == right.sum() - always_up.sum()


def test_rows_of_two_classes_show_the_probabilities_of_each_class(drawn, tmp_path):
    rows = directions().rename(columns={"probability_up": "probability", "up": "class"})
    rows = rows.drop(columns=["series", "date", "horizon", "last"])
    predictions.draw_predictions(rows, "Model", tmp_path / "p.png")
    below = drawn[0].axes[2]
    test = rows[rows["part"] == "test"]
    ones, zeros = (patch.get_data().values.sum() for patch in below.patches)
    assert (ones, zeros) == ((test["class"] == 1).sum(), -(test["class"] == 0).sum())


def test_plain_rows_are_compared_with_the_training_mean(drawn, tmp_path):
    actual = np.linspace(-3, 5, 100)
    rows = pd.DataFrame({"part": ["train"] * 50 + ["test"] * 50, "prediction": actual + 0.1, "actual": actual})
    predictions.draw_predictions(rows, "Model", tmp_path / "p.png")
    reference = ((actual[50:] - actual[:50].mean()) ** 2).sum()
    left = 100 * 50 * 0.1**2 / reference
    assert title(drawn[0]) == f"The model saved all but {left:.2g} % of the squared error against the training mean"


HISTORY = pd.DataFrame({"updates": [10.0, 20, 30, 40], "train/full_loss": [4.0, 3, 2, 1], "val/loss": [5.0, 3, 4, 6]})


def test_losses_show_the_reference_as_a_line_and_mark_the_best_epoch(drawn, tmp_path):
    figures.draw_losses(
        np.linspace(5, 1, 40), HISTORY, tmp_path / "l.png", loss="mse", model="Model", best=2,
        references={"reference/val_persistence": 2.5, "reference/train_persistence": 2.0}, objective="val/mse_scaled",
    )  # fmt: skip
    (axes,) = drawn[0].axes
    assert title(drawn[0]) == (
        "Epoch 2 of 4 is the best by val/mse_scaled; its val loss is 20 % above that of tomorrow = today"
    )
    assert any(set(line.get_ydata()) == {2.5} for line in axes.lines)
    assert any((list(line.get_xdata()), list(line.get_ydata())) == ([20], [3]) for line in axes.lines)
    assert {"train part", "val part", "tomorrow = today,\nval part", "epoch 2"} <= set(texts(axes))
    assert axes.get_title(loc="left").startswith("Mean squared error (")


def test_losses_without_a_val_part_or_a_reference_are_drawn(drawn, tmp_path):
    history = HISTORY.drop(columns="val/loss")
    figures.draw_losses(
        np.ones(40), history, tmp_path / "l.png", loss="cross_entropy", model="Model", best=4, objective="train/loss"
    )
    figures.draw_losses(np.ones(3), pd.DataFrame(), tmp_path / "l.png", loss="mae", model="Model")
    assert title(drawn[0]) == "Epoch 4 of 4 is the best by train/loss"
    assert title(drawn[1]) == "The loss of 3 updates"
    assert drawn[0].axes[0].get_title(loc="left") == "Cross-entropy (nats)"


def test_the_losses_of_batches_and_of_parts_have_the_same_unit(drawn, train):
    """With one batch per epoch, the loss of the next update's batch is the loss of the training part."""
    train("model=linear_manual", "data.window=5", "data.relative_to_last=true", "data.batch_size=null", "stop.epochs=6")
    (axes,) = drawn[-1].axes
    batches, parts = (line.get_ydata() for line in axes.lines[:2])
    assert batches[1:] == pytest.approx(parts[:-1], rel=1e-4)


def test_parameters_of_a_small_model_are_drawn_as_paths(drawn, tmp_path):
    path_KP = np.linspace([1.0, 0, 5], [2.0, -4, 5], 101)
    figures.draw_path({"W1": 2, "b1": 1}, path_KP, range(101), tmp_path / "p.png", LIGHT)
    weights, bias = drawn[0].axes
    assert np.array([line.get_ydata() for line in weights.lines]) == pytest.approx(path_KP[:, :2].T)
    assert bias.lines[0].get_ydata() == pytest.approx(path_KP[:, 2])
    assert texts(weights) == ["2", "\u22124"]
    assert not weights.patches
    assert title(drawn[0]) == "The parameters were halfway to their final values after 50 of 100 updates"


@pytest.mark.parametrize(("updates", "whole"), [([0, 1], "1 update"), ([0, 7], "7 updates")])
def test_the_title_says_that_the_parameters_did_not_change(drawn, tmp_path, updates, whole):
    figures.draw_path({"W1": 2, "b1": 1}, np.ones((2, 3)), updates, tmp_path / "p.png", LIGHT)
    assert title(drawn[0]) == f"After {whole}, the parameters have their initial values"


@pytest.mark.parametrize(
    ("gap", "sentence"),
    [
        (0.0, "are equal to the last bit"),
        (3.2e-7, "differ by at most 4e-07"),
        (1234.5, "differ by at most 2,000"),
        (np.nan, "are not all finite: 1 are infinite or not a number"),
    ],
)
def test_the_title_of_the_parity_picture_bounds_the_difference(drawn, tmp_path, gap, sentence):
    rows = pd.DataFrame({"update": range(1, 6), "loss_by_autograd": 1.0, "loss_by_hand": 1.0})
    rows = rows.assign(loss_difference=[0, 0, gap, 0, 0], parameter_difference=0.0)
    figures.draw_parity(rows, tmp_path / "p.png")
    ticks = [label.get_text() for axes in drawn[0].axes for label in axes.get_yticklabels(which="both")]
    assert not any("$" in tick for tick in ticks)
    assert title(drawn[0]) == f"By hand and by autograd, the losses of 5 updates {sentence}"


def test_tensors_of_few_numbers_have_no_histograms(drawn, tmp_path):
    random = np.random.default_rng(0)
    many, few = random.normal(size=500), np.array([1.0, 2.0])
    figures.draw_numbers(["W1", "b1"], [many, few], [many + 1, few + 1], [many, few], tmp_path / "p.png")
    histogram, _, lines, slopes = drawn[0].axes
    assert histogram.patches
    assert not lines.patches
    assert not slopes.patches
    assert [line.get_xdata().tolist() for line in lines.lines] == [[1, 2], [2, 3]]


def folds_of(skills, alone=1.0, days_per_fold=20):
    """A walk-forward evaluation in which the reference loses 1 per day, and the model 1 - skill."""
    days = pd.bdate_range("2020-01-01", periods=days_per_fold * len(skills)).to_numpy()
    starts = days[::days_per_fold]
    rows = [
        {"fold": n, "training": n, "first_day": start, "last_day": days[(n + 1) * days_per_fold - 1]}
        for n, start in enumerate(starts)
    ]
    loss_N = torch.tensor([1.0 - skill for skill in skills], dtype=torch.float64).repeat_interleave(days_per_fold)
    one_N = torch.ones(len(days), dtype=torch.float64)
    return WalkForwardScores(pd.DataFrame(rows), days, loss_N, one_N, alone * one_N, {"skill": 1 - alone}, None)


def test_the_picture_of_folds_ends_at_the_error_saved_and_shows_each_folds_share(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(walk_forward, "save", predictions.save)
    walk_forward.draw_walk_forward(folds_of([0.5, -0.25, 0.05], alone=1.2), "persistence", "Net", tmp_path / "w.png")
    saved, skill = drawn[0].axes
    ends = {line.get_color(): line.get_ydata()[-1] for line in saved.lines if len(line.get_ydata()) > 2}
    assert ends == pytest.approx({LIGHT.blue: 0.1, LIGHT.orange: -0.2})
    assert skill.patches[0].get_data().values.tolist() == pytest.approx([0.5, -0.25, 0.05])
    assert title(drawn[0]) == (
        "Walk-forward: the squared error is 10 % below that of tomorrow = today; without refitting, 20 % above"
    )


def test_the_axis_of_every_loss_has_its_name():
    assert figures.NAMES.keys() == LOSSES.keys()


@pytest.mark.parametrize("unit", ["price", "data", "quantiles"])
def test_the_band_around_predictions_is_the_interval_of_the_series(drawn, tmp_path, unit):
    rows = prices()
    half = 0.02 if unit == "price" else 1.5
    rows["quantile_0.05"], rows["quantile_0.95"] = rows["prediction"] - 2, rows["prediction"] + 3
    interval = Interval(0.9, [9.0], {"INDEX": [half]}, unit, 0.88, 3.0)
    predictions.draw_predictions(rows, "Model", tmp_path / "p.png", LIGHT, "", interval)
    zoom = drawn[0].axes[1]
    (band,) = zoom.collections
    last = rows.tail(predictions.ZOOM)
    below, above = {"price": 2 * (last["last"],), "data": (1, 1), "quantiles": (2, 3)}[unit]
    edges = band.get_paths()[0].vertices[:, 1]
    assert edges.max() == pytest.approx((last["prediction"] + half * above).max())
    assert edges.min() == pytest.approx((last["prediction"] - half * below).min())
    caption = drawn[0]._supxlabel.get_text().replace("\n", " ")
    assert "Orange band: the 90 % interval, which contained 88 % of the test part's prices" in caption
    predictions.draw_predictions(rows.assign(part="val"), "Model", tmp_path / "p.png", LIGHT, "", interval)
    assert not drawn[1].axes[1].collections
