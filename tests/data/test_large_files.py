"""A large file is read from disk with typed columns. It gives the same as a small file, which is read as text."""

import numpy as np
import pandas as pd
import pytest
from campaign import sources

from steepest import read_prices
from steepest.data.prices import content, delimited

DAYS = pd.date_range("2020-01-01", periods=400).strftime("%Y-%m-%d")
PRICE = [round(100 + i * 0.37, 2) for i in range(400)]


@pytest.fixture
def both(tmp_path, monkeypatch):
    """Read a file as a small and as a large one, and return the two results: a frame, or a message."""

    def start(data, name="prices.csv", **options):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        results = []
        for limit in (content.LARGE, 0):
            with monkeypatch.context() as patch:
                patch.setattr(content, "LARGE", limit)
                patch.setattr(delimited, "SAMPLE", 100)
                try:
                    results.append(read_prices(path, **options))
                except ValueError as error:
                    results.append(str(error))
        return results

    return start


def rows(prices=PRICE, days=DAYS):
    return "Date,Close\n" + "".join(f"{d},{p}\n" for d, p in zip(days, prices, strict=True))


def same(small, large):
    assert isinstance(small, pd.DataFrame)
    pd.testing.assert_frame_equal(small, large)
    assert small.attrs == large.attrs


@pytest.mark.parametrize("date_format", ["%Y-%m-%d", "%d/%m/%Y", "%d.%m.%y", "%Y-%m-%dT%H:%M:%S", "%Y%m%d", "%d %b %Y"])
def test_each_format_gives_the_same(both, date_format):
    same(*both(rows(days=pd.to_datetime(DAYS).strftime(date_format))))


@pytest.mark.parametrize("entry", ["", "null", "$107.3", "1,007.30", "1e2", "inf", "x"])
def test_an_entry_after_the_sample_that_is_not_a_plain_number_gives_the_same_result(both, entry):
    small, large = both(rows([*PRICE[:300], f'"{entry}"', *PRICE[301:]]), missing="drop")
    same(small, large)
    small, large = both(rows([*PRICE[:300], f'"{entry}"', *PRICE[301:]]))
    assert str(small) == str(large)


def test_a_date_below_the_sample_decides_or_is_refused(both):
    month_first = pd.to_datetime(DAYS).strftime("%m/%d/%Y")
    small, large = both(rows(days=[*month_first[:12], *month_first[12:]]))
    same(small, large)
    small, large = both(rows(days=[*DAYS[:300], "2020-13-01", *DAYS[301:]]))
    assert "row 301 ('2020-13-01')" in small
    assert large == small


@pytest.mark.slow
def test_generated_files_give_the_same(both):
    for seed in range(120):
        file = sources.written(seed)
        small, large = both(file.data, file.name, **file.options)
        if isinstance(small, str):
            assert large == small, seed
        else:
            same(small, large)


@pytest.mark.parametrize("footer", ["Average,105\n", "Average,105,,,\n", "\nSource: me\n\n"])
def test_the_end_of_a_large_file_can_be_skipped(both, footer):
    same(*both(rows() + footer, skip_footer=1))


def test_columns_separated_by_spaces_are_read(both):
    same(*both(rows().replace(",", "   ")))


def test_blank_rows_are_left_out(both):
    same(*both(rows() + ",\n\n,\n"))


def test_a_quote_that_is_not_closed_is_refused(both):
    text = rows().splitlines(keepends=True)
    text[300] = '"' + text[300]
    for message in both("".join(text)):
        assert "quote without a closing one" in message


def wide(days=DAYS):
    columns = zip(days, PRICE, PRICE[::-1], [p + (-1) ** i for i, p in enumerate(PRICE)], strict=True)
    return "Date,A,B,C\n" + "".join(f"{d},{a},{b},{c}\n" for d, a, b, c in columns)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (wide(), {}),
        (wide().rstrip(), {}),  # no line end after the last row
        (wide(), {"series": ["C", "A", "B"]}),
        (wide(), {"series": ["B"]}),
        (wide(), {"features": ["B"], "value": "A"}),
        (wide(DAYS[::-1]), {}),
        (wide([*DAYS[1:], DAYS[0]]), {}),
        (wide([*DAYS[:-1], DAYS[0]]), {"duplicates": "last"}),
        (wide().replace("100.37", ""), {"missing": "drop"}),
        (wide().replace("100.37", ""), {"missing": "forward_fill"}),
        (wide().replace("\n2020-03", "\n\n2020-03"), {}),
    ],
)
def test_prices_side_by_side_give_the_same_and_can_be_changed(both, text, options):
    small, large = both(text, **options)
    same(small, large)
    large.iloc[5] = 7.0
    assert (large.iloc[5] == 7.0).all()
    assert (large.iloc[[4, 6]] != 7.0).all(axis=None)


def test_the_numbers_of_a_sorted_complete_file_are_not_copied(both, monkeypatch):
    blocks = []
    joined = delimited._joined
    monkeypatch.setattr(delimited, "_joined", lambda *given: blocks.append(read := joined(*given)) or read)
    _, large = both(wide())
    assert np.shares_memory(large.to_numpy(), blocks[0][1])


def test_the_typed_columns_are_used(both, monkeypatch):
    kinds = []
    read = delimited._Reader.__call__
    monkeypatch.setattr(delimited._Reader, "__call__", lambda self, k, f: kinds.append({**k}) or read(self, k, f))
    text = "Date,A,Note,B\n" + "".join(f"{d},{p},x,{p + 1}\n" for d, p in zip(DAYS, PRICE, strict=True))
    _, large = both(text)
    assert kinds == [{0: "TIMESTAMP", 1: "DOUBLE", 3: "DOUBLE"}]  # `Note` is not read
    assert np.array_equal(large["value"], [*PRICE, *(p + 1 for p in PRICE)])
