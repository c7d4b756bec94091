"""Files that were once misread, or refused with useless advice. Each mechanism has one case."""

from datetime import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steepest import read_prices
from steepest.data.prices.account import sentence

DAYS = pd.bdate_range("2023-01-02", periods=30)
PRICE = [round(100 + i * 0.37, 2) for i in range(30)]


def table(header, dates, *columns, separator=","):
    """CSV text. A column is a list, or one entry for all rows."""
    columns = [c if isinstance(c, list) else [c] * len(dates) for c in columns]
    rows = [separator.join(str(e) for e in row) for row in zip(dates, *columns, strict=False)]
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture
def refusal(read):
    def start(data, **options):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            read(data, **options)
        assert type(caught.value) is ValueError
        return str(caught.value)

    return start


def notes_of(frame):
    return frame.attrs["recognised"]["notes"]


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
def test_a_counter_is_not_a_date(refusal, name, first):
    assert "do not parse as dates" in refusal(table(f"{name},Close", list(range(first, first + 30)), PRICE))


@pytest.mark.parametrize("zero", ["1960-01-01", "1970-01-01"])
def test_days_that_can_be_counted_from_1960_or_1970_are_not_read_as_days_of_excel(read, refusal, zero):
    text = table("Date,Close", list((DAYS - pd.Timestamp(zero)).days), PRICE)
    assert "(Excel)" in refusal(text)
    assert days_of(read(text, date_format="excel"))[0].year in (1952, 1963)


