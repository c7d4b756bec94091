"""The data sets that `data=...` can choose: what to read, and how to cut it into samples.

Each data set is a dataclass whose fields are the keys of `conf/data/NAME.yaml`. `read()` returns a checked frame
(`files.py`). This file does not use tensors.
"""

from __future__ import annotations

import logging
import math
import os
from abc import ABC, abstractmethod
from dataclasses import InitVar, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from steepest.data.computed import with_computed
from steepest.data.files import check_prices, read_prices, read_table
from steepest.data.home import HOME
from steepest.data.prices.options import Missing, PriceOptions
from steepest.data.ranges import Rows, Seed

log = logging.getLogger(__name__)

Transform = Literal["level", "return", "log_return"]
Target = Literal["value", "direction"]
History = Literal["own", "borrow"]

SHIPPED = HOME / "data"


@dataclass(kw_only=True)
class SeriesData(ABC):
    """A data set of one or more time series, cut into windows.

    Attributes:
        window: L, the number of days in a window.
        horizon: H, the number of days predicted at once: the targets are the H days after the window.
        longest_window: reserve this many days for the first window, so that runs with shorter windows are scored on
            the same days; None reserves `window` days.
        transform: what the model sees of a price v_t: ``level`` v_t, ``return`` v_t / v_{t-1} - 1, or ``log_return``.
        relative_to_last: subtract the window's last value from the inputs and add it to the prediction.
        target: ``value``, or ``direction``: class 1 if a day ends above the window's last day, else class 0.
        split: the fractions of train, val and test in time, their numbers of days (later days are left out), or the
            first days of val and of test.
        until: the last day to use; None: the last day of the data.
        history: the inputs of val and test: ``own``, only rows of the same part, or ``borrow``, also the rows before
            it, so that the first target of a part is its first row.
        gap: rows left out between two parts; None: the horizon for ``own``, 0 for ``borrow``.
        batch_size: samples in a batch; None uses the whole training part (one update per epoch).
        shuffle: shuffle each epoch by (seed, epoch); otherwise keep time order.
        one_batch: train on the first batch only, in every epoch (for debugging).
        computed: name -> a function that computes an additional input; see `data/computed.py`.
    """

    window: int = 1
    horizon: int = 1
    longest_window: int | None = None
    transform: Transform = "level"
    relative_to_last: bool = False
    target: Target = "value"
    split: list[float | str] = field(default_factory=lambda: [0.7, 0.15, 0.15])
    until: str | None = None
    history: History = "own"
    gap: int | None = None
    batch_size: int | None = 64
    shuffle: bool = True
    one_batch: bool = False
    computed: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("window", "horizon", "longest_window", "batch_size"):
            _check_at_least_one(key, getattr(self, key))
        if self.gap is not None and self.gap < 0:
            raise ValueError(f"data.gap={self.gap} must be 0 or more")
        if self.longest_window is not None and self.longest_window < self.window:
            raise ValueError(
                f"data.longest_window={self.longest_window} is below data.window={self.window}: "
                "raise it or set it to null"
            )
        if len(self.split) == 2:
            dates = pd.to_datetime(pd.Series([str(s) for s in self.split]), errors="coerce", format="ISO8601")
            if dates.isna().any() or dates[0] >= dates[1]:
                raise ValueError(
                    f"data.split={list(self.split)} must be three fractions, as in data.split=[0.7,0.15,0.15], or two "
                    "dates, the first day of val and a later first day of test, as in "
                    "data.split=[2010-01-01,2016-01-01]"
                )
        elif self.days is None:
            check_fractions(self.split)
        if self.until is not None and pd.isna(pd.to_datetime(self.until, errors="coerce", format="ISO8601")):
            raise ValueError(f"data.until={self.until} must be a date, as in data.until=2019-12-31")

    @property
    def days(self) -> list[int] | None:
        """The number of days of each part, or None if `split` contains fractions or dates."""
        numbers = [share for share in self.split if isinstance(share, int | float)]
        if len(numbers) != 3 or not all(0 <= number < math.inf for number in numbers) or max(numbers) <= 1:
            return None  # `check_fractions` raises the error
        if any(number != int(number) for number in numbers) or numbers[0] == 0:
            raise ValueError(
                f"data.split={list(self.split)} must be whole numbers of days for train, val and test, as in "
                "data.split=[5000,1000,1000], or fractions that sum to 1"
            )
        return [int(number) for number in numbers]

    @property
    def rows_between(self) -> int:
        """The number of rows left out between two parts."""
        return self.gap if self.gap is not None else self.horizon if self.history == "own" else 0

    def read_with_computed(self) -> pd.DataFrame:
        """The frame of `read` with the computed inputs."""
        return with_computed(self.read(), self.computed)

    @abstractmethod
    def read(self) -> pd.DataFrame:
        """The checked frame, indexed by (series, date): the column ``value``, then the additional inputs."""


