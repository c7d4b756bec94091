"""`python train.py` as users type it: exit codes, messages, sweeps, crashes. Each test starts processes."""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, read_scalars

QUIET_QUICK = ("debug=quick", "logger=none")


def load(path):
    return json.loads(path.read_text())


def results(folder):
    return list(csv.DictReader((folder / "results.csv").read_text().splitlines()))


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["--cfg", "job", "experiment=direction"]])
def test_help_and_config_output_do_not_import_torch(arguments, tmp_path):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['train.py', *{arguments!r}]\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "print('heavy:', sorted({'torch', 'lightning', 'pandas', 'matplotlib'} & set(sys.modules)))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "heavy: []"


def test_help_lists_groups_and_examples(command):
    answer = command("--help")
    assert answer.returncode == 0
    for text in (
        "model: dlinear, gru, linear, linear_manual, lstm, mlp, mlp_manual, nlinear, rlinear, tcn",
        "resume=FOLDER",
        "python train.py -m model=linear,mlp",
        "longest_window",
        "hydra/launcher: basic, joblib, processes, ray, submitit_local, submitit_slurm, threads",
        "hydra/sweeper: basic, tune",
        "python train.py data=csv model=mlp stop=early --help",
    ):
        assert text in answer.stdout
    for group in ("data/base", "stop/course", "trainer/base", "hydra/job_logging"):
        assert f"{group}:" not in answer.stdout, "a group that only files use"


def test_a_run_ends_with_the_table_and_the_verdict(command, tmp_path):
    answer = command("debug=quick")
    assert answer.returncode == 0, answer.stderr
    for word in (
        "train",
        "val",
        "test",
        "model",
        "persistence",
        "drift",
        "least_squares",
        "rmse",
        "skill",
        "The line: tomorrow =",
    ):
        assert word in answer.stdout
    assert re.search(
        r"The model (beat|did not beat) persistence \(tomorrow = today\) on the test part: its mean squared error is",
        answer.stdout,
    )
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    assert (folder / ".hydra" / "overrides.yaml").read_text() == "- debug=quick\n"
    log = (folder / "train.log").read_text()
    assert "price: 'SP500', 8313 days" in log
    assert "GPU available" in log, "Lightning's messages reach the run's log"
    assert "GPU available" not in answer.stdout + answer.stderr
    assert load(folder / "run.json")["command"].endswith("train.py debug=quick")


