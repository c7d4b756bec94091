"""Files of prices and rows: found, read, checked, every fault is reported with its row and the fix."""

import gzip
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest import read_prices, read_table
from steepest.data.files import check_prices


@pytest.fixture
def write(tmp_path):
    def start(text: str, name: str = "prices.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return start


GOOD = "Date,Close,Volume\n2020-01-01,1.5,10\n2020-01-02,2.5,20\n2020-01-03,2,30\n"


def test_date_and_value_are_found_by_name(write):
    frame = read_prices(write(GOOD), features=["Volume"])
    assert frame.index.names == ["series", "date"]
    assert list(frame.columns) == ["value", "Volume"]
    assert frame["value"].tolist() == [1.5, 2.5, 2.0]
    assert frame.loc["Close"].index[0] == pd.Timestamp("2020-01-01")


def test_date_and_value_can_be_named(write):
    text = GOOD.replace("Date", "when").replace("Close", "wert")
    frame = read_prices(write(text), date="when", value="wert")
    assert frame["value"].tolist() == [1.5, 2.5, 2.0]


def test_a_date_column_with_another_name_is_found_by_its_entries(write):
    assert len(read_prices(write(GOOD.replace("Date", "jour")))) == 3


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_read(write, separator):
    assert len(read_prices(write(GOOD.replace(",", separator)))) == 3


def test_a_wide_file_has_a_series_in_every_numeric_column(write):
    path = write("date,AAA,BBB,note\n2020-01-01,1,5,x\n2020-01-02,2,7,y\n")
    frame = read_prices(path)
    assert list(frame.index.unique("series")) == ["AAA", "BBB"]
    assert frame.loc["BBB", "value"].tolist() == [5, 7]
    assert list(read_prices(path, series=["BBB"]).index.unique("series")) == ["BBB"]


def test_a_long_file_has_a_series_for_each_name(write):
    path = write("date,ticker,close\n2020-01-01,X,1\n2020-01-01,Y,5\n2020-01-02,X,2\n2020-01-02,Y,4\n2020-01-03,Y,3\n")
    frame = read_prices(path)
    assert frame.loc["X", "value"].tolist() == [1, 2]
    assert frame.loc["Y", "value"].tolist() == [5, 4, 3]


def test_parquet_with_dates_in_the_index_is_read(tmp_path):
    frame = pd.DataFrame({"close": [1.0, 2, 4]}, index=pd.date_range("2020-01-01", periods=3))
    frame.to_parquet(tmp_path / "p.parquet")
    assert read_prices(tmp_path / "p.parquet")["value"].tolist() == [1, 2, 4]


def test_dates_written_as_numbers_or_in_another_order_are_read(write):
    numbers = write("date,close\n20200131,1\n20200201,2\n", "n.csv")
    assert read_prices(numbers).index[1][1] == pd.Timestamp("2020-02-01")
    german = write("date;close\n03.02.2020;1\n04.02.2020;2\n", "g.csv")
    assert read_prices(german, date_format="%d.%m.%Y").index[0][1] == pd.Timestamp("2020-02-03")


def test_times_with_offsets_are_read_as_written(write):
    path = write("time,close\n2020-03-28T12:00:00+01:00,1\n2020-03-29T12:00:00+02:00,2\n")
    assert [d.hour for d in read_prices(path).index.get_level_values("date")] == [12, 12]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, r"prices.csv: the file is empty"),
        ("Date,Close\n", {}, r"prices.csv: the file has no rows after the header \['Date', 'Close'\]"),
        (GOOD, {"value": "Clsoe"}, r"data.value=Clsoe: there is no such column; did you mean 'Close'\?"),
        (GOOD, {"date": "day"}, r"data.date=day: there is no such column"),
        (GOOD, {"features": ["Vol"]}, r"data.features=Vol: there is no such column; did you mean 'Volume'\?"),
        ("a,b\n1,2\n", {}, r"has no date column among \['a', 'b'\]: name it with data.date=COLUMN"),
        ("date,a\n2020-01-01,x\n", {}, r"has no value column"),
        ("date,close\n2020-01-01,1\nsoon,2\nlater,3\n", {}, r"date column 'date': 2 of 3 do not parse as dates, first in row 2 \('soon'\): correct them, or skip the end of the file with data.skip_footer=2"),
        ("date,close\n2020-01-01,1\n2020-01-02,2\n2020-01-01,3\n", {}, r"1 date occurs more than once, first 2020-01-01.*data.duplicates=first"),
        ("date,close\n2020-01-01,1\n2020-01-02,\n2020-01-03,inf\n2020-01-04,n.q.\n", {}, r"'close': 3 of 4 are not numbers \(1 text, 1 infinite, 1 missing\), first in row 2.*too many to drop"),
        ("date,close\n2020-01-01,7\n2020-01-02,7\n", {}, r"value column 'close' is constant \(7\)"),
        ("date,close,close\n2020-01-01,7,8\n", {"value": "volume"}, r"several columns have the same name \['close'\]"),
        (GOOD, {"series": ["Clos"]}, r"has no series 'Clos' \(data.series\); did you mean 'Close'\?"),
        ('date,close\n"2020-01-01,7\n', {}, r"prices.csv: "),
    ],
)  # fmt: skip
def test_a_faulty_file_is_refused_with_its_row_and_the_fix(write, text, options, message):
    with pytest.raises(ValueError, match=message):
        read_prices(write(text), **options)


