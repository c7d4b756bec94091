"""Whole runs in this process, compared with closed forms, certified numbers and each other."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, composed, read_scalars
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from steepest import LinearPredictor, WindowDataModule
from steepest.evaluate.table import line_coefficients
from steepest.observe.tags import TAGS, known
from steepest.runs import checkpoints
from steepest.runs.config import check

WALK = ("data=random_walk", "data.rows=400", "data.window=1", "data.relative_to_last=false")
QUICK = ("stop.epochs=3", *WALK, "data.window=5", "model=mlp", "model.hidden=[8]", "optimizer=adam")
FINAL_CLASS_METRICS = {"balanced_accuracy", "f1", "auc", "brier", "calibration_error"}
RINGS = ["data=rings", "model.loss=cross_entropy", "objective=val/cross_entropy", "optimizer=adam", "optimizer.lr=0.02"]


def data_of(*overrides):
    """The data that a run with these overrides trains on."""
    data = WindowDataModule(check(composed(*overrides)).groups["data"]())
    data.setup()
    return data


def line_of(folder, *overrides):
    """The line that a run has learned, in the data's units: coefficients and constant."""
    model = LinearPredictor.load_from_checkpoint(folder / "checkpoints" / "best.ckpt", weights_only=True)
    return line_coefficients(model.network, data_of(*overrides).windows)


def test_gradient_descent_reaches_the_certified_coefficients_of_nist_norris(train):
    norris = (
        "data=table", f"data.path={ROOT / 'data' / 'norris.csv'}", "data.inputs=[x]", "data.target=y", "data.split=[1,0,0]",
        "data.batch_size=null", "optimizer.lr=0.1", "stop.epochs=200", "trainer.precision=64-true",
    )  # fmt: skip
    outcome, folder = train(*norris)
    metrics, ((b1,), b0) = outcome.metrics, line_of(folder, *norris)
    assert b1 == pytest.approx(1.00211681802045, rel=1e-12)
    assert b0 == pytest.approx(-0.262323073774029, rel=1e-10)
    assert metrics["train"]["mse"] == pytest.approx(26.6173985294224 / 36, rel=1e-11)
    assert metrics["baselines"]["least_squares"]["train"]["mse"] == pytest.approx(26.6173985294224 / 36, rel=1e-9)
    assert metrics["test"] == {}
    assert "There is no test part" in metrics["verdict"]


@pytest.mark.parametrize(
    "extra",
    [
        (),
        pytest.param(("data.window=3", "data.relative_to_last=true"), marks=pytest.mark.slow),
        pytest.param(("data.window=4", "data.transform=return"), marks=pytest.mark.slow),
    ],
)
def test_linear_regression_reaches_least_squares_to_6_digits(train, extra):
    outcome, _ = train(
        "data=random_walk", "data.batch_size=null", "optimizer.lr=0.1", "stop.epochs=400", "trainer.precision=64-true",
        "logger=none", "objective=train/mse_scaled", *extra,
    )  # fmt: skip
    metrics = outcome.metrics
    for part in ("train", "val", "test"):
        assert metrics[part]["mse"] == pytest.approx(metrics["baselines"]["least_squares"][part]["mse"], rel=1e-6)


def test_the_line_is_in_the_datas_own_units(train):
    line = ("data=line", "data.noise=0", "data.a=3", "data.b=-2")
    outcome, folder = train(*line, "optimizer.lr=0.1", "stop.epochs=100")
    (a,), b = line_of(folder, *line)
    assert (a, b) == pytest.approx((3, -2), abs=1e-4)
    assert outcome.metrics["line"].startswith("The line: target = ")


@pytest.mark.parametrize("relative", ["true", "false"])
def test_the_lines_coefficients_predict_what_the_model_predicts(train, relative):
    walk = (*WALK, "data.window=3", f"data.relative_to_last={relative}")
    _, folder = train(*walk, "stop.epochs=2", "trainer.precision=64-true")
    coefficients, constant = line_of(folder, *walk)
    table = pd.read_csv(folder / "predictions.csv").query("part == 'test'")
    windows = data_of(*walk).windows
    origin = windows.parts["test"].first_S.item()
    expected = sum(c * windows.price_T[origin - 2 + k].item() for k, c in enumerate(coefficients)) + constant
    assert table["prediction"].iloc[0] == pytest.approx(expected, rel=1e-8)  # ten digits are written


def test_scores_are_identical_for_any_evaluation_chunk(train, monkeypatch):
    from steepest.data import windows

    whole, _ = train(*QUICK, name="whole")
    monkeypatch.setattr(windows, "CHUNK", 64 * 97)
    pieces, _ = train(*QUICK, name="pieces")
    for part in ("train", "val", "test"):
        assert pieces.metrics[part] == pytest.approx(whole.metrics[part], rel=1e-5)
    assert len(whole.evaluation.predictions) == len(pieces.evaluation.predictions)


