"""A tuned sweep: its proposals, the results that the study gets, and how it resumes after a stop."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest
from conftest import ROOT
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from optuna.trial import TrialState

from steepest.runs.pruning import Trial, make, open_storage
from steepest.sweep.manifest import JobState, Manifest, job_id, of_task
from steepest.sweep.tuning import Options, Tuning, batch_for

SPACE = ["fixed=1", "a=interval(-1, 1)", "b=int(interval(0, 3))", "c=x,y"]
CONF = ROOT / "conf" / "hydra" / "sweeper"
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


class Killed(BaseException):
    """The end of a process."""


def score(asked):
    return float(asked["a"]) ** 2 + int(asked["b"]) + (asked["c"] == "x")


class Jobs:
    """A fake launcher. Jobs report two epochs and return a score from `score`. The jobs in `dies` are killed."""

    def __init__(self, score=score, dies=()):
        self.score, self.dies = score, dies
        self.launched, self.numbers, self.batches = [], [], []

    def __call__(self, overrides, first):
        self.batches.append(len(overrides))
        returned = []
        for number, own in enumerate(overrides, start=first):
            if number in self.dies:
                continue
            asked = dict(o.split("=", 1) for o in own)
            self.launched.append(of_task(own))
            self.numbers.append(number)
            value = self.score(asked)
            if "sweep.trial" in asked and isinstance(value, float):
                trial = Trial(
                    asked["sweep.storage"].strip("'"), asked["sweep.study"].strip("'"), int(asked["sweep.trial"]), "v"
                )
                any(trial.report(epochs, 10 * value - epochs, ends=False) for epochs in (1, 2))
            status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
            returned.append(JobReturn(overrides=own, status=status, _return_value=value))
        if len(returned) < len(overrides):
            raise Killed
        return returned


@pytest.fixture
def tune(tmp_path):
    """`tune(n_trials=..., jobs=..., ...)` runs a sweep; returns its jobs and the stored study."""

    def start(
        n_trials=12, jobs=None, space=SPACE, batch=4, seed=0, sampler="TPE", pruner="Nop", name=None, storage=None,
        folder="s", objective="val/mse", made=True, **sweep,
    ):  # fmt: skip
        hydra = {"sweep": {"dir": str(tmp_path / folder)}, "launcher": {"_target_": "basic"}}
        config = OmegaConf.create({"objective": objective, "hydra": hydra, "sweep": sweep})
        nodes = [
            OmegaConf.create({"_target_": f"optuna.{kind}s.{cls}{kind.title()}"})
            for kind, cls in (("sampler", sampler), ("pruner", pruner))
        ]
        if made:
            (tmp_path / folder).mkdir(exist_ok=True)
        jobs = jobs or Jobs()
        try:
            Tuning(Options(n_trials, batch, seed, *nodes, name, storage), config, space, None, jobs).run()
        except Killed:
            return jobs, None
        where = storage or str(tmp_path / folder / "study.journal")
        kept = optuna.load_study(study_name=name or (tmp_path / folder).name, storage=open_storage(where))
        return jobs, kept.trials

    return start


def test_every_trial_is_a_job_and_the_study_is_told_its_objective(tune, tmp_path, capsys):
    jobs, trials = tune()
    assert jobs.batches == [4, 4, 4]
    assert jobs.numbers == list(range(12))
    assert [t.state for t in trials] == [COMPLETE] * 12
    for own, trial in zip(jobs.launched, trials, strict=True):
        asked = dict(o.split("=", 1) for o in own)
        assert asked == {"fixed": "1"} | {k: str(v) for k, v in trial.params.items()}
        assert trial.value == score(asked)
    best = min(trials, key=lambda t: t.value)
    said = capsys.readouterr().out
    assert f"12 trials: 12 complete; best val/mse {best.value:.6g} (trial {best.number}): a={best.params['a']}" in said
    study = json.loads((tmp_path / "s" / "study.json").read_text())
    assert study["best"]["params"] == best.params
    assert study["trials"]["complete"] == 12


def test_proposals_depend_on_the_seed(tune):
    first, again, other = (tune(folder=f, seed=s)[0].launched for f, s in (("x", 0), ("y", 0), ("z", 1)))
    assert first == again != other


@pytest.mark.parametrize("sampler", ["TPE", "Random", "QMC", "CmaEs"])
def test_proposals_of_every_sampler_are_within_the_space(tune, sampler):
    jobs, trials = tune(
        sampler=sampler,
        space=["a=interval(-1, 1)", "b=tag(log, interval(0.1, 1))"],
        jobs=Jobs(lambda asked: float(asked["a"])),
    )
    assert all(-1 <= t.params["a"] <= 1 and 0.1 <= t.params["b"] <= 1 for t in trials)
    assert len({t.params["a"] for t in trials}) == 12


def test_the_sampler_learns(tune):
    _, trials = tune(n_trials=60, space=["a=interval(-100, 100)"], jobs=Jobs(lambda asked: float(asked["a"]) ** 2))
    assert min(abs(t.params["a"]) for t in trials) < 2
    assert sum(abs(t.params["a"]) for t in trials[40:]) < 0.5 * sum(abs(t.params["a"]) for t in trials[:20])


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, None, RuntimeError("broke")])
def test_a_trial_without_an_objective_fails_and_the_sweep_continues(tune, value):
    _, trials = tune(jobs=Jobs(lambda asked: value if asked["c"] == "x" else 1.0))
    assert {t.state for t in trials if t.params["c"] == "x"} == {FAIL}
    assert {t.state for t in trials if t.params["c"] == "y"} == {COMPLETE}
    assert len(trials) == 12


def test_a_study_without_a_single_score_ends_and_says_so(tune, capsys):
    tune(n_trials=3, jobs=Jobs(lambda asked: math.inf))
    assert "3 trials: 3 fail" in capsys.readouterr().out


def test_a_score_for_which_higher_is_better_is_maximized(tune):
    _, trials = tune(
        objective="val/skill", n_trials=40, space=["a=interval(0, 10)"], jobs=Jobs(lambda asked: float(asked["a"]))
    )
    assert sum(t.params["a"] for t in trials[30:]) > 70


def test_trials_with_equal_values_share_one_job(tune):
    jobs, trials = tune(space=["c=x,y,z"], jobs=Jobs(lambda asked: float("xyz".index(asked["c"]))))
    assert sorted(own[0] for own in jobs.launched) == ["c=x", "c=y", "c=z"]
    assert jobs.numbers == [0, 1, 2]
    assert [t.value for t in trials] == ["xyz".index(t.params["c"]) for t in trials]
    assert len(trials) == 12


def test_unpromising_trials_are_pruned_and_their_records_say_so(tune):
    jobs, trials = tune(n_trials=24, pruner="Median", storage=None)
    states = [t.state for t in trials]
    assert set(states[:4]) == {COMPLETE}, "there is nothing to compare the first batch with"
    assert states.count(PRUNED) > 3
    for trial in trials:
        if trial.state is PRUNED:
            assert trial.value == trial.intermediate_values[trial.last_step]
            assert trial.user_attrs["pruned"].startswith("pruned: v ")


@pytest.mark.parametrize("dies", [[0, 1, 2, 3], [3], [4, 5, 6, 7], [4, 6], [5, 7], [9, 10, 11], [8]], ids=str)
@pytest.mark.parametrize("pruner", ["Nop", "Median"])
def test_a_killed_sweep_resumes_with_the_results_of_an_uninterrupted_one(tune, tmp_path, dies, pruner):
    whole, trials = tune(folder="whole", name="n", pruner=pruner, n_trials=14)
    killed, _ = tune(folder="part", name="n", pruner=pruner, n_trials=14, jobs=Jobs(dies=dies))
    record(tmp_path / "part", killed)
    known = Known(killed)
    _, resumed = tune(folder="part", name="n", pruner=pruner, n_trials=14, jobs=known)
    assert not set(map(tuple, known.started)) & set(map(tuple, killed.launched)), "finished jobs do not run again"
    both = dict(zip(killed.numbers + known.numbers, killed.launched + known.asked, strict=True))
    assert both == dict(enumerate(whole.launched)), "jobs keep their numbers, and so their folders"
    told = [t for t in resumed if t.state is not FAIL]
    assert [outcome(t) for t in told] == [outcome(t) for t in trials]
    assert len(resumed) - len(told) == dies[0] // 4 * 4 + 4 - dies[0], "from the first that was lost all are new"


def outcome(trial):
    return trial.params, trial.value, trial.state, trial.intermediate_values


def record(folder, jobs):
    """Write the record of a sweep whose finished jobs are these."""
    states = {
        job_id(own): JobState(number, job_id(own), own, status="finished", folder=str(number))
        for number, own in zip(jobs.numbers, jobs.launched, strict=True)
    }
    Manifest(folder, {}, "val/mse", {}, jobs=states).write()


class Known(Jobs):
    """A fake launcher with the sweep's record, which does not run finished jobs again."""

    def __init__(self, before):
        super().__init__()
        self.before, self.started, self.asked = [tuple(own) for own in before.launched], [], []

    def __call__(self, overrides, first):
        returned = []
        for number, own in enumerate(overrides, start=first):
            self.asked.append(of_task(own))
            if tuple(of_task(own)) in self.before:
                self.numbers.append(number)
                value = score(dict(o.split("=", 1) for o in own))
                returned.append(JobReturn(overrides=own, status=JobStatus.COMPLETED, _return_value=value))
            else:
                self.started.append(of_task(own))
                returned += super().__call__([own], number)
        return returned


