"""Shared by the tests: configs composed as on the command line, runs in this process, commands in another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jaxtyping
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

# Small models are slower with more threads, and slowest when several test workers share the cores; train.yaml also has
# `threads: 1`.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# In tests, every call of these modules' tensor functions checks shapes and types.
CHECKED = ["nets.activations", "nets.losses", "nets.networks", "evaluate.metrics", "evaluate.significance"]
CHECKED += ["evaluate.baselines", "evaluate.blocks", "evaluate.scoring", "evaluate.statistics", "data.windows"]


def pytest_configure(config: pytest.Config) -> None:
    """Install these checks before steepest is imported, except for benchmarks."""
    if config.option.markexpr != "speed":
        jaxtyping.install_import_hook([f"steepest.{module}" for module in CHECKED], "beartype.beartype")


RATIOS: pytest.StashKey[list[tuple[str, float, str]]] = pytest.StashKey()  # the results of tests/benchmarks


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Print the measured ratios of times."""
    if found := config.stash.get(RATIOS, []):
        terminalreporter.section("ratios of times")
    for claim, ratio, bound in found:
        terminalreporter.write_line(f"{ratio:6.2f} x  ({bound})  {claim}")


@pytest.fixture(scope="session", autouse=True)
def _config_folder(tmp_path_factory):
    """An empty folder in place of the user's config folder, which has the list of trusted folders."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


ROOT = Path(__file__).resolve().parents[1]
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here: apt-get install chromium")
# For quick runs in this process: no progress bar.
QUIET = "~callbacks.progress"
NO_PICTURES = "~callbacks.pictures"  # pictures take longer than most tests


def composed(*overrides: str) -> DictConfig:
    """The config of `python train.py *overrides`, without Hydra's part."""
    import steepest.runs.defaults  # noqa: F401  # registers the resolvers of conf/data

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


def read_scalars(folder: Path) -> dict[str, pd.Series]:
    """Every scalar curve of a run's folder: tag -> values by update."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 1, "images": 1})
    events.Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        points = events.Scalars(tag)
        curves[tag] = pd.Series([p.value for p in points], index=[p.step for p in points], name=tag)
    return curves


@pytest.fixture(scope="session")
def chromium():
    """A headless browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[test]' brings Playwright")
    with sync_api.sync_playwright() as playwright:
        # WebGL draws the parallel coordinates; this option makes it use the processor.
        options = ["--headless", "--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield browser
        browser.close()


@pytest.fixture
def train(tmp_path):
    """`train(*overrides, name=..., resume=..., pictures=...)` runs in this process and returns (outcome, folder)."""
    from steepest.entry import resumed_config
    from steepest.lightning.run import run

    def start(*overrides: str, name: str = "run", resume: bool = False, pictures: bool = False):
        folder = tmp_path / name
        if resume:
            return run(resumed_config(folder, list(overrides)), folder, list(overrides), resume=True), folder
        folder.mkdir()
        return run(composed(QUIET, *([] if pictures else [NO_PICTURES]), *overrides), folder, list(overrides)), folder

    return start


@pytest.fixture
def read(tmp_path):
    """`read(data, ...)` writes text or bytes to prices.csv and reads the file."""
    from steepest import read_prices

    def start(data, name="prices.csv", **options):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_prices(tmp_path / name, **options)

    return start


@pytest.fixture
def command(tmp_path):
    """`command(*arguments)` runs `python train.py *arguments` in an empty folder and returns the finished process."""

    def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return start


@pytest.fixture
def plain():
    """A composed config as plain data."""
    return lambda *overrides: OmegaConf.to_container(composed(*overrides), resolve=True)
