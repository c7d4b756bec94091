"""The dashboard in a real browser: Chromium opens what `steepest board` serves, on a real run and a real sweep.

Pictures of it go to outputs/screenshots/.
"""

import re
import subprocess
import sys

import pytest
from conftest import needs_browser
from pictures import SCREENSHOTS, assert_same

from steepest.observe.hparams import METRICS
from steepest.observe.recorder import entry_names
from steepest.observe.tags import layout

ENTRIES = tuple(entry_names({"W1": (4, 2), "b1": (4,), "W2": (3, 4), "b2": (3,), "W3": (1, 3), "b3": (1,)}))
SIZE = {"width": 1400, "height": 1100}
BESIDE_THE_SETTINGS = {"x": 360, "y": 64, "width": 720, "height": 760}  # the docs show it at about this size
WATCHED = "callbacks=[default,curvature,noise,steps]"


@pytest.fixture
def board():
    """`board(folder, whole=...)` runs `steepest board` and returns the address. At the end, Ctrl-C stops it.

    The address is the one that shows all runs, or the whole one that the command prints.
    """
    served = []

    def start(folder, whole=False):
        command = [sys.executable, "-c", "from steepest.cli import main; main()", "board", folder.name, "--port", "0"]
        process = subprocess.Popen(
            command, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        served.append(process)
        line = process.stdout.readline()
        address = re.match(r"(http://\S+#custom_scalars\S*) shows the ", line)[1]
        return address if whole else re.match(r"http://[^/]+", address)[0]

    yield start
    for process in served:
        process.send_signal(2)
        said, _ = process.communicate(timeout=30)
        assert said.endswith("Stopped.\n")
        assert process.returncode == 0


@pytest.fixture
def page(chromium):
    """A page of a headless Chromium."""
    page = chromium.new_page(viewport=SIZE)
    yield page
    page.close()


def shown(page_or_element, name, **how):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page_or_element.screenshot(path=SCREENSHOTS / f"{name}.png", **how)


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(("name", "model"), [("net", "model=mlp_manual"), ("automatic", "model=mlp")])
def test_every_chart_of_the_dashboard_has_data(train, board, page, name, model):
    relu = ["model.hidden=[4,3]", "data.window=2", "data.relative_to_last=true", "optimizer.lr=0.05"]
    train(model, *relu, "model.activation=relu", "stop.epochs=12", WATCHED, name="relus")
    _, folder = train(model, *relu, "stop.epochs=12", WATCHED, name="sigmoids")
    page.goto(board(folder.parent) + "/#custom_scalars")
    cards = page.locator("tf-custom-scalar-multi-line-chart-card")
    cards.first.wait_for(timeout=60_000)
    titles = [title for charts in layout(3, ENTRIES).values() for title in charts]
    for title in titles:
        card = cards.filter(has=page.get_by_text(title, exact=True)).first
        card.scroll_into_view_if_needed(timeout=30_000)
        card.get_by_text(re.compile(r"Matches \([1-9]\d*\)")).wait_for(timeout=30_000)
        # A curve is drawn: more than an axis.
        assert card.locator("path, line").count() > 0
    assert cards.count() == len(titles)
    cards.first.scroll_into_view_if_needed()
    page.wait_for_timeout(3_000)
    shown(page, f"dashboard_{name}")


@needs_browser
@pytest.mark.slow
def test_of_a_large_sweep_the_best_jobs_are_ticked_and_drawn(command, tmp_path, board, page):
    runs = tmp_path / "outputs"
    overrides = ["model=linear_manual", "stop.epochs=1", "hydra/launcher=threads"]
    for name, more in (("runs/older", []), ("sweeps/newer", ["-m", "optimizer.lr=0.001,0.003", "seed=range(30)"])):
        where = "hydra.sweep.dir" if more else "hydra.run.dir"
        done = command(*more, *overrides[: 3 if more else 2], f"{where}={runs / name}")
        assert done.returncode == 0, done.stderr
    page.goto(board(runs, whole=True))
    card = page.locator("tf-custom-scalar-multi-line-chart-card").filter(has=page.get_by_text("by epoch, whole parts"))
    card.get_by_text(re.compile(r"Matches \([1-9]\d*\)")).wait_for(timeout=60_000)
    page.wait_for_timeout(2_000)
    shown(page, "dashboard_sweep")
    checked = page.locator("tf-multi-checkbox paper-checkbox[checked]").all()
    ticked = [box.get_attribute("id").removeprefix("checkbox-") for box in checked]
    import pandas as pd

    table = pd.read_csv(runs / "sweeps" / "newer" / "results.csv")
    best = table[table["setting"] == 1].nsmallest(20, "objective")["job"]
    assert sorted(ticked) == sorted(f"sweeps/newer/{job}" for job in best)
    card.get_by_text(re.compile("Matches")).click()
    page.get_by_text(re.compile("reference/.*persistence")).first.wait_for(state="attached", timeout=10_000)


@needs_browser
@pytest.mark.slow
def test_the_images_tab_shows_the_surface(train, board, page):
    _, folder = train("data.relative_to_last=false", "stop.epochs=3", pictures=True)
    page.goto(board(folder) + "/#images")
    image = page.locator("tf-image-loader", has_text="figures/surface").first
    image.wait_for(timeout=60_000)
    image.scroll_into_view_if_needed()
    picture = image.locator("img").first
    picture.wait_for(timeout=30_000)
    page.wait_for_timeout(2_000)
    assert picture.evaluate("element => element.naturalWidth") > 300
    assert "1970" not in page.locator("tf-image-loader").first.inner_text()
    page.set_viewport_size({"width": 2000, "height": 1600})
    page.get_by_text("Show actual image size").click()
    page.wait_for_timeout(2_000)
    shown(image, "images")
    page.set_viewport_size(SIZE)
    page.get_by_text("Custom Scalars", exact=False).first.click()
    page.locator("tf-custom-scalar-multi-line-chart-card").first.wait_for(timeout=60_000)
    page.wait_for_timeout(3_000)
    shown(page, "dashboard_line", clip=BESIDE_THE_SETTINGS)
    for picture, drawn in (("images.png", "images.png"), ("dashboard.png", "dashboard_line.png")):
        assert_same(picture, SCREENSHOTS / drawn)


@needs_browser
@pytest.mark.slow
def test_hparams_has_one_row_a_run_with_its_objective(command, tmp_path, board, page):
    done = command("-m", "model=linear,mlp", "optimizer.lr=0.01,0.02", "stop.epochs=2", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    page.goto(board(tmp_path / "sweep") + "/#hparams")
    page.get_by_text("best/objective").first.wait_for(timeout=60_000)
    page.wait_for_timeout(3_000)
    shown(page, "hparams")
    text = page.evaluate(
        "() => { const all = root => [...root.querySelectorAll('*')].flatMap("
        " e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);"
        " return all(document).filter(e => e.localName.includes('vaadin-grid-cell-content')).map(e => e.innerText.trim()); }"
    )
    rows = [cell for cell in text if re.fullmatch(r"[0-3]", cell)]
    assert sorted(rows) == ["0", "1", "2", "3"]
    numbers = [float(cell) for cell in text if re.fullmatch(r"\d*\.\d+(e-\d+)?", cell)]
    import pandas as pd

    objectives = pd.read_csv(tmp_path / "sweep" / "results.csv")["objective"]
    for objective in objectives:
        assert any(number == pytest.approx(objective, rel=1e-3) for number in numbers)
    assert "hp_metric" not in " ".join(text)
    assert "best/objective" in METRICS
