"""A look at the Hessian of a model's training loss: its ends, and where the descent ended. No Lightning here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from steepest.data.windows import Windows
from steepest.evaluate.critical import Ending, judge, look
from steepest.nets.curvature import Surface, spectrum
from steepest.nets.noise import noise
from steepest.nets.plain import Model
from steepest.observe.settings import CurvatureSettings

TAGS = ["greatest_eigenvalue", "smallest_eigenvalue", "positive_fraction", "gradient_norm", "stability_limit"]


class Hessian(CurvatureSettings):
    """Looks at evenly spaced samples of the training part, in double precision."""

    def is_for(self, module: torch.nn.Module) -> bool:
        """Whether a model is small enough to be looked at."""
        return self.models_up_to is None or sum(p.numel() for p in module.parameters()) <= self.models_up_to

    @torch.no_grad()
    def seen(self, predictor: Model, windows: Windows) -> dict[str, float]:
        """One look at a model as it is: what is written of it."""
        surface = _surface(predictor, windows, self.samples)
        theta_P = surface.here()
        found = spectrum(surface, theta_P, exact_up_to=self.exact_up_to, steps=self.steps)
        values = [found.greatest, found.smallest, found.positive, float(surface.gradient(theta_P).norm())]
        if found.greatest > 0:
            values.append(2 / found.greatest)
        return {f"curvature/{name}": value for name, value in zip(TAGS, values, strict=False)}

    @torch.no_grad()
    def judged(self, predictor: Model, windows: Windows, options: Mapping[str, Any], batch: int) -> Ending:
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


def _surface(predictor: Model, windows: Windows, samples: int) -> Surface:
    """The loss over so many training samples."""
    batch = windows.spread("train", samples)
    return Surface(predictor.network, predictor.loss, batch.x_ND, batch.y_NH)