def test_every_window_counts_whatever_the_batch_size(train):
    counts = []
    for size in ("64", "1000", "null"):
        outcome, _ = train("stop.updates=1", "data.window=5", f"data.batch_size={size}", "logger=none", name=f"b{size}")
        counts.append(outcome.evaluation.predictions["part"].value_counts().to_dict())
    assert counts[0] == counts[1] == counts[2]
    assert counts[0]["test"] == 8313 - int(8313 * 0.85) - 1 - 5 - 1 + 1  # rows, less gap, window and horizon


def test_two_runs_of_one_seed_are_bit_identical_and_seed_0_is_a_seed(train):
    runs = {name: train(*QUICK, f"seed={seed}", name=name) for name, seed in [("a", 0), ("b", 0), ("c", 1)]}
    weights = {
        n: torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for n, (_, f) in runs.items()
    }
    assert all(torch.equal(weights["a"][k], weights["b"][k]) for k in weights["a"])
    assert not torch.equal(weights["a"]["network.W1"], weights["c"]["network.W1"])
    texts = {n: (f / "predictions.csv").read_text() for n, (_, f) in runs.items()}
    assert texts["a"] == texts["b"] != texts["c"]
    assert json.loads((runs["a"][1] / "run.json").read_text())["seed"] == 0


def test_a_run_is_resumed_in_a_folder_that_was_moved(train):
    common = [o for o in QUICK if not o.startswith("stop")]
    _, expected = train(*common, "stop.epochs=5", name="whole")
    _, folder = train(*common, "stop.epochs=2", name="part")
    folder = folder.rename(folder.with_name("moved"))
    train("stop.epochs=5", name="moved", resume=True)
    a, b = (json.loads((f / "metrics.json").read_text()) for f in (expected, folder))
    assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}
    assert (expected / "predictions.csv").read_text() == (folder / "predictions.csv").read_text()
    assert len(json.loads((folder / "run.json").read_text())["resumed"]) == 1


def test_resuming_refuses_overrides_on_which_the_results_depend(train):
    train(*QUICK)
    with pytest.raises(ValueError, match=r"optimizer.lr=0.5 cannot be combined with resume="):
        train("optimizer.lr=0.5", resume=True)
    with pytest.raises(ValueError, match=r"model=linear cannot be combined with resume="):
        train("model=linear", resume=True)


def test_resuming_refuses_data_that_changed(train, tmp_path):
    path = tmp_path / "prices.csv"
    frame = pd.read_csv(ROOT / "data" / "sp500.csv.gz").tail(300)
    frame.to_csv(path, index=False)
    train("data=csv", f"data.path={path}", "stop.epochs=2")
    frame.iloc[:-1].to_csv(path, index=False)
    before = {n: (tmp_path / "run" / n).read_text() for n in ("run.json", "metrics.json", "config.yaml")}
    with pytest.raises(ValueError, match="the data have changed since the run started"):
        train("stop.epochs=3", resume=True)
    for name, text in before.items():
        assert (tmp_path / "run" / name).read_text() == text, "a refused resume does not change the record"


def test_a_resumed_run_keeps_its_own_limit_unless_it_is_raised(train):
    train("data=line", "trainer.max_epochs=2")
    outcome, _ = train(resume=True)
    assert outcome.metrics["epochs"] == 2
    assert outcome.metrics["stop_reason"] == "trainer.max_epochs: 2 epochs done"
    outcome, _ = train("trainer.max_epochs=3", resume=True)
    assert outcome.metrics["epochs"] == 3
    outcome, _ = train("stop.epochs=4", resume=True)
    assert outcome.metrics["epochs"] == 4


def test_a_checkpoint_with_a_pickle_is_refused(train):
    _, folder = train(*QUICK)
    path = folder / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    checkpoints.save(state | {"planted": pd.DataFrame()}, path)
    path.with_name("previous.ckpt").unlink()
    with pytest.raises(
        ValueError, match=r"last.ckpt is not a complete checkpoint \(UnpicklingError: Weights only load failed"
    ):
        train("stop.epochs=4", resume=True)


