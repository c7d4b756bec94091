"""Makes strings safe for CSV files that people open in a spreadsheet."""

from __future__ import annotations


def inert(text: str) -> str:
    """Prefix a string with an apostrophe if a spreadsheet could run it as a formula. Plain numbers are unchanged."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return text if text == "-" else f"'{text}"
    return text