@pytest.mark.slow
def test_a_launcher_without_a_sweep_is_named_as_useless(command):
    answer = command("debug=quick", "hydra/launcher=threads")
    assert answer.returncode == 0
    assert "hydra/launcher=threads has no effect on a single run: add -m for a sweep" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.widnow=3"], "unknown key 'data.widnow'; did you mean 'data.window'?"),
        (
            ["model.hiden=[3]"],
            "The keys are loss, seed, init_scale; 'model.hidden' is a key of model=gru, model=lstm, model=mlp, model=mlp_manual",
        ),
        (["optimizer.lr=0,01"], "optimizer.lr=0,01: a comma separates several values: write a decimal point"),
        (
            [f"model.hidden={[1] * 3002}".replace(" ", "")],
            "model.hidden=[1,1,1,1,1,1,1,1,1,1,1,1,1,... has 3,001 commas",
        ),
        (["-m", "seed=1,2", "~hydra/launcher"], "hydra.launcher is missing: choose one, such as hydra/launcher=basic"),
        (
            ["seed=1", "~hydra/job_logging"],
            "hydra.job_logging is missing: choose one, such as hydra/job_logging=steepest",
        ),
        (["mlp"], "mlp: write KEY=VALUE, such as model=mlp"),
        (["lr=0.1"], "unknown key 'lr'; did you mean 'optimizer.lr'?"),
        (["epoch=5"], "unknown key 'epoch'; did you mean 'stop.epochs'?"),
        (["modle=mlp"], "unknown key 'modle'; did you mean 'model'?"),
        (["model=mpl"], "model=mpl: there is no such choice; did you mean 'mlp'?"),
        pytest.param(["+typo=1"], "config: unknown key 'typo'", marks=pytest.mark.slow),
        pytest.param(
            ["trainer.max_epochs=abc"], "trainer.max_epochs='abc' should be a whole number", marks=pytest.mark.slow
        ),
        (["data=csv", "data.path=none.csv"], "data.path=none.csv: there is no such file"),
        (["resume=nowhere"], "resume=nowhere: this folder has no config.yaml"),
        (["model._target_=os.system"], "_target_ 'os.system' is not approved"),
        (["data.window=[1"], "data.window=[1: the value is incomplete or has a special character: quote it"),
        (["model=[1,0,0]"], "Hydra cannot use this config (TypeError"),
        (["trust=1"], "trust=1 must be a list of packages"),
    ],
)
def test_bad_input_gives_one_message_exit_code_2_and_no_folder(command, tmp_path, arguments, message):
    answer = command(*arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr + answer.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_reported(command):
    answer = command("trainer=gpu")
    assert answer.returncode == 2
    assert "Use trainer=cpu" in answer.stderr


@pytest.mark.slow
def test_hydra_full_error_shows_the_traceback(command):
    answer = command("data.window=0", HYDRA_FULL_ERROR="1")
    assert answer.returncode != 0
    assert "Traceback" in answer.stderr
    assert "data.window=0 must be 1 or more" in answer.stderr


@pytest.mark.slow
def test_a_diverging_run_exits_with_1(command):
    answer = command("optimizer.lr=1000", "logger=none")
    assert answer.returncode == 1
    assert "lower optimizer.lr" in answer.stderr


def test_a_sweep_leaves_manifest_results_and_a_table_with_the_winner_on_top(command, tmp_path):
    answer = command("-m", "model=linear,mlp", "data.window=1,7", *QUIET_QUICK)
    assert answer.returncode == 0, answer.stderr
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    rows = results(folder)
    assert [(r["model"], r["data.window"], r["status"]) for r in rows] == [
        (m, w, "finished") for m in ("linear", "mlp") for w in ("1", "7")
    ]
    for row in rows:
        metrics = load(folder / row["folder"] / "metrics.json")
        assert float(row["objective"]) == metrics["objective"]["value"]
        assert float(row["test/rmse"]) == metrics["test"]["rmse"]
    manifest = load(folder / "sweep.json")
    assert manifest["status"] == "finished"
    assert [job["status"] for job in manifest["jobs"]] == ["finished"] * 4
    best = min(rows, key=lambda r: float(r["objective"]))
    table = answer.stdout[answer.stdout.index("best first") :]
    first = next(line for line in table.splitlines() if line.strip()[:1].isdigit())
    assert first.split()[:3] == [best["job"], best["model"], best["data.window"]]
    assert f"python train.py model={best['model']} data.window={best['data.window']}" in answer.stdout


@pytest.mark.slow
def test_a_sweep_with_a_failed_job_continues_and_exits_with_1(command, tmp_path):
    answer = command("-m", "optimizer.lr=0.01,-1,1000", *QUIET_QUICK)
    assert answer.returncode == 1
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    rows = results(folder)
    assert [r["status"] for r in rows] == ["finished", "failed", "failed"]
    assert "optimizer.lr=-1.0 must be above 0" in rows[1]["stop_reason"]
    assert "diverged" in rows[2]["stop_reason"]
    assert "Traceback" in (folder / "1" / "train.log").read_text(), "a job's log has the traceback"
    assert "job 1 failed" in answer.stdout


@pytest.mark.slow
def test_on_error_stop_starts_no_job_after_a_failure(command, tmp_path):
    answer = command("-m", "optimizer.lr=-1,0.01", "sweep.on_error=stop", "hydra.sweep.dir=s", *QUIET_QUICK)
    assert answer.returncode == 1
    assert [job["status"] for job in load(tmp_path / "s" / "sweep.json")["jobs"]] == ["failed", "waiting"]
    error = (tmp_path / "s" / "0" / "error.txt").read_text()
    assert "python train.py optimizer.lr=-1" in error
    assert "Traceback" in error


@pytest.mark.slow
def test_a_dry_run_lists_the_jobs_and_runs_none(command, tmp_path):
    jobs = ["model=linear,mlp_manual", "seed=range(3)", "stop.updates=10", "hydra/launcher=threads"]
    answer = command("-m", *jobs, "sweep.dry_run=true", "hydra.sweep.dir=s")
    assert answer.returncode == 0, answer.stderr
    assert not re.search("GPU|Trainer", answer.stdout + answer.stderr), "messages of Lightning"
    assert answer.stdout.count("python train.py model=") == 6
    assert "in threads: 3 jobs, such as job 3" in answer.stdout
    assert "one at a time: 3 jobs, such as job 0: " in answer.stdout
    assert "trains by autograd" in answer.stdout
    assert "At most 60 updates" in answer.stdout
    assert not (tmp_path / "s" / "0").exists()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "threads", "processes"])
