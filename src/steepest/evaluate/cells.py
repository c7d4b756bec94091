"""Texts in CSV files that people open in spreadsheets."""

from __future__ import annotations


def inert(text: str) -> str:
    """A cell's text that no spreadsheet runs as a formula: after an apostrophe, unless it is a plain number."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return text if text == "-" else f"'{text}"
    return text
