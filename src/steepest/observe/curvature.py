"""The instrument that looks at the Hessian: the ends of its spectrum as training goes, and where the descent ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from steepest.evaluate.critical import Ending, judge, look
from steepest.nets.curvature import Surface, spectrum
from steepest.nets.noise import noise
from steepest.observe.instrument import Instrument, View, check_at_least


@dataclass
class Curvature(Instrument):
    """Writes gradient norm and eigenvalues of the training loss, and says where the descent ended.

    Looks are at the end of epochs, at evenly spaced samples of the training part, in double precision.

    Attributes:
        looks: about how many in a run; one more when training ends.
        samples: most samples of a look.
        samples_at_end: most samples of the last one, which the verdict stands on.
        steps: most products with the Hessian of a look, for models that are too large for all eigenvalues.
        steps_at_end: the same of the last one.
        exact_up_to: models of up to so many parameters have all eigenvalues computed.
        models_up_to: larger models are not looked at; none is too large when None.
    """

    looks: int = 5
    samples: int = 512
    samples_at_end: int = 2048
    steps: int = 15
    steps_at_end: int = 40
    exact_up_to: int = 100
    models_up_to: int | None = None

    def __post_init__(self) -> None:
        check_at_least(
            "curvature", looks=(self.looks, 1), samples=(self.samples, 1), samples_at_end=(self.samples_at_end, 1)
        )
        check_at_least("curvature", steps=(self.steps, 2), steps_at_end=(self.steps_at_end, 2))  # two ends
        self.ending: Ending | None = None

    def begin(self, view: View) -> None:
        """Look at where the descent begins."""
        if view.updates == 0:
            self._look(view)

    def epoch(self, view: View, scores: dict[str, float]) -> None:
        """Look, if it is one's turn."""
        if view.is_turn(self.looks):
            self._look(view)

    @torch.no_grad()
    def end(self, view: View) -> None:
        """Say where the descent ended."""
        if (view.sink is None and view.world > 1) or not self._fits(view):
            return
        surface = _surface(view, self.samples_at_end)
        theta_P = surface.here()
        at = look(surface, theta_P, exact_up_to=self.exact_up_to, steps=self.steps_at_end)
        layers, options = surface.layers(theta_P), view.optimizer.param_groups[0]
        self.ending = judge(
            at,
            variance=noise(layers, view.network.activations, view.loss, surface.x_ND, surface.y_NH).variance,
            batch=view.batch * view.world,
            samples=len(surface.x_ND),
            step=float(options["lr"]),
            momentum=float(options.get("momentum", 0.0)),
        )

    def result(self) -> dict[str, Any]:
        """As of any instrument."""
        return {} if self.ending is None else {"critical": asdict(self.ending) | {"sentence": self.ending.sentence()}}

    def state_dict(self) -> dict[str, Any]:
        """As of any instrument."""
        return {} if self.ending is None else {"ending": asdict(self.ending)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of any instrument."""
        self.ending = Ending(**state["ending"]) if state else None

    def _fits(self, view: View) -> bool:
        """Whether the model is small enough to be looked at."""
        size = sum(p.numel() for p in view.network.parameters())
        return self.models_up_to is None or size <= self.models_up_to

    @torch.no_grad()
    def _look(self, view: View) -> None:
        if view.sink is None or not self._fits(view):
            return
        surface = _surface(view, self.samples)
        theta_P = surface.here()
        found = spectrum(surface, theta_P, exact_up_to=self.exact_up_to, steps=self.steps)
        values = {
            "curvature/greatest_eigenvalue": found.greatest,
            "curvature/smallest_eigenvalue": found.smallest,
            "curvature/positive_fraction": found.positive,
            "curvature/gradient_norm": float(surface.gradient(theta_P).norm()),
        }
        view.write(values | ({"curvature/stability_limit": 2 / found.greatest} if found.greatest > 0 else {}))


def _surface(view: View, samples: int) -> Surface:
    """The loss over so many training samples."""
    batch = view.windows.spread("train", samples)
    return Surface(view.network, view.loss, batch.x_ND, batch.y_NH)
