"""The instrument that leaves saddles: where the gradient vanishes, a step along the Hessian's negative eigenvector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from steepest.evaluate.critical import FLAT
from steepest.nets.curvature import Surface, downward
from steepest.observe.instrument import Instrument, View, check_at_least


@dataclass
class Escape(Instrument):
    """Where the loss is level and yet curves downward somewhere, takes a small step that way; descent does the rest.

    Near a critical point the loss is L + d' H d / 2, so along the eigenvector u of a negative eigenvalue it falls on
    both sides, which the gradient, 0 there, does not tell. From then on gradient descent multiplies the distance along
    u by 1 + step size * |eigenvalue| at every update. Looks are at the end of epochs, at evenly spaced training
    samples, in double precision.

    Attributes:
        gradient_norm: below this the gradient of the training loss has vanished.
        length: of the step, in the parameters' own units.
        patience: looks in a row that must find it vanished.
        most: steps in a run, at most.
        samples: most samples of a look.
        exact_up_to: models of up to so many parameters have all eigenvalues computed.
        steps: products with the Hessian for larger ones (Lanczos).
    """

    gradient_norm: float = 1e-6
    length: float = 0.01
    patience: int = 1
    most: int = 10
    samples: int = 2048
    exact_up_to: int = 100
    steps: int = 40

    def __post_init__(self) -> None:
        for key, number in (("gradient_norm", self.gradient_norm), ("length", self.length)):
            if not number > 0:
                raise ValueError(f"callbacks.escape.{key}={number} must be a number above 0")
        check_at_least("escape", patience=(self.patience, 1), most=(self.most, 1), samples=(self.samples, 1))
        check_at_least("escape", steps=(self.steps, 2))
        self.level = 0
        # What was done: update, gradient norm, eigenvalue, length, and the loss before and after.
        self.escapes: list[dict[str, float]] = []

    @torch.no_grad()
    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Look at the gradient, and step if it has vanished at a saddle."""
        if len(self.escapes) >= self.most:
            return
        batch = view.windows.spread("train", self.samples)
        surface = Surface(view.network, view.loss, batch.x_ND, batch.y_NH)
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
        for parameter, part_P in zip(view.network.parameters(), sides_2P[side].split(surface.sizes), strict=True):
            parameter.copy_(part_P.view_as(parameter))
        self.level = 0
        self.escapes.append(
            {
                "update": view.updates,
                "gradient_norm": norm,
                "eigenvalue": smallest,
                "length": self.length,
                "loss_before": before,
                "loss_after": losses[side],
            }
        )
        view.write({"escape/eigenvalue": smallest})

    def result(self) -> dict[str, Any]:
        """As of any instrument."""
        return {"escapes": self.escapes}

    def state_dict(self) -> dict[str, Any]:
        """As of any instrument."""
        return {"level": self.level, "escapes": [dict(escape) for escape in self.escapes]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of any instrument."""
        self.level, self.escapes = state["level"], list(state["escapes"])
