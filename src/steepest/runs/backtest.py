"""The command `steepest backtest RUN`: a backtest of a run's predictions on the test part, printed and written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from steepest.data.calendar import day_text
from steepest.evaluate.accounts import FEWEST_DAYS, Performance
from steepest.evaluate.backtest import NOT_MODELLED, Backtest, Rule, backtest
from steepest.evaluate.terminal import print_sentence, terminal
from steepest.nets.functional import in_words
from steepest.runs.files import check_links, read_json, unfinished, write_text

if TYPE_CHECKING:
    from steepest.runs.trained import Run


def backtest_run(run: Run, rule: Rule) -> Backtest:
    """Trade a finished run's predictions on the test part.

    Raises:
        ValueError: if the run has not finished or has no predictions, and for the reasons of `backtest`.
    """
    status = read_json(run.folder / "run.json").get("status")
    if status != "finished":
        raise ValueError(f"{run.folder}: the run's status is {status}: finish it with resume={run.folder}")
    try:
        return backtest(run.table(first_step=True), rule)
    except ValueError as error:
        raise error if str(run.folder) in str(error) else ValueError(f"{run.folder}: {error}") from None


def show_backtest(folder: Path, rule: Rule, out: Path | None, trust: Sequence[str] = ()) -> None:
    """Print a backtest, and write backtest.json, equity.csv and figures/backtest.png into the run's folder.

    Args:
        folder: the run's folder.
        rule: the rule.
        out: the file for the equity curve; None: equity.csv in the run's folder.
        trust: packages of the user's own whose classes the run uses.

    Raises:
        ValueError: for the reasons of `backtest_run`, and if a file cannot be written.
    """
    from steepest.runs.trained import Run  # imported here because it imports this module

    if out is not None and (out.suffix != ".csv" or not out.parent.is_dir()):
        raise ValueError(f"--out {out}: use the name of a .csv file in an existing folder")
    run = Run(folder, trust)
    result = backtest_run(run, rule)
    console = terminal()
    console.print(_table(result))
    print_sentence(console, f"The rule: {result.in_words()}.")
    if not rule.lag:
        print_sentence(
            console, "Lag 0 trades at the close that the prediction already uses, which is impossible in practice."
        )
    intervals = len(result.equity) - 1
    if intervals < FEWEST_DAYS:
        only = f"it needs {FEWEST_DAYS} {result.unit}s, but there {'is' if intervals == 1 else 'are'} only {intervals}"
        print_sentence(console, f"The Sharpe ratio has no 95% interval: {only}.")
    print_sentence(console, result.sentence(), "bold")
    print_sentence(console, NOT_MODELLED)
    for path in _write(run, result, out or folder / "equity.csv"):
        print_sentence(console, f"Written: {path}")


def _write(run: Run, result: Backtest, out: Path) -> list[Path]:
    """Write the files of a backtest and return their paths."""
    from steepest.observe.backtest import draw_backtest  # imported here because matplotlib is slow to import

    check_links(run.folder)
    facts, picture = run.folder / "backtest.json", run.folder / "figures" / "backtest.png"
    write_text(facts, json.dumps(result.facts(), indent=2, allow_nan=False) + "\n")
    write_text(out, result.equity.to_csv())
    part = unfinished(picture)
    try:
        draw_backtest(result, in_words(run.network), part)
        part.replace(picture)
    finally:
        part.unlink(missing_ok=True)
    return [facts, out, picture]


def _table(result: Backtest) -> Table:
    """The performance of the rule and of buy-and-hold, side by side."""
    first, last = result.equity.index[0], result.equity.index[-1]
    table = Table(
        title=f"Backtest on the test part, {day_text(first)} to {day_text(last)}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("", no_wrap=True)
    for heading in ("rule", "buy-and-hold"):
        table.add_column(heading, justify="right", no_wrap=True)
    mine, other = _cells(result.strategy, result.unit), _cells(result.buy_and_hold, result.unit)
    for name in mine:
        table.add_row(name, mine[name], other[name])
    return table


def _cells(found: Performance, unit: str) -> dict[str, str]:
    """The cells of a column, by row name."""
    interval = "-" if found.sharpe_interval is None else " to ".join(f"{bound:.2f}" for bound in found.sharpe_interval)
    return {
        "total return": f"{found.total_return:,.1%}",
        "annualised return": "-" if found.annual_return is None else f"{found.annual_return:,.1%}",
        "annualised volatility": "-" if found.annual_volatility is None else f"{found.annual_volatility:,.1%}",
        "Sharpe ratio (risk-free rate 0)": "-" if found.sharpe is None else f"{found.sharpe:.2f}",
        "Sharpe ratio, 95% interval": interval,
        "maximum drawdown": f"{found.max_drawdown:.1%}",
        "from": day_text(found.drawdown_from) if found.max_drawdown else "-",
        "to": day_text(found.drawdown_to) if found.max_drawdown else "-",
        "trades": f"{found.trades:,}",
        "annual turnover": f"{found.annual_turnover:,.1f}",
        f"{unit}s in the market": f"{found.in_market:.1%}",
        "costs, share of initial capital": f"{found.costs:.1%}",
    }