def test_a_missing_file_is_reported_with_a_similar_name(write, tmp_path):
    write(GOOD, "prices.csv")
    with pytest.raises(ValueError, match=r"pricse.csv: there is no such file; did you mean 'prices.csv'\?"):
        read_prices(tmp_path / "pricse.csv")
    with pytest.raises(ValueError, match="is a folder"):
        read_prices(tmp_path)


def test_a_file_that_is_not_a_table_is_named(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(ValueError, match=r"x.parquet: cannot be read as a table"):
        read_prices(tmp_path / "x.parquet")
    (tmp_path / "x.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(ValueError, match=r"x.csv.gz: cannot be read as a table"):
        read_prices(tmp_path / "x.csv.gz")


def test_all_faults_of_a_file_are_reported_together(write):
    path = write("date,close,volume\n2020-01-01,1,5\nnever,2,5\n2020-01-03,x,5\n2020-01-01,4,oops\n")
    with pytest.raises(ValueError, match="4 faults") as caught:
        read_prices(path, features=["volume"])
    for part in ("do not parse as dates", "value column 'close'", "input column 'volume'", "occurs more than once"):
        assert part in str(caught.value)


def test_dates_that_go_backwards_are_sorted_with_a_warning(write, caplog):
    with caplog.at_level(logging.WARNING):
        frame = read_prices(write("date,close\n2020-01-02,2\n2020-01-01,1\n2020-01-03,3\n"))
    assert frame["value"].tolist() == [1, 2, 3]
    assert "go backwards, first in row 2 (2020-01-01): sorted" in caplog.text


@pytest.mark.parametrize(("keep", "values"), [("first", [1, 2]), ("last", [3, 2])])
def test_duplicate_dates_can_be_resolved(write, keep, values):
    path = write("date,close\n2020-01-01,1\n2020-01-01,3\n2020-01-02,2\n")
    assert read_prices(path, duplicates=keep)["value"].tolist() == values


def test_missing_rows_can_be_dropped_or_filled_from_the_day_before(write):
    # unsorted on purpose: "the day before" is the day before in time, not the line before
    path = write("date,close\n2020-01-04,4\n2020-01-01,1\n2020-01-03,\n2020-01-02,2\n")
    assert read_prices(path, missing="drop")["value"].tolist() == [1, 2, 4]
    assert read_prices(path, missing="forward_fill")["value"].tolist() == [1, 2, 2, 4]


def test_forward_fill_refuses_a_first_row_without_a_value(write):
    with pytest.raises(ValueError, match="no earlier row to fill from: correct the file"):
        read_prices(write("date,close\n2020-01-01,\n2020-01-02,2\n2020-01-03,3\n"), missing="forward_fill")


def test_rows_without_a_date_are_dropped_when_asked(write):
    path = write("date,close\n2020-01-01,1\nnever,2\n2020-01-03,3\n")
    assert read_prices(path, missing="drop")["value"].tolist() == [1, 3]


ROWS = "x1,x2,y,name\n1,2,3,a\n4,5,7,b\n2,2,2,c\n"


def test_a_table_keeps_its_inputs_and_then_its_target(write):
    frame = read_table(write(ROWS), ["x2", "x1"], "y")
    assert list(frame.columns) == ["x2", "x1", "y"]
    assert list(frame.index) == [1, 2, 3]


@pytest.mark.parametrize(
    ("inputs", "target", "message"),
    [
        (["x1", "y"], "y", r"data.target=y is also in data.inputs, so the model would see the answer"),
        (["x1", "x3"], "y", r"data.inputs=x3: there is no such column; did you mean 'x1'|'x2'"),
        (["x1"], "z", r"data.target=z: there is no such column"),
        ([], "y", r"data.inputs is empty"),
        (["x1", "x1"], "y", r"names a column twice"),
        (["name"], "y", r"column 'name': 3 of 3 are not numbers \(3 text\), first in row 1 \('a'\)"),
    ],
)
def test_a_faulty_table_is_refused(write, inputs, target, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(ROWS), inputs, target)


def test_a_constant_column_of_a_table_is_refused(write):
    with pytest.raises(ValueError, match=r"column 'x1' is constant \(1\): leave it out"):
        read_table(write("x1,y\n1,2\n1,3\n"), ["x1"], "y")


# Wider files, and each message in full

DAYS = pd.date_range("2020-01-01", periods=6)
CLOSE = [1.0, 2.0, 4.0, 3.0, 5.0, 8.0]
PRICES = "Date,Close\n" + "".join(f"2020-01-0{i + 1},{v:g}\n" for i, v in enumerate(CLOSE))
WIDE = "Date,AAPL,MSFT\n" + "".join(f"2020-01-0{i + 1},{v:g},{10 * v:g}\n" for i, v in enumerate(CLOSE))
LONG = "date,ticker,close,volume\n" + "".join(
    f"2020-01-0{i + 1},{name},{factor * v:g},{100 * factor + i}\n"
    for i, v in enumerate(CLOSE)
    for name, factor in [("AAPL", 1), ("MSFT", 10)]
)


@pytest.fixture
def rows(tmp_path):
    """`rows(text, inputs, target)` writes the text to rows.csv and reads it as a table."""

    def start(text, inputs, target, **options):
        path = tmp_path / "rows.csv"
        path.write_text(text)
        return read_table(path, inputs, target, **options)

    return start


def refusal(start, *arguments, **options) -> str:
    """The message of the ValueError that a call raises. (A subclass, such as a library's error, fails the test.)"""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the callers check the message
        start(*arguments, **options)
    assert type(caught.value) is ValueError
    return str(caught.value)


def one_fault(message: str, *fragments: str) -> None:
    """Assert that `message` is one fault, on one line, with all these fragments."""
    assert "faults" not in message
    assert "\n" not in message.strip()
    for fragment in fragments:
        assert fragment in message


def holds(frame: pd.DataFrame, name: str, values, days=DAYS, column="value") -> None:
    assert frame.loc[name].index.tolist() == list(days)
    assert frame.loc[name, column].tolist() == list(values)


# Formats


def test_the_id_column_can_be_named_and_hold_numbers(read):
    text = LONG.replace("ticker", "permno").replace("AAPL", "10001").replace("MSFT", "10002")
    frame = read(text, id="permno")
    holds(frame, "10001", CLOSE)
    holds(frame, "10002", [10 * v for v in CLOSE])


@pytest.mark.parametrize("text", [WIDE, LONG], ids=["wide", "long"])
def test_series_option_keeps_the_named_series_in_its_order(read, text):
    assert read(text, series=["MSFT", "AAPL"]).index.unique("series").tolist() == ["MSFT", "AAPL"]
    frame = read(text, series=["MSFT"])
    assert frame.index.unique("series").tolist() == ["MSFT"]
    holds(frame, "MSFT", [10 * v for v in CLOSE])


def test_gzipped_csv_is_read_like_a_plain_one(tmp_path, read):
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(gzip.compress(WIDE.replace(",", ";").encode()))
    pd.testing.assert_frame_equal(read_prices(path), read(WIDE))


@pytest.mark.parametrize("suffix", [".parquet", ".pq"])
@pytest.mark.parametrize("index", [None, "Date", "unnamed"])
def test_parquet_keeps_its_dates_in_a_column_or_in_the_index(tmp_path, read, suffix, index):
    frame = pd.DataFrame({"Date": DAYS, "AAPL": CLOSE, "MSFT": 10 * np.array(CLOSE)})
    if index:
        frame = frame.set_index("Date").rename_axis("Date" if index == "Date" else None)
    path = tmp_path / f"prices{suffix}"
    frame.to_parquet(path)
    pd.testing.assert_frame_equal(read_prices(path), read(WIDE), check_index_type=False)


def test_parquet_may_keep_dates_and_names_in_the_index(tmp_path):
    frame = pd.DataFrame({"close": [*CLOSE, *CLOSE[::-1]]})
    frame.index = pd.MultiIndex.from_product([["AAPL", "MSFT"], DAYS], names=["ticker", "date"])
    frame.to_parquet(tmp_path / "prices.parquet")
    read = read_prices(tmp_path / "prices.parquet")
    holds(read, "AAPL", CLOSE)
    holds(read, "MSFT", CLOSE[::-1])


@pytest.mark.parametrize("names", [["date", "close"], ["Date", "AAPL", "MSFT"]])
def test_row_numbers_left_by_filtering_are_not_read_as_dates_or_prices(tmp_path, names):
    frame = pd.DataFrame({name: DAYS if i == 0 else np.array(CLOSE) * i for i, name in enumerate(names)})
    frame[frame[names[1]] != 4].to_parquet(tmp_path / "prices.parquet")  # the index is 0, 1, 3, 4, 5
    read = read_prices(tmp_path / "prices.parquet")
    assert read.index.unique("series").tolist() == names[1:]
    holds(read, names[1], [v for v in CLOSE if v != 4], DAYS.delete(2))


def test_row_numbers_written_by_pandas_are_not_a_series(tmp_path, read):
    pd.DataFrame({"Date": DAYS, "AAPL": CLOSE, "MSFT": CLOSE[::-1]}).to_csv(tmp_path / "with_numbers.csv")
    frame = read_prices(tmp_path / "with_numbers.csv")
    assert frame.index.unique("series").tolist() == ["AAPL", "MSFT"]


def test_byte_order_mark_and_spaces_are_removed_from_column_names(read):
    holds(read("\ufeff" + PRICES.replace("Date,Close", " Date , Close ")), "Close", CLOSE)


@pytest.mark.parametrize("name", ["Date", "datetime", "TIMESTAMP", "time", "Day"])
def test_date_column_is_found_by_its_name(read, name):
    text = PRICES.replace("Date", f"note,{name}").replace("2020-01", "2001-02-03,2020-01")
    holds(read(text), "Close", CLOSE)


@pytest.mark.parametrize("name", ["", "Sitzung"])
def test_date_column_without_a_known_name_is_the_first_that_holds_dates(read, name):
    text = PRICES.replace("Date,", f"note,{name},").replace("2020-01", "calm,2020-01")
    holds(read(text), "Close", CLOSE)


def test_a_named_date_column_takes_precedence(read):
    text = PRICES.replace("Date", "Date,settled").replace("2020-01", "2001-02-03,2020-01")
    holds(read(text, date="settled"), "Close", CLOSE)


def test_value_column_is_found_by_its_name_adjusted_first(read):
    text = PRICES.replace("Close", "Open,Close,Adj Close").replace("\n", ",7,9\n").replace("Close,7,9", "Close")
    text = text.replace("2020-01-06,8,7,9", "2020-01-06,8,7,10")
    assert text.startswith("Date,Open,Close,Adj Close\n2020-01-01,1,7,9\n")
    holds(read(text), "Adj Close", [9, 9, 9, 9, 9, 10])


def test_a_named_value_column_takes_precedence(read):
    frame = read(LONG, value="volume", series=["AAPL"])
    holds(frame, "AAPL", [100 + i for i in range(6)])
    holds(read(WIDE, value="MSFT"), "MSFT", [10 * v for v in CLOSE])
    assert read(WIDE, value="MSFT").index.unique("series").tolist() == ["MSFT"]


def test_features_follow_the_value_under_their_own_names(read):
    frame = read(LONG, features=["volume"])
    assert frame.columns.tolist() == ["value", "volume"]
    holds(frame, "MSFT", [1000 + i for i in range(6)], column="volume")
    holds(frame, "MSFT", [10 * v for v in CLOSE])


def test_a_feature_of_a_wide_file_is_an_input_of_every_series(read):
    frame = read(WIDE, features=["MSFT"])
    assert frame.index.unique("series").tolist() == ["AAPL"]
    holds(frame, "AAPL", [10 * v for v in CLOSE], column="MSFT")


def test_integer_dates_are_days_not_nanoseconds(read):
    holds(read(PRICES.replace("2020-01-0", "2020010")), "Close", CLOSE)


def test_date_format_decides_which_number_is_the_month(read):
    text = PRICES
    for i in range(1, 7):
        text = text.replace(f"2020-01-0{i}", f"0{i}.02.2020")
    holds(read(text, date_format="%d.%m.%Y"), "Close", CLOSE, pd.date_range("2020-02-01", periods=6))
    months = pd.to_datetime([f"2020-0{i}-02" for i in range(1, 7)])
    holds(read(text, date_format="%m.%d.%Y"), "Close", CLOSE, months)


def test_date_format_reads_integers_too(read):
    years = "".join(f"{1990 + i},{v:g}\n" for i, v in enumerate(CLOSE))
    frame = read("time,Close\n" + years, date_format="%Y")
    holds(frame, "Close", CLOSE, pd.to_datetime([f"{1990 + i}-01-01" for i in range(6)]))


def test_unambiguous_day_first_dates_are_read_without_a_warning(read):
    text = PRICES
    for i in range(1, 7):
        text = text.replace(f"2020-01-0{i}", f"{12 + i}/01/2020")
    holds(read(text), "Close", CLOSE, pd.date_range("2020-01-13", periods=6))


def test_times_with_changing_offsets_are_read_as_written_and_sorted_by_utc(read):
    text = (
        "time,Close\n"
        "2020-10-24T12:00:00+02:00,1\n"
        "2020-10-25T02:30:00+02:00,2\n"
        "2020-10-25T02:30:00+01:00,4\n"
        "2020-10-26T12:00:00+01:00,3\n"
    )
    days = pd.to_datetime(["2020-10-24 12:00", "2020-10-25 02:30", "2020-10-25 02:30", "2020-10-26 12:00"])
    holds(read(text), "Close", [1, 2, 4, 3], days)


def test_dates_of_one_time_zone_keep_their_calendar_days(tmp_path):
    pd.DataFrame({"date": DAYS.tz_localize("Asia/Tokyo"), "close": CLOSE}).to_parquet(tmp_path / "tokyo.parquet")
    holds(read_prices(tmp_path / "tokyo.parquet"), "close", CLOSE)


def test_unsorted_rows_are_sorted_with_a_warning_that_names_the_row(read, caplog):
    header, *lines = PRICES.splitlines()
    with caplog.at_level(logging.WARNING):
        frame = read("\n".join([header, *lines[:2], lines[3], lines[2], *lines[4:]]))
    holds(frame, "Close", CLOSE)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for fragment in ("prices.csv", "Close", "backwards", "row 4", "2020-01-03"):
        assert fragment in record.getMessage()


def test_sorted_rows_give_no_warning(read, caplog):
    with caplog.at_level(logging.WARNING):
        read(WIDE)
        read(LONG)
    assert caplog.records == []


# What is refused: the file itself


def test_missing_file_without_a_similar_name_gets_no_suggestion(tmp_path):
    for path in (tmp_path / "nothing.csv", tmp_path / "no_folder" / "prices.csv"):
        message = refusal(read_prices, path)
        one_fault(message, "data.path=", path.name, "no such file")
        assert "did you mean" not in message


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_file_is_reported_as_empty(read, text):
    one_fault(refusal(read, text), "prices.csv", "empty")


def test_gzip_of_nothing_is_reported_as_empty(tmp_path):
    (tmp_path / "prices.csv.gz").write_bytes(gzip.compress(b""))
    one_fault(refusal(read_prices, tmp_path / "prices.csv.gz"), "prices.csv.gz", "empty")


@pytest.mark.parametrize("name", ["prices.csv.gz", "prices.parquet"])
def test_file_with_the_wrong_extension_cannot_be_read(tmp_path, name):
    (tmp_path / name).write_text(PRICES)
    assert refusal(read_prices, tmp_path / name).startswith(f"{name}: cannot be read")


def test_broken_gzip_cannot_be_read(tmp_path):
    (tmp_path / "prices.csv.gz").write_bytes(gzip.compress(PRICES.encode())[:-12])
    assert refusal(read_prices, tmp_path / "prices.csv.gz").startswith("prices.csv.gz: cannot be read")


def test_row_with_too_many_fields_is_named(read):
    message = refusal(read, PRICES.replace("2020-01-03,4", "2020-01-03,4,9"))
    one_fault(message, "prices.csv: cannot be read", "line 4")


def test_column_name_used_twice_is_named(read):
    one_fault(refusal(read, PRICES.replace("Date,Close", "Close , Close")), "prices.csv", "the same name", "'Close'")


# What is refused: columns and series


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"date": "Datum"}, ["data.date=Datum", "no such column"]),
        ({"value": "Clse"}, ["data.value=Clse", "did you mean 'Close'?"]),
        ({"id": "ticker"}, ["data.id=ticker", "no such column"]),
        ({"features": ["Closed"]}, ["data.features=Closed", "did you mean 'Close'?"]),
    ],
)
def test_missing_column_is_reported_with_its_key_and_the_existing_columns(read, options, fragments):
    one_fault(refusal(read, PRICES, **options), "prices.csv", *fragments, "['Date', 'Close']")


