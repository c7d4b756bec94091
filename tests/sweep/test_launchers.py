"""Third-party launchers write the same records as Hydra's basic launcher."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

PLUGINS = {
    "processes": "steepest_launchers", "joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher",
    "ray": "hydra_ray_launcher",
}  # fmt: skip
JOBS = ["model=linear", "optimizer.lr=0.01,-1,1e30,0.02", "stop.epochs=2", "~callbacks.pictures", "threads=1"]
RAY = Path(sys.executable).with_name("ray")


def needs(launcher):
    if importlib.util.find_spec(f"hydra_plugins.{PLUGINS[launcher]}") is None:
        pytest.skip(f"needs the plugin of hydra/launcher={launcher}")


@pytest.fixture
def sweep(tmp_path):
    """`sweep(folder, *overrides)` runs the jobs; returns (answer, sweep.json, results.csv)."""

    def start(folder, *overrides, jobs=JOBS):
        words = [sys.executable, str(ROOT / "train.py"), "-m", *jobs, f"hydra.sweep.dir={folder}", *overrides]
        answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=1200, check=False)
        record = json.loads((tmp_path / folder / "sweep.json").read_text())
        return answer, record, list(csv.DictReader((tmp_path / folder / "results.csv").read_text().splitlines()))

    return start


def without_times(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def files(folder):
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    return {name for name in found if "tfevents" not in name and not name.startswith("figures")} - {"output.txt"}


@pytest.mark.parametrize("launcher", PLUGINS)
def test_every_launcher_writes_what_the_basic_launcher_writes(sweep, tmp_path, launcher):
    needs(launcher)
    basic, mine = sweep("basic"), sweep(launcher, f"hydra/launcher={launcher}")
    assert mine[0].returncode == 1, mine[0].stderr
    assert [job["status"] for job in mine[1]["jobs"]] == ["finished", "failed", "failed", "finished"]
    assert [job["id"] for job in mine[1]["jobs"]] == [job["id"] for job in basic[1]["jobs"]]
    assert without_times(mine[2]) == without_times(basic[2])
    assert "deprecated" not in mine[0].stderr
    for number in range(4):
        assert files(tmp_path / launcher / str(number)) == files(tmp_path / "basic" / str(number))
        ours, theirs = (tmp_path / name / str(number) / ".hydra" / "config.yaml" for name in (launcher, "basic"))
        assert ours.read_text() == theirs.read_text()
    assert "lower optimizer.lr" in (tmp_path / launcher / "2" / "error.txt").read_text()


@pytest.mark.parametrize("launcher", PLUGINS)
def test_a_sweep_by_any_launcher_is_resumed(sweep, tmp_path, launcher):
    needs(launcher)
    few = ["model=linear", "seed=range(3)", "stop.epochs=1", "~callbacks.pictures", f"hydra/launcher={launcher}"]
    _, before, _ = sweep("s", jobs=few)
    (tmp_path / "s" / "1" / "run.json").unlink()
    before["jobs"][1] |= {"status": "running", "objective": None}
    (tmp_path / "s" / "sweep.json").write_text(json.dumps(before))
    again = subprocess.run(
        [sys.executable, "-c", "from steepest.cli import main; main()", "resume", "s"], cwd=tmp_path,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    after = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert [job["status"] for job in after["jobs"]] == ["finished"] * 3
    assert [job["started"] == old["started"] for job, old in zip(after["jobs"], before["jobs"], strict=True)] == [
        True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("launcher", ["processes", "joblib"])
def test_the_jobs_of_a_killed_sweep_end(tmp_path, launcher):
    needs(launcher)
    long = ["model=linear", "seed=range(2)", "stop.epochs=100000", "callbacks=none", f"hydra/launcher={launcher}"]
    words = [sys.executable, str(ROOT / "train.py"), "-m", *long, "hydra.sweep.dir=s"]
    sweep = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "s" / "0" / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert working_in(tmp_path) - {sweep.pid}, "a job is running"
    sweep.kill()
    sweep.wait()
    time.sleep(3)
    left = working_in(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def working_in(folder):
    """The ids of the processes whose working folder is this one."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.resolve() == folder:
                found.add(int(path.parent.name))
    return found


def test_ray_uses_a_cluster_that_is_already_running(sweep, tmp_path):
    needs("ray")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run([RAY, "start", "--head", "--port", "6399", "--include-dashboard=false"], cwd=elsewhere, check=True)
    try:
        answer, record, _ = sweep("s", "hydra/launcher=ray", "hydra.launcher.ray.init.address=auto")
    finally:
        subprocess.run([RAY, "stop"], check=True)
    assert "Connecting to existing Ray cluster" in answer.stderr + answer.stdout
    assert [job["status"] for job in record["jobs"]] == ["finished", "failed", "failed", "finished"]
    assert list(elsewhere.iterdir()) == []
    for number, names in enumerate([{"metrics.json"}, {"error.txt"}, {"error.txt"}, {"metrics.json"}]):
        assert names <= files(tmp_path / "s" / str(number))


def test_a_job_of_a_sweep_may_use_two_processes(sweep):
    two = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu"]
    jobs = ["model=mlp_manual", "model.hidden=[4]", "seed=0,1", "stop.epochs=2", "~callbacks.pictures"]
    answer, record, rows = sweep("two", "hydra/launcher=processes", "hydra.launcher.n_jobs=1", *two, jobs=jobs)
    assert answer.returncode == 0, answer.stderr
    assert [job["status"] for job in record["jobs"]] == ["finished", "finished"]
    _, _, alone = sweep("one", jobs=jobs)
    for mine, theirs in zip(rows, alone, strict=True):
        assert float(mine["objective"]) == pytest.approx(float(theirs["objective"]), rel=1e-3)


def test_twelve_processes_four_at_a_time_do_not_mix_files(sweep, tmp_path):
    few = ["model=linear", "data=line", "seed=range(12)", "stop.epochs=1", "~callbacks.pictures"]
    answer, record, rows = sweep("s", "hydra/launcher=processes", "hydra.launcher.n_jobs=4", jobs=few)
    assert answer.returncode == 0, answer.stderr
    assert len(record["jobs"]) == len(rows) == 12
    for number in range(12):
        folder = tmp_path / "s" / str(number)
        run = json.loads((folder / "run.json").read_text())
        assert run["seed"] == number
        assert f"seed={number}" in (folder / ".hydra" / "overrides.yaml").read_text()
        (owner,) = {name.name.split(".")[-2] for name in folder.glob("events*")}
        assert owner.isdigit()
    owners = {next(f.glob("events*")).name.split(".")[-2] for f in (tmp_path / "s").iterdir() if f.name.isdigit()}
    assert len(owners) == 12, "each by a process of its own"
    assert os.getpid() not in map(int, owners)
