"""A job that is a trial: what it reports, and when a pruner ends it."""

import json
import multiprocessing

import optuna
import pytest
from conftest import NO_PICTURES, QUIET, composed
from hydra.core.override_parser.types import Quote, QuotedString
from optuna.trial import TrialState, create_trial

from steepest.entry import resumed_config
from steepest.lightning.run import run
from steepest.runs.config import check
from steepest.runs.drive import SharedData, drive
from steepest.runs.pruning import PRUNED, PRUNER, Trial, make, open_storage, trial_of

MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 2, "n_warmup_steps": 2}
SMALL = [
    "data=random_walk", "data.rows=230", "data.window=3", "data.relative_to_last=true", "data.batch_size=32",
    "trainer.precision=64-true", "stop.epochs=6", "model=mlp_manual", "model.hidden=[4]", QUIET, NO_PICTURES,
]  # fmt: skip


@pytest.fixture(params=["journal", "sqlite"])
def where(request, tmp_path):
    """The storage of a study."""
    return str(tmp_path / "study.journal") if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def study(where):
    """A study with three earlier trials, whose epochs scored 1, 2 and 3, and a running one, number 3."""
    study = optuna.create_study(study_name="s", storage=open_storage(where))
    for value in (1.0, 2.0, 3.0):
        epochs = dict.fromkeys(range(9), value)
        study.add_trial(create_trial(value=value, intermediate_values=epochs))
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={PRUNER: json.dumps(MEDIAN)}))
    return study


def test_a_trial_ends_when_it_is_worse_than_the_median_of_the_earlier_ones(study, where):
    trial = Trial(where, "s", 3, "val/mse")
    assert [trial.report(epochs, 5.0, ends=False) for epochs in (1, 2)] == ["", ""], "warm-up epochs"
    reason = trial.report(3, 5.0, ends=False)
    assert reason == "pruned: val/mse 5 after 3 epochs falls behind the earlier trials (MedianPruner)"
    assert study.trials[3].intermediate_values == {0: 5.0, 1: 5.0, 2: 5.0}
    assert study.trials[3].user_attrs[PRUNED] == reason


def test_a_good_trial_an_undefined_score_and_a_run_that_ends_anyway_are_not_pruned(study, where):
    trial = Trial(where, "s", 3, "val/mse")
    assert [trial.report(epochs, 1.5, ends=False) for epochs in range(1, 9)] == [""] * 8
    assert trial.report(9, float("nan"), ends=False) == ""
    assert trial.report(9, None, ends=False) == ""
    assert list(study.trials[3].intermediate_values) == list(range(8))
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={PRUNER: json.dumps(MEDIAN)}))
    assert Trial(where, "s", 4, "val/mse").report(5, 99.0, ends=True) == ""


def _report(where, number):
    assert Trial(where, "s", number, "val/mse").report(1, float(number), ends=False) == ""


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_forked_processes_report_at_the_same_time(study, where):
    _report(where, 3)
    for _ in range(3):
        study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={PRUNER: json.dumps(MEDIAN)}))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_report, args=(where, number)) for number in (4, 5, 6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [trial.intermediate_values for trial in study.trials[3:]] == [{0: float(n)} for n in (3, 4, 5, 6)]


def steering(where, number):
    storage = QuotedString(where, Quote.single).with_quotes()
    return [f"sweep.trial={number}", "sweep.study=s", f"sweep.storage={storage}"]


def test_a_pruned_run_has_a_complete_record_with_either_driver(tmp_path):
    where = str(tmp_path / "study.journal")
    study = optuna.create_study(study_name="s", storage=open_storage(where))
    for _ in range(3):  # no run is as good as these
        study.add_trial(create_trial(value=1e-9, intermediate_values=dict.fromkeys(range(9), 1e-9)))
    for _ in range(3):
        study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={PRUNER: json.dumps(MEDIAN)}))
    shared = SharedData()
    for number, lr in ((3, 0.1), (4, 0.02)):
        folder = tmp_path / str(number)
        folder.mkdir()
        drive(check(composed(*SMALL, f"optimizer.lr={lr}", *steering(where, number))), folder, [], shared)
    alone = tmp_path / "5"
    alone.mkdir()
    outcome = run(composed(*SMALL, "optimizer.lr=0.1", *steering(where, 5)), alone, [])
    assert outcome.metrics["status"] == "finished"
    metrics = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in "345"]
    for one in metrics:
        assert one["epochs"] == 3
        assert one["stop_reason"].startswith("pruned: val/mse_scaled 0.")
        assert one["test"]["rmse"] > 0
    assert metrics[0]["stop_reason"] == metrics[2]["stop_reason"]
    assert study.trials[3].intermediate_values == pytest.approx(study.trials[5].intermediate_values, rel=1e-10)
    for folder in "345":
        assert (tmp_path / folder / "predictions.csv").exists()
        assert (tmp_path / folder / "checkpoints" / "best.ckpt").exists()


def test_a_resumed_run_no_longer_reports_to_the_study(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    where = str(tmp_path / "study.journal")
    study = optuna.create_study(study_name="s", storage=open_storage(where))
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={PRUNER: json.dumps(MEDIAN)}))
    run(composed(*SMALL, *steering(where, 0)), folder, [])
    study.tell(0, 1.0)
    outcome = run(resumed_config(folder, ["stop.epochs=8"]), folder, ["stop.epochs=8"], resume=True)
    assert outcome.metrics["epochs"] == 8
    assert list(study.trials[0].intermediate_values) == list(range(6))


def test_a_config_without_a_trial_has_none():
    assert trial_of({"objective": "val/mse"}) is None
    assert trial_of(check(composed()).plain) is None


def test_a_journal_with_an_incomplete_last_line_can_be_continued(tmp_path):
    path = tmp_path / "study.journal"
    optuna.create_study(study_name="s", storage=open_storage(str(path))).ask()
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    study = optuna.load_study(study_name="s", storage=open_storage(str(path), repair=True))
    assert study.trials == []
    study.ask()
    assert len(optuna.load_study(study_name="s", storage=open_storage(str(path))).trials) == 1


@pytest.mark.parametrize("content", [b"SQLite format 3\x00 and more", b"[1, 2]\n", b"{}\n"])
def test_a_file_that_is_not_a_journal_is_refused_and_unchanged(tmp_path, content):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"storage=.*x.db is not a journal of Optuna .* such as sqlite:///"):
        open_storage(str(path), repair=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("/dev/null/study.journal", "cannot create /dev/null: File exists"),
        ("sqlite:////nowhere/x.db", "storage=sqlite:////nowhere/x.db: .*unable to open"),
        ("foo://x", "storage=foo://x: .*foo"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_named(where, message):
    with pytest.raises(ValueError, match=message):
        open_storage(where)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "os.system"}, "'os.system' is not approved"),
        ({"_target_": "optuna.samplers.TPESampler"}, "is not approved"),
        ({"_target_": "optuna.pruners.MedianPruner", "n_startup": 3}, "has no 'n_startup'; did you mean"),
        ({"_target_": "optuna.pruners.PercentilePruner"}, "PercentilePruner: .*percentile"),
        ({"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": -1}, "negative"),
    ],
)
def test_an_impossible_pruner_is_refused(node, message):
    with pytest.raises(ValueError, match=message):
        make(node, "hydra.sweeper.pruner")


def test_a_pruner_may_wrap_another():
    node = {"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": MEDIAN, "patience": 2}
    assert isinstance(make(node, "hydra.sweeper.pruner")._wrapped_pruner, optuna.pruners.MedianPruner)