def test_hint_and_list_of_columns_are_two_sentences(read):
    assert "no such column The file has" not in refusal(read, PRICES, value="xyz")
    assert "(data.series) The file has" not in refusal(read, WIDE, series=["xyz"])


def test_all_missing_columns_are_reported_together(read):
    message = refusal(read, PRICES, value="Clse", features=["volume"])
    assert message.startswith("prices.csv: 2 faults\n")
    assert "data.value=Clse" in message
    assert "data.features=volume" in message


@pytest.mark.parametrize(
    "text", [LONG.replace("close", "px"), "date,note\n2020-01-01,calm\n2020-01-02,wild\n"], ids=["long", "notes"]
)
def test_file_without_a_price_column_asks_for_its_name(read, text):
    one_fault(refusal(read, text), "prices.csv", "no value column", "data.value=COLUMN")


@pytest.mark.parametrize("text", [WIDE, LONG], ids=["wide", "long"])
def test_unknown_series_is_reported_with_the_nearest_and_the_existing_names(read, text):
    message = refusal(read, text, series=["MSFT", "APPL"])
    one_fault(message, "prices.csv", "'APPL'", "data.series", "did you mean 'AAPL'?", "['AAPL', 'MSFT']")
    assert "no series 'MSFT'" not in message


# What is refused: dates


