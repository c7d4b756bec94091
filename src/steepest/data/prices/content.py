"""Reads a file as text, or as a Parquet table. The memory is limited for every file.

This file decompresses and decodes. It does not look for columns.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from steepest.data.faults import did_you_mean, shortened
from steepest.data.prices.layout import WIDEST

LIMIT = 256 * 2**20  # maximum number of bytes of text in memory
LARGE = 16 * 2**20  # a plain file with more bytes is read from disk
HEAD = 2**18  # the file type is found from this number of bytes at its start
CELLS = 2_000_000  # maximum number of cells of a workbook
ROWS_PER_BYTE = 50  # a Parquet file with more rows per byte is refused
LIKELY = ("cp1252", "shift_jis", "gb18030", "euc_kr")  # encodings to suggest, the most likely first

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zip": "zip", ".xlsx": "zip"}
_SUFFIXES |= {".parquet": "parquet", ".pq": "parquet"}
_BINARY = {
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls): save it as .xlsx or CSV",
    b"%PDF": "a PDF document: export the table as CSV",
    b"SQLite format": "an SQLite database: export the table as CSV",
    b"\x89HDF": "an HDF5 file: write the table with pandas to Parquet",
    b"ARROW1": "an Arrow file: write the table to Parquet",
    b"\x93NUMPY": "a NumPy file: write the table to CSV",
    b"\x80\x04": "a pickle, which can run code: write the table to Parquet",
}


@dataclass(frozen=True)
class Text:
    """The text of a file, without a byte-order mark and with ``\\n`` at the end of each line.

    Attributes:
        name: the file's name, for messages.
        head: the text, or its first lines if the file is read from disk.
        path: the file to read from disk, or None if `head` is the whole text.
    """

    name: str
    head: str
    path: Path | None = None


def open_file(path: Path, encoding: str | None = None, whole: bool = False) -> Text | pq.ParquetFile:
    """Return the text of a file, or the open Parquet file. The text of a large file stays on disk, unless `whole`.

    Raises:
        ValueError: if the file does not exist or is neither text nor Parquet. The message names the file type.
    """
    if re.match(r"\w+:/", str(path)):
        raise ValueError(f"data.path={path}: web addresses are not supported: download the file and give its path")
    if not path.exists():
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*")], cutoff=0.75)
        raise ValueError(f"data.path={shortened(path, 200)}: there is no such file{near}")
    if path.is_dir():
        raise ValueError(
            f"data.path={path} is a folder: give the path of a file in it, or a pattern such as {path}/*.csv"
        )
    if not path.is_file():
        raise ValueError(f"data.path={path} is not a regular file: copy its contents into one")
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path.name}: the file is empty")
    try:
        with path.open("rb") as file:
            return _opened(path, file, size, encoding, whole)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be read: {shortened(error, 200)}") from None


def _opened(path: Path, file: IO[bytes], size: int, encoding: str | None, whole: bool) -> Text | pq.ParquetFile:
    start = file.read(8)
    file.seek(0)
    kind = next((k for magic, k in _COMPRESSED.items() if start.startswith(magic)), None)
    kind = "zip" if start.startswith(b"PK\x03\x04") else "parquet" if start.startswith(b"PAR1") else kind
    named = _SUFFIXES.get(path.suffix.lower())
    if named and kind != named:
        raise ValueError(f"cannot be read as a table: its name ends in {path.suffix}, but it is not a {named} file")
    for magic, what in _BINARY.items():
        if start.startswith(magic):
            raise ValueError(f"this is {what}")
    if kind == "parquet":
        return _parquet(path, size)
    if kind == "zip":
        return _zipped(path, file, encoding)
    if kind is not None:
        return Text(path.name, decoded(_decompressed(file, kind), encoding))
    head = file.read(HEAD)
    if size > LARGE and not whole and (encoding is None or encoding.lower().replace("-", "") == "utf8"):
        lines = head[: head.rfind(b"\n") + 1]
        rest = head.rstrip(b"\r").replace(b"\r\n", b"")
        mixed = b"\r" in rest or (b"\r\n" in head and b"\n" in rest)
        if lines and not mixed and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return Text(path.name, decoded(lines, "utf-8-sig"), path)
    if size > LIMIT:
        fix = "separate the columns with commas" if whole else "save it as UTF-8, with the same end on each line"
        raise ValueError(f"{size / 2**20:.0f} MiB of text, but the limit is {LIMIT >> 20} MiB: {fix}")
    return Text(path.name, decoded(head + file.read(), encoding))


def decoded(data: bytes, encoding: str | None) -> str:
    """Decode bytes and convert line ends to ``\\n``.

    Without `encoding`, the bytes must be UTF-8, or UTF-16 with a byte-order mark or its typical zero bytes.
    """
    if encoding is None:
        sample = data[:4096]
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            encoding = "utf-16"
        elif b"\0" in sample:
            even, odd = sample[::2].count(0), sample[1::2].count(0)
            if min(even, odd) * 4 > max(even, odd):
                raise ValueError("cannot be read as a table: it contains bytes that are not text")
            encoding = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = data.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        likely = next((e for e in LIKELY if _decodes(data, e)), "latin-1")
        shown = data[max(0, error.start - 20) : error.start + 10].decode(likely, "replace")
        raise ValueError(
            f"line {line} is not {encoding or 'UTF-8'}: give data.encoding={likely} if {shown!r} looks right, or "
            "another encoding such as gb18030 or shift_jis"
        ) from None
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        raise ValueError("cannot be read as a table: it contains bytes that are not text")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def _decompressed(file: IO[bytes], kind: str) -> bytes:
    """Decompress a file of at most `LIMIT` bytes."""
    opened: IO[bytes]
    try:
        if kind == "zstd":
            opened = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
        else:
            opened = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}[kind](file)  # type: ignore[operator]
        return _read_limited(opened)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        raise ValueError(f"cannot be read: the {kind} data are damaged ({shortened(error, 100)})") from None


def _read_limited(opened: IO[bytes]) -> bytes:
    parts: list[bytes] = []
    total = 0
    while part := opened.read(2**22):
        if not parts and part[:4096].count(0) == len(part[:4096]):
            raise ValueError("cannot be read as a table: it contains zero bytes only")
        parts.append(part)
        total += len(part)
        if total > LIMIT:
            raise ValueError(
                f"more than {LIMIT >> 20} MiB when decompressed: decompress it, and give the new file's path"
            )
    if not total:
        raise ValueError("the file is empty")
    return b"".join(parts)


def _zipped(path: Path, file: IO[bytes], encoding: str | None) -> Text:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if "xl/workbook.xml" in names:
                if sum(info.file_size for info in archive.infolist()) > LIMIT:
                    raise ValueError(f"more than {LIMIT >> 20} MiB when decompressed: save the sheet as CSV")
                return Text(path.name, _workbook(path))
            members = [n for n in names if not n.endswith("/") and not n.startswith("__MACOSX")]
            if len(members) != 1:
                raise ValueError(
                    f"the archive contains {len(members)} files {shortened(members[:5], 200)}: extract the one you mean"
                )
            with archive.open(members[0]) as member:
                return Text(path.name, decoded(_read_limited(member), encoding))
    except ValueError:
        raise
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, OSError, EOFError, KeyError) as error:
        raise ValueError(f"cannot be read: the zip archive is damaged or encrypted ({shortened(error, 100)})") from None
    except lzma.LZMAError as error:
        raise ValueError(f"cannot be read: the zip archive is damaged ({shortened(error, 100)})") from None


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _workbook(path: Path) -> str:
    """Return the only sheet with contents as CSV text, with ISO dates."""
    try:
        import openpyxl  # an optional dependency
    except ImportError:
        raise ValueError(
            "an Excel file needs the extra 'excel': pip install -e '.[excel]', or save it as CSV"
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        texts = {}
        cells = 0
        for sheet in book.worksheets:
            if (sheet.max_column or 0) > WIDEST or (sheet.max_row or 0) * (sheet.max_column or 0) > CELLS:
                raise ValueError(
                    f"sheet '{shortened(sheet.title)}' has {sheet.max_row} rows and {sheet.max_column} columns: delete "
                    f"entries outside of the table, or save it as CSV"
                )
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            for row in sheet.iter_rows(values_only=True):
                cells += len(row)
                if cells > CELLS:
                    raise ValueError(f"the workbook has more than {CELLS} cells: save the sheet as CSV")
                writer.writerow([_cell(cell) for cell in row])
            if out.getvalue().strip(',\n"'):
                texts[sheet.title] = out.getvalue()
    except ValueError as error:
        if type(error) is ValueError and re.match("sheet '|the workbook", str(error)):
            raise
        raise ValueError(f"cannot be read as a workbook: {shortened(error, 100)}") from None
    except Exception as error:  # openpyxl raises the errors of several libraries for damaged files
        raise ValueError(f"cannot be read as a workbook: {shortened(error, 100)}") from None
    if len(texts) != 1:
        raise ValueError(
            f"the workbook has {len(texts)} sheets with contents {list(texts)[:5]}: save the one you mean as CSV"
        )
    return next(iter(texts.values()))


def _cell(cell: object) -> str:
    """Return a cell as text, without midnight: a workbook stores a date as a time, and clock times may be separate."""
    if cell is None:
        return ""
    return str(cell).removesuffix(" 00:00:00") if isinstance(cell, datetime) else str(cell)


def _parquet(path: Path, size: int) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, thrift_string_size_limit=2**24, thrift_container_size_limit=2**20)
        rows = file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"cannot be read as a table: {shortened(error, 100)}") from None
    if rows > max(10**6, ROWS_PER_BYTE * size):
        raise ValueError(f"cannot be read as a table: {rows} rows in {size} bytes")
    if rows == 0:
        raise ValueError(f"the file has no rows after the header {shortened(file.schema_arrow.names, 200)}")
    return file
