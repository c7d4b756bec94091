"""Walk-forward evaluation, compared with single runs on the rows before each fold."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import NO_PICTURES, QUIET, composed
from hypothesis import given
from hypothesis import strategies as st

from steepest.data.batches import PreparedData
from steepest.evaluate.folds import WalkForward
from steepest.runs import walk_forward
from steepest.runs.config import check
from steepest.runs.drive import SharedData, drive
from steepest.runs.folds import Folds

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
NET = (
    "model=mlp_manual", "model.hidden=[4]", "optimizer.lr=0.1", "data.window=5", "data.relative_to_last=true",
    "stop.epochs=2", "logger=none", QUIET, NO_PICTURES,
)  # fmt: skip
WALK = ("evaluation=walk_forward", "evaluation.folds=3")
LIGHTNINGS_STOP = (
    "~stop", "+stop._target_=lightning.pytorch.callbacks.EarlyStopping", "+stop.monitor=val/mse_scaled",
    "trainer.max_epochs=2",
)  # fmt: skip
SPANS = {"whole": (0, 300), "late": (60, 300), "gaps": (0, 290)}


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """A file of three series: one starts late, one ends early and lacks days."""
    random, calendar, parts = np.random.default_rng(3), pd.bdate_range("2019-01-01", periods=300), []
    for name, (start, stop) in SPANS.items():
        days = calendar[start:stop]
        table = pd.DataFrame(
            {"date": days, "series": name, "price": 50 * np.exp(random.normal(0, 0.03, len(days)).cumsum())}
        )
        parts.append(table.drop(index=table.index[::7]) if name == "gaps" else table)
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    pd.concat(parts).to_csv(path, index=False)
    return path


def run(folder, *overrides):
    """One run by the kernel, and its predictions for the test part."""
    folder.mkdir(exist_ok=True)
    metrics = drive(check(composed(*NET, *overrides), typed=["data.path=x"]), folder, list(overrides), SharedData())
    return metrics, pd.read_csv(folder / "predictions.csv", parse_dates=["date"]).query("part == 'test'")


def of_file(path, *overrides):
    return ("data=csv", f"data.path={path}", *overrides)


@given(rows=st.integers(1, 400), folds=st.integers(1, 30), step=st.one_of(st.none(), st.integers(1, 50)))
def test_folds_cover_every_row_once_in_order(rows, folds, step):
    spec = WalkForward(step=step) if step else WalkForward(folds=min(folds, rows))
    cut = spec.cut(rows)
    assert [row for fold in cut for row in fold] == list(range(rows))
    if step:
        assert all(len(fold) == step for fold in cut[:-1])
    else:
        assert len(cut) == min(folds, rows)
        assert max(map(len, cut)) - min(map(len, cut)) <= 1


@pytest.mark.parametrize(
    ("past", "horizon", "extra"),
    [
        ("expanding", 2, ()),
        ("sliding", 1, ()),
        ("sliding", 2, ("data.transform=log_return", "data.relative_to_last=false")),
    ],
)
def test_a_fold_is_predicted_as_by_a_single_run_on_the_rows_before_it(prices, tmp_path, past, horizon, extra):
    common = (f"data.horizon={horizon}", *extra)
    metrics, found = run(tmp_path / "walk", *of_file(prices, *common, *WALK, f"evaluation.past={past}"))
    folds = pd.read_csv(tmp_path / "walk" / "folds.csv", parse_dates=["first_day", "last_day", "train_from"])
    assert len(folds) == metrics["walk_forward"]["trainings"] == 3
    first = found[found["horizon"] == 1]
    for _, fold in folds.iterrows():
        rows = pd.read_csv(prices, parse_dates=["date"])
        rows = rows[rows["date"] >= fold["train_from"]]
        known = tmp_path / f"fold{fold['fold']}.csv"
        rows.to_csv(known, index=False)
        split = f"data.split=[{fold['val_from']},{fold['trained_to']}]"
        _, single = run(tmp_path / f"run{fold['fold']}", *of_file(known, *common, split, "data.history=borrow"))
        mine = first[first["date"].between(fold["first_day"], fold["last_day"])]
        assert len(mine) == fold["predictions"] > 0
        for series, date in zip(mine["series"], mine["date"], strict=True):
            at = [table[table["series"] == series].reset_index(drop=True) for table in (found, single)]
            place = [table.index[(table["date"] == date) & (table["horizon"] == 1)][0] for table in at]
            a, b = (table["prediction"].iloc[p : p + horizon].tolist() for table, p in zip(at, place, strict=True))
            assert a == b  # bit for bit


@pytest.mark.parametrize(
    "model",
    [
        ("model=mlp", "model.hidden=[4]"),
        pytest.param(("model=dlinear", "model.trend=3", "optimizer=adam"), marks=pytest.mark.slow),
        pytest.param(("model=mlp_manual", "model.engine=textbook"), marks=pytest.mark.slow),
        pytest.param(("model=linear", "optimizer=lbfgs", "data.batch_size=null"), marks=pytest.mark.slow),
        pytest.param(("model=mlp", *LIGHTNINGS_STOP), marks=pytest.mark.slow),
    ],
)
def test_a_fold_of_a_model_for_a_trainer_is_predicted_as_by_a_single_run(train, prices, tmp_path, model):
    model = model if LIGHTNINGS_STOP[0] in model else (*model, "stop.epochs=2")
    common = [*of_file(prices), "data.window=5", "data.series=[whole]", "logger=none", *model]
    outcome, folder = train(*common, "evaluation=walk_forward", "evaluation.folds=2", name="walk")
    last = pd.read_csv(folder / "folds.csv").iloc[-1]
    split = f"data.split=[{last['val_from']},{last['trained_to']}]"
    single, other = train(*common, split, "data.history=borrow", name="single")
    walk, alone = (pd.read_csv(path / "predictions.csv").set_index("date")["prediction"] for path in (folder, other))
    assert len(alone) == last["predictions"] < len(walk)
    np.testing.assert_allclose(walk[alone.index], alone, rtol=1e-6)
    assert last["best_epoch"] == single.metrics["objective"]["epoch"]
    assert outcome.metrics["walk_forward"]["trainings"] == 2


def test_no_training_uses_a_row_from_its_folds_first_target_on(prices):
    data = PreparedData(
        check(composed(*NET, *of_file(prices, *WALK)), typed=["data.path=x"]).groups["data"](), keeps_frame=True
    )
    data.setup()
    for past in ("expanding", "sliding"):
        folds = Folds(WalkForward(step=7, past=past), data, data.windows)
        targets = data.windows.index.get_level_values("date")[folds.origin_N.numpy() + 1]
        for training in folds.trainings:
            windows, origin_M = folds.windows_of(training)
            day_T = windows.index.get_level_values("date")
            for part in ("train", "val"):
                last = windows.parts[part].origins(torch.arange(len(windows.parts[part]))) + windows.horizon
                assert day_T[last.numpy()].max() < targets[training.place_M.numpy()].min()
            same = windows.index[origin_M.numpy()] == data.windows.index[folds.origin_N[training.place_M].numpy()]
            assert same.all()


def test_a_baseline_of_ones_own_is_refitted_for_each_fold(prices, tmp_path):
    mine = ("+evaluation.baselines.mine._target_=own_baselines.Drift", "trust=[own_baselines]", "data.horizon=2")
    metrics, _ = run(tmp_path / "walk", *of_file(prices, *WALK, *mine))
    held, _ = run(tmp_path / "held", *of_file(prices, *mine))
    copied, shipped = metrics["baselines"]["mine"], metrics["baselines"]["drift"]
    for part in ("train", "val", "test"):
        assert copied[part]["mse"] == pytest.approx(shipped[part]["mse"], rel=1e-6)
    assert copied["test"]["mse"] != pytest.approx(held["baselines"]["mine"]["test"]["mse"], rel=1e-4), "it is refitted"


def test_without_refitting_the_result_is_that_of_a_holdout(prices, tmp_path):
    _, walk = run(tmp_path / "walk", *of_file(prices, *WALK, "evaluation.refit=never"))
    holdout, single = run(tmp_path / "holdout", *of_file(prices, "data.history=borrow"))
    pd.testing.assert_frame_equal(walk, single, check_exact=True)
    walked = json.loads((tmp_path / "walk" / "metrics.json").read_text())
    assert {k: walked[k] for k in ("test", "baselines", "p_value")} == {
        k: holdout[k] for k in ("test", "baselines", "p_value")
    }


def test_a_walk_of_a_model_of_quantiles_keeps_its_medians(prices, tmp_path):
    quantiles = ("model.loss=quantile", "objective=val/loss")
    metrics, walk = run(tmp_path / "walk", *of_file(prices, *WALK, *quantiles, "evaluation.refit=never"))
    holdout, single = run(tmp_path / "holdout", *of_file(prices, *quantiles, "data.history=borrow"))
    pd.testing.assert_series_equal(walk["prediction"], single["prediction"], check_exact=True)
    assert set(single) - set(walk) == {"quantile_0.05", "quantile_0.95"}
    units = [{interval["unit"] for interval in each["intervals"]} for each in (metrics, holdout)]
    assert units == [{"price"}, {"quantiles"}]


def test_the_scores_of_a_fold_are_those_of_its_predictions(prices, tmp_path):
    metrics, found = run(tmp_path / "walk", *of_file(prices, *WALK, "evaluation.refit=2"))
    folds = pd.read_csv(tmp_path / "walk" / "folds.csv", parse_dates=["first_day", "last_day"])
    assert folds["training"].tolist() == [0, 0, 1]
    for _, fold in folds.iterrows():
        rows = found[found["date"].between(fold["first_day"], fold["last_day"])]
        assert fold["mse"] == pytest.approx(((rows["prediction"] - rows["actual"]) ** 2).mean())
    assert metrics["test"]["mse"] == pytest.approx(((found["prediction"] - found["actual"]) ** 2).mean())


def test_a_warm_start_begins_at_the_model_of_the_fold_before(prices, tmp_path, monkeypatch):
    starts = []

    class Watched(walk_forward.KernelTraining):
        def train(self, **options):
            starts.append({name: p.detach().clone() for name, p in self.parts.network.named_parameters()})
            return super().train(**options)

    monkeypatch.setattr(walk_forward, "KernelTraining", Watched)
    run(tmp_path / "walk", *of_file(prices, *WALK, "evaluation.warm_start=true"))
    folder = tmp_path / "walk" / "checkpoints"
    before = [
        torch.load(p, weights_only=True)["state_dict"] for p in (folder / "best.ckpt", folder / "folds" / "0001.ckpt")
    ]
    for start, weights in zip(starts, before, strict=True):
        assert all(torch.equal(start[name], weights.get(name, weights.get(f"network.{name}"))) for name in start)


def test_a_killed_and_resumed_run_trains_only_the_missing_models_and_has_the_same_record(train, prices, monkeypatch):
    options = (*NET[:-2], *of_file(prices, *WALK, "data.series=[whole]"))
    expected, whole = train(*options, name="whole")
    folder = whole.parent / "killed"
    original = walk_forward.Walk._train

    def killed(self, training, *rest):
        if training.number == 2:
            raise KeyboardInterrupt
        return original(self, training, *rest)

    monkeypatch.setattr(walk_forward.Walk, "_train", killed)
    with pytest.raises(KeyboardInterrupt):
        train(*options, name="killed")
    assert json.loads((folder / "run.json").read_text())["status"] == "stopped"
    trained = []
    monkeypatch.setattr(walk_forward.Walk, "_train", lambda *a: trained.append(a[1].number) or original(*a))
    outcome, _ = train(name="killed", resume=True)
    assert trained == [2]
    assert outcome.metrics | {"seconds": 0} == expected.metrics | {"seconds": 0}
    for name in ("predictions.csv", "folds.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    (folder / "checkpoints" / "folds" / "0001.ckpt").write_bytes(b"damaged")
    train("stop.epochs=3", name="killed", resume=True)  # other models
    assert sorted(trained[1:]) == [1, 2]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data=line",), "these data are plain rows"),
        (("data=random_walk", "data.split=[0.8,0.2,0]"), "test part is empty"),
        (("data=random_walk", "data.rows=100", "evaluation.folds=50"), "lower evaluation.folds"),
        (("data=random_walk", "model=mlp", "trainer.devices=2"), "in one process, .* use trainer.devices=1"),
        (("data=random_walk", "callbacks=[default,escape]"), "callbacks.escape .Escape. can change the descent"),
        (("data=random_walk", "evaluation.step=5", "evaluation.folds=5"), "remove one of them"),
        (("data=random_walk", "evaluation.refit=0"), "evaluation.refit=0"),
    ],
)
def test_an_impossible_walk_forward_evaluation_is_refused_with_the_fix(tmp_path, overrides, message):
    options = [o for o in NET if not o.startswith(("data", "~"))] if "data=line" in overrides else NET
    with pytest.raises(ValueError, match=message):
        drive(check(composed(*options, "evaluation=walk_forward", *overrides)), tmp_path, [], SharedData())


def test_a_fold_that_diverges_fails_the_run(tmp_path, monkeypatch):
    class Failed(walk_forward.KernelTraining):
        def train(self, **options):
            return "failed", "diverged: the training loss is inf"

    monkeypatch.setattr(walk_forward, "KernelTraining", Failed)
    metrics = drive(check(composed(*NET, "data=random_walk", *WALK)), tmp_path, [], SharedData())
    assert metrics["status"] == "failed"
    assert "the model of the fold that begins on" in metrics["stop_reason"]
