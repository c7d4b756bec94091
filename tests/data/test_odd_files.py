"""Files that once were read wrong, or refused with advice that does not help. One case for each mechanism."""

import pandas as pd
import pytest

from steepest import read_prices

DAYS = pd.bdate_range("2023-01-02", periods=30)
PRICE = [round(100 + i * 0.37, 2) for i in range(30)]


def table(header, dates, *columns, separator=","):
    """CSV text. A column is a list, or one entry for all rows."""
    columns = [c if isinstance(c, list) else [c] * len(dates) for c in columns]
    rows = [separator.join(str(e) for e in row) for row in zip(dates, *columns, strict=False)]
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture
def read(tmp_path):
    def start(data, name="prices.csv", **options):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_prices(tmp_path / name, **options)

    return start


@pytest.fixture
def refusal(read):
    def start(data, **options):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            read(data, **options)
        assert type(caught.value) is ValueError
        return str(caught.value)

    return start


def days_of(frame):
    return frame.index.get_level_values("date")


# Numbers as dates


@pytest.mark.parametrize("dates", [[f"{1990 + i // 12}.{i % 12 + 1:02d}" for i in range(30)],
                                   [f"{1990 + i / 4}" for i in range(30)]])  # fmt: skip
def test_a_month_or_decimal_year_written_as_a_number_is_refused(refusal, dates):
    assert "can be a month or a decimal year" in refusal(table("Date,Close", dates, PRICE))


def test_a_month_written_as_a_number_is_read_as_advised(read, refusal):
    text = table("Date,Close", [f"{1990 + i // 12}.{i % 12 + 1:02d}" for i in range(30)], PRICE)
    assert "data.date_format='%Y.%m'" in refusal(text)
    assert days_of(read(text, date_format="%Y.%m"))[12] == pd.Timestamp("1991-01-01")


@pytest.mark.parametrize(("name", "first"), [("Day", 100), ("time", 1000)])
def test_a_counter_is_no_date(refusal, name, first):
    assert "do not parse as dates" in refusal(table(f"{name},Close", list(range(first, first + 30)), PRICE))


def test_annual_files_are_read(read):
    frame = read(table("Year,Value", list(range(1960, 1990)), PRICE))
    assert days_of(frame)[0] == pd.Timestamp("1960-01-01")


def test_minutes_without_separators_are_not_taken_for_milliseconds(read):
    frame = read(table("Date,Close", DAYS.strftime("%Y%m%d%H%M"), PRICE))
    assert list(days_of(frame)) == list(DAYS)


def test_a_period_index_is_its_first_days():
    frame = read_prices(pd.DataFrame({"close": PRICE}, index=pd.PeriodIndex(DAYS, freq="D")))
    assert list(days_of(frame)) == list(DAYS)


@pytest.mark.parametrize("options", [{"value": "Date"}, {"value": "Close", "date": "Close"}, {"features": ["Date"]}])
def test_one_column_is_not_both_the_date_and_a_number(refusal, options):
    assert "is also the date column" in refusal(table("Date,Close", DAYS, PRICE), **options)


# Separators and times


@pytest.mark.parametrize("suffix", [" GMT+1", " UTC-5", " GMT+0100", ":00.000 GMT+0100"])
def test_an_offset_with_a_name_is_part_of_the_time(read, suffix):
    frame = read(table("Local time,Close", DAYS.strftime("%Y-%m-%d 15:30" + suffix), PRICE))
    assert days_of(frame)[0] == pd.Timestamp("2023-01-02 15:30")
    assert frame["value"].tolist() == PRICE


@pytest.mark.parametrize("date_format", ["%Y-%m-%d %H:%M Eastern", "%Y-%m-%d %Hh%M", "%Y-%m-%d %H:%M:%S am Morgen"])
def test_a_time_that_is_not_understood_leaves_the_separator_and_the_header(refusal, date_format):
    assert "date column 'Date Time'" in refusal(
        table("Date Time,Close", DAYS.strftime(date_format), [*range(200, 230)])
    )


@pytest.mark.parametrize("header", ["Date;Open;High;Low;Close;Volume", None])
def test_seconds_without_colons_are_read(read, header):
    text = table(header or "", DAYS.strftime("%Y%m%d %H%M%S"), 1, 1, 1, PRICE, 0, separator=";")
    options = {} if header else {"header": False, "date": 0, "value": 4}
    assert read(text if header else text[1:], **options)["value"].tolist() == PRICE


def test_a_word_before_a_number_is_no_currency(refusal):
    assert "are not numbers" in refusal(table("Date,Close", DAYS, [f"JAN {i}" for i in range(30)]))


def test_the_separator_can_be_named(read):
    text = table("Date;Close;a,b", DAYS, PRICE, "x,y", separator=";")
    assert read(text, separator="semicolon")["value"].tolist() == PRICE


# Options


@pytest.mark.parametrize(
    "options",
    [{"missing": "dropp"}, {"duplicates": "frist"}, {"short": "drp"}, {"header": "false"}, {"skip_footer": "1"},
     {"skip_footer": 1.5}, {"skip_footer": True}, {"series": "Close"}, {"series": []}, {"series": ["A", "A"]},
     {"features": "Volume"}, {"features": ["Volume", "Volume"]}, {"encoding": 5}, {"encoding": "idna"},
     {"encoding": "klingon"}, {"value": 1.0}, {"value": True}, {"value": -1}, {"date_format": 5}, {"date_format": ""},
     {"century": "1900"}, {"decimal": ";"}, {"thousands": "_"}, {"separator": ","}],
)  # fmt: skip
def test_an_impossible_option_is_refused_with_its_key(refusal, options):
    assert f"data.{next(iter(options))}=" in refusal(table("Date,Close,Volume", DAYS, PRICE, 5), **options)
