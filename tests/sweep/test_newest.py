"""The runs that `steepest board` shows first."""

import json
import re
import shutil

import pytest
from made import make_sweep

from steepest.sweep.newest import choose


def make_run(folder, started, curves=True):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"status": "finished", "started": started}))
    if curves:
        (folder / "events.out.tfevents.1").touch()
    return folder


def chosen(root):
    """The message, and the paths of the folders with curves whose name in TensorBoard matches."""
    choice = choose(root)
    names = sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("events.out.*"))
    return choice.says, [name for name in names if choice.names is None or re.search(choice.names, name)]


def jobs(count, start=0):
    return [([f"lr={n}"], {"value": float(n), "curve": [1.0]}) for n in range(start, start + count)]


@pytest.mark.parametrize(("run", "shown"), [("2019", ["sweeps/s/0", "sweeps/s/1"]), ("2021", ["runs/a+b"])])
def test_the_run_or_sweep_that_started_last_is_chosen(tmp_path, run, shown):
    make_run(tmp_path / "runs" / "a", "2018")
    make_run(tmp_path / "runs" / "a+b", run)
    make_run(tmp_path / "runs" / "no_curves", "2999", curves=False)
    make_sweep(tmp_path / "sweeps" / "s", jobs(2))  # it started in 2020
    shutil.copytree(tmp_path / "sweeps" / "s", tmp_path / "sweeps" / "damaged")
    (tmp_path / "sweeps" / "damaged" / "sweep.json").write_text('{"started": "2999"')
    says, names = chosen(tmp_path)
    assert names == shown
    what = f"the run {tmp_path / 'runs' / 'a+b'}" if run == "2021" else f"the jobs of the sweep {tmp_path / 'sweeps/s'}"
    assert says == f"{what}, the newest run or sweep of {tmp_path}"


@pytest.mark.parametrize(("count", "shown"), [(40, 40), (41, 20)])
def test_of_a_large_sweep_the_best_jobs_are_chosen(tmp_path, count, shown):
    make_sweep(tmp_path / "s", jobs(count))
    says, names = chosen(tmp_path / "s")
    assert sorted(map(int, names)) == list(range(shown))
    what = "the jobs" if count == 40 else "the best 20 of the 41 jobs"
    assert says == f"{what} of the sweep {tmp_path / 's'}"


def test_over_seeds_the_jobs_of_the_best_setting_are_chosen(tmp_path):
    pairs = [(lr, seed) for lr in (1, 2) for seed in range(21)]
    luckiest = {(1, 0): -9.0}
    came = [([f"lr={lr}", f"seed={s}"], {"value": luckiest.get((lr, s), 10.0 - lr), "curve": [1.0]}) for lr, s in pairs]
    make_sweep(tmp_path / "s", came)
    _, names = chosen(tmp_path)
    assert len(names) == 20
    assert all(int(name.removeprefix("s/")) >= 21 for name in names)


def test_a_run_and_a_folder_without_runs_are_shown_whole(tmp_path):
    run = make_run(tmp_path / "runs" / "a", "2018")
    assert (choose(run).says, choose(run).names) == (f"the run {run}", None)
    (tmp_path / "empty").mkdir()
    assert choose(tmp_path / "empty").says == f"the runs of {tmp_path / 'empty'}"
