"""`steepest.run`, `steepest.sweep` and `steepest.runs`: what train.py does, in the caller's process, which stays as it was."""

import json
import logging
import os
import random
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import NO_PICTURES, ROOT, read_scalars
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

import steepest
from steepest.runs.hydra_internals import ConfigLoaderImpl
from steepest.runs.keywords import full_keys, varied_overrides, written

FEW = ["data=random_walk", "data.rows=200", "stop.epochs=2", "model=mlp_manual", NO_PICTURES]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prices(rows=200):
    steps = np.random.default_rng(0).normal(0, 0.01, rows)
    days = pd.date_range("2000-01-01", periods=rows, name="date")
    return pd.DataFrame({"close": 100 * np.exp(steps.cumsum())}, index=days)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_run_from_python_has_the_numbers_of_the_runs_in_the_tests_and_every_logged_scalar(home, train, capfd):
    run = steepest.run(FEW, window=5, hidden=[8])
    outcome, folder = train(*FEW[:-1], "data.window=5", "model.hidden=[8]")
    assert run.metrics["test"] == outcome.metrics["test"]
    assert run.folder.parent.as_posix() == "outputs/runs"
    assert capfd.readouterr() == ("", "")
    expected = pd.DataFrame(read_scalars(run.folder)).sort_index().sort_index(axis=1)  # TensorBoard's own reader
    pd.testing.assert_frame_equal(run.history, expected.astype(np.float32), check_names=False, check_index_type=False)
    assert {path.read_bytes()[1:4] for path in run.figures.values()} == {b"PNG"}
    assert list(run.figures) == ["loss", "prediction"]
    assert len(run.predictions) > 20


@pytest.mark.slow
def test_the_callers_process_is_unchanged(home, monkeypatch):
    """Everything here is read from Python, NumPy, torch, logging and Hydra themselves."""
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    torch.set_num_threads(2)
    monkeypatch.setenv("PL_GLOBAL_SEED", "77")

    def state():
        lightning = logging.getLogger("lightning.pytorch")
        return (
            random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist(), torch.get_num_threads(),
            dict(os.environ), Path.cwd(), signal.getsignal(signal.SIGINT), list(warnings.filters), warnings.showwarning,
            lightning.handlers[:], lightning.propagate, lightning.level, logging.getLogger("steepest").level,
            logging.getLogger().handlers[:], GlobalHydra.instance().is_initialized(), HydraConfig.instance().cfg,
            ConfigLoaderImpl.load_configuration, sys.argv[:],
        )  # fmt: skip

    before = state()
    try:
        steepest.run(FEW, hidden=[4], logger="none")
        assert state() == before
        with pytest.raises(ValueError, match="must be 1 or more"):
            steepest.run(FEW, window=0)
        assert state() == before
    finally:
        torch.set_num_threads(1)


@pytest.mark.slow
def test_a_frame_is_recorded_and_the_run_does_not_depend_on_the_current_folder(home, monkeypatch):
    run = steepest.run(["model=linear_manual", NO_PICTURES], data=prices(), name="mine", epochs=1, logger="none")
    assert run.folder.as_posix() == "outputs/mine"
    assert run.history.empty
    frame = pd.read_parquet("outputs/mine/data.parquet")  # pandas' own reader
    assert frame["close"].tolist() == prices()["close"].tolist()
    folder = run.folder.absolute()
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    loaded = steepest.load(folder)
    assert loaded.predict()["prediction"].tolist() == loaded.predict(prices())["prediction"].tolist()
    facts = json.loads((folder / "run.json").read_text())
    assert facts["data"]["rows"] == 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"windw": 3}, "unknown key 'windw'; did you mean 'data.window'"),
        ({"seed": "x"}, "seed='x' should be a whole number"),
        ({"model": "mpl"}, "model=mpl: there is no such choice; did you mean 'mlp'"),
        ({"name": "../up"}, "name=../up: use letters"),
        ({"name": "runs"}, "none of runs, sweeps"),
        ({"name": "mine", "folder": "outputs/other"}, "contradict each other"),
        ({"data": prices(), "value": "open"}, "open"),
        ({"data": prices(), "window": 5000}, "needs at least"),
    ],
)
def test_a_refused_run_raises_one_message_and_leaves_no_folder(home, options, said):
    with pytest.raises(ValueError, match=said):
        steepest.run(["model=mlp_manual", NO_PICTURES], **{"epochs": 1} | options)
    assert files(home) == []


