"""Finds the columns of dates, series and prices: first by their normalised names, then by their contents.

It refuses to guess if two columns could be the price, or if no column name is known and the sizes of the numbers
differ too much.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.faults import Faults, did_you_mean, shortened
from steepest.data.prices.dates import as_text
from steepest.data.prices.formats import looks_like_date
from steepest.data.prices.numbers import read_numbers, share_of_numbers
from steepest.data.prices.table import Table
from steepest.data.prices.words import CLOCKS, DATES, IDS, NO_TICKER, OTHERS, RANK, normalised

GAP = 300  # maximum ratio of typical prices of two series in a wide file, after the series are sorted by price


@dataclass
class Roles:
    """The columns for the dates, the series names and the prices.

    Attributes:
        date: the date column.
        clock: the column with the time of day, which is added to the date.
        id: the column of series names, or None if each series has its own column.
        values: the price columns.
        series: the series name for each price column.
        why: the reason why these are the price columns.
    """

    date: str
    values: list[str]
    clock: str | None = None
    id: str | None = None
    series: dict[str, str] = field(default_factory=dict)
    why: str = ""


def find_roles(
    table: Table,
    faults: Faults,
    date: str | int | None,
    value: str | int | None,
    id: str | int | None,
    features: Sequence[str | int],
    series: Sequence[object] | None,
) -> Roles:
    """Find the role of each column. The arguments are column names or positions, counted from 0.

    Raises:
        ValueError: through `faults`, if a named column does not exist or a role cannot be decided.
    """
    date, value, id = (
        _column(table.names, f"data.{key}", given, faults)
        for key, given in (("date", date), ("value", value), ("id", id))
    )
    inputs = [f for feature in features if (f := _column(table.names, "data.features", feature, faults)) is not None]
    faults.raise_if_any()
    date = date or _date_column(table)
    shown = shortened(table.names, 300)
    if date is None:
        faults.fail(
            f"has no date column among {shown}: name it with data.date=COLUMN, or with data.header=false by its "
            "position, as in data.date=0"
        )
    for key, given in (("data.value", value), ("data.id", id), *(("data.features", f) for f in inputs)):
        if given == date:
            faults.add(f"{key}={given} is also the date column: name another column, or give data.date=COLUMN")
    faults.raise_if_any()
    clock = None if date is None else _clock(table, date)
    id = id or _id_column(table, {date, clock, value, *inputs})
    rest = [n for n in table.names if n not in {date, clock, id, *inputs}]
    if value is not None:
        return Roles(date, [value], clock, id, {value: value}, "named")
    found = _by_name(rest, faults)
    if found is not None:
        values, names = found
        if id is not None and len(values) > 1:
            faults.fail(f"has several price columns {values[:5]}: name one with data.value=COLUMN")
        return Roles(date, values, clock, id, names, "found by name")
    if id is not None:
        faults.fail(f"has no value column among {shown}: name it with data.value=COLUMN")
    chosen = [str(s) for s in series or () if str(s) in rest]
    values = chosen if series is not None and len(chosen) == len(series) else _alike(table, rest, faults)
    return Roles(date, values, clock, id, {v: v for v in values}, "one column per series")


def _column(names: list[str], key: str, given: str | int | None, faults: Faults) -> str | None:
    """Return the name of a column that is specified by name or position."""
    if given is None or given in names:
        return str(given) if given is not None else None
    text = str(given)
    if text in names:
        return text
    if text.isdecimal() and int(text) < len(names):
        return names[int(text)]
    faults.add(
        f"{key}={shortened(text)}: there is no such column{did_you_mean(text, names) or '.'} The file has "
        f"{shortened(names, 300)}"
    )
    return None


def _entries(column: pa.ChunkedArray, count: int = 200) -> list[str]:
    text = column if pa.types.is_string(column.type) else as_text(column)
    return [e.strip() for e in text.slice(0, count).to_pylist() if e is not None and e.strip()]


def _date_column(table: Table) -> str | None:
    known: dict[str, str] = {}
    for name in table.names:
        known.setdefault(normalised(name), name)
    for word in DATES:
        if word in known:
            return known[word]
    for name in table.names:
        column = table.sample.column(name)
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            return name
        if not pa.types.is_boolean(column.type):
            entries = _entries(column)
            if entries and sum(looks_like_date(e) for e in entries) > len(entries) / 2:
                return name
    return None


def _clock(table: Table, date: str) -> str | None:
    """Return the column with the time of day, or None if the date column includes it."""
    for name in table.names:
        if name != date and normalised(name) in CLOCKS:
            entries = _entries(table.sample.column(name))
            if entries and all(
                re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?|\d{6}", e) for e in entries
            ):
                return name
    return None


def _id_column(table: Table, taken: set[str | None]) -> str | None:
    known: dict[str, str] = {}
    for name in table.names:
        if name not in taken:
            known.setdefault(normalised(name), name)
    for word in IDS:
        if word in known:
            column = table.sample.column(known[word])
            if pa.types.is_floating(column.type):
                continue
            if len(column) < 2 or pc.count_distinct(column).as_py() < len(column):
                return known[word]
    return None


def _by_name(names: list[str], faults: Faults) -> tuple[list[str], dict[str, str]] | None:
    """Find the price columns and their series names by column names. Returns None if no name is known."""
    split = {name: _phrase_and_ticker(name) for name in names}
    tickers = [ticker.casefold() for found in split.values() if found and (ticker := found[1])]
    prices: dict[int, dict[str, str]] = {}
    for name, found in split.items():
        if found is None or found[0] not in RANK:
            continue
        ticker = found[1]
        if ticker and ticker != ticker.upper() and tickers.count(ticker.casefold()) < 2:
            continue  # no other column has this word, so it is not a ticker
        prices.setdefault(RANK[found[0]], {})[name] = ticker
    if not prices:
        return None
    best = prices[min(prices)]
    if len(best) == 1:
        return list(best), {name: name for name in best}
    all_tickers = {t for columns in prices.values() for t in columns.values()}
    if "" in best.values() or len(set(best.values())) < len(best) or all_tickers != set(best.values()):
        faults.fail(f"several columns can be the price, {list(best)[:6]}: name one with data.value=COLUMN")
    return list(best), best


def _phrase_and_ticker(name: str) -> tuple[str, str] | None:
    """Split a name such as ``Close_ABC`` into a known word and a ticker. Returns None if it contains no known word."""
    plain = normalised(name)
    if plain in RANK or plain in OTHERS:
        return plain, ""
    cleaned = re.sub(r"\([^)]*\)|\[[^\]]*\]|[<>*\"']", " ", unicodedata.normalize("NFKC", name))
    cleaned = re.sub(r"^\s*\d+[a-z]?\s*[.):]\s*", "", cleaned)
    words = [w for w in re.split(r"[\s_/:]+|(?<=[Aa]dj)\.", cleaned) if w]
    if len(words) == 1:
        words = [w for w in re.split(r"-", words[0]) if w]
    for length in range(len(words) - 1, 0, -1):
        for head, rest in ((words[:length], words[length:]), (words[-length:], words[:-length])):
            phrase = normalised(" ".join(head))
            if phrase in RANK or phrase in OTHERS:
                if any(w.casefold().strip(".") in NO_TICKER for w in rest):
                    return None
                return phrase, " ".join(rest)
    return None


def _alike(table: Table, names: list[str], faults: Faults) -> list[str]:
    """Return all numeric columns if each could be a price series.

    A column with a name such as ``volume`` is a fault, and so are columns of very different size.
    """
    shares = {name: share_of_numbers(table.sample.column(name)) for name in names}
    numeric = [name for name in names if shares[name] > 0 and not _dated(table, name)]
    shown = shortened(numeric or names, 300)
    if not numeric:
        faults.fail(f"has no value column among {shortened(table.names, 300)}: name it with data.value=COLUMN")
    other = [n for n in numeric if normalised(n) in OTHERS or ((p := _phrase_and_ticker(n)) and p[0] in OTHERS)]
    mixed = [n for n in numeric if shares[n] < 0.5]
    if other or mixed:
        what = f"{other[:3]} is not a price" if other else f"{mixed[:3]} contains numbers and text"
        faults.fail(
            f"no column has a known price name, and {what}: name the price with data.value=COLUMN, one of {shown}"
        )
    if not table.header_line and all(n.isdecimal() for n in names) and len(numeric) > 1:
        faults.fail(
            f"has no header, and several columns contain numbers: give the position of each, as in data.header=false "
            f"data.date={table.names.index(next(n for n in table.names if n not in names))} data.value={numeric[-1]}; "
            f"the columns are {shown}, first row "
            f"{shortened(list(table.sample.slice(0, 1).to_pylist()[0].values()), 200)}"
        )
    sizes = {n: float(np.nanmedian(np.abs(v))) for n in numeric if np.isfinite(v := _numbers(table, n)).any()}
    order = sorted((s, n) for n, s in sizes.items() if s > 0)
    for (small, first), (large, second) in pairwise(order):
        if large / small > GAP:
            faults.fail(
                f"no column has a known price name, and the sizes differ, '{first}' is about {small:g} and "
                f"'{second}' is about {large:g}: name the price with data.value=COLUMN, or the series with "
                f"data.series=[...], from {shown}"
            )
    return numeric


def _dated(table: Table, name: str) -> bool:
    column = table.sample.column(name)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return True
    entries = _entries(column) if pa.types.is_string(column.type) else []
    return bool(entries) and all(looks_like_date(e) and not e.isdecimal() for e in entries)


def _numbers(table: Table, name: str) -> np.ndarray:
    numbers = read_numbers(table.sample.column(name))
    return np.where(np.isfinite(numbers.value_T), numbers.value_T, np.nan)
