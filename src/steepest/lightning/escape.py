"""The callback that leaves saddles: where the gradient vanishes, a step along the Hessian's negative eigenvector."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.lightning.datamodule import windows_in_training
from steepest.evaluate.critical import FLAT
from steepest.nets.curvature import Surface, downward
from steepest.lightning.predictors import Predictor
from steepest.observe.eventfile import write_event
from steepest.observe.events import writer_of


class Escape(Callback):
    """Where the loss is level and yet curves downward somewhere, takes a small step that way; descent does the rest.

    Near a critical point the loss is L + d' H d / 2, so along the eigenvector u of a negative eigenvalue it falls on
    both sides, which the gradient, 0 there, does not tell. From then on gradient descent multiplies the distance along
    u by 1 + step size * |eigenvalue| at every update. Looks are at the end of epochs, at evenly spaced training
    samples, in double precision.

    Args:
        gradient_norm: below this the gradient of the training loss has vanished.
        length: of the step, in the parameters' own units.
        patience: looks in a row that must find it vanished.
        most: steps in a run, at most.
        samples: most samples of a look.
        exact_up_to: models of up to so many parameters have all eigenvalues computed.
        steps: products with the Hessian for larger ones (Lanczos).

    Attributes:
        escapes: what was done: update, gradient norm, eigenvalue, length, and the loss before and after.
    """

    def __init__(
        self,
        gradient_norm: float = 1e-6,
        length: float = 0.01,
        patience: int = 1,
        most: int = 10,
        samples: int = 2048,
        exact_up_to: int = 100,
        steps: int = 40,
    ) -> None:
        for key, number in (("gradient_norm", gradient_norm), ("length", length)):
            if not number > 0:
                raise ValueError(f"callbacks.escape.{key}={number} must be a number above 0")
        for key, value, least in (
            ("patience", patience, 1),
            ("most", most, 1),
            ("samples", samples, 1),
            ("steps", steps, 2),
        ):
            if value < least:
                raise ValueError(f"callbacks.escape.{key}={value} must be {least} or more")
        self.gradient_norm, self.length, self.patience, self.most = gradient_norm, length, patience, most
        self.samples, self.exact_up_to, self.steps = samples, exact_up_to, steps
        self.level, self.escapes = 0, list[dict[str, float]]()

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the gradient, and step if it has vanished at a saddle."""
        assert isinstance(pl_module, Predictor), "the surface is of a Predictor's loss"
        if len(self.escapes) >= self.most:
            return
        batch = windows_in_training(trainer, pl_module).spread("train", self.samples)
        surface = Surface(pl_module.network, pl_module.loss, batch.x_ND, batch.y_NH)
        here_P = surface.here()
        norm = float(surface.gradient(here_P).norm())
        self.level = self.level + 1 if norm < self.gradient_norm else 0
        if self.level < self.patience:
            return
        smallest, greatest, vector_P = downward(surface, here_P, exact_up_to=self.exact_up_to, steps=self.steps)
        before = float(surface.losses(here_P))
        sides_2P = here_P + self.length * torch.stack([vector_P, -vector_P])
        losses = surface.losses(sides_2P).tolist()
        # The mirror image only where it is clearly lower: of a symmetric saddle, rounding must not choose.
        side = int(losses[1] < losses[0] - 1e-9 * abs(before))
        if smallest > -FLAT * abs(greatest) or losses[side] >= before:
            return  # no saddle, or so long a step leads nowhere
        for parameter, part_P in zip(pl_module.network.parameters(), sides_2P[side].split(surface.sizes), strict=True):
            parameter.copy_(part_P.view_as(parameter))
        self.level = 0
        update = trainer.global_step
        self.escapes.append(
            {
                "update": update,
                "gradient_norm": norm,
                "eigenvalue": smallest,
                "length": self.length,
                "loss_before": before,
                "loss_after": losses[side],
            }
        )
        writer = writer_of(trainer)
        if writer is not None:
            write_event(writer, ["escape/eigenvalue"], [smallest], update)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: a run that is gone on with counts on."""
        return {"level": self.level, "escapes": self.escapes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.level, self.escapes = state_dict["level"], list(state_dict["escapes"])
