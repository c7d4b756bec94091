"""The compiled kernel against the textbook: 200 updates in double precision to 1e-12, one in single to 1e-5."""

import itertools
import os
import shutil
import stat
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_pinball_loss

from steepest import MLP, RandomWalk, Rings, Table, WindowDataModule
from steepest.engine import cache
from steepest.engine.descent import RATIO_PERIOD, Clip, Descent, reason_against
from steepest.nets.activations import ACTIVATIONS, Activation
from steepest.nets.losses import LOSSES, QUANTILES
from steepest.nets.networks import backward, forward

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
OPTIMIZERS = {
    "sgd": partial(SGD, lr=0.05),
    "decay": partial(SGD, lr=0.05, weight_decay=0.02),
    "momentum": partial(SGD, lr=0.02, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": partial(SGD, lr=0.02, momentum=0.9, nesterov=True),
    "maximize": partial(SGD, lr=1e-4, momentum=0.5, maximize=True),
    "adam": partial(ADAM, lr=0.01, weight_decay=0.01),
    "adamw": partial(ADAMW, lr=0.01, betas=(0.8, 0.95)),
}
CLIPS = {"none": None, "norm": Clip(0.3), "value": Clip(0.02, "value")}
HIDDEN = ([], [1], [8], [7, 5], [6, 5, 4, 3])
BATCH = 17  # does not divide the rows: the last batch of an epoch is smaller


def windows_of(kind: str, dtype: torch.dtype):
    """Small data sets for each way to cut a window."""
    walk = partial(RandomWalk, rows=260, split=[1, 0, 0])
    made = {
        "level": partial(walk, window=1),
        "relative": partial(walk, window=5, horizon=2, relative_to_last=True),
        "returns": partial(walk, window=6, transform="log_return"),
        "direction": partial(walk, window=4, horizon=2, target="direction", relative_to_last=True),
        "rings": partial(Rings, rows=250, split=[1, 0, 0]),
    }[kind]
    module = WindowDataModule(made())
    module.setup()
    return module.placed("cpu", dtype)


def net_of(windows, hidden, activation, dtype, seed=0, loss="mse") -> MLP:
    outputs = windows.horizon * LOSSES["cross_entropy" if windows.classes else loss].outputs
    return MLP(windows.inputs, hidden, outputs, activation, seed).to(dtype)


def numbers(network) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).numpy()


@torch.no_grad()
def textbook_step(network, loss, optimizer, batch, clip):
    """One update by the formulas of `nets/` and PyTorch's optimizer: the loss, and each gradient's norm."""
    layers = network.layers()
    trace = forward(batch.x_ND, layers, network.activations)
    pairs = backward(loss.backward(trace.a[-1], batch.y_NH), trace, layers, network.activations)
    gradients = [g for pair in pairs for g in pair]
    norms = [g.norm().item() for g in gradients]
    if clip is not None:
        clip(gradients)
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss(trace.a[-1], batch.y_NH).item(), norms