@pytest.mark.parametrize("row", [1, 3, 6])
def test_dates_that_do_not_parse_are_counted_and_the_first_row_is_named(read, row):
    text = PRICES.replace(f"2020-01-0{row}", "soon")
    message = refusal(read, text)
    one_fault(message, "prices.csv", "'Date'", "1 of 6", f"row {row}", "'soon'", "correct them", "data.missing=drop")
    assert "data.date_format" not in message  # it would not help: the other dates are read
    assert ("data.skip_footer=1" in message) == (row == 6)


def test_date_column_without_dates_is_refused(read):
    message = refusal(read, PRICES.replace("2020-01-0", "day "), date="Date")
    one_fault(message, "prices.csv", "'Date'", "6 of 6", "row 1", "'day 1'")


def test_dates_in_another_format_than_the_one_named_are_refused(read):
    one_fault(refusal(read, PRICES, date_format="%d.%m.%Y"), "'Date'", "6 of 6", "row 1", "'2020-01-01'")


def test_missing_date_counts_as_a_date_that_does_not_parse(read):
    for text in (PRICES, PRICES.replace("2020-01-0", "2020010")):
        repaired = text.replace("2020-01-04", "").replace("20200104", "")
        one_fault(refusal(read, repaired), "'Date'", "1 of 6", "row 4", "(empty)")


