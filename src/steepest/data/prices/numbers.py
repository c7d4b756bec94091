"""Finds the one number format that fits all entries of a column, by elimination.

Currency signs, percent, the suffixes K, M and B, and parentheses for negative numbers are understood. A percentage
keeps its number: ``4.5%`` is 4.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING = ["", ".", "-", "--", "—", "–", "null", "n/a", "na", "nan", "none", "#n/a", "<na>", "nil", "nd", "n.a."]
LARGEST = 1e100

_CODES = (
    "USD EUR GBP GBX JPY CHF CAD AUD NZD CNY CNH RMB HKD SGD TWD KRW INR IDR MYR THB PHP VND PKR SEK NOK DKK ISK PLN "
    "CZK HUF RON BGN RUB UAH TRY ILS AED SAR QAR KWD EGP NGN KES ZAR ZAC MXN BRL ARS CLP COP PEN BTC ETH USDT USDC"
)
_SIGNS = rf"(?:(?:US|C|A|HK|NZ|S|R|NT)?[$€£¥₹₩₽₺₪฿]|{_CODES.replace(' ', '|')}|kr\.?|zł|Fr\.|Rp\.?|Kč|Ft)"
_PLAIN = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$"
_POSSIBLE = rf"^(?:[\s\d()+.,'%KkMBTeE-]|{_SIGNS})+$"  # fits every entry that at least one convention accepts
_LONGEST = 60  # maximum number of characters of a number
_SPACES = r"[\x{00a0}\x{202f}\x{2009}]"


@dataclass(frozen=True)
class Convention:
    """A number format: the decimal sign and the thousands separator, which may be empty."""

    decimal: str
    thousands: str

    @property
    def core(self) -> str:
        """Return the regular expression of a number without sign and unit."""
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        grouped = rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+|" if group else ""
        if self.thousands == ",":
            grouped += r"[1-9]\d?(?:,\d{2})+,\d{3}|"
        return rf"(?:{grouped}\d+)(?:{point}\d*)?(?:[eE][+-]?\d{{1,3}})?|{point}\d+"

    @property
    def pattern(self) -> str:
        """Return the regular expression of an entry, with groups for parenthesis, signs, currency, core and unit."""
        before = rf"^(?P<p>\(?)\s*(?P<s>[+-]?)\s*(?P<l>{_SIGNS})?\s*(?P<t>[+-]?)"
        return rf"{before}(?P<c>{self.core})\s*(?P<u>[KkMBT]|%)?\s*(?P<r>{_SIGNS})?\s*\)?$"

    def __str__(self) -> str:
        return f"data.decimal='{self.decimal}' data.thousands='{self.thousands}'"


CONVENTIONS = [
    *(Convention(".", t) for t in ("", ",", " ", "'")),
    *(Convention(",", t) for t in ("", ".", " ", "'")),
]
_UNITS = {"k": "e3", "m": "e6", "b": "e9", "t": "e12", "%": "", "": ""}


@dataclass(frozen=True)
class Numbers:
    """A column of numbers.

    Attributes:
        value_T: floats; NaN where an entry is missing, infinite or not a number.
        kind_T: 0 a number, 1 missing, 2 infinite, 3 text.
        readings: if the column is ambiguous, the conventions that fit and their values; else empty.
        note: the signs, units and separators that were recognised.
        mixed: two units that the entries have, such as two currencies, or "".
    """

    value_T: np.ndarray
    kind_T: np.ndarray
    readings: dict[Convention, np.ndarray]
    note: str
    mixed: str = ""


def read_numbers(
    column: pa.ChunkedArray,
    decimal: str | None = None,
    thousands: str | None = None,
    hint: Callable[[], set[str]] | None = None,
) -> Numbers:
    """Read the numbers of a column.

    Args:
        column: text or numbers.
        decimal: the decimal sign. None: detected.
        thousands: the thousands separator. None: detected.
        hint: a function that returns the decimal signs that fit the other columns of the file.
    """
    if not pa.types.is_string(column.type):
        return _typed(column)
    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(pc.greater(pc.utf8_length(text), _LONGEST), "too long", text)
    missing = pc.or_(pc.is_null(text), pc.is_in(pc.utf8_lower(text), pa.array(MISSING))).to_numpy().astype(bool)
    infinite = _true(pc.match_substring_regex(text, r"(?i)^[+-]?inf(inity)?$"))
    rest = ~missing & ~infinite
    kind_T = np.where(missing, 1, np.where(infinite, 2, 0)).astype(np.int8)
    entries = pc.filter(text, pa.array(rest))
    if decimal is None and thousands is None and _only_plain(entries):
        return Numbers(_filled(rest, _cast(entries)), kind_T, {}, "")
    entries = pc.replace_substring_regex(entries, _SPACES, " ")
    entries = pc.replace_substring_regex(pc.replace_substring_regex(entries, "[−–]", "-"), "’", "'")
    allowed = [c for c in CONVENTIONS if decimal in (None, c.decimal) and thousands in (None, c.thousands)]
    if thousands is None and _are_ticks(entries):
        allowed = [c for c in allowed if c.thousands != "'"]
    if not allowed:
        allowed = [Convention(decimal or ("," if thousands == "." else "."), thousands or "")]
    if not _true(pc.match_substring_regex(entries, _POSSIBLE)).any():
        kind_T[rest] = 3
        return Numbers(np.full(len(rest), np.nan), kind_T, {}, "")
    fits = {c: _fitting(entries, c) for c in allowed}
    most = max(int(fit.sum()) for fit in fits.values())
    first_fit = next(fit for fit in fits.values() if fit.sum() == most)
    stay = {c: fit for c, fit in fits.items() if (fit == first_fit).all()}
    kind_T[np.flatnonzero(rest)[~first_fit]] = 3
    values: dict[Convention, np.ndarray] = {}
    note = mixed = ""
    for convention in _different(entries, stay):
        value, note, mixed = _values(entries, convention, stay[convention])
        values[convention] = _filled(rest, value)
    if len(values) > 1 and hint is not None:
        values = {c: v for c, v in values.items() if c.decimal in hint()} or values
    convention, value_T = next(iter(values.items()))
    notes = [note] if note else []
    if convention.thousands or convention.decimal != ".":
        notes.insert(0, f"decimal '{convention.decimal}', thousands '{convention.thousands}'")
    return Numbers(value_T, kind_T, values if len(values) > 1 else {}, ", ".join(notes), mixed)


def is_plain(column: pa.ChunkedArray) -> bool:
    """Return whether a text column has plain numbers and empty entries only, and cannot be read in another way."""
    text = pc.utf8_trim_whitespace(column)
    return _only_plain(pc.filter(text, pc.fill_null(pc.not_equal(text, ""), False)))


def decimals_of(column: pa.ChunkedArray) -> set[str]:
    """Return the decimal signs that fit a text column."""
    both = {".", ","}
    if not pa.types.is_string(column.type):
        return both
    numbers = read_numbers(column)
    if numbers.readings or not (numbers.kind_T == 0).any() or (numbers.kind_T == 3).any():
        return both
    text = pc.utf8_trim_whitespace(column)
    entries = pc.filter(text, pa.array(numbers.kind_T == 0))
    found = {c.decimal for c in CONVENTIONS if _fitting(entries, c).all()}
    return found or both


def _true(mask: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(mask, False).to_numpy().astype(bool)


def _only_plain(entries: pa.ChunkedArray) -> bool:
    """Return whether all entries are plain numbers without a point that could be a thousands separator."""
    if not _true(pc.match_substring_regex(entries, _PLAIN)).all():
        return False
    pointed = _true(pc.match_substring(entries, "."))
    if not pointed.any():
        return True
    grouped = _true(pc.match_substring_regex(entries, r"^[+-]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d{1,4})$"))
    return not grouped.all()


def _are_ticks(entries: pa.ChunkedArray) -> bool:
    """Return whether all entries can be bond prices in 32nds and quarters of them: 112'165 is 112 + 16.5/32."""
    ticks = _true(pc.match_substring_regex(entries, r"^\d{1,3}'(?:[0-2]\d|3[01])[0257]$"))
    return bool(ticks.all()) and pc.count_distinct(entries).as_py() >= 5


