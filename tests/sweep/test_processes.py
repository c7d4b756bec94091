"""Jobs in separate processes: the record of each job, however it ends; no job affects another."""

import json
import sys
import time

import pytest
from omegaconf import OmegaConf

from steepest.runs.files import read_json
from steepest.runs.quoting import hydra_quoted
from steepest.sweep import processes as module
from steepest.sweep.compose import Preview
from steepest.sweep.processes import Processes

# A fake train.py, whose override selects what it does in the given folder.
PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
asked = dict(o.split("=", 1) for o in sys.argv[1:])
folder = Path(asked["hydra.run.dir"].strip("'"))
def write(name, content): (folder / name).write_text(json.dumps(content))
started = json.loads((folder / "job.json").read_text())["started"]
write("run.json", {"status": "running", "started": started, "asked": sys.argv[1:], "rank": os.environ.get("LOCAL_RANK")})
print("started")
how = asked.get("how", "well")
if how == "hangs":
    if asked.get("stubborn"): signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
if how == "killed": os.kill(os.getpid(), signal.SIGKILL)
if how == "exit 7": os._exit(7)
if how == "damaged":
    (folder / "run.json").write_text("{")
    sys.exit(0)
if how == "raises": raise RuntimeError("broken")
if how == "refused":
    print("bad value: fix it", file=sys.stderr)
    sys.exit(2)
time.sleep(float(asked.get("seconds", 0)))
write("metrics.json", {"objective": {"name": "val/mse", "value": float(asked.get("value", 1))}})
write("run.json", {"status": "finished", "started": started, "asked": sys.argv[1:], "rank": os.environ.get("LOCAL_RANK")})
"""


class Composer:
    """Names each job's folder after its number."""

    def preview(self, overrides, number):
        return Preview("s", str(number), {})


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """`launch(jobs, ...)` returns (objectives, folders) of jobs with these overrides."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "program.py"), "-m"])
    monkeypatch.setattr(module, "GRACE", 0.5)

    def start(jobs, n_jobs=2, timeout=None, on_error="continue", hydra=(), objective="val/mse", first=0):
        config = {
            "objective": objective,
            "sweep": {"on_error": on_error},
            "hydra": {"sweep": {"dir": str(tmp_path / "s")}, "overrides": {"hydra": list(hydra)}},
        }
        returned = Processes(Composer(), OmegaConf.create(config), n_jobs, timeout).launch(jobs, first)
        return [r.return_value for r in returned], [tmp_path / "s" / str(first + n) for n in range(len(jobs))]

    return start


def test_objectives_come_back_in_the_order_of_the_jobs(launch):
    jobs = [["value=3", "seconds=0.5"], ["value=1"], ["value=2"]]
    assert launch(jobs)[0] == [3, 1, 2]
    assert launch(jobs, first=3)[0] == [3, 1, 2]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "RuntimeError: broken"),
        ("refused", "bad value: fix it"),
        ("killed", "its process was killed by SIGKILL"),
        ("exit 7", "its process ended with exit code 7"),
    ],
)
def test_a_failed_job_is_recorded_in_its_own_folder_and_no_other_job_fails(launch, how, said):
    found, folders = launch([["value=1"], [f"how={how}"], ["value=2"]])
    assert found == [1, float("inf"), 2]
    run, error = read_json(folders[1] / "run.json"), (folders[1] / "error.txt").read_text()
    assert (run["status"], run["stop_reason"]) == ("failed", said)
    assert error.startswith(said)
    assert "python train.py" in error
    assert "started" in error
    assert ("Traceback" in error) == (how == "raises")
    assert [read_json(f / "run.json")["status"] for f in (folders[0], folders[2])] == ["finished"] * 2


@pytest.mark.parametrize("more", [[], ["stubborn=1"]])
def test_a_job_that_hangs_is_ended_after_the_timeout(launch, more):
    began = time.monotonic()
    found, folders = launch([["how=hangs", *more], ["value=2"]], timeout=2)
    assert time.monotonic() - began < 30, "it would have slept for 60 seconds"
    assert found == [float("inf"), 2]
    run = read_json(folders[0] / "run.json")
    assert run["status"] == "failed"
    assert "it did not finish within hydra.launcher.timeout=2 seconds" in run["stop_reason"]
    assert "or set it to null for no limit" in run["stop_reason"]


def test_no_job_starts_after_a_failure_with_on_error_stop(launch):
    found, folders = launch([["how=refused"], ["value=2"]], n_jobs=1, on_error="stop")
    assert found == [float("inf")] * 2
    assert not folders[1].exists()


def test_a_failed_job_returns_minus_infinity_if_a_higher_objective_is_better(launch):
    assert launch([["how=refused"]], objective="val/skill")[0] == [float("-inf")]


def test_fifty_parallel_jobs_do_not_mix_files(launch):
    found, folders = launch([[f"value={n}", f"name=job {n}, 'quoted'", "seconds=0.05"] for n in range(50)], n_jobs=10)
    assert found == list(range(50))
    for number, folder in enumerate(folders):
        assert sorted(p.name for p in folder.iterdir()) == ["job.json", "metrics.json", "output.txt", "run.json"]
        asked = read_json(folder / "run.json")["asked"]
        assert asked[:2] == [f"value={number}", f"name=job {number}, 'quoted'"]
        assert json.loads((folder / "job.json").read_text())["job"] == number
        assert (folder / "output.txt").read_text() == "started\n"


def test_a_job_gets_its_own_overrides_and_hydras_but_not_those_of_the_sweep(launch, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    hydra = ["hydra.verbose=true", "hydra/launcher=processes", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=s"]
    _, (folder,) = launch([["+new.key=[1,2]", "~gone", "value=1", "hydra.sweep.subdir=0"][2:]], hydra=hydra)
    run = read_json(folder / "run.json")
    assert run["asked"] == ["value=1", "hydra.verbose=true", f"hydra.run.dir={hydra_quoted(str(folder))}"]
    assert run["rank"] is None, "a job does not inherit the rank of the sweep's process"


def test_hydras_overrides_reach_a_job_as_typed(launch):
    _, (folder,) = launch([["value=1"]], hydra=["hydra.job.name='${nosuch}'"])
    assert "hydra.job.name='${nosuch}'" in read_json(folder / "run.json")["asked"]


def test_a_job_whose_run_json_is_damaged_has_failed(launch):
    found, folders = launch([["how=damaged"], ["value=2"]])
    assert found == [float("inf"), 2]
    run = read_json(folders[0] / "run.json")
    assert run["status"] == "failed"
    assert run["stop_reason"].startswith(f"{folders[0] / 'run.json'} cannot be read")
