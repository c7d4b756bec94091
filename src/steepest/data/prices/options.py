"""Defines the options for reading a price file. `files.py` applies them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Missing = Literal["error", "drop", "forward_fill"]
Duplicates = Literal["error", "first", "last"]
Short = Literal["error", "drop"]


@dataclass(kw_only=True)
class PriceOptions:
    """Options for reading a price file. The fields are keys of `data=csv` and keyword arguments of `read_prices`.

    Attributes:
        date: the name or position of the date column. Positions start at 0. None: detected by its name or its contents.
        value: the price column. None: detected by its name (close, price, ...). If no column has such a name, each
            numeric column is a series (a wide file), provided that their prices are of similar size.
        id: the column that names the series in a long file. None: detected by its name (ticker, symbol, ...).
        series: the series to keep, in this order; None keeps all.
        features: additional numeric input columns, such as volume.
        date_format: the format of the dates, as in ``strptime``, or ``epoch_s``, ``epoch_ms``, ``epoch_us``,
            ``epoch_ns``, ``excel``. None: detected.
        century: 1900 or 2000, the century of years with two digits. None: 69-99 are 19xx, 00-68 are 20xx.
        decimal: the decimal sign. None: detected.
        thousands: the thousands separator. None: detected.
        header: whether the first line contains the column names. None: detected.
        skip_footer: the number of lines to skip at the end of the file.
        encoding: the text encoding, such as cp1252. None: UTF-8 or UTF-16.
        missing: what to do with rows whose numbers are missing, infinite or text, or whose date does not parse.
        duplicates: which row to keep when several have the same date.
        short: ``drop`` leaves out series that start later or end earlier than most.
    """

    date: str | int | None = None
    value: str | int | None = None
    id: str | int | None = None
    series: list[str | int | float | bool | None] | None = None
    features: list[str | int] = field(default_factory=list)
    date_format: str | None = None
    century: int | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: bool | None = None
    skip_footer: int = 0
    encoding: str | None = None
    missing: Missing = "error"
    duplicates: Duplicates = "error"
    short: Short = "error"

    def check(self) -> None:
        """Raise `ValueError` if a value is invalid."""
        if self.century not in (None, 1900, 2000):
            raise ValueError(f"data.century={self.century} must be 1900 or 2000")
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"data.decimal={self.decimal} must be '.' or ','")
        if self.thousands is not None and (
            self.thousands not in ("", ",", ".", " ", "'") or self.thousands == self.decimal
        ):
            raise ValueError(
                f"data.thousands={self.thousands!r} must be '', ',', '.', ' ' or \"'\", and not data.decimal"
            )
        if self.skip_footer < 0:
            raise ValueError(f"data.skip_footer={self.skip_footer} must be 0 or more")
