"""Files of prices or plain rows -> a checked pandas frame.

This file runs the steps in order: it reads text columns, finds their roles, parses dates and numbers, checks the rows
of each series and reports all faults together. The frames it returns are finite, sorted and complete. It does not
scale, and it does not use tensors.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from steepest.data.faults import Faults, did_you_mean, shortened
from steepest.data.future import changed_table
from steepest.data.prices import checks
from steepest.data.prices.account import described
from steepest.data.prices.checks import Rows
from steepest.data.prices.date_columns import dates_of
from steepest.data.prices.dates import Dates
from steepest.data.prices.frames import frame_of
from steepest.data.prices.numbers import LARGEST, Numbers, decimals_of, read_numbers
from steepest.data.prices.options import Missing, PriceOptions
from steepest.data.prices.roles import Roles, find_roles
from steepest.data.prices.series import check_currency, chosen_series, groups_of, parts_of
from steepest.data.prices.table import Table, open_table, table_of
from steepest.data.prices.typed import fetched
from steepest.data.prices.words import normalised

log = logging.getLogger(__name__)

VALUE = "value"  # the value column's name in every checked frame
MOST_FILES = 10_000
EXTENSIONS = {".csv", ".tsv", ".txt", ".dat", ".gz", ".bz2", ".xz", ".zst", ".zip", ".xlsx", ".parquet", ".pq"}


def read_prices(source: str | Path | Any, **options: Any) -> pd.DataFrame:
    """Read prices, wide or long, and check them.

    Args:
        source: the path of a CSV, Parquet or Excel file, which may be compressed; a pattern such as ``prices/*.csv``
            if each file has one series; or a pandas, polars or pyarrow frame.
        options: the fields of `PriceOptions`.

    Returns:
        A frame indexed by (series, date), sorted, with the columns ``value`` and then the features, all finite floats.
        ``frame.attrs["recognised"]`` describes the format and the columns that were recognised.

    Raises:
        ValueError: with every fault, each with its column and row (the first row after the header is row 1).
    """
    given = PriceOptions(**options)
    given.check()
    if not isinstance(source, str | Path):
        return _checked(table_of(source, "frame"), given)
    path = Path(source)
    if not path.exists() and is_pattern(path):
        return _read_many(str(path), given)
    return _checked(open_table(path, given.header, given.skip_footer, given.encoding, given.separator), given)


def check_prices(raw: pd.DataFrame, where: str, **options: Any) -> pd.DataFrame:
    """Check a frame of generated prices. Dates may be in the future. Error messages call the frame `where`."""
    return _checked(table_of(raw, where), PriceOptions(**options), any_date=True)


def files_of(path: str | Path) -> list[Path]:
    """Return the files that match a path or pattern, sorted."""
    path = Path(path)
    if path.exists() or not is_pattern(path):
        return [path]
    parent = path.parent if not is_pattern(path.parent) else Path(path.anchor)
    return sorted(found for found in parent.glob(str(path.relative_to(parent))) if found.is_file())


def is_pattern(path: Path) -> bool:
    """Return whether a path contains a wildcard."""
    return any(sign in str(path) for sign in "*?[")


def _read_many(pattern: str, options: PriceOptions) -> pd.DataFrame:
    """Read every file that matches the pattern as one series, which is named after its file."""
    files = files_of(pattern)
    if not files or len(files) > MOST_FILES:
        raise ValueError(f"data.path={pattern}: {len(files)} files match; there must be 1 to {MOST_FILES}")
    faults, frames = Faults(pattern), {}
    named: dict[str, Path] = {}
    for file in files:
        if (name := _series_of(file)) in named:
            faults.add(f"{file.name}: another file has the series '{name}': rename one")
        named[name] = file
    names = list(named)
    if options.series is not None:
        names = chosen_series({n: n for n in named}, options.series, faults)
    faults.raise_if_any()
    columns: dict[str, str] = {}
    for name in names:
        file = named[name]
        try:
            frame = read_prices(file, **(asdict(options) | {"series": None}))
        except ValueError as error:
            faults.add(str(error), _kind(str(error), file), file.name)
            continue
        if len(frame.index.unique("series")) > 1:
            fault = "has several series: set data.value=COLUMN, or read this file separately"
            faults.add(f"{file.name} {fault}", fault, file.name)
            continue
        columns.setdefault(normalised(frame.attrs["recognised"]["value"]), file.name)
        frames[name] = frame.droplevel("series")
    if len(columns) > 1 and options.value is None:
        (one, first), (two, second) = list(columns.items())[:2]
        faults.add(
            f"the files have different price columns, '{one}' in {first} and '{two}' in {second}: name one that all "
            "have with data.value=COLUMN"
        )
    faults.raise_if_any()
    together = pd.concat({n: _bare(f) for n, f in frames.items()}, names=["series", "date"])
    first = next(iter(frames.values())).attrs["recognised"]
    notes = [note for frame in frames.values() for note in frame.attrs["recognised"]["notes"]]
    filled = np.concatenate([_filled_rows(f) for f in frames.values()])
    return described(together, first | {"file": pattern}, notes, filled)


def _kind(fault: str, file: Path) -> str:
    """Return a fault without file name and numbers, to merge equal faults of several files. Lists are not merged."""
    return "" if "\n" in fault else re.sub(r"[\d.,]+", "0", fault.removeprefix(f"{file.name}: "))


def _series_of(file: Path) -> str:
    """Return a file's name without its extensions, as ``BRK.B`` of ``BRK.B.csv.gz``."""
    while file.suffix.lower() in EXTENSIONS:
        file = file.with_suffix("")
    return file.name


def _bare(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(frame.to_numpy(), index=frame.index, columns=frame.columns)


def _filled_rows(frame: pd.DataFrame) -> np.ndarray:
    mask = np.zeros(len(frame), bool)
    mask[list(frame.attrs.get("filled", ()))] = True
    return mask


def _checked(table: Table, options: PriceOptions, any_date: bool = False) -> pd.DataFrame:
    faults = Faults(table.where)
    roles = find_roles(table, faults, options.date, options.value, options.id, options.features, options.series)
    features = [table.names[int(f)] if str(f) not in table.names else str(f) for f in options.features]
    if roles.id is None and options.series is not None:
        roles.values = chosen_series({v: roles.series[v] for v in roles.values}, options.series, faults)
        faults.raise_if_any()
    needed = list(
        dict.fromkeys(
            n
            for n in (*roles.dates, roles.clock, roles.id, roles.kind and roles.kind[0], *roles.values, *features)
            if n is not None
        )
    )
    others = [n for n in table.names if n not in {*roles.dates, roles.clock}]
    hint = partial(_decimal_hint, table, others)
    table = changed_table(table, roles, features, options, any_date, hint)  # only `steepest audit` changes it
    check_currency(table, roles, faults)
    columns, date_format, block = fetched(table, roles, [*roles.values, *features], needed, options)
    notes: list[str] = []
    groups, labels = groups_of(columns, roles, options, faults, notes)
    faults.raise_if_any()
    dates = dates_of(columns, roles, groups, options, faults, any_date, date_format)
    numbers = {}
    for name in [*roles.values, *features]:
        if name in numbers:
            continue
        found = numbers[name] = read_numbers(columns.column(name), options.decimal, options.thousands, hint)
        _check_reading(name, columns.column(name), found, faults)
    all_rows = []
    row_T = np.arange(1, len(columns) + 1)
    for name, label, index, column in parts_of(roles, groups, labels, columns):
        used = [numbers[c] for c in (column, *features)]
        rows = Rows(
            name, label, row_T[index], dates.wall_T[index], dates.order_T[index],
            _side_by_side([u.value_T[index] for u in used]), _side_by_side([u.kind_T[index] for u in used]),
        )  # fmt: skip
        all_rows.append(rows)
    _feature_faults(columns, features, numbers, options, faults)
    kept = checks.finished(all_rows, columns, roles, options, faults, notes, table.where)
    faults.raise_if_any()
    if not kept:
        faults.fail("data.short=drop leaves no series")
    note = numbers[roles.values[0]].note
    del columns, numbers, all_rows  # free the memory of a large file
    return _frame(table, roles, features, dates, note, kept, notes, block)


def _side_by_side(columns: list[np.ndarray]) -> np.ndarray:
    """Stack columns into a matrix. A single column is not copied."""
    return columns[0][:, None] if len(columns) == 1 else np.stack(columns, axis=1)


def _decimal_hint(table: Table, names: list[str]) -> set[str]:
    """Return the decimal signs that fit all of these columns, because all numbers of a file use the same one."""
    hint = {".", ","}
    for name in names[:50]:
        if len(found := decimals_of(table.sample.column(name))) == 1:
            hint &= found
    return hint or {".", ","}


def _check_reading(name: str, column: pa.ChunkedArray, found: Numbers, faults: Faults) -> None:
    """Add a fault if a column is ambiguous or has numbers that are too large."""
    if found.readings:
        (one, first), (two, second) = list(found.readings.items())[:2]
        row = int(np.flatnonzero(first != second)[np.isfinite(first[first != second]).argmax()])
        faults.add(
            f"column '{name}' can be read in two ways: {shortened(repr(column[row].as_py()))} in row {row + 1} is "
            f"{first[row]:.12g} with {one}, and {second[row]:.12g} with {two}: set one of them",
            f"readings: {one}, {two}",
            f"'{name}'",
        )
    if found.mixed:
        fault = f"has {found.mixed}: write all entries in one unit"
        faults.add(f"column '{name}' {fault}", fault, f"'{name}'")
    if found.value_T.min(initial=0) >= -LARGEST and found.value_T.max(initial=0) <= LARGEST:
        return  # a fast path for most columns; false if a number is missing
    large = np.flatnonzero((found.value_T > LARGEST) | (found.value_T < -LARGEST))
    if len(large):
        faults.add(
            f"column '{name}': {found.value_T[large[0]]:g} in row {large[0] + 1} is above {LARGEST:g}: correct it",
            "too large",
            f"'{name}' (row {large[0] + 1})",
        )


def _feature_faults(
    columns: pa.Table, features: list[str], numbers: dict[str, Numbers], options: PriceOptions, faults: Faults
) -> None:
    if options.missing != "error":
        return
    for name in features:
        kind_T = numbers[name].kind_T
        if kind_T.any():
            entry = columns.column(name)[int(np.flatnonzero(kind_T)[0])].as_py()
            rows = np.arange(len(kind_T)) + 1
            checks.add_bad(faults, "input column", f"'{name}'", kind_T, rows, entry, fill=True)


def _frame(
    table: Table,
    roles: Roles,
    features: list[str],
    dates: Dates,
    note: str,
    kept: list[Rows],
    notes: list[str],
    block: np.ndarray | None,
) -> pd.DataFrame:
    """Return the frame of all series, and leave `kept` empty. Its attributes describe what was recognised."""
    names = {r.name for r in kept}
    used = [v for v in roles.values if roles.id is not None or roles.series[v] in names]
    filled = np.zeros(0, bool)
    if any(len(r.filled_T) for r in kept):
        filled = np.concatenate([r.filled_T if len(r.filled_T) else np.zeros(len(r), bool) for r in kept])
    frame = frame_of(kept, [VALUE, *features], block)
    recognised = {
        "file": table.where,
        "dialect": table.dialect,
        "columns": table.names[:50],
        "date": roles.date if roles.clock is None else f"{roles.date}' and '{roles.clock}",
        "date_format": dates.format,
        "id": roles.id,
        "value": used[0] if len(used) == 1 else used[:50],
        "why": roles.why,
        "numbers": note or "plain numbers",
    }
    return described(frame, recognised, notes, filled)


def read_table(
    source: str | Path | Any,
    inputs: Sequence[str],
    target: str,
    missing: Missing = "error",
    *,
    decimal: str | None = None,
    thousands: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> pd.DataFrame:
    """Read a file of plain rows, without dates, and check it.

    Returns:
        A frame indexed by row number (the first row after the header is 1), columns `inputs` and then `target`.

    Raises:
        ValueError: with every fault: missing columns, a target that is also an input, text or constant columns.
    """
    PriceOptions(decimal=decimal, thousands=thousands, header=header, encoding=encoding, missing=missing).check()
    path = isinstance(source, str | Path)
    table = open_table(Path(source), header, 0, encoding) if path else table_of(source, "frame")
    faults = Faults(table.where)
    for key, name in [*(("data.inputs", name) for name in inputs), ("data.target", target)]:
        if name not in table.names:
            near = did_you_mean(str(name), table.names) or "."
            faults.add(
                f"{key}={shortened(name)}: there is no such column{near} The file has {shortened(table.names, 300)}",
                f"{key}{near}",
                shortened(name),
            )
    if not inputs:
        faults.add("data.inputs is empty: name at least one input column, as data.inputs=[x1,x2]")
    if len(set(inputs)) < len(inputs):
        faults.add(f"data.inputs={list(inputs)} names a column twice: name each once")
    if target in inputs:
        faults.add(f"data.target={target} is also in data.inputs, so the model would see the answer: remove it there")
    faults.raise_if_any()
    wanted = [*inputs, target]
    columns, hint = table.fetch(wanted), partial(_decimal_hint, table, table.names)
    values, keep = {}, np.ones(len(columns), bool)
    for name in wanted:
        found = read_numbers(columns.column(name), decimal, thousands, hint)
        _check_reading(name, columns.column(name), found, faults)
        values[name] = found.value_T
        bad = found.kind_T != 0
        if bad.any() and missing == "error":
            entry = columns.column(name)[int(np.flatnonzero(bad)[0])].as_py()
            rows = np.arange(len(bad)) + 1
            checks.add_bad(faults, "column", f"'{name}'", found.kind_T, rows, entry, fill=False)
        keep &= ~bad
    frame = pd.DataFrame(values, index=pd.RangeIndex(1, len(columns) + 1, name="row"))
    frame = frame if missing == "error" else frame[keep]
    if not len(frame):
        faults.add(f"{target}: data.missing=drop leaves no rows")
    for name in frame:
        present = frame[name].dropna()
        if len(present) and present.nunique() == 1:
            faults.add(f"column '{name}' is constant ({present.iloc[0]:g}): leave it out", "constant", f"'{name}'")
    faults.raise_if_any()
    return frame
