"""Finds the columns of dates, series and prices: first by their normalised names, then by their contents.

It refuses to guess if two columns could be the price, or if no column name is known and the numbers of a column do
not look like a price.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.faults import Faults, did_you_mean, shortened
from steepest.data.prices.dates import as_text
from steepest.data.prices.formats import SPACES, could_be_dates, looks_like_date
from steepest.data.prices.headings import calendar_columns, has_dates_across
from steepest.data.prices.numbers import Numbers, read_numbers
from steepest.data.prices.quantities import different_sizes, find_quantities
from steepest.data.prices.table import Table
from steepest.data.prices.words import (
    CLOCKS,
    COARSE,
    DATES,
    IDS,
    OTHERS,
    PARTS,
    RANK,
    normalised,
    phrase_and_ticker,
)  # fmt: skip

_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp]\.?[Mm]\.?)?( [A-Z]{2,5})?")
_DIGITS = re.compile(r"\d{1,6}")
CELLS = 200_000  # maximum number of entries that are examined to find the numeric columns
FEWEST = 50  # minimum number of examined entries per column
PROBED = 200  # maximum number of entries that are examined to find a date column


@dataclass
class Roles:
    """The columns for the dates, the series names and the prices.

    Attributes:
        dates: the date column, or the columns with year, month and day.
        values: the price columns.
        clock: the column with the time of day, which is added to the date.
        id: the column of series names, or None if each series has its own column.
        kind: the column that names each row's quantity, and the entry that marks prices; or None.
        series: the series name for each price column.
        why: the reason why these are the price columns.
    """

    dates: list[str]
    values: list[str]
    clock: str | None = None
    id: str | None = None
    kind: tuple[str, str] | None = None
    series: dict[str, str] = field(default_factory=dict)
    why: str = ""

    @property
    def date(self) -> str:
        """Return the name of the date column. For several columns, their names are joined with "-"."""
        return "-".join(self.dates)


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
    dates = [date] if date is not None else _date_columns(table, faults)
    shown = shortened(table.names, 300)
    if not dates:
        if has_dates_across(table):
            faults.fail("has one column per date: reshape the table to one row per date")
        position = "" if table.header_line else ", by its position, as in data.header=false data.date=0"
        faults.fail(f"has no date column among {shown}: name it with data.date=COLUMN{position}")
    for key, given in (("data.value", value), ("data.id", id), *(("data.features", f) for f in inputs)):
        if given in dates:
            faults.add(f"{key}={given} is also the date column: name another column, or give data.date=COLUMN")
    if value is not None and value == id:
        faults.add(f"data.id={id} is also data.value: name another column")
    faults.raise_if_any()
    taken = {*dates, value, id, *inputs}
    clock = _clock(table, dates, taken)
    kind = _kind(table, {*taken, clock})
    id = id or _id_column(table, {*taken, clock, kind and kind[0]})
    rest = [n for n in table.names if n not in {*dates, clock, id, kind and kind[0], *inputs}]
    if value is not None:
        return Roles(dates, [value], clock, id, kind, {value: value}, "named")
    found = _by_name(rest, table, faults)
    if found is not None:
        values, names, why = found
        if id is not None and len(values) > 1:
            faults.fail(f"has several price columns {values[:5]}: name one with data.value=COLUMN")
        return Roles(dates, values, clock, id, kind, names, why)
    if id is not None:
        faults.fail(f"has no value column among {shown}: name it with data.value=COLUMN")
    chosen = [str(s) for s in series or () if str(s) in rest]
    values = chosen if series is not None and len(chosen) == len(series) else _alike(table, rest, faults)
    why = "the only column of numbers" if len(values) == 1 and series is None else "one column per series"
    return Roles(dates, values, clock, id, kind, {v: v for v in values}, why)


def _column(names: list[str], key: str, given: str | int | None, faults: Faults) -> str | None:
    """Return the name of a column that is specified by name or position."""
    if given is None or given in names:
        return str(given) if given is not None else None
    text = str(given)
    if text in names:
        return text
    if text.isdecimal() and int(text) < len(names):
        return names[int(text)]
    near = did_you_mean(text, names) or "."
    faults.add(
        f"{key}={shortened(text)}: there is no such column{near} The file has {shortened(names, 300)}",
        f"{key}{near}",
        shortened(text),
    )
    return None


def _sample(table: Table, name: str) -> pa.ChunkedArray:
    """Return the first entries of a column, fewer if there are many columns."""
    return table.sample.column(name).slice(0, max(FEWEST, CELLS // len(table.names)))


def _entries(column: pa.ChunkedArray, count: int = PROBED) -> list[str]:
    text = column if pa.types.is_string(column.type) else as_text(column)
    return [e.strip().translate(SPACES) for e in text.slice(0, count).to_pylist() if e is not None and e.strip()]


def _date_columns(table: Table, faults: Faults) -> list[str]:
    """Return the column of dates, or those with year, month and day. The list is empty if there are none.

    A known name counts if the entries can be dates. A coarse one, such as Year, counts if no other column has dates.
    """
    known: dict[str, str] = {}
    for name in table.names:
        known.setdefault(normalised(name), name)
    named = [known[word] for word in DATES if word in known]
    fine = [n for n in named if normalised(n) not in COARSE or _dated(table, n)]
    sure = [n for n in fine if _dated(table, n)]
    if found := sure or [n for n in fine if could_be_dates(_entries(table.sample.column(n)))]:
        return found[:1]
    dated = [n for n in table.names if _dated(table, n)]
    if len(dated) > 1 and not fine:
        faults.fail(f"several columns contain dates, {shortened(dated, 200)}: name one with data.date=COLUMN")
    parts = [next((known[word] for word in words if word in known), None) for words in PARTS]
    year, month, day = parts
    if not dated and year and month and all(_entries(table.sample.column(n)) for n in (year, month)):
        months = _entries(table.sample.column(month))
        if all(re.fullmatch(r"\d{4}", e) for e in _entries(table.sample.column(year))) and all(
            re.fullmatch(r"0?[1-9]|1[0-2]", e) for e in months
        ):
            return [n for n in (year, month, day) if n is not None]
    fitting = [n for n in named if n not in fine and could_be_dates(_entries(table.sample.column(n)))]
    return (dated or fitting or named)[:1]


def _dated(table: Table, name: str) -> bool:
    """Return whether most entries of a column are dates, with separators or with eight digits."""
    column = table.sample.column(name)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return True
    if pa.types.is_boolean(column.type):
        return False
    entries = _entries(column, min(PROBED, max(FEWEST, CELLS // len(table.names))))
    return bool(entries) and sum(map(looks_like_date, entries)) > len(entries) / 2


def _clock(table: Table, dates: list[str], taken: set[str | None]) -> str | None:
    """Return the column with the time of day, or None if the date column includes it or is not text."""
    column = table.sample.column(dates[0])
    if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type) or pa.types.is_date(column.type)):
        return None
    if any(":" in entry or len(entry) > 14 for entry in _entries(column)):
        return None
    for name in table.names:
        if name not in taken:
            entries = _entries(table.sample.column(name))
            known = normalised(name) in CLOCKS and all(_DIGITS.fullmatch(e) for e in entries)
            if entries and (known or all(_CLOCK.fullmatch(e) for e in entries)):
                return name
    return None


def _kind(table: Table, taken: set[str | None]) -> tuple[str, str] | None:
    """Return the column whose entries, such as `close`, name each row's quantity, and the entry to use."""
    for name in table.names:
        if name in taken or not pa.types.is_string(table.sample.column(name).type):
            continue
        entries = pc.unique(table.sample.column(name).slice(0, PROBED)).drop_null().to_pylist()
        if not 1 < len(entries) <= 20:
            continue
        words = {entry: normalised(entry) for entry in entries}
        if all(w in RANK or w in OTHERS for w in words.values()):
            prices = sorted((RANK[w], entry) for entry, w in words.items() if w in RANK)
            if prices:
                return name, prices[0][1]
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


