"""logger=tensorboard, csv, wandb, mlflow, none, and lists of them: the same curves, without a network."""

import json
import re

import pandas as pd
import pytest
from conftest import composed, read_scalars

from steepest.runs.config import check
from steepest.runs.errors import exit_code, explain

WALK = ("data=random_walk", "data.rows=200", "data.window=6", "stop.epochs=2", "model=mlp_manual", "model.hidden=[2]")


def test_csv_has_the_curves_of_tensorboard(train):
    _, folder = train(*WALK, "logger=[tensorboard,csv]", "callbacks=[default,curvature]")
    table = pd.read_csv(folder / "csv" / "version_0" / "metrics.csv").groupby("step").first()
    curves = read_scalars(folder)
    assert set(table) == set(curves)
    for tag in ("train/loss", "gradient_norm/W1", "parameter/W1[0,0]", "val/loss", "curvature/greatest_eigenvalue"):
        assert table[tag].dropna().to_dict() == pytest.approx(curves[tag].to_dict(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["logger=none", "~logger", "logger=[]"])
def test_without_a_logger_a_run_has_its_record_and_no_curves(train, logger):
    outcome, folder = train(*WALK, logger)
    assert outcome.metrics["status"] == "finished"
    assert not list(folder.glob("events*"))


@pytest.mark.slow
def test_a_resumed_run_adds_a_csv_file(train):
    _, folder = train(*WALK, "logger=csv")
    train("stop.epochs=3", resume=True)
    first, second = (pd.read_csv(folder / "csv" / f"version_{n}" / "metrics.csv") for n in (0, 1))
    assert first["step"].max() < second["step"].max()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_works_offline(train, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    outcome, folder = train(*WALK, "logger=wandb", "logger.wandb.offline=true")
    assert outcome.metrics["status"] == "finished"
    assert list((folder / "wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_curves_and_settings_in_a_local_file(train, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it for the whole process; pytest takes it back
    _, folder = train(*WALK, "logger=[mlflow,tensorboard]")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("steepest").experiment_id])
    assert run.data.params["model.hidden"] == "[2]"
    found = {point.step: point.value for point in client.get_metric_history(run.info.run_id, "train/loss")}
    assert found == pytest.approx(read_scalars(folder)["train/loss"].to_dict(), rel=1e-6)
    assert run.data.metrics["test/rmse"] == pytest.approx(
        json.loads((folder / "metrics.json").read_text())["test"]["rmse"]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_says_that_a_run_diverged(train, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it for the whole process; pytest takes it back
    outcome, _ = train(*WALK, "logger=mlflow", "optimizer.lr=1e30")
    assert outcome.metrics["status"] == "failed"
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("steepest").experiment_id])
    assert run.info.status == "FAILED"


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_whose_package_is_missing_has_a_message(train, name, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package, *more: None)
    with pytest.raises(ValueError, match=rf"logger={name} needs {name}: pip install 'steepest\[{name}\]'"):
        train(*WALK, f"logger={name}")


def test_an_error_of_a_loggers_package_is_explained_with_the_fix(train, monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Exception, match="API key") as raised:
        train(*WALK, "logger=wandb")
    assert re.fullmatch(r"logger=wandb: .*API key.*set WANDB_MODE=offline before the command.*", explain(raised.value))
    assert exit_code(raised.value) == 2


def test_an_address_that_gets_the_results_must_be_typed():
    address = "logger.mlflow.tracking_uri=http://example.org"
    with pytest.raises(ValueError, match="must be given on the command line, or left out"):
        check(composed("logger=mlflow", address))
    check(composed("logger=mlflow", address), typed=["logger=mlflow", address])
