"""Configs: every shipped file matches its constructor, and every problem is reported."""

import inspect
import re

import pytest
from conftest import ROOT, composed
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from omegaconf import OmegaConf
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from steepest.data.sources import RowData, SeriesData
from steepest.evaluate.folds import Holdout, WalkForward
from steepest.observe.instrument import Instrument
from steepest.runs.approved import CLASSES, approved
from steepest.runs.config import GIVEN, GROUPS, check
from steepest.runs.errors import explain
from steepest.runs.specs import SPECS
from steepest.runs.stops import Epochs
from steepest.runs.trust import locate
from steepest.runs.values import signature

CONF = ROOT / "conf"
GIVE = {
    "csv": ["data.path=x.csv"],
    "table": ["data.path=x.csv", "data.inputs=[a]", "data.target=b"],
    "yahoo": ["data.symbol=A"],
    "threshold": ["stop.loss=0.1"],
    "lbfgs": ["data.batch_size=null"],
}
CHOICES = [
    (group.name, file.stem)
    for group in sorted(CONF.iterdir())
    if group.is_dir() and group.name not in ("hydra", "sweep", "experiment", "debug")
    for file in sorted(group.glob("*.yaml"))
]


def overrides(group: str, choice: str) -> list[str]:
    named = f"callbacks=[{choice}]" if group == "callbacks" else f"{group}={choice}"
    return [named, *(GIVE.get(choice, []) if group != "logger" else [])]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_shipped_choice_composes_and_passes_the_check(group, choice):
    checked = check(composed(*overrides(group, choice)))
    assert group in checked.groups


@pytest.mark.parametrize(
    ("group", "choice"), [c for c in CHOICES if c[0] not in ("callbacks", "logger") and c != ("scheduler", "none")]
)
def test_every_shipped_choice_has_the_keys_of_its_constructor(group, choice):
    node = OmegaConf.to_container(composed(*overrides(group, choice)))[group]
    target = locate(node["_target_"], group)
    takes = {n: p for n, p in inspect.signature(target).parameters.items() if n not in GIVEN.get(group, ())}
    written = {k for k in node if not k.startswith("_")}
    assert written <= set(takes)
    assert {n for n, p in takes.items() if p.default is p.empty} <= written
    if target.__module__.startswith("steepest.") and group != "stop":
        assert written == set(takes), "the file lists every argument of the constructor"


