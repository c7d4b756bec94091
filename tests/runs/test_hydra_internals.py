"""One test for each use of Hydra's private interfaces in `runs/hydra_internals.py`.

A failure after an upgrade of Hydra names the function to change.
"""

import subprocess
import sys

import pytest
from antlr4.ParserRuleContext import ParserRuleContext
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import OmegaConf

from steepest.runs import hydra_internals
from steepest.runs.trust import guard_hydra


def says(function: str) -> str:
    return f"Hydra has changed what hydra_internals.{function} relies on: see its docstring, and follow"


LOOK = """
import sys
from hydra import compose, initialize_config_dir
from steepest.runs.hydra_internals import check_every_config

read = []
def look_at_file(file, config, natural, trusted):
    read.append((str(file), natural, trusted[:]))

def look(config):
    moved = {name[-17:] for name, natural, _ in read if not natural}
    print(config.seed, read[-1][2], any(name.endswith("conf/train.yaml") for name, _, _ in read), *sorted(moved))

check_every_config(lambda overrides: print(len(overrides)), look_at_file, look)
with initialize_config_dir(sys.argv[1], version_base="1.3"):
    compose("train", ["seed=3"])
    compose("train", ["seed=4", "trust=[a,b]"])
"""


def test_every_composed_config_is_checked():
    command = [sys.executable, "-c", LOOK, str(ROOT / "conf")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    moved = "/base/series.yaml se/lightning.yaml"  # files that another file moves to a different place
    said = f"1\n3 [] True {moved}\n2\n4 ['a', 'b'] True {moved}\n"
    assert answer.stdout == said, says("check_every_config") + answer.stderr


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[]", []),
        ("[1]", [1]),
        ("[1,[2,'a,b'],{c:3},x]", [1, [2, "a,b"], {"c": 3}, "x"]),
        (str([0.5] * 400), [0.5] * 400),
    ],
)
def test_each_element_of_a_list_in_an_override_is_visited_once(monkeypatch, text, value):
    visited, children = [], ParserRuleContext.getChildren

    def counted(*given):
        for child in children(*given):
            visited.append(child)
            yield child

    monkeypatch.setattr(ParserRuleContext, "getChildren", counted)
    hydra_internals.parse_lists_once()
    found = OverridesParser.create().parse_override(f"key={text}").value()
    assert found == value, says("parse_lists_once")
    assert len(visited) < 20 * len(text), says("parse_lists_once")


@pytest.mark.parametrize(
    ("typed", "hidden"),
    [
        (["model=mlp,mlp_manual", "model.hidden=[7]"], [7]),
        (["model=choice(mlp_manual,mlp)", "model.hidden=[7]"], [7]),
        (["model=mlp", "model.hidden=[7],[8]"], [64]),  # a key that is swept keeps its default
    ],
)
def test_a_sweep_over_choices_is_composed_with_the_first(typed, hidden):
    hydra_internals.begin_sweeps_with_the_first_choice(["model"])
    search = create_config_search_path(str(ROOT / "conf"))
    config = ConfigLoaderImpl(search).load_configuration("train", typed, RunMode.MULTIRUN)
    assert config.model.hidden == hidden, says("begin_sweeps_with_the_first_choice")
    assert config.hydra.overrides.task == typed, says("begin_sweeps_with_the_first_choice")


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


def test_the_value_of_a_copied_environment_variable_is_not_in_the_config(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    guard_hydra()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["hydra.job.env_copy=[MY_TOKEN]"], return_hydra_config=True)
    assert OmegaConf.to_container(config.hydra.job.env_set) == {"MY_TOKEN": "${oc.env:MY_TOKEN}"}, says(
        "_hide_copied_environment"
    )
    assert config.hydra.job.env_set.MY_TOKEN == "secret"


def test_an_override_is_completed():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        found = hydra_internals.completions("train", ["seed=1", "model=dl"])
    assert found == ["model=dlinear"], says("completions")