def test_a_resumed_sweep_runs_failed_jobs_again(tune, tmp_path):
    broken = Jobs(lambda asked: RuntimeError("no memory") if asked["c"] == "x" else 1.0)
    _, trials = tune(jobs=broken)
    failed = [t.params for t in trials if t.state is FAIL]
    record(tmp_path / "s", broken)
    manifest = Manifest.read(tmp_path / "s")
    for job in manifest.jobs.values():
        job.status = "failed" if "c=x" in job.overrides else "finished"
    manifest.write()
    again, trials = tune()
    assert [dict(o.split("=", 1) for o in own)["a"] for own in again.launched] == [str(p["a"]) for p in failed]
    assert again.numbers == [n for n, own in zip(broken.numbers, broken.launched, strict=True) if "c=x" in own]
    assert [t.state for t in trials].count(COMPLETE) == 12


def test_no_trial_is_proposed_after_a_failure_with_on_error_stop(tune, tmp_path):
    def breaks(asked):
        (tmp_path / "s" / "first_failure").write_text("0")
        return math.inf

    jobs, trials = tune(jobs=Jobs(breaks), on_error="stop")
    assert len(jobs.launched) == len(trials) == 4
    (tmp_path / "s" / "first_failure").unlink()
    jobs, trials = tune(on_error="stop")
    assert [t.state for t in trials].count(COMPLETE) == 12
    assert jobs.numbers == list(range(12))