def test_a_run_that_diverges_raises_an_error_with_its_folder(home):
    with pytest.raises(steepest.RunFailed, match=r"diverged.* Its record is in outputs/runs/") as caught:
        steepest.run(FEW, lr=1e9, logger="none")
    assert json.loads((caught.value.folder / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        1e-12,
        float("inf"),
        "mlp",
        "a b",
        "it's",
        "1e-3",
        "null",
        "",
        r"C:\x",
        [8, 16],
        [],
        ("a", "b,c"),
        {"a": [1, None]},
    ],
)
def test_hydra_reads_a_written_value_as_it_was(value):
    read = OverridesParser.create().parse_override(f"key={written(value)}").value()
    read = str(read) if type(read).__name__ == "QuotedString" else read
    plain = list(value) if isinstance(value, tuple) else value
    assert repr(getattr(read, "text", read)).replace('"', "'") == repr(plain).replace('"', "'") or read == plain


def test_numbers_of_numpy_and_torch_are_written_as_numbers():
    assert [written(one) for one in (np.int64(3), np.float32(0.5), torch.tensor(2), np.array([1, 2]), range(2))] == [
        "3", "0.5", "2", "[1,2]", "[0,1]",
    ]  # fmt: skip


def test_a_bare_key_is_found_in_the_chosen_groups_and_an_ambiguous_one_lists_the_full_keys():
    assert full_keys(["model=mlp"], {"window": 3, "hidden": [8], "seed": 1, "model__loss": "mae"}) == {
        "data.window": 3, "model.hidden": [8], "seed": 1, "model.loss": "mae",
    }  # fmt: skip
    with pytest.raises(ValueError, match="'model.hidden' is a key of model=gru"):
        full_keys([], {"hidden": [8]})
    with pytest.raises(
        ValueError, match="several groups, model.gradient_clip_val and trainer.gradient_clip_val: write model__grad"
    ):
        full_keys(["model=mlp_manual"], {"gradient_clip_val": 1.0})


def test_a_sweeps_values_are_lists_of_overrides():
    varied = {"model.hidden": [[8], [16]], "seed": range(3), "model": "mlp"}
    assert varied_overrides(["model=mlp"], varied) == ["model.hidden=[8],[16]", "seed=0,1,2", "model=mlp"]
    with pytest.raises(ValueError, match="seed has no values"):
        varied_overrides([], {"seed": []})


@pytest.mark.slow
def test_a_sweep_from_python_returns_its_results_and_the_best_run(home, capfd):
    sweep = steepest.sweep({"hidden": [[8], [4]], "seed": range(2)}, FEW[2:], data=prices(), window=5, name="four")
    assert sweep.folder.as_posix() == "outputs/four"
    assert capfd.readouterr() == ("", "")
    assert sweep.results["status"].tolist() == ["finished"] * 4
    winner = sweep.results.groupby("model.hidden")["objective"].mean().idxmin()  # over the seeds
    best = sweep.results[sweep.results["model.hidden"] == winner].sort_values("seed").iloc[0]
    assert sweep.best.folder == sweep.folder / str(best["folder"])
    assert sweep.best.metrics["objective"]["value"] == best["objective"]
    table = steepest.runs("outputs")
    assert sorted(table["best"]) == sorted(sweep.results["objective"])
    with pytest.raises(ValueError, match="outputs/four exists already: .* steepest resume outputs/four"):
        steepest.sweep({"seed": range(2)}, name="four")
    before = files(home)
    with pytest.raises(ValueError, match="there is no such choice"):
        steepest.sweep({"seed": range(2)}, data=prices(), model="mpl")
    assert files(home) == before


@pytest.mark.slow
def test_a_stopped_run_is_resumed_in_its_own_folder(home):
    steepest.run(FEW, name="mine")
    run = steepest.run(["resume=outputs/mine", "stop.epochs=4"])
    assert run.metrics["epochs"] == 4
    with pytest.raises(ValueError, match="cannot be combined with resume="):
        steepest.run(["resume=outputs/mine", "seed=3"])


@pytest.mark.slow
def test_the_notebook_runs(home, monkeypatch):
    """The cells of docs/notebook.ipynb are one program."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            assert cell["outputs"] == []
    assert names["table"]["status"].tolist() == ["finished"] * 6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:install .ipywidgets.")  # rich needs it to draw in a real notebook
def test_a_notebook_shows_the_progress_bar_and_a_script_records_none(home, monkeypatch):
    from rich.console import Console

    from steepest.observe import progress

    made = []
    monkeypatch.setattr("steepest.api.terminal", lambda: Console(force_jupyter=True))
    monkeypatch.setattr(progress, "terminal", lambda: made.append(Console(force_jupyter=True, quiet=True)) or made[-1])
    assert not progress.RunProgress("val/mse").progress.disable
    made.clear()
    steepest.run(FEW, progress=False, logger="none")
    assert made == []
    steepest.run(FEW, logger="none")
    assert len(made) == 1
