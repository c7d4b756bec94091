"""Defines the options for reading a price file. `files.py` applies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from steepest.data.faults import shortened
from steepest.data.prices.formats import NUMERIC, pattern
from steepest.data.prices.layout import SEPARATORS

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
        separator: the column separator: comma, semicolon, tab, bar or space. None: detected.
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
    separator: str | None = None
    header: bool | None = None
    skip_footer: int = 0
    encoding: str | None = None
    missing: Missing = "error"
    duplicates: Duplicates = "error"
    short: Short = "error"

    def check(self) -> None:
        """Raise `ValueError` if a value is not possible."""
        for key in ("date", "value", "id"):
            given = getattr(self, key)
            _check(key, given, given is None or _names_column(given), _COLUMN)
        for key, allowed in _CHOICES.items():
            given = getattr(self, key)
            _check(key, given, any(given is a or (type(given) is type(a) and given == a) for a in allowed),
                   f"must be {_listed(allowed)}")  # fmt: skip
        _check("skip_footer", self.skip_footer, type(self.skip_footer) is int and self.skip_footer >= 0,
               "must be a whole number, 0 or more")  # fmt: skip
        _check("features", self.features, _is_list(self.features) and all(map(_names_column, self.features)),
               "must be a list of columns, as in data.features=[Volume]")  # fmt: skip
        _check("series", self.series, self.series is None or (_is_list(self.series) and len(self.series) > 0),
               "must be a list of series, as in data.series=[AAPL,MSFT]")  # fmt: skip
        for key, many in (("features", self.features), ("series", self.series or [])):
            _check(key, many, len({*map(str, many)}) == len(many), "has a duplicate: list each name once")
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError(f"data.thousands={self.thousands!r} is also data.decimal: give another")
        if self.date_format not in (None, *NUMERIC):
            _check(
                "date_format",
                self.date_format,
                isinstance(self.date_format, str),
                "must be a date format, such as '%d.%m.%Y'",
            )
            pattern(str(self.date_format))
        _check("encoding", self.encoding, self.encoding is None or _decodes(self.encoding),
               "is not a text encoding: use one such as cp1252, latin-1 or gb18030")  # fmt: skip


_COLUMN = "must be the name of a column or its position; quote a name, as in \"data.value='TRUE'\""
_CHOICES: dict[str, tuple] = {
    "missing": get_args(Missing),
    "duplicates": get_args(Duplicates),
    "short": get_args(Short),
    "header": (None, True, False),
    "century": (None, 1900, 2000),
    "decimal": (None, ".", ","),
    "thousands": (None, "", ",", ".", " ", "'"),
    "separator": (None, *SEPARATORS),
}


def _check(key: str, given: object, right: bool, rule: str) -> None:
    if not right:
        raise ValueError(f"data.{key}={shortened(given)} {rule}")


def _listed(allowed: tuple) -> str:
    words = [
        {None: "null", True: "true", False: "false"}.get(a, a if str(a).isidentifier() else repr(a)) for a in allowed
    ]
    return f"{', '.join(map(str, words[:-1]))} or {words[-1]}"


def _is_list(given: object) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str)


def _names_column(given: object) -> bool:
    """Return whether a value is a name or a position. True and 1.5 are neither."""
    return isinstance(given, str) or (type(given) is int and given >= 0)


def _decodes(encoding: object) -> bool:
    """Return whether Python decodes text files with this encoding. Idna and punycode are for host names."""
    try:
        "a".encode(str(encoding)).decode(str(encoding))
    except (LookupError, UnicodeError):
        return False
    return isinstance(encoding, str) and encoding.lower() not in ("idna", "punycode", "unicode_escape", "undefined")