def test_duplicate_dates_are_refused_or_the_first_or_last_is_kept(read, caplog):
    text = PRICES.replace("2020-01-04", "2020-01-03")
    message = refusal(read, text)
    one_fault(message, "prices.csv", "Close", "1 date occurs", "first 2020-01-03", "data.duplicates=first", "data.id=")
    days = DAYS.delete(3)
    with caplog.at_level(logging.WARNING):
        holds(read(text, duplicates="first"), "Close", [1, 2, 4, 5, 8], days)
        holds(read(text, duplicates="last"), "Close", [1, 2, 3, 5, 8], days)
    assert ["duplicates=first" in r.getMessage() for r in caplog.records] == [True, False]


def test_first_and_last_duplicate_follow_the_files_order_when_rows_go_backwards(read):
    text = "Date,Close\n2020-01-02,7\n2020-01-01,1\n2020-01-02,9\n"
    holds(read(text, duplicates="first"), "Close", [1, 7], DAYS[:2])
    holds(read(text, duplicates="last"), "Close", [1, 9], DAYS[:2])


def test_long_file_read_as_one_series_has_duplicate_dates(read):
    text = LONG.replace("ticker", "permno").replace("AAPL", "10001").replace("MSFT", "10002")
    one_fault(refusal(read, text), "6 dates occur more than once", "first 2020-01-01", "data.id=COLUMN")


