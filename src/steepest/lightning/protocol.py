"""The protocol of a custom model: what a run needs of a LightningModule.

- Its constructor takes the keys of the config, and by name those of `GIVEN` that it wants: `inputs` (D, the numbers of
  a window), `outputs` (O), `window` (rows of a window), `optimizer` and `scheduler` (functions that build them).
- `forward(x (N, D))` returns predictions (N, O) in model space, one row per sample: in the mode for evaluation, a row
  does not depend on the other rows, nor on chance.
- `training_step(batch, batch_idx)` gets ``(x (N, D), y (N, H))``, as with any Trainer, and returns the loss.
- `configure_optimizers` is its own, or else the optimizer and the scheduler are the config's.

`loss`, a name in `LOSSES` or a function ``(p, y) -> L``, is the loss that curves and pictures show for whole parts.
Without it they show the squared error, or the cross-entropy of classes. `Predictor`s follow the protocol, too.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from steepest.lightning.predictors import MakeOptimizer, MakeScheduler, Predictor
from steepest.lightning.quiet import tame_lightning
from steepest.nets.functional import evaluating
from steepest.nets.losses import Loss, loss_of
from steepest.runs.config import GIVEN

log = logging.getLogger(__name__)

SAMPLES, WINDOW = 6, 12  # of the made batch in `check_model`


@dataclass(frozen=True)
class Model:
    """A module as a run uses it.

    Attributes:
        module: what the Trainer trains.
        network: the function (N, D) -> (N, O): the network of a `Predictor`, else the module itself.
        loss: the loss of whole parts.
        make_optimizer: builds the optimizer, or None if the module does it.
        options: the hyper-parameters in best.ckpt, from which the model is built again.
    """

    module: LightningModule
    network: nn.Module
    loss: Loss
    make_optimizer: MakeOptimizer | None
    options: dict[str, Any]


def model_of(
    module: Any,
    batch: tuple[Tensor, Tensor],
    outputs: int,
    loss: str,
    optimizer: MakeOptimizer,
    scheduler: MakeScheduler | None,
    monitor: str,
    options: Mapping[str, Any],
) -> Model:
    """Make a module ready for a run.

    Args:
        module: the module.
        batch: a few samples (x, y), to check the outputs.
        outputs: O.
        loss: the name of the loss, if the module has no function `loss`.
        optimizer, scheduler: the config's, for a module without `configure_optimizers`.
        monitor: the logged score that a `ReduceLROnPlateau` scheduler reads.
        options: the hyper-parameters in best.ckpt.

    Raises:
        ValueError: if it does not follow the protocol.
    """
    if isinstance(module, Predictor):
        module.monitor = monitor
        check_rates(module.configure_optimizers)
        return Model(module, module.network, module.loss, module.make_optimizer, dict(options))
    name = f"model={type(module).__name__}"
    if missing := _missing(module):
        raise ValueError(f"{name} cannot be trained: {'; '.join(missing)}")
    builds = type(module).configure_optimizers is not LightningModule.configure_optimizers
    if not builds:
        module.configure_optimizers = partial(_configured, module, optimizer, scheduler, monitor)
        check_rates(module.configure_optimizers)
    if len({p.dtype for p in module.parameters()}) > 1:
        log.warning("%s has parameters of several precisions: all become %s, that of the run", name, batch[0].dtype)
    module.to(batch[0].dtype)
    if faults := _faults_of_outputs(module, batch[0], outputs):
        raise ValueError(f"{name}: {'; '.join(faults)}")
    return Model(module, module, _loss(module, batch, loss), None if builds else optimizer, dict(options))


def check_rates(configure: Callable[[], Any]) -> None:
    """Build the optimizer once, to report bad values early."""
    try:
        configure()
    except ValueError as error:
        raise ValueError(f"optimizer: {error}") from error


def ignores_optimizer(target: Any) -> bool:
    """Whether a class builds its optimizer and does not ask for the config's."""
    return (
        inspect.isclass(target)
        and issubclass(target, LightningModule)
        and target.configure_optimizers is not LightningModule.configure_optimizers
        and "optimizer" not in inspect.signature(target).parameters
    )


