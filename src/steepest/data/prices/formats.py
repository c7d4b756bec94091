"""Defines the date formats and their regular expressions. `dates.py` applies them to a column.

A format is written as in ``strptime``, with ``%q`` for a quarter.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

NUMERIC = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1, "excel": 86_400 * 10**9}

_MONTHS = {
    1: "january jan januar jänner janvier janv enero ene gennaio gen janeiro januari",
    2: "february feb februar février févr fév febrero febbraio fevereiro fev februari",
    3: "march mar märz mär mrz mars marzo março maart mrt",
    4: "april apr avril avr abril abr aprile",
    5: "may mai mayo maggio mag maio mei",
    6: "june jun juni juin junio giugno giu junho",
    7: "july jul juli juillet juil julio luglio lug julho",
    8: "august aug août agosto ago augustus",
    9: "september sep sept septembre septiembre settembre set setembro",
    10: "october oct oktober okt octobre octubre ottobre ott outubro out",
    11: "november nov novembre noviembre novembro",
    12: "december dec dezember dez décembre déc diciembre dic dicembre dezembro",
}
MONTH_OF = {word: month for month, words in _MONTHS.items() for word in words.split()}

_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d{2})", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})",
    "b": r"(?P<b>[^\s\d./,'年月日-]{3,12})\.?", "q": r"(?P<q>[1-4])", "a": r"[^\s\d./,-]{1,12}\.?",
    "H": r"(?P<H>\d{1,2})", "I": r"(?P<H>\d{1,2})", "M": r"(?P<M>\d{2})", "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,9})", "p": r"(?P<p>[AaPp])\.?[Mm]\b\.?",
    "z": r"(?P<z>Z|[+-]\d{2}:?(?:\d{2})?)", "Z": r"(?P<z>[A-Za-z/_]+)", "%": "%",
}  # fmt: skip
_SAME = {"B": "%b", "A": "%a", "F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "e": "%d", "h": "%b"}
_TIME = (
    r"(?:(?:[Tt]|,?\s+)(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?(?:\s*(?P<p>[AaPp])\.?[Mm]\b\.?)?"
    r"(?:\s*(?P<z>Z|(?:GMT|UTC)?\s?[+-]\d{1,2}:?(?:\d{2})?|[A-Z]{2,5}|[A-Z][A-Za-z]+/[A-Za-z_/-]+)"
    r"(?: UTC|\[[\w/+-]+\]| \([A-Za-z ]+\))?)?)?"
)
_COMPACT = {"m": r"(?P<m>\d{2})", "d": r"(?P<d>\d{2})", "H": r"(?P<H>\d{2})"}

FORMATS = [
    *(f"%{a}{s}%{b}{s}%{c}" for s in "-/. " for a, b, c in ("Ymd", "dmY", "mdY", "ymd", "dmy", "mdy")),
    "%Y年%m月%d日", "%Y. %m. %d.",
    *(f"%d{s}%b{s}%{y}" for s in ("-", " ", "/", ".", ". ", "") for y in "Yy"),
    *(f"%d. %b %{y}" for y in "Yy"), "%d de %b de %Y", "%d %b, %Y",
    *(f"%b{s}%d{t}%{y}" for s, t in ((" ", ", "), (" ", " "), ("-", "-"), ("/", "/"), (" ", ",")) for y in "Yy"),
    *(f"%Y{s}%b{s}%d" for s in ("-", " ", "/")),
    *(f"%a{s} %d %b %Y" for s in (",", "")), *(f"%a{s} %b %d, %Y" for s in (",", "")), "%a %d/%m/%Y", "%a %m/%d/%Y",
    "%a %d.%m.%Y", "%a, %d.%m.%Y", "%a %d.%m.%y", "%a, %d.%m.%y", "%a %Y-%m-%d", "%a %b %d %Y",
    "%a %b %d %H:%M:%S %Y", "%d%b%Y:%H:%M:%S", "%d%b%y:%H:%M:%S",
    *(f"%b{s}%{y}" for s in (" ", "-", "/", "'", " '", ", ") for y in "Yy"), *(f"%Y{s}%b" for s in ("-", " ", "/")),
    "%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%m.%Y", "%Y年%m月", "%YM%m", "%Y/%q", "%Y-%q", "%q/%Y", "%q-%Y",
    "%Y-Q%q", "%YQ%q", "%Y Q%q", "%Y-%qQ", "Q%q %Y", "Q%q-%Y", "Q%q/%Y", "%qQ%y", "%qQ%Y", "%qQ %Y", "Q%q'%y", "Q%q %y",
    "%Y%m%d", "%d%m%Y", "%m%d%Y", "%y%m%d", "%d%m%y", "%m%d%y", "%Y%m", "%m%Y", "%Y%m%d%H%M", "%Y%m%d%H%M%S",
    *(f"%Y%m%d{s}%H%M{t}" for s in " T" for t in ("", "%S")), "%Y",
]  # fmt: skip
NO_BREAK = "\u00a0\u202f\u2009"  # spaces that some locales put into dates and numbers
NO_YEAR = ["%b %d", "%b-%d", "%b/%d", "%d-%b", "%d %b", "%d/%b", "%d/%m", "%m/%d", "%d.%m.", "%m/%y"]


@cache
def pattern(date_format: str) -> str:
    """Return the regular expression of a format, with one group per directive.

    Raises:
        ValueError: if a directive is unknown.
    """
    text = re.sub(r"%([BAFTReh])", lambda m: _SAME[m[1]], date_format)
    parts = re.split(r"(%.)", text)
    compact = re.fullmatch(r"(%[YymdHMS])+([T ](%[HMS])+)?", text) is not None
    found = []
    for part in parts:
        if not part.startswith("%"):
            found.append(re.escape(part))
        elif part[1:] not in _DIRECTIVES:
            known = " ".join(f"%{d}" for d in _DIRECTIVES)
            raise ValueError(
                f"data.date_format={date_format}: {part} is not known; the directives are {known}, "
                f"and the formats of numbers are {', '.join(NUMERIC)}"
            )
        else:
            found.append((_COMPACT if compact else _DIRECTIVES).get(part[1:], _DIRECTIVES[part[1:]]))
    groups = re.findall(r"\?P<(\w+)>", "".join(found))
    if len(set(groups)) < len(groups) or not {"Y", "y"} & set(groups):
        raise ValueError(f"data.date_format={date_format} must have each directive once, and %Y or %y for the year")
    return "(?i)^" + "".join(found)


@cache
def pattern_without_year(date_format: str) -> str:
    """Return the regular expression of a format without a year, or with two digits that can be a year or a day."""
    whole = pattern(date_format) if "%y" in date_format else pattern(f"{date_format} %Y")
    return whole.removesuffix(r"\ (?P<Y>\d{4})") + "$"


def looks_like_date(entry: str) -> bool:
    """Return whether an entry fits a date format. Of plain numbers, only those of the form YYYYMMDD count."""
    entry = entry.strip().translate(SPACES)
    if not 6 <= len(entry) <= 70 or not re.search(r"\d", entry):
        return False
    if re.fullmatch(r"\d+", entry):
        return len(entry) == 8 and entry[:2] in ("18", "19", "20") and entry[4:6] <= "12" and entry[6:] <= "31"
    if re.fullmatch(r"[-+]?[\d.,]+", entry) and len(re.findall(r"[.,]", entry)) < 2:
        return False
    return _fits_a_format(entry.translate(_CLASSES))


SPACES = str.maketrans(dict.fromkeys(NO_BREAK, " "))
# Only the digit of a quarter, 1 to 4, matters. Entries that agree after this translation fit the same formats.
_CLASSES = str.maketrans("2346789", "1115555")


@lru_cache(maxsize=10_000)
def _fits_a_format(entry: str) -> bool:
    return any(matches(f, entry) for f in FORMATS if f != "%Y")


def could_be_dates(entries: list[str]) -> bool:
    """Return whether most entries have the form of a date, with or without a year, or are large numbers."""
    like = [
        looks_like_date(e)
        or re.fullmatch(r"-?\d{4,19}(\.\d+)?", e)
        or any(re.match(pattern_without_year(f), e) for f in NO_YEAR)
        for e in entries
    ]
    return sum(map(bool, like)) > len(entries) / 2


@cache
def _compiled(date_format: str) -> re.Pattern[str]:
    return re.compile(pattern(date_format) + tail(date_format) + "$")


def tail(date_format: str) -> str:
    return "" if re.search("%[HIMSTR]", date_format) else _TIME


def matches(date_format: str, entry: str) -> bool:
    """Return whether an entry has the form of a format. The day need not exist in the calendar."""
    found = _compiled(date_format).match(entry)
    return found is not None and ("b" not in found.re.groupindex or found["b"].lower() in MONTH_OF)