# What is refused: numbers


@pytest.mark.parametrize(
    ("entries", "count", "kind"),
    [
        ([""], 1, "1 missing"),
        (["inf"], 1, "1 infinite"),
        (["-inf"], 1, "1 infinite"),
        (["n/k"], 1, "1 text"),
        (["n/k", ""], 2, "1 text, 1 missing"),
        (["", "inf", "n/k"], 3, "1 text, 1 infinite, 1 missing"),
    ],
)
def test_entries_that_are_not_numbers_are_counted_and_the_first_row_is_named(read, entries, count, kind):
    text = PRICES
    for i, entry in enumerate(entries):
        text = text.replace(f"-0{3 + i},{CLOSE[2 + i]:g}", f"-0{3 + i},{entry}")
    message = refusal(read, text)
    one_fault(message, "prices.csv", "'Close'", f"{count} of 6", kind, "row 3", "data.missing=forward_fill")
    assert ("data.missing=drop" in message) == (count == 1), "dropping a fifth of the rows or more is not offered"


def test_values_in_messages_are_shown_without_their_numpy_type(read):
    assert "np." not in refusal(read, PRICES.replace("-03,4", "-03,inf"))
    assert "np." not in refusal(read, PRICES.replace("-03,4", "-03,"))
    assert "np." not in refusal(read, PRICES.replace("2020-01-0", "202013"))  # integers, no dates


