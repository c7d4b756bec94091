"""Which pictures a run leaves in `figures/` and in TensorBoard."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import nn
from torch.utils.tensorboard.summary import mesh

from steepest.data.windows import Windows
from steepest.evaluate.baselines import least_squares
from steepest.evaluate.evaluation import Evaluation
from steepest.evaluate.intervals import SHOWN
from steepest.nets.curvature import Surface
from steepest.nets.losses import LOSSES, Loss
from steepest.nets.networks import MLP
from steepest.observe import fits, landscape
from steepest.observe.curves import read_curves
from steepest.observe.eventfile import EventFile
from steepest.observe.figures import draw_losses, draw_numbers, draw_path
from steepest.observe.instrument import Instrument
from steepest.observe.mesh import surface_mesh
from steepest.observe.pictures import Kept, Pictures
from steepest.observe.predictions import draw_predictions
from steepest.observe.recorder import Recorder, entry_names
from steepest.observe.theme import Theme
from steepest.observe.walk_forward import draw_walk_forward

MAX_OUTPUTS = 2**22  # maximum of samples x units of the widest layer
MAX_FULL_UPDATES = 5000


class Trained(Protocol):
    """The part of a run's module that the pictures use. They use the shapes of its parameters, not the values."""

    @property
    def loss(self) -> Loss: ...
    @property
    def network(self) -> nn.Module: ...
    @property
    def make_optimizer(self) -> Callable[[Iterable[torch.Tensor]], torch.optim.Optimizer] | None: ...


