"""Price files in the formats of many sources are read correctly, or refused with a fix that works."""

import bz2
import gzip
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from campaign import files, sources

from steepest import PriceFile, PriceFrame, RandomWalk, read_prices
from steepest.data.preparation import series_windows

DAYS = pd.bdate_range("2023-01-02", periods=20)
PRICE = [100.0, 101.5, 99.25, 98.0, 97.5, 98.25, 99.0, 101.0, 102.5, 101.75, 103.0, 104.5, 103.25, 102.0, 101.5, 100.25,
         99.5, 98.75, 99.0, 100.5]  # fmt: skip


def csv(dates, prices=PRICE, header="Date,Close", separator=","):
    rows = [f"{d}{separator}{p}" for d, p in zip(dates, prices, strict=False)]
    return "\n".join([header.replace(",", separator), *rows]) + "\n"


def dated(date_format: str) -> str:
    return csv(DAYS.strftime(date_format))


def is_right(frame, days=DAYS, prices=PRICE):
    assert frame.index.get_level_values("date").tolist() == list(days)
    assert frame["value"].tolist() == list(prices)


def refused(read, data, *fragments, **options):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read(data, **options)
    for fragment in fragments:
        assert fragment in str(caught.value)
    return str(caught.value)


# Dates


@pytest.mark.parametrize(
    "date_format",
    ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y%m%d", "%d-%b-%Y", "%d-%b-%y", "%b %d %Y", "%m/%d/%y", "%d%m%Y"],
)  # fmt: skip
def test_one_format_fits_all_rows_of_a_column(read, date_format):
    is_right(read(dated(date_format)))
    is_right(
        read("\n".join([dated(date_format).split("\n")[0], *dated(date_format).strip().split("\n")[:0:-1]]) + "\n")
    )


def test_days_first_with_two_digit_years_are_read_if_the_order_decides(read):
    days = pd.date_range("2023-01-02", periods=20, freq="3D")
    is_right(read(csv(days.strftime("%d/%m/%y"))), days)


def test_dates_that_fit_two_formats_are_refused_unless_the_format_is_named(read):
    days = pd.date_range("2015-01-01", periods=20, freq="MS")
    text = csv(days.strftime("%d/%m/%Y"))
    refused(
        read, text, "%d/%m/%Y reads 2015-01-01", "%m/%d/%Y reads 2015-01-01, 2015-01-02", "data.date_format='%d/%m/%Y'"
    )
    is_right(read(text, date_format="%d/%m/%Y"), days)


def test_the_order_of_the_file_decides_if_only_one_format_is_in_order(read):
    days = pd.to_datetime([f"2023-0{m}-0{d}" for m in (1, 2) for d in (2, 4, 6, 8)])
    is_right(read(csv(days.strftime("%d/%m/%Y"))), days, PRICE[:8])


@pytest.mark.parametrize("shown", ["%b %y", "%b-%y", "%Y-%m", "%Y%m", "%m/%Y"])
def test_a_month_is_read_as_its_first_day(read, shown):
    days = pd.date_range("2012-01-01", periods=20, freq="MS")
    is_right(read(csv(days.strftime(shown))), days)


def test_a_day_without_a_year_is_not_read_as_a_month(read):
    days = pd.date_range("2023-01-02", periods=12)
    refused(read, csv(days.strftime("%b %d")), "can be read in several ways", "of an unknown year")


def test_a_quarter_is_read_as_its_first_day(read):
    days = pd.date_range("2018-01-01", periods=20, freq="QS")
    is_right(read(csv([f"{d.year}-Q{d.quarter}" for d in days])), days)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_epochs_are_recognised_by_their_range_or_named(read, unit):
    text = csv(DAYS.as_unit(unit).asi8, header="time,Close")
    is_right(read(text))
    is_right(read(text, date_format=f"epoch_{unit}"))


def test_excel_serial_days_are_recognised(read):
    is_right(read(csv((DAYS - pd.Timestamp("1899-12-30")).days)))


def test_two_digit_years_have_a_fixed_pivot_or_the_century_of_the_option(read):
    days = pd.to_datetime([f"1969-01-{d:02d}" for d in range(13, 28)])
    is_right(read(csv(days.strftime("%d/%m/%y"))), days, PRICE[:15])
    days = pd.to_datetime([f"1950-01-{d:02d}" for d in range(13, 28)])
    text = csv(days.strftime("%d/%m/%y"))
    refused(read, text, "2050-01-13", "after tomorrow", "data.century=1900", date_format="%d/%m/%y")
    is_right(read(text, date_format="%d/%m/%y", century=1900), days, PRICE[:15])


