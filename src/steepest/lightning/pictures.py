"""Draws the pictures of a finished run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from steepest.data.windows import Windows
from steepest.evaluate.evaluation import Evaluation
from steepest.lightning.protocol import Model
from steepest.nets.functional import in_words
from steepest.observe.audit import Parity
from steepest.observe.figures import draw_parity
from steepest.observe.gallery import draw_descent, draw_scores, recorded, show
from steepest.observe.instrument import Instrument
from steepest.observe.pictures import Kept, Pictures
from steepest.observe.theme import LIGHT, THEMES
from steepest.runs.tracker import Tracker

log = logging.getLogger(__name__)
One = TypeVar("One", bound=Instrument)


def draw(
    folder: Path,
    model: Model,
    tracker: Tracker,
    evaluation: Evaluation,
    windows: Windows,
    instruments: Mapping[str, Instrument],
    *,
    alone: bool,
    resumed: bool,
) -> None:
    """Draw a run's pictures into its folder and show them in TensorBoard. Errors are logged, not raised, because the
    record is complete without pictures.

    Args:
        folder: the run's folder.
        model: the model, with the parameters of the best epoch.
        tracker, evaluation: the run's tracker and evaluation.
        windows: the data, on the CPU.
        instruments: the run's instruments, by their names in `callbacks`.
        alone: whether the run is not a job of a sweep. If so, all pictures are drawn.
        resumed: whether the folder contains curves from before the run was resumed.
    """
    figures, best = folder / "figures", tracker.best
    assert best is not None, "a run without a best epoch has failed"
    pictures, parity = instrument_of(instruments, Pictures), instrument_of(instruments, Parity)
    theme = THEMES[pictures.theme] if pictures is not None else LIGHT
    try:
        losses_K, every_KP = recorded(folder, model.network, instruments.values(), resumed=resumed)
        draw_scores(
            figures, evaluation, losses_K, tracker.history, model=in_words(model.network), theme=theme,
            loss=model.loss.name, references=tracker.references, best=best.epochs, objective=tracker.objective,
        )  # fmt: skip
        if pictures is not None and (alone or pictures.in_sweeps):
            best_epoch = Kept.of(best.epochs, tracker.view.epochs, best.updates, model.network, best.weights)
            draw_descent(figures, model, windows, pictures, every_KP, best_epoch, tracker.view.sink, theme)
        if parity is not None:
            draw_parity(parity.table(), figures / "parity.png", theme)
        if tracker.view.sink is not None:
            show(folder, tracker.view.sink, tracker.view.updates)
    except Exception as error:  # the record is complete: a picture must not fail the run
        kind = type(error).__name__
        log.error("a picture could not be drawn (%s: %s); the run's scores are not affected", kind, error)
        logging.getLogger("steepest.traceback").info("drawing failed", exc_info=error)


def instrument_of(instruments: Mapping[str, Instrument], kind: type[One]) -> One | None:
    """Return the instrument of this class, or None if the run has none."""
    return next((i for i in instruments.values() if isinstance(i, kind)), None)
