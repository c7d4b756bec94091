"""Two instruments that use the Hessian of the training loss: one reports its spectrum, the other escapes saddles.

Both measure at the end of epochs, on evenly spaced training samples, in double precision.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from steepest.evaluate.critical import FLAT, Ending, judge
from steepest.nets.curvature import Surface, downward, spectrum
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.nets.noise import noise
from steepest.observe.instrument import Instrument, View, check_at_least


@dataclass
class Curvature(Instrument):
    """Writes the gradient norm and the extreme eigenvalues of the training loss, and says where the descent ended.

    Attributes:
        looks: the approximate number of measurements in a run; one more follows when training ends.
        samples: the maximum number of samples in a measurement.
        samples_at_end: the maximum number of samples in the last Hessian. The last gradient is that of all samples.
        steps: the maximum number of products with the Hessian in a measurement, for models that are too large to
            compute all eigenvalues.
        steps_at_end: the same for the last measurement.
        exact_up_to: all eigenvalues are computed for models with up to this many parameters.
        models_up_to: the maximum number of parameters of a model that is measured, or None for no limit.
    """

    looks: int = 5
    samples: int = 512
    samples_at_end: int = 2048
    steps: int = 15
    steps_at_end: int = 40
    exact_up_to: int = 100
    models_up_to: int | None = None

    def __post_init__(self) -> None:
        counts = {name: (getattr(self, name), 1) for name in ("looks", "samples", "samples_at_end")}
        ends = {name: (getattr(self, name), 2) for name in ("steps", "steps_at_end")}  # of the spectrum
        check_at_least("curvature", **counts, **ends)
        self.ending: Ending | None = None

    def begin(self, view: View) -> None:
        """Measure at the starting point; a resumed run has not ended yet."""
        self.ending = None
        if view.updates == 0:
            self._measure(view)

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Measure, if a measurement is due."""
        if view.is_due(self.looks):
            self._measure(view)

    @torch.no_grad()
    def end(self, view: View) -> None:
        """Judge where the descent ended."""
        if not self._fits(view):
            return
        surface = _surface(view, self.samples_at_end)
        theta_P = surface.current()
        loss, gradient_P = _whole(view, theta_P)
        parameters, options = surface.parameters(theta_P), view.optimizer.param_groups[0]
        self.ending = judge(
            surface,
            theta_P,
            loss=loss,
            gradient_P=gradient_P,
            samples=len(view.windows.parts["train"]),
            exact_up_to=self.exact_up_to,
            steps=self.steps_at_end,
            variance=noise(view.network, parameters, view.loss, surface.x_ND, surface.y_NH).variance,
            batch=view.batch * view.world,
            step=float(options["lr"]),
            momentum=float(options.get("momentum", 0.0)),
            convex=isinstance(view.network, MLP) and view.network.depth == 1 and view.loss.name in LOSSES,
        )

    def result(self) -> dict[str, Any]:
        return {} if self.ending is None else {"critical": asdict(self.ending) | {"sentence": self.ending.sentence()}}

    def state_dict(self) -> dict[str, Any]:
        return {} if self.ending is None else {"ending": asdict(self.ending)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ending = Ending(**state["ending"]) if state else None

    def _fits(self, view: View) -> bool:
        """Whether the model is small enough to be measured."""
        return self.models_up_to is None or sum(p.numel() for p in view.network.parameters()) <= self.models_up_to

    @torch.no_grad()
    def _measure(self, view: View) -> None:
        if not view.recorded or not self._fits(view):
            return
        surface = _surface(view, self.samples)
        theta_P = surface.current()
        found = spectrum(surface, theta_P, exact_up_to=self.exact_up_to, steps=self.steps)
        values = {
            "curvature/greatest_eigenvalue": found.largest,
            "curvature/smallest_eigenvalue": found.smallest,
            "curvature/positive_fraction": found.positive,
            "curvature/gradient_norm": float(surface.gradient(theta_P).norm()),
        }
        view.write(values | ({"curvature/stability_limit": 2 / found.largest} if found.largest > 0 else {}))


@dataclass
class Escape(Instrument):
    """Takes a small step along the Hessian's negative eigenvector where the gradient is zero at a saddle.

    Near a critical point the loss is L + d' H d / 2, so it falls on both sides along the eigenvector u of a negative
    eigenvalue. The gradient is 0 there and does not show this. After the step, gradient descent multiplies the distance
    along u by 1 + step size * |eigenvalue| at every update.

    Attributes:
        gradient_norm: the gradient of the training loss counts as zero when its norm is below this.
        length: the length of the step, in the parameters' units.
        patience: the number of consecutive epochs that must end with a zero gradient.
        most: the maximum number of steps in a run.
        samples: the maximum number of samples in a measurement.
        exact_up_to: all eigenvalues are computed for models with up to this many parameters.
        steps: the maximum number of products with the Hessian for larger models (Lanczos).
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
        check_at_least(
            "escape", patience=(self.patience, 1), most=(self.most, 1), samples=(self.samples, 1), steps=(self.steps, 2)
        )
        self.level = 0  # the number of consecutive epochs that ended with a zero gradient
        # For each escape: update, gradient norm, eigenvalue, length, and the loss before and after.
        self.escapes: list[dict[str, float]] = []

    @torch.no_grad()
    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Measure the gradient, and step if it is zero at a saddle."""
        if len(self.escapes) >= self.most:
            return
        surface = _surface(view, self.samples)
        here_P = surface.current()
        norm = float(surface.gradient(here_P).norm())
        self.level = self.level + 1 if norm < self.gradient_norm else 0
        if self.level < self.patience:
            return
        smallest, largest, vector_P = downward(surface, here_P, exact_up_to=self.exact_up_to, steps=self.steps)
        before = float(surface.losses(here_P))
        sides_2P = here_P + self.length * torch.stack([vector_P, -vector_P])
        losses = surface.losses(sides_2P).tolist()
        # Take the other side only where it is clearly lower: at a symmetric saddle, rounding must not choose.
        side = int(losses[1] < losses[0] - 1e-9 * abs(before))
        if smallest > -FLAT * abs(largest) or losses[side] >= before:
            return  # not a saddle, or a step of this length leads uphill
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
        return {"escapes": self.escapes}

    def state_dict(self) -> dict[str, Any]:
        return {"level": self.level, "escapes": [dict(escape) for escape in self.escapes]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.level, self.escapes = state["level"], list(state["escapes"])


def _whole(view: View, theta_P: Tensor) -> tuple[float, Tensor]:
    """The loss of all training samples at a point (P,), and its gradient (P,)."""
    loss, gradient_P, count = 0.0, torch.zeros_like(theta_P), len(view.windows.parts["train"])
    for _, batch in view.windows.walk("train"):
        surface = Surface(view.network, view.loss, batch.x_ND, batch.y_NH)
        share = len(batch.x_ND) / count
        loss += share * float(surface.losses(theta_P))
        gradient_P += share * surface.gradient(theta_P)
    return loss, gradient_P


def _surface(view: View, samples: int) -> Surface:
    """The loss of at most this many training samples."""
    batch = view.windows.spread("train", samples)
    return Surface(view.network, view.loss, batch.x_ND, batch.y_NH)
