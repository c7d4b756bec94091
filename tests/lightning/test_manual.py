"""The manual module trains as the automatic one does: same trajectory, counts, hooks, clipping and schedulers.

Both of its engines are tested. A callback that needs every update selects the textbook; `logs` collects the kernel's logs.
"""

from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPRegressor
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from steepest import Curve, LinearPredictor, ManualPredictor, MLPPredictor, RandomWalk, WindowDataModule
from steepest.engine.descent import Clip

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
either_engine = pytest.mark.parametrize("engine", ["kernel", "textbook"])


def data(batch_size: int | None = 16, rows: int = 250) -> WindowDataModule:
    """10 batches of 16 and a smaller last one, for the default number of rows."""
    return WindowDataModule(
        RandomWalk(rows=rows, window=5, transform="log_return", split=[0.7, 0.15, 0.15], batch_size=batch_size), seed=3
    )


class Watch(Callback):
    """Keeps what a callback can see of every update."""

    def on_train_start(self, trainer, pl_module):
        self.rows = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        network = pl_module.network
        gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
        counts, rate = (trainer.global_step, trainer.current_epoch), optimizer.param_groups[0]["lr"]
        self.rows.append([*counts, pl_module.current_batch[2], numbers(pl_module).clone(), gradient.clone(), rate])


def by_hand(engine: str, *sizes, **options) -> ManualPredictor:
    """A module for one engine that keeps the kernel's logs."""
    model = ManualPredictor(*sizes, engine=engine, **options)
    model.logs = []
    return model


def losses(model: ManualPredictor) -> np.ndarray:
    return np.concatenate([log.losses_K for log in model.logs])


def fitted(model, *callbacks, module=None, checkpointing=False, ckpt_path=None, **how):
    how = {"max_epochs": 4, "precision": "64-true", "limit_val_batches": 0} | how
    trainer = Trainer(**OFF, callbacks=list(callbacks), enable_checkpointing=checkpointing, **how)
    trainer.fit(model, datamodule=module or data(), ckpt_path=ckpt_path)
    return trainer


