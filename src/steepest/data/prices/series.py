"""Finds the rows of each series of a table and selects the series in `data.series`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.faults import Faults, counted, did_you_mean, shortened
from steepest.data.prices.checks import OFFERED
from steepest.data.prices.dates import as_text
from steepest.data.prices.options import PriceOptions
from steepest.data.prices.roles import Roles
from steepest.data.prices.table import Table
from steepest.data.prices.words import CURRENCIES, normalised


def groups_of(
    columns: pa.Table, roles: Roles, options: PriceOptions, faults: Faults, notes: list[str]
) -> tuple[dict[str, np.ndarray], str | None]:
    """Return the row indices of each series of a long file, in the order of `data.series`. A wide file has none."""
    if roles.id is None:
        return {}, None
    ids = text_of(columns, roles.id)
    encoded = pc.dictionary_encode(pc.utf8_trim_whitespace(ids)).combine_chunks()
    code_T = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    names = encoded.dictionary.to_pylist()
    empty_T = (code_T < 0) | np.isin(code_T, [i for i, n in enumerate(names) if n == ""])
    if empty_T.any() and options.missing == "drop":
        notes.append(
            f"data.missing=drop left out {int(empty_T.sum())} of {len(empty_T)} rows without an entry in '{roles.id}'"
        )
    elif empty_T.any():
        drop = ", or use data.missing=drop" if empty_T.mean() < OFFERED else ""
        faults.add(
            f"column '{roles.id}' is empty in {counted(int(empty_T.sum()), 'row')}, first in row "
            f"{int(np.flatnonzero(empty_T)[0]) + 1}: fill in the series' name{drop}"
        )
    code_T = np.where(rows_of_kind(columns, roles), code_T, -1)
    order = np.argsort(code_T, kind="stable")
    ends = np.searchsorted(code_T[order], np.arange(len(names) + 1))
    groups = {n: order[ends[i] : ends[i + 1]] for i, n in enumerate(names) if n and ends[i] < ends[i + 1]}
    if options.series is not None:
        chosen = chosen_series({n: n for n in groups}, options.series, faults)
        groups = {n: groups[n] for n in chosen}
    return groups, roles.id


def check_currency(table: Table, roles: Roles, faults: Faults) -> None:
    """Add a fault if a column names several currencies for one series."""
    for name in table.names:
        if normalised(name) not in CURRENCIES or name == roles.id:
            continue
        columns = table.fetch([name] if roles.id is None else [name, roles.id])
        series = pa.repeat("", len(columns)) if roles.id is None else text_of(columns, roles.id)
        pairs = pa.table({"series": series, "currency": pc.utf8_trim_whitespace(text_of(columns, name))})
        pairs = pairs.filter(pc.not_equal(pairs["currency"], "")).group_by(["series", "currency"]).aggregate([])
        for one, more in pairs.to_pandas().groupby("series")["currency"]:
            if len(more) > 1:
                two, where = " and ".join(sorted(more)[:2]), one and f" for {one}"
                faults.add(
                    f"column '{name}' has {shortened(two, 60)}{where}: write "
                    f"all prices of a series in one currency, or, if each is a series, set data.id={name}"
                )
                return


def chosen_series(names: Mapping[str, str], series: Sequence[object], faults: Faults) -> list[str]:
    """Return the keys of the series in `data.series`, in that order.

    A name in the file is text, but YAML reads 600519 in `data.series` as a number, so both forms match.
    """
    found = []
    for wanted in series:
        same = [key for key, name in names.items() if name == str(wanted)]
        same = same or [key for key, name in names.items() if not isinstance(wanted, str) and _same(name, wanted)]
        if len(same) == 1:
            found.append(same[0])
            continue
        shown = shortened(list(names.values()), 300)
        if same:
            faults.add(f"data.series={wanted} can be {same[:5]}: quote it, as in data.series=['{same[0]}']")
        else:
            hint = did_you_mean(str(wanted), names.values()) or "."
            fault = f"has no series '{shortened(wanted)}' (data.series){hint} The file has {shown}"
            faults.add(fault, f"series{hint}", f"'{shortened(wanted)}'")
    return found


def _same(name: str, wanted: object) -> bool:
    """Return whether YAML reads the series name as this value. It reads TRUE as true, 000519 as 519, NULL as null."""
    if wanted is None:
        return name.lower() in ("null", "~", "none")
    if isinstance(wanted, bool):
        return name.lower() == str(wanted).lower()
    try:
        return float(name) == float(str(wanted))
    except ValueError:
        return False


def text_of(columns: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column as text."""
    column = columns.column(name)
    return column if pa.types.is_string(column.type) else as_text(column)


def rows_of_kind(columns: pa.Table, roles: Roles) -> np.ndarray:
    """Return a mask of the rows with prices. A column may name the quantity of each row."""
    if roles.kind is None:
        return np.ones(len(columns), bool)
    name, entry = roles.kind
    return pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text_of(columns, name)), entry), False).to_numpy().astype(bool)


def parts_of(roles: Roles, groups: dict[str, np.ndarray], long: str | None, columns: pa.Table) -> list[tuple]:
    """Return (series, label, row indices, price column) for each series."""
    if long is not None:
        column = roles.values[0]
        return [(name, f"'{column}' of {name}", index, column) for name, index in groups.items()]
    every = slice(None) if roles.kind is None else np.flatnonzero(rows_of_kind(columns, roles))
    return [(roles.series[column], f"'{column}'", every, column) for column in roles.values]
