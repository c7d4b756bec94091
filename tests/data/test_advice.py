"""Each `data.KEY=VALUE` that a message advises is applied, and the file is then read with the right values."""

import re

import pandas as pd
import pytest

from steepest import read_prices
from steepest.runs.price_check import parsed_options

DAYS = pd.bdate_range("2023-01-02", periods=30)
PRICE = [round(100 + i * 0.37, 2) for i in range(30)]
ISO = list(DAYS.strftime("%Y-%m-%d"))
ADVICE = re.compile(r"data\.\w+=(?:'[^']*'|\[[^\]]*\]|[^\s,;:()]+)(?: data\.\w+=(?:'[^']*'|[^\s,;:()]+))*")


def rows(*columns, separator=","):
    return "".join(separator.join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


OHLC = [[round(p + d, 2) for p in PRICE] for d in (-0.1, 1, -1, 0)]
VOLUME = [7000 + i for i in range(30)]
AMBIGUOUS = [f"0{i % 9 + 1}/0{i // 9 + 1}/2023" for i in range(27)]
THOUSANDS = [f"1.{100 + i}" for i in range(29)] + ["991"]
GAP = ["" if i == 4 else p for i, p in enumerate(PRICE)]
FILLED = [PRICE[i - 1] if i == 4 else p for i, p in enumerate(PRICE)]
DROPPED = [p for i, p in enumerate(PRICE) if i != 4]
LONG = [(d, s, p + k) for s, k in (("A", 0), ("B", 50)) for d, p in zip(ISO, PRICE, strict=True)]

# A name, the file, and the prices after each advice. The price of a placeholder is given with it.
CASES = [
    ("no header", rows(ISO, *OHLC, VOLUME), {"data.header=false data.date=0 data.value=4": PRICE}),
    ("unknown names", "d,o,h,l,c,v\n" + rows(ISO, *OHLC, VOLUME),
     {"data.value=c": PRICE, "data.series=[c]": PRICE}),
    ("a footer", "Date,Close\n" + rows(ISO, PRICE) + "Average,105\n\nSource: me,\n",
     {"data.skip_footer=2": PRICE, "data.missing=drop": PRICE}),
    ("a narrow footer", "Date,Close\n" + rows(ISO, PRICE) + "\nSource: me\n\n", {"data.skip_footer=1": PRICE}),
    ("a gap", "Date,Close\n" + rows(ISO, GAP), {"data.missing=drop": DROPPED, "data.missing=forward_fill": FILLED}),
    ("a gap at the start", "Date,Close\n" + rows(ISO, ["", *PRICE[1:]]), {"data.missing=drop": PRICE[1:]}),
    ("duplicates", "Date,Close\n" + rows([*ISO, ISO[-1]], [*PRICE, 7]),
     {"data.duplicates=first": PRICE, "data.duplicates=last": [*PRICE[:-1], 7]}),
    ("an id", "Date,Group,Close\n" + rows(*zip(*LONG, strict=True)),
     {"data.id=Group": PRICE, "data.duplicates=first": PRICE, "data.duplicates=last": [p + 50 for p in PRICE]}),
    ("two orders of dates", "Date,Close\n" + rows([d for d in AMBIGUOUS if d[:2] != d[3:5]][:7], PRICE[:7]),
     {"data.date_format='%d/%m/%Y'": PRICE[:7], "data.date_format='%m/%d/%Y'": PRICE[:7]}),
    ("two signs", "Date;Close\n" + rows(ISO, THOUSANDS, separator=";"),
     {"data.decimal='.' data.thousands=''": [float(t) for t in THOUSANDS],
      "data.decimal=',' data.thousands='.'": [float(t.replace(".", "")) for t in THOUSANDS]}),
    ("an old century", "Date,Close\n" + rows(pd.date_range("1960-01-31", periods=30, freq="ME").strftime("%m/%d/%y"), PRICE),
     {"data.century=1900": PRICE}),
    ("a month as a number", "Date,Close\n" + rows([f"{1990 + i // 12}.{i % 12 + 1:02d}" for i in range(30)], PRICE),
     {"data.date_format='%Y.%m'": PRICE}),
    ("a late series", "Date,A,B\n" + rows(ISO, PRICE, ["", *PRICE[1:]]), {"data.short=drop": PRICE, "data.missing=drop": PRICE}),
    ("two dates", "Expiry,Quoted,Close\n" + rows(["2023-06-16"] * 30, ISO, PRICE), {"data.date=Quoted": PRICE}),
    ("two prices", "Date,Settle,Last\n" + rows(ISO, PRICE, OHLC[0]), {"data.value=Settle": PRICE}),
    ("no id", "Date,ticker,Close\n" + rows(ISO, ["", *["A"] * 29], PRICE), {"data.missing=drop": PRICE[1:]}),
    ("another encoding", ("Date,Schlußkurs\n" + rows(ISO, PRICE)).encode("cp1252"), {"data.encoding=cp1252": PRICE}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "prices"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_option_that_a_message_suggests_works(tmp_path, text, prices):
    path = tmp_path / "prices.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_prices(path)
    found = dict.fromkeys(ADVICE.findall(str(caught.value)))
    for advice in list(found):
        if key := re.fullmatch(r"(data\.\w+=).*(COLUMN|POSITION).*", advice):  # a placeholder
            del found[advice]
            found |= {known: None for known in prices if known.startswith(key[1])}
    assert found.keys() == prices.keys(), str(caught.value)
    for advice in found:
        frame = read_prices(path, **parsed_options(advice.split(" data.") if "' '" not in advice else [advice]))
        assert frame.loc[frame.index[0][0], "value"].tolist() == prices[advice], advice
