"""Splits the text of a CSV file into text columns.

`layout.py` finds the separator and the header, and DuckDB splits the rows. Entries are not converted here, and the
meaning of a column is not decided here.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steepest.data.faults import shortened
from steepest.data.prices.content import Text, open_file
from steepest.data.prices.layout import SEPARATORS, WIDEST, Layout, find_layout, names_of

_DAMAGED = (pa.ArrowException, OSError, KeyError, TypeError, UnicodeError, OverflowError)  # for a damaged Parquet file
SAMPLE = 10_000  # the type of a column is found from this number of rows


@dataclass
class Table:
    """A file's rows as Arrow columns.

    Attributes:
        where: the file's name, for messages.
        names: the name of each column as written.
        sample: the first rows.
        fetch: a function that reads all rows of the given columns.
        rows: the number of rows, or None if it is unknown before they are read.
        levels: the header entries of each column if there are several header rows.
        dialect: a description of the file's format for messages.
        header_line: the line of the header in a text file, or 0 if there is none.
    """

    where: str
    names: list[str]
    sample: pa.Table
    fetch: Callable[[Sequence[str]], pa.Table]
    levels: dict[str, list[str]] = field(default_factory=dict)
    dialect: str = ""
    header_line: int = 0


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
    content = open_file(path, encoding)
    if not isinstance(content, Text):
        return _from_parquet(path.name, content)
    return _from_text(content, header, skip_footer, separator)


def table_of(frame: object, where: str) -> Table:
    """Return a pandas, polars or pyarrow frame as a table."""
    if isinstance(frame, pd.DataFrame):
        arrow = _from_pandas(frame)
    elif isinstance(frame, pa.Table):
        arrow = frame
    elif hasattr(frame, "__arrow_c_stream__"):
        arrow = pa.table(frame)
    else:
        raise ValueError(f"{where}: {type(frame).__name__} is not a path or a pandas, polars or pyarrow frame")
    return _in_memory(where, arrow, "a frame")


def _in_memory(where: str, arrow: pa.Table, dialect: str, header_line: int = 0) -> Table:
    names = [str(n).strip().strip("\ufeff") for n in arrow.column_names]
    names = [n if n and not re.fullmatch(r"Unnamed: \d+", n) else f"column {i}" for i, n in enumerate(names)]
    arrow = pa.table([_plain(c) for c in arrow.columns], names=names)
    if len(names) > 1 and names[0] == "column 0" and _counts_rows(arrow.column(0)):
        arrow = arrow.drop_columns([names[0]]) if names.count(names[0]) == 1 else arrow
        names = names[1:]
    _check_names(where, names)
    return Table(where, names, arrow.slice(0, SAMPLE), arrow.select, {}, dialect, header_line)


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
            str(n) for n in schema.names if not re.fullmatch(r"__index_level_\d+__", n) or _is_time(schema.field(n))
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

        return Table(where, list(shown), sample, fetch, {}, "Parquet")
    except ValueError as error:
        if type(error) is ValueError:  # raised by this package; libraries raise subclasses
            raise
        raise ValueError(f"{where}: cannot be read as a table: {shortened(error, 100)}") from None
    except (*_DAMAGED, StopIteration) as error:
        raise ValueError(f"{where}: cannot be read as a table: {shortened(error, 100)}") from None


def _is_time(found: pa.Field) -> bool:
    return pa.types.is_timestamp(found.type) or pa.types.is_date(found.type)


def _from_text(text: Text, header: bool | None, skip_footer: int, separator: str | None) -> Table:
    start = text.head.lstrip()[:200].lower()
    if not start:
        raise ValueError(f"{text.name}: the file is empty")
    if start.startswith(("<!doctype", "<html", "<?xml", "<head", "<body", "<table")):
        raise ValueError(f"{text.name}: this is a web page (HTML or XML), not a table: download the data again, as CSV")
    if start.startswith(("{", "[")) and not start.startswith(("[]", "{}")) and ('"' in start or start[1:2] in "[{\n "):
        raise ValueError(
            f"{text.name}: this is JSON, not a table: write it as CSV, as in pandas.read_json(...).to_csv(...)"
        )
    body = text.head
    if skip_footer and text.path is not None:
        raise ValueError(f"{text.name}: data.skip_footer needs a file below 64 MiB: remove the last lines by hand")
    if skip_footer:
        body = "\n".join(body.rstrip("\n").split("\n")[:-skip_footer]) + "\n"
    layout = find_layout(text.name, body[: 2**18], header, separator)
    if layout.separator == " ":
        if text.path is not None:
            raise ValueError(f"{text.name}: columns separated by spaces need a file below 64 MiB: use commas")
        body = "\n".join("\t".join(line.split()) for line in body.split("\n"))
    names, levels = names_of(layout)
    path = text.path
    temporary = None
    if path is None:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", suffix=".csv", delete=False) as file:
            file.write(body if body.endswith("\n") else body + "\n")
        path = temporary = Path(file.name)
    try:
        arrow = _split(
            text.name, path, layout, temporary is None, range(layout.width), SAMPLE if temporary is None else None
        )
    finally:
        if temporary is not None:
            temporary.unlink()
    if text.path is None:
        _check_count(text.name, body, layout, len(arrow))
    arrow = _without_blank(arrow) if text.path is None else arrow
    if not len(arrow):
        raise ValueError(f"{text.name}: the file has no rows after the header {shortened(names, 200)}")
    positions = {n: i for i, n in enumerate(names)}
    if len(names) < layout.width:
        extra = [arrow.column(i) for i in range(len(names), layout.width)]
        for column in extra:
            if column.null_count < len(column):
                row = int(pc.index(pc.is_valid(column), True).as_py())
                raise ValueError(
                    f"{text.name}: cannot be read as a table: line {layout.skip + row + 1} has more entries than the "
                    f"header {shortened(names, 200)} has names: correct the line, or name every column"
                )
        arrow = arrow.select(range(len(names)))
    dialect = f"{next(word for word, sign in SEPARATORS.items() if sign == layout.separator)}-separated"
    if layout.header_line > 1:
        dialect += f", header in line {layout.header_line}"
    if not layout.header:
        dialect += ", without a header"
    table = _in_memory(text.name, arrow.rename_columns(names), dialect, layout.header_line)
    table.levels = levels
    if text.path is not None:
        table.fetch = lambda wanted: _split(
            text.name, path, layout, True, [positions[n] for n in wanted], None
        ).rename_columns(list(wanted))
    return table


def _split(
    where: str, path: Path, layout: Layout, parallel: bool, columns: Sequence[int], limit: int | None
) -> pa.Table:
    """Split a file into text columns with DuckDB. Blank rows are left out."""
    separator = "\t" if layout.separator == " " else layout.separator
    kinds = {f"c{i}": "VARCHAR" for i in range(layout.width)}
    chosen = ", ".join(f"c{i}" for i in columns)
    with _large_database() if parallel else _database().cursor() as database:
        try:
            relation = database.sql(
                f"SELECT {chosen} FROM read_csv($path, columns=$columns, auto_detect=false, header=false, "
                "delim=$delim, quote='\"', escape='\"', skip=$skip, null_padding=false, "
                "all_varchar=true, parallel=$parallel) " + (f"LIMIT {limit}" if limit else ""),
                params={
                    "path": str(path),
                    "columns": kinds,
                    "delim": separator,
                    "skip": layout.skip,
                    "parallel": parallel,
                },
            )
            arrow = relation.to_arrow_table()
        except duckdb.Error as error:
            _database.cache_clear()  # an internal error leaves a database unusable
            raise ValueError(f"{where}: cannot be read as a table: {_reason(str(error), path)}") from None
    return arrow


def _without_blank(arrow: pa.Table) -> pa.Table:
    """Remove rows without an entry. A spreadsheet may write ``,,,`` below the table."""
    blank = None
    for column in arrow.columns:
        empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
        blank = empty if blank is None else pc.and_(blank, empty)
    return arrow.filter(pc.invert(blank)) if pc.any(blank).as_py() else arrow


def _check_count(where: str, body: str, layout: Layout, found: int) -> None:
    """Count the rows without DuckDB, which drops all rows after an opening quote without a closing one."""
    lines = body.split("\n")[layout.skip :]
    if '"' in body:
        separator = "\t" if layout.separator == " " else layout.separator
        try:
            count = sum(bool(record) for record in csv.reader((line + "\n" for line in lines), delimiter=separator))
        except csv.Error as error:
            raise ValueError(f"{where}: cannot be read as a table: {error}") from None
    else:
        count = sum(bool(line) for line in lines)
    if count != found or body.count('"') % 2:
        number, line = next(
            ((i, line) for i, line in enumerate(body.split("\n")) if line.count('"') % 2), (layout.skip, lines[0])
        )
        raise ValueError(
            f"{where}: cannot be read as a table: line {number + 1} ({shortened(repr(line))}) has an opening "
            'quote without a closing one: close it, or write "" for a quote within an entry'
        )


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return one database for all small files. To open a database takes longer than to read a small file."""
    return duckdb.connect(":memory:", config={"memory_limit": "1GB", "threads": 1})


def _large_database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"preserve_insertion_order": True})


def _lines_from(path: Path, line: int) -> int:
    """Count the lines of a file from this line to the end, up to 11."""
    with path.open(encoding="utf-8") as file:
        return sum(1 for _ in islice(file, line - 1, line + 10))


def _reason(message: str, path: Path) -> str:
    """Rewrite an error message of DuckDB as a sentence with the line and the fix."""
    line = re.search(r"Line: (\d+)", message)
    original = re.search(r"Original Line: (.*)", message)
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    where = f"line {line[1]}" if line else "a line"
    shown = f" ({shortened(repr(original[1]))})" if original else ""
    if counts:
        last = _lines_from(path, int(line[1])) if line else 0
        footer = f", or leave out the last {last} lines with data.skip_footer={last}" if 0 < last <= 10 else ""
        return f"{where} has {counts[2]} entries, most lines have {counts[1]}{shown}: correct the line{footer}"
    if "quote" in message:
        return f'{where} has an opening quote without a closing one{shown}: close it, or double a " within an entry'
    if "Maximum line size" in message:
        return f"{where} is longer than 2 MB: write one row per line"
    return f"{where}{shown}: {shortened(message.splitlines()[0], 120)}"
