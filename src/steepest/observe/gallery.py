"""Which pictures a run leaves in `figures/`, and the same in TensorBoard."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.writer import SummaryWriter

from steepest.data.windows import Windows
from steepest.evaluate.baselines import least_squares
from steepest.evaluate.evaluation import Evaluation
from steepest.nets.curvature import Surface
from steepest.nets.losses import LOSSES
from steepest.lightning.predictors import Predictor
from steepest.observe import fits, landscape
from steepest.observe.eventfile import event_file, read_scalars
from steepest.observe.figures import draw_losses, draw_numbers, draw_predictions
from steepest.observe.pictures import Pictures
from steepest.observe.recorder import Recorder
from steepest.observe.scores import EpochScores

SIDE, SLICE, MESH = 101, 41, 41  # points along a grid's side
MOST_FULL_UPDATES = 5000


@dataclass(frozen=True)
class Descent:
    """What a run's pictures are drawn from.

    Attributes:
        folder: the run's.
        title: of the pictures of scores.
        predictor: its network gives shapes; its parameters may be any.
        windows: on the CPU.
        evaluation: of the best epoch.
        losses: of every update, by update.
        history: scores by epoch.
        pictures: snapshots of the parameters; None where none were kept.
        every_KP: parameters of small models before the first and after every update; None of others.
    """

    folder: Path
    title: str
    predictor: Predictor
    windows: Windows
    evaluation: Evaluation
    losses: np.ndarray
    history: pd.DataFrame
    pictures: Pictures | None
    every_KP: np.ndarray | None


def draw_scores(descent: Descent) -> None:
    """What every run has: predictions of the last part, and the losses."""
    figures = descent.folder / "figures"
    draw_predictions(descent.evaluation.predictions, descent.title, figures / "prediction.png")
    draw_losses(descent.losses, 0, descent.history, descent.title, figures / "loss.png")


def draw_descent(descent: Descent, writer: SummaryWriter | None, step: int) -> None:
    """The way of the parameters, the loss around it, and the function on its way to the data."""
    pictures = descent.pictures
    if pictures is None or len(pictures.snapshots) < 2:
        return
    figures, network = descent.folder / "figures", descent.predictor.network
    batch = descent.windows.spread("train", pictures.samples)
    surface = Surface(network, descent.predictor.loss, batch.x_ND, batch.y_NH)
    way_KP = np.stack(pictures.snapshots).astype(float)
    names = list(dict(network.named_parameters()))
    ends = [torch.tensor(way_KP[k]) for k in (0, -1)]
    draw_numbers(
        names,
        [[t.numpy() for layer in surface.layers(end) for t in layer] for end in ends],
        [t.numpy() for layer in surface.layers(surface.gradient(ends[1])) for t in layer],
        figures / "parameters.png",
    )
    if len(way_KP[0]) == 2:
        _surface(descent, surface, figures, writer, step)
    else:
        _around(surface, way_KP, figures)
    data = _one_input(descent.windows, batch.x_ND, batch.y_NH)
    if data is not None:
        updates, shown_KP = _quickening(descent, way_KP)
        curves_KM = fits.fitted(surface, data, shown_KP)
        fits.draw_fit(curves_KM, updates, data, figures / "fit.png")
        fits.animate_fit(curves_KM, updates, data, figures / "fit.gif")
        if network.depth == 2 and surface.sizes[1] <= 200:
            fits.draw_pieces(surface, data, way_KP[-1], figures / "pieces.png")


def show(folder: Path, writer: SummaryWriter, step: int) -> None:
    """Put every picture of `figures/` into TensorBoard, as it is."""
    for path in sorted((folder / "figures").glob("*.[pg][ni][gf]")):
        with Image.open(path) as picture:
            width, height = picture.size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        value = Summary.Value(tag=f"figures/{path.stem}{'_moving' if path.suffix == '.gif' else ''}", image=image)
        event_file(writer).add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))


def gathered(
    folder: Path,
    title: str,
    predictor: Predictor,
    windows: Windows,
    evaluation: Evaluation,
    scores: EpochScores,
    callbacks: list,
    *,
    resumed: bool,
) -> Descent:
    """What there is to draw from; of a resumed run's earlier part, from the event files."""
    recorder = next((c for c in callbacks if isinstance(c, Recorder)), None)
    pictures = next((c for c in callbacks if isinstance(c, Pictures)), None)
    history, every_KP = pd.DataFrame(scores.history), None
    losses = np.concatenate(recorder.losses) if recorder and recorder.losses else np.empty(0)
    if recorder and recorder.entries and pictures and pictures.snapshots:
        every_KP = np.vstack([*recorder.entries, pictures.snapshots[-1]]).astype(float)
    if resumed:
        curves = read_scalars(folder)
        losses = curves["train/loss"].to_numpy() if "train/loss" in curves else losses
        history = pd.DataFrame({t: c for t, c in curves.items() if "scaled" in t or "entropy" in t}).rename_axis(
            "updates"
        )
        history = history.reset_index()
        named = dict(predictor.network.named_parameters()).items()
        tags = [f"parameter/{n}[{','.join(map(str, i))}]" for n, p in named for i in product(*map(range, p.shape))]
        if all(tag in curves for tag in tags):
            every_KP = np.stack([curves[tag].to_numpy() for tag in tags], axis=1)
    return Descent(folder, title, predictor, windows, evaluation, losses, history, pictures, every_KP)