def _fitting(entries: pa.ChunkedArray, convention: Convention) -> np.ndarray:
    """Return a mask of the entries that fit.

    If other entries have thousands separators, a number of five digits without one does not fit.
    """
    fit = _true(pc.match_substring_regex(entries, convention.pattern))
    if convention.thousands:
        grouped = _true(pc.match_substring_regex(entries, rf"\d{re.escape(convention.thousands)}\d"))
        if grouped.any():
            fit &= ~_true(pc.match_substring_regex(entries, r"(?:^|\D)\d{5,}(?:\D|$)")) | _fraction(entries, convention)
    return fit


def _different(entries: pa.ChunkedArray, stay: dict[Convention, np.ndarray]) -> list[Convention]:
    """Return one convention for each different reading. All conventions agree on whole numbers without separators."""
    special_T = next(iter(stay.values())) & ~_true(pc.match_substring_regex(entries, r"^[+-]?\d+$"))
    special = pc.filter(entries, pa.array(special_T))
    seen: dict[Convention, np.ndarray] = {}
    for convention, fit in stay.items():
        value = _values(special, convention, fit[special_T])[0]
        if not any(np.array_equal(value, other, equal_nan=True) for other in seen.values()):
            seen[convention] = value
    return list(seen)


def _fraction(entries: pa.ChunkedArray, convention: Convention) -> np.ndarray:
    """Return a mask of the entries with five or more successive digits in the fraction, but not before it."""
    point = re.escape(convention.decimal)
    return _true(pc.match_substring_regex(entries, rf"^[^{point}]*{point}\d{{5,}}")) & ~_true(
        pc.match_substring_regex(entries, r"^\D*\d{5,}")
    )


