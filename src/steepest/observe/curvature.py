"""The callback that looks at the Hessian: its ends as training goes, and where the descent ended."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.data.datamodule import windows_in_training
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
        self.active = self.models_up_to is None or _size(pl_module) <= self.models_up_to
        if self.active and trainer.global_step == 0:
            self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, if it is one's turn."""
        if self.active and turn(trainer, self.looks):
            self._look(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the descent ended."""
        if not self.active or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Predictor), "curvature is of a Predictor's loss"
        surface = _surface(trainer, pl_module, self.samples_at_end)
        theta_P, group = surface.here(), trainer.optimizers[0].param_groups[0]
        with torch.no_grad():
            at = look(surface, theta_P, exact_up_to=self.exact_up_to, steps=self.steps_at_end)
        disagreement = noise(
            surface.layers(theta_P), pl_module.network.activations, pl_module.loss, surface.x_ND, surface.y_NH
        )
        self.ending = judge(
            at,
            variance=disagreement.variance,
            batch=len(pl_module.at_hand[0]) * trainer.world_size,
            samples=len(surface.x_ND),
            step=float(group["lr"]),
            momentum=float(group.get("momentum", 0.0)),
        )

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        writer = writer_of(trainer)
        if writer is None:
            return
        surface = _surface(trainer, pl_module, self.samples)
        with torch.no_grad():
            theta_P = surface.here()
            found = spectrum(surface, theta_P, exact_up_to=self.exact_up_to, steps=self.steps)
            norm = float(surface.gradient(theta_P).norm())
        values = [found.greatest, found.smallest, found.positive, norm]
        if found.greatest > 0:
            values.append(2 / found.greatest)
        tags = [f"curvature/{name}" for name in TAGS[: len(values)]]
        write_event(writer, tags, values, trainer.global_step)


def _surface(trainer: Trainer, pl_module: LightningModule, samples: int) -> Surface:
    """The loss over so many training samples."""
    assert isinstance(pl_module, Predictor), "curvature is of a Predictor's loss"
    batch = windows_in_training(trainer, pl_module).spread("train", samples)
    return Surface(pl_module.network, pl_module.loss, batch.x_ND, batch.y_NH)


def _size(pl_module: LightningModule) -> int:
    return sum(p.numel() for p in pl_module.parameters())
