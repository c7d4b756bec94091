"""One test for each use of Hydra's private interfaces in `runs/hydra_internals.py`.

A failure after an upgrade of Hydra names the function to change.
"""

import subprocess
import sys

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher

from steepest.runs import hydra_internals


def says(function: str) -> str:
    return f"Hydra has changed what hydra_internals.{function} relies on: see its docstring, and follow"


LOOK = """
import sys
from hydra import compose, initialize_config_dir
from steepest.runs.hydra_internals import check_every_config, primary_config

def look(config, loader, name, overrides):
    print(config.seed, name, overrides, primary_config(loader, name).seed)

check_every_config(look)
with initialize_config_dir(sys.argv[1], version_base="1.3"):
    compose("train", ["seed=3"])
    compose("train", ["seed=4"])
"""


def test_every_composed_config_is_checked():
    command = [sys.executable, "-c", LOOK, str(ROOT / "conf")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = "3 train ['seed=3'] 0\n4 train ['seed=4'] 0\n"
    assert answer.stdout == said, says("check_every_config, or .primary_config") + answer.stderr


def test_an_error_in_a_callback_is_raised():
    class Broken(Callback):
        def on_run_start(self, config, **named):
            raise KeyError("mine")

    hydra_internals.raise_errors_of_callbacks()
    callbacks = Callbacks()
    callbacks.callbacks = [Broken()]
    raised = None
    try:
        callbacks.on_run_start(config=None)
    except KeyError as error:
        raised = error
    assert raised is not None, says("raise_errors_of_callbacks")


def test_overrides_make_hydras_dirname():
    parsed = OverridesParser.create().parse_overrides(["b=2", "a=1", "seed=3"])
    found = hydra_internals.override_dirname(parsed, kv_sep="=", item_sep=",", exclude=["seed"])
    assert found == "a=1,b=2", says("override_dirname")


@pytest.mark.parametrize(
    ("typed", "flags"),
    [
        (["-m", "a=1,2"], []),
        (["--config-name", "mine", "-m", "a=1"], ["--config-name", "mine"]),
        (["-cn=mine", "--config-dir=there"], ["--config-name", "mine", "--config-dir", "there"]),
    ],
)
def test_the_flags_that_choose_a_config_are_found(typed, flags):
    assert hydra_internals.config_flags(typed) == flags, says("config_flags")


def test_hydras_own_launcher_has_the_prefix_of_its_core_plugins():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", return_hydra_config=True)
    target = config.hydra.launcher._target_
    assert target.startswith(hydra_internals.CORE_PLUGINS), says("CORE_PLUGINS")
    assert any(target.endswith(launcher.__name__) for launcher in Plugins.instance().discover(Launcher))
