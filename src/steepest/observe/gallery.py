"""Which pictures a run leaves in `figures/` and in TensorBoard."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from steepest.data.windows import Windows
from steepest.evaluate.baselines import least_squares
from steepest.evaluate.evaluation import Evaluation
from steepest.nets.curvature import Surface
from steepest.nets.losses import LOSSES, Loss
from steepest.nets.networks import MLP
from steepest.observe import fits, landscape
from steepest.observe.eventfile import Sink, event_file, read_scalars
from steepest.observe.figures import draw_losses, draw_numbers, draw_predictions
from steepest.observe.instrument import Instrument
from steepest.observe.pictures import Pictures
from steepest.observe.recorder import Recorder

SIDE, SLICE, MESH = 81, 41, 41  # points along a grid's side
LARGE, LARGE_SLICE = 100_000, 21  # models of more parameters than this have slices of fewer points
MOST_OUTPUTS = 2**22  # samples times units of the widest layer
SLICE_SAMPLES, SLICE_WORK = 1024, 2**35  # most samples of a slice; most samples times parameters times points
MOST_FULL_UPDATES = 5000


class Trained(Protocol):
    """What the pictures need of a run's module: shapes, not values, of the network's parameters."""

    network: MLP
    loss: Loss
    make_optimizer: Callable[[Iterable[torch.Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True)
class RunHistory:
    """What a run's pictures are drawn from.

    Attributes:
        folder: the run's folder.
        title: the title of the pictures of predictions and losses.
        predictor: the run's module.
        windows: the data, on the CPU.
        evaluation: the evaluation of the best epoch.
        losses: the loss of each update.
        history: the scores of each epoch.
        pictures: the snapshots of the parameters; None where the run kept none.
        every_KP: the parameters of a small model before the first and after each update; None for other models.
    """

    folder: Path
    title: str
    predictor: Trained
    windows: Windows
    evaluation: Evaluation
    losses: np.ndarray
    history: pd.DataFrame
    pictures: Pictures | None
    every_KP: np.ndarray | None


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
def draw_scores(run: RunHistory) -> None:
    """Draw the pictures of every run: the predictions of the last part, and the losses."""
    figures = run.folder / "figures"
    draw_predictions(run.evaluation.predictions, run.title, figures / "prediction.png")
    draw_losses(run.losses, 0, run.history, run.title, figures / "loss.png")


@_uncollected()
def draw_descent(run: RunHistory, writer: Sink | None, step: int) -> None:
    """Draw the parameters, the loss around their path, and, for one input, the function at several updates."""
    pictures = run.pictures
    if pictures is None or len(pictures.snapshots) < 2:
        return
    figures, network, path = run.folder / "figures", run.predictor.network, pictures.snapshots
    widest = max(size for parameter in network.parameters() for size in parameter.shape)
    batch = run.windows.spread("train", min(pictures.samples, max(1, MOST_OUTPUTS // widest)))
    surface = Surface(network, run.predictor.loss, batch.x_ND, batch.y_NH)
    ends = [torch.tensor(path[k]).double() for k in (0, -1)]
    draw_numbers(
        list(dict(network.named_parameters())),
        [[t.numpy() for layer in surface.layers(end) for t in layer] for end in ends],
        [t.numpy() for layer in surface.layers(surface.gradient(ends[1])) for t in layer],
        figures / "parameters.png",
    )
    if len(path[0]) == 2:
        _surface(run, surface, figures, writer, step)
    else:
        _around(surface, path, figures)
    data = _one_input(run.windows, batch.x_ND, batch.y_NH)
    if data is not None:
        updates, snapshots = _early_ones(run)
        curves_KM = fits.fitted(surface, data, snapshots)
        fits.draw_fit(curves_KM, updates, data, figures / "fit.png")
        fits.animate_fit(curves_KM, updates, data, figures / "fit.gif")
        if network.depth == 2 and surface.sizes[1] <= 200:
            fits.draw_pieces(surface, data, path[-1], figures / "pieces.png")


def show(folder: Path, writer: Sink, step: int) -> None:
    """Write each picture of `figures/` to TensorBoard, byte for byte."""
    for path in sorted((folder / "figures").glob("*.[pg][ni][gf]")):
        with Image.open(path) as picture:
            width, height = picture.size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        value = Summary.Value(tag=f"figures/{path.stem}{'_moving' if path.suffix == '.gif' else ''}", image=image)
        event_file(writer).add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))


def gathered(
    folder: Path,
    title: str,
    predictor: Trained,
    windows: Windows,
    evaluation: Evaluation,
    history: Sequence[dict[str, float]],
    instruments: Sequence[Instrument],
    *,
    resumed: bool,
) -> RunHistory:
    """Collect what the pictures need; a resumed run's earlier part is read from its event files."""
    recorder = next((i for i in instruments if isinstance(i, Recorder)), None)
    pictures = next((i for i in instruments if isinstance(i, Pictures)), None)
    losses = np.concatenate(recorder.losses) if recorder and recorder.losses else np.empty(0)
    every_KP = None
    if recorder and recorder.entries and pictures and pictures.snapshots:
        every_KP = np.vstack([pictures.snapshots[0], *recorder.entries]).astype(float)
    if resumed:
        curves = read_scalars(folder)
        losses = curves["train/loss"].to_numpy() if "train/loss" in curves else losses
        named = dict(predictor.network.named_parameters()).items()
        tags = [f"parameter/{n}[{','.join(map(str, i))}]" for n, p in named for i in product(*map(range, p.shape))]
        complete = all(tag in curves for tag in tags)
        every_KP = np.stack([curves[tag].to_numpy() for tag in tags], axis=1) if complete else None
    return RunHistory(
        folder, title, predictor, windows, evaluation, losses, pd.DataFrame(list(history)), pictures, every_KP
    )


