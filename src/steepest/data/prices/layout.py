"""Finds a text's layout: the separator, the lines above the header, the header rows and the number of columns.

Only the first rows are read. A separator fits if most rows have the same number of entries and one column has dates.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass

from steepest.data.prices.formats import looks_like_date
from steepest.data.prices.numbers import MISSING
from steepest.data.prices.words import KNOWN, normalised

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
RECORDS = 400  # the separator and the header are found from this number of rows
WIDEST = 4000  # maximum number of columns

_NUMBER = re.compile(r"^[(]?[-+]?\s*[$€£¥]?\s*[-+]?(\d[\d.,' ]*|\.\d+)([eE][+-]?\d+)?\s*[%KMBkmb€$]?[)]?$")
_LEVELS = {"", "price", "ticker", "tickers", "attributes", "symbol", "symbols"}


@dataclass(frozen=True)
class Layout:
    separator: str
    skip: int  # number of lines before the first data row
    header: list[list[str]]
    width: int
    header_line: int


def find_layout(where: str, head: str, header: bool | None, separator: str | None = None) -> Layout:
    """Find the separator, the header rows and the number of columns from the first lines."""
    lines = head.split("\n")
    if len(head) >= 2**18 - 4:
        lines = lines[:-1]  # the last line may be incomplete
    lines = lines[: 2 * RECORDS]
    declared = re.fullmatch(r'\s*"?sep=(.)"?\s*', lines[0]) if lines else None
    offset = 1 if declared else 0
    options = [SEPARATORS[separator]] if separator else [declared[1]] if declared else list(SEPARATORS.values())
    if declared and declared[1] not in SEPARATORS.values():
        raise ValueError(f"{where}: sep={declared[1]} is not a known separator: use a comma, semicolon, tab or |")
    best: tuple[tuple[float, ...], str, list[tuple[int, list[str]]], int] | None = None
    for sign in options:
        records = _records(lines[offset:], sign, offset)
        width, share, dated = _shape(records)
        regular = share >= 0.8 and width > 1
        if sign == " " and best is not None and best[0][1]:
            continue  # spaces separate words and times in entries; they separate columns if nothing else does
        # A separator is wrong if it splits quoted entries, which leaves quotation marks in them, or if it splits the
        # rows but not the header, as decimal commas do.
        unquoted = not any('"' in cell for _, cells in records for cell in cells)
        whole = sum(len(cells) == width for _, cells in records) / len(records) if regular else 0.0
        fits = dated and share >= 0.6 and width > 1
        score = (fits, regular, unquoted, whole, width if share >= 0.5 else 1, share)
        if best is None or score > best[0]:
            best = (score, sign, records, width)
    assert best is not None
    _, sign, records, width = best
    if not records:
        raise ValueError(f"{where}: the file is empty")
    start, rows = _header(records, width, header)
    _check_names_above(where, records, start, rows, width)
    usual = Counter(len(cells) for _, cells in records[start:]).most_common(1)
    wide = usual[0][0] if usual else width
    names = len(rows[-1][1]) if rows else 0
    while names > wide and not rows[-1][1][names - 1]:
        names -= 1
    if names > wide:
        raise ValueError(
            f"{where}: cannot be read as a table: the header has {names} names, most lines have {wide} entries: "
            "correct the header"
        )
    if wide > WIDEST:
        raise ValueError(f"{where}: {wide} columns; the limit is {WIDEST}: write the prices in rows")
    skip = records[start][0] if start < len(records) else len(lines)
    return Layout(sign, skip, [cells for _, cells in rows], wide, rows[-1][0] + 1 if rows else 0)


def _check_names_above(
    where: str, records: list[tuple[int, list[str]]], start: int, rows: list[tuple[int, list[str]]], width: int
) -> None:
    """Raise if the line above the first row of data has names, but too few: numbers have the separator as a sign."""
    if rows or start == 0:
        return
    line, cells = records[start - 1]
    if len(cells) > 1 and _known(cells) and not any(_NUMBER.match(cell) for cell in cells):
        raise ValueError(
            f"{where}: cannot be read as a table: the header, line {line + 1}, has {len(cells)} names, but most lines "
            f"have {width} entries: quote numbers with a decimal comma, or use another separator"
        )


def _records(lines: list[str], separator: str, offset: int) -> list[tuple[int, list[str]]]:
    """Return (line number, cells) of each line that is not blank.

    A line break within quotes splits a record, but this is rare and does not matter here.
    """
    found = []
    if separator == " ":
        return [(i + offset, line.split()) for i, line in enumerate(lines) if line.strip()]
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator)
    before = 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((before + offset, [cell.strip() for cell in cells]))
            before = reader.line_num
            if len(found) >= RECORDS:
                break
    except csv.Error:
        pass
    return found


def _shape(records: list[tuple[int, list[str]]]) -> tuple[int, float, bool]:
    """Return the most common number of cells in the last three quarters, its share, and whether a column has dates."""
    body = [cells for _, cells in records[len(records) // (4 if len(records) > 12 else 2) :]]
    if not body:
        return 1, 0.0, False
    width, count = Counter(len(cells) for cells in body).most_common(1)[0]
    usual = [cells for cells in body if len(cells) == width][:40]
    dated = any(sum(looks_like_date(cells[i]) for cells in usual) > len(usual) / 2 for i in range(min(width, 50)))
    return width, count / len(body), dated


def _header(
    records: list[tuple[int, list[str]]], width: int, header: bool | None
) -> tuple[int, list[tuple[int, list[str]]]]:
    """Return the index of the first data record, and the header records above it."""
    after = len(records) // (4 if len(records) > 12 else 2)
    body = [cells for _, cells in records[after:] if len(cells) == width] or [records[-1][1]]
    kinds = [_kind([cells[i] for cells in body[:60]]) for i in range(width)]
    if header is False:
        return 0, []
    if header is True:
        return 1, [records[0]]
    dated = [i for i, kind in enumerate(kinds) if kind == "date"]
    numeric = [i for i, kind in enumerate(kinds) if kind == "number"]

    def like_data(cells: list[str]) -> bool:
        key = dated or numeric
        if not key:
            return False
        cells = cells + [""] * (width - len(cells))
        if any(normalised(cells[i]) in KNOWN for i in (*dated, *numeric)):
            return False
        matches = [looks_like_date(cells[i]) if dated else _NUMBER.match(cells[i]) is not None for i in key]
        return len(cells) <= width + 1 and any(matches)

    first = next((i for i, (_, cells) in enumerate(records) if like_data(cells)), None)
    if first is None:
        return (1, [records[0]]) if len(records[0][1]) >= width - 1 else (len(records), records[:1])
    block: list[int] = []
    for i in range(first - 1, -1, -1):
        near = abs(len(records[i][1]) - width) <= 1 and (width > 1 or len(records[i][1]) == 1)
        if not near or (block and records[block[0]][0] - records[i][0] > 1):
            break
        block.insert(0, i)
    if not block:
        return first, []
    while (
        len(block) > 1 and any(_NUMBER.match(c) for c in records[block[-1]][1]) and not _sparse(records[block[-1]][1])
    ):
        above = records[block[-2]][1]
        if any(_NUMBER.match(c) for c in above) or _sparse(above):
            break
        first = block.pop()  # a data row with an invalid date
    above, last = (records[i][1] for i in (block[-2] if len(block) > 1 else block[-1], block[-1]))
    if _known(above) > _known(last) and (not _sparse(last) or not last[0]) and above[0].lower() not in _LEVELS:
        block.pop()  # a row of units below the names
    rows = [records[block[-1]]]
    if _sparse(rows[0][1]) and len(block) > 1:
        rows = [records[i] for i in block[-3:]]
    elif (
        len(block) > 1 and records[block[-2]][1][0].lower() in _LEVELS and len(records[block[-2]][1]) == len(rows[0][1])
    ):
        rows = [records[i] for i in block[-2:]]
    return first, rows


def _known(cells: list[str]) -> int:
    return sum(normalised(cell) in KNOWN for cell in cells if cell)


def _sparse(cells: list[str]) -> bool:
    return len(cells) > 1 and sum(bool(c) for c in cells) <= max(1, len(cells) // 3)


def _kind(cells: list[str]) -> str:
    """Return the type of most cells of a column: date, number, text or nothing."""
    filled = [c for c in cells if c.lower() not in MISSING]
    if not filled:
        return "nothing"
    if sum(looks_like_date(c) for c in filled) > len(filled) / 2:
        return "date"
    return "number" if sum(_NUMBER.match(c) is not None for c in filled) > len(filled) / 2 else "text"


def names_of(layout: Layout) -> list[str]:
    """Return the column names. Several header rows are joined."""
    if not layout.header:
        return [str(i) for i in range(layout.width)]
    if len(layout.header) == 1:
        names = list(layout.header[0])
        while len(names) > 1 and not names[-1]:
            names.pop()
        return [n or f"column {i}" for i, n in enumerate(names)]
    width = max(len(row) for row in layout.header)
    rows = [row + [""] * (width - len(row)) for row in layout.header]
    names = []
    for i in range(width):
        words = [row[i] for row in rows if row[i]]
        name = words[-1] if i == 0 and words else " ".join(dict.fromkeys(words)) or f"column {i}"
        names.append(name)
    return names