@dataclass(kw_only=True)
class RowData(ABC):
    """A data set of rows without dates, inputs -> target: ordinary regression or classification.

    Attributes:
        split: fractions of train, val and test. The seed assigns the rows at random. A part with share 0 is skipped.
        batch_size: samples in a batch; None uses the whole training part (one update per epoch).
        shuffle: shuffle each epoch by (seed, epoch); otherwise keep the order of the rows.
        one_batch: train on the first batch only, in every epoch (for debugging).
        classes: whether the target is a class, 0 or 1 (classification).
    """

    split: list[float] = field(default_factory=lambda: [0.7, 0.15, 0.15])
    batch_size: int | None = 64
    shuffle: bool = True
    one_batch: bool = False
    classes: bool = False

    def __post_init__(self) -> None:
        _check_at_least_one("batch_size", self.batch_size)
        check_fractions(self.split)

    @abstractmethod
    def read(self) -> pd.DataFrame:
        """The checked frame, one row per sample: the input columns, then the target."""


def check_fractions(split: list) -> None:
    """Raise `ValueError` unless `split` is three fractions >= 0 that sum to 1, the first above 0."""
    text = f"data.split={list(split)}"
    if len(split) != 3 or not all(isinstance(s, int | float) for s in split):
        raise ValueError(f"{text} must be three fractions for train, val and test, as in data.split=[0.7,0.15,0.15]")
    if not (min(split) >= 0 and abs(sum(split) - 1) <= 1e-9):
        raise ValueError(f"{text}: the fractions must be 0 or more and sum to 1; these sum to {sum(split):g}")
    if split[0] == 0:
        raise ValueError(f"{text}: the training part is empty: raise the first number")


def _check_at_least_one(key: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"data.{key}={value} must be 1 or more")


@dataclass(kw_only=True)
class PriceFile(PriceOptions, SeriesData):
    """Prices from one file, or from all files that match a pattern such as ``prices/*.csv``, one series per file.

    Attributes:
        path: the file or the pattern, as in `read_prices`.
    """

    path: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()

    def read(self) -> pd.DataFrame:
        return read_prices(self.path, **_price_options(self))


@dataclass(kw_only=True)
class PriceFrame(PriceOptions, SeriesData):
    """Prices from a pandas, polars or pyarrow frame: `PriceFrame(frame, window=28)`."""

    frame: InitVar[Any] = field(kw_only=False)

    def __post_init__(self, frame: Any) -> None:
        super().__post_init__()
        self.check()
        self._frame = frame  # not a field, because checkpoints store the fields

    def read(self) -> pd.DataFrame:
        return read_prices(self._frame, **_price_options(self))


def _price_options(source: PriceOptions) -> dict[str, Any]:
    """Return the values of a source's `PriceOptions` fields."""
    return {key.name: getattr(source, key.name) for key in fields(PriceOptions)}


@dataclass(kw_only=True)
class ShippedPrices(SeriesData):
    """Prices shipped in `data/`; the data card there describes them.

    Attributes:
        file: the file's name in `data/`.
        series: the tickers to keep; None keeps all.
    """

    file: str
    series: list[str] | None = None

    @property
    def path(self) -> str:
        """The file's path."""
        return str(SHIPPED / self.file)

    def read(self) -> pd.DataFrame:
        if not Path(self.path).exists():
            known = sorted(p.name for p in SHIPPED.glob("*.csv.gz"))
            raise ValueError(f"data.file={self.file}: the included files are {known or 'no price files'}")
        return read_prices(self.path, series=self.series)