@pytest.mark.parametrize(("sign", "last"), [("/", False), ("-", False), ("/", True)])
def test_a_year_with_a_number_up_to_four_can_be_a_quarter_or_a_month(read, refusal, sign, last):
    quarters = [(1990 + i // 4, i % 4 + 1) for i in range(30)]
    text = table("Date,Close", [f"{q}{sign}{y}" if last else f"{y}{sign}{q}" for y, q in quarters], PRICE)
    form = f"%q{sign}%Y" if last else f"%Y{sign}%q"
    assert f"data.date_format='{form}'" in refusal(text)
    assert days_of(read(text, date_format=form))[1] == pd.Timestamp("1990-04-01")
    months = [
        f"{i % 12 + 1}{sign}{1990 + i // 12}" if last else f"{1990 + i // 12}{sign}{i % 12 + 1}" for i in range(30)
    ]
    assert days_of(read(table("Date,Close", months, PRICE)))[1] == pd.Timestamp("1990-02-01")


def test_annual_files_are_read(read):
    frame = read(table("Year,Value", list(range(1960, 1990)), PRICE))
    assert days_of(frame)[0] == pd.Timestamp("1960-01-01")


@pytest.mark.parametrize("date_format", ["%Y.0", "%Y%m%d.0"])
def test_dates_that_pandas_wrote_as_floats_are_read(read, date_format):
    days = pd.date_range("1960-01-01", periods=30, freq="YS")
    assert list(days_of(read(table("Date,Close", days.strftime(date_format), PRICE)))) == list(days)


def test_a_month_and_a_year_of_two_digits_are_read_as_advised(read, refusal):
    days = pd.date_range("2015-01-01", periods=30, freq="MS")
    text = table("Date,Close", days.strftime("%m/%y"), PRICE)
    assert "data.date_format='%m/%y'" in refusal(text)
    assert list(days_of(read(text, date_format="%m/%y"))) == list(days)


def test_minutes_without_separators_are_not_read_as_milliseconds(read):
    frame = read(table("Date,Close", DAYS.strftime("%Y%m%d%H%M"), PRICE))
    assert list(days_of(frame)) == list(DAYS)


def test_a_period_index_is_its_first_days():
    frame = read_prices(pd.DataFrame({"close": PRICE}, index=pd.PeriodIndex(DAYS, freq="D")))
    assert list(days_of(frame)) == list(DAYS)


def test_a_frame_without_rows_is_refused():
    with pytest.raises(ValueError, match="the frame has no rows"):
        read_prices(pd.DataFrame({"Date": [], "Close": []}))


def test_a_pandas_series_is_a_frame_of_one_column():
    assert read_prices(pd.Series(PRICE, index=DAYS))["value"].tolist() == PRICE


def test_the_times_of_a_frame_may_have_their_own_column():
    frame = pd.DataFrame({"Date": [d.date() for d in DAYS], "Time": [time(15, 30)] * 30, "Close": PRICE})
    assert days_of(read_prices(frame))[0] == pd.Timestamp("2023-01-02 15:30")


@pytest.mark.parametrize("options", [{"value": "Date"}, {"value": "Close", "date": "Close"}, {"features": ["Date"]}])
def test_one_column_is_not_both_the_date_and_a_number(refusal, options):
    assert "is also the date column" in refusal(table("Date,Close", DAYS, PRICE), **options)


@pytest.mark.parametrize("down", [False, True])
def test_days_and_months_that_a_spreadsheet_swapped_are_refused(read, refusal, down):
    days = list(DAYS[::-1] if down else DAYS)
    text = table("Date,Close", [d.strftime("%m/%d/%Y" if d.day <= 12 else "%d/%m/%Y") for d in days], PRICE)
    assert "day and month seem to be swapped in some rows" in refusal(text)
    assert days_of(read(text, date_format="%d/%m/%Y"))[-1] == pd.Timestamp("2023-12-01")


def test_unsorted_days_are_not_swapped(read):
    days = [DAYS[i * 7 % 30] for i in range(30)]
    assert list(days_of(read(table("Date,Close", [d.strftime("%d/%m/%Y") for d in days], PRICE)))) == list(DAYS)


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


@pytest.mark.parametrize(
    ("date_format", "month"),
    [("%d%b%Y:15:30:00", False), ("%a %b %d 15:30:00 %Y", False), ("%a %b %d %Y 15:30:00 GMT+0100 (Central European Time)", False),
     ("%d\u00a0%b\u00a0%Y 15:30", False), ("%m/%d/%Y 3:30:00\u202fPM", False), ("%YM%m", True)],
)  # fmt: skip
def test_dates_of_other_programs_are_read(read, date_format, month):
    days = pd.date_range("2020-01-01", periods=30, freq="MS") if month else DAYS
    frame = read(table("Date,Close", days.strftime(date_format), PRICE))
    assert list(days_of(frame)) == list(days if month else days + pd.Timedelta(hours=15, minutes=30))


@pytest.mark.parametrize("dates", ["%A %d.%m.%Y", "%d.%m.%y", "serial"])
def test_the_separator_is_the_one_in_the_header_if_the_decimal_comma_fits_too(read, dates):
    days = list((DAYS - pd.Timestamp("1899-12-30")).days) if dates == "serial" else DAYS.strftime(dates)
    frame = read(table("Datum;Kurs", days, [f"{p:.2f}".replace(".", ",") for p in PRICE], separator=";"))
    assert list(days_of(frame)) == list(DAYS)
    assert frame["value"].tolist() == PRICE


def test_a_word_before_a_number_is_not_a_currency(refusal):
    assert "are not numbers" in refusal(table("Date,Close", DAYS, [f"JAN {i}" for i in range(30)]))


@pytest.mark.parametrize("name", ["Currency", "Währung", "CCY"])
def test_a_series_in_two_currencies_is_refused(read, refusal, name):
    currencies = ["USD"] * 20 + ["EUR"] * 10
    message = refusal(table(f"Date,Close,{name}", DAYS, PRICE, currencies))
    assert f"column '{name}' has EUR and USD: write all prices of a series in one currency" in message
    long = [f"{name},{day},{price},{name}" for name in ("USD", "EUR") for day, price in zip(DAYS, PRICE, strict=True)]
    assert len(read("\n".join([f"Ticker,Date,Close,{name}", *long]))) == 60
    wrong = [row.replace("USD,2023-01-02 00:00:00,100.0,USD", "USD,2023-01-02 00:00:00,100.0,CHF") for row in long]
    assert "has CHF and USD for USD" in refusal("\n".join([f"Ticker,Date,Close,{name}", *wrong]))


def test_a_series_for_each_currency_is_read_as_advised(read, refusal):
    rows = [f"{day},{price},{name}" for day, price in zip(DAYS, PRICE, strict=True) for name in ("USD", "EUR")]
    text = "\n".join(["Date,Close,Currency", *rows])
    assert "if each is a series, set data.id=Currency" in refusal(text)
    assert list(read(text, id="Currency").index.unique("series")) == ["USD", "EUR"]


@pytest.mark.parametrize("sign", ["/", "-"])
def test_a_fiscal_year_is_not_read_as_a_month(read, refusal, sign):
    years = [f"{year}{sign}{(year + 1) % 100:02d}" for year in range(2000, 2011)]
    text = table("Date,Close", years, PRICE[:11])
    assert f"can be a month or a fiscal year: set data.date_format='%Y{sign}%m'" in refusal(text)
    assert days_of(read(text, date_format=f"%Y{sign}%m"))[1] == pd.Timestamp("2001-02-01")


@pytest.mark.parametrize("line", ["sep=\t", '"sep=\t"', "sep=;", "sep=,"])
def test_a_declared_separator_is_used(read, line):
    text = table("Date,Close", DAYS.strftime("%Y-%m-%d"), PRICE).replace(",", line.strip('"')[-1])
    assert read(f"{line}\n{text}")["value"].tolist() == PRICE


@pytest.mark.parametrize("separator", [";", "|", "\t"])
def test_a_decimal_comma_within_quotes_is_not_the_separator(read, separator):
    seconds = [f'"{day.value}"' for day in DAYS]
    prices = [f'"{price:.2f}"'.replace(".", ",") for price in PRICE]
    frame = read(table(f'"Date"{separator}"Close"', seconds, prices, separator=separator))
    assert frame["value"].tolist() == PRICE


@pytest.mark.parametrize("separator", [";", "|", "\t"])
@pytest.mark.parametrize(("scale", "decimal"), [(1, ","), (1e5, ".")])
def test_commas_of_numbers_that_divide_no_names_are_not_the_separator(read, separator, scale, decimal):
    serials = [(day - pd.Timestamp("1899-12-30")).days for day in DAYS]
    prices = [f"{scale * price:,.2f}" if decimal == "." else f"{price:.2f}".replace(".", ",") for price in PRICE]
    text = table(f"Date{separator}Close{separator}Low", serials, prices, prices, separator=separator)
    assert read(text, date_format="excel")["value"].tolist() == pytest.approx([scale * price for price in PRICE])


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


# Columns without a known name

OPEN, HIGH, LOW, CLOSE = ([round(level + i / 10, 2) for i in range(30)] for level in (100, 101, 99, 100.2))
VOLUME = [5000 + i * i for i in range(30)]


@pytest.mark.parametrize(
    ("header", "columns", "left"),
    [
        ("Datum,Otevreni,Nejvyssi,Nejnizsi,Uzavreni", (OPEN, HIGH, LOW, CLOSE), ["Otevreni", "Uzavreni"]),
        ("t,o,h,l,c,v", (OPEN, HIGH, LOW, CLOSE, VOLUME), ["o", "c"]),
        ("Date,SP500,Rank", (PRICE, [1 + i % 5 for i in range(30)]), ["SP500"]),
        ("Date,No.,SP500", (list(range(1, 31)), PRICE), ["SP500"]),
        ("Date,SP500,Holiday", (PRICE, [i % 2 for i in range(30)]), ["SP500"]),
        ("Date,SP500,Year", (PRICE, 2023), ["SP500"]),
        ("Date,SP500,Wol.", (PRICE, [f"{i + 1}.5K" for i in range(30)]), ["SP500"]),
        ("Date,SP500,Var", (PRICE, [(i % 7 - 3) / 10 for i in range(30)]), ["SP500"]),
        ("Date,SP500,PRICE EARNINGS", (PRICE, OPEN), ["SP500"]),
        ("Date,SP500,Value at Risk", (PRICE, OPEN), ["SP500"]),
        ("Date,consumer price,SP500", (OPEN, PRICE), ["consumer price", "SP500"]),
        ("Date,BidClose,SP500", (OPEN, PRICE), ["SP500"]),
    ],
)
def test_a_column_that_is_not_a_price_is_not_used_as_a_series(read, refusal, header, columns, left):
    text = table(header, DAYS, *columns)
    assert f"{left}" in refusal(text)
    prices = dict(zip(header.split(",")[1:], columns, strict=True))
    assert read(text, value=left[-1])["value"].tolist() == prices[left[-1]]


def test_series_of_different_levels_are_not_a_low_and_a_high(read):
    frame = read(
        table("Date,A,B,C", DAYS, PRICE, [p * 1.5 for p in PRICE], [p * 1.2 + i % 3 for i, p in enumerate(PRICE)])
    )
    assert frame.index.unique("series").tolist() == ["A", "B", "C"]


@pytest.mark.parametrize("name", ["Close %", "Close (previous)", "SCHLUSSKURS VORTAG", "CIERRE ANTERIOR", "CLOSE OI"])
def test_another_quantity_of_the_close_is_not_the_close(read, name):
    assert read(table(f"Date,Last,{name}", DAYS, PRICE, OPEN))["value"].tolist() == PRICE


def test_a_time_of_the_last_change_is_not_the_last_price(read):
    text = table("Date,Last updated,Value", DAYS, list(DAYS.strftime("%Y-%m-%d")), PRICE)
    assert read(text)["value"].tolist() == PRICE


def test_the_position_in_the_message_is_that_of_the_close(read, refusal):
    text = table("2023-01-01,00:00,100.0,101.0,99.0,100.2,7000", DAYS, "00:00", OPEN, HIGH, LOW, CLOSE, VOLUME)
    assert "data.date=0 data.value=5" in refusal(text)
    assert read(text, header=False, date=0, value=5)["value"].tolist() == [100.2, *CLOSE]


def test_a_column_may_name_the_quantity_of_each_row(read):
    rows = [f"{d},X,{w},{p}" for d, p in zip(DAYS, PRICE, strict=True) for w, p in (("volume", 7), ("close", p))]
    frame = read("\n".join(["date,ticker,field,value", *rows]))
    assert frame["value"].tolist() == PRICE


@pytest.mark.parametrize(
    "names",
    [["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], ["Q1", "Q2", "Q3", "Q4"],
     ["Mon", "Tue", "Wed", "Thu", "Fri"]],
)  # fmt: skip
def test_a_column_for_each_part_of_a_year_is_not_a_series(read, refusal, names):
    text = table(",".join(["Year", *names]), list(range(1990, 2020)), *[PRICE] * len(names))
    listed = ",".join(names)
    assert f"data.series=[{listed}]" in refusal(text)
    assert read(text, series=names).index.unique("series").tolist() == names


@pytest.mark.parametrize(
    "header", ["Name," + ",".join(DAYS.strftime("%Y-%m-%d")), "Name," + ",".join(map(str, range(1990, 2020)))]
)
def test_dates_in_a_row_are_named_as_such(refusal, header):
    rows = "".join(f"{name},{','.join(map(str, PRICE))}\n" for name in "ABC")
    assert "has one column per date" in refusal(f"{header}\n{rows}")


@pytest.mark.parametrize(
    ("header", "right"),
    [("Date,AAPL.Open,AAPL.Close", ["AAPL.Close"]), ("Date,AdjustmentOpen,AdjustmentClose", ["AdjustmentClose"]),
     ("Date,AAPL.Close,MSFT.Close", ["AAPL", "MSFT"]), ("Date,BAS.DE,SAP.DE", ["BAS.DE", "SAP.DE"]),
     ("Date,iShares,Vanguard", ["iShares", "Vanguard"])],
)  # fmt: skip
def test_a_ticker_may_be_joined_to_the_name_of_the_price(read, header, right):
    frame = read(table(header, DAYS, OPEN, PRICE))
    assert frame.index.unique("series").tolist() == right
    assert frame.loc[right[-1], "value"].tolist() == PRICE


@pytest.mark.parametrize("header", ["Date,Close,Close.1", "Date,A Adj Close,B Close"])
def test_a_second_close_is_not_left_out(refusal, header):
    assert "several columns can be the price" in refusal(table(header, DAYS, OPEN, PRICE))


# Several columns of dates and times


def test_year_month_and_day_are_joined(read):
    frame = read(table("Year,Month,Day,Close", DAYS.year, list(DAYS.month), list(DAYS.day), PRICE))
    assert list(days_of(frame)) == list(DAYS)


@pytest.mark.parametrize("header", ["Pricing Date,Year,Close", "Trade_Dt,Month,Close", "Observed,Period,Close"])
def test_a_column_without_dates_is_not_the_date_column(read, header):
    assert list(days_of(read(table(header, DAYS.strftime("%Y-%m-%d"), 1, PRICE)))) == list(DAYS)


def test_numbers_under_a_word_for_dates_are_not_the_dates(read):
    frame = read(table("timestamp,data", DAYS.strftime("%Y-%m-%d"), [1000 + p for p in PRICE]), value="data")
    assert list(days_of(frame)) == list(DAYS)


def test_two_columns_of_dates_are_refused_unless_one_is_named(read, refusal):
    text = table("Expiry Date,Quoted,Close", DAYS + pd.Timedelta(days=90), list(DAYS.strftime("%Y-%m-%d")), PRICE)
    assert "several columns contain dates, ['Expiry Date', 'Quoted']" in refusal(text)
    assert list(days_of(read(text, date="Quoted"))) == list(DAYS)


@pytest.mark.parametrize("clock", ["Time 930", "Time 093000", "Clock 09:30", "Hour 9"])
def test_times_of_day_are_recognised_by_their_entries(read, clock):
    name, entry = clock.split()
    first = days_of(read(table(f"Date,{name},Close", DAYS.strftime("%Y-%m-%d"), entry, PRICE)))[0]
    assert first in (pd.Timestamp("2023-01-02 09:30"), pd.Timestamp("2023-01-02 09:00"))


# Units


@pytest.mark.parametrize("entries", [["$100", "€101"], ["GBX 100", "GBP 1.01"], ["4.5%", "0.045"]])
def test_two_units_in_one_column_are_refused(refusal, entries):
    assert "write all entries in one unit" in refusal(table("Date,Close", DAYS, entries * 15))


def test_a_currency_sign_in_the_first_row_alone_is_accepted(read):
    assert read(table("Date,Close", DAYS, ["$100", *PRICE[1:]]))["value"].tolist() == PRICE


def test_dates_are_no_evidence_for_the_decimal_sign(refusal):
    months = [f"{i % 12 + 1:02d}.{2020 + i // 12}" for i in range(7)]
    entries = ["1.023", "991", "1.045", "1.067", "987", "1.001", "1.011"]
    assert "can be read in two ways" in refusal(table("Datum;Kurs", months, entries, separator=";"))


def test_prices_in_32nds_are_not_thousands(read, refusal):
    ticks = [f"{110 + i // 20}'{i % 32:02d}5" for i in range(30)]
    assert "are not numbers" in refusal(table("Date,Settle", DAYS, ticks))
    assert read(table("Date,Settle", DAYS, [*ticks[:-1], "112'345"]))["value"].iloc[-1] == 112345


# Advice, and what is reported


def test_a_century_is_advised_only_if_it_gives_dates_in_order(refusal):
    years = pd.date_range("1966-12-31", periods=40, freq="YE")
    assert "write years with four digits" in refusal(table("Date,Close", years.strftime("%m/%d/%y"), [*range(40)]))
    assert "data.century=1900" in refusal(table("Date,Close", years[:30].strftime("%m/%d/%y"), PRICE))


def test_a_change_of_sign_is_reported(read):
    frame = read(table("Date,Close", DAYS, [*PRICE[:4], -999, *PRICE[5:]]))
    assert any("changes its sign, from 101.11 to -999 on 2023-01-06, and 1 more" in n for n in notes_of(frame))


def test_rows_without_a_series_name_are_counted_when_they_are_dropped(read):
    frame = read(table("date,ticker,close", DAYS, ["X", "", *["X"] * 28], PRICE), missing="drop")
    assert "data.missing=drop left out 1 of 30 rows without an entry in 'ticker'" in notes_of(frame)


def test_series_of_a_long_file_that_start_late_are_reported(read):
    rows = [f"{d},{s},{p}" for s in "AB" for d, p in zip(DAYS, PRICE, strict=True) if s == "A" or d > DAYS[9]]
    assert any(
        "1 of 2 series start late or end early (B)" in n for n in notes_of(read("\n".join(["date,id,close", *rows])))
    )


def test_the_series_left_by_data_short_are_never_none(read):
    rows = [
        f"{d},{s},{p}" for s in "AB" for d, p in list(zip(DAYS, PRICE, strict=True))[s == "B" :][: 20 + 3 * (s == "B")]
    ]
    frame = read("\n".join(["date,id,close", *rows]), short="drop")
    assert frame.index.unique("series").tolist() == ["B"]


@pytest.mark.parametrize("between", ["", "\n", "\nSymbol: XYZ\n\n", "Symbol,XYZ,\n"])
def test_a_repeated_header_is_named_with_its_line(refusal, between):
    text = table("Date,Close", DAYS, PRICE)
    line = 32 + between.count("\n")
    assert f"line {line} repeats the header 'Date,Close'" in refusal(text + between + text)
    assert "line 33 repeats the header" in refusal("Symbol: ABC\n" + text + text)


def test_a_row_that_equals_the_first_row_is_not_a_repeated_header(read):
    text = table("", DAYS, PRICE)[1:]
    first = text.splitlines()[0]
    frame = read(f"{first}\n{text}", header=False, date=0, value=1, duplicates="first")
    assert frame["value"].tolist() == PRICE


@pytest.mark.parametrize(
    ("every", "said"),
    [("D", "30 days,"), ("B", "30 days,"), ("W", "30 weeks,"), ("MS", "30 months,"), ("QS", "30 quarters,"),
     ("YS", "30 years,"), ("h", "30 rows,")],
)  # fmt: skip
def test_rows_are_counted_in_their_unit(read, every, said):
    days = pd.date_range("1990-01-01", periods=30, freq=every)
    assert said in sentence(read(table("Date,Close", days, PRICE)).attrs["recognised"])


# Shapes and sizes


def test_a_row_of_units_below_the_names_is_left_out(read):
    for units in ("yyyy-mm-dd,USD", ",USD", "[-],[EUR]"):
        frame = read(f"Date,Close\n{units}\n" + table("", DAYS, PRICE)[1:])
        assert frame.attrs["recognised"]["value"] == "Close"
        assert frame["value"].tolist() == PRICE


def test_parquet_may_keep_its_dates_as_text_in_the_index(tmp_path):
    days = pd.date_range("1990-01-01", periods=12_000).strftime("%Y-%m-%d")
    pd.DataFrame({"close": range(1, 12_001)}, index=days).to_parquet(tmp_path / "prices.parquet")
    assert days_of(read_prices(tmp_path / "prices.parquet"))[0] == pd.Timestamp("1990-01-01")


def test_a_workbook_may_have_the_time_of_day_in_its_own_column(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [["Date", "Time", "Close"], *([d, time(15, 30), p] for d, p in zip(DAYS, PRICE, strict=True))]:
        book.active.append(row)
    book.save(tmp_path / "prices.xlsx")
    assert days_of(read_prices(tmp_path / "prices.xlsx"))[0] == pd.Timestamp("2023-01-02 15:30")


def test_a_workbook_with_a_cell_far_outside_the_table_is_refused_before_it_is_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Date", "Close"])
    book.active["XFD300000"] = 1
    book.save(tmp_path / "prices.xlsx")
    with pytest.raises(ValueError, match="has 300000 rows and 16384 columns: delete entries outside of the table"):
        read_prices(tmp_path / "prices.xlsx")


def test_a_comment_before_a_web_page_does_not_hide_it(refusal):
    assert "this is a web page" in refusal("<!-- x -->\n<html><body>403</body></html>")


def test_rows_at_the_end_are_counted_without_blank_lines(read, refusal):
    text = table("Date,Close", DAYS, PRICE) + "Average,105\n\n,\nSource: X,\n"
    assert "data.skip_footer=2" in refusal(text)
    frame = read(text, skip_footer=2)
    assert frame["value"].tolist() == PRICE
    assert "without the end from 'Average,105' on" in frame.attrs["recognised"]["dialect"]


def test_a_second_line_at_the_end_is_added_to_those_that_are_skipped(read, refusal):
    text = table("Date,Close", DAYS, PRICE) + "Source: X,1\nExported yesterday\n"
    assert "data.skip_footer=1" in refusal(text)
    assert "data.skip_footer=2" in refusal(text, skip_footer=1)
    assert read(text, skip_footer=2)["value"].tolist() == PRICE


@pytest.mark.parametrize(("encoding", "header"), [("cp1252", "Datum,Kursübersicht"), ("shift_jis", "日付,終値")])
def test_the_advised_encoding_is_one_that_fits(read, refusal, encoding, header):
    data = table(header, DAYS.strftime("%Y-%m-%d"), PRICE).encode(encoding)
    assert f"data.encoding={encoding} " in refusal(data)
    assert read(data, encoding=encoding)["value"].tolist() == PRICE


# Several files


@pytest.fixture
def folder(tmp_path):
    for name, level in (("000001", 10), ("A", 100), ("BRK.A", 200), ("BRK.B", 300)):
        (tmp_path / f"{name}.csv").write_text(table("Date,Close", DAYS, [level + p for p in PRICE]))
    return tmp_path


def test_a_file_may_have_a_point_in_its_name(folder):
    names = read_prices(folder / "*.csv").index.unique("series").tolist()
    assert names == ["000001", "A", "BRK.A", "BRK.B"]


def test_series_of_several_files_follow_the_option(folder):
    frame = read_prices(folder / "*.csv", series=["BRK.B", 1])
    assert frame.index.unique("series").tolist() == ["BRK.B", "000001"]
    with pytest.raises(ValueError, match="has no series 'ZZZ'"):
        read_prices(folder / "*.csv", series=["A", "ZZZ"])


def test_files_with_different_price_columns_are_refused(folder):
    (folder / "A.csv").write_text(table("Date,Close,Adj Close", DAYS, PRICE, PRICE))
    with pytest.raises(ValueError, match="different price columns, 'close' in 000001.csv and 'adj close' in A.csv"):
        read_prices(folder / "*.csv")
    assert len(read_prices(folder / "*.csv", value="Close")) == 120


# The repeated hour


@pytest.mark.parametrize(("summer", "winter"), [("CEST", "CET"), ("BST", "GMT"), ("EDT", "EST"), ("+02:00", "+01:00")])
def test_the_repeated_hour_is_ordered_by_the_zone(read, summer, winter):
    hours = [(0, summer), (1, summer), (1, winter), (2, winter)]
    frame = read(table("Time,Close", [f"2023-10-29 0{h}:{m}:00 {z}" for h, z in hours for m in (10, 40)], PRICE[:8]))
    assert frame["value"].tolist() == PRICE[:8]


@pytest.mark.parametrize("step", [1, -1])
def test_the_repeated_hour_of_a_named_zone_is_ordered_by_the_rows(read, step):
    times = [f"2023-10-29 0{h}:{m}:00 Europe/Berlin" for h in (1, 2, 2, 3) for m in (10, 40)]
    frame = read(table("Time,Close", times[::step], PRICE[:8][::step]))
    assert frame["value"].tolist() == PRICE[:8]


@pytest.mark.parametrize("zone", ["-05:00[America/New_York]", "+0000 UTC", " America/Port-au-Prince"])
def test_a_zone_after_the_offset_is_read(read, zone):
    frame = read(table("Time,Close", DAYS.strftime("%Y-%m-%dT09:30:00" + zone), PRICE))
    assert days_of(frame)[0] == pd.Timestamp("2023-01-02 09:30")


def test_a_quote_that_opens_in_the_header_is_refused(refusal):
    assert "quote without a closing one" in refusal('date,"\n' + table("", DAYS, PRICE)[1:])


def test_parquet_times_outside_of_the_calendar_are_refused(tmp_path):
    times = pa.array([2**62, 1], pa.timestamp("us"))
    pq.write_table(pa.table({"date": times, "close": [1.0, 2.0]}), tmp_path / "prices.parquet")
    with pytest.raises(ValueError, match="the dates are outside of 1678 to 2262"):
        read_prices(tmp_path / "prices.parquet")
