"""Writes known frames of prices in the formats of many sources, reads them, and compares the results.

`written(seed)` returns the bytes, the options and the known frame. `check` reads the file and compares the result.
`python -m tests.campaign.sources --count 20000` reads 20000 files. Each must give its frame or a ValueError.
"""

from __future__ import annotations

import argparse
import bz2
import collections
import csv
import gzip
import io
import logging
import random
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from steepest import read_prices

MONTHS = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "de": ["Jan", "Feb", "Mär", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"],
    "es": ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"],
}
DAILY = [
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y",
    "%m/%d/%y", "%d.%m.%y", "%y/%m/%d", "%y-%m-%d", "%y%m%d", "%d%m%Y", "%m%d%Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y",
    "%d %b %Y", "%d. %b %Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M",
    "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "excel", "%Y-%m-%d %H:%M:%S+01:00", "two columns", "%Y年%m月%d日",
]  # fmt: skip
MONTHLY = ["%Y-%m", "%b %y", "%b-%y", "%b %Y", "%Y%m", "%m/%Y", "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y"]
QUARTERLY = ["%Y-Q%q", "Q%q %Y", "%YQ%q"]
CLOSES = [
    "Close", "close", "CLOSE", "<CLOSE>", "4. close", "Close/Last", "Close_ABC", "ABC Close", "Close Price", "Close*", "Schlusskurs",
    "Schluss", "Clôture", "Cierre", "Chiusura", "收盘", "終値", "Price", "Last", "Kurs",
]  # fmt: skip
ADJUSTED = ["Adj Close", "Adj. Close", "adjusted_close", "Adj Close**", "AdjClose"]
NUMBERS = [(".", ""), (".", ","), (",", "."), (",", ""), (",", " "), (".", "'"), (".", " "), (",", "\u00a0")]


@dataclass
class File:
    """A file with the options for reading it and the expected result."""

    name: str
    data: bytes
    frame: dict[str, pd.Series]
    options: dict = field(default_factory=dict)
    how: str = ""


def number(value: float, digits: int, decimal: str, thousands: str) -> str:
    """Format a number as in a locale."""
    text = f"{abs(value):,.{digits}f}"
    text = text.replace(",", "T").replace(".", "D").replace("T", thousands).replace("D", decimal)
    return ("-" if value < 0 else "") + text