@pytest.mark.parametrize("year", ["1700", "2100"])
def test_dates_before_1800_or_after_tomorrow_are_refused(read, year):
    refused(read, dated("%Y-%m-%d").replace("2023", year), "before 1800" if year == "1700" else "after tomorrow")


def test_a_date_and_a_time_in_two_columns_are_joined(read):
    times = pd.date_range("2023-01-02 09:30", periods=20, freq="h")
    rows = [f"{t:%Y.%m.%d},{t:%H:%M:%S},{p}" for t, p in zip(times, PRICE, strict=True)]
    is_right(read("<DATE>,<TIME>,<CLOSE>\n" + "\n".join(rows)), times)


# Time zones


def test_no_row_is_lost_in_the_hour_that_occurs_twice_in_autumn(read):
    rows = ["02:00+02:00", "02:30+02:00", "02:00+01:00", "02:30+01:00"]
    frame = read("time,close\n" + "".join(f"2023-10-29 {r},{i + 1}\n" for i, r in enumerate(rows)))
    assert frame["value"].tolist() == [1, 2, 3, 4]
    assert [t.minute for t in frame.index.get_level_values("date")] == [0, 30, 0, 30]


def test_a_time_with_a_named_zone_is_read_as_written(read):
    frame = read(csv([f"{d:%Y-%m-%d} 16:00:00 America/New_York" for d in DAYS]))
    is_right(frame, DAYS + pd.Timedelta(hours=16))


# Price columns


@pytest.mark.parametrize(
    "name",
    ["CLOSE", "<CLOSE>", "4. close", "Close/Last", "Close_ABC", "ABC Close", "Close Price", "Adj. Close", "adjusted_close",
     "Close*", "Schlusskurs", "Schluss", "Kurs", "Clôture", "Cierre", "Chiusura", "收盘", "終値"],
)  # fmt: skip
def test_the_price_is_found_by_its_normalised_name(read, name):
    rows = [f"{d:%Y-%m-%d},{9 * i + 5000},{p}" for i, (d, p) in enumerate(zip(DAYS, PRICE, strict=True))]
    frame = read(f"Date,Volume,{name}\n" + "\n".join(rows))
    is_right(frame)
    assert frame.attrs["recognised"]["value"] == name


def test_adjusted_prices_are_preferred_to_raw_prices(read):
    rows = [f"{d:%Y-%m-%d},{4 * p},{p}" for d, p in zip(DAYS, PRICE, strict=True)]
    frame = read("Date,Close,Adj Close**\n" + "\n".join(rows))
    is_right(frame)
    assert frame.attrs["recognised"]["why"] == "found by name, preferred to 'Close'"


@pytest.mark.parametrize("names", ["Open,Volume", "Prev Close,Volume", "x,y"])
def test_columns_with_unknown_names_and_different_sizes_are_refused_unless_one_is_named(read, names):
    rows = [f"{d:%Y-%m-%d},{p},{10**6 + i}" for i, (d, p) in enumerate(zip(DAYS, PRICE, strict=True))]
    text = f"Date,{names}\n" + "\n".join(rows)
    refused(read, text, "data.value=COLUMN", names.split(",")[0])
    is_right(read(text, value=names.split(",")[0]))


# Numbers


@pytest.mark.parametrize(
    "write",
    [
        lambda v: f"${v:,.2f}", lambda v: f'"{v:,.2f}"'.replace(",", "X").replace(".", ",").replace("X", "."), lambda v: f"{v} €",
        lambda v: f"{v:,.2f}".replace(",", " "), lambda v: f"USD {v}", lambda v: f"{v}%", lambda v: f"{v / 1000:.5f}K",
        lambda v: f"{v:,.2f}".replace(",", "'"),
    ],
)  # fmt: skip
def test_the_number_format_is_found_by_elimination(read, write):
    prices = [10 * p for p in PRICE]
    is_right(read(csv(DAYS.strftime("%Y-%m-%d"), [write(p) for p in prices], separator=";")), DAYS, prices)


def test_numbers_in_parentheses_are_negative(read):
    prices = [p - 100 for p in PRICE]
    is_right(read(csv(DAYS, [f"({-p})" if p < 0 else p for p in prices])), DAYS, prices)


