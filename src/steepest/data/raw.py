"""A CSV or Parquet file -> a pandas frame with its unchanged contents. `files.py` checks the contents."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd

from steepest.data.faults import did_you_mean


def read_raw(path: Path) -> pd.DataFrame:
    """The raw frame of a file, or a `ValueError` that says why it cannot be read."""
    if not path.exists():
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*")], cutoff=0.75)
        raise ValueError(f"data.path={path}: there is no such file{near}")
    if path.is_dir():
        raise ValueError(f"data.path={path} is a folder: give the path of a file in it")
    if path.stat().st_size == 0:
        raise ValueError(f"{path.name}: the file is empty")
    try:
        if path.suffix in (".parquet", ".pq"):
            raw = pd.read_parquet(path)
        else:
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8-sig") as file:
                header = file.readline()
            raw = pd.read_csv(path, sep=max(",;\t|", key=header.count), encoding="utf-8-sig", low_memory=False)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name}: the file is empty") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path.name}: cannot be read as a table: {error}") from error
    if raw.empty and raw.index.size == 0:
        raise ValueError(f"{path.name}: the file has no rows after the header {list(raw.columns)}")
    raw.columns = [str(c).strip() for c in raw.columns]
    if raw.columns[0] == "Unnamed: 0" and pd.api.types.is_integer_dtype(raw.iloc[:, 0]):
        raw = raw.iloc[:, 1:]  # row numbers that pandas wrote
    repeated = raw.columns[raw.columns.duplicated()].tolist()
    if repeated:
        raise ValueError(f"{path.name}: several columns have the same name: {repeated}")
    return raw


def dates_to_column(raw: pd.DataFrame) -> pd.DataFrame:
    """Turn the index into columns: Parquet files often keep dates and tickers there."""
    if isinstance(raw.index, pd.RangeIndex):
        return raw
    if raw.index.nlevels == 1 and raw.index.name is None and pd.api.types.is_integer_dtype(raw.index):
        return raw.reset_index(drop=True)  # row numbers left over from filtering
    names = [n or ("date" if i == 0 else f"level_{i}") for i, n in enumerate(raw.index.names)]
    return raw.reset_index(names=names)
