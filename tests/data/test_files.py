"""Files of prices and rows: found, read, checked, every fault named with its row and its mend."""

import logging

import pandas as pd
import pytest

from steepest import read_prices, read_table


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


def test_a_date_column_of_another_name_is_found_by_its_entries(write):
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


def test_a_long_file_has_a_series_for_every_name(write):
    path = write("date,ticker,close\n2020-01-01,X,1\n2020-01-01,Y,5\n2020-01-02,X,2\n2020-01-02,Y,4\n2020-01-03,Y,3\n")
    frame = read_prices(path)
    assert frame.loc["X", "value"].tolist() == [1, 2]
    assert frame.loc["Y", "value"].tolist() == [5, 4, 3]


def test_parquet_is_read_with_its_dates_in_the_index_too(tmp_path):
    frame = pd.DataFrame({"close": [1.0, 2, 4]}, index=pd.date_range("2020-01-01", periods=3))
    frame.to_parquet(tmp_path / "p.parquet")
    assert read_prices(tmp_path / "p.parquet")["value"].tolist() == [1, 2, 4]


def test_dates_written_as_numbers_or_in_another_order_are_read(write):
    numbers = write("date,close\n20200131,1\n20200201,2\n", "n.csv")
    assert read_prices(numbers).index[1][1] == pd.Timestamp("2020-02-01")
    german = write("date;close\n03.02.2020;1\n04.02.2020;2\n", "g.csv")
    assert read_prices(german, date_format="%d.%m.%Y").index[0][1] == pd.Timestamp("2020-02-03")


def test_times_with_offsets_become_instants(write):
    path = write("time,close\n2020-03-28T12:00:00+01:00,1\n2020-03-29T12:00:00+02:00,2\n")
    assert [d.hour for d in read_prices(path).index.get_level_values("date")] == [11, 10]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, r"prices.csv: the file is empty"),
        ("Date,Close\n", {}, r"prices.csv: there are no rows after the header \['Date', 'Close'\]"),
        (GOOD, {"value": "Clsoe"}, r"data.value=Clsoe: there is no such column; did you mean 'Close'\?"),
        (GOOD, {"date": "day"}, r"data.date=day: there is no such column"),
        (GOOD, {"features": ["Vol"]}, r"data.features=Vol: there is no such column; did you mean 'Volume'\?"),
        ("a,b\n1,2\n", {}, r"has no date column among \['a', 'b'\]: name it with data.date=COLUMN"),
        ("date,a\n2020-01-01,x\n", {}, r"has no value column"),
        ("date,close\n2020-01-01,1\nsoon,2\nlater,3\n", {}, r"date column 'date': 2 of 3 do not parse as dates, first in row 2 \('soon'\).*date_format"),
        ("date,close\n2020-01-01,1\n2020-01-02,2\n2020-01-01,3\n", {}, r"1 dates occur more than once, first 2020-01-01.*data.duplicates=first"),
        ("date,close\n2020-01-01,1\n2020-01-02,\n2020-01-03,inf\n2020-01-04,n.q.\n", {}, r"'close': 3 of 4 are no numbers \(1 text, 1 infinite, 1 missing\), first in row 2.*data.missing=drop or data.missing=forward_fill"),
        ("date,close\n2020-01-01,7\n2020-01-02,7\n", {}, r"value column 'close' is constant \(7\)"),
        ("date,close,close\n2020-01-01,7,8\n", {"value": "volume"}, r"data.value=volume: there is no such column"),
        (GOOD, {"series": ["Clos"]}, r"has no series 'Clos' \(data.series\); did you mean 'Close'\?"),
        ('date,close\n"2020-01-01,7\n', {}, r"prices.csv: "),
    ],
)  # fmt: skip
def test_a_faulty_file_is_refused_with_its_row_and_its_mend(write, text, options, message):
    with pytest.raises(ValueError, match=message):
        read_prices(write(text), **options)


def test_a_file_that_is_not_there_is_named_with_its_neighbour(write, tmp_path):
    write(GOOD, "prices.csv")
    with pytest.raises(ValueError, match=r"pricse.csv: there is no such file; did you mean 'prices.csv'\?"):
        read_prices(tmp_path / "pricse.csv")
    with pytest.raises(ValueError, match="is a folder"):
        read_prices(tmp_path)


def test_a_file_that_is_no_table_is_named(tmp_path):
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
    for part in ("do not parse as dates", "value column 'close'", "input column 'volume'", "occur more than once"):
        assert part in str(caught.value)


def test_dates_that_go_backwards_are_sorted_with_a_warning(write, caplog):
    with caplog.at_level(logging.WARNING):
        frame = read_prices(write("date,close\n2020-01-02,2\n2020-01-01,1\n2020-01-03,3\n"))
    assert frame["value"].tolist() == [1, 2, 3]
    assert "go backwards, first in row 2 (2020-01-01): sorted" in caplog.text


@pytest.mark.parametrize(("keep", "values"), [("first", [1, 2]), ("last", [3, 2])])
def test_duplicated_dates_can_be_settled(write, keep, values):
    path = write("date,close\n2020-01-01,1\n2020-01-01,3\n2020-01-02,2\n")
    assert read_prices(path, duplicates=keep)["value"].tolist() == values


def test_missing_rows_can_be_dropped_or_filled_from_the_day_before(write):
    # out of order on purpose: the day before in time, not in the file
    path = write("date,close\n2020-01-04,4\n2020-01-01,1\n2020-01-03,\n2020-01-02,2\n")
    assert read_prices(path, missing="drop")["value"].tolist() == [1, 2, 4]
    assert read_prices(path, missing="forward_fill")["value"].tolist() == [1, 2, 2, 4]


def test_nothing_can_be_filled_where_nothing_stands_before(write):
    with pytest.raises(ValueError, match="nothing stands before it to fill from: use data.missing=drop"):
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
        (["x1", "y"], "y", r"data.target=y is also in data.inputs: a model would read the answer"),
        (["x1", "x3"], "y", r"data.inputs=x3: there is no such column; did you mean 'x1'|'x2'"),
        (["x1"], "z", r"data.target=z: there is no such column"),
        ([], "y", r"data.inputs is empty"),
        (["x1", "x1"], "y", r"names a column twice"),
        (["name"], "y", r"column 'name': 3 of 3 are no numbers \(3 text\), first in row 1 \('a'\)"),
    ],
)
def test_a_faulty_table_is_refused(write, inputs, target, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(ROWS), inputs, target)


def test_a_constant_column_of_a_table_is_refused(write):
    with pytest.raises(ValueError, match=r"column 'x1' is constant \(1\): leave it out"):
        read_table(write("x1,y\n1,2\n1,3\n"), ["x1"], "y")