@dataclass(kw_only=True)
class YahooPrices(SeriesData):
    """Daily closes from Yahoo Finance through `yfinance` (extra ``yahoo``), adjusted for splits and dividends.

    Attributes:
        symbol: the ticker, such as AAPL or ^GSPC.
        start: the first day.
        end: the day after the last one; None: up to today.
        cache: the folder that keeps each download as Parquet; delete a file there to download it again.
        missing: as in `read_prices`.
    """

    symbol: str
    start: str = "1990-01-01"
    end: str | None = None
    cache: str = "outputs/cache"
    missing: Missing = "error"

    @property
    def path(self) -> str:
        """The path of the cached download."""
        name = "".join(c if c.isalnum() or c in "-." else "_" for c in self.symbol)
        return str(Path(self.cache) / f"yahoo_{name}_{self.start}_{self.end or 'all'}.parquet")

    def read(self) -> pd.DataFrame:
        path = Path(self.path)
        if not path.exists():
            self._download(path)
        frame = read_prices(path, date="date", value="close", missing=self.missing)
        return frame.rename(index={"close": self.symbol}, level="series")

    def _download(self, path: Path) -> None:
        try:
            import yfinance  # the extra may not be installed
        except ImportError:
            raise ValueError(
                "data=yahoo needs the extra 'yahoo': pip install -e '.[yahoo]', or use data=csv data.path=FILE"
            ) from None
        try:
            history = yfinance.Ticker(self.symbol).history(start=self.start, end=self.end, auto_adjust=True)
        except Exception as error:  # yfinance passes on the errors of several network libraries
            raise ValueError(
                f"data.symbol={self.symbol}: Yahoo Finance did not answer ({error}): {_OFFLINE}"
            ) from error
        if history is None or history.empty:
            raise ValueError(f"data.symbol={self.symbol}: Yahoo Finance has no prices: check the symbol; {_OFFLINE}")
        prices = pd.DataFrame(
            {"date": pd.DatetimeIndex(history.index).tz_localize(None), "close": history["Close"].to_numpy()}
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        prices.to_parquet(part, index=False)
        part.replace(path)
        log.info("data.symbol=%s: %d days saved in %s", self.symbol, len(prices), path)


_OFFLINE = "without a network, use data=csv data.path=FILE or the shipped data=sp500"


@dataclass(kw_only=True)
class RandomWalk(SeriesData):
    """A price that cannot be predicted: v_t = v_{t-1} exp(drift + volatility e_t), e_t standard normal.

    Attributes:
        rows: number of prices.
        start: the first price.
        drift: mean of a row's log return.
        volatility: standard deviation of a row's log return.
        frequency: the spacing of the rows, as a pandas offset.
        seed: the seed of the walk, independent of the run's.
    """

    rows: Rows = 2000
    start: float = 100.0
    drift: float = 0.0
    volatility: float = 0.01
    frequency: str = "D"
    seed: Seed = 0

    def read(self) -> pd.DataFrame:
        if self.rows < 3:
            raise ValueError(f"data.rows={self.rows} must be 3 or more")
        steps = np.random.default_rng(self.seed).normal(self.drift, self.volatility, self.rows - 1)
        value = self.start * np.exp(np.concatenate([[0.0], np.cumsum(steps)]))
        date = pd.date_range("1990-01-01", periods=self.rows, freq=self.frequency)
        return check_prices(pd.DataFrame({"date": date, "random_walk": value}), "data=random_walk")


@dataclass(kw_only=True)
class Table(RowData):
    """Plain rows from a CSV or Parquet file.

    Attributes:
        path: the file. If it does not exist, the shipped file with that path is read, such as ``data/norris.csv``.
        inputs: the input columns.
        target: the column to predict.
        missing: what to do with rows that have missing, infinite or text entries: ``error`` or ``drop``.
        decimal, thousands, header, encoding: as in `PriceOptions`.
    """

    path: str
    inputs: list[str]
    target: str
    missing: Literal["error", "drop"] = "error"
    decimal: str | None = None
    thousands: str | None = None
    header: bool | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        shipped = SHIPPED.parent / self.path
        if not Path(self.path).exists() and shipped.exists():
            self.path = str(shipped)

    def read(self) -> pd.DataFrame:
        return read_table(
            self.path, self.inputs, self.target, self.missing, decimal=self.decimal, thousands=self.thousands,
            header=self.header, encoding=self.encoding,
        )  # fmt: skip