def numbers(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


@pytest.mark.parametrize("hidden", [[], [8], [6, 5]])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_100_updates_of_either_engine_equal_those_of_the_automatic_module(name, hidden):
    how = {"max_epochs": -1, "max_steps": 100}
    theirs, ours = Watch(), Watch()
    automatic = MLPPredictor(5, 1, hidden=hidden, optimizer=OPTIMIZERS[name])
    textbook = by_hand("textbook", 5, 1, hidden=hidden, optimizer=OPTIMIZERS[name])
    kernel = by_hand("kernel", 5, 1, hidden=hidden, optimizer=OPTIMIZERS[name])
    steps = [fitted(automatic, theirs, **how), fitted(textbook, ours, **how), fitted(kernel, **how)]
    assert [trainer.global_step for trainer in steps] == [100] * 3
    assert len(ours.rows) == len(theirs.rows) == len(losses(kernel)) == 100
    assert textbook.logs == []
    for manual in (textbook, kernel):
        torch.testing.assert_close(numbers(manual), numbers(automatic), rtol=0, atol=1e-12)
    for mine, other in zip(ours.rows, theirs.rows, strict=True):
        assert mine[:2] == other[:2]
        assert mine[2] == pytest.approx(other[2], rel=1e-11)
        for a, b in zip(mine[3:5], other[3:5], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(losses(kernel), [row[2] for row in theirs.rows], rtol=1e-11)
    squares = np.concatenate([log.gradient_norms_KQ for log in kernel.logs]) ** 2
    np.testing.assert_allclose(squares.sum(1) ** 0.5, [row[4].norm() for row in theirs.rows], rtol=1e-11)


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
@pytest.mark.parametrize("name", ["nesterov", "adam"])
def test_updates_per_step_does_not_change_a_bit_of_the_trajectory(name, precision):
    found = []
    for count in (1, 2, 7, 256):
        model = by_hand("kernel", 5, 1, hidden=[8], updates_per_step=count, optimizer=OPTIMIZERS[name])
        trainer = fitted(model, precision=precision, max_epochs=3)
        norms = np.concatenate([log.parameter_norms_KQ for log in model.logs])
        found.append((len(model.logs), losses(model), norms, numbers(model), trainer.fit_loop.state_dict()))
    _, *first = found[0]
    assert [calls for calls, *_ in found] == [33, 18, 6, 3]
    for _, *other in found[1:]:
        assert np.array_equal(other[0], first[0])
        assert np.array_equal(other[1], first[1])
        assert torch.equal(other[2], first[2])
        assert other[3] == first[3], "Lightning counts the same batches, updates and epochs"


@either_engine
@pytest.mark.parametrize("steps", [1, 10, 11, 12, 25])
def test_max_steps_is_exact(steps, engine):
    model = by_hand(engine, 5, 1, hidden=[8])
    trainer = fitted(model, max_epochs=-1, max_steps=steps)
    assert trainer.global_step == steps
    assert trainer.current_epoch == -(-steps // 11)
    assert engine == "textbook" or len(losses(model)) == steps


def test_the_last_smaller_batch_is_an_update_of_its_own():
    seen = []

    class Sizes(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            seen.append(len(pl_module.current_batch[0]))

    fitted(ManualPredictor(5, 1), Sizes(), max_epochs=1)
    assert seen == [16] * 10 + [9]
    model = by_hand("kernel", 5, 1)
    fitted(model, max_epochs=1)
    (log,) = model.logs
    assert (len(log), log.samples, log.batch) == (11, 169, 9)


@either_engine
def test_validation_runs_at_the_right_updates_of_a_shortened_epoch(engine):
    scored = []

    class Validated(Callback):
        def on_validation_end(self, trainer, pl_module):
            scored.append(trainer.global_step)

    short = {"limit_train_batches": 7, "max_epochs": 2, "limit_val_batches": 1.0, "val_check_interval": 3}
    fitted(by_hand(engine, 5, 1), Validated(), num_sanity_val_steps=0, **short)
    assert scored == [3, 6, 10, 13]


@either_engine
def test_the_step_does_not_use_autograd(engine):
    def refuse(tensor):
        raise AssertionError("something was saved for autograd")

    with torch.autograd.graph.saved_tensors_hooks(refuse, refuse):
        model = by_hand(engine, 5, 1, hidden=[8])
        fitted(model, max_epochs=1)
        assert torch.isfinite(numbers(model)).all()
        with pytest.raises(AssertionError, match="saved for autograd"):
            fitted(MLPPredictor(5, 1, hidden=[8]), max_epochs=1)  # the hook works


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_equals_torchs_and_the_automatic_modules(algorithm):
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
        Clip(0.5, algorithm)(gradients)
        for leaf, gradient in zip(leaves, gradients, strict=True):
            torch.testing.assert_close(gradient, leaf.grad, rtol=1e-6, atol=0)
    bound = 0.05
    options = {"gradient_clip_val": bound, "gradient_clip_algorithm": algorithm}
    textbook, kernel = (by_hand(engine, 5, 1, **options) for engine in ("textbook", "kernel"))
    automatic, free = MLPPredictor(5, 1), MLPPredictor(5, 1)
    ours, theirs = Watch(), Watch()
    fitted(textbook, ours)
    fitted(kernel)
    fitted(automatic, theirs, **options)
    fitted(free)
    for manual in (textbook, kernel):
        torch.testing.assert_close(numbers(manual), numbers(automatic), rtol=1e-12, atol=1e-13)
    assert not torch.allclose(numbers(free), numbers(automatic), rtol=1e-3), "the bound has an effect"
    assert max(row[4].norm() for row in ours.rows) > bound, "callbacks see the gradient before it is clipped"
    torch.testing.assert_close(ours.rows[0][4], theirs.rows[0][4], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("profiler", [None, "simple"])
def test_every_hook_of_an_update_is_called_as_in_the_automatic_module(profiler):
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

    told = []
    told_too = LambdaCallback(on_before_optimizer_step=lambda trainer, *_: told.append(trainer.global_step))
    ends = []
    for model in (MLPPredictor(5, 1), ManualPredictor(5, 1)):
        said.clear()
        told.clear()
        fitted(model, Hooks(), told_too, max_epochs=2, profiler=profiler)
        ends.append((list(said), list(told)))
    assert ends[0] == ends[1]
    assert len(ends[1][0]) == 4 * 22
    assert ends[1][1] == list(range(22))


def test_hooks_of_a_users_own_module_are_called():
    said = []

    class Mine(ManualPredictor):
        def on_after_backward(self):
            said.append(self.global_step)

    model = Mine(5, 1)
    model.logs = []
    fitted(model, max_epochs=1)
    assert said == list(range(11))
    assert model.logs == []


@pytest.mark.parametrize(
    ("callback", "kernel"),
    [
        (Watch(), False),
        (LambdaCallback(on_train_batch_end=lambda *_: None), False),
        (LambdaCallback(on_train_epoch_end=lambda *_: None), True),
        (type("Ends", (Callback,), {"on_train_epoch_end": lambda *_: None})(), True),
    ],
)
def test_a_callback_that_needs_every_update_selects_the_textbook(callback, kernel):
    model = ManualPredictor(5, 1)
    model.logs = []
    fitted(model, callback, max_epochs=1)
    assert bool(model.logs) == kernel


def test_a_run_that_the_kernel_cannot_train_and_mixed_precision_are_refused():
    with pytest.raises(ValueError, match="model.engine=kernel: callback Watch needs every update; use model.engine"):
        fitted(by_hand("kernel", 5, 1), Watch())
    with pytest.raises(ValueError, match="the batches do not come from a WindowDataModule"):
        Trainer(max_epochs=1, enable_checkpointing=False, **OFF).fit(
            by_hand("kernel", 1, 1), DataLoader(TensorDataset(torch.ones(4, 1), torch.ones(4, 1)))
        )
    with pytest.raises(ValueError, match="optimizer RMSprop is not one of SGD, Adam and AdamW"):
        fitted(by_hand("kernel", 5, 1, optimizer=torch.optim.RMSprop))
    with pytest.raises(ValueError, match="trainer.precision=bf16-mixed.*use 32-true or 64-true"):
        fitted(ManualPredictor(5, 1), precision="bf16-mixed")


class ByUpdate:
    """A mixin: the scheduler steps at every second update."""

    def configure_optimizers(self):
        made = super().configure_optimizers()
        return made | {"lr_scheduler": made["lr_scheduler"] | {"interval": "step", "frequency": 2}}


class OnPlateau:
    """A mixin: the scheduler reads a score."""

    def configure_optimizers(self):
        self.make_scheduler = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0, threshold=1.0)
        return super().configure_optimizers()


SCHEDULERS = {
    "step": partial(torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.1),
    "cosine": partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=6),
}


@pytest.mark.parametrize("steps", [-1, 27])
@pytest.mark.parametrize(
    ("name", "mixin"), [("step", None), ("cosine", None), ("step", ByUpdate), ("cosine", ByUpdate), ("step", OnPlateau)]
)
def test_schedulers_step_as_in_the_automatic_module(name, mixin, steps):
    rates, ends = [], []
    for base, options in (
        (MLPPredictor, {}),
        (ManualPredictor, {"engine": "textbook"}),
        (ManualPredictor, {"engine": "kernel"}),
    ):
        kind = type("Scheduled", (mixin, base), {}) if mixin else base
        model = kind(5, 1, optimizer=OPTIMIZERS["momentum"], scheduler=SCHEDULERS[name], **options)
        watch = [] if options == {"engine": "kernel"} else [Watch()]
        validation = {"limit_val_batches": 1.0, "num_sanity_val_steps": 0} if mixin is OnPlateau else {}
        trainer = fitted(model, *watch, max_epochs=6, max_steps=steps, **validation)
        rates.append([[row[5] for row in one.rows] for one in watch])
        ends.append((numbers(model), trainer.optimizers[0].param_groups[0]["lr"]))
    assert rates[0] == rates[1]
    assert len(set(rates[0][0])) > 1
    for end, rate in ends[1:]:
        torch.testing.assert_close(end, ends[0][0], rtol=1e-11, atol=1e-12)
        assert rate == ends[0][1]


@pytest.mark.parametrize(
    ("before", "after", "hidden"),
    [
        (MLPPredictor, ManualPredictor, {}),
        (ManualPredictor, MLPPredictor, {}),
        (ManualPredictor, LinearPredictor, {"hidden": []}),
    ],
)
def test_another_kind_loads_a_checkpoint_and_continues_it(before, after, hidden, tmp_path):
    momentum = OPTIMIZERS["momentum"]
    whole, half = (before(5, 1, optimizer=momentum, **hidden) for _ in range(2))
    fitted(whole, max_epochs=5)
    saved = ModelCheckpoint(tmp_path, "half", save_on_train_epoch_end=True)
    fitted(half, saved, checkpointing=True, max_epochs=2)
    loaded = after.load_from_checkpoint(saved.best_model_path, weights_only=True)
    assert torch.equal(numbers(loaded), numbers(half))
    other = after(5, 1, optimizer=momentum)
    trainer = fitted(other, max_epochs=5, ckpt_path=saved.best_model_path)
    assert trainer.global_step == 55
    torch.testing.assert_close(numbers(other), numbers(whole), rtol=1e-11, atol=1e-12)


@either_engine
@pytest.mark.parametrize("every", [4, 11, 13])
def test_a_checkpoint_inside_an_epoch_resumes_to_the_bit(every, engine, tmp_path):
    whole = by_hand(engine, 5, 1, optimizer=OPTIMIZERS["adam"])
    fitted(whole)
    model = by_hand(engine, 5, 1, optimizer=OPTIMIZERS["adam"])
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=every, save_top_k=-1, filename="{step}")
    fitted(model, saved, checkpointing=True)
    for updates in (every, 2 * every):
        other = by_hand(engine, 5, 1, optimizer=OPTIMIZERS["adam"])
        trainer = fitted(other, ckpt_path=tmp_path / f"step={updates}.ckpt")
        assert trainer.global_step == 44
        assert torch.equal(numbers(other), numbers(whole))
        assert engine == "textbook" or len(losses(other)) == 44 - updates


def unshuffled(batch_size: int) -> tuple[WindowDataModule, np.ndarray, np.ndarray]:
    """A data module that does not shuffle, and its samples."""
    module = WindowDataModule(
        RandomWalk(rows=60, window=3, transform="return", split=[1, 0, 0], batch_size=batch_size, shuffle=False)
    )
    module.setup()
    windows = module.placed("cpu", torch.float64)
    batch = windows.gather(windows.parts["train"].origins(torch.arange(len(windows.parts["train"]))))
    return module, batch.x_ND.numpy(), batch.y_NH[:, 0].numpy()


@either_engine
def test_descent_on_single_samples_equals_scikit_learns_sgd_regressor(engine):
    module, x, y = unshuffled(1)
    rate = 0.01
    theirs = SGDRegressor(penalty=None, learning_rate="constant", eta0=rate, shuffle=False, tol=None, max_iter=1)
    # Its loss is half the squared error, so its learning rate is twice ours.
    model = by_hand(engine, 3, 1, hidden=[], optimizer=partial(torch.optim.SGD, lr=rate / 2)).double()
    with torch.no_grad():
        for p in model.network.parameters():
            p.zero_()
    expected = []
    for n in range(len(x)):
        expected.append((theirs.predict(x[n : n + 1])[0] if n else 0.0) - y[n])
        theirs.partial_fit(x[n : n + 1], y[n : n + 1])
    steps = [Watch()] if engine == "textbook" else []
    fitted(model, *steps, module=module, max_epochs=1)
    found = losses(model) if engine == "kernel" else [row[2] for row in steps[0].rows]
    np.testing.assert_allclose(found, np.square(expected), rtol=1e-12)
    np.testing.assert_allclose(model.network.W1.detach().numpy()[0], theirs.coef_, rtol=0, atol=1e-14)
    np.testing.assert_allclose(model.network.b1.detach().numpy(), theirs.intercept_, rtol=0, atol=1e-14)


@either_engine
def test_an_epoch_equals_scikit_learns_mlp_regressor(engine):
    module, x, y = unshuffled(8)
    rate, hidden = 0.05, 6
    theirs = MLPRegressor(
        hidden_layer_sizes=[hidden], activation="logistic", solver="sgd", alpha=0, batch_size=8, momentum=0,
        learning_rate_init=rate, shuffle=False, max_iter=1, random_state=0,
    )  # fmt: skip
    theirs.partial_fit(x, y)  # creates the weights, which are then replaced by ours
    model = by_hand(engine, 3, 1, hidden=[hidden], optimizer=partial(torch.optim.SGD, lr=rate / 2)).double()
    parameters = [p.detach().numpy().copy() for p in model.network.parameters()]
    theirs.coefs_ = [parameters[0].T.copy(), parameters[2].T.copy()]
    theirs.intercepts_ = [parameters[1].copy(), parameters[3].copy()]
    theirs._optimizer.params = theirs.coefs_ + theirs.intercepts_
    theirs.partial_fit(x, y)
    fitted(model, module=module, max_epochs=1)
    expected = [theirs.coefs_[0].T, theirs.intercepts_[0], theirs.coefs_[1].T, theirs.intercepts_[1]]
    for ours, other, start in zip(model.network.parameters(), expected, parameters, strict=True):
        assert not np.allclose(other, start, atol=1e-4), "the weights have changed"
        np.testing.assert_allclose(ours.detach().numpy(), other, rtol=0, atol=1e-14)


@either_engine
def test_training_reduces_the_loss_twentyfold(engine):
    module = WindowDataModule(Curve(rows=200, function="sine", noise=0.0))
    model = by_hand(engine, 1, 1, hidden=[32], activation="tanh", optimizer=partial(torch.optim.Adam, lr=0.02))
    module.setup()
    batch = module.placed("cpu", torch.float64).spread("train", 200)
    before = model.double().gradient(batch.x_ND, batch.y_NH)[0]
    fitted(model, module=module, max_epochs=60)
    assert model.gradient(batch.x_ND, batch.y_NH)[0] < 0.05 * before