def date(day: pd.Timestamp, date_format: str, months: list[str]) -> str:
    """Format a date as a source does."""
    ticks = day.value
    if date_format.startswith("epoch"):
        return str(ticks // {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[date_format[6:]])
    if date_format == "excel":
        return str((day - pd.Timestamp("1899-12-30")).days)
    text = date_format.replace("%b", months[day.month - 1]).replace("%q", str(day.quarter))
    return day.strftime(text)


def written(seed: int) -> File:
    """Return the file for a seed."""
    rng = random.Random(seed)
    count = rng.choice([1, 2, 3, 5, 12, 40, 90])
    kind = rng.choices(["daily", "monthly", "quarterly", "hourly"], [8, 2, 1, 1])[0]
    first = pd.Timestamp(rng.randint(1970, 2024), rng.randint(1, 12), 1)
    if kind == "daily":
        days = pd.bdate_range(first + pd.Timedelta(days=rng.randint(0, 27)), periods=count)
        date_format = rng.choice(DAILY)
    elif kind == "hourly":
        days = pd.date_range(first, periods=count, freq="h")
        date_format = rng.choice(
            ["%Y-%m-%d %H:%M:%S", "epoch_s", "epoch_ms", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M", "two columns"]
        )
    else:
        days = pd.date_range(first, periods=min(count, 40), freq={"monthly": "MS", "quarterly": "QS"}[kind])
        date_format = rng.choice(MONTHLY if kind == "monthly" else QUARTERLY)
    days = days[days < "2026-01-01"]
    if not len(days):
        days = pd.DatetimeIndex(["2020-02-03"])
    decimal, thousands = rng.choice(NUMBERS)
    digits = rng.choice([0, 1, 2, 2, 3, 4])
    level = rng.choice([0.5, 5, 50, 990, 5000, 40_000, 2_000_000])
    names = rng.choices([["only"], ["000001", "NA", "TRUE"], ["AAPL", "MSFT"], ["0700", "INF", "null"]], [6, 1, 2, 1])[
        0
    ]
    generator = np.random.default_rng(seed)
    steps = np.exp(np.cumsum(generator.normal(0, 0.02, (len(days), len(names))), axis=0))
    values = np.round(level * steps * generator.uniform(0.5, 2, len(names)), digits)
    months = MONTHS[rng.choice(["en", "en", "de", "es"])]
    currency = rng.choice(["", "", "", "$", "€", "£"]) if len(names) == 1 else ""
    order = rng.choice(["oldest", "newest", "shuffled", "oldest"])
    shape = "one" if len(names) == 1 else rng.choice(["long", "wide", "levels"])
    header, rows = _table(
        rng, days, values, names, shape, date_format, months, (digits, decimal, thousands), currency, order
    )
    separator = rng.choice([",", ",", ";", "\t", "|"])
    text = _text(rng, header, rows, separator)
    name, data = _bytes(rng, text)
    series = "only" if shape == "one" else None
    expected = {n: pd.Series(values[:, i], days) for i, n in enumerate(names)}
    expected = {"*" if series else n: s for n, s in expected.items()}
    options: dict = {}
    if rng.random() < 0.15 and date_format != "two columns":
        options["date_format"] = date_format
    if rng.random() < 0.15:
        options |= {"decimal": decimal, "thousands": thousands.replace("\u00a0", " ")}
    how = f"{shape} {kind} {date_format} {decimal!r}{thousands!r}{digits} {order} {separator!r} {name} {options}"
    return File(name, data, expected, options, how)


def _table(rng, days, values, names, shape, date_format, months, convention, currency, order):
    digits, decimal, thousands = convention
    write = lambda v: currency + number(v, digits, decimal, thousands)  # noqa: E731
    indices = list(range(len(days)))
    if order == "newest":
        indices.reverse()
    elif order == "shuffled":
        rng.shuffle(indices)
    two = date_format == "two columns"
    head = (
        ["Date", "Time"]
        if two
        else [rng.choice(["Date", "date", "<DATE>", "Datum", "timestamp", "time", "Fecha", "日期"])]
    )
    when = [
        [days[i].strftime("%Y-%m-%d"), days[i].strftime("%H:%M:%S")] if two else [date(days[i], date_format, months)]
        for i in indices
    ]
    volume = [str(rng.randint(1, 9) * 10 ** rng.randint(4, 7) + rng.randint(0, 999)) for _ in indices]
    if shape == "wide":
        return [[*head, *names]], [
            [*w, *(write(values[i, s]) for s in range(len(names)))] for w, i in zip(when, indices, strict=True)
        ]
    if shape == "levels":
        rows = [
            [*w, *(write(values[i, s]) for s in range(len(names))), *([v] * len(names))]
            for w, i, v in zip(when, indices, volume, strict=True)
        ]
        blank = [""] * (len(head) - 1)
        return [
            ["Price", *blank, *["Close"] * len(names), *["Volume"] * len(names)],
            ["Ticker", *blank, *names, *names],
            [*head, *[""] * (2 * len(names))],
        ], rows
    if shape == "long":
        close = rng.choice(CLOSES[:6])
        rows = [
            [*w, names[s], write(values[i, s]), v]
            for w, i, v in zip(when, indices, volume, strict=True)
            for s in range(len(names))
        ]
        return [[*head, rng.choice(["symbol", "Ticker", "Name"]), close, "Volume"]], rows
    close = rng.choice(CLOSES)
    ticker = {"Close_ABC": "{}_ABC", "ABC Close": "ABC {}", "4. close": "9. {}", "<CLOSE>": "<{}>"}.get(close, "{}")
    columns = {close: [write(values[i, 0]) for i in indices]}
    if rng.random() < 0.6:
        for other in ("Open", "High", "Low"):
            columns[ticker.format(other)] = [write(values[i, 0] * 1.01) for i in indices]
    if rng.random() < 0.6:
        short = rng.random() < 0.3
        columns[ticker.format("Volume")] = [f"{int(v) / 1e6:.2f}M" if short and decimal == "." else v for v in volume]
    if rng.random() < 0.2 and close in CLOSES[:5]:
        adjusted = rng.choice(ADJUSTED)
        columns = {close: [write(values[i, 0] * 4) for i in indices], adjusted: columns.pop(close), **columns}
    if rng.random() < 0.3:
        columns["note"] = ["x"] * len(indices)
    names = list(columns)
    rng.shuffle(names)
    return [[*head, *names]], [[*w, *(columns[n][k] for n in names)] for k, w in enumerate(when)]


def _text(rng, header, rows, separator) -> str:
    out = io.StringIO()
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(
        out, delimiter=separator, lineterminator=rng.choice(["\n", "\n", "\r\n", "\r"]), quoting=quoting
    )
    extra = rng.random()
    if extra < 0.1:
        out.write("Example data\n\nDISCLAIMER: text, more text.\n\n")
    elif extra < 0.15:
        out.write(f"sep={separator}\n")
    trailing = [""] if rng.random() < 0.08 else []
    writer.writerows(header)
    writer.writerows([*row, *trailing] for row in rows)
    return out.getvalue()


def _bytes(rng, text: str) -> tuple[str, bytes]:
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
    data = text.encode(encoding)
    packed = rng.choice(["", "", "", "gz", "bz2", "zip"])
    if packed == "gz":
        return "prices.csv.gz", gzip.compress(data)
    if packed == "bz2":
        return "prices.csv.bz2", bz2.compress(data)
    if packed == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("prices.csv", data)
        return "prices.zip", out.getvalue()
    return "prices.csv", data


def check(file: File, folder: Path) -> str:
    """Read a file. Return `right`, `refused: ...`, `WRONG: ...` or `CRASH: ...`."""
    path = folder / file.name
    path.write_bytes(file.data)
    try:
        frame = read_prices(path, **file.options)
    except ValueError as error:
        return f"refused: {str(error)[:300]}" if type(error) is ValueError else f"CRASH: {error!r}"
    got = {str(s): part.droplevel(0)["value"] for s, part in frame.groupby(level=0, sort=False)}
    if "*" in file.frame and len(got) == 1:
        got = {"*": next(iter(got.values()))}
    if set(got) != set(file.frame):
        return f"WRONG: series {list(got)[:5]}"
    for name, expected in file.frame.items():
        part = got[name]
        if (
            len(part) != len(expected)
            or (part.index != expected.index).any()
            or (part.to_numpy() != expected.to_numpy()).any()
        ):
            return f"WRONG: {part.head(3).to_dict()} for {expected.head(3).to_dict()}"
    return "right"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Read generated files of prices: each must give its frame or a message."
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="print this number of refusals")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    results: collections.Counter[str] = collections.Counter()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seed, given.seed + given.count):
            file = written(seed)
            try:
                result = check(file, Path(folder))
            except Exception as error:  # a fault that the campaign must report
                result = f"CRASH: {type(error).__name__}: {error}"
            kind = result.split(":")[0]
            results[kind] += 1
            if kind in ("WRONG", "CRASH") or (kind == "refused" and results[kind] <= given.show):
                print(f"seed {seed} [{file.how}]\n    {result}")
    print(f"{given.count} files in {time.perf_counter() - started:.0f} s: {dict(results)}")
    raise SystemExit(results["WRONG"] + results["CRASH"] > 0)


if __name__ == "__main__":
    main()