def _by_name(names: list[str], table: Table, faults: Faults) -> tuple[list[str], dict[str, str], str] | None:
    """Find the price columns by name: the columns, the series name of each, and the reason for the choice.

    Return None if no name is known.

    A name can contain a ticker, as in ``Close_ABC``. Such a column is a price in three cases: the file has other
    columns of this ticker, it has the closes of other tickers, or it has no other numbers.
    """
    split = {name: phrase_and_ticker(name) for name in names}
    tickers = [ticker.casefold() for found in split.values() if found and (ticker := found[1])]
    phrases = [found[0] for found in split.values() if found and found[1]]
    prices: dict[int, dict[str, str]] = {}
    for name, found in split.items():
        if found is None or found[0] not in RANK:
            continue
        ticker = found[1]
        if ticker and _dated(table, name):  # such as "Last updated"
            continue
        alone = ticker and tickers.count(ticker.casefold()) < 2 and phrases.count(found[0]) < 2
        if alone and (others := [n for n in names if n != name and split[n] is None and _numeric(table, n)]):
            faults.fail(
                f"no column has a known price name, and '{name}' can be a price of '{ticker}' or something else: name "
                f"the price with data.value=COLUMN, one of {shortened([name, *others], 300)}"
            )
        prices.setdefault(RANK[found[0]], {})[name] = ticker
    if not prices:
        return None
    best = prices[min(prices)]
    passed = [name for rank, columns in sorted(prices.items()) if rank > min(prices) for name in columns]
    why = f"found by name, preferred to {', '.join(map(repr, passed[:3]))}" if passed else "found by name"
    closes = {t for rank, columns in prices.items() if rank < 2 for t in columns.values()}
    if len(best) == 1 and ("" in best.values() or closes <= {*best.values()}):
        return list(best), {name: name for name in best}, why
    all_tickers = {t for columns in prices.values() for t in columns.values()}
    if "" in best.values() or len(set(best.values())) < len(best) or all_tickers != set(best.values()):
        faults.fail(f"several columns can be the price, {[*best, *passed][:6]}: name one with data.value=COLUMN")
    return list(best), best, why


