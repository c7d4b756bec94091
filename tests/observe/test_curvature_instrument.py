"""The curvature instrument's state; the verdicts are tested in tests/evaluate/test_critical.py."""

import torch

from steepest.data.preparation import series_windows
from steepest.data.sources import RandomWalk
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.observe.curvature import Curvature
from steepest.observe.instrument import View


def test_a_resumed_run_forgets_where_it_ended_before():
    spec = RandomWalk(rows=100)
    windows = series_windows(spec.read(), spec, "test").to("cpu", torch.float32)
    network = MLP(windows.inputs, [], windows.horizon)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    view = View(network, LOSSES["mse"], optimizer, windows, 1, None, None, "kernel", updates=7, batch=10)
    first, resumed = Curvature(), Curvature()
    first.end(view)
    assert first.result()["critical"]["verdict"] == "not critical: still moving"
    resumed.load_state_dict(first.state_dict())
    assert resumed.result() == first.result()
    resumed.begin(view)
    assert resumed.result() == {}
    assert resumed.state_dict() == {}


def test_the_last_gradient_is_that_of_all_training_samples():
    spec = RandomWalk(rows=400)
    windows = series_windows(spec.read(), spec, "test").to("cpu", torch.float64)
    x_ND, y_NH, _ = windows.spread("train", 10**6)
    inputs = torch.cat([x_ND, torch.ones(len(x_ND), 1)], dim=1)  # the line at its optimum, by least squares
    solution = torch.linalg.lstsq(inputs.double(), y_NH.double()).solution.T
    network = MLP(windows.inputs, [], windows.horizon).double()
    with torch.no_grad():
        for parameter, exact in zip(network.parameters(), (solution[:, :-1], solution[:, -1]), strict=True):
            parameter.copy_(exact)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    view = View(network, LOSSES["mse"], optimizer, windows, 1, None, None, "kernel", updates=7, batch=len(x_ND))
    curvature = Curvature(samples_at_end=16)
    curvature.end(view)
    ending = curvature.result()["critical"]
    assert ending["gradient_norm"] < 1e-12, "at least squares, the gradient of a part is not zero"
    assert (ending["samples"], ending["training_samples"]) == (16, len(x_ND))
    assert f" (16 of {len(x_ND)} samples), " in ending["sentence"]
