"""The page of a sweep in a real browser without a network. Pictures of it go to outputs/screenshots/."""

import re
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, needs_browser

sys.path.insert(0, str(Path(__file__).parent / "sweep"))
from made import make_sweep

from steepest.sweep.report.page import write_report

SCREENSHOTS = ROOT / "outputs" / "screenshots"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of a sweep over rates, nets and seeds in which some jobs failed."""
    draws, jobs = np.random.default_rng(0), []
    for rate, net, seed in product([0.001, 0.01, 0.1, 1.0], ["[8]", "[64,64]"], range(4)):
        end = abs(np.log10(rate) + 2) + 0.3 * draws.random() + (0.1 if net == "[8]" else 0.0)
        came = {"value": end, "curve": end + 3 * np.exp(-np.arange(30) * rate**0.3), "test": 5 + end}
        failed = {"status": "failed", "reason": "diverged", "curve": [1.0, 1e3, 1e30]}
        asked = [f"optimizer.lr={rate}", f"model.hidden={net}", f"seed={seed}"]
        jobs.append((asked, failed if rate == 1.0 and seed % 2 else came))
    return write_report(make_sweep(tmp_path_factory.mktemp("sweep"), jobs)).as_uri()


@pytest.fixture
def opened(chromium, address):
    """`opened(width, scheme)` opens the page; a network request or an error on the page fails the test."""
    wrong, contexts = [], []

    def start(width, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 1000}, offline=True, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else wrong.append(r.url))
        page.goto(address)
        page.wait_for_selector("body[data-drawn]", timeout=60_000)
        return page

    yield start
    for context in contexts:
        context.close()
    assert wrong == []


NAMES = ["parallel", "against-optimizer.lr", "against-model.hidden", "pairs", "curves", "bands"]
NAMES += ["predictions", "losses"]
# Elements that extend beyond the right edge of the page, except inside a scrollable box.
BEYOND = """[...document.querySelectorAll('body *')]
    .filter(one => !one.closest('.scroll > *, nav > *, script') && one.getBoundingClientRect().right > innerWidth + 0.5)
    .map(one => one.outerHTML.slice(0, 90))"""


@needs_browser
def test_every_chart_is_drawn(opened):
    page = opened(1280)
    for name in NAMES:
        chart = page.locator(f'[id="{name}"].js-plotly-plot')
        assert chart.count() == 1, name
        marks = {"parallel": ".parcoords .y-axis", "pairs": ".heatmaplayer image"}.get(name, "path.js-line, path.point")
        assert chart.locator(marks).count() > 0, name
        assert chart.bounding_box()["width"] > 300, name
    assert page.locator(".js-plotly-plot").count() == len(NAMES)
    # Lines of parallel coordinates are on a canvas: one that is empty has a single colour.
    canvas = page.locator("#parallel canvas.gl-canvas-context").first
    assert len(set(canvas.screenshot())) > 50
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "report_page.png", full_page=True)


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_no_label_of_the_parallel_coordinates_is_cut_or_reaches_another_axis(chromium, tmp_path, width):
    models = ["linear_manual", "mlp_manual"]
    asked = [[f"model={a}", f"optimizer={a}", f"data.relative_to_last={b}"] for a in models for b in ("true", "false")]
    jobs = [(own, {"value": 1.0 + n, "curve": [1.0 + n]}) for n, own in enumerate(asked)]
    page = chromium.new_page(viewport={"width": width, "height": 1000})
    page.goto(write_report(make_sweep(tmp_path, jobs)).as_uri())
    page.wait_for_selector("body[data-drawn]", timeout=60_000)
    left, right = page.locator("#parallel").evaluate("chart => [chart.getBoundingClientRect().left, chart.scrollWidth]")
    ends = "all => all.map(t => [t.getBoundingClientRect().left, t.getBoundingClientRect().right])"
    texts = page.locator("#parallel .tick text, #parallel .axis-title").evaluate_all(ends)
    axes = page.locator("#parallel .axis .domain").evaluate_all(ends)
    page.close()
    assert len(texts) > 8
    for start, end in texts:
        assert left <= start <= end <= left + right
    between = [(start, end) for start, end in texts if not any(start < (a + b) / 2 < end for a, b in axes)]
    assert len(between) >= 6, "labels of three axes, none across another axis"


@needs_browser
def test_the_table_sorts_by_the_column_that_is_clicked(opened):
    page = opened(1280)
    heading = page.locator("#all-jobs th", has_text="test rmse")
    place = heading.evaluate("cell => cell.cellIndex")

    def column():
        cells = page.locator("#all-jobs tbody tr").evaluate_all(f"rows => rows.map(r => r.cells[{place}].textContent)")
        return [float(text) for text in cells if text != "-"], cells.index("-")

    for direction in (1, -1):
        heading.locator("button").click()
        values, first_without = column()
        assert values == sorted(values, reverse=direction < 0)
        assert first_without == len(values) == 28
    assert heading.get_attribute("aria-sort") == "descending"
    page.locator("#all-jobs th", has_text="job").locator("button").click()
    numbers = page.locator("#all-jobs tbody tr td:first-child").all_inner_texts()
    assert numbers == [str(n) for n in range(32)]


@needs_browser
@pytest.mark.slow
def test_axes_and_pairs_are_chosen(opened):
    page = opened(1280)
    kind = "() => document.getElementById('curves')._fullLayout.yaxis.type"
    switch = page.locator('.switch[data-of="curves"]')
    for axis, type_ in (("log", "log"), ("linear", "linear")):
        switch.locator(f'[data-axis="{axis}"]').click()
        assert page.evaluate(kind) == type_
        assert switch.locator('[aria-pressed="true"]').get_attribute("data-axis") == axis
    finding = page.locator('.finding[data-of="curves"]')
    assert re.match(r"Job \d+, the first of the best setting, has its best ", finding.inner_text())
    assert "val/mse_scaled" in finding.inner_text()
    page.locator('select[data-of="curves"]').select_option("train/full_loss")
    assert "train/full_loss" in finding.inner_text()


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_the_page_fits_any_width_and_both_schemes(opened, width, scheme):
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(BEYOND) == []
    ink, ground = page.evaluate(
        "() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]; }"
    )
    light = [sum(int(n) for n in colour[4:-1].split(",")) for colour in (ink, ground)]
    assert (light[0] < light[1]) == (scheme == "light")
    axis = page.locator('[id="against-optimizer.lr"] .xtick text').first
    assert axis.evaluate("text => getComputedStyle(text).fill") == ink
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report_{width}_{scheme}.png", full_page=True)


@needs_browser
@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_all_ticks_have_the_same_size_and_no_heat_map_has_an_axis_of_seeds(opened, width):
    page = opened(width)
    ticks = page.locator(".xtick text, .ytick text, .cbaxis text, .parcoords .tick text, .parcoords .axis-extent-text")
    sizes = ticks.evaluate_all("all => all.filter(t => t.textContent).map(t => getComputedStyle(t).fontSize)")
    assert len(sizes) > 40
    assert set(sizes) == {"12px"}
    layout = "document.getElementById('pairs')._fullLayout"
    names = page.evaluate(f"[{layout}.xaxis.title.text, {layout}.yaxis.title.text]")
    assert names == ["optimizer.lr", "model.hidden"]
    cells = page.locator("#pairs .heatmap-label").evaluate_all("all => all.map(t => t.getBoundingClientRect().width)")
    assert max(cells) < page.evaluate(f"{layout}.xaxis._length") / 4, "a number fits into its cell"


@pytest.mark.slow
@needs_browser
def test_a_scrollable_table_has_a_shadow_until_its_end_is_visible(opened):
    page = opened(390)
    frame, box = page.locator("#jobs .frame"), page.locator("#jobs .scroll")
    assert frame.locator(".hint").inner_text() == "Scroll sideways to see more ↔"
    edge = "frame => getComputedStyle(frame, '::after').opacity"
    assert frame.evaluate(edge) == "1"
    box.evaluate("box => { box.scrollLeft = box.scrollWidth }")
    page.wait_for_function("frame => !frame.classList.contains('more-right')", arg=frame.element_handle())
    assert frame.evaluate(edge) == "0"
    first = page.locator("#all-jobs tbody tr").first.locator("td").first
    assert first.bounding_box()["x"] >= frame.bounding_box()["x"], "the job's number stays visible"
    wide = opened(1280).locator("#failures .frame")
    assert wide.locator(".hint").inner_text() == ""


@needs_browser
@pytest.mark.slow
def test_a_command_is_copied(opened, chromium):
    page = opened(1280)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#winner .copy").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#winner .command code").inner_text()


@needs_browser
@pytest.mark.slow
def test_a_page_that_is_printed_before_its_charts_are_drawn_has_all_of_them(chromium, address, tmp_path):
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    page.add_init_script("window.setTimeout = window.requestAnimationFrame = () => 0")  # nothing is drawn later
    page.goto(address)
    assert page.locator(".js-plotly-plot").count() == 0
    page.pdf(path=SCREENSHOTS / "report_page.pdf", prefer_css_page_size=True)
    for name in NAMES:
        chart = page.locator(f'[id="{name}"].js-plotly-plot')
        assert chart.locator("path.js-line, path.point, .parcoords .y-axis, .heatmaplayer image").count() > 0, name
    page.close()
