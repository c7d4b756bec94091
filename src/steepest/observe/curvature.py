"""The callback that looks at the Hessian: its ends as training goes, and where the descent ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.data.datamodule import windows_in_training
from steepest.data.windows import Windows
from steepest.evaluate.critical import Ending, judge, look
from steepest.models.curvature import Surface, spectrum
from steepest.models.noise import noise
from steepest.models.predictors import Predictor
from steepest.observe.events import write_event, writer_of
from steepest.observe.looks import turn

TAGS = ["greatest_eigenvalue", "smallest_eigenvalue", "positive_fraction", "gradient_norm", "stability_limit"]


class Curvature(Callback):
    """Writes gradient norm and eigenvalues of the training loss, and says where the descent ended.

    Looks are at the end of epochs, at evenly spaced samples of the training part, in double precision.

    Args:
        looks: how many times in a run, about; one more when training ends.
        samples: most samples of a look.
        samples_at_end: most samples of the last one, which the verdict stands on.
        steps: most products with the Hessian of a look, for models that are too large for all eigenvalues.
        steps_at_end: the same of the last one.
        exact_up_to: models of up to so many parameters have all eigenvalues computed.
        models_up_to: larger models are not looked at; none is too large when None.

    Attributes:
        ending: the verdict, after training; None where nothing was looked at.
    """

    def __init__(
        self,
        looks: int = 5,
        samples: int = 512,
        samples_at_end: int = 2048,
        steps: int = 15,
        steps_at_end: int = 40,
        exact_up_to: int = 100,
        models_up_to: int | None = None,
    ) -> None:
        for key, value in (("looks", looks), ("samples", samples), ("samples_at_end", samples_at_end)):
            if value < 1:
                raise ValueError(f"callbacks.curvature.{key}={value} must be 1 or more")
        for key, value in (("steps", steps), ("steps_at_end", steps_at_end)):
            if value < 2:
                raise ValueError(f"callbacks.curvature.{key}={value} must be 2 or more: the spectrum has two ends")
        self.looks, self.samples, self.samples_at_end = looks, samples, samples_at_end
        self.steps, self.steps_at_end = steps, steps_at_end
        self.exact_up_to, self.models_up_to = exact_up_to, models_up_to
        self.ending: Ending | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at where the descent begins."""
        if trainer.global_step == 0:
            self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, if it is one's turn."""
        if turn(trainer, self.looks):
            self._look(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the descent ended."""
        if self.is_for(pl_module) and trainer.is_global_zero:
            assert isinstance(pl_module, Predictor), "curvature is of a Predictor's loss"
            batch = len(pl_module.at_hand[0]) * trainer.world_size
            self.ending = self.judged(
                pl_module, windows_in_training(trainer, pl_module), trainer.optimizers[0].param_groups[0], batch
            )

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        writer = writer_of(trainer)
        if writer is not None and self.is_for(pl_module):
            assert isinstance(pl_module, Predictor), "curvature is of a Predictor's loss"
            found = self.seen(pl_module, windows_in_training(trainer, pl_module))
            write_event(writer, list(found), list(found.values()), trainer.global_step)

    def is_for(self, module: torch.nn.Module) -> bool:
        """Whether a model is small enough to be looked at."""
        return self.models_up_to is None or sum(p.numel() for p in module.parameters()) <= self.models_up_to

    @torch.no_grad()
    def seen(self, predictor: Predictor, windows: Windows) -> dict[str, float]:
        """One look at a model as it is: what is written of it."""
        surface = _surface(predictor, windows, self.samples)
        theta_P = surface.here()
        found = spectrum(surface, theta_P, exact_up_to=self.exact_up_to, steps=self.steps)
        values = [found.greatest, found.smallest, found.positive, float(surface.gradient(theta_P).norm())]
        if found.greatest > 0:
            values.append(2 / found.greatest)
        return {f"curvature/{name}": value for name, value in zip(TAGS, values, strict=False)}

    @torch.no_grad()
    def judged(self, predictor: Predictor, windows: Windows, options: Mapping[str, Any], batch: int) -> Ending:
        """Where the descent of a model ended.

        Args:
            predictor: with its final parameters.
            windows: in which it was trained.
            options: the optimizer's.
            batch: samples of the last update.
        """
        surface = _surface(predictor, windows, self.samples_at_end)
        theta_P = surface.here()
        at = look(surface, theta_P, exact_up_to=self.exact_up_to, steps=self.steps_at_end)
        layers, activations = surface.layers(theta_P), predictor.network.activations
        return judge(
            at,
            variance=noise(layers, activations, predictor.loss, surface.x_ND, surface.y_NH).variance,
            batch=batch,
            samples=len(surface.x_ND),
            step=float(options["lr"]),
            momentum=float(options.get("momentum", 0.0)),
        )


def _surface(predictor: Predictor, windows: Windows, samples: int) -> Surface:
    """The loss over so many training samples."""
    batch = windows.spread("train", samples)
    return Surface(predictor.network, predictor.loss, batch.x_ND, batch.y_NH)
