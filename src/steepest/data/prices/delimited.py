"""Splits the text of a delimited file, such as CSV, into columns.

`layout.py` finds the separator and the header, and DuckDB splits the rows. The columns are text. Only the columns of a
large file can be read with types, and `typed.py` decides on these.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from steepest.data.faults import shortened
from steepest.data.prices.content import Text, open_file
from steepest.data.prices.layout import SEPARATORS, Layout, find_layout, names_of
from steepest.data.prices.memory import empty

SAMPLE = 10_000  # the first rows, from which the roles and the formats of columns are found
BATCH_ROWS, BATCH_BYTES = 2**17, 2**17  # parts of a large file that are read at once


@dataclass(frozen=True)
class Delimited:
    """The columns of a text file.

    Attributes:
        rows: all rows, or the first `SAMPLE` rows of a large file, as text.
        dialect: a description of the format.
        header_line: the line of the header, or 0.
        read: for a large file, a function that reads all rows of the columns at the given positions, in the given
            types of DuckDB, with the given date format. It also returns the block of `_joined`.
    """

    rows: pa.Table
    dialect: str
    header_line: int
    read: Callable[[Mapping[int, str], str | None], tuple[pa.Table, np.ndarray | None]] | None


def split(text: Text, header: bool | None, skip_footer: int, separator: str | None) -> Delimited:
    """Split the text of a file into columns.

    Raises:
        ValueError: if the text is not a table. The message names the first faulty line.
    """
    _check_kind(text)
    end = None
    if text.path is not None and skip_footer:
        body = text.head
        end, footer = _end_of(text.path, skip_footer)
    else:
        body, footer = _without_footer(text.head, skip_footer)
    layout = find_layout(text.name, body[: 2**18], header, separator)
    _check_one_header(text.name, body, layout)
    if layout.separator == " " and text.path is not None:
        again = open_file(text.path, "utf-8", whole=True)
        assert isinstance(again, Text)
        return split(again, header, skip_footer, separator)
    if text.path is not None:
        read = _Reader(text.name, text.path, layout, end)
        rows = read.text(SAMPLE)
    else:
        body = "\n".join("\t".join(line.split()) for line in body.split("\n")) if layout.separator == " " else body
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "text.csv"
            path.write_text(body if body.endswith("\n") else body + "\n", encoding="utf-8", newline="")
            rows = _Reader(text.name, path, layout, parallel=False).text()
        _check_count(text.name, body, layout, len(rows))
        rows = _without_blank(rows)
    names = names_of(layout)
    if not len(rows):
        raise ValueError(f"{text.name}: the file has no rows after the header {shortened(names, 200)}")
    for column in rows.columns[len(names) :]:
        if column.null_count < len(column):
            row = int(pc.index(pc.is_valid(column), True).as_py())
            raise ValueError(
                f"{text.name}: cannot be read as a table: line {layout.skip + row + 1} has more entries than the "
                f"header {shortened(names, 200)} has names: correct the line, name every column, or quote "
                "numbers with a decimal comma"
            )
    dialect = f"{next(word for word, sign in SEPARATORS.items() if sign == layout.separator)}-separated"
    if layout.header_line > 1:
        dialect += f", header in line {layout.header_line}"
    if not layout.header:
        dialect += ", without a header"
    if footer:
        dialect += f", without the end from {shortened(repr(footer))} on"
    rows = rows.select(range(len(names))).rename_columns(names)
    return Delimited(rows, dialect, layout.header_line, read if text.path is not None else None)


def _check_kind(text: Text) -> None:
    """Raise if the text is not a table but another well-known format."""
    start = text.head.lstrip()[:200].lower()
    if not start:
        raise ValueError(f"{text.name}: the file is empty")
    if re.match(r"(<!--.*?-->\s*)?<(!doctype|html|\?xml|head|body|table)", start, re.DOTALL):
        raise ValueError(f"{text.name}: this is a web page (HTML or XML), not a table: download the data again, as CSV")
    if start.startswith(("{", "[")) and not start.startswith(("[]", "{}")) and ('"' in start or start[1:2] in "[{\n "):
        raise ValueError(
            f"{text.name}: this is JSON, not a table: write it as CSV, as in pandas.read_json(...).to_csv(...)"
        )


def _check_one_header(where: str, body: str, layout: Layout) -> None:
    """Raise if the line of the header occurs again."""
    lines = body.split("\n")
    names = lines[layout.header_line - 1].strip() if layout.header_line else ""
    rest = (n for n, line in enumerate(lines[layout.skip :], layout.skip + 1) if line.strip() == names)
    if names and (repeated := next(rest, None)) is not None:
        raise ValueError(
            f"{where}: line {repeated} repeats the header {shortened(repr(names))}: if the file has several tables, "
            "write each to a separate file, and read them with data.path='FOLDER/*.csv'; otherwise remove the line"
        )


def _without_footer(body: str, count: int) -> tuple[str, str]:
    """Return the text without its last `count` lines, and the first of the removed lines.

    Lines without an entry are not counted, and an entry of several lines is not divided.
    """
    if not count:
        return body, ""
    line, end, quotes = "", len(body), body.count('"')
    even = quotes % 2 == 0
    while end > 0 and (count > 0 or (even and quotes % 2)):
        start = body.rfind("\n", 0, end)
        line, end = body[start + 1 : end], max(start, 0)
        quotes -= line.count('"')
        count -= bool(line.strip(' ,;\t|"'))
    return body[:end] + "\n" if end else "", line


def _end_of(path: Path, count: int) -> tuple[int, str]:
    """Return the number of bytes of a large file before its last lines, and the first of these."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - BATCH_BYTES))
        last = file.read()
    kept, footer = _without_footer(last.decode("latin-1"), count)  # latin-1 has one byte per character
    if not kept:
        raise ValueError(
            f"{path.name}: the last {count} lines (data.skip_footer) are longer than {BATCH_BYTES} bytes: lower "
            "data.skip_footer"
        )
    return size - len(last) + len(kept) - 1, footer.encode("latin-1").decode("utf-8", "replace")


