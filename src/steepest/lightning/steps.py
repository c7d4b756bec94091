"""One update through Lightning without what it does not need; `updates.py` has the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy


def listeners(trainer: Trainer, module: LightningModule, hook: str) -> list[Callable[..., None]]:
    """Who does something at this hook, in Lightning's order: callbacks that have one of their own, then the module."""
    found: list[Callable[..., None]] = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        bound = getattr(callback, hook)
        if getattr(bound, "__func__", None) is not getattr(Callback, hook):
            found.append(partial(bound, trainer, module))
    bound = getattr(module, hook)
    if getattr(bound, "__func__", None) is not getattr(LightningModule, hook):
        found.append(bound)
    return found


class Steps:
    """Takes the strategy's place behind a `LightningOptimizer`, on one device in one precision.

    Before a step it calls those callbacks that have `on_before_optimizer_step`, then the module's own, as Lightning
    does; callbacks that have none are not asked. What counts updates is the `LightningOptimizer` itself, as ever.
    """

    def __init__(self, trainer: Trainer, module: LightningModule) -> None:
        self.watchers = listeners(trainer, module, "on_before_optimizer_step")

    def optimizer_step(self, optimizer: torch.optim.Optimizer, closure: Callable[[], Any], **kwargs: Any) -> Any:
        """One update with the gradients in `p.grad`; `closure` has nothing to do."""
        for watch in self.watchers:
            watch(optimizer)
        return optimizer.step()


def go_directly(trainer: Trainer, module: LightningModule) -> bool:
    """Put `Steps` behind the module's optimizers where nothing else has to happen between them and the parameters.

    Returns:
        whether it was done.
    """
    direct = type(trainer.strategy) is SingleDeviceStrategy and type(trainer.profiler) is PassThroughProfiler  # type: ignore[attr-defined]
    if direct:
        for optimizer in trainer.strategy._lightning_optimizers:
            assert isinstance(optimizer, LightningOptimizer)
            optimizer._strategy = Steps(trainer, module)  # type: ignore[assignment]
    return direct
