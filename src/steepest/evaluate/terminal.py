"""Terminal output: colours that are legible on light and on dark backgrounds, and sentences that wrap at words.

Rich's default theme has yellow and cyan text, which is hard to read on white. Piped output has no colours, no progress
bars, and one line per sentence.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from steepest.data.faults import printable

BAR = "magenta"
THEME = Theme(
    {
        **dict.fromkeys(("bar.complete", "bar.finished", "bar.pulse"), BAR),
        **dict.fromkeys(("progress.elapsed", "progress.remaining", "progress.download"), "none"),
    }
)


class Terminal(Console):
    """A console that escapes control characters in printed texts."""

    def render_str(self, text: str, **style: Any) -> Text:
        """Return a text with its style."""
        return super().render_str(printable(text), **style)


def terminal() -> Console:
    """The console for printed tables, sentences and progress bars."""
    return Terminal(theme=THEME, highlight=False)


def print_sentence(console: Console, sentence: str, style: str = "") -> None:
    """Print a sentence: wrapped at words in a terminal, as one line elsewhere."""
    console.print(Text(printable(sentence), style=style), soft_wrap=not console.is_terminal)


def print_table(console: Console, table: Table) -> None:
    """Print a table with its numbers in full: in a narrow terminal its lines are longer than the window."""
    window = console.width
    console.width = max(window, table.__rich_measure__(console, console.options.update(width=1000)).maximum)
    try:
        console.print(table, crop=False, soft_wrap=console.width > window)
    finally:
        console.width = window