@dataclass(frozen=True)
class _Reader:
    """Reads columns of a file with DuckDB, up to the byte `end`. `name` is the file's name for messages."""

    name: str
    path: Path
    layout: Layout
    end: int | None = None
    parallel: bool = True

    def text(self, limit: int | None = None) -> pa.Table:
        """Return all columns as text."""
        with self._cut() as cut:
            return cut._rows(dict.fromkeys(range(self.layout.width), "VARCHAR"), None, limit)[0]

    def __call__(self, kinds: Mapping[int, str], date_format: str | None) -> tuple[pa.Table, np.ndarray | None]:
        """Return the columns at these positions with the given DuckDB types, and the block of `_joined`.

        Blank rows are left out.
        """
        with self._cut() as cut:
            lines, quotes = cut._lines_and_quotes()
            arrow, block = cut._rows(kinds, date_format, None, lines - self.layout.skip)
            cut._check_rows_on_disk(len(arrow), lines, quotes)
        return _without_blank(arrow), block

    @contextmanager
    def _cut(self) -> Iterator[_Reader]:
        """Yield a reader for a copy of the file that ends at byte `end`."""
        if self.end is None:
            yield self
            return
        with tempfile.TemporaryDirectory() as folder, self.path.open("rb") as file:
            copy = Path(folder) / "text.csv"
            with copy.open("wb") as out:
                while (rest := self.end - file.tell()) > 0 and (chunk := file.read(min(BATCH_BYTES, rest))):
                    out.write(chunk)
            yield replace(self, path=copy, end=None)

    def _rows(
        self, kinds: Mapping[int, str], date_format: str | None, limit: int | None, expected: int = 0
    ) -> tuple[pa.Table, np.ndarray | None]:
        chosen = ", ".join(f"c{i}" for i in kinds)
        dates = f", timestampformat='{date_format}'" if date_format else ""
        with _large_database() if self.parallel else _database().cursor() as database:
            try:
                database.execute("SET enable_progress_bar = false")
                relation = database.sql(
                    f"SELECT {chosen} FROM read_csv($path, columns=$columns, auto_detect=false, header=false, "
                    "delim=$delim, quote='\"', escape='\"', skip=$skip, null_padding=false, parallel=$parallel"
                    f"{dates}) " + (f"LIMIT {limit}" if limit else ""),
                    params={
                        "path": str(self.path),
                        "columns": {f"c{i}": kinds.get(i, "VARCHAR") for i in range(self.layout.width)},
                        "delim": "\t" if self.layout.separator == " " else self.layout.separator,
                        "skip": self.layout.skip,
                        "parallel": self.parallel,
                    },
                )
                if "VARCHAR" in kinds.values():
                    return relation.to_arrow_table(), None
                return _joined(relation.to_arrow_reader(BATCH_ROWS), max(expected, 0))
            except duckdb.Error as error:
                _database.cache_clear()  # an internal error leaves a database unusable
                reason = _reason(str(error), self.path)
                raise ValueError(f"{self.name}: cannot be read as a table: {reason}") from None

    def _lines_and_quotes(self) -> tuple[int, int]:
        """Count the lines and the quotation marks of the file."""
        lines, quotes, last = 0, 0, ord("\n")
        with self.path.open("rb") as file:
            while chunk := file.read(2**20):
                signs = np.frombuffer(chunk, np.uint8)  # faster than bytes.count
                lines += int(np.count_nonzero(signs == ord("\n")))
                quotes += int(np.count_nonzero(signs == ord('"')))
                last = chunk[-1]
        return lines + (last != ord("\n")), quotes

    def _check_rows_on_disk(self, found: int, lines: int, quotes: int) -> None:
        """Raise if the file has more rows than DuckDB read, as after an opening quote without a closing one."""
        if not quotes or (quotes % 2 == 0 and lines == found + self.layout.skip):
            return
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            for _ in range(self.layout.skip):
                file.readline()
            count = sum(bool(record) for record in csv.reader(file, delimiter=self.layout.separator))
        if quotes % 2 or count != found:
            raise ValueError(
                f"{self.name}: cannot be read as a table: the file has {count} rows, but {found} were read: look for "
                'an opening quote without a closing one, and write "" for a quote within an entry'
            )