@pytest.mark.parametrize("folder", ["sweep", "experiment", "debug"])
def test_every_shipped_preset_passes_the_check(folder):
    for file in sorted((CONF / folder).glob("*.yaml")):
        of_file = ["data.path=prices.csv"] if file.stem == "ltsf" else []
        check(composed(f"{folder}={file.stem}", *of_file), typed=of_file)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epochs=abc", r"trainer.max_epochs='abc' should be a whole number"),
        ("optimizer=lbfgs", r"optimizer=lbfgs with data.batch_size=64: .* use data.batch_size=null"),
        ("data=csv data.path=x.csv data.window=abc", r"data.window='abc' should be a whole number"),
        ("data=csv data.path=x.csv data.split=abc", r"data.split='abc' should be a list"),
        ("model._target_=steepest.LinearPredictor model.seed=abc", r"model.seed='abc' should be a whole number"),
        ("model=mlp model.hidden=[8,a]", r"model.hidden\[1\]='a' should be a whole number"),
        ("data.window=1.5", r"data.window=1.5 should be a whole number"),
        ("name=12", r"name=12 should be text: quote it, as in \"name='12'\""),
        ("data.transform=returns", r"data.transform='returns' should be 'level', 'return' or 'log_return'"),
        ("model.seed=null", r"model.seed=None should be a whole number"),
        ("optimizer.lr=fast", r"optimizer.lr='fast' should be a number"),
        ("+data.widnow=3", r"unknown key 'data.widnow'; did you mean 'data.window'\?"),
        ("+sed=3", r"unknown key 'sed'; did you mean 'seed'\?"),
        ("+trainer.max_epoch=3", r"did you mean 'trainer.max_epochs'\?"),
        ("seed=abc", r"seed='abc' should be a whole number"),
        ("seed=-1", r"seed=-1 should be greater than or equal to 0"),
        ("seed=true", r"seed=True should be a number"),
        ("+data.seed=-1", r"unknown key 'data.seed'"),
        ("threads=0", r"threads=0 should be greater than or equal to 1"),
        ("threads=100000", r"threads starts 100000, but the limit is \d+ \(4 per core\): lower it"),
        ("trainer.devices=1000", r"trainer.devices starts 1000, but the limit is \d+ \(4 per core\): lower it"),
        ("trainer.gradient_clip_val=-1", r"trainer.gradient_clip_val=-1 should be greater than 0"),
        ("trainer.gradient_clip_val=nan", r"trainer.gradient_clip_val=nan should be a finite number"),
        ("trainer.max_time=[1]", r"trainer.max_time=\[1\] should be"),
        ("trainer.gradient_clip_val=1e308", r"trainer.gradient_clip_val=1e\+308 is above 3.40282e\+38"),
        ("optimizer.lr=1e308", r"optimizer.lr=1e\+308 is above 3.40282e\+38, the largest number of 32-bit precision"),
        ("model.seed=-9223372036854775808", "model.seed=-9223372036854775808 does not fit into 64 bits"),
        ("trainer.accumulate_grad_batches=" + 400 * "1", "111... does not fit into 64 bits: use a smaller number"),
        ("data.series=[A,10000000000000000000]", r"data.series\[1\]=10000000000000000000 does not fit into 64 bits"),
        ("optimizer.lr=${data}", r"optimizer.lr: _target_ 'steepest.data.sources.ShippedPrices' is not approved"),
        ("optimizer._partial_=false", r"optimizer._partial_=False must be True"),
        ("~optimizer", r"'optimizer' is missing: choose one, such as optimizer=sgd"),
        ("~model", r"'model' is missing: choose one, such as model=linear"),
        ("logger.tensorboard.version=/elsewhere", r"logger.tensorboard.version='/elsewhere' must be a folder name"),
        ("logger.tensorboard.name=..", r"logger.tensorboard.name='..' must be a folder name"),
        ("trainer.num_nodes=2", "trainer.num_nodes=2 would wait for other machines: start the run with torchrun"),
        ("+callbacks.x=1", r"callbacks.x=1 names no class: it has no _target_"),
    ],
)
def test_a_wrong_value_or_key_is_named(override, message):
    with pytest.raises(ValueError, match=message):
        check(composed(*override.split()))


def test_the_type_of_every_option_of_this_package_is_known():
    for place, modules in CLASSES.items():
        for path in (f"{module}.{name}" for module, names in modules.items() for name in names.split()):
            if path.startswith("steepest") and not place.startswith("hydra"):
                found = locate(path, place)
                parameters, hints = signature(SPECS.get(f"{found.__module__}.{found.__qualname__}", found))
                assert parameters.keys() - {"self"} <= hints.keys(), path


@pytest.mark.parametrize("value", ["64", "a"])
def test_a_value_that_should_be_a_list_is_shown_as_one(value):
    with pytest.raises(ValueError, match=rf"model.hidden='?{value}'? should be a list, such as \[{value}\]"):
        check(composed("model=mlp", f"model.hidden={value}"))


@pytest.mark.parametrize(
    ("given", "group", "none"),
    [("callbacks=[]", "callbacks", {}), ("~logger", "logger", {}), ("~scheduler", "scheduler", None)],
)
def test_an_optional_group_may_be_missing(given, group, none):
    assert check(composed(given)).groups[group] == none


def test_double_precision_may_have_larger_numbers():
    assert check(composed("optimizer.lr=1e308", "trainer.precision=64-true"))


def test_every_kind_of_error_of_a_constructor_names_it():
    with pytest.raises(ValueError, match=r"trainer: invalid options \(TypeError: .*int > 0"):
        check(composed("trainer.devices=x")).groups["trainer"]()


def test_all_problems_of_a_config_are_reported_together():
    with pytest.raises(ValueError, match="2 faults") as caught:
        check(composed("data.window=x", "optimizer.lr=y"))
    assert "data.window" in str(caught.value)
    assert "optimizer.lr" in str(caught.value)


def test_a_missing_value_is_named():
    with pytest.raises(ValueError, match=r"data.path is missing: add data.path=\.\.\."):
        check(composed("data=csv"))


def test_a_target_hidden_in_an_argument_is_found():
    config = OmegaConf.merge(composed("data=csv", "data.path=x"), {"data": {"path": {"_target_": "os.getcwd"}}})
    with pytest.raises(ValueError, match=r"data.path: _target_ 'os.getcwd' is not approved"):
        check(config)


