"""Reads damaged, hostile and odd files. Each must give a frame or a `ValueError` within limits of time and memory.

If a mutated CSV file is accepted, an independent parser (the csv module, `date.fromisoformat`, `float`) must find the
same values. python -m tests.campaign.files --count 25000
"""

from __future__ import annotations

import argparse
import bz2
import collections
import csv
import datetime
import gzip
import io
import logging
import lzma
import os
import random
import resource
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from steepest import read_prices

SECONDS, BYTES, LENGTH = (
    5.0,
    2 * 2**30,
    30_000,
)  # limits: seconds, memory, characters of a message
DAYS = pd.bdate_range("2021-01-04", periods=60)
PRICES = np.round(100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.02, 60))), 2)
PLAIN = "date,close,volume\n" + "".join(
    f"{d:%Y-%m-%d},{p},{1000 + 7 * i}\n" for i, (d, p) in enumerate(zip(DAYS, PRICES, strict=True))
)
ODD = [
    "", "\n", ",", "9" * 400, "1e308", "-1e308", "1e-320", "inf", "nan", "TRUE", "0", "-0", "1_000", "0x1F", "١٢٣", "½", "1,5",
    '"', '""', '"\n"', "\t", ";", "|", "\0", "\ufeff", "\u202e", "a" * 5000, "2021-13-45", "0000-00-00", "9999-12-31",
    "1e308", "253402300800", "-1", "12/31/1", "Feb 30", "24:00:00", "2021-01-04T25:00", "<html>", "{", "[1]", "=1+1", "'", "\\",
    "1.023", "991", "1,234", "$5", "(3)", "5%", "1.2M", "date", "close", "Average",
]  # fmt: skip


def parquet(frame: pd.DataFrame) -> bytes:
    """Return a frame as the bytes of a Parquet file."""
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


def workbook(frame: pd.DataFrame) -> bytes:
    """Return a frame as the bytes of an Excel file."""
    out = io.BytesIO()
    frame.to_excel(out, index=False)
    return out.getvalue()


