"""What the callbacks of conf/callbacks/default.yaml can be told, and what they refuse. No torch, no Lightning.

Each is what a callback of its own file begins with; runs that are trained without a Trainer need no more of it.
"""

from __future__ import annotations


class RecorderSettings:
    """Of `recorder.Recorder`.

    Args:
        scalars: models with up to this many parameters show each of them as a curve.
        histograms: how many times in a run histograms of parameters and gradients are written, about.
        rows: most updates kept before they are written.
    """

    def __init__(self, scalars: int = 64, histograms: int = 10, rows: int = 1024) -> None:
        self.scalars, self.histograms, self.rows = scalars, histograms, rows


class VitalsSettings:
    """Of `vitals.Vitals`.

    Args:
        looks: how many times in a run, about; at the end of every epoch of a shorter one.
        samples: evenly spaced training samples that units are looked at with.
    """

    def __init__(self, looks: int = 20, samples: int = 128) -> None:
        for key, value in (("looks", looks), ("samples", samples)):
            if value < 1:
                raise ValueError(f"callbacks.vitals.{key}={value} must be 1 or more")
        self.looks, self.samples = looks, samples


class CurvatureSettings:
    """Of `curvature.Curvature`.

    Args:
        looks: how many times in a run, about; one more when training ends.
        samples: most samples of a look.
        samples_at_end: most samples of the last one, which the verdict stands on.
        steps: most products with the Hessian of a look, for models that are too large for all eigenvalues.
        steps_at_end: the same of the last one.
        exact_up_to: models of up to so many parameters have all eigenvalues computed.
        models_up_to: larger models are not looked at; none is too large when None.
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


class PicturesSettings:
    """Of `pictures.Pictures`.

    Args:
        most: snapshots kept; every second one is dropped when there are more.
        in_sweeps: whether jobs of a sweep get more pictures than their predictions and losses.
        samples: most training samples that losses in the pictures are taken over.
    """

    def __init__(self, most: int = 100, in_sweeps: bool = False, samples: int = 8192) -> None:
        for key, value, least in (("most", most, 2), ("samples", samples, 1)):
            if value < least:
                raise ValueError(f"callbacks.pictures.{key}={value} must be {least} or more")
        self.most, self.in_sweeps, self.samples = most, in_sweeps, samples


class ProgressSettings:
    """Of `progress.RunProgress`.

    Args:
        objective: the metric shown.
        per_second: how often the bar is redrawn, at most.
    """

    def __init__(self, objective: str, per_second: float = 5.0) -> None:
        self.objective, self.pause = objective, 1 / per_second
