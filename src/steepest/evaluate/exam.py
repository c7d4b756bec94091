"""One part of a data set as an exam: what every prediction of it is scored against, made once, asked often.

Every window counts: a part is walked whole, in order, so no score depends on a batch size.
Shapes: R runs (any leading dimensions, or none), N samples of the part, D inputs, H horizon, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from steepest.data.windows import Batch, Windows
from steepest.evaluate import baselines
from steepest.evaluate.metrics import Measure, RunScores, class_scores

AT_ONCE = 1 << 16  # predictions scored at once: what a processor has near


class Exam:
    """One part, ready to score predictions.

    Args:
        windows: where the model is, in its precision.
        part: train, val or test; it has samples.
        share_H: the training part's share of class 1, where classes are predicted.

    Attributes:
        origin_N: row of each sample's last day.
        target_NH: what a model is trained to put out for it.
        actual_NH: the prices that came; not for classes.
        reference_NH: what the reference, persistence or (of plain rows) the training mean, predicts for it.
        to_price: a model's outputs in the data's units; not for classes.
        score_prices: scores of predictions in the data's units; not for classes.
    """

    def __init__(self, windows: Windows, part: str, share_H: Tensor | None) -> None:
        self.windows, self.part, self.share_H = windows, part, share_H
        count = len(windows.parts[part])
        assert count > 0, "an empty part is no exam"
        self.origin_N = origin_N = windows.parts[part].origins(torch.arange(count, device=windows.price_T.device))
        self._held: list[tuple[Tensor, Batch]] | None = None
        held = list(windows.walk(part)) if count <= windows.at_once else None
        if held is not None:  # all inputs are as cheap to hold as one batch of the walk
            self._held, self.target_NH = held, held[0][1].y_NH
        else:
            kind = windows.gather(origin_N[:1]).y_NH
            self.target_NH = kind.new_empty(count, windows.horizon)
            self.outputs(lambda batch: batch.y_NH, self.target_NH)
        if windows.classes:
            return
        reference = baselines.persistence if windows.ordered else baselines.mean
        self.actual_NH, self.reference_NH = windows.actual(origin_N), reference(windows, origin_N)
        series_N = windows.series_T[origin_N]
        self.unit_N1 = windows.unit_S[series_N].unsqueeze(-1)
        self.last_N1 = windows.last(origin_N) if windows.ordered else None
        self.naive_N1 = _naive(windows)[series_N].unsqueeze(-1) if windows.ordered else None
        self._ready()

    def _ready(self) -> None:
        """Make what does not hang on predictions."""
        self.to_price = self.windows.pricing(self.origin_N)
        self.score_prices = Measure(self.actual_NH, self.reference_NH, self.last_N1, self.naive_N1, self.unit_N1)

    def __len__(self) -> int:
        return len(self.origin_N)

    def walk(self) -> Iterable[tuple[Tensor, Batch]]:
        """Every sample once, in order, as (origins, batch) of as many samples as are cheap to hold."""
        return self._held if self._held is not None else self.windows.walk(self.part)

    def outputs(
        self, predict: Callable[[Batch], Shaped[Tensor, "*R n O"]], into: Tensor | None = None
    ) -> Shaped[Tensor, "*R N O"]:
        """What `predict` says of every sample.

        Results go into a tensor made beforehand: small ones kept between the large ones that are freed would leave the
        heap full of holes, and memory would grow with the window after all.
        """
        if self._held is not None and into is None:
            return predict(self._held[0][1])
        filled = 0
        for _, batch in self.walk():
            made_nO = predict(batch)
            if into is None:
                into = made_nO.new_empty(*made_nO.shape[:-2], len(self), made_nO.shape[-1])
            stop = filled + made_nO.shape[-2]
            into[..., filled:stop, :] = made_nO
            filled = stop
        assert into is not None, "an exam has samples"
        return into

    def score(self, outputs_NO: Float[Tensor, "*R N O"]) -> RunScores:
        """Scores of a model's outputs in model space."""
        runs = max(1, AT_ONCE // outputs_NO.shape[-2:].numel())
        if outputs_NO.dim() == 3 and len(outputs_NO) > runs:
            parts = [self.score(part_rNO) for part_rNO in outputs_NO.split(runs)]
            return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        if self.share_H is not None:
            return class_scores(outputs_NO, self.target_NH, self.share_H, ordered=self.windows.ordered)
        return self.score_prices(self.to_price(outputs_NO))

    def some(self, chosen_N: Tensor) -> Exam:
        """The same exam of some of the samples (N,), true for those that are in; for scores only."""
        other = object.__new__(Exam)
        other.__dict__.update({k: v[chosen_N] if k.partition("_")[2] in ("N", "NH", "N1") and v is not None else v
                               for k, v in vars(self).items()})  # fmt: skip
        if not self.windows.classes:
            other._ready()
        return other


def exams(windows: Windows) -> dict[str, Exam]:
    """One exam for each part that has samples."""
    share_H = baselines.share_of_ones(windows) if windows.classes else None
    return {name: Exam(windows, name, share_H) for name, part in windows.parts.items() if len(part)}


def _naive(windows: Windows) -> Tensor:
    """Mean absolute one-step change of each series' training rows (S,)."""
    spans = zip(windows.start_S.tolist(), windows.train_stop_S.tolist(), strict=True)
    return torch.stack([windows.price_T[start:stop].diff().abs().mean() for start, stop in spans])