def _joined(batches: pa.RecordBatchReader, expected: int) -> tuple[pa.Table, np.ndarray | None]:
    """Copy batches into one array per column, so that a large file is not in memory twice.

    Args:
        batches: columns of numbers and times.
        expected: the number of rows if every line is one row.

    Returns:
        The columns, and the block: the array (float columns, rows) whose rows are the float columns, or None if the
        number of rows is not as expected.
    """
    kinds = [field.type.to_pandas_dtype() for field in batches.schema]
    block = empty((kinds.count(np.float64), expected))
    floats = iter(block)
    columns = [next(floats) if kind is np.float64 else empty((expected,), kind) for kind in kinds]
    nulls = [False] * len(kinds)
    end = 0
    for batch in batches:
        start, end = end, end + batch.num_rows
        if end > len(columns[0]):
            columns = [np.concatenate([column, np.empty(end, column.dtype)]) for column in columns]
        for i, entries in enumerate(batch.columns):
            columns[i][start:end] = entries.to_numpy(zero_copy_only=False)
            nulls[i] |= entries.null_count > 0
    arrays = [pa.array(c[:end], from_pandas=null) for c, null in zip(columns, nulls, strict=True)]
    return pa.table(arrays, names=batches.schema.names), block if end == expected else None


def _without_blank(arrow: pa.Table) -> pa.Table:
    """Remove rows without an entry. A spreadsheet may write ``,,,`` below the table."""
    blank = None
    for column in arrow.columns:
        if pa.types.is_string(column.type):
            column = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
        blank = pc.is_null(column) if blank is None else pc.and_(blank, pc.is_null(column))
        if not pc.any(blank).as_py():
            return arrow
    return arrow.filter(pc.invert(blank))


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
            ((i, line) for i, line in enumerate(body.split("\n")) if line.count('"') % 2),
            (layout.skip, lines[0] if lines else ""),
        )
        raise ValueError(
            f"{where}: cannot be read as a table: line {number + 1} ({shortened(repr(line))}) has an opening "
            'quote without a closing one: close it, or write "" for a quote within an entry'
        )


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return one database for all small files. Opening a database takes longer than reading a small file."""
    return duckdb.connect(":memory:", config={"memory_limit": "1GB", "threads": 1})


def _large_database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"preserve_insertion_order": True})


def _lines_from(path: Path, line: int) -> int:
    """Count the lines with an entry from this line to the end, up to 11."""
    count = 0
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            count += number >= line and bool(text.strip(' ,;\t|"\n'))
            if count > 10:
                break
    return count


def _reason(message: str, path: Path) -> str:
    """Rewrite an error message of DuckDB as a sentence with the line and the fix."""
    line = re.search(r"Line: (\d+)", message)
    original = re.search(r"Original Line: (.*)", message)
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    where = f"line {line[1]}" if line else "a line"
    shown = f" ({shortened(repr(original[1]))})" if original else ""
    if counts:
        last = _lines_from(path, int(line[1])) if line else 0
        footer = f", or skip the end of the file with data.skip_footer={last}" if 0 < last <= 10 else ""
        return f"{where} has {counts[2]} entries, most lines have {counts[1]}{shown}: correct the line{footer}"
    if "quote" in message:
        return f'{where} has an opening quote without a closing one{shown}: close it, or double a " within an entry'
    if "Maximum line size" in message:
        return f"{where} is longer than 2 MB: write one row per line"
    return f"{where}{shown}: {shortened(message.splitlines()[0], 120)}"