def test_points_that_may_separate_thousands_are_refused_unless_the_sign_is_named(read):
    text = csv(DAYS[:4], ["991", "1.023", "1.012", "997"], separator=";")
    refused(read, text, "'1.023' in row 2 is 1.023", "1023", "data.decimal=','", "data.thousands='.'")
    is_right(read(text, decimal=",", thousands="."), DAYS[:4], [991, 1023, 1012, 997])
    is_right(read(text, decimal="."), DAYS[:4], [991, 1.023, 1.012, 997])


def test_suspicious_prices_are_reported_with_their_dates(read):
    prices = [*PRICE[:5], 25.0, 25.5, *[26.0] * 12, 0]
    notes = " ".join(read(csv(DAYS, prices)).attrs["recognised"]["notes"])
    assert "goes from 97.5 to 25 on 2023-01-09 (a split? use adjusted prices)" in notes
    assert "1 price is 0, first on 2023-01-27" in notes
    assert "12 equal prices (26) in sequence, starting on 2023-01-11" in notes
    spike = read(csv(DAYS, [*PRICE[:5], 200.0, *PRICE[6:]])).attrs["recognised"]["notes"]
    assert "on 2023-01-09, undone by the next price" in spike[0]


# Ids and words for missing values


def test_ids_are_text_and_can_be_chosen_by_the_value_that_yaml_reads(read):
    ids = ["000001", "600519", "NA", "TRUE", "INF"]
    text = "date,symbol,close\n" + "".join(
        f"{d:%Y-%m-%d},{n},{p}\n" for n in ids for d, p in zip(DAYS, PRICE, strict=True)
    )
    assert read(text).index.unique("series").tolist() == ids
    for chosen, name in ((600519, "600519"), (True, "TRUE"), (float("inf"), "INF"), ("000001", "000001")):
        assert read(text, series=[chosen]).index.unique("series").tolist() == [name]


@pytest.mark.parametrize("word", ["", ".", "null", "N/A", "-"])
def test_words_for_missing_values_are_recognised(read, word):
    refused(read, csv(DAYS, [*PRICE[:3], word, *PRICE[4:]]), "1 of 20 are not numbers (1 missing), first in row 4")


# Layouts


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "Data of a source\n\nDISCLAIMER: a, b.\n\n" + t, lambda t: "sep=;\n" + t.replace(",", ";"),
        lambda t: t.replace("\n", ",\n").replace("Close,", "Close"), lambda t: t.replace(",", "  "), lambda t: t.replace(",", "|"),
        lambda t: t.replace(",", "\t"), lambda t: "\n" + t.replace("\n", "\r\n"), lambda t: t + ",\n,\n",
    ],
)  # fmt: skip
def test_every_layout_of_a_text_file_is_read(read, change):
    is_right(read(change(dated("%Y-%m-%d"))))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_recognised(read, encoding):
    is_right(read(dated("%Y-%m-%d").encode(encoding)))


def test_another_encoding_is_refused_unless_it_is_named(read):
    data = dated("%Y-%m-%d").replace("Close", "Clôture").encode("cp1252")
    refused(read, data, "line 1 is not UTF-8", "data.encoding=cp1252", "Clôture")
    is_right(read(data, encoding="cp1252"))


def test_a_file_without_a_header_is_read_by_position(read):
    rows = [f"{d:%Y-%m-%d},9,9,9,{p},{i + 10**6}" for i, (d, p) in enumerate(zip(DAYS, PRICE, strict=True))]
    refused(read, "\n".join(rows), "data.header=false data.date=0 data.value=")
    is_right(read("\n".join(rows), header=False, date=0, value=4))
    is_right(read("\n".join(dated("%Y-%m-%d").splitlines()[1:])))


def test_several_header_rows_give_one_series_per_ticker(read):
    rows = [f"{d:%Y-%m-%d},{p},{2 * p},7,8" for d, p in zip(DAYS, PRICE, strict=True)]
    top = "Price,Close,Close,Volume,Volume\nTicker,AAPL,MSFT,AAPL,MSFT\nDate,,,,\n"
    frame = read(top + "\n".join(rows))
    is_right(frame.loc[["AAPL"]])
    is_right(frame.loc[["MSFT"]], DAYS, [2 * p for p in PRICE])