def _early_ones(run: RunHistory) -> tuple[list[int], Sequence[np.ndarray]]:
    """Updates and their snapshots (P,), dense at the start of the run, where most of the descent happens."""
    assert run.pictures is not None
    path, updates = run.pictures.snapshots, run.pictures.updates
    if run.every_KP is not None:
        path, updates = list(run.every_KP), list(range(len(run.every_KP)))
    last = len(path) - 1
    numbers = sorted({0, last, *(round(n) for n in np.geomspace(1, max(last, 1), fits.FRAMES))})
    return [updates[n] for n in numbers], [path[n] for n in numbers]


def _surface(run: RunHistory, surface: Surface, figures: Path, writer: Sink | None, step: int) -> None:
    """Draw the loss surface of a model with two parameters, the path across it, and the surface as a mesh."""
    assert run.pictures is not None
    path_K2 = run.every_KP if run.every_KP is not None else np.stack(run.pictures.snapshots).astype(float)
    theta = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = run.predictor.make_optimizer([theta])
    if isinstance(optimizer, torch.optim.LBFGS):
        full_K2 = path_K2[:1]
    else:
        updates = min(len(path_K2) - 1, MOST_FULL_UPDATES)
        full_K2 = landscape.full_batch_path(surface, torch.tensor(path_K2[0]), optimizer, updates)
    exact = None
    if surface.loss is LOSSES["mse"]:
        exact = least_squares(run.windows).flatten().cpu().numpy()
    points = [path_K2, full_K2[np.isfinite(full_K2).all(1)]] + ([exact[None]] if exact is not None else [])
    u_G, v_G = (landscape.span(*(p[:, axis] for p in points), points=SIDE) for axis in (0, 1))
    unit = torch.eye(2, dtype=torch.float64)
    grid = landscape.plane(surface, torch.zeros(2, dtype=torch.float64), [*unit], u_G, v_G)
    landscape.draw_surface(grid, path_K2, full_K2, exact, ("W1 (a)", "b1 (b)"), figures / "surface.png")
    if writer is not None:
        from torch.utils.tensorboard.summary import mesh

        every = np.linspace(0, SIDE - 1, MESH).round().astype(int)
        coarse = landscape.Grid(u_G[every], v_G[every], grid.loss_GG[np.ix_(every, every)])
        vertices, colours, faces = (torch.from_numpy(a).unsqueeze(0) for a in landscape.mesh(coarse))
        summary = mesh("surface", vertices, colours, faces, None)
        event_file(writer).add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _around(surface: Surface, path: Sequence[np.ndarray], figures: Path) -> None:
    """Draw slices of the loss of a larger model: around the end of its path, and along the path.

    Models of more than `LARGE` parameters have coarser slices, and models whose slices would take long have them from
    fewer samples; the pictures state both numbers.
    """
    side = SLICE if len(path[-1]) <= LARGE else LARGE_SLICE
    samples = min(SLICE_SAMPLES, max(32, SLICE_WORK // (side**2 * len(path[-1]))))
    chosen = fits.spaced(len(surface.x_ND), samples)
    surface = Surface(surface.network, surface.loss, surface.x_ND[chosen], surface.y_NH[chosen])
    start_P, end_P = (torch.tensor(path[k]).double() for k in (0, -1))
    start, end = float(surface.losses(start_P)), float(surface.losses(end_P))
    axis_G = np.linspace(-1, 1, side)
    directions = [landscape.filter_normalised(surface, end_P, seed) for seed in (0, 1)]
    grid = landscape.plane(surface, end_P, directions, axis_G, axis_G)
    landscape.draw_slice(grid, end, len(chosen), figures / "slice.png")
    two_2P, path_K2, explained = landscape.principal_plane(path)
    u_G, v_G = (landscape.span(path_K2[:, axis], points=side) for axis in (0, 1))
    grid = landscape.plane(surface, end_P, [*torch.tensor(two_2P)], u_G, v_G)
    landscape.draw_trajectory(grid, path_K2, (start, end), explained, len(chosen), figures / "trajectory.png")


def _one_input(windows: Windows, x_ND: torch.Tensor, y_NH: torch.Tensor) -> fits.OneInput | None:
    """The samples of a function of one input in the data's units; None where one plot cannot show them."""
    plain = windows.transform == "level" and not windows.relative and not windows.classes
    if not plain or windows.inputs != 1 or windows.outputs != 1 or len(windows.names) > 1:
        return None
    mean, scale = float(windows.mean_S[0]), float(windows.scale_S[0])
    input_mean, input_scale = float(windows.input_mean_SF[0, 0]), float(windows.input_scale_SF[0, 0])
    x_N, y_N = x_ND[:, 0].double().numpy(), y_NH[:, 0].double().numpy()
    names = ("price today", "price tomorrow") if windows.ordered else (windows.input_names[0], "target")
    return fits.OneInput(
        x_N * input_scale + input_mean, y_N * scale + mean, input_mean, input_scale, mean, scale, names
    )
