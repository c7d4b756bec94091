"""The manual module trains as the automatic one does: same trajectory, same counts, same hooks, clipping, schedulers."""

from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPRegressor
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from steepest import Curve, LinearPredictor, ManualPredictor, MLPPredictor, RandomWalk, WindowDataModule
from steepest.lightning.updates import clip, lighten

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step`"),
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
]
OFF = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.05),
    "momentum": partial(torch.optim.SGD, lr=0.02, momentum=0.9),
    "nesterov": partial(torch.optim.SGD, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": partial(torch.optim.Adam, lr=0.003),
    "adamw": partial(torch.optim.AdamW, lr=0.003),
}


def data(batch_size: int | None = 16, rows: int = 250) -> WindowDataModule:
    """10 batches of 16 and a last one of fewer, for the default rows."""
    return WindowDataModule(
        RandomWalk(rows=rows, window=5, transform="log_return", split=[0.7, 0.15, 0.15], batch_size=batch_size), seed=3
    )


class Watch(Callback):
    """Keeps what a callback may see of every update."""

    def on_train_start(self, trainer, pl_module):
        self.rows = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        network = pl_module.network
        self.rows.append(
            [
                trainer.global_step,
                trainer.current_epoch,
                pl_module.at_hand[2].item(),
                torch.cat([p.detach().flatten() for p in network.parameters()]).clone(),
                torch.cat([p.grad.flatten() for p in network.parameters()]).clone(),
                optimizer.param_groups[0]["lr"],
            ]
        )


def fitted(model, *callbacks, module=None, checkpointing=False, ckpt_path=None, **how):
    how = {"max_epochs": 4, "precision": "64-true", "limit_val_batches": 0} | how
    trainer = Trainer(**OFF, callbacks=list(callbacks), enable_checkpointing=checkpointing, **how)
    trainer.fit(model, datamodule=module or data(), ckpt_path=ckpt_path)
    return trainer


def numbers(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


@pytest.mark.parametrize("hidden", [[], [8], [6, 5]])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_200_updates_end_where_the_automatic_module_ends(name, hidden):
    how = {"max_epochs": -1, "max_steps": 200}
    theirs, ours = Watch(), Watch()
    automatic = MLPPredictor(5, 1, hidden=hidden, optimizer=OPTIMIZERS[name])
    manual = ManualPredictor(5, 1, hidden=hidden, optimizer=OPTIMIZERS[name])
    assert fitted(automatic, theirs, **how).global_step == fitted(manual, ours, **how).global_step == 200
    assert len(ours.rows) == len(theirs.rows) == 200
    torch.testing.assert_close(numbers(manual), numbers(automatic), rtol=0, atol=1e-12)
    for mine, other in zip(ours.rows, theirs.rows, strict=True):
        assert mine[:2] == other[:2]
        assert mine[2] == pytest.approx(other[2], rel=1e-11)
        for a, b in zip(mine[3:5], other[3:5], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("several", [2, 7, 256])
def test_the_trajectory_does_not_depend_on_updates_per_step_by_a_bit(several, name, precision):
    watched = {}
    for count in (1, several):
        watch = Watch()
        model = ManualPredictor(5, 1, hidden=[8], updates_per_step=count, optimizer=OPTIMIZERS[name])
        trainer = fitted(model, watch, precision=precision, max_epochs=3)
        watched[count] = watch.rows, numbers(model), trainer.fit_loop.state_dict()
    (rows, end, state), (other_rows, other_end, other_state) = watched[1], watched[several]
    assert torch.equal(end, other_end)
    assert len(rows) == len(other_rows) == 33
    for row, other in zip(rows, other_rows, strict=True):
        assert row[:3] == other[:3]
        assert torch.equal(row[3], other[3])
        assert torch.equal(row[4], other[4])
    assert state == other_state, "Lightning has counted the same batches, updates and epochs"


@pytest.mark.parametrize("steps", [1, 10, 11, 12, 25])
def test_the_last_update_is_exact(steps):
    model = ManualPredictor(5, 1, hidden=[8])
    watch = Watch()
    trainer = fitted(model, watch, max_epochs=-1, max_steps=steps)
    assert trainer.global_step == len(watch.rows) == steps
    assert trainer.current_epoch == -(-steps // 11)


def test_the_last_smaller_batch_is_an_update_of_its_own():
    seen = []

    class Sizes(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            seen.append(len(pl_module.at_hand[0]))

    fitted(ManualPredictor(5, 1), Sizes(), max_epochs=1)
    assert seen == [16] * 10 + [9]


def test_a_shortened_epoch_and_a_validation_between_fall_where_they_should():
    scored = []

    class Validated(Callback):
        def on_validation_end(self, trainer, pl_module):
            scored.append(trainer.global_step)

    fitted(
        ManualPredictor(5, 1),
        Validated(),
        limit_train_batches=7,
        max_epochs=2,
        limit_val_batches=1.0,
        val_check_interval=3,
        num_sanity_val_steps=0,
    )
    assert scored == [3, 6, 10, 13]


def test_no_autograd_anywhere_in_the_step():
    def refuse(tensor):
        raise AssertionError("something was saved for autograd")

    with torch.autograd.graph.saved_tensors_hooks(refuse, refuse):
        model = ManualPredictor(5, 1, hidden=[8])
        fitted(model, max_epochs=1)
        assert torch.isfinite(numbers(model)).all()
        with pytest.raises(AssertionError, match="saved for autograd"):
            fitted(MLPPredictor(5, 1, hidden=[8]), max_epochs=1)  # the hook does look


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_is_that_of_torch_and_of_the_automatic_module(algorithm):
    random = torch.Generator().manual_seed(0)
    for scale in (0.01, 1.0, 100.0):
        gradients = [torch.randn(3, 4, generator=random) * scale, torch.randn(5, generator=random) * scale]
        leaves = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient.clone()
        if algorithm == "norm":
            torch.nn.utils.clip_grad_norm_(leaves, 0.5)
        else:
            torch.nn.utils.clip_grad_value_(leaves, 0.5)
        clip(gradients, 0.5, algorithm)
        for leaf, gradient in zip(leaves, gradients, strict=True):
            torch.testing.assert_close(gradient, leaf.grad, rtol=1e-6, atol=0)
    bound = 0.05
    manual = ManualPredictor(5, 1, gradient_clip_val=bound, gradient_clip_algorithm=algorithm)
    automatic, free = MLPPredictor(5, 1), MLPPredictor(5, 1)
    ours, theirs = Watch(), Watch()
    fitted(manual, ours)
    fitted(automatic, theirs, gradient_clip_val=bound, gradient_clip_algorithm=algorithm)
    fitted(free)
    torch.testing.assert_close(numbers(manual), numbers(automatic), rtol=1e-12, atol=1e-13)
    assert not torch.allclose(numbers(free), numbers(automatic), rtol=1e-3), "the bound was felt"
    assert max(row[4].norm() for row in ours.rows) > bound, "callbacks see the gradient before it is clipped"
    torch.testing.assert_close(ours.rows[0][4], theirs.rows[0][4], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("several", [1, 256])
@pytest.mark.parametrize("profiler", [None, "simple"])
def test_every_hook_of_an_update_fires_as_in_the_automatic_module(several, profiler):
    said = []

    class Hooks(Callback):
        def on_before_zero_grad(self, trainer, pl_module, optimizer):
            said.append(("zero", trainer.global_step))

        def on_before_backward(self, trainer, pl_module, loss):
            said.append(("before", trainer.global_step, round(loss.item(), 12)))

        def on_after_backward(self, trainer, pl_module):
            said.append(("after", trainer.global_step, round(pl_module.network.W1.grad.norm().item(), 12)))

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            said.append(("step", trainer.global_step))

    from lightning.pytorch.callbacks import LambdaCallback

    told = []
    told_too = LambdaCallback(on_before_optimizer_step=lambda trainer, *_: told.append(trainer.global_step))
    ends = []
    for model in (MLPPredictor(5, 1), ManualPredictor(5, 1, updates_per_step=several)):
        said.clear()
        told.clear()
        fitted(model, Hooks(), told_too, max_epochs=2, profiler=profiler)
        ends.append((list(said), list(told)))
    assert ends[0] == ends[1]
    assert len(ends[1][0]) == 4 * 22
    assert ends[1][1] == list(range(22))


class ByUpdate:
    """Mixed into a predictor: a scheduler that is stepped every second update."""

    def configure_optimizers(self):
        made = super().configure_optimizers()
        return made | {"lr_scheduler": made["lr_scheduler"] | {"interval": "step", "frequency": 2}}


class OnPlateau:
    """Mixed into a predictor: a scheduler that looks at a score."""

    def configure_optimizers(self):
        self.make_scheduler = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0, threshold=1.0)
        return super().configure_optimizers()


SCHEDULERS = {
    "step": partial(torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.1),
    "cosine": partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=6),
    "exponential": partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5),
}


@pytest.mark.parametrize("steps", [-1, 27])
@pytest.mark.parametrize("mixin", [None, ByUpdate, OnPlateau])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_step_when_the_automatic_modules_do(name, mixin, steps):
    rates = []
    for base in (MLPPredictor, ManualPredictor):
        kind = type("Scheduled", (mixin, base), {}) if mixin else base
        model = kind(5, 1, optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9), scheduler=SCHEDULERS[name])
        watch = Watch()
        validation = {"limit_val_batches": 1.0, "num_sanity_val_steps": 0} if mixin is OnPlateau else {}
        fitted(model, watch, max_epochs=6, max_steps=steps, **validation)
        rates.append([row[5] for row in watch.rows])
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 1


def test_lean_steps_are_torchs_to_the_bit():
    for how in (
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        {"maximize": True, "weight_decay": 0.01},
    ):
        sides = []
        for lean in (True, False):
            random = torch.Generator().manual_seed(0)
            leaves = [nn.Parameter(torch.randn(4, 3, generator=random)), nn.Parameter(torch.randn(4, generator=random))]
            optimizer = torch.optim.SGD(leaves, lr=0.1, **how)
            if lean:
                lighten(optimizer)
                assert "step" in vars(optimizer)
            with torch.no_grad():
                for _ in range(20):
                    for leaf in leaves:
                        leaf.grad = torch.randn(leaf.shape, generator=random)
                    optimizer.step()
            sides.append((leaves, optimizer.state_dict()["state"]))
        (ours, our_state), (theirs, their_state) = sides
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert our_state.keys() == their_state.keys()
        for key, entries in our_state.items():
            assert entries.keys() == their_state[key].keys()
            assert all(torch.equal(v, their_state[key][k]) for k, v in entries.items())


def test_an_optimizer_that_is_not_plain_is_left_as_it_is():
    leaf = nn.Parameter(torch.zeros(2))
    adam, hooked, tensor = (
        torch.optim.Adam([leaf]),
        torch.optim.SGD([leaf]),
        torch.optim.SGD([leaf], lr=torch.tensor(0.1)),
    )
    hooked.register_step_post_hook(lambda *_: None)
    for optimizer in (adam, hooked, tensor):
        lighten(optimizer)
        assert "step" not in vars(optimizer)


def test_a_profiled_run_takes_lightnings_own_way_to_the_same_end():
    plain, profiled = ManualPredictor(5, 1), ManualPredictor(5, 1)
    fitted(plain, Watch())
    watch = Watch()
    trainer = fitted(profiled, watch, profiler="simple")
    assert "[Callback]Watch.on_before_optimizer_step" in trainer.profiler.recorded_durations
    assert torch.equal(numbers(plain), numbers(profiled))
    assert len(watch.rows) == trainer.global_step == 44


@pytest.mark.parametrize(("before", "after"), [(MLPPredictor, ManualPredictor), (ManualPredictor, MLPPredictor)])
def test_checkpoints_load_into_the_other_kind_and_go_on_there(before, after, tmp_path):
    momentum = OPTIMIZERS["momentum"]
    whole = before(5, 1, optimizer=momentum)
    fitted(whole, max_epochs=5)
    half = before(5, 1, optimizer=momentum)
    saved = ModelCheckpoint(tmp_path, "half", save_on_train_epoch_end=True)
    fitted(half, saved, checkpointing=True, max_epochs=2)
    loaded = after.load_from_checkpoint(saved.best_model_path, weights_only=True)
    assert torch.equal(numbers(loaded), numbers(half))
    other = after(5, 1, optimizer=momentum)
    trainer = fitted(other, max_epochs=5, ckpt_path=saved.best_model_path)
    assert trainer.global_step == 55
    torch.testing.assert_close(numbers(other), numbers(whole), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("every", [4, 11, 13])
def test_a_checkpoint_inside_an_epoch_resumes_to_the_bit(every, tmp_path):
    whole = ManualPredictor(5, 1, optimizer=OPTIMIZERS["adam"])
    fitted(whole)
    model = ManualPredictor(5, 1, updates_per_step=1, optimizer=OPTIMIZERS["adam"])
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=every, save_top_k=-1, filename="{step}")
    fitted(model, saved, checkpointing=True)
    other = ManualPredictor(5, 1, optimizer=OPTIMIZERS["adam"])
    trainer = fitted(other, ckpt_path=tmp_path / f"step={every}.ckpt")
    assert trainer.global_step == 44
    assert torch.equal(numbers(other), numbers(whole))


def test_lbfgs_and_mixed_precision_are_refused_with_what_to_do():
    model = ManualPredictor(5, 1, optimizer=torch.optim.LBFGS)
    with pytest.raises(ValueError, match="take model=linear or model=mlp with it"):
        model.configure_optimizers()
    with pytest.raises(ValueError, match="trainer.precision=bf16-mixed.*use 32-true or 64-true"):
        fitted(ManualPredictor(5, 1), precision="bf16-mixed")
    with pytest.raises(ValueError, match="updates_per_step=0 must be 1 or more"):
        ManualPredictor(5, 1, updates_per_step=0)


def test_it_fits_any_loader_of_pairs():
    x = torch.linspace(-1, 1, 32).unsqueeze(1)
    loader = DataLoader(TensorDataset(x, 3 * x - 1), batch_size=8)
    model = ManualPredictor(1, 1, hidden=[], optimizer=partial(torch.optim.SGD, lr=0.3))
    trainer = Trainer(max_epochs=100, enable_checkpointing=False, **OFF)
    trainer.fit(model, loader, loader)
    assert model.network.W1.item() == pytest.approx(3, abs=1e-4)
    assert trainer.callback_metrics["val/loss"].item() < 1e-8


def test_descent_on_single_samples_is_scikit_learns_sgd_regressor():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.3 + random.normal(size=60)
    rate = 0.01
    theirs = SGDRegressor(penalty=None, learning_rate="constant", eta0=rate, shuffle=False, tol=None, max_iter=1)
    model = ManualPredictor(3, 1, hidden=[]).double()
    with torch.no_grad():
        for p in model.network.parameters():
            p.zero_()
    # Its loss is half the squared error: half our step.
    model.make_optimizer = partial(torch.optim.SGD, lr=rate / 2)
    loader = DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y).unsqueeze(1)), batch_size=1)
    steps = Watch()
    trainer = Trainer(max_epochs=1, enable_checkpointing=False, precision="64-true", callbacks=[steps], **OFF)
    trainer.fit(model, loader)
    for n in range(1, 60):
        theirs.partial_fit(x[n - 1 : n], y[n - 1 : n])
        np.testing.assert_allclose(steps.rows[n][3][:3], theirs.coef_, rtol=0, atol=1e-15)
        np.testing.assert_allclose(steps.rows[n][3][3:], theirs.intercept_, rtol=0, atol=1e-15)


def test_an_epoch_is_scikit_learns_mlp_regressors():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 3)), random.normal(size=50)
    rate, hidden = 0.05, 6
    theirs = MLPRegressor(
        hidden_layer_sizes=[hidden], activation="logistic", solver="sgd", alpha=0, batch_size=8, momentum=0,
        learning_rate_init=rate, shuffle=False, max_iter=1, random_state=0,
    )  # fmt: skip
    theirs.partial_fit(x, y)  # once, to have weights; then ours are put there
    model = ManualPredictor(3, 1, hidden=[hidden], optimizer=partial(torch.optim.SGD, lr=rate / 2)).double()
    parameters = [p.detach().numpy().copy() for p in model.network.parameters()]
    theirs.coefs_ = [parameters[0].T.copy(), parameters[2].T.copy()]
    theirs.intercepts_ = [parameters[1].copy(), parameters[3].copy()]
    theirs._optimizer.params = theirs.coefs_ + theirs.intercepts_
    theirs.partial_fit(x, y)
    loader = DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y).unsqueeze(1)), batch_size=8)
    trainer = Trainer(max_epochs=1, enable_checkpointing=False, precision="64-true", **OFF)
    trainer.fit(model, loader)
    expected = [theirs.coefs_[0].T, theirs.intercepts_[0], theirs.coefs_[1].T, theirs.intercepts_[1]]
    for ours, other, start in zip(model.network.parameters(), expected, parameters, strict=True):
        assert not np.allclose(other, start, atol=1e-4), "it has moved"
        np.testing.assert_allclose(ours.detach().numpy(), other, rtol=0, atol=1e-15)


def test_the_line_and_the_net_are_learnt():
    module = WindowDataModule(Curve(rows=200, function="sine", noise=0.0))
    model = ManualPredictor(1, 1, hidden=[32], activation="tanh", optimizer=partial(torch.optim.Adam, lr=0.02))
    watch = Watch()
    fitted(model, watch, module=module, max_epochs=150)
    assert watch.rows[-1][2] < 0.02 * watch.rows[0][2]


def test_the_linear_model_shares_its_checkpoints_with_the_linear_predictor(tmp_path):
    saved = ModelCheckpoint(tmp_path, "line", save_on_train_epoch_end=True)
    model = ManualPredictor(5, 1, hidden=[])
    fitted(model, saved, checkpointing=True, max_epochs=1, precision="32-true")
    assert torch.equal(
        numbers(LinearPredictor.load_from_checkpoint(saved.best_model_path, weights_only=True)), numbers(model)
    )