def test_the_record_is_complete(train):
    outcome, folder = train("stop.epochs=2", "data.window=5", pictures=True)
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "tfevents" not in p.name}
    assert names == {
        "config.yaml", "metrics.json", "predictions.csv", "run.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "checkpoints/previous.ckpt",
        "figures/prediction.png", "figures/loss.png", "figures/slice.png", "figures/trajectory.png", "figures/parameters.png",
    }  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["status"] == "finished"
    keys = {"mse", "mae", "rmse", "mape", "mase", "directional_accuracy", "skill", "mse_scaled", "mae_scaled"}
    keys |= {"bias", "smape", "r2", "rmsse"}
    for part in ("train", "val", "test"):
        assert set(metrics[part]) == keys
        for baseline in ("persistence", "drift", "least_squares"):
            assert set(metrics["baselines"][baseline][part]) == keys
    assert metrics["baselines"]["persistence"]["test"]["skill"] == 0
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["data"]["sha256"] == "894c34431c284f86aa64a467e176e2a3c9b697c857eb9ab35006c2dd55d3fdf2"
    assert {"seed", "versions", "git", "data", "command", "device", "started", "ended", "stop_reason"} <= set(run)
    assert "${" not in (folder / "config.yaml").read_text()
    assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["window"] == 5
    table = pd.read_csv(folder / "predictions.csv")
    test = table[table["part"] == "test"]
    assert ((test["prediction"] - test["actual"]) ** 2).mean() == pytest.approx(metrics["test"]["mse"], rel=1e-6)
    assert ((test["last"] - test["actual"]) ** 2).mean() == pytest.approx(
        metrics["baselines"]["persistence"]["test"]["mse"]
    )
    assert outcome.metrics["verdict"] == metrics["verdict"]


def test_the_objective_chooses_the_best_checkpoint(train):
    outcome, folder = train(*WALK, "data.window=5", "stop.epochs=8", "optimizer.lr=0.05")
    curve = read_scalars(folder)["val/mse_scaled"]
    assert outcome.objective == pytest.approx(curve.min(), rel=1e-6)
    assert outcome.metrics["val"]["mse_scaled"] == pytest.approx(curve.min(), rel=1e-5)


