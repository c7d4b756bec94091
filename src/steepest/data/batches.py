"""The training data: prepared once, and gathered into batches on the device, without worker processes.

This file does not use Lightning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from steepest.data.preparation import row_windows, series_windows, within
from steepest.data.sources import PriceFrame, RowData, SeriesData
from steepest.data.windows import Batch, Order, Windows, generator


def _called(dataset: SeriesData | RowData) -> str:
    """Return the name of a data set for messages: its file, ``frame`` for a user's frame, or its choice of `data`."""
    if isinstance(dataset, PriceFrame):
        return "frame"
    if path := getattr(dataset, "path", None):
        return Path(path).name
    return f"data={re.sub(r'(?<!^)(?=[A-Z])', '_', type(dataset).__name__).lower()}"


class Batches:
    """An iterable of batches over one part; each pass is one epoch.

    With a `seed`, the order of an epoch is a pure function of (seed, epoch). Without one, it is the samples' order.
    Each device takes its share of every batch, so an update uses the same samples whatever the number of devices.
    A checkpoint holds the position within the epoch.

    `ahead(position)` returns how many batches the engine takes in one call from that position. If it is 0, the iterator
    yields one `Batch`; otherwise it yields one `Order` with the origins of all those batches, and the engine gathers
    the samples itself. `len()` always counts batches.
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
        self._resume_at = 0  # for one pass only: a pass that ends early must not shift the next one

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
        """Return batches that the engine took but did not use; the next step gets them again."""
        self.position -= batches

    def order(self) -> Tensor:
        """Origins (N,) of this epoch's samples, in training order."""
        if self.seed is None:
            index_N = torch.arange(self.count)
        else:
            key = 0 if self.one_batch else self.epoch()
            index_N = torch.randperm(len(self.part), generator=generator(self.seed, "order", key))[: self.count]
        return self.part.origins(index_N.to(self.windows.price_T.device))

    def _batch(self, origin_N: Tensor) -> Batch:
        """This device's samples of a batch, with their share of the batch's mean."""
        if self.world == 1:
            return self.windows.gather(origin_N)
        # Gradients are averaged over devices, so a mean over n of the batch's N samples has the weight n * world / N.
        mine_n = origin_N[self.rank :: self.world]
        share = len(mine_n) * self.world / len(origin_N)
        return self.windows.gather(mine_n if len(mine_n) else origin_N[:1])._replace(share=share)

    def state_dict(self) -> dict[str, int]:
        """The position within the epoch, for checkpoints saved in the middle of an epoch."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next pass at a checkpoint's position."""
        self.position = self._resume_at = state["position"]


class PreparedData:
    """A data set that is read, split and standardised once, then moved to the training device.

    Args:
        dataset: what to read and how to cut it into samples (`sources.py`).
        seed: sets the order of the batches and the split of plain rows.
        keeps_frame: keep the frame of a time series, which walk-forward evaluation splits and scales again.
        windows: prepared tensors. If they are passed, `setup` does nothing.

    Attributes:
        windows: the tensors, available after `setup`.
        frame: the checked frame of a time series, available after `setup` if `keeps_frame`, else None.
        fitted: what the baselines have learned from the training part, for checkpoints; the evaluation sets it.

    Raises:
        ValueError: from `setup`, with every fault of the data.
    """

    def __init__(
        self,
        dataset: SeriesData | RowData,
        seed: int = 0,
        *,
        keeps_frame: bool = False,
        windows: Windows | None = None,
    ) -> None:
        self.dataset = dataset
        self.seed = seed
        self.keeps_frame = keeps_frame
        self.frame: pd.DataFrame | None = None
        self.fitted: dict[str, Tensor] = {}
        self._windows = windows
        self._placed: tuple[torch.device, torch.dtype, Windows] | None = None

    @property
    def windows(self) -> Windows:
        """The data set's tensors, in float64 on the CPU."""
        if self._windows is None:
            raise ValueError("the data are not loaded yet: call setup() before you use `windows`")
        return self._windows

    @property
    def where(self) -> str:
        """The data's file or class, for messages."""
        return _called(self.dataset)

    def setup(self, stage: str | None = None) -> None:
        """Read and prepare the data, once. Lightning also calls this."""
        if self._windows is None:
            where = self.where
            if isinstance(self.dataset, RowData):
                self._windows = row_windows(self.dataset.read(), self.dataset, where, self.seed)
            else:
                frame = within(self.dataset.read_with_computed(), self.dataset, where)
                self._windows = series_windows(frame, self.dataset, where)
                self.frame = frame if self.keeps_frame else None

    def state_dict(self) -> dict[str, Any]:
        """The scaler, the window settings and the data spec, as plain data: enough for a trained model to predict."""
        windows = self.windows
        scaler = (
            "input_mean_SF",
            "input_scale_SF",
            "mean_S",
            "scale_S",
            "unit_S",
            "change_S",
            "change_rms_S",
            "slope_S",
        )
        settings = ("names", "input_names", "window", "horizon", "transform", "relative", "classes", "ordered", "unit")
        spec = {key: value for key, value in asdict(self.dataset).items() if key != "computed"}  # functions
        spec["kind"] = type(self.dataset).__name__
        return {
            "scaler": {name: getattr(windows, name).clone() for name in scaler},
            "windows": {name: getattr(windows, name) for name in settings},
            "spec": spec,
            "fitted": {name: value.cpu() for name, value in self.fitted.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: the data are read and scaled again, which gives the same numbers."""

    def placed(self, device: torch.device | str, dtype: torch.dtype) -> Windows:
        """The windows on a device and in a precision. The last result is cached, so repeated calls do not copy."""
        device = torch.device(device)
        if self._placed is None or self._placed[:2] != (device, dtype):
            self._placed = (device, dtype, self.windows.to(device, dtype))
        return self._placed[2]
