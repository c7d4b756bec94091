"""Terminal output: colours that are legible on light and on dark backgrounds, and sentences that wrap at words.

Rich's default theme has yellow and cyan text, which is hard to read on white. Piped output has no colours, no progress
bars, and one line per sentence.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

BAR = "magenta"
THEME = Theme(
    {
        **dict.fromkeys(("bar.complete", "bar.finished", "bar.pulse"), BAR),
        **dict.fromkeys(("progress.elapsed", "progress.remaining", "progress.download"), "none"),
    }
)


def terminal() -> Console:
    """The console for printed tables, sentences and progress bars."""
    return Console(theme=THEME, highlight=False)


def print_sentence(console: Console, sentence: str, style: str = "") -> None:
    """Print a sentence: wrapped at words in a terminal, as one line elsewhere."""
    console.print(Text(sentence, style=style), soft_wrap=not console.is_terminal)