def test_a_target_made_by_a_resolver_is_not_built():
    config = composed("data=csv", r"data.path='\${oc.create:{_target_:os.getcwd}}'")
    checked = check(config)
    built = checked.groups["data"]()
    assert isinstance(built.path, str), "the checked values are built, and nothing is resolved a second time"


def test_trust_approves_a_package(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("class Model:\n    def __init__(self, size: int = 1): self.size = size\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = OmegaConf.merge(composed(), {"model": {"_target_": "mine.Model"}})
    del config.model.loss
    del config.model.seed
    del config.model.init_scale
    with pytest.raises(ValueError, match=r"trust=\[PACKAGE\]"):
        check(config)
    config.trust = ["mine"]
    assert check(config).groups["model"]().size == 1
    with pytest.raises(ValueError, match="not approved"):
        check(config, trust=[])  # as for a resumed run


def test_every_approved_class_exists_and_fits_its_place():
    kinds = {
        "data": SeriesData | RowData, "model": LightningModule, "optimizer": Optimizer, "scheduler": LRScheduler | ReduceLROnPlateau,
        "stop": Epochs | Callback, "evaluation": Holdout | WalkForward, "callbacks": Instrument | Callback, "trainer": Trainer, "logger": Logger,
    }  # fmt: skip
    assert set(kinds) == set(GROUPS)
    for place, kind in kinds.items():
        for name in approved(place):
            assert issubclass(locate(name, place), kind), name


def test_no_class_is_accepted_in_the_place_of_another_class():
    for group in GROUPS:
        for other in set(GROUPS) - {group, *({"stop", "callbacks"} if group in ("stop", "callbacks") else ())}:
            for name in approved(other):
                with pytest.raises(ValueError, match=f"not approved for {group}"):
                    locate(name, group)


@pytest.mark.parametrize("key", ["data.cache"])
def test_a_path_in_a_file_must_be_below_the_folder_but_a_typed_path_need_not(key):
    base = ["data=yahoo", "data.symbol=A"]
    for path in ("/elsewhere", "../x", "a/../../x"):
        typed = [*base, f"{key}={path}"]
        with pytest.raises(ValueError, match=f"{key}={re.escape(path)} must be a relative path"):
            check(composed(*typed))
        assert check(composed(*typed), typed=typed)
    assert check(composed(*base, f"{key}=a/b"))


@pytest.mark.parametrize("key", ["default_root_dir", "callbacks", "logger", "plugins", "enable_checkpointing"])
def test_a_config_cannot_set_the_trainer_arguments_that_the_run_sets(key):
    with pytest.raises(ValueError, match=f"unknown key 'trainer.{key}'"):
        check(composed(f"+trainer.{key}=x"))


@pytest.mark.parametrize(
    "override",
    [
        "~logger",
        "~callbacks",
        "~callbacks.pictures",
        "~logger.tensorboard",
        "logger=[tensorboard,csv]",
        "callbacks=[default,noise]",
    ],
)
def test_groups_and_their_entries_can_be_left_out_or_listed(override):
    checked = check(composed(override))
    assert set(checked.groups["logger"]) == {
        "~logger": set(), "~logger.tensorboard": set(), "logger=[tensorboard,csv]": {"tensorboard", "csv"}
    }.get(override, {"tensorboard"})  # fmt: skip
    assert ("pictures" in checked.groups["callbacks"]) is not override.startswith("~callbacks")


def test_values_may_contain_spaces_and_parentheses():
    checked = check(composed("model=mlp", "model.hidden=[64, 32]", "data=csv", "data.path='My Data (1).csv'"))
    assert checked.groups["model"].arguments["hidden"] == [64, 32]
    assert checked.groups["data"].arguments["path"] == "My Data (1).csv"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.path=My Data (1).csv", """quote it, as in "data.path='My Data (1).csv'\""""),
        ("callbacks=null", "instead of null, write none, as in callbacks=none"),
        ("model.hidden=[64,", "the value is incomplete"),
    ],
)
def test_a_form_that_hydra_cannot_read_has_the_fix(override, message):
    with pytest.raises(Exception, match=".") as caught:
        composed("data=csv", override)
    assert message in str(explain(caught.value))
