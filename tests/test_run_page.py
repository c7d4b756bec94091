"""The page of a run in a real browser without a network. Pictures of it go to outputs/screenshots/."""

import pytest
from conftest import ROOT, needs_browser

from steepest.runs.report.page import write_report

SCREENSHOTS = ROOT / "outputs" / "screenshots"
KINDS = {
    "prices": ("data=random_walk", "data.rows=600", "model=linear_manual", "evaluation=walk_forward"),
    "series": ("data=stocks", "model=mlp_manual"),
    "failed": ("model=mlp_manual", "optimizer.lr=1e9"),
}
# Elements that extend beyond the right edge of the page, except inside a scrollable box.
BEYOND = """[...document.querySelectorAll('body *')]
    .filter(one => !one.closest('.scroll > *, nav > *, script') && one.getBoundingClientRect().right > innerWidth + 0.5)
    .map(one => one.outerHTML.slice(0, 90))"""


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_run_fits_any_width_and_works_offline(train, chromium, kind):
    _, folder = train(*KINDS[kind], "stop.epochs=2", pictures=True)
    address, wrong = write_report(folder).as_uri(), []
    for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
        page = chromium.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        page.on("console", lambda said: wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(BEYOND) == []
        widths = page.locator("figure img").evaluate_all("all => all.map(one => one.naturalWidth)")
        assert len(widths) == len(list(folder.glob("figures/*.png")))
        assert all(widths)
        assert page.locator(".bars span").all_inner_texts() == ["train", "val", "test"]
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"run_{kind}_{width}_{scheme}.png", full_page=True)
        page.locator("summary").click()
        assert "seed: 0" in page.locator("details pre").inner_text()
        assert page.evaluate(BEYOND) == []
        # A3 in landscape without its margins, in CSS pixels (`@page` in page.css)
        page.set_viewport_size({"width": 1496, "height": 1000})
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1496, "paper has no scroll bar"
        page.close()
    assert wrong == []