def _values(entries: pa.ChunkedArray, convention: Convention, fit: np.ndarray) -> tuple[np.ndarray, str, str]:
    """Return the values of the entries that fit, a note about their units, and two units if they are mixed."""
    entries = pc.filter(entries, pa.array(fit)).combine_chunks()
    found = pc.extract_regex(entries, convention.pattern)
    groups = {field.name: pc.fill_null(found.field(i), "") for i, field in enumerate(found.type)}
    core = groups["c"]
    if convention.thousands:
        core = pc.replace_substring(core, convention.thousands, "")
    core = pc.replace_substring(core, convention.decimal, ".")
    units = pc.utf8_lower(groups["u"])
    kinds = pc.unique(units).to_pylist()
    power = pc.replace_substring_regex(units, "^%$", "")
    for unit, digits in _UNITS.items():
        if unit in kinds and digits:
            power = pc.if_else(pc.equal(units, unit), digits, power)
    value = _cast(pc.binary_join_element_wise(core, power, ""))
    currencies = pc.unique(pc.binary_join_element_wise(groups["l"], groups["r"], "")).to_pylist()
    mixed = " and ".join(sorted(c for c in currencies if c)[:2]) if len({*currencies} - {""}) > 1 else ""
    if "%" in kinds and ((value != 0) & ~_equal(units, "%")).any():
        mixed = "numbers with and without %"
    negative = (_equal(groups["s"], "-") ^ _equal(groups["t"], "-")) ^ _equal(groups["p"], "(")
    value = _filled(fit, np.where(negative, -value, value))
    notes = ["percent"] if "%" in kinds else []
    if suffixes := sorted(k.upper() for k in kinds if k not in ("", "%")):
        notes.append(f"suffixes {', '.join(suffixes)}")
    return value, ", ".join(notes), mixed


def _equal(texts: pa.Array, text: str) -> np.ndarray:
    return pc.equal(texts, text).to_numpy(zero_copy_only=False).astype(bool)


def _cast(entries: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Convert text to floats. Numbers that are too large become infinite."""
    if not len(entries):
        return np.zeros(0)
    entries = pc.if_else(pc.match_substring_regex(entries, _PLAIN), entries, "nan")
    entries = pc.replace_substring_regex(entries, r"^\+", "")
    try:
        value = pc.cast(entries, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        value = np.array([float(e) for e in entries.to_pylist()])
    return np.array(value, dtype=float)


def _filled(rest: np.ndarray, value: np.ndarray) -> np.ndarray:
    whole = np.full(len(rest), np.nan)
    whole[rest] = value
    return whole


def _typed(column: pa.ChunkedArray) -> Numbers:
    """Read a column that already has a type. Only numeric types are numbers, and booleans count as text."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        cast = pc.cast(column, pa.float64(), safe=False)
        cast = cast.chunk(0) if cast.num_chunks == 1 else cast.combine_chunks()
        value = cast.to_numpy(zero_copy_only=False)
        finite = np.isfinite(value)
        if finite.all():
            return Numbers(value, np.broadcast_to(np.int8(0), len(value)), {}, "")
        kind_T = np.where(np.isnan(value), 1, np.where(finite, 0, 2)).astype(np.int8)
        return Numbers(np.where(finite, value, np.nan), kind_T, {}, "")
    if pa.types.is_null(kind):
        return Numbers(np.full(len(column), np.nan), np.ones(len(column), np.int8), {}, "")
    absent = column.is_null().to_numpy()
    return Numbers(np.full(len(column), np.nan), np.where(absent, 1, 3).astype(np.int8), {}, "")
