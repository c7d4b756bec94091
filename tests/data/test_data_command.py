"""`steepest data FILE`: it reads a file as training does, and its mistakes have messages."""

import logging
import re
import shlex

import pandas as pd
import pytest
from conftest import composed
from typer.testing import CliRunner

from steepest.cli import app
from steepest.runs.config import check

DAYS = pd.bdate_range("2023-01-02", periods=30).strftime("%Y-%m-%d")
NAMES = ["% chg", "*Close", "No", "Close #1", "0700", "Volume"]


@pytest.fixture(autouse=True)
def level(caplog):
    caplog.set_level(logging.INFO, "steepest")  # restored after the test; the command changes it


@pytest.fixture
def wide(tmp_path):
    path = tmp_path / "wide.csv"
    rows = [",".join([d, *(str((k + 1) * 100 + i) for k in range(len(NAMES)))]) for i, d in enumerate(DAYS)]
    path.write_text("\n".join([",".join(["Date", *NAMES]), *rows]))
    return path


@pytest.fixture
def long(tmp_path):
    path = tmp_path / "long.csv"
    rows = [f"{d},{s},{b + i}" for i, d in enumerate(DAYS) for s, b in (("000008", 1), ("000010", 500), ("0700", 300))]
    path.write_text("\n".join(["date,code,close", *rows]))
    return path


def shown(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def trained(path, *overrides):
    """The frame that `train.py data=csv` reads with these overrides."""
    return check(composed("data=csv", f"data.path={path}", *overrides)).groups["data"]().read()


@pytest.mark.parametrize(("option", "series"), [("data.series=[000010]", "000010"),
     ("data.series=[0700,000008]", "0700"),
                                                ("data.series=['0700']", "0700")])  # fmt: skip
def test_the_command_keeps_the_series_that_training_keeps(long, option, series):
    answer = shown(long, option)
    assert answer.exit_code == 0, answer.exception
    assert f"series:  {series}:" in answer.stdout
    assert trained(long, option).index.unique("series")[0] == series


def test_the_rows_and_the_chart_name_their_series(long):
    lines = shown(long).stdout.splitlines()
    assert lines.index("000008, the first of 3 series:") > lines.index(next(n for n in lines if "series:  0700" in n))


@pytest.mark.parametrize("option", ["data.value=*Close", "data.value=% chg", "data.value=No", "data.value='Close #1'",
                                    "data.value=0700", "data.value=3"])  # fmt: skip
def test_the_command_takes_the_price_that_training_takes(wide, option):
    answer = shown(wide, option)
    assert answer.exit_code == 0, answer.exception
    price = re.search(r"price: '(.*?)'", answer.stdout)[1]
    assert trained(wide, option).attrs["recognised"]["value"] == price
    wanted = option.split("=")[1].strip("'")
    assert price == ("No" if wanted == "3" else wanted)  # position 3


@pytest.mark.parametrize("option", ["data.value=[a", "data.missing=dropp", "data.skip_footer=x", "data.value=Close #1",
                                    "data.value=TRUE", "data.value=a,b", "data.valeu=Close"])  # fmt: skip
def test_a_wrong_option_has_a_message(wide, option):
    error = shown(wide, option).exception
    assert type(error) is ValueError
    assert option.split("=")[0] in str(error)


def test_the_advised_quotes_work(wide):
    message = str(shown(wide, "data.value=Close #1").exception)
    (advised,) = shlex.split(re.search(r'".*"', message)[0])
    assert shown(wide, advised).exit_code == 0


@pytest.mark.parametrize(("file", "fragment"), [("clean.csv", "must end in .parquet"),
                                                ("nodir/x.parquet", "no folder")])  # fmt: skip
def test_a_file_that_cannot_be_written_is_refused_before_reading(tmp_path, file, fragment):
    error = shown(tmp_path / "missing.csv", "--write", tmp_path / file).exception
    assert type(error) is ValueError
    assert fragment in str(error)


def test_written_prices_are_read_again_as_advised(wide, tmp_path):
    path = tmp_path / "clean.parquet"
    options = ["data.value=0700", "data.features=[*Close,Volume]"]
    answer = shown(wide, *options, "--write", path)
    assert answer.exit_code == 0, answer.exception
    advised = shlex.split(answer.stdout.split("train with ")[1])[4:]
    pd.testing.assert_frame_equal(trained(path, *advised), trained(wide, *options))


def test_series_that_were_left_out_are_not_named_as_read(tmp_path):
    path = tmp_path / "wide.csv"
    rows = [f"{d},{100 + i},{'' if i < 9 else 50 + i}" for i, d in enumerate(DAYS)]
    path.write_text("\n".join(["Date,AAA,BBB", *rows]))
    output = shown(str(path), "data.short=drop").output
    assert "price: 'AAA', 30 days" in output
    assert "left out 1 of 2 series, because they do not span 2023-01-02 to 2023-02-10: BBB" in output


def test_a_gap_between_days_is_named_with_its_hours(tmp_path):
    path = tmp_path / "intraday.csv"
    times = pd.date_range("2024-01-05 09:00", periods=16, freq="30min")
    times = times.append(times + pd.Timedelta(days=3))
    path.write_text(
        "\n".join(["Date,Time,Close", *(f"{t:%Y-%m-%d},{t:%H:%M},{9 + i / 7:.2f}" for i, t in enumerate(times))])
    )
    output = shown(str(path)).output
    assert "longest gap 2 days 16 hours" in output
    assert "'Date' and 'Time' as" in output


def test_a_header_with_fewer_names_than_entries_is_not_taken_for_a_title(tmp_path):
    path = tmp_path / "commas.csv"
    path.write_text("\n".join(["Datum,Hoch,Schluss", *(f"{d},{100 + i},5,{99 + i},25" for i, d in enumerate(DAYS))]))
    said = str(shown(str(path)).exception)
    assert "the header, line 1, has 3 names, but most lines have 5 entries: quote numbers with a decimal comma" in said