def validates(module: LightningModule) -> bool:
    """Whether a custom model has a validation_step, which then runs after every epoch."""
    own = type(module).validation_step is not LightningModule.validation_step
    return own and not isinstance(module, Predictor)


def check_model(
    model: Any, *, inputs: int = WINDOW, outputs: int = 1, window: int | None = None, **options: Any
) -> None:
    """Check that a custom model follows the protocol, on a made batch.

    Args:
        model: a class, which is built with the arguments below that it takes; or a module.
        inputs: D, the numbers of a window.
        outputs: O, the numbers to predict.
        window: the rows of a window; None means one number per row, so D rows.
        options: further arguments of the class.

    Raises:
        ValueError: with everything that is missing, in words.
    """
    tame_lightning()
    name = model.__name__ if inspect.isclass(model) else type(model).__name__
    seed_everything(0, verbose=False)
    x_ND, y_NO = torch.randn(SAMPLES, inputs), torch.randn(SAMPLES, outputs)
    optimizer = partial(torch.optim.SGD, lr=1e-3)
    try:
        module = (
            build(model, options, inputs, outputs, window or inputs, optimizer) if inspect.isclass(model) else model
        )
    except Exception as error:  # a class of the user's may raise any error
        raise ValueError(f"{name} cannot be built: {type(error).__name__}: {error}") from error
    faults = _missing(module)
    if not faults:
        faults = _faults_of_outputs(module, x_ND, outputs) or _faults_of_training(module, x_ND, y_NO, optimizer)
    if faults:
        raise ValueError(f"{name} does not follow the protocol of a model:\n- " + "\n- ".join(faults))


def build(
    target: Callable[..., Any],
    options: Mapping[str, Any],
    inputs: int,
    outputs: int,
    window: int,
    optimizer: MakeOptimizer,
    scheduler: MakeScheduler | None = None,
) -> Any:
    """Build a model with the arguments of `GIVEN` that its constructor takes."""
    given = {"inputs": inputs, "outputs": outputs, "window": window, "optimizer": optimizer, "scheduler": scheduler}
    assert set(given) == set(GIVEN["model"])
    taken = inspect.signature(target).parameters
    return target(**options, **{name: value for name, value in given.items() if name in taken})


def _configured(
    module: LightningModule, optimizer: MakeOptimizer, scheduler: MakeScheduler | None, monitor: str
) -> Any:
    """The config's optimizer and scheduler, as `configure_optimizers` returns them."""
    built = optimizer(module.parameters())
    if scheduler is None:
        return built
    schedule: dict[str, Any] = {"scheduler": scheduler(built)}
    if isinstance(schedule["scheduler"], ReduceLROnPlateau) and module.automatic_optimization:
        schedule["monitor"] = monitor
    return {"optimizer": built, "lr_scheduler": schedule}


