"""Changes the rows of a price file after a given day, for the look-ahead audit.

The columns of dates, series and prices are identified in the unchanged table. Every later step sees only the changed
table: number formats, date formats, duplicates, gaps, glitches.

Shapes: T rows of a table, in the file's order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.faults import Faults
from steepest.data.prices.date_columns import dates_of
from steepest.data.prices.delimited import SAMPLE
from steepest.data.prices.numbers import read_numbers
from steepest.data.prices.options import PriceOptions
from steepest.data.prices.roles import Roles
from steepest.data.prices.series import groups_of, text_of
from steepest.data.prices.table import Table

Kind = Literal["truncated", "scaled", "shuffled", "blanked"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FACTOR = 1000.0


@dataclass
class FutureChange:
    """A change of all rows after a day.

    Attributes:
        kind: ``truncated`` removes the rows, ``scaled`` multiplies their prices and additional inputs by `FACTOR`,
            ``shuffled`` permutes them among the dates, and ``blanked`` repeats the last row up to the day.
        day: the last unchanged day.
        seed: the seed of the permutation.
        rows: the number of changed rows, counted while files are read.
    """

    kind: Kind
    day: pd.Timestamp
    seed: int = 0
    rows: int = 0


_active: ContextVar[FutureChange | None] = ContextVar("future_change", default=None)


@contextmanager
def changed_future(change: FutureChange | None) -> Iterator[None]:
    """Within the `with` block, change the future of every price file that this thread reads. None changes nothing."""
    token = _active.set(change)
    try:
        yield
    finally:
        _active.reset(token)


def changed_table(
    table: Table,
    roles: Roles,
    features: Sequence[str],
    options: PriceOptions,
    any_date: bool,
    hint: Callable[[], set[str]],
) -> Table:
    """Apply the active change to a table, or return the table unchanged if there is none.

    Args:
        table: the file.
        roles: the roles of its columns.
        features: the additional inputs.
        options: as for `read_prices`.
        any_date: whether dates may be in the future.
        hint: as for `read_numbers`.
    """
    change = _active.get()
    if change is None:
        return table
    faults = Faults(table.where)
    columns = table.fetch(table.names)
    groups, _ = groups_of(columns, roles, options, faults, [])
    faults.raise_if_any()
    wall_T = dates_of(columns, roles, groups, options, faults, any_date).wall_T
    faults.raise_if_any()
    after_T = wall_T > change.day.to_datetime64()  # false for rows without a date
    change.rows += int(after_T.sum())
    if change.kind == "truncated":
        columns = columns.filter(pa.array(~after_T))
    elif change.kind == "scaled":
        for name in dict.fromkeys([*roles.values, *features]):
            columns = _replaced(columns, name, _scaled(columns.column(name), after_T, options, hint))
    else:
        source_T = np.arange(len(columns))
        random = np.random.default_rng(change.seed)
        for row_G in _groups(columns, roles, groups):
            late_G, early_G = row_G[after_T[row_G]], row_G[wall_T[row_G] <= change.day.to_datetime64()]
            if change.kind == "shuffled":
                source_T[late_G] = random.permutation(late_G)
            elif len(early_G):
                source_T[late_G] = early_G[wall_T[early_G].argmax()]
        fixed = {*roles.dates, roles.clock, roles.id, roles.kind and roles.kind[0]}
        for name in (name for name in columns.column_names if name not in fixed):
            columns = _replaced(columns, name, columns.column(name).take(pa.array(source_T)))
    return replace(table, sample=columns.slice(0, SAMPLE), fetch=columns.select, typed=None)


def _groups(columns: pa.Table, roles: Roles, groups: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the row numbers of each series, and of each quantity if a column names the quantities."""
    quantity_T = np.zeros(len(columns), int)
    if roles.kind is not None:
        quantity_T = pd.factorize(np.asarray(pc.utf8_trim_whitespace(text_of(columns, roles.kind[0]))))[0]
    for row_G in groups.values() if roles.id is not None else [np.arange(len(columns))]:
        for quantity in np.unique(quantity_T[row_G]):
            yield row_G[quantity_T[row_G] == quantity]


def _scaled(
    column: pa.ChunkedArray, after_T: np.ndarray, options: PriceOptions, hint: Callable[[], set[str]]
) -> pa.Array:
    """Return a column's numbers as floats, multiplied by `FACTOR` in late rows. Entries without a number are null."""
    found = read_numbers(column, options.decimal, options.thousands, hint)
    value_T = np.where(found.kind_T == 2, np.inf, found.value_T)
    return pa.array(np.where(after_T, value_T * FACTOR, value_T), mask=(found.kind_T == 1) | (found.kind_T == 3))


def _replaced(columns: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return columns.set_column(columns.column_names.index(name), name, values)