def test_a_dry_run_leaves_no_study(tune, tmp_path, capsys):
    def lists(overrides, first):
        assert len(overrides) == 4
        raise Killed

    tune(jobs=lists, dry_run=True, storage=f"sqlite:///{tmp_path}/x.db")
    assert "The first 4 of 12 trials; later ones depend on their results:" in capsys.readouterr().out
    assert [p.name for p in tmp_path.rglob("*")] == ["s"]


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_another_sweep_continues_a_study(tune, tmp_path, kind):
    where = f"sqlite:///{tmp_path}/studies.db" if kind == "sqlite" else str(tmp_path / "studies.journal")
    first, _ = tune(folder="one", name="n", storage=where, pruner="Median")
    second, trials = tune(folder="two", name="n", storage=where, n_trials=8, pruner="Median")
    assert len(trials) == 20
    assert second.numbers == list(range(8)), "its jobs are numbered in its own folder"
    assert not set(map(tuple, first.launched)) & set(map(tuple, second.launched))
    assert {t.state for t in trials} <= {COMPLETE, PRUNED}
    third, _ = tune(folder="three", name="other", storage=where)
    assert third.launched == first.launched, "another study in the same storage knows nothing of it"


def test_a_study_with_another_objective_or_range_is_refused(tune, tmp_path):
    where = str(tmp_path / "studies.journal")
    tune(folder="one", name="n", storage=where, n_trials=2)
    with pytest.raises(
        ValueError, match=r"the study n in .* ranks by val/mse \(minimize\), but this sweep by val/skill \(maximize\)"
    ):
        tune(folder="two", name="n", storage=where, objective="val/skill")
    with pytest.raises(ValueError, match=r"ranks by val/mse \(minimize\), but this sweep by val/mae"):
        tune(folder="three", name="n", storage=where, objective="val/mae")
    with pytest.raises(ValueError, match=r"has c over .*'x', 'y'.* this sweep over .*'x', 'z'"):
        tune(folder="four", name="n", storage=where, space=["c=x,z"])


