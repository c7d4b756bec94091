"""What the pictures show: true losses, the closed-form minimum, the way that was gone. And that they are drawn."""

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from steepest.nets.curvature import Surface
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP
from steepest.observe import landscape
from steepest.observe.eventfile import read_scalars
from steepest.observe.fits import spaced
from steepest.observe.pictures import Pictures


def line(count=60):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(count, 1, generator=random, dtype=torch.float64)
    y = 2 * x - 1 + 0.1 * torch.randn(count, 1, generator=random, dtype=torch.float64)
    return Surface(MLP(1, [], 1).double(), LOSSES["mse"], x, y), x.numpy(), y.numpy()


def test_the_least_loss_of_the_surface_is_at_the_closed_form_minimum():
    surface, x, y = line()
    solution, *_ = np.linalg.lstsq(np.hstack([x, np.ones_like(x)]), y, rcond=None)
    a, b = solution.ravel()
    axes = [np.linspace(centre - 1, centre + 1, 101) for centre in (a, b)]
    grid = landscape.plane(surface, torch.zeros(2).double(), [*torch.eye(2).double()], *axes)
    row, column = np.unravel_index(grid.loss_GG.argmin(), grid.loss_GG.shape)
    assert (grid.u_G[column], grid.v_G[row]) == pytest.approx((a, b))
    residual = y - np.hstack([x, np.ones_like(x)]) @ solution
    assert grid.loss_GG.min() == pytest.approx((residual**2).mean(), rel=1e-12)


def test_losses_on_a_plane_are_those_of_its_points():
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


def test_the_full_batch_way_is_gradient_descents_own():
    surface, x, y = line()
    theta = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    way = landscape.full_batch_path(surface, torch.tensor([3.0, -2.0]).double(), torch.optim.SGD([theta], 0.1), 20)
    point = np.array([3.0, -2.0])
    for found in way:
        assert found == pytest.approx(point, rel=1e-12)
        error = x.ravel() * point[0] + point[1] - y.ravel()
        point = point - 0.1 * 2 * np.array([(error * x.ravel()).mean(), error.mean()])


def test_the_principal_plane_holds_a_way_that_lies_in_one():
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


def test_filter_normalised_directions_are_as_long_as_each_row_of_weights():
    surface = Surface(MLP(3, [4], 2).double(), LOSSES["mse"], torch.zeros(5, 3), torch.zeros(5, 2))
    here = surface.here()
    direction = landscape.filter_normalised(surface, here, 0)
    for (W, _), (D, d) in zip(surface.layers(here), surface.layers(direction), strict=True):
        torch.testing.assert_close(D.norm(dim=1), W.norm(dim=1))
        assert not d.any()


def test_the_mesh_is_whole():
    grid = landscape.Grid(np.linspace(0, 1, 4), np.linspace(2, 3, 5), np.arange(1.0, 21.0).reshape(5, 4))
    vertices, colours, faces = landscape.mesh(grid)
    assert vertices.shape == colours.shape == (20, 3)
    assert (vertices.min(), vertices.max()) == (0, 1)
    assert faces.shape == (2 * 3 * 4, 3)
    assert set(faces.ravel()) == set(range(20))


def test_snapshots_stay_few_and_evenly_spaced(train):
    _, folder = train("data=line", "stop.epochs=50", "callbacks.pictures.most=10", "data.batch_size=50", pictures=True)
    assert (folder / "figures" / "fit.gif").exists()
    with pytest.raises(ValueError, match="callbacks.pictures.most=1 must be 2 or more"):
        Pictures(most=1)


def test_a_line_has_its_surface_and_the_ways_losses_are_the_logged_ones(train):
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
    # All samples at each update: what is drawn at a point of the way is the loss that was logged there.
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
    assert landscape.losses(surface, torch.tensor(way)).numpy() == pytest.approx(
        curves["train/loss"].to_numpy(), rel=1e-5
    )


def test_larger_nets_have_slices_and_nets_of_one_input_their_pieces(train):
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


def test_jobs_of_a_sweep_draw_predictions_and_losses_only(tmp_path):
    from conftest import QUIET, composed

    from steepest.lightning.run import run

    for more, name in ([], "few"), (["callbacks.pictures.in_sweeps=true"], "all"):
        run(composed(QUIET, "data=line", "stop.epochs=2", *more), tmp_path / name, [], alone=False)
    assert {path.name for path in (tmp_path / "few" / "figures").iterdir()} == {"prediction.png", "loss.png"}
    assert (tmp_path / "all" / "figures" / "surface.png").exists()


@pytest.mark.parametrize(("count", "most"), [(1, 5), (2, 5), (100, 7), (5, 5)])
def test_spaced_numbers_have_both_ends(count, most):
    found = spaced(count, most)
    assert found[0] == 0
    assert found[-1] == count - 1
    assert len(found) <= most
    assert sorted(set(found)) == found