def test_compressed_files_and_workbooks_are_read(read):
    text, out, book = dated("%d/%m/%Y").encode(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("prices.csv", text)
    pd.DataFrame({"Date": DAYS, "Close": PRICE}).to_excel(book, index=False)
    packed = {
        "p.csv.gz": gzip.compress(text),
        "p.csv.bz2": bz2.compress(text),
        "p.zip": out.getvalue(),
        "p.xlsx": book.getvalue(),
    }
    packed["p.csv.zst"] = pa.compress(text, "zstd", asbytes=True)
    for name, data in packed.items():
        is_right(read(data, name))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"a": 1}', "JSON"),
        ("<!DOCTYPE html><p>Sign in", "web page"),
        (b"%PDF-1.4", "PDF"),
        (b"PK\x03\x04xx", "zip archive"),
    ],
)
def test_the_message_names_the_type_of_an_unsupported_file(read, text, what):
    refused(read, text, what)


def test_a_summary_row_is_refused_and_can_be_skipped(read):
    text = dated("%Y-%m-%d") + "Average,100.1\n"
    refused(read, text, "row 21 ('Average')", "data.skip_footer=1")
    is_right(read(text, skip_footer=1))


@pytest.mark.parametrize("row", ["2023-01-05", "2023-01-05,98,3", '"2023-01-05,98'])
def test_a_row_with_another_number_of_entries_is_refused(read, row):
    refused(read, dated("%Y-%m-%d").replace("2023-01-05,98.0", row), "cannot be read as a table", "line 5")


def test_a_pattern_reads_one_series_per_file(tmp_path):
    for name in ("AAA", "BBB"):
        (tmp_path / f"{name}.csv").write_text(dated("%d/%m/%Y"))
    frame = read_prices(tmp_path / "*.csv")
    assert frame.index.unique("series").tolist() == ["AAA", "BBB"]
    (tmp_path / "BBB.csv").write_text("date,close\n")
    with pytest.raises(ValueError, match=r"BBB.csv: .*has no rows"):
        read_prices(tmp_path / "*.csv")


def test_frames_of_other_libraries_are_accepted():
    polars = pytest.importorskip("polars")
    frame = pd.DataFrame({"Date": DAYS, "Close": PRICE})
    for given in (frame, frame.set_index("Date"), pa.Table.from_pandas(frame), polars.from_pandas(frame)):
        is_right(read_prices(given))
    assert len(PriceFrame(frame, window=3).read()) == 20


# Notes about changed rows, and all faults together


def test_the_note_about_dropped_rows_has_their_number_and_days(read):
    text = csv(DAYS, [*PRICE[:3], "", "", *PRICE[5:]])
    (note,) = read(text, missing="drop").attrs["recognised"]["notes"]
    assert "left out 2 of 20 rows (10% of its rows), 2023-01-05 to 2023-01-06" in note


def test_the_message_does_not_suggest_dropping_a_fifth_of_the_rows(read):
    message = refused(read, csv(DAYS, [100, "", "", "", "", *PRICE[5:]]), "data.missing=forward_fill")
    assert "data.missing=drop" not in message


def test_the_message_does_not_suggest_filling_a_first_row_or_most_rows(read):
    assert "forward_fill" not in refused(read, csv(DAYS, ["", *PRICE[1:]]), "data.missing=drop")
    assert "forward_fill" not in refused(read, csv(DAYS, [100, *["12 p"] * 19]), "correct them")


def test_series_that_start_late_in_a_wide_file_give_one_fault_with_a_fix(read):
    names = [f"S{i:02d}" for i in range(30)]
    values = pd.DataFrame({n: np.array(PRICE) + i for i, n in enumerate(names)}, index=DAYS)
    values.iloc[:5, 3:6] = np.nan
    values.iloc[-4:, 7] = np.nan
    text = values.rename_axis("Date").to_csv()
    refused(
        read,
        text,
        "30 series: 3 start after 2023-01-02 (S03, S04, S05), 1 ends before 2023-01-27 (S07)",
        "data.short=drop",
    )
    frame = read(text, short="drop")
    assert frame.index.unique("series").tolist() == [n for n in names if n not in ("S03", "S04", "S05", "S07")]


def test_forward_filled_days_are_inputs_but_not_targets(tmp_path):
    (tmp_path / "p.csv").write_text(csv(DAYS, [*PRICE[:10], "", *PRICE[11:]]))
    spec = PriceFile(path=str(tmp_path / "p.csv"), missing="forward_fill", split=[1, 0, 0], window=2)
    windows = series_windows(spec.read(), spec, "p.csv")
    origins = windows.parts["train"].origins(torch.arange(17))
    assert origins.tolist() == [o for o in range(1, 19) if o + 1 != 10]
    assert windows.to("cpu").parts["train"].origins(torch.arange(17)).tolist() == origins.tolist()