def _quickening(descent: Descent, way_KP: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Looks at the way that are close together where it begins: most of a descent happens early."""
    assert descent.pictures is not None
    way, updates = way_KP, list(descent.pictures.updates)
    if descent.every_KP is not None:
        way, updates = descent.every_KP, list(range(len(descent.every_KP)))
    last = len(way) - 1
    numbers = sorted({0, last, *(round(n) for n in np.geomspace(1, max(last, 1), fits.FRAMES))})
    return [updates[n] for n in numbers], way[numbers]


def _surface(descent: Descent, surface: Surface, figures: Path, writer: SummaryWriter | None, step: int) -> None:
    """The whole loss surface of a model with two parameters."""
    assert descent.pictures is not None
    path_K2 = descent.every_KP if descent.every_KP is not None else np.stack(descent.pictures.snapshots).astype(float)
    predictor = deepcopy(descent.predictor).double()
    theta = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = predictor.make_optimizer([theta])
    if isinstance(optimizer, torch.optim.LBFGS):
        full_K2 = path_K2[:1]
    else:
        updates = min(len(path_K2) - 1, MOST_FULL_UPDATES)
        full_K2 = landscape.full_batch_path(surface, torch.tensor(path_K2[0]), optimizer, updates)
    exact = None
    if surface.loss is LOSSES["mse"]:
        exact = least_squares(descent.windows).flatten().cpu().numpy()
    points = [path_K2, full_K2[np.isfinite(full_K2).all(1)]] + ([exact[None]] if exact is not None else [])
    u_G, v_G = (landscape.span(*(p[:, axis] for p in points), points=SIDE) for axis in (0, 1))
    unit = torch.eye(2, dtype=torch.float64)
    grid = landscape.plane(surface, torch.zeros(2, dtype=torch.float64), [*unit], u_G, v_G)
    landscape.draw_surface(grid, path_K2, full_K2, exact, ("W1 (a)", "b1 (b)"), figures / "surface.png")
    if writer is not None:
        every = np.linspace(0, SIDE - 1, MESH).round().astype(int)
        coarse = landscape.Grid(u_G[every], v_G[every], grid.loss_GG[np.ix_(every, every)])
        vertices, colours, faces = (torch.from_numpy(a).unsqueeze(0) for a in landscape.mesh(coarse))
        writer.add_mesh("surface", vertices, colours, faces, global_step=step)


def _around(surface: Surface, way_KP: np.ndarray, figures: Path) -> None:
    """Slices of the loss of a larger model: around its end, and along its way."""
    few = max(1, len(surface.x_ND) // 1024)
    surface = Surface(surface.network, surface.loss, surface.x_ND[::few], surface.y_NH[::few])
    end_P = torch.tensor(way_KP[-1])
    axis_G = np.linspace(-1, 1, SLICE)
    directions = [landscape.filter_normalised(surface, end_P, seed) for seed in (0, 1)]
    grid = landscape.plane(surface, end_P, directions, axis_G, axis_G)
    landscape.draw_slice(grid, float(surface.losses(end_P)), figures / "slice.png")
    two, path_K2, explained = landscape.principal_plane(way_KP)
    u_G, v_G = (landscape.span(path_K2[:, axis], points=SLICE) for axis in (0, 1))
    grid = landscape.plane(surface, end_P, [*torch.tensor(two)], u_G, v_G)
    losses_K = landscape.losses(surface, torch.tensor(way_KP)).numpy()
    landscape.draw_trajectory(grid, path_K2, losses_K, explained, figures / "trajectory.png")


def _one_input(windows: Windows, x_ND: torch.Tensor, y_NH: torch.Tensor) -> fits.OneInput | None:
    """The data of a function of one input in its own units; None where a picture cannot show it."""
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
