"""The pictures show true losses, the closed-form minimum and the path of the parameters, and every run draws them."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import read_scalars
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from steepest.nets.curvature import Surface
from steepest.nets.functional import layers_of
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.observe import figures, fits, gallery, landscape
from steepest.observe.mesh import surface_mesh
from steepest.observe.pictures import Kept, Pictures
from steepest.observe.theme import DPI, LIGHT, Theme, save


def line(count=60):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(count, 1, generator=random, dtype=torch.float64)
    y = 2 * x - 1 + 0.1 * torch.randn(count, 1, generator=random, dtype=torch.float64)
    return Surface(MLP(1, [], 1).double(), LOSSES["mse"], x, y), x.numpy(), y.numpy()


def test_the_lowest_point_of_the_surface_is_the_closed_form_minimum():
    surface, x, y = line()
    solution, *_ = np.linalg.lstsq(np.hstack([x, np.ones_like(x)]), y, rcond=None)
    a, b = solution.ravel()
    axes = [np.linspace(centre - 1, centre + 1, 101) for centre in (a, b)]
    grid = landscape.plane(surface, torch.zeros(2).double(), [*torch.eye(2).double()], *axes)
    row, column = np.unravel_index(grid.loss_GG.argmin(), grid.loss_GG.shape)
    assert (grid.u_G[column], grid.v_G[row]) == pytest.approx((a, b))
    residual = y - np.hstack([x, np.ones_like(x)]) @ solution
    assert grid.loss_GG.min() == pytest.approx((residual**2).mean(), rel=1e-12)


def test_losses_on_a_plane_equal_the_losses_at_its_points():
    surface, *_ = line()
    grid = landscape.plane(
        surface,
        torch.tensor([1.0, 2.0]).double(),
        [*torch.eye(2).double()],
        np.array([0.0, 0.5, 1.0]),
        np.array([-1.0, 3.0]),
    )
    assert grid.loss_GG.shape == (2, 3)
    for row, v in enumerate(grid.v_G):
        for column, u in enumerate(grid.u_G):
            assert grid.loss_GG[row, column] == pytest.approx(
                float(surface.losses(torch.tensor([1 + u, 2 + v]).double()))
            )


def test_the_full_batch_path_equals_gradient_descent_by_formula():
    surface, x, y = line()
    theta = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    way = landscape.full_batch_path(surface, torch.tensor([3.0, -2.0]).double(), torch.optim.SGD([theta], 0.1), 20)
    point = np.array([3.0, -2.0])
    for found in way:
        assert found == pytest.approx(point, rel=1e-12)
        error = x.ravel() * point[0] + point[1] - y.ravel()
        point = point - 0.1 * 2 * np.array([(error * x.ravel()).mean(), error.mean()])


def test_the_full_batch_path_ends_once_it_has_settled():
    surface, x, y = line()
    theta = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    path = landscape.full_batch_path(surface, torch.tensor([3.0, -2.0]).double(), torch.optim.SGD([theta], 0.1), 5000)
    assert len(path) < 1000
    solution, *_ = np.linalg.lstsq(np.hstack([x, np.ones_like(x)]), y, rcond=None)
    assert path[-1] == pytest.approx(solution.ravel(), rel=1e-4)


def test_a_full_batch_path_that_bounces_has_not_settled():
    theta = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    bowl = SimpleNamespace(gradient=lambda theta_P: 2 * theta_P)  # with step 1, every update flips the signs
    path = landscape.full_batch_path(bowl, torch.ones(2).double(), torch.optim.SGD([theta], 1.0), 300)
    assert len(path) == 301
    assert path[300].tolist() == [1.0, 1.0]
    assert path[299].tolist() == [-1.0, -1.0]


def test_the_principal_plane_contains_a_path_that_lies_in_a_plane():
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.normal(size=(30, 2)))
    flat = random.normal(size=(12, 2)) * [3, 1]
    two, coordinates, explained = landscape.principal_plane(flat @ basis.T + 5)
    assert explained.sum() == pytest.approx(1.0)
    assert coordinates[-1] == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(np.diff(coordinates, axis=0), axis=1) == pytest.approx(
        np.linalg.norm(np.diff(flat, axis=0), axis=1)
    )
    assert two @ two.T == pytest.approx(np.eye(2), abs=1e-12)


def test_the_principal_plane_equals_that_of_the_singular_vectors(monkeypatch):
    path = np.random.default_rng(0).normal(size=(7, 40)).astype(np.float32)
    monkeypatch.setattr(landscape, "COLUMNS", 9)
    two, coordinates, explained = landscape.principal_plane(list(path))
    _, values, directions = np.linalg.svd(path.astype(float) - path.astype(float).mean(0))
    assert np.abs((two * directions[:2]).sum(1)) == pytest.approx(1.0)
    assert coordinates == pytest.approx((path - path[-1]).astype(float) @ two.T, abs=1e-6)
    assert explained == pytest.approx((values**2 / (values**2).sum())[:2])


def test_a_filter_normalised_direction_has_the_length_of_each_row_of_weights():
    surface = Surface(MLP(3, [4], 2).double(), LOSSES["mse"], torch.zeros(5, 3), torch.zeros(5, 2))
    here = surface.current()
    direction = landscape.filter_normalised(surface, here, 0)
    for (W, _), (D, d) in zip(
        layers_of(surface.parameters(here)), layers_of(surface.parameters(direction)), strict=True
    ):
        torch.testing.assert_close(D.norm(dim=1), W.norm(dim=1))
        assert not d.any()


def test_the_mesh_covers_the_whole_grid():
    grid = landscape.Grid(np.linspace(0, 1, 4), np.linspace(2, 3, 5), np.arange(1.0, 21.0).reshape(5, 4))
    vertices, colours, faces = surface_mesh(grid, ("a", "b"))
    surface, triangles = vertices[:20], 2 * 3 * 4
    assert (surface.min(), surface.max()) == (0, 1)
    assert set(faces[:triangles].ravel()) == set(range(20))
    assert (np.ptp(colours[:20], axis=0) > 0).all()


def test_the_mesh_has_three_labelled_axes_outside_the_surface():
    grid = landscape.Grid(np.linspace(0, 1, 4), np.linspace(2, 3, 5), np.arange(1.0, 21.0).reshape(5, 4))
    vertices, colours, faces = surface_mesh(grid, ("a", "b"))
    assert len(vertices) == len(colours)
    assert set(faces.ravel()) == set(range(len(vertices)))
    axes = vertices[20:]
    assert not ((axes[:, 0] > 0.01) & (axes[:, 1] > 0.01) & (axes[:, 1] < 0.99)).any()  # none is on the surface
    assert (np.ptp(axes, axis=0) > 1).all()
    assert (colours[20:] == colours[20]).all()
    longer = surface_mesh(grid, ("a longer name", "b"))[0]
    assert len(longer) > len(vertices)  # the letters of the name


def test_snapshots_stay_few_and_evenly_spaced(train):
    _, folder = train("data=line", "stop.epochs=50", "callbacks.pictures.most=10", "data.batch_size=50", pictures=True)
    assert (folder / "figures" / "fit.gif").exists()
    with pytest.raises(ValueError, match="callbacks.pictures.most=1 must be 2 or more"):
        Pictures(most=1)


def test_a_line_has_a_surface_whose_losses_equal_the_logged_ones(train):
    outcome, folder = train(
        "data=line", "stop.epochs=5", "data.batch_size=null", "trainer.precision=64-true", pictures=True
    )
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures == {"prediction.png", "loss.png", "surface.png", "fit.png", "fit.gif", "parameters.png"}
    with Image.open(folder / "figures" / "fit.gif") as moving:
        assert moving.n_frames > 5
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    assert set(events.Tags()["images"]) == {
        "figures/prediction", "figures/loss", "figures/surface", "figures/fit", "figures/fit_moving", "figures/parameters",
    }  # fmt: skip
    image = events.Images("figures/surface")[0]
    assert image.encoded_image_string == (folder / "figures" / "surface.png").read_bytes()
    assert image.step == outcome.metrics["updates"]
    assert any(tag.startswith("surface") for tag in events.Tags()["tensors"])
    # Each update uses all samples, so the surface at a point of the path equals the loss logged there.
    curves = read_scalars(folder)
    from conftest import composed

    from steepest.runs.config import check

    dataset = check(composed("data=line", "data.batch_size=null")).groups["data"]()
    from steepest import WindowDataModule

    module = WindowDataModule(dataset)
    module.setup()
    batch = module.placed("cpu", torch.float64).spread("train", 10**6)
    surface = Surface(MLP(1, [], 1).double(), LOSSES["mse"], batch.x_ND, batch.y_NH)
    way = np.stack([curves["parameter/W1[0,0]"], curves["parameter/b1[0]"]], axis=1)[:-1]
    assert surface.losses(torch.tensor(way)).numpy() == pytest.approx(curves["train/loss"].to_numpy(), rel=1e-5)


@pytest.mark.slow
def test_larger_nets_have_slices_and_nets_with_one_input_have_pieces(train):
    _, folder = train("data=curve", "model=mlp", "model.hidden=[6]", "stop.epochs=4", pictures=True)
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {"slice.png", "trajectory.png", "pieces.png", "fit.gif"} <= figures
    _, folder = train(
        "model=mlp",
        "model.hidden=[4,4]",
        "data.window=3",
        "data.target=value",
        "stop.epochs=2",
        name="deep",
        pictures=True,
    )
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures == {"prediction.png", "loss.png", "slice.png", "trajectory.png", "parameters.png"}


def test_jobs_of_a_sweep_draw_only_predictions_and_losses(tmp_path):
    from conftest import QUIET, composed

    from steepest.lightning.run import run

    for more, name in ([], "few"), (["callbacks.pictures.in_sweeps=true"], "all"):
        run(composed(QUIET, "data=line", "stop.epochs=2", *more), tmp_path / name, [], alone=False)
    assert {path.name for path in (tmp_path / "few" / "figures").iterdir()} == {"prediction.png", "loss.png"}
    assert (tmp_path / "all" / "figures" / "surface.png").exists()


@pytest.mark.parametrize("best", [2, 3])
def test_each_picture_shows_the_kept_epoch_or_names_both_epochs(tmp_path, monkeypatch, best):
    network, captions, curves = MLP(1, [3], 1).double(), [], []
    sheet, draw_fit = Theme.sheet, fits.draw_fit
    monkeypatch.setattr(Theme, "sheet", lambda theme, *given: captions.append(given[-1]) or sheet(theme, *given))
    monkeypatch.setattr(fits, "draw_fit", lambda *given: curves.append(given[:2]) or draw_fit(*given))
    monkeypatch.setattr(fits, "animate_fit", lambda *given: curves.append(given[:2]))
    for module in (fits, landscape, figures):
        monkeypatch.setattr(module, "save", lambda figure, path: None)  # laying out takes seconds
    monkeypatch.setattr(landscape, "SLICE", 5)
    surface, *_ = line()
    windows = SimpleNamespace(
        spread=lambda part, count: surface, transform="level", relative=False, classes=False, inputs=1, horizon=1,
        names=["y"], input_names=["x"], ordered=False, mean_S=torch.zeros(1), scale_S=torch.ones(1),
        input_mean_SF=torch.zeros(1, 1), input_scale_SF=torch.ones(1, 1),
    )  # fmt: skip
    draws, pictures = np.random.default_rng(0), Pictures()
    pictures.updates, pictures.snapshots = [0, 10, 20, 30], list(draws.normal(size=(4, 10)))
    kept = Kept(best, 3, 10 * best, pictures.snapshots[best])
    predictor = SimpleNamespace(network=network, loss=LOSSES["mse"])
    gallery.draw_descent(tmp_path, predictor, windows, pictures, None, kept, None, LIGHT)

    torch.nn.utils.vector_to_parameters(torch.tensor(kept.theta_P), network.parameters())
    x_M1 = torch.linspace(float(surface.x_ND.min()), float(surface.x_ND.max()), fits.POINTS).double()[:, None]
    for curves_KM, updates in curves:  # those of fit.png and fit.gif
        assert updates[-1] == 10 * best
        np.testing.assert_allclose(curves_KM[-1], network(x_M1).detach().numpy()[:, 0], rtol=1e-6, atol=1e-6)
    own = [text for text in captions if f"epoch {best} of 3, the best epoch" in text]
    both = [text for text in captions if "The descent ends at epoch 3; the best epoch is 2." in text]
    assert (len(curves), len(own), len(both)) == (2, 2, 3 if best == 2 else 0)


@pytest.mark.slow
def test_losses_of_a_wide_model_are_computed_one_point_at_a_time(tmp_path, monkeypatch):
    network, held, collected = MLP(2, [1024, 512], 1), [], []
    theta_P = torch.cat([p.detach().flatten() for p in network.parameters()]).numpy()

    def losses(surface, theta_RP):  # the real ones take many seconds
        held.append(theta_RP.numel() // len(theta_P))
        collected.append(gc.isenabled())
        return theta_RP.square().mean(-1)

    monkeypatch.setattr(Surface, "losses", losses)
    batch = SimpleNamespace(x_ND=torch.zeros(64, 2), y_NH=torch.zeros(64, 1))
    windows = SimpleNamespace(spread=lambda part, count: batch, transform="change")
    predictor = SimpleNamespace(network=network, loss=LOSSES["mse"])
    pictures = Pictures()
    pictures.updates, pictures.snapshots = [0, 1, 2], [theta_P, theta_P + 0.01, theta_P * 1.1]
    gallery.draw_descent(tmp_path, predictor, windows, pictures, None, Kept(2, 2, 2, theta_P), None, LIGHT)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"parameters.png", "slice.png", "trajectory.png"}
    assert max(held) == 1
    assert len(held) == 2 + 2 * landscape.LARGE_SLICE**2  # both ends of the path, two coarse grids
    assert gc.isenabled()
    assert not any(collected)


def test_losses_of_a_small_model_are_computed_in_pieces_of_bounded_size(monkeypatch):
    surface, *_ = line(60)
    losses, held = Surface.losses, []
    monkeypatch.setattr(landscape, "HELD", 600)
    monkeypatch.setattr(Surface, "losses", lambda s, theta_RP: held.append(len(theta_RP)) or losses(s, theta_RP))
    axis = np.linspace(-1, 1, 7)
    landscape.plane(surface, torch.zeros(2).double(), [*torch.eye(2).double()], axis, axis)
    assert held == [10, 10, 10, 10, 9]


def test_the_animated_fit_is_laid_out_once_and_pauses_at_its_end(tmp_path, monkeypatch):
    execute, layouts = ConstrainedLayoutEngine.execute, []
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda e, figure: layouts.append(1) or execute(e, figure))
    draw, draws = FigureCanvasAgg.draw, []
    monkeypatch.setattr(FigureCanvasAgg, "draw", lambda canvas: draws.append(1) or draw(canvas))
    x = np.linspace(0, 9, 20)
    data = fits.OneInput(x, 2 * x, x, torch.tensor(x)[:, None], 0.0, 1.0, ("x", "y"))
    curves = np.stack([slope * data.x_M for slope in (0.0, 1.0, 2.0)])
    fits.animate_fit(curves, [0, 5, 9], data, tmp_path / "fit.gif", LIGHT)
    assert (len(layouts), len(draws)) == (1, 1)
    with Image.open(tmp_path / "fit.gif") as moving:
        assert moving.n_frames == 3
        frames, durations = [], []
        for number in range(3):
            moving.seek(number)
            frames.append(np.asarray(moving.convert("RGB")).astype(int))
            durations.append(moving.info["duration"])
    assert durations == [fits.FRAME_MS, fits.FRAME_MS, fits.LAST_FRAME_MS]
    assert all((frame[1, 1] >= 254).all() for frame in frames)  # the background stays white
    moved = (np.abs(frames[1] - frames[0]).max(-1) > 40).any(1)
    title, curve = moved[:25], moved[25:-40]
    assert title.any()
    assert curve.any()
    assert not moved[-40:].any()  # nothing below the axes is redrawn


def test_a_picture_is_laid_out_once(tmp_path, monkeypatch):
    execute, layouts = ConstrainedLayoutEngine.execute, []
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda e, figure: layouts.append(1) or execute(e, figure))
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label="line")
    axes.set(xlabel="x", ylabel="y")
    draws = []
    monkeypatch.setattr(axes, "draw", lambda renderer, draw=axes.draw: draws.append(1) or draw(renderer))
    save(figure, tmp_path / "picture.png")
    assert (len(layouts), len(draws)) == (1, 1)
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (4 * DPI, 3 * DPI)


@pytest.mark.parametrize(("count", "most"), [(1, 5), (2, 5), (100, 7), (5, 5)])
def test_spaced_indices_include_both_ends(count, most):
    found = figures.spaced(count, most)
    assert found[0] == 0
    assert found[-1] == count - 1
    assert len(found) <= most
    assert sorted(set(found)) == found


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (3.0, 1.5, "fell from 3 to 1.5"),
        (1.5, 3.0, "rose from 1.5 to 3"),
        (2.0, 2.0 + 1e-9, "stayed at 2"),
        (2.0, float("nan"), "went from 2 to nan"),
    ],
)
def test_the_title_of_the_loss_surface_says_how_the_loss_changed(start, end, words):
    assert landscape._changed(start, end) == words


@pytest.mark.parametrize(("lowest", "label"), [(0.001, "loss"), (1000.0, "loss above 1000")])
def test_a_colour_bar_has_labels_that_differ(lowest, label):
    axis_G, picture = np.linspace(-1, 1, 21), Figure()
    loss_GG = lowest + 0.01 * (axis_G[:, None] ** 2 + axis_G**2)
    landscape.contours(picture, picture.subplots(), landscape.Grid(axis_G, axis_G, loss_GG), "loss")
    FigureCanvasAgg(picture).draw()
    bar = picture.axes[1]
    texts = [text.get_text() for text in bar.get_yticklabels()]
    assert bar.get_ylabel() == label
    assert len({*texts}) == len(texts) > 2
