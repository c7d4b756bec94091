"""Whole commands: sweeps with named folders, refused sweeps, and printed commands that are pasted into a shell."""

import csv
import json
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

SMALL = ["data=random_walk", "data.rows=200", "stop.epochs=1", "callbacks=none"]
STEEPEST = [sys.executable, "-c", "from steepest.cli import main; main()"]


def pasted(line, folder):
    """Run a printed command in a shell, with this interpreter, this train.py and this `steepest`."""
    python, train = shlex.quote(sys.executable), shlex.quote(str(ROOT / "train.py"))
    line = re.sub(r"^python train\.py", lambda _: f"{python} {train}", line.strip())
    line = re.sub(r"^steepest", lambda _: shlex.join(STEEPEST), line)
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "subdir",
    [
        pytest.param("${hydra.job.override_dirname}", marks=pytest.mark.slow),
        pytest.param("lr_${optimizer.lr}", marks=pytest.mark.slow),
        '"it\'s ${hydra:job.num} $ [a], x=1"',
    ],
)
def test_a_sweep_with_named_folders_keeps_its_record_and_is_resumed_by_the_printed_command(command, tmp_path, subdir):
    sweep = [*SMALL, "optimizer.lr=0.01,-1", f"hydra.sweep.subdir={subdir}", "hydra.sweep.dir='s =a, 1'"]
    answer = command("-m", *sweep)
    assert answer.returncode == 1, answer.stderr
    folder = tmp_path / "s =a, 1"
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["finished", "failed"]
    assert [(folder / job["folder"] / "run.json").exists() for job in jobs] == [True, True]
    assert [row["status"] for row in csv.DictReader((folder / "results.csv").read_text().splitlines())] == [
        "finished",
        "failed",
    ]
    (folder / jobs[0]["folder"] / "metrics.json").unlink()  # job 0 is lost: it must run again, in its folder
    jobs[0] |= {"status": "running", "objective": None}
    state = json.loads((folder / "sweep.json").read_text()) | {"jobs": jobs}
    (folder / "sweep.json").write_text(json.dumps(state))
    (folder / jobs[0]["folder"] / "run.json").unlink()
    refused = command("-m", *sweep)
    assert refused.returncode == 2
    line = re.search(r"steepest resume .*(?=, or choose)", refused.stderr)[0]
    resumed = pasted(line, tmp_path)
    assert resumed.returncode == 1, resumed.stderr
    after = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert [(job["folder"], job["status"]) for job in after] == [
        (jobs[0]["folder"], "finished"),
        (jobs[1]["folder"], "failed"),
    ]
    assert (folder / jobs[0]["folder"] / "metrics.json").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra.sweep.subdir=same"], "gives the same folder to jobs 0, 1 ("),
        (["hydra.sweep.subdir='${nosuch}'"], "hydra.sweep.subdir cannot be resolved before the job starts"),
        (["hydra.sweep.dir=x/${seed}"], "hydra.sweep.dir differs between jobs"),
        (["trainer.devices=2", "trainer.strategy=ddp"], "add hydra/launcher=processes"),
        (["trainer.devices=2", "trainer.strategy=ddp_spawn"], "add hydra/launcher=processes"),
    ],
)
def test_a_sweep_that_cannot_be_recorded_or_run_is_refused_before_any_job(command, tmp_path, overrides, message):
    answer = command("-m", *SMALL, "seed=0,1", "hydra.sweep.dir=x/s", *overrides)
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == [], "a sweep that is refused leaves no folder"


@pytest.mark.slow
def test_a_record_that_cannot_be_written_ends_the_sweep(command, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "results.csv").mkdir()
    answer = command("-m", *SMALL, "seed=0,1", "hydra.sweep.dir=s")
    assert answer.returncode == 1
    assert "results.csv" in answer.stderr
    assert "Is a directory: remove it, or choose another folder" in answer.stderr


def test_a_damaged_sweep_json_gives_one_message_and_exit_code_2(tmp_path):
    (tmp_path / "sweep.json").write_text('{"jobs": [')
    answer = subprocess.run([*STEEPEST, "resume", str(tmp_path)], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"{tmp_path / 'sweep.json'} cannot be read")
    assert len(answer.stderr.splitlines()) == 1


def test_a_sweep_json_without_its_overrides_gives_one_message_and_exit_code_2(tmp_path):
    state = {
        "command": {"program": "x", "folder": str(tmp_path), "task": "seed=1"},
        "objective": "val/mse",
        "config": {},
    }
    (tmp_path / "sweep.json").write_text(json.dumps(state | {"jobs": []}))
    answer = subprocess.run([*STEEPEST, "resume", str(tmp_path)], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "command has no task, a list of overrides" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_command_printed_by_a_stopped_run_continues_it_whatever_its_folders_name(tmp_path):
    name = 'it\'s =a, [b] {c} $x "y" (z)'
    asked = [*SMALL, "stop.epochs=100000", f"hydra.run.dir='{name.replace(chr(39), chr(92) + chr(39))}'"]
    asked.remove("stop.epochs=1")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *asked], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    kept = tmp_path / name / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not kept.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    line = re.search(r"python train\.py .*", said)
    assert line, said
    line = line[0]
    epochs = json.loads((tmp_path / name / "metrics.json").read_text())["epochs"]
    resumed = pasted(f"{line} stop.epochs={epochs + 2}", tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((tmp_path / name / "metrics.json").read_text())["epochs"] == epochs + 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("again", "message"),
    [
        ([*SMALL, "hydra.run.dir=a"], "a already contains a run. To continue it"),
        ([*SMALL, "hydra.run.dir=a", "optimizer.lr=-1"], "a already contains a run. To continue it"),
        (["resume=a", "hydra.run.dir=b"], "leave out hydra.run.dir=b"),
        (["-m", "resume=a"], "leave out -m"),
        (["-m", *SMALL, "seed=0,1", "hydra.sweep.dir=.", "hydra.sweep.subdir=${oc.select:x,a}"], "the same folder to"),
    ],
)
def test_a_refused_command_changes_no_file_of_an_earlier_run(command, tmp_path, again, message):
    assert command(*SMALL, "hydra.run.dir=a").returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    answer = command(*again)
    assert answer.returncode == 2
    assert message in answer.stderr
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    after.pop(tmp_path / "multirun.yaml", None)  # Hydra writes it before it launches jobs
    assert after == before


@pytest.mark.slow
def test_a_second_process_is_refused_and_changes_nothing_while_the_first_one_trains(command, tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *SMALL, "stop.epochs=1000000", "hydra.run.dir=a"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "a" / "run.lock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        early = command(*SMALL, "seed=5", "hydra.run.dir=a")  # the first process has not written config.yaml yet
        while not (tmp_path / "a" / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        later = command("resume=a", "stop.epochs=5")
        for answer in (early, later):
            assert answer.returncode == 2
            assert f"process {process.pid} on " in answer.stderr
        assert "seed" not in (tmp_path / "a" / ".hydra" / "overrides.yaml").read_text()
        assert "resume" not in (tmp_path / "a" / "train.log").read_text()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 130
    assert json.loads((tmp_path / "a" / "run.json").read_text())["status"] == "stopped"
