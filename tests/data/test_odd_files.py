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