def events_of(folder):
    """A run's events, read by TensorBoard."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_runs_write_exactly_the_tags_of_the_table(train):
    _, line = train(*WALK, "stop.epochs=2", name="line", pictures=True)
    watched = "callbacks=[default,audit,parity,curvature,noise,steps]"
    net = ("model=mlp_manual", *WALK, "data.window=2", "model.hidden=[3]", "stop.epochs=2")
    _, sigmoids = train(*net, watched, name="sigmoids", pictures=True)
    walk = ("evaluation=walk_forward", "evaluation.folds=2")
    _, relus = train(*net, *walk, "model.activation=relu", name="relus", pictures=True)
    _, batch = train(*WALK, "data.one_batch=true", "stop.epochs=1", name="batch")
    planted = ("model=mlp_manual", "model.hidden=[1]", "model.activation=identity", "model.init_scale=0")
    _, saddle = train(
        *planted, "data=line", "stop.epochs=2", "data.batch_size=null", "callbacks=[default,escape]", name="saddle"
    )
    tags = set()
    for folder in (line, sigmoids, relus, saddle, batch):
        tags |= set(read_scalars(folder))
        events = events_of(folder)
        tags |= {*events.Tags()["histograms"], *events.Tags()["images"]}
        layouts = events.Tensors("custom_scalars__config__")
        tags |= {t.removesuffix("_VERTEX") for t in events.Tags()["tensors"] if t.endswith("_VERTEX")}
        assert len(layouts) == 1
    assert [t for t in sorted(tags) if not known(t)] == []
    assert [e.name for e in TAGS if not any(e.matches(t) for t in tags)] == []


def test_automatic_and_manual_modules_write_the_same_tags_and_the_same_layout(train):
    kinds = []
    for model in ("mlp", "mlp_manual"):
        how = (*WALK, "model.hidden=[3]", "stop.epochs=2", "callbacks=[default,curvature,noise,steps]")
        _, folder = train(f"model={model}", *how, name=model)
        events = events_of(folder)
        layout = events.Tensors("custom_scalars__config__")[0].tensor_proto.SerializeToString()
        tags = events.Tags()
        kinds.append((set(read_scalars(folder)), set(tags["histograms"]), set(tags["images"]), layout))
    assert kinds[0] == kinds[1]


def test_the_curves_hold_every_update_and_the_path_of_the_parameters(train):
    outcome, folder = train("data=line", "data.batch_size=50", "stop.epochs=4", "optimizer.lr=0.1")
    curves = read_scalars(folder)
    assert list(curves["train/loss"].index) == list(range(1, outcome.metrics["updates"] + 1))
    a = curves["parameter/W1[0,0]"]
    assert list(a.index) == list(range(outcome.metrics["updates"] + 1))
    # a step is the learning rate times the gradient, so the parameters' path and the norms belong together
    steps = np.hypot(np.diff(a.to_numpy()), np.diff(curves["parameter/b1[0]"].to_numpy()))
    np.testing.assert_allclose(steps, 0.1 * curves["gradient_norm/total"].to_numpy(), rtol=1e-3, atol=1e-6)
    total = curves["gradient_norm/total"] ** 2
    pd.testing.assert_series_equal(
        total, curves["gradient_norm/W1"] ** 2 + curves["gradient_norm/b1"] ** 2, check_names=False, rtol=1e-5
    )


def test_one_run_is_one_event_directory_with_its_hyper_parameters(train):
    _, folder = train(*WALK, "stop.epochs=2")
    assert {p.parent for p in folder.rglob("*tfevents*")} == {folder}
    assert len(read_scalars(folder)["best/objective"].dropna()) == 1


def sessions(folder):
    """A run in HPARAMS: columns, metrics, values, status."""
    events = events_of(folder)
    found = {
        tag: metadata.parse_experiment_plugin_data if "experiment" in tag
        else metadata.parse_session_start_info_plugin_data if "start" in tag
        else metadata.parse_session_end_info_plugin_data
        for tag in events.Tags()["tensors"] if tag.startswith("_hparams_")
    }  # fmt: skip
    experiment, end, start = (found[tag](events.SummaryMetadata(tag).plugin_data.content) for tag in sorted(found))
    return (
        [info.name for info in experiment.hparam_infos], [info.name.tag for info in experiment.metric_infos],
        {key: value.number_value or value.string_value for key, value in start.hparams.items()}, end.status,
    )  # fmt: skip


def test_hparams_has_the_same_columns_for_every_model_and_each_runs_values(train):
    runs = [
        sessions(train(*overrides, "stop.epochs=2", name=str(number))[1])
        for number, overrides in enumerate(
            [
                ("model=linear", *WALK),
                ("model=mlp", "optimizer=adam", "seed=3", *WALK),
                ("data.target=direction", "model.loss=cross_entropy", "objective=val/cross_entropy", *WALK),
            ]
        )
    ]
    assert len({(tuple(columns), tuple(metrics)) for columns, metrics, _, _ in runs}) == 1
    columns, metrics, values, status = runs[1]
    assert {"optimizer.lr", "optimizer.momentum", "model.hidden", "data.window", "seed"} <= set(columns)
    assert {"best/objective", "test/skill", "critical/verdict"} <= set(metrics)
    assert values["model.hidden"] == "[64]"
    assert values["optimizer"] == "Adam"
    assert values["seed"] == 3
    assert "optimizer.momentum" not in values
    assert status == 1  # success
    assert runs[0][2]["optimizer.lr"] == 0.01


def test_hparams_has_a_column_for_every_override(train):
    columns, *_ = sessions(train(*WALK, "stop.epochs=1", "trainer.max_steps=7", "data.split=[0.8,0.1,0.1]")[1])
    assert {"trainer.max_steps", "data.split"} <= set(columns)


def test_hparams_shows_that_a_run_failed(train):
    _, folder = train("data=line", "optimizer.lr=1e9", "data.batch_size=null", "stop.epochs=500")
    assert sessions(folder)[3] == 2  # failure


def test_the_verdict_of_the_descent_is_in_the_record_and_in_hparams(train):
    outcome, folder = train(
        "data=line", "data.batch_size=null", "optimizer.lr=0.3", "stop.epochs=60", "trainer.precision=64-true"
    )
    critical = outcome.metrics["critical"]
    assert critical["verdict"] == "local minimum"
    assert critical["smallest_eigenvalue"] == pytest.approx(2, rel=0.05)
    curves = read_scalars(folder)
    assert curves["critical/verdict"].tolist() == [1.0]
    assert curves["critical/greatest_eigenvalue"].iloc[0] == pytest.approx(critical["greatest_eigenvalue"], rel=1e-6)
    assert curves["curvature/stability_limit"].to_numpy() == pytest.approx(1.0, rel=0.05)
    assert "critical" not in train("model=mlp", *WALK, "stop.epochs=1", name="large")[0].metrics
    asked, _ = train("model=mlp", *WALK, "stop.epochs=1", "callbacks=[default,curvature]", name="asked")
    assert asked.metrics["critical"]["verdict"].startswith("not critical")


def test_reference_lines_are_the_losses_of_the_baselines(train):
    outcome, folder = train(*WALK, "stop.epochs=2", "data.window=3")
    curves, (unit_free, baselines) = read_scalars(folder), (outcome.metrics["train"], outcome.metrics["baselines"])
    # One series at its level: the training loss is the scaled squared error.
    for name in ("least_squares", "persistence"):
        for part in ("train", "val"):
            line = curves[f"reference/{part}_{name}"]
            assert line.nunique() == 1
            assert line.iloc[0] == pytest.approx(baselines[name][part]["mse_scaled"], rel=1e-4)
    assert curves["train/full_loss"].iloc[-1] == pytest.approx(unit_free["mse_scaled"], rel=1e-4)


@pytest.mark.parametrize(
    "how",
    [
        ("data.transform=log_return",),
        ("data.relative_to_last=true", "data.window=2"),
        ("data.transform=return", "data.relative_to_last=true", "data.window=2"),
        ("data.horizon=3",),
    ],
)
def test_no_change_predicts_the_last_price_in_every_transform(how):
    windows = data_of(*how).windows
    origin = windows.parts["val"].origins(torch.arange(50))
    prices = windows.to_price(windows.no_change(origin), origin)
    torch.testing.assert_close(prices, windows.last(origin).expand_as(prices), rtol=1e-9, atol=0)


def test_a_diverging_run_fails_with_advice(train):
    outcome, folder = train("optimizer.lr=1000")
    assert outcome.metrics["status"] == "failed"
    assert "diverged: the training loss is " in outcome.metrics["stop_reason"]
    assert "lower optimizer.lr" in outcome.metrics["stop_reason"]
    assert json.loads((folder / "metrics.json").read_text())["test"] == {}
    assert not (folder / "predictions.csv").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=-1"], r"optimizer.lr=-1.0 must be above 0"),
        (["optimizer.weight_decay=-1"], r"optimizer: Invalid weight_decay value"),
        (["data.target=direction"], "the data's targets are classes, which model.loss=mse cannot score"),
        (["data=rings"], "classes, which model.loss=mse cannot score: use model.loss=cross_entropy"),
        (["model.loss=cross_entropy"], r"set data.target=direction \(for plain rows, data.classes=true\)"),
        ([*RINGS, "objective=val/directional_accuracy"], "use one of val/cross_entropy, val/accuracy, val/skill"),
        (["objective=test/mse"], "test scores must not decide anything"),
        (["objective=val/msee"], "is not one of this run's scores: use one of val/mse"),
        (["data=line", "objective=val/mase"], "is not one of this run's scores"),
        (["data.window=0"], "data.window=0 must be 1 or more"),
        (["data.split=[0.5,0.2,0.2]"], "sum to 1; these sum to 0.9"),
        (["data.window=2000"], r"data.window=2000 needs at least 2001 rows"),
        (["callbacks=[default,parity]"], "use model=mlp_manual or model=linear_manual"),
        (["callbacks=[default,audit]", "callbacks.audit.bound=-1"], "audit.bound=-1.0 must be a number above 0"),
        (["model=mlp_manual", "optimizer=lbfgs"], "optimizer: L-BFGS .* use model=linear or model=mlp with it"),
        (
            ["model=mlp_manual", "trainer.precision=bf16-mixed"],
            "trainer.precision='bf16-mixed' should be '32-true' or '64-true'",
        ),
        (["model=mlp_manual", "model.updates_per_step=0"], "updates_per_step=0 should be greater than or equal to 1"),
        (["scheduler=cosine", "stop.epochs=null", "stop.updates=5"], "scheduler.T_max=None should be"),
    ],
)
def test_a_refused_run_does_not_look_finished(train, tmp_path, overrides, message):
    with pytest.raises(ValueError, match=message):
        train(*overrides)
    folder = tmp_path / "run"
    assert not (folder / "metrics.json").exists()
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"


def test_an_empty_part_is_skipped_and_noted_in_the_record(train):
    outcome, folder = train("data=line", "data.split=[0.8,0,0.2]", "stop.epochs=2")
    run = json.loads((folder / "run.json").read_text())
    assert run["data"]["skipped_parts"] == ["val"]
    assert run["objective"] == "train/mse_scaled"
    assert any("no val part" in note for note in run["notes"])
    assert outcome.metrics["val"] == {}


def test_directions_are_scored_against_the_majority_class(train):
    outcome, _ = train("experiment=direction", "stop.epochs=2", "data.horizon=2")
    test, majority = outcome.metrics["test"], outcome.metrics["baselines"]["majority"]["test"]
    assert set(test) == {"cross_entropy", "directional_accuracy", "skill", *FINAL_CLASS_METRICS}
    assert majority["skill"] == pytest.approx(0, abs=1e-9)
    assert "the majority class" in outcome.metrics["verdict"]
    table = outcome.evaluation.predictions.query("part == 'test'")
    assert ((table["probability_up"] > 0.5) == table["up"]).mean() == pytest.approx(test["directional_accuracy"])


def test_a_net_learns_classes_of_plain_rows_that_a_line_cannot(train):
    line, _ = train(*RINGS, "stop.epochs=15", name="line")
    net, folder = train(*RINGS, "stop.epochs=15", "model=mlp_manual", "model.hidden=[16]", name="net", pictures=True)
    test = net.metrics["test"]
    assert set(test) == {"cross_entropy", "accuracy", "skill", *FINAL_CLASS_METRICS}
    assert test["accuracy"] > 0.97
    assert line.metrics["test"]["accuracy"] < 0.65
    assert net.metrics["baselines"]["majority"]["test"]["accuracy"] == pytest.approx(0.5, abs=0.1)
    assert (
        "The model beat the majority class on the test part: its share of correct classes is" in net.metrics["verdict"]
    )
    table = pd.read_csv(folder / "predictions.csv").query("part == 'test'")
    assert list(table.columns) == ["part", "row", "probability", "class"]
    assert ((table["probability"] > 0.5) == table["class"]).mean() == pytest.approx(test["accuracy"])
    assert (folder / "figures" / "prediction.png").exists()


def test_several_series_share_one_model_and_have_their_own_scores(train):
    outcome, _ = train(
        "data=stocks", "data.series=[AAPL,KO]", "data.transform=log_return", "data.window=3", "stop.epochs=1"
    )
    assert set(outcome.metrics["series"]) == {"AAPL", "KO"}
    rows = outcome.evaluation.predictions.query("part == 'test'")
    ko = rows[rows["series"] == "KO"]
    assert outcome.metrics["series"]["KO"]["mae"] == pytest.approx((ko["prediction"] - ko["actual"]).abs().mean())


@pytest.mark.slow
def test_overfitting_one_batch_drives_its_loss_to_zero(train):
    outcome, folder = train("debug=overfit")
    found = outcome.metrics["one_batch"]
    assert found["learnt_by_heart"]
    assert found["loss"] == pytest.approx(outcome.objective)
    losses = read_scalars(folder)["train/loss"]
    assert found["loss_before"] == pytest.approx(losses.iloc[0])
    assert losses.iloc[0] > 0.01
    assert losses.iloc[-1] < 1e-8


@pytest.mark.slow
def test_a_net_that_does_not_learn_its_batch_says_so(train):
    outcome, _ = train("debug=overfit", "optimizer.lr=1e-9", "stop.epochs=5")
    assert not outcome.metrics["one_batch"]["learnt_by_heart"]


def test_a_random_walk_is_not_beaten(train):
    outcome, _ = train("data=random_walk", "data.window=5", "data.transform=log_return", "stop.epochs=5")
    assert outcome.metrics["beat_reference"] is False
    assert outcome.metrics["verdict"].startswith(
        "The model did not beat persistence (tomorrow = today) on the test part: its mean squared error is "
    )


def test_lbfgs_trains_through_its_closure(train):
    outcome, _ = train("data=line", "optimizer=lbfgs", "data.batch_size=null", "stop.epochs=5")
    exact = outcome.metrics["baselines"]["least_squares"]["train"]["mse"]
    assert outcome.metrics["train"]["mse"] == pytest.approx(exact, rel=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_run_equals_a_cpu_run(train):
    on_cpu, _ = train(*QUICK, name="cpu")
    on_gpu, folder = train(*QUICK, "trainer=gpu", name="gpu")
    assert on_gpu.metrics["train"]["mse"] == pytest.approx(on_cpu.metrics["train"]["mse"], rel=1e-3)
    assert "cpu" not in json.loads((folder / "run.json").read_text())["device"]


@pytest.mark.parametrize("model", ["mlp", "mlp_manual"])
def test_instruments_do_not_change_a_run(train, model):
    task = (*WALK, f"model={model}", "model.hidden=[8]", "stop.epochs=2")
    bare = train(*task, "~callbacks.recorder", "~callbacks.vitals", "~callbacks.curvature", name="bare")[1]
    instruments = "[default,audit,curvature,noise,steps]"
    watched = train(*task, f"callbacks={instruments}", name="watched")[1]
    assert (watched / "predictions.csv").read_text() == (bare / "predictions.csv").read_text()
    ends = [torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in (bare, watched)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize(
    ("automatic", "manual"), [("model=mlp", "model=mlp_manual"), ("model=linear", "model=linear_manual")]
)
@pytest.mark.parametrize(
    "more",
    [
        [],
        ["data.target=direction", "data.transform=log_return", "objective=val/cross_entropy"],
        ["optimizer=adam", "trainer.gradient_clip_val=0.1"],
        ["data.rows=1000", "data.batch_size=null", "optimizer.lr=0.1"],
    ],
)
def test_hand_derived_models_end_with_the_numbers_of_the_automatic_ones(train, automatic, manual, more):
    loss = ["model.loss=cross_entropy"] if "data.target=direction" in more else []
    ends = []
    for name in (automatic, manual):
        outcome, folder = train(*WALK, *more, name, *loss, "stop.epochs=4", name=name.partition("=")[2])
        ends.append((outcome.metrics, read_scalars(folder)))
    (a, a_curves), (b, b_curves) = ends
    assert a.keys() == b.keys()
    for part in ("train", "val", "test"):
        assert b[part] == pytest.approx(a[part], rel=1e-4)
    assert (a["updates"], a["stop_reason"], a["line"]) == (b["updates"], b["stop_reason"], b["line"])
    assert a_curves.keys() == b_curves.keys()
    for tag in a_curves:
        if not tag.startswith("speed/"):
            pd.testing.assert_series_equal(a_curves[tag], b_curves[tag], rtol=2e-3, atol=1e-5)


def test_every_update_has_its_point_for_any_updates_per_step(train):
    curves = []
    for several in (1, 8, 256):
        _, folder = train(
            "model=mlp_manual", *WALK, "stop.updates=200", f"model.updates_per_step={several}", name=str(several)
        )
        curves.append(read_scalars(folder))
    for other in curves[1:]:
        assert other.keys() == curves[0].keys()
        for tag, curve in curves[0].items():
            if not tag.startswith("speed/"):
                pd.testing.assert_series_equal(other[tag], curve)
    assert list(curves[0]["train/loss"].index) == list(range(1, 201))


def test_hand_derived_and_automatic_runs_refuse_the_same_update_when_they_diverge(train):
    reasons = []
    for name in ("mlp", "mlp_manual"):
        outcome, _ = train(f"model={name}", *WALK, "optimizer.lr=1e30", "stop.epochs=2", name=name)
        reasons.append((outcome.metrics["stop_reason"], outcome.metrics["updates"]))
    assert reasons[0] == reasons[1]
    assert "lower optimizer.lr" in reasons[0][0]


def test_a_threshold_ends_both_kinds_at_the_same_update(train):
    rule = ("stop=threshold", "stop.loss=0.01", "optimizer.lr=0.05", "data.window=1", "data.relative_to_last=false")
    ends = [train(f"model={m}", *rule, name=m)[0].metrics for m in ("mlp", "mlp_manual")]
    assert ends[0]["updates"] == ends[1]["updates"]
    assert "threshold" in ends[1]["stop_reason"]


@pytest.mark.parametrize("model", ["linear", "mlp", "mlp_manual", "linear_manual"])
@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_the_audit_finds_no_error_in_a_correct_run(train, model, precision):
    outcome, folder = train(
        f"model={model}", *WALK, "callbacks=[default,audit]", "callbacks.audit.every_n_updates=3", "stop.epochs=3",
        f"trainer.precision={precision}", "trainer.gradient_clip_val=0.01",
    )  # fmt: skip
    assert outcome.metrics["status"] == "finished"
    engine = {"linear": "autograd", "mlp": "autograd"}.get(model, "kernel")
    assert outcome.metrics["audit"]["updates_looked_at"] == 5
    assert outcome.metrics["audit"]["engine"] == engine == json.loads((folder / "run.json").read_text())["engine"]
    assert 0 < outcome.metrics["audit"]["relative_error"] < (1e-5 if precision == "32-true" else 1e-11)
    curve = read_scalars(folder)["audit/relative_error"]
    assert list(curve.index) == [1, 4, 7, 10, 13]
    assert curve.max() == pytest.approx(outcome.metrics["audit"]["relative_error"], rel=1e-6)


@pytest.mark.parametrize("engine", ["kernel", "textbook"])
def test_the_audit_stops_a_run_whose_gradient_is_wrong_and_names_the_parameter(train, monkeypatch, engine):
    from steepest.engine.descent import Descent
    from steepest.lightning import manual

    right, kernels = manual.backward, Descent.gradient

    def wrong(*arguments, **options):
        (dW1, db1), (dW2, db2) = right(*arguments, **options)
        return [(dW1, db1), (dW2, db2 * 1.01)]

    def wrong_too(descent, origin_N):
        loss, (dW1, db1, dW2, db2) = kernels(descent, origin_N)
        return loss, [dW1, db1, dW2, db2 * 1.01]

    monkeypatch.setattr(manual, "backward", wrong)
    monkeypatch.setattr(Descent, "gradient", wrong_too)
    how = ("model=mlp_manual", f"model.engine={engine}", *WALK, "callbacks=[default,audit]", "stop.epochs=3")
    outcome, folder = train(*how)
    assert outcome.metrics["status"] == "failed"
    assert outcome.metrics["stop_reason"].startswith("audit: update 1, b2: ")
    assert outcome.metrics["updates"] == 0
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"


def test_parity_writes_the_difference_of_two_real_trajectories(train):
    outcome, folder = train("experiment=manual_equals_autograd", "stop.updates=130", name="both")
    rows = pd.read_csv(folder / "parity.csv")
    assert list(rows["update"]) == list(range(1, 131))
    assert rows["parameter_difference"].max() <= 1e-12
    assert rows["loss_difference"].max() <= 1e-12
    assert outcome.metrics["parity"]["loss_difference"] == rows["loss_difference"].max()
    assert (folder / "figures" / "parity.png").stat().st_size > 10_000
    # The twin is not a copy of the model: it equals a run of model=mlp.
    _, alone = train(
        "experiment=manual_equals_autograd", "model=mlp", "callbacks=[default]", "stop.updates=130", name="alone"
    )
    curve = read_scalars(alone)["train/loss"]
    np.testing.assert_array_equal(curve.to_numpy(), rows["loss_by_autograd"].astype("float32").astype(float))


def test_parity_sees_a_wrong_gradient(train, monkeypatch):
    from steepest.lightning import manual

    right = manual.backward
    monkeypatch.setattr(manual, "backward", lambda *a, **o: [(dW * (1 + 1e-6), db) for dW, db in right(*a, **o)])
    outcome, _ = train(
        "experiment=manual_equals_autograd", "model.engine=textbook", "callbacks=[default,parity]", "stop.updates=50"
    )
    assert outcome.metrics["parity"]["parameter_difference"] > 1e-9


@pytest.mark.parametrize("engine", ["kernel", "textbook"])
def test_parity_follows_clipping_schedulers_and_resuming(train, engine):
    how = ("model=mlp_manual", "callbacks=[default,parity]", "trainer.gradient_clip_val=0.05", "scheduler=exponential")
    how += (*WALK, "optimizer=adam", "trainer.precision=64-true", f"model.engine={engine}")
    outcome, _ = train(*how, "stop.epochs=3", name="run")
    assert outcome.metrics["parity"]["parameter_difference"] < 1e-10
    outcome, folder = train("stop.epochs=5", resume=True)
    assert outcome.metrics["parity"]["parameter_difference"] < 1e-10
    rows = pd.read_csv(folder / "parity.csv")
    assert list(rows["update"]) == list(range(1, 5 * 5 + 1))


@pytest.mark.parametrize("engine", ["kernel", "textbook"])
def test_the_twin_starts_at_the_models_weights_for_any_scale(train, engine):
    how = ("model=mlp_manual", "model.init_scale=2", "callbacks=[default,parity]", "trainer.precision=64-true")
    outcome, folder = train(*how, *WALK, f"model.engine={engine}", "stop.epochs=3")
    assert outcome.metrics["parity"]["parameter_difference"] < 1e-13
    rows = pd.read_csv(folder / "parity.csv")
    assert rows["loss_by_hand"].nunique() == len(rows) == 15
    assert rows["loss_difference"].max() < 1e-13


def test_a_run_that_the_kernel_cannot_train_is_refused_or_its_record_has_the_reason(train):
    how = (*WALK, "model=mlp_manual", "stop.epochs=1")
    rates = "+callbacks.rates._target_=lightning.pytorch.callbacks.LearningRateMonitor"
    reason = "callback LearningRateMonitor needs every update"
    with pytest.raises(ValueError, match=f"model.engine=kernel: {reason}"):
        train(*how, "model.engine=kernel", rates, name="a")
    with pytest.raises(ValueError, match="model.engine=kernel: 2 processes train the run together"):
        train(*how, "model.engine=kernel", "trainer.devices=2", name="b")
    for more, expected in (
        ([rates], ("textbook", reason)),
        ([], ("kernel", None)),
        (["model.engine=textbook"], ("textbook", "model.engine=textbook")),
    ):
        _, folder = train(*how, *more, name=f"run{len(more)}{expected[0]}{'engine' in str(more)}")
        run = json.loads((folder / "run.json").read_text())
        assert (run["engine"], run["engine_reason"]) == expected


@pytest.mark.parametrize("model", ["mlp", "mlp_manual"])
@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_a_strategy_whose_processes_return_no_record_is_refused(train, tmp_path, model, strategy):
    with pytest.raises(ValueError, match="use trainer.strategy=ddp"):
        train(*WALK, f"model={model}", f"trainer.strategy={strategy}", "trainer.devices=2")
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("scheduler", ["step", "cosine", "exponential", "plateau"])
def test_schedulers_give_both_kinds_the_same_steps(train, scheduler):
    more = {"step": ["scheduler.step_size=2"], "plateau": ["scheduler.patience=0", "+scheduler.threshold=0.5"]}
    rates = []
    for model in ("mlp", "mlp_manual"):
        _, folder = train(
            f"model={model}", *WALK, f"scheduler={scheduler}", *more.get(scheduler, []), "stop.epochs=8", name=model
        )
        rates.append(read_scalars(folder)["learning_rate"].to_list())
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 1