def compare(kind, dtype, hidden, activation, loss, optimizer, clip, updates, tolerance):
    """Train with kernel and textbook, and compare every number of every update."""
    windows = windows_of(kind, dtype)
    ours, theirs = (net_of(windows, hidden, activation, dtype, loss=loss) for _ in range(2))
    part, loss = windows.parts["train"], LOSSES[loss]
    descent = Descent(ours, loss, optimizer(ours.parameters()), windows, clip, entries=True)
    stepping, done = optimizer(theirs.parameters()), 0
    while done < updates:
        order_N = part.origins(torch.randperm(len(part), generator=torch.Generator().manual_seed(done)))
        log = descent.advance(order_N.numpy(), BATCH, min(updates - done, -(-len(part) // BATCH)), done)
        assert log.refused is None
        for k in range(len(log)):
            before = numbers(theirs)
            batch = windows.gather(order_N[k * BATCH : (k + 1) * BATCH])
            found, norms = textbook_step(theirs, loss, stepping, batch, clip)
            assert log.losses_K[k] == pytest.approx(found, rel=tolerance, abs=tolerance)
            np.testing.assert_allclose(log.gradient_norms_KQ[k], norms, rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(log.entries_KP[k], numbers(theirs), rtol=tolerance, atol=tolerance)
            after = [p.detach().norm().item() for p in theirs.parameters()]
            np.testing.assert_allclose(log.parameter_norms_KQ[k], after, rtol=tolerance, atol=tolerance)
            if (done + k) % RATIO_PERIOD == 0:
                ratios = dict(log.ratios)[done + k + 1]
                sizes = [p.numel() for p in theirs.parameters()]
                stops = np.cumsum(sizes)[:-1]
                parts = zip(np.split(numbers(theirs) - before, stops), np.split(before, stops), strict=True)
                np.testing.assert_allclose(
                    ratios, [np.linalg.norm(d) / np.linalg.norm(w) for d, w in parts], rtol=max(1e-9, 30 * tolerance)
                )
        done += len(log)
    return ours, descent


def pairwise() -> list[tuple]:
    """Combinations in which every pair of choices occurs at least once: a greedy covering array."""
    axes = [
        list(ACTIVATIONS),
        ["mse", "mae", "huber", "quantile"],
        HIDDEN,
        list(OPTIMIZERS),
        list(CLIPS),
        ["level", "relative", "returns"],
    ]
    wanted = {
        (i, a, j, b)
        for i, j in itertools.combinations(range(len(axes)), 2)
        for a in range(len(axes[i]))
        for b in range(len(axes[j]))
    }
    rows = []
    random = np.random.default_rng(0)
    while wanted:
        tries = [[int(random.integers(len(axis))) for axis in axes] for _ in range(60)]
        covers = [{(i, t[i], j, t[j]) for i, j in itertools.combinations(range(len(axes)), 2)} & wanted for t in tries]
        best = max(range(len(tries)), key=lambda n: len(covers[n]))
        wanted -= covers[best]
        if covers[best]:
            rows.append(tuple(axis[n] for axis, n in zip(axes, tries[best], strict=True)))
    return rows


@pytest.mark.parametrize(("activation", "loss", "hidden", "optimizer", "clip", "kind"), pairwise())
def test_200_updates_in_double_precision_equal_the_textbook(activation, loss, hidden, optimizer, clip, kind):
    compare(kind, torch.float64, hidden, activation, loss, OPTIMIZERS[optimizer], CLIPS[clip], 200, 1e-12)


@pytest.mark.parametrize("loss", ["mse", "quantile"])
def test_several_layers_clipped_norms_and_relative_windows_equal_the_textbook(loss):
    """The covering array above changes with its axes; the kernel's mutants need this combination."""
    compare("relative", torch.float64, [6, 5, 4], "sigmoid", loss, OPTIMIZERS["momentum"], CLIPS["norm"], 100, 1e-12)


@pytest.mark.parametrize("kind", ["direction", "rings"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_classes_equal_the_textbook(kind, hidden):
    compare(kind, torch.float64, hidden, "tanh", "cross_entropy", OPTIMIZERS["sgd"], None, 200, 1e-12)


def test_descent_under_the_quantile_loss_ends_at_the_lines_of_quantile_regression():
    windows = windows_of("relative", torch.float64)
    network, loss, part = net_of(windows, [], "identity", torch.float64, loss="quantile"), LOSSES["quantile"], "train"
    batch = windows.spread(part, len(windows.parts[part]))
    optimizer = ADAM(network.parameters(), lr=0.02)
    descent = Descent(network, loss, optimizer, windows)
    origins = windows.parts[part].origins(torch.arange(len(batch.x_ND))).numpy()
    for part_of_descent in range(6):  # a smaller step size each time, as in a scheduler
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * 0.3**part_of_descent
        for _ in range(800):
            descent.advance(origins, len(origins), 1, 0)
    least = np.mean([
        mean_pinball_loss(
            y, QuantileRegressor(quantile=q, alpha=0).fit(batch.x_ND.numpy(), y).predict(batch.x_ND.numpy()), alpha=q
        )
        for q in QUANTILES for y in batch.y_NH.numpy().T
    ])  # fmt: skip
    found = loss(network(batch.x_ND), batch.y_NH).item()
    assert least <= found <= 1.005 * least


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["mse", "huber", "quantile"])
def test_one_update_in_single_precision_equals_the_textbook(activation, loss, optimizer):
    compare("returns", torch.float32, [8], activation, loss, OPTIMIZERS[optimizer], None, 1, 1e-5)


@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slopes_at_exact_kinks_equal_the_textbook(tmp_path, activation, dtype):
    # Weights of 1 and biases of 0: z = x, so plain rows put z exactly on the kinks and next to them.
    edges = [-3.0, 0.0, 3.0]
    x = sorted(
        {*edges, *(np.nextafter(np.float32(e), np.float32(s)).item() for e in edges for s in (-9, 9)), -5.0, 5.0}
    )
    (tmp_path / "kinks.csv").write_text("x,y\n" + "".join(f"{v!r},{i}\n" for i, v in enumerate(x)))
    module = WindowDataModule(Table(path=str(tmp_path / "kinks.csv"), inputs=["x"], target="y", split=[1, 0, 0]))
    module.setup()
    windows = module.placed("cpu", dtype)
    windows.inputs_TF[:, 0] = torch.tensor(x, dtype=dtype)
    network = MLP(1, [1], 1, activation).to(dtype)
    for parameter, value in zip(network.parameters(), (1.0, 0.0, 1.0, 0.0), strict=True):
        parameter.data.fill_(value)
    for origin in range(len(x)):
        descent = Descent(network, LOSSES["mse"], SGD(network.parameters(), lr=1.0), windows)
        _, gradients = descent.gradient(np.array([origin]))
        batch = windows.gather(torch.tensor([origin]))
        trace = forward(batch.x_ND, network.layers(), network.activations)
        pairs = backward(LOSSES["mse"].backward(trace.a[-1], batch.y_NH), trace, network.layers(), network.activations)
        for mine, other in zip(gradients, (g for pair in pairs for g in pair), strict=True):
            torch.testing.assert_close(mine, other.detach(), rtol=1e-5, atol=1e-7)


@given(z=st.floats(-200, 200, width=32))
@settings(max_examples=200, deadline=None)
def test_single_precision_sigmoid_and_tanh_are_accurate_to_a_few_ulps(z):
    windows = windows_of("level", torch.float32)
    for activation, exact in (("sigmoid", lambda v: 1 / (1 + np.exp(-v))), ("tanh", np.tanh)):
        network = MLP(1, [1], 1, activation)
        for parameter, value in zip(network.parameters(), (0.0, z, 1.0, 0.0), strict=True):
            parameter.data.fill_(value)
        descent = Descent(network, LOSSES["mse"], SGD(network.parameters(), lr=1.0), windows)
        found = descent.predict(np.array([5])).item()
        assert found == pytest.approx(exact(np.float64(np.float32(z))), rel=5e-7, abs=2e-38)


@pytest.mark.parametrize("hidden", [[], [4], [8]])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_number_of_calls_does_not_change_the_result(optimizer, hidden):
    ends = []
    for calls in ([60], [1] * 60, [7, 13, 40]):
        windows = windows_of("returns", torch.float32)
        network = net_of(windows, hidden, "sigmoid", torch.float32)
        descent = Descent(network, LOSSES["mse"], OPTIMIZERS[optimizer](network.parameters()), windows)
        order_N = np.tile(windows.parts["train"].origins(torch.arange(17)).numpy(), 60)
        done = 0
        for count in calls:
            done += len(descent.advance(order_N[17 * done :], 17, count, done))
        assert done == 60
        ends.append(numbers(network))
    assert all((end == ends[0]).all() for end in ends)


@pytest.mark.parametrize("batch", [1, 256, 257, 700])
def test_outputs_of_a_sample_do_not_depend_on_other_samples_or_the_previous_batch(batch):
    windows = windows_of("returns", torch.float32)
    network = net_of(windows, [8, 3], "tanh", torch.float32)
    descent = Descent(network, LOSSES["mse"], SGD(network.parameters(), lr=1.0), windows)
    origin_N = windows.parts["train"].origins(torch.arange(200)).numpy()
    descent.gradient(np.resize(origin_N, batch))
    whole = descent.predict(origin_N)
    assert torch.equal(whole[50:60], descent.predict(origin_N[50:60]))
    with torch.no_grad():
        torch.testing.assert_close(whole, network(windows.gather(torch.tensor(origin_N)).x_ND), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pytorch_can_continue_from_the_state_dicts(optimizer):
    """The kernel and PyTorch each do half of the updates, in both orders."""
    windows = windows_of("returns", torch.float64)
    order_N = windows.parts["train"].origins(torch.arange(160))
    ends = []
    for kernel_first in (True, False):
        network = net_of(windows, [6], "tanh", torch.float64)
        stepping = OPTIMIZERS[optimizer](network.parameters())
        for half in (0, 1):
            other = net_of(windows, [6], "tanh", torch.float64, seed=9)
            again = OPTIMIZERS[optimizer](other.parameters())
            other.load_state_dict(network.state_dict())
            again.load_state_dict(stepping.state_dict())
            network, stepping = other, again
            if kernel_first == (half == 0):
                Descent(network, LOSSES["mse"], stepping, windows).advance(
                    order_N[80 * half :].numpy(), 16, 5, 5 * half
                )
            else:
                for k in range(5):
                    rows = order_N[80 * half + 16 * k :][:16]
                    textbook_step(network, LOSSES["mse"], stepping, windows.gather(rows), None)
        ends.append(numbers(network))
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-13)


def test_a_state_loaded_during_training_is_used():
    windows = windows_of("returns", torch.float64)
    order_N = windows.parts["train"].origins(torch.arange(160)).numpy()
    network = net_of(windows, [6], "tanh", torch.float64)
    stepping = OPTIMIZERS["momentum"](network.parameters())
    descent = Descent(network, LOSSES["mse"], stepping, windows)
    start = {k: v.clone() for k, v in network.state_dict().items()}
    first = descent.advance(order_N, 16, 10, 0).losses_K
    stepping.load_state_dict(
        OPTIMIZERS["momentum"](net_of(windows, [6], "tanh", torch.float64).parameters()).state_dict()
    )
    stepping.state.clear()
    network.load_state_dict(start)
    assert (descent.advance(order_N, 16, 10, 0).losses_K == first).all()


@pytest.mark.parametrize(("rate", "what"), [(1e30, "training loss is"), (1e25, "training loss is")])
def test_an_update_that_is_not_finite_is_not_applied(rate, what):
    windows = windows_of("returns", torch.float32)
    network = net_of(windows, [8], "identity", torch.float32)
    descent = Descent(network, LOSSES["mse"], SGD(network.parameters(), lr=rate), windows, entries=True)
    log = descent.advance(windows.parts["train"].origins(torch.arange(160)).numpy(), 16, 10, 0)
    assert log.refused is not None
    assert what in log.refused
    assert 0 < len(log) < 10
    assert np.isfinite(log.losses_K).all()
    assert (numbers(network) == log.entries_KP[-1]).all(), "the refused update changed nothing"


def test_a_non_finite_gradient_with_a_finite_loss_is_not_applied():
    windows = windows_of("returns", torch.float32)
    network = net_of(windows, [2], "identity", torch.float32)
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), (0.0, 0.0, 3e38, 0.0), strict=True):
            parameter.fill_(value)
        network.b1[0] = 1e-38
    windows.target_T.mul_(1e3)  # dL/da = g W2 overflows, the loss does not
    before = numbers(network).copy()
    descent = Descent(network, LOSSES["mse"], SGD(network.parameters(), lr=0.1), windows)
    log = descent.advance(windows.parts["train"].origins(torch.arange(16)).numpy(), 16, 1, 0)
    assert log.refused is not None
    assert "gradient" in log.refused
    assert len(log) == 0
    assert (numbers(network) == before).all()


def test_the_reason_why_the_kernel_cannot_train_is_reported():
    windows = windows_of("returns", torch.float32)
    network, mse = net_of(windows, [4], "tanh", torch.float32), LOSSES["mse"]
    parameters = list(network.parameters())
    assert reason_against(network, mse, SGD(parameters, lr=1)) is None
    assert "Linear" in str(reason_against(torch.nn.Linear(2, 1), mse, SGD(parameters, lr=1)))
    assert "RMSprop" in str(reason_against(network, mse, torch.optim.RMSprop(parameters)))
    assert "amsgrad" in str(reason_against(network, mse, ADAM(parameters, amsgrad=True)))
    groups = [{"params": parameters[:2]}, {"params": parameters[2:], "lr": 2}]
    assert "groups" in str(reason_against(network, mse, SGD(groups, lr=1)))
    assert "lr is a tensor" in str(reason_against(network, mse, ADAM(parameters, lr=torch.tensor(0.1), foreach=False)))
    hooked = SGD(parameters, lr=1)
    hooked.register_step_post_hook(lambda *_: None)
    assert "hooks" in str(reason_against(network, mse, hooked))
    network.activations[0] = Activation("tanh", torch.tanh, lambda s, z, a: s)
    assert "custom activations" in str(reason_against(network, mse, SGD(parameters, lr=1)))
    half = MLP(5, [4], 1).to(torch.float16)
    assert "float16" in str(reason_against(half, mse, SGD(half.parameters(), lr=1)))


# ---------------------------------------------------------------------------------------------------- the cache

FIT = (
    "import torch, sys, logging; from steepest import MLP, RandomWalk, WindowDataModule; "
    "from steepest.engine.descent import Descent; from steepest.nets.losses import LOSSES; "
    "m = WindowDataModule(RandomWalk(rows=100, window=3, split=[1, 0, 0])); m.setup(); w = m.placed('cpu', torch.float32); "
    "n = MLP(3, [2], 1); d = Descent(n, LOSSES['mse'], torch.optim.SGD(n.parameters(), lr=0.1), w); "
    "print(d.advance(w.parts['train'].origins(torch.arange(64)).numpy(), 16, 4, 0).losses_K.tolist())"
)


@pytest.fixture
def copied(tmp_path):
    """A copy of the package whose cache is empty, and `python(code)` that runs in it."""
    package = tmp_path / "site" / "steepest"
    source = cache.HERE.parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path / "site"), "XDG_CACHE_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip

    def start(code=FIT, **more):
        return subprocess.Popen(
            [sys.executable, "-c", code], env=environment | more, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=tmp_path,
        )  # fmt: skip

    return package, start


def outcome(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


@pytest.mark.slow
def test_editing_a_helper_recompiles_the_kernel(copied):
    package, start = copied
    first, said = outcome(start())
    assert "once on this machine" in said
    again, said = outcome(start())
    assert again == first
    assert said == "", "nothing is compiled a second time"
    kernels = package / "engine" / "functions.py"
    text = kernels.read_text()
    assert "total += e * e" in text
    kernels.write_text(text.replace("total += e * e", "total += 2.0 * e * e"))
    edited, _ = outcome(start())
    assert eval(edited) == pytest.approx([2 * loss for loss in eval(first)], rel=1e-6)


EVERY_OPTIMIZER = """
import logging, torch
from torch.optim import SGD, Adam, AdamW
from steepest import MLP, RandomWalk, WindowDataModule
from steepest.engine.descent import Clip, Descent
from steepest.nets.losses import LOSSES
module = WindowDataModule(RandomWalk(rows=300, window=3, split=[1, 0, 0]))
module.setup()
for dtype, hidden, loss in ((torch.float32, [4], "mse"), (torch.float32, [8, 5], "huber"), (torch.float64, [], "mae")):
    windows = module.placed("cpu", dtype)
    order_N = windows.parts["train"].origins(torch.arange(288)).numpy()
    for kind, options in (
        (SGD, {}), (SGD, {"momentum": 0.9}), (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        (Adam, {}), (AdamW, {"weight_decay": 0.1}),
    ):
        network = MLP(3, hidden, 1).to(dtype)
        optimizer = kind(network.parameters(), lr=0.05, **options)
        descent = Descent(network, LOSSES[loss], optimizer, windows, Clip(1.0))
        print(descent.advance(order_N, 8, 36, 0).losses_K.tolist())
"""


@pytest.mark.slow
def test_compiling_and_loading_the_kernel_give_the_same_digits(copied):
    _, start = copied
    first, said = outcome(start(EVERY_OPTIMIZER))
    assert said.count("once on this machine") == 2, "this process compiles for both precisions"
    again, said = outcome(start(EVERY_OPTIMIZER))
    assert said == ""
    assert len(again.splitlines()) == 15
    assert again == first


@pytest.mark.slow
def test_eight_processes_that_share_a_cold_cache_agree(copied):
    _, start = copied
    found = {outcome(process)[0] for process in [start() for _ in range(8)]}
    assert len(found) == 1


@pytest.mark.slow
def test_a_read_only_installation_uses_the_users_cache(copied, tmp_path):
    package, start = copied
    # (root may write anywhere, so a file takes the place of the cache folder.)
    (package / "engine" / "__pycache__").write_text("")
    first, said = outcome(start())
    assert "once on this machine" in said
    assert list((tmp_path / "home" / "steepest").glob("kernels-*/float32"))
    again, said = outcome(start())
    assert (again, said) == (first, "")
    (tmp_path / "nowhere").write_text("")
    lost, said = outcome(start(XDG_CACHE_HOME=str(tmp_path / "nowhere")))
    assert lost == first
    assert "at every start" in said


@pytest.mark.slow
def test_help_and_autograd_models_do_not_import_numba(tmp_path):
    code = (
        "import sys; import steepest.lightning.run, steepest.runs.drive, steepest.sweep.threads; "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert stat.S_ISDIR(cache.HERE.stat().st_mode)