@pytest.mark.parametrize(
    ("launcher", "batch"),
    [
        ({"_target_": "hydra_plugins.steepest_launchers.threads.ThreadsLauncher", "n_jobs": None}, os.cpu_count()),
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, 1),
        ({"_target_": "a.JoblibLauncher", "n_jobs": 3}, 3),
        ({"_target_": "a.JoblibLauncher", "n_jobs": -1}, os.cpu_count()),
    ],
)
def test_a_batch_has_as_many_trials_as_the_launcher_runs_in_parallel(launcher, batch):
    assert batch_for(OmegaConf.create(launcher)) == batch


@pytest.mark.parametrize(
    ("kind", "file"), [(kind, f) for kind in ("sampler", "pruner") for f in (CONF / kind).glob("*.yaml")], ids=str
)
def test_every_shipped_sampler_and_pruner_can_be_made(kind, file):
    made = make(OmegaConf.to_container(OmegaConf.load(file)), f"hydra.sweeper.{kind}")
    assert isinstance(made, {"sampler": optuna.samplers.BaseSampler, "pruner": optuna.pruners.BasePruner}[kind])


# Whole commands.

QUICK = [
    "-m", "sweep=tune", "data=random_walk", "data.rows=300", "data.window=3", "data.relative_to_last=true",
    "trainer.precision=64-true", "stop.epochs=12", "optimizer.lr=tag(log, interval(0.001, 0.3))", "~callbacks.pictures", "hydra.sweeper.batch=5",
]  # fmt: skip


def results(folder):
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def close(text, expected):
    """Whether two cells of results.csv agree to rounding."""
    try:
        return float(text) == pytest.approx(float(expected), rel=1e-8)
    except ValueError:
        return text.startswith("pruned: ") and expected.startswith("pruned: ")


def trials_of(folder, name):
    return optuna.load_study(study_name=name, storage=open_storage(str(folder / "study.journal"))).trials


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["none", "median"])
def test_threads_and_the_basic_launcher_give_the_same_study(command, tmp_path, pruner):
    asked = [*QUICK, "hydra.sweeper.n_trials=15", f"hydra/sweeper/pruner={pruner}", "hydra.sweeper.study_name=n"]
    for launcher in ("basic", "threads"):
        answer = command(*asked, f"hydra/launcher={launcher}", f"hydra.sweep.dir={launcher}")
        assert answer.returncode == 0, answer.stderr
        assert "Study n: 15 trials" in answer.stdout
    one, other = (trials_of(tmp_path / launcher, "n") for launcher in ("basic", "threads"))
    assert [t.params for t in one] == [t.params for t in other]
    assert [t.state for t in one] == [t.state for t in other]
    assert [t.value for t in one] == pytest.approx([t.value for t in other], rel=1e-8)
    rows, others = (results(tmp_path / launcher) for launcher in ("basic", "threads"))
    assert [row["epochs"] for row in rows] == [row["epochs"] for row in others]
    assert (PRUNED in {t.state for t in one}) == (pruner == "median")
    for trial, row in zip(one, rows, strict=True):
        assert (trial.state is PRUNED) == row["stop_reason"].startswith("pruned: ") == (row["epochs"] != "12")
        assert row["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "threads"])
def test_a_tuned_sweep_that_was_killed_ends_with_the_results_of_the_uninterrupted_one(command, tmp_path, launcher):
    asked = [*QUICK, f"hydra/launcher={launcher}", "hydra.sweeper.n_trials=18", "hydra.sweeper.study_name=n"]
    assert command(*asked, "hydra.sweep.dir=whole").returncode == 0
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *asked, "hydra.sweep.dir=part"], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "part").glob("*/metrics.json"))) < 7 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it was killed on the way"
    again = subprocess.run(
        [sys.executable, "-c", "from steepest.cli import main; main()", "resume", "part"], cwd=tmp_path,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "Study n: 18 trials" in again.stdout
    for row, expected in zip(results(tmp_path / "part"), results(tmp_path / "whole"), strict=True):
        assert row.keys() == expected.keys()
        for key in row:
            assert row[key] == expected[key] or close(row[key], expected[key]), key


@pytest.mark.slow
def test_a_diverging_trial_fails_alone_and_the_command_ends_with_1(command, tmp_path):
    answer = command(
        "-m", "hydra/sweeper=tune", "hydra.sweeper.n_trials=4", "optimizer.lr=0.01,1000", "seed=int(interval(0, 99))",
        "hydra.sweep.dir=s", "hydra.sweeper.study_name=n", "debug=quick", "logger=none", "~callbacks.pictures",
    )  # fmt: skip
    assert answer.returncode == 1
    trials = trials_of(tmp_path / "s", "n")
    assert {t.params["optimizer.lr"]: t.state for t in trials} == {0.01: COMPLETE, 1000: FAIL}
    assert len(results(tmp_path / "s")) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "jobs", "further"),
    [
        ("learning_rate", 28, []),
        ("width", 32, []),
        ("seeds", 8, ["model=mlp"]),
        ("tune", 3, ["hydra.sweeper.n_trials=3"]),
    ],
)
def test_the_shipped_sweeps_run(command, tmp_path, name, jobs, further):
    answer = command(
        "-m", f"sweep={name}", "hydra/launcher=threads", *further, "stop.epochs=1", "hydra.sweep.dir=s", "logger=none"
    )
    assert answer.returncode == 0, answer.stderr
    rows = results(tmp_path / "s")
    assert len(rows) == jobs
    assert len({json.dumps(row) for row in rows}) == jobs


