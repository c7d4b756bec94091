"""Opens files and frames as tables of columns with unique names.

`delimited.py` splits text files. The meaning of a column is not decided here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steepest.data.faults import shortened
from steepest.data.prices.content import Text, open_file
from steepest.data.prices.delimited import SAMPLE, split
from steepest.data.prices.layout import WIDEST

# Errors that a damaged Parquet file can raise.
_DAMAGED = (pa.ArrowException, OSError, KeyError, TypeError, UnicodeError, OverflowError)


@dataclass
class Table:
    """A file's rows as Arrow columns.

    Attributes:
        where: the file's name, for messages.
        names: the name of each column as written.
        sample: the first rows.
        fetch: a function that reads all rows of the given columns.
        typed: for a large text file, a function that reads all rows of the columns in the given types of DuckDB, with
            the given format of dates. It also returns the block of `delimited.py`, or None. It raises a `ValueError` if
            an entry does not fit. None for other files.
        dialect: a description of the file's format for messages.
        header_line: the line of the header in a text file, or 0 if there is none.
    """

    where: str
    names: list[str]
    sample: pa.Table
    fetch: Callable[[Sequence[str]], pa.Table]
    dialect: str = ""
    header_line: int = 0
    typed: Callable[[Mapping[str, str], str | None], tuple[pa.Table, np.ndarray | None]] | None = None


def open_table(
    path: Path,
    header: bool | None = None,
    skip_footer: int = 0,
    encoding: str | None = None,
    separator: str | None = None,
) -> Table:
    """Open a file as a table.

    Args:
        path: the file.
        header: whether the first line contains the column names. None: detected.
        skip_footer: the number of lines to skip at the end of the file.
        encoding: the text encoding. None: UTF-8 or UTF-16.
        separator: the name of the column separator. None: detected.

    Raises:
        ValueError: if the file cannot be read as a table.
    """
    content = open_file(path, encoding, whole=separator == "space")
    if not isinstance(content, Text):
        return _from_parquet(path.name, content)
    found = split(content, header, skip_footer, separator)
    table = _in_memory(path.name, found.rows, found.dialect, found.header_line)
    if found.read is not None:
        read, positions = found.read, {n: i for i, n in enumerate(found.rows.column_names)}

        def typed(kinds: Mapping[str, str], date_format: str | None) -> tuple[pa.Table, np.ndarray | None]:
            columns, block = read({positions[n]: kind for n, kind in kinds.items()}, date_format)
            return columns.rename_columns(list(kinds)), block

        table.typed = typed
        table.fetch = lambda wanted: typed(dict.fromkeys(wanted, "VARCHAR"), None)[0]
    return table


def table_of(frame: object, where: str) -> Table:
    """Return a pandas, polars or pyarrow frame as a table."""
    arrow = arrow_of(frame, where)
    if not len(arrow):
        raise ValueError(f"{where}: the frame has no rows; its columns are {shortened(arrow.column_names, 200)}")
    return _in_memory(where, arrow, "a frame")


def arrow_of(frame: object, where: str) -> pa.Table:
    """Return a pandas, polars or pyarrow frame in Arrow's format. An index of dates or names becomes columns."""
    if isinstance(frame, pd.Series):
        frame = frame.to_frame("value" if frame.name is None else frame.name)
    if isinstance(frame, pd.DataFrame):
        return _from_pandas(frame)
    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    raise ValueError(f"{where}: {type(frame).__name__} is not a path or a pandas, polars or pyarrow frame")


def _in_memory(where: str, arrow: pa.Table, dialect: str, header_line: int = 0) -> Table:
    names = [str(n).strip().strip("\ufeff") for n in arrow.column_names]
    names = [n if n and not re.fullmatch(r"Unnamed: \d+", n) else f"column {i}" for i, n in enumerate(names)]
    arrow = pa.table([_plain(c) for c in arrow.columns], names=names)
    if len(names) > 1 and names[0] == "column 0" and _counts_rows(arrow.column(0)):
        arrow = arrow.drop_columns([names[0]]) if names.count(names[0]) == 1 else arrow
        names = names[1:]
    _check_names(where, names)
    return Table(where, names, arrow.slice(0, SAMPLE), arrow.select, dialect, header_line)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert every text type of Arrow to ``string``."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = pc.cast(column, kind.value_type), kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.cast(column, pa.string())
    return column