def test_row_numbers_of_a_long_file_are_those_of_the_file(read):
    message = refusal(read, LONG.replace("2020-01-03,MSFT,40", "2020-01-03,MSFT,"))
    one_fault(message, "'close' of MSFT", "1 of 6", "row 6")


def test_features_are_checked_like_values(read):
    message = refusal(read, LONG.replace(",102\n", ",many\n"), features=["volume"])
    one_fault(message, "prices.csv", "'volume'", "1 of 12", "1 text", "row 5", "'many'")


@pytest.mark.parametrize("text", [PRICES.replace("Close", "SP500"), WIDE], ids=["one series", "two series"])
def test_text_in_one_cell_does_not_hide_a_series_of_a_wide_file(read, text):
    series = text.splitlines()[0].split(",")[1]
    message = refusal(read, text.replace("2020-01-03,4", "2020-01-03,n/k"))
    one_fault(message, "prices.csv", f"'{series}'", "1 of 6", "1 text", "row 3", "'n/k'")


@pytest.mark.parametrize("entry", ["", "inf", "n/k"])
def test_missing_drop_removes_the_rows_and_logs_it(read, entry, caplog):
    text = PRICES.replace("-03,4", f"-03,{entry}")
    with caplog.at_level(logging.WARNING):
        holds(read(text, missing="drop"), "Close", [1, 2, 3, 5, 8], DAYS.delete(2))
    (record,) = caplog.records
    assert "1 of 6" in record.getMessage()
    assert "data.missing=drop" in record.getMessage()


@pytest.mark.parametrize("entry", ["", "inf", "n/k"])
def test_missing_forward_fill_repeats_the_day_before_and_logs_it(read, entry, caplog):
    text = PRICES.replace("-03,4", f"-03,{entry}")
    with caplog.at_level(logging.WARNING):
        holds(read(text, missing="forward_fill"), "Close", [1, 2, 2, 3, 5, 8])
    (record,) = caplog.records
    assert "data.missing=forward_fill" in record.getMessage()


def test_missing_drop_acts_on_each_series_of_a_wide_file_alone(read):
    frame = read(WIDE.replace("2020-01-01,1,10", "2020-01-01,,10"), missing="drop")
    holds(frame, "AAPL", CLOSE[1:], DAYS[1:])
    holds(frame, "MSFT", [10 * v for v in CLOSE])


def test_a_row_without_its_feature_is_dropped(read):
    frame = read(LONG.replace(",102\n", ",\n"), features=["volume"], missing="drop", series=["AAPL"])
    holds(frame, "AAPL", [1, 2, 3, 5, 8], DAYS.delete(2))
    holds(frame, "AAPL", [100, 101, 103, 104, 105], DAYS.delete(2), column="volume")


def test_dropping_every_row_is_refused(read):
    text = "Date,Close\n2020-01-01,a\n2020-01-02,b\n"
    one_fault(refusal(read, text, missing="drop", value="Close"), "prices.csv", "Close", "leaves no rows")


def test_forward_fill_refuses_a_gap_at_the_start(read):
    lines = ["2020-01-05,5", "2020-01-01,", "2020-01-02,2", "2020-01-03,4"]  # first in time, not in the file
    message = refusal(read, "Date,Close\n" + "\n".join(lines), missing="forward_fill")
    one_fault(message, "prices.csv", "Close", "no earlier row to fill from", "correct the file")


