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
    network = MLP(windows.inputs, [], windows.outputs)
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