def _check_names(where: str, names: list[str]) -> None:
    repeated = [n for n, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{where}: several columns have the same name {repeated[:5]}: rename or remove all but one")
    if len(names) > WIDEST:
        raise ValueError(f"{where}: {len(names)} columns; the limit is {WIDEST}: write the prices in rows")


def _counts_rows(column: pa.ChunkedArray) -> bool:
    """Return whether a column without a name contains row numbers, as pandas writes them."""
    text = pc.cast(column, pa.string()) if not pa.types.is_string(column.type) else column
    if not pc.all(pc.match_substring_regex(text, r"^\d{1,9}$"), min_count=0).as_py() or text.null_count:
        return False
    number = pc.cast(text, pa.int64()).to_numpy()
    return bool(len(number)) and number[0] in (0, 1) and bool((number[1:] > number[:-1]).all())


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    """Turn the index into columns, because it often contains the dates and tickers."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise ValueError("the frame has several levels of column names: choose one, as in frame['Close']")
    index = frame.index
    if isinstance(index, pd.RangeIndex) or (
        index.nlevels == 1 and index.name is None and pd.api.types.is_integer_dtype(index)
    ):
        frame = frame.reset_index(drop=True)
    else:
        frame = frame.reset_index(names=[n or ("date" if i == 0 else f"level_{i}") for i, n in enumerate(index.names)])
    columns = {}
    for i in range(frame.shape[1]):
        column = frame.iloc[:, i]
        if isinstance(column.dtype, pd.PeriodDtype):
            column = column.dt.to_timestamp()
        try:
            columns[i] = (
                pa.chunked_array([pa.Array.from_pandas(column)])
                if not isinstance(made := pa.Array.from_pandas(column), pa.ChunkedArray)
                else made
            )
        except (pa.ArrowException, OverflowError):  # several types in one column
            columns[i] = pa.chunked_array([pa.array([None if pd.isna(v) else str(v) for v in column], pa.string())])
    return pa.table(list(columns.values()), names=[str(n) for n in frame.columns])


def _from_parquet(where: str, file: pq.ParquetFile) -> Table:
    try:
        if file.metadata.metadata and b"pandas" in file.metadata.metadata and file.metadata.num_rows <= SAMPLE:
            return _in_memory(where, _from_pandas(file.read().to_pandas()), "Parquet")
        schema = file.schema_arrow
        names = [
            str(n) for n in schema.names if not re.fullmatch(r"__index_level_\d+__", n) or _may_be_date(schema.field(n))
        ]
        shown = {("date" if n.startswith("__index_level_") else n.strip()): n for n in names}
        _check_names(where, [n.strip() for n in names])
        batch = next(file.iter_batches(batch_size=SAMPLE, columns=names))
        sample = pa.table([_plain(pa.chunked_array([c])) for c in batch.columns], names=list(shown))

        def fetch(wanted: Sequence[str]) -> pa.Table:
            try:
                read = file.read(columns=[shown[n] for n in wanted])
            except _DAMAGED as error:
                raise ValueError(f"{where}: cannot be read as a table: {shortened(error, 100)}") from None
            return pa.table([_plain(read.column(shown[n])) for n in wanted], names=list(wanted))

        return Table(where, list(shown), sample, fetch, "Parquet")
    except ValueError as error:
        if type(error) is ValueError:  # raised by this package; libraries raise subclasses
            raise
        raise ValueError(f"{where}: cannot be read as a table: {shortened(error, 100)}") from None
    except (*_DAMAGED, StopIteration) as error:
        raise ValueError(f"{where}: cannot be read as a table: {shortened(error, 100)}") from None


def _may_be_date(found: pa.Field) -> bool:
    kind = found.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return text or pa.types.is_timestamp(kind) or pa.types.is_date(kind)