def _loss(module: LightningModule, batch: tuple[Tensor, Tensor], name: str) -> Loss:
    """The module's function `loss`, or the loss of this name."""
    own = getattr(module, "loss", None)
    if isinstance(own, Loss):
        return own
    if not callable(own):
        return loss_of(own if isinstance(own, str) else name)
    try:
        with evaluating(module), torch.no_grad():
            value = own(module(batch[0]), batch[1])
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise TypeError("it does not return one number")
    except Exception as error:  # a function of the user's may raise any error
        log.warning(
            "the model's own `loss` is not a function of predictions and targets (%s): the loss of whole parts is %s",
            error,
            name,
        )
        return loss_of(name)

    def forward(p_RNO: Tensor, y_NH: Tensor) -> Tensor:
        """One number per run: the module's function has no leading dimensions."""
        if p_RNO.dim() == 2:
            return own(p_RNO, y_NH)
        return torch.stack([forward(p_NO, y_NH) for p_NO in p_RNO])

    def backward(p_NO: Tensor, y_NH: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf_NO = p_NO.detach().requires_grad_()
            return torch.autograd.grad(own(leaf_NO, y_NH), leaf_NO)[0]

    return Loss(getattr(own, "__name__", type(own).__name__), forward, backward, smooth=False)


def _missing(module: Any) -> list[str]:
    """What a module lacks to be trained at all."""
    if not isinstance(module, LightningModule):
        return [f"it is a {type(module).__name__}: derive it from lightning.pytorch.LightningModule"]
    kind, faults = type(module), []
    if kind.training_step is LightningModule.training_step:
        faults.append("it has no training_step(batch, batch_idx), which returns the loss of a batch (x, y)")
    if kind.forward is LightningModule.forward:
        faults.append("it has no forward(x), which returns predictions (N, O) for inputs (N, D)")
    if not any(p.requires_grad for p in module.parameters()):
        faults.append("it has no parameters to train: make its layers attributes in __init__")
    return faults


@torch.no_grad()
def _faults_of_outputs(module: LightningModule, x_ND: Tensor, outputs: int) -> list[str]:
    """What is wrong with the outputs for a few samples."""
    wanted = (len(x_ND), outputs)
    with evaluating(module):
        try:
            p_NO = module(x_ND)
        except Exception as error:  # a forward of the user's may raise any error
            return [f"forward(x) fails on inputs of shape {tuple(x_ND.shape)}: {type(error).__name__}: {error}"]
        if not isinstance(p_NO, Tensor):
            return [f"forward(x) returns a {type(p_NO).__name__}, not a tensor: return the predictions (N, O) only"]
        if tuple(p_NO.shape) != wanted:
            return [f"forward(x) returns the shape {tuple(p_NO.shape)} for {tuple(x_ND.shape)}; it must be {wanted}"]
        if not p_NO.is_floating_point():
            return [f"forward(x) returns {p_NO.dtype}: return floating-point numbers"]
        faults = []
        if not torch.equal(p_NO, module(x_ND)):
            faults.append("forward(x) gives other numbers when it is called again: use chance only while self.training")
        elif not torch.allclose(p_NO[:1], module(x_ND[:1]), rtol=1e-3, atol=1e-5):
            faults.append("a sample's prediction depends on the other samples: compute each row from its own inputs")
        if not torch.isfinite(p_NO).all():
            faults.append("forward(x) returns numbers that are not finite")
    return faults


def _faults_of_training(module: LightningModule, x_ND: Tensor, y_NO: Tensor, optimizer: MakeOptimizer) -> list[str]:
    """What is wrong with one update by a Trainer."""
    if type(module).configure_optimizers is LightningModule.configure_optimizers:
        module.configure_optimizers = partial(_configured, module, optimizer, None, "val/loss")  # type: ignore
    losses = list[Any]()
    step = module.training_step

    def observed(*arguments: Any, **named: Any) -> Any:
        losses.append(step(*arguments, **named))
        return losses[-1]

    unused = list[str]()

    def note_unused(*arguments: Any) -> None:
        unused.extend(name for name, p in module.named_parameters() if p.requires_grad and p.grad is None)

    trainer = Trainer(
        callbacks=[LambdaCallback(on_train_batch_end=note_unused)],
        max_steps=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    module.training_step = observed  # type: ignore[method-assign]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about workers, and about what this Trainer leaves out
            batches = DataLoader(TensorDataset(x_ND, y_NO), batch_size=SAMPLES)
            trainer.fit(module, batches, batches)
    except Exception as error:
        return [f"training_step fails on a batch (x, y): {type(error).__name__}: {error}"]
    finally:
        del module.training_step
    faults = []
    if module.automatic_optimization:
        loss = losses[0]["loss"] if isinstance(losses[0], Mapping) else losses[0]
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            faults.append("training_step returns no loss: return the loss, a tensor with one number")
        elif not torch.isfinite(loss):
            faults.append(f"training_step returns the loss {loss.item()} on standard normal numbers")
    if not trainer.optimizers:
        faults.append("configure_optimizers returns no optimizer")
    if unused and not faults:
        faults.append(f"the loss does not depend on {', '.join(unused)}: use them, or set requires_grad=False")
    faults += _faults_of_saving(module)
    return faults


def _faults_of_saving(module: LightningModule) -> list[str]:
    """What a checkpoint of plain data cannot hold."""
    return [
        f"the state {name} is a {type(value).__name__}: a checkpoint holds tensors only"
        for name, value in module.state_dict().items()
        if not isinstance(value, Tensor)
    ]


def plain(options: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Those hyper-parameters that a checkpoint of plain data can hold."""
    return {key: value for key, value in options if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool | Tensor)
