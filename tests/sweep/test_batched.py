"""Runs that were trained together against the same runs one by one, to the last file."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import NO_PICTURES, QUIET, composed

from steepest.observe.eventfile import read_scalars
from steepest.sweep.batched.engine import Ground, Group
from steepest.sweep.batched.fits import kind_of, reason_against
from steepest.sweep.batched.plan import Job
from steepest.sweep.compose import Texts
from steepest.runs.config import check
from steepest.entry import resumed_config
from steepest.lightning.run import run

SMALL = [
    "data=random_walk", "data.rows=230", "data.window=3", "data.relative_to_last=true", "data.batch_size=32",
    "trainer.precision=64-true", "stop.epochs=3", QUIET, NO_PICTURES,
]  # fmt: skip
NET = ["model=mlp_manual", "model.hidden=[4]"]
TWO_RATES = [["optimizer.lr=0.1", "seed=0"], ["optimizer.lr=0.02", "seed=1"]]


@pytest.fixture
def both(tmp_path):
    """`both(common, jobs)` trains jobs together and one by one; returns pairs of folders."""

    def start(common, jobs, kinds=1, base=SMALL):
        planned = []
        for number, own in enumerate(jobs):
            net = [] if any(o.startswith("model=") for o in common) else NET
            overrides = [*base, *net, *common, *own]
            checked = check(composed(*overrides))
            assert reason_against(checked) is None
            texts = Texts("", "", "", yaml.safe_dump(checked.plain, sort_keys=False))
            planned.append(Job(number, tmp_path / "together" / str(number), overrides, checked, texts))
        assert len({kind_of(job.checked) for job in planned}) == kinds
        Group(planned, Ground(planned[0].checked)).train(planned, lambda member: None)
        pairs = []
        for job in planned:
            folder = tmp_path / "alone" / str(job.number)
            folder.mkdir(parents=True)
            run(composed(*job.overrides), folder, job.overrides, alone=False)
            pairs.append((job.folder, folder))
        return pairs

    return start


def same(mine, theirs):
    """Nested data, equal to rounding; but for how long it took."""
    if isinstance(theirs, dict):
        assert set(mine) == set(theirs)
        for key in theirs:
            if key != "seconds":
                same(mine[key], theirs[key])
    elif isinstance(theirs, float) and not isinstance(mine, str):
        assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-10)
    else:
        assert mine == theirs or _figures_apart(mine, theirs)


def _figures_apart(mine, theirs):
    """Sentences whose figures are printed from numbers that differ in their last digits."""
    words, others = str(mine).split(), str(theirs).split()
    return len(words) == len(others) and all(
        a == b or math.isclose(float(a.strip(",;:.%()")), float(b.strip(",;:.%()")), rel_tol=1e-5)
        for a, b in zip(words, others, strict=True)
    )


def state(folder, name):
    path = folder / "checkpoints" / f"{name}.ckpt"
    return torch.load(path, weights_only=True) if path.exists() else None


def everything_is_the_same(pairs):
    for mine, theirs in pairs:
        metrics = [json.loads((f / "metrics.json").read_text()) for f in (mine, theirs)]
        same(*metrics)
        for name in ("best", "last"):
            a, b = state(mine, name), state(theirs, name)
            if metrics[1]["status"] == "failed" and name == "last":
                continue  # by itself a run saves its last epoch once a second, as the clock has it
            assert (a is None) == (b is None)
            if a is None or b is None:
                continue
            assert (a["epoch"], a["global_step"], a["hyper_parameters"]) == (
                b["epoch"], b["global_step"], b["hyper_parameters"],
            )  # fmt: skip
            for key, value in b["state_dict"].items():
                torch.testing.assert_close(a["state_dict"][key], value, rtol=1e-10, atol=1e-10)
        curves, others = read_scalars(mine), read_scalars(theirs)
        assert set(curves) == set(others)
        for tag, curve in others.items():
            assert curves[tag].index.tolist() == curve.index.tolist(), tag
            if not tag.startswith("speed/"):
                np.testing.assert_allclose(curves[tag], curve, rtol=1e-5, atol=1e-7, err_msg=tag)
        files = [{p.name for p in f.iterdir()} - {".hydra", "figures", "train.log", "job.json"} for f in (mine, theirs)]
        files = [{n for n in names if not n.startswith("events")} for names in files]
        assert files[0] == files[1]
        if metrics[1]["status"] == "finished":
            tables = [pd.read_csv(f / "predictions.csv") for f in (mine, theirs)]
            pd.testing.assert_frame_equal(*tables, rtol=1e-9)
        assert (mine / "config.yaml").read_text() == (theirs / "config.yaml").read_text()


@pytest.mark.parametrize(
    "optimizer",
    [
        ["optimizer=sgd"],
        ["optimizer=sgd", "optimizer.weight_decay=0.1"],
        ["optimizer=momentum"],
        ["optimizer=momentum", "optimizer.nesterov=true", "optimizer.weight_decay=0.01"],
        ["optimizer=momentum", "+optimizer.dampening=0.3", "+optimizer.maximize=false"],
        ["optimizer=adam"],
        ["optimizer=adam", "optimizer.weight_decay=0.1"],
        ["optimizer=adamw", "optimizer.weight_decay=0.1"],
    ],
    ids=" ".join,
)
def test_every_optimizer(both, optimizer):
    everything_is_the_same(both(optimizer, TWO_RATES))


def test_options_of_an_optimizer_may_differ_between_runs(both):
    runs = [["optimizer.momentum=0.9"], ["optimizer.momentum=0"], ["optimizer.weight_decay=0.2"]]
    everything_is_the_same(both(["optimizer=momentum", "+optimizer.dampening=0.1"], runs))


def test_betas_of_adam_may_differ_between_runs(both):
    runs = [["optimizer.betas=[0.9,0.999]"], ["optimizer.betas=[0.5,0.9]", "optimizer.eps=0.001"]]
    everything_is_the_same(both(["optimizer=adam"], runs))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "hard_sigmoid", "identity"])
def test_every_activation_and_depth(both, activation):
    everything_is_the_same(both([f"model.activation={activation}", "model.hidden=[5,3]"], TWO_RATES))


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_every_loss(both, loss):
    everything_is_the_same(both([f"model.loss={loss}", "data.horizon=2"], TWO_RATES))


def test_directions(both):
    common = ["data.target=direction", "data.relative_to_last=false", "model.loss=cross_entropy"]
    everything_is_the_same(both([*common, "objective=val/cross_entropy"], TWO_RATES))


def test_classes_of_plain_rows(both):
    rings = ["data=rings", "data.rows=90", "trainer.precision=64-true", "stop.epochs=3", QUIET, NO_PICTURES]
    common = ["model.loss=cross_entropy", "objective=val/cross_entropy"]
    everything_is_the_same(both(common, [["optimizer.lr=0.1"], ["optimizer.lr=0.02"]], base=rings))


@pytest.mark.parametrize(
    "stop",
    [
        [["stop.epochs=2"], ["stop.epochs=4"], ["stop.epochs=3"]],
        [["stop.updates=7"], ["stop.updates=5"], ["stop.updates=3"], ["stop.updates=12"]],
        [["stop=threshold", "stop.loss=0.05", "stop.epochs=9"], ["stop=threshold", "stop.loss=0.01", "stop.epochs=4"]],
        [["stop=stationary", "stop.gradient_norm=0.1", "stop.epochs=9"], ["stop.epochs=3"]],
        [["stop=early", "stop.patience=2", "stop.epochs=20", "optimizer.lr=0.5"], ["stop.epochs=4"]],
    ],
    ids=["epochs", "updates", "threshold", "stationary", "early"],
)
def test_every_stop_rule_acts_on_its_own_run(both, stop):
    everything_is_the_same(both([], stop))


@pytest.mark.parametrize("scheduler", ["cosine", "exponential", "step", "plateau"])
def test_every_schedule_steps_for_its_own_run(both, scheduler):
    everything_is_the_same(both([f"scheduler={scheduler}", "stop.epochs=5"], TWO_RATES))


def test_seeds_and_scales_of_the_initial_weights_may_differ(both):
    jobs = [["model.seed=3", "model.init_scale=0.5"], ["model.seed=4"], ["seed=5", "model.init_scale=3.0"]]
    everything_is_the_same(both([], jobs))


@pytest.mark.usefixtures("library")
def test_a_run_that_diverges_stops_alone(both):
    pairs = both(
        ["model.activation=identity", "stop.epochs=40"],
        [["optimizer.lr=0.01"], ["optimizer.lr=3"], ["optimizer.lr=0.1"]],
    )
    everything_is_the_same(pairs)
    reasons = [json.loads((mine / "metrics.json").read_text())["stop_reason"] for mine, _ in pairs]
    assert [reason.startswith("diverged") for reason in reasons] == [False, True, False]


@pytest.mark.usefixtures("library")
def test_runs_of_one_seed_share_their_batches_until_one_of_them_diverges(both):
    jobs = [[f"optimizer.lr={rate}", f"seed={seed}"] for rate in (0.01, 0.1) for seed in (3, 1)]
    jobs[3] = ["optimizer.lr=3", "seed=1"]
    pairs = both(["model.activation=identity", "stop.epochs=40"], jobs)
    everything_is_the_same(pairs)
    ended = [json.loads((mine / "metrics.json").read_text())["status"] for mine, _ in pairs]
    assert ended == ["finished", "finished", "finished", "failed"]


def test_a_run_that_diverges_in_its_first_epoch_is_no_harm_to_later_ones(both):
    pairs = both(
        ["model.activation=identity", "stop.epochs=40"],
        [["optimizer.lr=0.01"], ["optimizer.lr=3"], ["optimizer.lr=1e200"]],
    )
    mine, theirs = (
        [json.loads((f / "metrics.json").read_text()) for f in folders] for folders in zip(*pairs, strict=True)
    )
    same(mine[0], theirs[0])
    assert [(m["status"], m["epochs"]) for m in mine] == [(t["status"], t["epochs"]) for t in theirs]
    assert mine[2]["epochs"] == 0 < mine[1]["epochs"]


def test_a_gradient_is_clipped_run_by_run(both):
    everything_is_the_same(
        both(["optimizer.lr=0.5"], [["trainer.gradient_clip_val=0.05"], [], ["trainer.gradient_clip_val=0.2"]])
    )


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh", "hard_sigmoid"])
def test_widths_are_padded(both, activation):
    widths = [["model.hidden=[2,5]"], ["model.hidden=[7,3]"], ["model.hidden=[1,1]"]]
    everything_is_the_same(both([f"model.activation={activation}", "optimizer=adam", "optimizer.lr=0.05"], widths))


@pytest.mark.parametrize("model", ["linear", "linear_manual", "mlp"])
def test_every_model(both, model):
    everything_is_the_same(both([f"model={model}"], TWO_RATES))


@pytest.mark.parametrize(
    "data",
    [
        ["data.batch_size=null"],
        ["data.shuffle=false", "data.batch_size=50"],
        ["data.one_batch=true"],
        ["data.transform=log_return", "data.relative_to_last=false"],
        ["data.split=[0.8,0,0.2]"],
    ],
    ids=" ".join,
)
def test_every_way_of_batching(both, data):
    everything_is_the_same(both(data if "split" not in data[0] else [*data, "objective=train/mse_scaled"], TWO_RATES))


def test_a_run_can_be_resumed_by_itself(both, tmp_path):
    [(mine, theirs), _] = both(["optimizer=momentum", "scheduler=exponential"], TWO_RATES)
    for folder in (mine, theirs):
        run(resumed_config(folder, ["stop.epochs=5"]), folder, ["stop.epochs=5"], resume=True)
    a, b = state(mine, "last"), state(theirs, "last")
    assert (a["epoch"], a["global_step"]) == (b["epoch"], b["global_step"]) == (4, 25)
    for key, value in b["state_dict"].items():
        torch.testing.assert_close(a["state_dict"][key], value, rtol=1e-10, atol=1e-10)
    curves, others = read_scalars(mine), read_scalars(theirs)
    assert curves["train/loss"].index.tolist() == others["train/loss"].index.tolist()


def test_what_needs_its_own_run_is_told_why():
    def why(*overrides):
        return reason_against(
            check(composed(*SMALL, *([] if any("model=" in o for o in overrides) else NET), *overrides))
        )

    assert why() is None
    assert "audit" in why("callbacks=[default,audit]")
    assert "LBFGS" in why("model=mlp", "optimizer=lbfgs", "data.batch_size=null", "model.hidden=[4]")
    assert "max_time" in why("+trainer.max_time=00:00:10:00")
    assert "several devices" in why("trainer.devices=2", "trainer.strategy=ddp")