def test_forward_fill_does_not_cross_from_one_series_to_the_next(read):
    message = refusal(read, LONG.replace("2020-01-01,MSFT,10,", "2020-01-01,MSFT,,"), missing="forward_fill")
    one_fault(message, "prices.csv", "MSFT", "no earlier row to fill from")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(1, 9)), min_size=3, max_size=12).filter(
        lambda values: values[0] is not None and len(set(values) - {None}) > 1
    ),
    st.randoms(use_true_random=False),
)
def test_forward_fill_equals_a_loop_in_time_whatever_the_order_of_the_rows(values, random):
    expected = []
    for value in values:
        expected.append(float(value) if value is not None else expected[-1])
    days = pd.date_range("2020-01-01", periods=len(values))
    lines = list(zip(days, [np.nan if v is None else float(v) for v in values], strict=True))
    random.shuffle(lines)
    frame = check_prices(pd.DataFrame(lines, columns=["date", "close"]), "shuffled", missing="forward_fill")
    holds(frame, "close", expected, days)


def test_constant_series_is_refused(read):
    text = WIDE
    for i, v in enumerate(CLOSE):
        text = text.replace(f"-0{i + 1},{v:g},", f"-0{i + 1},2.5,")
    message = refusal(read, text)
    one_fault(message, "prices.csv", "'AAPL'", "constant", "2.5")
    holds(read(text, series=["MSFT"]), "MSFT", [10 * v for v in CLOSE])


def test_two_faults_are_reported_together(read):
    text = PRICES.replace("-03,4", "-03,n/k").replace("2020-01-06", "2020-01-05")
    message = refusal(read, text)
    first, *faults = message.splitlines()
    assert first == "prices.csv: 2 faults"
    assert len(faults) == 2
    assert "'Close'" in faults[0]
    assert "row 3" in faults[0]
    assert "2020-01-05" in faults[1]


def test_faults_of_dates_and_of_two_series_are_reported_together(read):
    text = WIDE.replace("-03,4,40", "-03,,40").replace("-05,5,50", "-05,5,inf").replace("2020-01-06", "soon")
    first, *faults = refusal(read, text).splitlines()
    assert first == "prices.csv: 3 faults"
    for fault, fragment in zip(faults, ("'soon'", "'AAPL'", "'MSFT'"), strict=True):
        assert fragment in fault


# Plain rows

TABLE = "x1,x2,y\n1,5,2\n2,4,4\n3,9,5\n4,1,8\n"


def test_table_reads_parquet(tmp_path, rows):
    pd.DataFrame({"x1": [1, 2, 3, 4], "y": [2, 4, 5, 8]}).to_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "rows.parquet", ["x1"], "y"), rows(TABLE, ["x1"], "y"))


def test_missing_columns_of_a_table_are_named_with_their_keys(rows):
    message = refusal(rows, TABLE, ["x1", "x22"], "z")
    assert message.startswith("rows.csv: 2 faults\n")
    assert "data.inputs=x22" in message
    assert "did you mean 'x2'?" in message
    assert "data.target=z" in message


def test_constant_column_of_a_table_is_refused(rows):
    one_fault(refusal(rows, "x,c,y\n1,7,2\n2,7,4\n3,7,5\n", ["x", "c"], "y"), "rows.csv", "'c'", "constant", "7")
    one_fault(refusal(rows, "x,y\n1,7\n2,7\n3,7\n", ["x"], "y"), "rows.csv", "'y'", "constant")


def test_text_in_a_table_is_refused_or_its_rows_dropped(rows):
    text = TABLE.replace("2,4,4", "two,4,4")
    one_fault(refusal(rows, text, ["x1"], "y"), "rows.csv", "'x1'", "1 of 4", "1 text", "row 2", "'two'")
    frame = rows(text, ["x1"], "y", missing="drop")
    assert frame.index.tolist() == [1, 3, 4]
    assert frame.to_numpy().tolist() == [[1, 2], [3, 5], [4, 8]]
    assert rows(text, ["x2"], "y").index.tolist() == [1, 2, 3, 4]  # a column nobody asked for


def test_a_table_error_does_not_suggest_forward_fill(rows):
    assert "forward_fill" not in refusal(rows, TABLE.replace("2,4,4", ",4,4"), ["x1"], "y")


@pytest.mark.parametrize(("text", "fragment"), [("", "empty"), ("x1,x2,y\n", "no rows")])
def test_table_without_rows_is_refused(rows, text, fragment):
    one_fault(refusal(rows, text, ["x1"], "y"), "rows.csv", fragment)


def test_rows_of_a_long_file_without_a_series_name_are_a_fault(write):
    path = write("date,ticker,close\n2020-01-01,X,1\n2020-01-02,,2\n2020-01-03,X,3\n")
    with pytest.raises(ValueError, match="column 'ticker' is empty in 1 row, first in row 2"):
        read_prices(path)
    assert read_prices(path, missing="drop")["value"].tolist() == [1, 3]