def recorded(
    folder: Path, network: nn.Module, instruments: Collection[Instrument], *, resumed: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The loss (K,) of each update of a run, and the parameters (K + 1, P) before the first and after each update.

    The parameters are None unless the model is small enough for its recorder to keep them. A resumed run's earlier
    part is read from its event files.
    """
    recorder = next((i for i in instruments if isinstance(i, Recorder)), None)
    pictures = next((i for i in instruments if isinstance(i, Pictures)), None)
    losses_K = np.concatenate(recorder.losses) if recorder and recorder.losses else np.empty(0)
    every_KP = None
    if recorder and recorder.entries and pictures and pictures.snapshots:
        every_KP = np.vstack([pictures.snapshots[0], *recorder.entries]).astype(float)
    if resumed:
        shapes = {name: p.shape for name, p in network.named_parameters()}
        tags = [f"parameter/{name}" for name in entry_names(shapes)]
        curves = read_curves(folder, ["train/loss", *tags])
        losses_K = curves["train/loss"].values if "train/loss" in curves else losses_K
        complete = all(tag in curves for tag in tags)
        every_KP = np.stack([curves[tag].values for tag in tags], axis=1).astype(float) if complete else None
    return losses_K, every_KP


@contextmanager
def _uncollected() -> Iterator[None]:
    """Postpone garbage collection: a full pass over PyTorch's objects takes as long as drawing a picture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_uncollected()
def draw_scores(
    figures: Path,
    evaluation: Evaluation,
    losses_K: np.ndarray,
    history: Sequence[Mapping[str, float]],
    *,
    model: str,
    theme: Theme,
    **facts: Any,
) -> None:
    """Draw the pictures of every run: the predictions on the last part, the losses, and the folds, if any.

    `facts` are arguments of `draw_losses`.
    """
    shown = next((interval for interval in evaluation.intervals if interval.level == SHOWN), None)
    draw_predictions(evaluation.last_predictions(), model, figures / "prediction.png", theme, evaluation.doubt(), shown)
    if evaluation.walk_forward is not None:
        draw_walk_forward(
            evaluation.walk_forward, evaluation.reference, model, figures / "walk_forward.png", theme,
            classes="cross_entropy" in evaluation.model["test"],
        )  # fmt: skip
    draw_losses(losses_K, pd.DataFrame(history), figures / "loss.png", model=model, theme=theme, **facts)


@_uncollected()
def draw_descent(
    figures: Path,
    predictor: Trained,
    windows: Windows,
    pictures: Pictures,
    every_KP: np.ndarray | None,
    kept: Kept,
    sink: EventFile | None,
    theme: Theme,
) -> None:
    """Draw the parameters, the loss around their path, and, for one input, the function at several updates.

    Pictures of parameters and their path show the whole descent. Pictures of the function show the best epoch.

    Args:
        figures: the folder of the pictures.
        predictor: the run's module.
        windows: the data, on the CPU.
        pictures: the snapshots of the parameters.
        every_KP: the parameters before the first update and after each update, as `recorded` returns them.
        kept: the best epoch.
        sink: the event file for the mesh of the loss surface, or None.
        theme: the theme of the pictures.
    """
    network, path, updates = predictor.network, pictures.snapshots, pictures.updates
    if len(path) < 2:
        return
    widest = max(size for parameter in network.parameters() for size in parameter.shape)
    batch = windows.spread("train", min(pictures.samples, max(1, MAX_OUTPUTS // widest)))
    surface = Surface(network, predictor.loss, batch.x_ND, batch.y_NH)
    _draw_parameters(surface, path, every_KP, figures / "parameters.png", theme, kept.caption())
    if len(path[0]) > 2:
        landscape.draw_slices(surface, path, figures, theme, kept.caption())
    else:
        path_K2 = every_KP if every_KP is not None else np.stack(path).astype(float)
        grid = _draw_surface(predictor, windows, surface, path_K2, figures / "surface.png", theme, kept.caption())
        if sink is not None:
            coarse = landscape.Grid(grid.u_G[::2], grid.v_G[::2], grid.loss_GG[::2, ::2])
            vertices, colours, faces = (torch.from_numpy(a).unsqueeze(0) for a in surface_mesh(coarse, ("W1", "b1")))
            summary = mesh("surface", vertices, colours, faces, None)
            sink.add_event(Event(wall_time=time.time(), step=updates[-1], summary=summary))
    data = fits.one_input(windows, batch.x_ND, batch.y_NH)
    if data is None:
        return
    if every_KP is not None:
        path, updates = list(every_KP), list(range(len(every_KP)))
    path, updates = kept.until(path, updates)
    # Dense at the start of the run, where most of the descent happens.
    shown = sorted({0, len(path) - 1, *(round(n) for n in np.geomspace(1, len(path) - 1, fits.FRAMES))})
    curves_KM = fits.fitted(surface, data, [path[n] for n in shown])
    fits.draw_fit(curves_KM, [updates[n] for n in shown], data, kept.named(), figures / "fit.png", theme)
    fits.animate_fit(curves_KM, [updates[n] for n in shown], data, figures / "fit.gif", theme)
    if isinstance(network, MLP) and network.depth == 2 and surface.sizes[1] <= 200:
        fits.draw_pieces(surface, data, kept.theta_P, kept.named(), figures / "pieces.png", theme)


def _draw_parameters(
    surface: Surface, path: Sequence[np.ndarray], every_KP: np.ndarray | None, to: Path, theme: Theme, caption: str
) -> None:
    """Draw the path of each parameter of a small model, or histograms of a larger one's."""
    sizes = dict(zip(dict(surface.network.named_parameters()), surface.sizes, strict=True))
    if every_KP is not None:
        draw_path(sizes, every_KP, range(len(every_KP)), to, theme, caption)
        return
    start_P, end_P = (torch.tensor(path[k]).double() for k in (0, -1))
    starts, ends, gradients = (
        [tensor.numpy() for tensor in surface.parameters(vector_P)]
        for vector_P in (start_P, end_P, surface.gradient(end_P))
    )
    draw_numbers(list(sizes), starts, ends, gradients, to, theme, caption)


def _draw_surface(
    predictor: Trained,
    windows: Windows,
    surface: Surface,
    path_K2: np.ndarray,
    path: Path,
    theme: Theme,
    caption: str,
) -> landscape.Grid:
    """Draw the loss surface of a model with two parameters, its path, the full-batch path and the exact minimum."""
    theta = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = predictor.make_optimizer([theta]) if predictor.make_optimizer is not None else None
    full_K2 = path_K2[:1]
    if optimizer is not None and not isinstance(optimizer, torch.optim.LBFGS):
        updates = min(len(path_K2) - 1, MAX_FULL_UPDATES)
        full_K2 = landscape.full_batch_path(surface, torch.tensor(path_K2[0]), optimizer, updates)
    minimum_2 = least_squares(windows).flatten().cpu().numpy() if surface.loss is LOSSES["mse"] else None
    return landscape.draw_surface(surface, path_K2, full_K2, minimum_2, path, theme, caption)


def show(folder: Path, sink: EventFile, step: int) -> None:
    """Write each picture of `figures/` to TensorBoard, byte for byte."""
    for path in sorted(path for path in (folder / "figures").iterdir() if path.suffix in (".png", ".gif")):
        with Image.open(path) as picture:
            width, height = picture.size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        value = Summary.Value(tag=f"figures/{path.stem}{'_moving' if path.suffix == '.gif' else ''}", image=image)
        sink.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))
