"""What training is handed: data prepared once, batches gathered on the device, no workers, no per-sample Python.

No Lightning here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steepest.data.preparation import row_windows, series_windows
from steepest.data.sources import RowData, SeriesData
from steepest.data.windows import Batch, Order, Windows, generator


class Batches:
    """An iterable of `Batch`es over one part; each pass is one epoch.

    With a `seed` the order of an epoch is a pure function of (seed, epoch); without, it is the order of the samples.
    Under several devices every one of them takes its share of each batch, so that an update sees the same samples
    whatever the number of devices. The position within the epoch is part of a checkpoint.

    `ahead(position)` says how many batches the engine takes at once from there on: they come as one `Order` of their
    samples' origins, which it gathers itself. 0 asks for one `Batch`. The length counts batches all the same.
    """

    def __init__(
        self,
        windows: Windows,
        part: str,
        size: int | None,
        *,
        seed: int | None = None,
        one_batch: bool = False,
        epoch: Callable[[], int] = lambda: 0,
        ahead: Callable[[int], int] = lambda position: 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.windows, self.part, self.seed, self.epoch = windows, windows.parts[part], seed, epoch
        self.size = min(size or len(self.part), len(self.part))
        self.count = self.size if one_batch else len(self.part)
        self.one_batch = one_batch
        self.ahead = ahead
        self.rank, self.world = rank, world
        self.position = 0
        self._resume_at = 0  # used once: a pass that is cut short must not shift the next one

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __iter__(self) -> Iterator[Batch | Order]:
        self.position, self._resume_at = self._resume_at % len(self), 0
        order_N = self.order()
        while self.position < len(self):
            start, count = self.position, min(self.ahead(self.position), len(self) - self.position)
            self.position += max(1, count)
            origin_N = order_N[start * self.size : self.position * self.size]
            yield Order(origin_N, self.size) if count else self._batch(origin_N)

    def give_back(self, batches: int) -> None:
        """The engine has made so many updates less than it was handed batches: hand them out again."""
        self.position -= batches

    def order(self) -> Tensor:
        """Origins (N,) of this epoch's samples, in the order in which they are trained on."""
        if self.seed is None:
            index_N = torch.arange(self.count)
        else:
            key = 0 if self.one_batch else self.epoch()
            index_N = torch.randperm(len(self.part), generator=generator(self.seed, "order", key))[: self.count]
        return self.part.origins(index_N.to(self.windows.price_T.device))

    def _batch(self, origin_N: Tensor) -> Batch:
        mine_n, share = self._mine(origin_N)
        return self.windows.gather(mine_n)._replace(share=share)

    def _mine(self, origin_N: Tensor) -> tuple[Tensor, float]:
        """This device's samples of a batch and their share."""
        if self.world == 1:
            return origin_N, 1.0
        # Gradients are averaged over devices: a mean over n of the batch's N samples must weigh n * world / N.
        mine_n = origin_N[self.rank :: self.world]
        share = len(mine_n) * self.world / len(origin_N)
        return (mine_n if len(mine_n) else origin_N[:1]), share

    def state_dict(self) -> dict[str, int]:
        """The position within the epoch, for checkpoints taken in its middle."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a checkpoint's position."""
        self.position = self._resume_at = state["position"]


class PreparedData:
    """A data set that is read, standardised and split once, and placed where it is trained on.

    Args:
        dataset: what to read and how to cut it (`sources.py`).
        seed: of the order of the batches, and of the split of plain rows.

    Attributes:
        windows: the tensors, after `setup`.

    Raises:
        ValueError: in `setup`, with every fault of the data.
    """

    def __init__(self, dataset: SeriesData | RowData, seed: int = 0) -> None:
        self.dataset = dataset
        self.seed = seed
        self._windows: Windows | None = None
        self._placed: tuple[torch.device, torch.dtype, Windows] | None = None

    @property
    def windows(self) -> Windows:
        """The data set's tensors, in float64 on the CPU."""
        if self._windows is None:
            raise ValueError("call WindowDataModule.setup() before its windows are used")
        return self._windows

    def setup(self, stage: str | None = None) -> None:
        """Read and prepare the data once; Lightning calls this too."""
        if self._windows is None:
            path = getattr(self.dataset, "path", None)
            where = Path(path).name if path else f"data={type(self.dataset).__name__}"
            frame = self.dataset.read()
            if isinstance(self.dataset, RowData):
                self._windows = row_windows(frame, self.dataset, where, self.seed)
            else:
                self._windows = series_windows(frame, self.dataset, where)

    def state_dict(self) -> dict[str, Any]:
        """What a model that was trained on the data needs to predict: how they are scaled and cut; plain data."""
        windows = self.windows
        scaler = ("input_mean_SF", "input_scale_SF", "mean_S", "scale_S", "unit_S")
        cut = ("names", "input_names", "window", "horizon", "transform", "relative", "classes", "ordered")
        spec = asdict(self.dataset) | {"kind": type(self.dataset).__name__}
        return {
            "scaler": {name: getattr(windows, name).clone() for name in scaler},
            "windows": {name: getattr(windows, name) for name in cut},
            "spec": spec,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is taken from a checkpoint: the data are read and scaled anew, to the same numbers."""

    def placed(self, device: torch.device | str, dtype: torch.dtype) -> Windows:
        """The windows on a device in a precision; the last answer is kept, so they are moved once."""
        device = torch.device(device)
        if self._placed is None or self._placed[:2] != (device, dtype):
            self._placed = (device, dtype, self.windows.to(device, dtype))
        return self._placed[2]
