"""The picture of a backtest: the capital of the rule and of buy-and-hold, and their drawdowns."""

from __future__ import annotations

from pathlib import Path

from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from steepest.data.faults import counted
from steepest.evaluate.accounts import drawdowns
from steepest.evaluate.backtest import Backtest
from steepest.evaluate.significance import significance_in_words
from steepest.observe.predictions import few_dates
from steepest.observe.theme import LIGHT, Theme, percent, plain, save

WIDE = 20  # above this ratio of the axis limits, the ticks are powers of 10


def draw_backtest(result: Backtest, model: str, path: Path, theme: Theme = LIGHT) -> None:
    """Draw the two equity curves on a logarithmic axis, and the drawdowns below.

    Args:
        result: the backtest.
        model: a description of the model, for the caption.
        path: the file to write.
        theme: the theme of the picture.
    """
    title = (
        f"Backtest: after costs, the rule returned {percent(result.strategy.total_return)} and buy-and-hold "
        f"{percent(result.buy_and_hold.total_return)}"
    )
    if result.p_value is not None:
        title += f". {significance_in_words(result.p_value)}"
    equity = result.equity
    caption = f"{model}; {result.in_words()}; {counted(len(equity) - 1, result.unit)}"
    with theme.active():
        figure = theme.sheet(title, 5.0, caption)
        capital, drawdown = figure.subplots(2, 1, sharex=True, height_ratios=[1.8, 1])
        capital.set_yscale("log")
        for name, text, colour in (
            ("buy_and_hold", "buy-and-hold", theme.muted),
            ("strategy", "rule", theme.blue),
        ):
            known = equity[name].where(equity[name] > 0)  # a logarithmic axis cannot show 0
            capital.plot(equity.index, known, color=colour, lw=1.4)
            theme.label(capital, equity.index[-1], known.ffill().iloc[-1], text, colour)
            drawdown.plot(equity.index, drawdowns(equity[name].to_numpy()), color=colour, lw=1.2)
        drawdown.fill_between(
            equity.index, drawdowns(equity["strategy"].to_numpy()), color=theme.blue, alpha=0.15, lw=0
        )
        capital.axhline(1, color=theme.muted, lw=0.8)
        low, high = capital.get_ylim()
        capital.yaxis.set_major_locator(LogLocator() if high > WIDE * low else MaxNLocator(6))
        capital.yaxis.set_major_formatter(plain)
        capital.yaxis.set_minor_locator(NullLocator())
        capital.set_title("Capital, as a multiple of the initial capital (logarithmic axis)")
        drawdown.set_title("Drawdown from the running maximum")
        drawdown.yaxis.set_major_formatter(percent)
        for axes in (capital, drawdown):
            axes.margins(x=0.01)
        few_dates(drawdown, 8)
        save(figure, path)