def _numeric(table: Table, name: str) -> bool:
    return _share(read_numbers(_sample(table, name))) > 0.5


def _share(numbers: Numbers) -> float:
    """Return the share of numbers among the entries that are not missing, or 0 if all are missing."""
    count = int((numbers.kind_T != 1).sum())
    return float(((numbers.kind_T == 0) | (numbers.kind_T == 2)).sum() / count) if count else 0.0


def _alike(table: Table, names: list[str], faults: Faults) -> list[str]:
    """Return all numeric columns if each could be a price series, by its name and by its numbers."""
    columns = {n: read_numbers(_sample(table, n)) for n in names}
    shares = {n: _share(c) for n, c in columns.items()}
    columns = {n: c for n, c in columns.items() if shares[n] > 0 and (shares[n] == 1 or not _dated(table, n))}
    numeric = list(columns)
    shown = shortened(numeric or names, 300)
    if not numeric:
        faults.fail(f"has no value column among {shortened(table.names, 300)}: name it with data.value=COLUMN")
    if parts := calendar_columns(numeric):
        faults.fail(
            f"has one column per month, quarter or weekday ({shortened(parts, 100)}): reshape the table to one row per "
            f"date, or, if each column is a series, set data.series=[{','.join(parts)}]"
        )
    found = find_quantities(columns)
    if not table.header_line and all(n.isdecimal() for n in names) and len(numeric) > 1:
        likely = [n for n in found.closes or numeric if n not in found.odd]
        by_contents = likely[-1] if found.closes or len(likely) == 1 else "POSITION"
        faults.fail(
            f"has no header, and several columns contain numbers: give the position of each, as in data.header=false "
            f"data.date={table.names.index(next(n for n in table.names if n not in names))} data.value={by_contents}; "
            f"the columns are {shown}, first row "
            f"{shortened(list(table.sample.slice(0, 1).to_pylist()[0].values()), 200)}"
        )
    other = {
        n: "has the name of another quantity"
        for n in numeric
        if normalised(n) in OTHERS or ((p := phrase_and_ticker(n)) and p[0] in OTHERS)
    }
    mixed = {n: "contains numbers and text" for n in numeric if shares[n] < 0.5}
    odd = other | mixed | found.odd
    if odd:
        left = [n for n in numeric if n not in odd] or numeric
        why = ", ".join(f"'{shortened(n)}' {odd[n]}" for n in list(odd)[:3])
        faults.fail(
            f"no column has a known price name, and {why}: name the price with data.value=COLUMN, or the series with "
            f"data.series=[COLUMN,...], one or more of {shortened(left, 300)}"
        )
    if sizes := different_sizes(columns):
        first, small, second, large = sizes
        faults.fail(
            f"no column has a known price name, and the columns differ in size ('{first}' is about {small:g}, "
            f"'{second}' about {large:g}): name the price with data.value=COLUMN, or the series with "
            f"data.series=[COLUMN,...], from {shown}"
        )
    return numeric
