"""Lists the usual column names in several languages, as `normalised` returns them."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split("|")]


DATES = _words(  # in order of preference
    "date | datetime | date time | datum | fecha | data | 日期 | 日付 | 날짜 | trade date | trading date | "
    "trading day | observation date | quote date | pricing date | price date | session date | business date | "
    "report date | valuation date | timestamp | time | day | time stamp | gmt time | local time | open time | "
    "as of date | jour | tag | zeit | period | month | quarter | year"
)
COARSE = _words("period | month | quarter | year | day")  # a date only if no other column has dates
CLOCKS = _words("time | zeit | uhrzeit | hora | heure | ora | hour | stunde | 时间 | 時刻")
PARTS = [_words("year | jahr | año | année | anno | 年"), _words("month | monat | mes | mois | mese | 月"),
         _words("day | tag | día | jour | giorno | 日")]  # fmt: skip
IDS = _words(  # in order of preference
    "ticker | symbol | series | asset | name | id | tic | ts code | stock code | code | instrument | "
    "isin | security | 代码 | 股票代码 | 銘柄"
)
PRICES = [  # in order of preference: adjusted closes, closes, other prices, values
    _words(
        "adj close | adjusted close | adjclose | close adj | close adjusted | adj closing price | "
        "adjusted closing price | adj close price | adjusted close price | adj price | adjusted price | "
        "adjusted | adjustment close | bereinigter schlusskurs | schlusskurs bereinigt"
    ),
    _words(
        "close | close last | close price | closing price | closing | schlusskurs | schluss | "
        "clôture | cloture | clot | clôt | cours de clôture | "
        "zamknięcie | zamkniecie | kurs zamknięcia | cierre | precio de cierre | chiusura | prezzo di chiusura | "
        "fechamento | slotkoers | 收盘 | 收盘价 | 收盤 | 收盤價 | 終値 | 종가"
    ),
    _words(
        "price | last | last price | kurs | preis | prix | cours | precio | prezzo | preço | dernier | "
        "último | ultimo | zuletzt | px last | settle | settlement | settlement price | nav | "
        "net asset value | 価格 | 价格 | 값"
    ),
    _words("value | obs value | wert | valor | valeur | valore"),
]
RANK = {name: rank for rank, names in enumerate(PRICES) for name in names}
OTHERS = _words(  # names of columns that are not closing prices
    "open | high | low | volume | vol | turnover | amount | quantity | qty | trades | count | "
    "open interest | openint | tickvol | tick volume | spread | real volume | dividend | dividends | stock splits | "
    "split | change | chg | pct change | change percent | chg percent | var percent | eröffnung | "
    "eröffnungskurs | hoch | tief | tageshoch | tagestief | volumen | stücke | stuecke | umsatz | "
    "ouverture | haut | bas | plus haut | plus bas | "
    "ouv | otwarcie | najwyższy | najwyzszy | najniższy | najnizszy | wolumen | "
    "apertura | máximo | mínimo | maximo | minimo | massimo | bid | ask | 开盘 | 最高 | 最低 | 成交量 | 成交额 | "
    "始値 | 高値 | 安値 | 出来高 | capital gains | adj volume | adj open | adj high | adj low | open price | "
    "high price | low price | vwap | volume btc | volume usd | last volume | shares | market cap | "
    "marketcap | bid size | ask size"
)
OTHER = OTHERS[-1]  # returned for any name of another quantity
NO_TICKER = _words(  # next to one of these words, a known name means another quantity
    "prev | previous | prior | open | high | low | change | chg | pct | percent | time | volume | vol | "
    "avg | mean | median | diff | return | returns | bid | ask | unadjusted | raw | min | max | date | "
    "day | market | mkt | shares | count | net | yesterday | lag | next | first | factor | ratio | "
    "range | to | of | not | pre | post | after | before | spread | sma | ema | ma | std | target | oi | "
    "interest | vortag | anterior | précédent | precedente | at | risk | earnings"
)
CURRENCIES = _words("currency | currency code | ccy | währung | waehrung | devise | moneda | valuta | 货币 | 通貨")
KNOWN = {*DATES, *IDS, *RANK, *OTHERS}


@lru_cache(maxsize=20_000)
def normalised(name: str) -> str:
    """Return a column name in lower case without numbering, punctuation and units.

    ``4. Close/Last (USD)`` becomes ``close last``, and ``Close %`` becomes ``close percent``.
    """
    name = unicodedata.normalize("NFKC", name)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    name = without_unit(name).replace("%", " percent ")
    return " ".join(re.split(r"[\s_\-/.:,#]+", name)).strip().casefold()


def without_unit(name: str) -> str:
    """Return a name without numbering, quotes and units in brackets. Brackets as in ``(previous)`` remain."""
    name = re.sub(
        r"\(([^)]*)\)|\[([^\]]*)\]",
        lambda m: f" {m[1] or m[2] or ''} " if {*(m[1] or m[2] or "").casefold().split()} & {*NO_TICKER} else " ",
        name,
    )
    return re.sub(r"^\s*\d+[a-z]?\s*[.):]\s*", "", re.sub(r"[<>*\"']", " ", name))


def phrase_and_ticker(name: str) -> tuple[str, str] | None:
    """Split a column name such as ``Close_ABC`` into the quantity (``close``) and the ticker (``ABC``).

    The ticker may be empty. Return None if no part of the name is in `RANK` or `OTHERS`.
    """
    plain = normalised(re.sub(r"\.\d+$", "", name))  # pandas renames a second Close to Close.1
    if plain in RANK or plain in OTHERS:
        return plain, ""
    cleaned = without_unit(unicodedata.normalize("NFKC", name)).replace("%", " percent ")
    words = [w for w in re.split(r"[\s_/:]+|(?<=[Aa]dj)\.", cleaned) if w]
    if len(words) == 1:
        words = [w for w in re.split(r"-|(?<=[a-z]{2})(?=[A-Z])", words[0]) if w]
    if len(words) == 1:  # AAPL.Close, but not BAS.DE
        ticker, _, last = words[0].rpartition(".")
        words = [ticker, last] if ticker and (last.casefold() in RANK or last.casefold() in OTHERS) else words
    for length in range(len(words) - 1, 0, -1):
        for head, rest in ((words[:length], words[length:]), (words[-length:], words[:-length])):
            phrase = normalised(" ".join(head))
            if phrase in RANK or phrase in OTHERS:
                if any(w.casefold().strip(".") in NO_TICKER for w in rest):
                    return OTHER, ""
                return phrase, " ".join(rest)
    return None
