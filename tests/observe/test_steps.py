"""Step quality, vitals and gradient noise on problems with closed-form answers."""

import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from conftest import read_scalars
from lightning.pytorch import Trainer

from steepest import Curve, LinearPredictor, ManualPredictor, MLPPredictor, WindowDataModule
from steepest.lightning.callbacks import Tracking
from steepest.lightning.events import EventLogger
from steepest.lightning.protocol import Model
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.nets.noise import noise
from steepest.observe.health import unit_health
from steepest.observe.updates import GradientNoise, StepQuality
from steepest.observe.vitals import Vitals
from steepest.runs.stops import Epochs


def fitted(folder, model, *instruments, updates=6, **how):
    """Train with these instruments in a Trainer; returns the trainer and TensorBoard's curves."""
    data = WindowDataModule(Curve(split=[1, 0, 0], shuffle=False, **how))
    tracking = Tracking(
        "train/mse_scaled", Epochs(epochs=None, updates=updates), dict(enumerate(instruments)), scorers=dict,
        references=dict, model=Model(model, model.network, model.loss, None, {}), data=data, folder=folder / "checkpoints", config={},
    )  # fmt: skip
    trainer = Trainer(
        accelerator="cpu", max_epochs=-1, logger=EventLogger(folder, name="", version=""), callbacks=[tracking],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0, precision="64-true", log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(model, datamodule=data)
    trainer.logger.finalize("success")
    return trainer, read_scalars(folder)


@pytest.mark.parametrize("kind", [LinearPredictor, ManualPredictor])
@pytest.mark.parametrize(("rate", "position"), [(0.25, -0.5), (0.5, 0.0), (0.75, 0.5), (1.0, 1.0)])
def test_a_step_along_a_parabola_ends_at_the_computed_position(tmp_path, kind, rate, position):
    """With standardised x and full batches H is 2 I: step size 1/2 reaches the bottom, step size 1 the same height."""
    how = {"hidden": []} if kind is ManualPredictor else {}
    model = kind(1, 1, optimizer=lambda p: torch.optim.SGD(p, rate), **how)
    # If the first step reaches the bottom, later steps do not move.
    _, curves = fitted(tmp_path, model, StepQuality(), updates=1 if rate == 0.5 else 4, batch_size=None)
    assert curves["step/position"].to_numpy() == pytest.approx(position, abs=1e-6)
    actual, predicted = curves["step/actual_decrease"], curves["step/predicted_decrease"]
    assert list(actual.index) == list(range(1, len(actual) + 1))
    # On a parabola, actual = predicted (1 - rate lambda / 2), here with lambda = 2.
    assert actual.to_numpy() == pytest.approx((predicted * (1 - rate)).to_numpy(), abs=1e-6)


def test_a_step_is_judged_by_its_own_batch_whatever_comes_next(tmp_path):
    slow, fast = (ManualPredictor(1, 1, [5], updates_per_step=k) for k in (1, 256))
    _, one = fitted(tmp_path / "1", slow, StepQuality(), updates=9, batch_size=32)
    _, many = fitted(tmp_path / "256", fast, StepQuality(), updates=9, batch_size=32)
    _, automatic = fitted(tmp_path / "a", MLPPredictor(1, 1, [5]), StepQuality(), updates=9, batch_size=32)
    for tag in ("step/actual_decrease", "step/predicted_decrease", "step/position"):
        assert one[tag].tolist() == many[tag].tolist()
        assert one[tag].tolist() == pytest.approx(automatic[tag].tolist(), rel=1e-5)
        assert len(one[tag]) == 9


def test_the_noise_of_the_batch_is_written_at_each_look(tmp_path):
    model = ManualPredictor(1, 1, [5])
    start = deepcopy(model.network).double()
    trainer, curves = fitted(tmp_path, model, GradientNoise(every_n_updates=3), updates=7, batch_size=None)
    x_ND, y_NH, _ = trainer.datamodule.placed("cpu", torch.float64).spread("train", 10**6)
    assert curves["noise/batch_size"].to_dict() == {update: len(x_ND) for update in (1, 4, 7)}
    expected = noise(start, list(start.parameters()), LOSSES["mse"], x_ND, y_NH)
    assert curves["noise/scale"].iloc[0] == pytest.approx(expected.scale, rel=1e-5)
    tags = ("noise/sample_norm_least", "noise/sample_norm_median", "noise/sample_norm_greatest")
    norms = [curves[tag].iloc[0] for tag in tags]
    assert norms == pytest.approx(expected.norm_N.quantile(torch.tensor([0, 0.5, 1]).double()).tolist(), rel=1e-2)
    assert norms == sorted(norms)


def health(net, x):
    return {name: float(share) for name, share in unit_health(net.layers(), net.activations, x).items()}


def test_dead_relus_and_saturated_sigmoids_are_counted():
    x = torch.linspace(-1, 1, 50)[:, None]
    net = MLP(1, [4, 2], 1, "relu")
    with torch.no_grad():
        net.b1.copy_(torch.tensor([-9.0, -9.0, -9.0, 9.0]))
        net.b2.fill_(100.0)
    assert health(net, x) == {"dead/layer1": 0.75, "dead/layer2": 0.0}
    for activation in ("sigmoid", "tanh", "hard_sigmoid"):
        net = MLP(1, [2], 1, activation)
        with torch.no_grad():
            net.b1.copy_(torch.tensor([50.0, 0.0]))
            net.W1.fill_(0.1)
        assert health(net, x) == {"saturated/layer1": 0.5}
    assert health(MLP(1, [], 1), x) == {}
    assert health(MLP(1, [3], 1, "identity"), x) == {}


def test_speed_and_health_are_written_every_epoch(tmp_path):
    trainer, curves = fitted(tmp_path, MLPPredictor(1, 1, [5], "relu"), Vitals(), updates=12, batch_size=100)
    assert {"dead/layer1", "speed/updates_per_second", "speed/samples_per_second", "speed/memory"} <= set(curves)
    assert len(curves["dead/layer1"]) == trainer.current_epoch
    assert (curves["speed/samples_per_second"] > curves["speed/updates_per_second"]).all()


@pytest.mark.parametrize(
    "make", [lambda: StepQuality(0), lambda: GradientNoise(0), lambda: GradientNoise(theta=0.0), lambda: Vitals(0)]
)
def test_an_invalid_option_is_refused_by_name(make):
    with pytest.raises(ValueError, match="callbacks"):
        make()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux passes the peak on to new processes")
def test_the_memory_of_a_process_is_not_that_of_the_process_that_started_it():
    np.ones(100_000_000)  # 763 MiB
    code = "import torch; from steepest.observe.health import memory; print(memory(torch.device('cpu')))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 50 < float(child.stdout) < 600