@pytest.mark.slow
def test_a_sweep_config_started_as_a_run_is_refused(command):
    answer = command("sweep=learning_rate")
    assert answer.returncode == 2
    assert "this config sweeps over optimizer.lr, seed: add -m, or give one value, optimizer.lr=..." in answer.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "key", "ends"), [("width", "model.hidden", ["[2]", "[256]"]), ("learning_rate", "optimizer.lr", ["0.0001", "0.1"])]
)  # fmt: skip
def test_the_answer_of_a_shipped_sweep_is_between_the_ends(command, tmp_path, name, key, ends):
    command("-m", f"sweep={name}", "hydra/launcher=threads", "hydra.sweep.dir=s", "logger=none")
    rows = results(tmp_path / "s")
    assert rows[0][key] not in ends
    assert rows[-1][key] == ends[1], "the largest value is the worst"
    configs = [path.read_text() for path in (tmp_path / "s").glob("*/config.yaml")]
    assert len(configs) == len(rows)
    assert all("relative_to_last: true" in config for config in configs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/sweeper=tune"], "hydra/sweeper=tune has nothing to vary"),
        (["sweep=tune", "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0 must be a whole number, 1 or more"),
        (["sweep=tune", "hydra.sweeper.sampler._target_=os.system"], "'os.system' is not approved"),
        (["sweep=tune", "+hydra.sweeper.pruner.n_warmup=3"], "MedianPruner has no 'n_warmup'; did you mean"),
        (["sweep=tune", "hydra.sweeper.storage=/dev/null/x"], "cannot create /dev/null"),
    ],
)
def test_a_wrong_option_gives_one_message_and_exit_code_2(command, tmp_path, arguments, message):
    answer = command("-m", *arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == [], "a sweep that is refused leaves no folder"


def test_a_study_creates_the_sweeps_folder(tmp_path, tune):
    jobs, trials = tune(n_trials=2, folder="outputs/s", made=False)
    assert len(trials) == len(jobs.launched) == 2


def test_if_optuna_is_missing_the_message_says_what_to_install(tmp_path):
    code = (
        "import importlib.util, sys\n"
        "sys.modules['optuna'] = None\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'optuna' else found(name, *more)\n"
        f"sys.argv = ['train.py', '-m', 'sweep=tune']; sys.path.insert(0, {str(ROOT)!r})\n"
        f"import runpy; runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "needs optuna: pip install 'steepest[tune]'" in answer.stderr
    assert "Traceback" not in answer.stderr