def test_a_killed_and_resumed_sweep_has_the_results_of_the_uninterrupted_one(command, tmp_path, launcher):
    asked = ["-m", f"hydra/launcher={launcher}", "model=linear,mlp_manual", "seed=range(2)", "stop.epochs=6"]
    assert command(*asked, "hydra.sweep.dir=whole").returncode == 0
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *asked, "hydra.sweep.dir=part"], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((tmp_path / "part").glob("*/metrics.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    load(tmp_path / "part" / "sweep.json")  # it is complete JSON
    again = subprocess.run(
        [sys.executable, "-c", "from steepest.cli import main; main()", "resume", "part"], cwd=tmp_path,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    whole, part = (
        [{k: v for k, v in row.items() if k != "seconds"} for row in results(tmp_path / n)] for n in ("whole", "part")
    )
    assert part == whole


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_stopped_and_resumed_run_has_the_numbers_of_the_uninterrupted_one(command, tmp_path, how):
    rows = ["data=random_walk", "data.rows=1500", "data.window=7"]
    arguments = ["model=mlp", *rows, "optimizer=adam", "stop.epochs=150", "~callbacks.pictures"]
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert command(*arguments, "hydra.run.dir=whole").returncode == 0
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments, "hydra.run.dir=part"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (part / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(how)
    said, _ = process.communicate(timeout=60)
    status = load(part / "run.json")["status"]
    assert status == ("running" if how is signal.SIGKILL else "stopped"), said
    if how is not signal.SIGKILL:
        assert process.returncode == 130
        assert "python train.py resume=" in said
        assert load(part / "metrics.json")["test"] == {}
    again = command("resume=part")
    assert again.returncode == 0, again.stderr
    a, b = load(whole / "metrics.json"), load(part / "metrics.json")
    assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}
    assert (whole / "predictions.csv").read_bytes() == (part / "predictions.csv").read_bytes()
    curve, resumed = read_scalars(whole)["train/loss"], read_scalars(part)["train/loss"]
    assert curve.equals(resumed), "the curve continues without duplicate steps"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "mlp_manual"])
def test_two_processes_take_the_same_steps_as_one(command, tmp_path, model):
    common = [f"model={model}", "stop.epochs=2", "data.batch_size=50"]
    assert command(*common, "hydra.run.dir=one").returncode == 0
    answer = command(*common, "trainer.devices=2", "trainer.strategy=ddp", "hydra.run.dir=two")
    assert answer.returncode == 0, answer.stderr
    one, two = (
        torch.load(tmp_path / n / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for n in ("one", "two")
    )
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_users_csv_file_gives_predictions(command, tmp_path):
    lines = gzip.decompress((ROOT / "data" / "sp500.csv.gz").read_bytes()).decode().splitlines()
    (tmp_path / "prices.csv").write_text("\n".join([lines[0], *lines[-400:]]))
    answer = command("data=csv", "data.path=prices.csv", "data.split=[2022-03-01,2022-08-01]", *QUIET_QUICK)
    assert answer.returncode == 0, answer.stderr
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    lines = (folder / "predictions.csv").read_text().splitlines()
    rows = [row for row in csv.DictReader(lines) if row["part"] == "test"]
    assert rows[0]["date"] == "2022-08-03"  # the gap is the first day of August, the window its second


def test_a_reader_that_ends_early_gets_no_message(tmp_path):
    words = [sys.executable, ROOT / "train.py", "--help"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as train:
        train.stdout.close()
        assert train.stderr.read() == b""
    assert train.returncode == 141


@pytest.mark.slow
def test_steepest_train_prints_commands_that_work_in_any_folder(tmp_path):
    steepest = Path(sys.executable).parent / "steepest"
    words = ["train", "data=line", "model=linear_manual", "stop.epochs=1", "logger=none", "hydra.run.dir=run"]
    subprocess.run([steepest, *words], cwd=tmp_path, check=True, capture_output=True)
    refused = subprocess.run([steepest, *words], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2
    command = re.search(r"To continue it: (steepest train [^;]+);", refused.stderr)[1]
    done = subprocess.run([steepest, *command.split()[1:]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


MEMORY = """
import re, sys
sys.argv = ["train.py", *sys.argv[1:]]
import runpy
try:
    runpy.run_path({train!r}, run_name="__main__")
finally:
    # On Linux, `ru_maxrss` also counts the peak of the parent process.
    print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def peak(folder, *words):
    """The peak memory of `train.py` with these words, in bytes."""
    answer = subprocess.run(
        [sys.executable, "-c", MEMORY.format(train=str(ROOT / "train.py")), *words],
        cwd=folder, capture_output=True, text=True, timeout=1500, check=True,
    )  # fmt: skip
    return 1024 * int(answer.stdout.split("peak")[-1])


@pytest.mark.slow
def test_memory_grows_with_rows_not_with_rows_times_window(tmp_path):
    words = ["data=random_walk", "data.rows=2000000", "data.frequency=min", "data.batch_size=8192"]
    words += ["optimizer.lr=0.001", "stop.epochs=1", "logger=none"]
    peaks = [peak(tmp_path, *words, f"data.window={window}") for window in (1, 256)]
    assert peaks[1] < 1.5 * peaks[0], peaks


@pytest.mark.slow
def test_memory_does_not_grow_with_samples_times_horizon(tmp_path):
    rows, window, horizon = 20_000, 336, 720
    change = np.random.default_rng(0).normal(0, 0.001, (rows, 8))
    prices = pd.DataFrame(100 * np.exp(change.cumsum(0)), columns=[f"S{number}" for number in range(8)])
    prices.insert(0, "date", pd.date_range("2000-01-01", periods=rows, freq="h"))
    prices.to_csv(tmp_path / "prices.csv", index=False)
    words = ["data=csv", "data.path=prices.csv", f"data.window={window}", "data.batch_size=256", "model=dlinear"]
    words += ["optimizer=adam", "stop.epochs=1", "logger=none"]
    one, many = (peak(tmp_path, *words, f"data.horizon={steps}") for steps in (1, horizon))
    training_targets = 8 * (round(0.7 * rows) - window - horizon) * horizon * 8  # in bytes, as float64
    assert many - one < training_targets, (one, many)
    assert list(tmp_path.rglob("predictions.parquet")), "the run with the long horizon wrote its predictions"


@pytest.mark.slow
def test_a_named_run_and_a_named_sweep_have_folders_with_these_names(command, tmp_path):
    assert command(*QUIET_QUICK, "name=mine").returncode == 0
    assert load(tmp_path / "outputs" / "mine" / "metrics.json")["status"] == "finished"
    again = command(*QUIET_QUICK, "name=mine")
    said = "name=mine: outputs/mine exists already: choose another name, or continue the run with resume=outputs/mine\n"
    assert (again.returncode, again.stderr) == (2, said)
    assert command("resume=outputs/mine", "stop.epochs=3").returncode == 0
    assert command("-m", *QUIET_QUICK, "name=two", "seed=0,1").returncode == 0
    assert [row["status"] for row in results(tmp_path / "outputs" / "two")] == ["finished"] * 2
    facts = load(tmp_path / "outputs" / "two" / "1" / "run.json")
    assert not any(word.startswith("name=") for word in facts["again"]), "the name is taken"
    assert command("-m", *QUIET_QUICK, "name=two", "seed=0,1").stderr.startswith("name=two: outputs/two exists already")
    done = subprocess.run(
        [Path(sys.executable).parent / "steepest", "resume", "outputs/two"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, "a named sweep can be continued"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["name=../up", "name=a/b", "name=runs", "name=-x", "name=a,b"])
def test_a_name_that_is_not_plain_is_refused_and_leaves_no_folder(command, tmp_path, name):
    answer = command(*QUIET_QUICK, name)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert list(tmp_path.iterdir()) == []
