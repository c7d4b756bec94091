"""The command `steepest data FILE`: show how a file of prices is read, and write the checked prices."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from steepest.data.faults import did_you_mean
from steepest.data.files import read_prices
from steepest.data.prices.options import PriceOptions
from steepest.data.prices.show import described_lines
from steepest.runs.quoting import hydra_quoted, train_command


def describe_file(path: str, options: list[str], write: Path | None) -> Iterator[str]:
    """Yield lines that describe how a file is read. The options are overrides of ``train.py``.

    Raises:
        ValueError: if an option is wrong, if `write` cannot be written, or if the file is refused.
    """
    if write is not None and write.suffix not in (".parquet", ".pq"):
        raise ValueError(f"--write {write}: the file name must end in .parquet or .pq")
    if write is not None and not write.parent.is_dir():
        raise ValueError(f"--write {write}: there is no folder {write.parent}: create it, or give another")
    logging.getLogger("steepest").setLevel(logging.ERROR)  # the notes are printed
    frame = read_prices(path, **parsed_options(options))
    yield from described_lines(frame)
    if write is not None:
        yield _write(frame, write)


def parsed_options(options: list[str]) -> dict[str, Any]:
    """Options of the command line as values, parsed as ``train.py`` does."""
    names, given, parser = [field.name for field in fields(PriceOptions)], {}, OverridesParser.create()
    for option in options:
        key, equals, text = option.removeprefix("data.").partition("=")
        if key not in names or not equals:
            wrong = "is not a key of data=csv" if equals else "is not KEY=VALUE"
            raise ValueError(f"{option} {wrong}{did_you_mean(key, names)}; the keys are {', '.join(names)}")
        try:
            override = parser.parse_override(f"{key}={text}")
        except HydraException:
            override = None
        if override is None or override.is_sweep_override():
            raise ValueError(f'{option}: quote the value, as in "data.{key}={hydra_quoted(text)}"')
        given[key] = override.value()
    return given


def _write(frame: pd.DataFrame, path: Path) -> str:
    """Write checked prices, and return a line that says how to read them."""
    names = [str(name) for name in frame.columns[1:]]
    if frame.index.has_duplicates:
        raise ValueError(
            f"--write {path}: some times occur twice (end of daylight saving time), and the file cannot store "
            "UTC offsets: train on the original file"
        )
    if taken := {*names} & {"series", "date", "value"}:
        raise ValueError(
            f"--write {path}: rename the input columns {sorted(taken)}: the written file uses these names for its "
            "own columns"
        )
    frame = frame.copy()
    frame.attrs.clear()
    frame.reset_index().to_parquet(path, index=False)
    inputs = [f"data.features={names}"] if names else []
    options = [f"data.path={hydra_quoted(str(path))}", "data.id=series", "data.date=date", "data.value=value", *inputs]
    return f"Written: {path}; train with {train_command(['data=csv', *options])}"