def test_a_day_with_an_unchanged_price_is_neither_up_nor_down():
    spec = RandomWalk(rows=40, target="direction", split=[1, 0, 0])
    frame = spec.read()
    frame.iloc[20] = frame.iloc[19]
    windows = series_windows(frame, spec, "test")
    assert len(windows.parts["train"]) == 38
    assert 19 not in windows.parts["train"].origins(torch.arange(38)).tolist()


# Random files


@pytest.mark.parametrize("seeds", [range(0, 40), range(700, 740)])
def test_generated_files_give_the_known_frame_or_a_message(seeds, tmp_path):
    results = [(seed, sources.check(sources.written(seed), tmp_path)) for seed in seeds]
    assert [r for r in results if not r[1].startswith(("right", "refused"))] == []
    assert sum(r[1] == "right" for r in results) > len(results) / 3


def test_damaged_files_give_a_message_or_a_correct_frame(tmp_path):
    for seed in range(60):
        name, data = files.mutated(seed)
        (tmp_path / name).write_bytes(data)
        result = files.outcome(tmp_path / name)
        assert not result.startswith("WRONG") or "memory" in result, (seed, result)


def test_a_gzip_file_of_zeros_is_refused_before_it_is_decompressed_completely():
    stream = io.BytesIO()
    with gzip.open(stream, "wb", 9) as file:
        for _ in range(8):
            file.write(bytes(2**24))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zeros.csv.gz"
        path.write_bytes(stream.getvalue())
        with pytest.raises(ValueError, match="zero bytes only"):
            read_prices(path)


# One message for the same fault of several columns, series or files

SEVERAL = ["AAA", "BBB", "CCC"]


def wide(days, columns, separator=","):
    lines = [separator.join(["Date", *SEVERAL])]
    return "\n".join(lines + [separator.join(map(str, row)) for row in zip(days, *columns, strict=True)]) + "\n"


@pytest.mark.parametrize(
    ("fault", "fragment", "others"),
    [
        ("ambiguous", "column 'AAA' can be read in two ways", "'BBB', 'CCC'"),
        ("duplicate", "AAA: 1 date occurs more than once", "BBB (2023-01-03), CCC (2023-01-03)"),
        ("gap", "value column 'AAA': 1 of 20 are not numbers", "'BBB' (row 2), 'CCC' (row 2)"),
        ("constant", "value column 'AAA' is constant (1)", "'BBB', 'CCC'"),
    ],
)
def test_the_same_fault_of_several_columns_gives_one_message_that_names_all(read, fault, fragment, others):
    days, columns, separator = list(DAYS), [[p + 10 * n for p in PRICE] for n in range(3)], ","
    if fault == "ambiguous":
        columns, separator = [[f"{n}.{500 + 7 * i}" for i in range(20)] for n in (1, 2, 3)], ";"
    elif fault == "duplicate":
        days[2] = days[1]
    elif fault == "gap":
        columns = [[prices[0], "", *prices[2:]] for prices in columns]
    else:
        columns = [[n] * 20 for n in (1, 2, 3)]
    message = refused(read, wide(days, columns, separator), fragment, series=SEVERAL)
    assert "faults" not in message
    assert message.endswith(f"; the same applies to {others}")


def test_different_faults_of_several_columns_are_listed_separately(read):
    columns = [[1.5, "", *PRICE[2:]], [1.5, "n.q.", *PRICE[2:]], PRICE]
    message = refused(read, wide(DAYS, columns), "2 faults")
    assert "the same applies" not in message


def test_the_same_change_of_several_series_is_one_note(read):
    columns = [[p + 10 * n if i != 1 else "" for i, p in enumerate(PRICE)] for n in range(3)]
    (note,) = read(wide(DAYS, columns), missing="forward_fill").attrs["recognised"]["notes"]
    assert note.startswith("'AAA': data.missing=forward_fill repeated the previous price in 1 row, ")
    assert note.endswith("; the same applies to 'BBB' (1 row), 'CCC' (1 row)")


def test_the_same_fault_of_several_files_gives_one_message(tmp_path):
    for n, name in enumerate(SEVERAL):
        days = [f"{d},{100 + n}" for d in DAYS]
        (tmp_path / f"{name}.csv").write_text("Date,Close\n" + "\n".join(days))
    with pytest.raises(ValueError, match=r"AAA\.csv: value column 'Close' is constant \(100\)") as caught:
        read_prices(tmp_path / "*.csv")
    assert "faults" not in str(caught.value)
    assert str(caught.value).endswith("; the same applies to BBB.csv, CCC.csv")