def zipped(text: bytes) -> bytes:
    """Return a zip archive with one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("prices.csv", text)
    return out.getvalue()


FRAME = pd.DataFrame({"date": DAYS, "close": PRICES, "volume": np.arange(60)})
PACKED = {
    "prices.csv": PLAIN.encode(),
    "prices.csv.gz": gzip.compress(PLAIN.encode()),
    "prices.csv.bz2": bz2.compress(PLAIN.encode()),
    "prices.csv.xz": lzma.compress(PLAIN.encode()),
    "prices.csv.zst": pa.compress(PLAIN.encode(), "zstd", asbytes=True),
    "prices.zip": zipped(PLAIN.encode()),
    "prices.parquet": parquet(FRAME),
    "prices.xlsx": workbook(FRAME),
}


def bombs() -> dict[str, bytes]:
    """Return small files with large contents, and frames of unusual types."""
    zeros, rows = bytes(2**24), b"2021-01-04,1.5\n" * 2**20
    stream = io.BytesIO()
    with gzip.open(stream, "wb", 9) as file:
        for _ in range(64):
            file.write(zeros)  # 1 GiB
    text = io.BytesIO()
    with gzip.open(text, "wb", 1) as file:
        for _ in range(64):
            file.write(rows)  # 0.94 GiB
    odd = {
        "bool.parquet": FRAME.assign(close=FRAME["close"] > 100),
        "null.parquet": pd.DataFrame({"date": [None] * 5, "close": [None] * 5}),
        "dates.parquet": pd.DataFrame({"date": [1e308, -1e308, np.nan], "close": [1.0, 2, 3]}),
        "huge.parquet": pd.DataFrame({"date": DAYS[:3], "close": [1e308, -1e308, 1e300]}),
        "nested.parquet": pd.DataFrame({"date": DAYS[:3], "close": [[1], [2], [3]]}),
        "bytes.parquet": pd.DataFrame({"date": DAYS[:3], "close": [b"1", b"2", b"3"]}),
        "empty.parquet": pd.DataFrame({"date": DAYS[:0], "close": []}),
        "rows.parquet": pd.DataFrame({"date": ["2021-01-04"] * 3_000_000, "close": 1.0}),
        "columns.parquet": pd.DataFrame(np.ones((2, 6000)), columns=[f"c{i}" for i in range(6000)]).assign(
            date=DAYS[:2]
        ),
    }
    return {
        "zeros.csv.gz": stream.getvalue(),
        "text.csv.gz": text.getvalue(),
        "zeros.csv": bytes(2**20),
        "line.csv": b"date,close\n" + b"1" * 30_000_000,
        "commas.csv": b"," * 5_000_000,
        "quotes.csv": b'"' * 5_000_000,
        "open.csv": b'date,close\n"' + rows,
        "newlines.csv": b"\n" * 5_000_000,
        "names.csv": ("date," + ",".join(f"c{i}" for i in range(50_000)) + "\n").encode() * 20,
        "same.csv": b"date,close\n" + rows,
        "ids.csv": b"date,ticker,close\n" + b"".join(b"2021-01-04,t%d,%d\n" % (i, i) for i in range(200_000)),
        "words.csv": b"date,close\n" + b"".join(b"%x,%x\n" % (i * 7919, i) for i in range(300_000)),
        **{name: parquet(frame) for name, frame in odd.items()},
    }


def mutated(seed: int) -> tuple[str, bytes]:
    """Return a file with one to four random changes."""
    rng = random.Random(seed)
    name = rng.choice(["prices.csv"] * 8 + list(PACKED))
    if name == "prices.csv" and rng.random() < 0.7:
        rows = list(csv.reader(io.StringIO(PLAIN)))
        for _ in range(rng.randint(1, 4)):
            row = rng.choice(rows)
            place = rng.randrange(len(row)) if row else 0
            change = rng.random()
            if change < 0.6 and row:
                row[place] = rng.choice(ODD)
            elif change < 0.7 and row:
                del row[place]
            elif change < 0.8:
                row.insert(place, rng.choice(ODD))
            elif change < 0.9:
                rows.insert(rng.randrange(len(rows)), list(rng.choice(rows)))
            else:
                rows.remove(row)
                rows = rows or [[]]
        return name, "\n".join(",".join(row) for row in rows).encode("utf-8", "replace")
    data = bytearray(PACKED[name])
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(max(1, len(data)))
        change = rng.random()
        if change < 0.5 and data:
            data[place % len(data)] = rng.randrange(256)
        elif change < 0.65:
            del data[place : place + rng.randint(1, 40)]
        elif change < 0.8:
            data[place:place] = rng.randbytes(rng.randint(1, 40))
        elif change < 0.9:
            del data[place:]
        else:
            data[place:place] = data[: rng.randint(1, 200)]
    return name, bytes(data)


def independent(text: str) -> dict[datetime.date, list[float]] | None:
    """Return the prices of a plain CSV file by date, or None if the file is not plain."""
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    found: dict[datetime.date, list[float]] = collections.defaultdict(list)
    try:
        place = [cell.strip().lower() for cell in rows[0]].index("close")
        for row in rows[1:]:
            found[datetime.date.fromisoformat(row[0].strip())].append(float(row[place].replace("_", "x")))
    except (ValueError, IndexError):
        return None
    return found


def outcome(path: Path) -> str:
    """Read a file. Return `frame`, `message`, or a description of the fault."""
    started = time.perf_counter()
    compared = ""
    try:
        frame = read_prices(path)
        compared = _compared(path, frame)
    except ValueError as error:
        if type(error) is not ValueError:
            return f"WRONG {type(error).__name__}: {str(error)[:200]}"
        if len(str(error)) > LENGTH:
            return f"WRONG message of {len(str(error))} characters"
        compared = "message"
    except Exception as error:  # a fault that the campaign must report
        return f"WRONG {type(error).__name__}: {str(error)[:200]}"
    seconds = time.perf_counter() - started
    if seconds > SECONDS:
        return f"WRONG {seconds:.1f} s"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > BYTES:
        return "WRONG memory"
    return compared


def _compared(path: Path, frame: pd.DataFrame) -> str:
    """Compare an accepted plain CSV file with the independent parser."""
    if path.suffix != ".csv" or frame.attrs["recognised"]["value"] != "close":
        return "frame"
    found = independent(path.read_text(encoding="utf-8-sig", errors="replace"))
    if found is None:
        plain = (
            frame.attrs["recognised"]["date_format"] == "%Y-%m-%d"
            and frame.attrs["recognised"]["numbers"] == "plain numbers"
        )
        return "frame, only read by steepest" if plain else "frame, not plain"
    for (_, day), value in frame["value"].items():
        if value not in found.get(day.date(), []):
            return f"WRONG value {value} on {day}"
    return "frame, compared" if len(frame) == sum(map(len, found.values())) else "WRONG number of rows"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Read damaged and hostile files: each must give a correct frame or a message."
    )
    parser.add_argument("--count", type=int, default=25_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    results: collections.Counter[str] = collections.Counter()
    started, slowest = time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.mkfifo(folder / "pipe.csv")
        for path in [folder / "pipe.csv", Path("/dev/zero"), Path("https://example.org/prices.csv"), folder]:
            results[tell(str(path), outcome(path))] += 1
        cases = [*bombs().items(), *(mutated(seed) for seed in range(given.seed, given.seed + given.count))]
        for number, (file, data) in enumerate(cases):
            path = folder / file
            path.write_bytes(data)
            before = time.perf_counter()
            results[tell(f"{file} (seed {number - len(cases) + given.count + given.seed})", outcome(path))] += 1
            slowest = max(slowest, time.perf_counter() - before)
            path.unlink()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{sum(results.values())} files in {time.perf_counter() - started:.0f} s, slowest {slowest:.1f} s, {memory:.2f} GiB"
    )
    for kind, count in results.most_common():
        print(f"{count:7} {kind}")
    raise SystemExit(any(kind.startswith("WRONG") for kind in results))


def tell(what: str, result: str) -> str:
    """Print a wrong result. Return the kind of the result."""
    if result.startswith("WRONG"):
        print(f"{what}: {result}", flush=True)
        return "WRONG"
    return result


if __name__ == "__main__":
    main()
