"""Runs and Hydra do not import or call a target that is not approved, and a file cannot approve a target."""

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override

from steepest.runs.config import GROUPS
from steepest.runs.errors import explain
from steepest.runs.trust import CALLED_BY_HYDRA, check_hydra, guard_hydra, locate
from steepest.runs.untrusted import refused_keys, refused_overrides

PLANTED = "from pathlib import Path\nPath('planted.txt').touch()\ndef thing(): pass\n"


@pytest.mark.parametrize("place", GROUPS)
@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "pandas.eval",
        "torch.load",
        "torch.hub.load",
        "subprocess.Popen",
        "steepest.data.files.pd.eval",
        "steepest.runs.record.write_text",  # this package's, but a function that writes a file
        "steepest.runs.record.RunRecord",  # a class of this package that writes files
        "steepest.observe.eventfile.EventFile",
        "steepest.data.sources.read_prices.__globals__",
        "steepest.data.sources.PriceFile.__init__",
        "steepest.data.sources.SeriesData",
        "lightning.pytorch.callbacks.OnExceptionCheckpoint",  # writes to any folder
        "lightning.pytorch.callbacks.LambdaCallback",
        "lightning.pytorch.callbacks.lambda_function.Callback.__init__",
        "lightning.pytorch.loggers.tensorboard.os.system",
        "lightning.pytorch.loggers.CometLogger",  # sends to another machine
        "torch.optim.lr_scheduler.torch.load",
        "torch.optim.lr_scheduler.LambdaLR",
        "torch.optim.sgd.Tensor",
        "steepestevil.thing",
        "steepest.data.sources",
        "steepest.nothing.here",
        "steepest..data",
        "",
    ],
)
def test_a_target_that_is_not_approved_is_refused(target, place):
    with pytest.raises(ValueError, match="_target_"):
        locate(target, place)


def test_nothing_is_imported_before_its_path_is_approved(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="'planted.thing' is not approved"):
        locate("planted.thing", "data")


def test_only_classes_that_a_trusted_package_defines_are_approved(tmp_path, monkeypatch):
    (tmp_path / "trusted_here.py").write_text("import os\nclass Model: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("trusted_here.Model", "model", ["trusted_here"]).__name__ == "Model"
    for target in ("trusted_here.os.system", "trusted_here.os", "trusted_here.os._Environ"):
        with pytest.raises(ValueError, match="is defined as|not approved"):
            locate(target, "model", ["trusted_here"])
    with pytest.raises(ValueError, match="not approved"):
        locate("trusted_here.Model", "model", ["trusted"])


def with_hydra(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=True)


def test_the_shipped_config_passes():
    check_hydra(with_hydra())


@pytest.mark.parametrize("part", CALLED_BY_HYDRA)
@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "planted.thing"},
        {"_target_": "hydra_plugins.planted.thing"},
        {"_target_": "hydra.utils.get_method", "path": "os.getcwd"},
        {"_target_": "steepest.runs.record.write_text", "path": "x", "text": "y"},
        {"_target_": "steepest.data.sources.RandomWalk"},
        {"_target_": "steepest.sweep.record.SweepRecord", "inside": [{"deep": {"_target_": "planted.thing"}}]},
        {"_target_": "${oc.decode:planted.thing}"},
        {"_target_": "${nowhere}"},
        "${elsewhere}",
        "${oc.create:{_target_:planted.thing}}",
    ],
)
def test_hydra_refuses_a_target_that_is_not_approved(part, node):
    config = with_hydra()
    with (
        flag_override(config, ["struct", "readonly"], False),
        flag_override(config.hydra, ["struct", "readonly"], False),
    ):
        config.elsewhere = {"_target_": "planted.thing"}
        config.hydra[part] = {"evil": node} if part == "callbacks" or isinstance(node, str) else node
    with pytest.raises(ValueError, match=rf"hydra\.{part}.*_target_"):
        check_hydra(config)


@pytest.mark.parametrize("arguments", [["experiment=evil"], ["-m", "experiment=evil"], ["--cfg", "job", "-cn", "evil"]])
@pytest.mark.parametrize("trust", ["", "trust: [planted]"])
def test_an_experiment_file_cannot_make_hydra_call_a_target(command, tmp_path, arguments, trust):
    (tmp_path / "planted.py").write_text(PLANTED)
    text = f"# @package _global_\n{trust}\nhydra:\n  callbacks:\n    evil:\n      _target_: planted.thing\n"
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    for file in ("experiment/evil.yaml", "evil.yaml"):
        (tmp_path / "mine" / file).write_text(text)
    answer = command("--config-dir", "mine", *arguments, PYTHONPATH=str(tmp_path))
    assert answer.returncode == 2
    keys = ("trust, " if trust else "") + "hydra.callbacks.evil._target_"
    assert f"evil.yaml sets {keys}: a file must not set this for you" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "planted.txt").exists()
    assert not (tmp_path / "outputs").exists()


def test_trust_on_the_command_line_applies_to_hydra(command, tmp_path):
    (tmp_path / "planted.py").write_text(PLANTED)
    evil = ("--cfg", "job", "+hydra.callbacks.mine._target_=planted.thing")
    assert "'planted.thing' is not approved" in command(*evil, PYTHONPATH=str(tmp_path)).stderr
    answer = command(*evil, "trust=[planted]", PYTHONPATH=str(tmp_path))
    assert answer.returncode == 0, answer.stderr


@pytest.fixture
def composed_from(tmp_path):
    """`composed_from(text, *overrides)` composes a config with an experiment from another folder."""
    guard_hydra()

    def start(text: str, *overrides: str) -> DictConfig:
        (tmp_path / "experiment").mkdir(exist_ok=True)
        (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
        given = ["experiment=mine", f"hydra.searchpath=[{tmp_path}]", *overrides]
        try:
            return with_hydra(*given)
        except (HydraException, ValueError) as error:
            raise ValueError(explain(error)) from error

    return start


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("trust: [os]", "trust"),
        ("trust: ${oc.decode:'[os]'}", "trust"),
        ("resume: /elsewhere", "resume"),
        ("sweep: {storage: /elsewhere/x}", "sweep.storage"),
        ("sweep: ${seed}", "sweep"),
        ("hydra: {job: {env_set: {PATH: /elsewhere}}}", "hydra.job.env_set.PATH"),
        ("hydra: {job: {env_copy: [HOME]}}", "hydra.job.env_copy"),
        ("hydra: {job: {name: ../../x}}", "hydra.job.name"),
        ("hydra: {run: {dir: /elsewhere}}", "hydra.run.dir"),
        ("hydra: {output_subdir: ../x}", "hydra.output_subdir"),
        ("hydra: {job_logging: {handlers: {file: {(): os.system}}}}", "hydra.job_logging.handlers.file.()"),
        ("hydra: {hydra_logging: {root: {handlers: [x]}}}", "hydra.hydra_logging.root.handlers"),
        ("hydra: {sweeper: {params: {trust: '[os]'}}}", "hydra.sweeper.params: trust=[os]"),
        ("hydra: {sweeper: {params: {+trust: '[os]'}}}", "hydra.sweeper.params: +trust=[os]"),
        ("hydra: {sweeper: {params: {'seed@hydra.job': x}}}", "hydra.sweeper.params: seed@hydra.job=x"),
        ("hydra: {sweeper: {params: {data.cache: /elsewhere}}}", "hydra.sweeper.params: data.cache=/elsewhere"),
        ("hydra: {sweeper: {params: {seed: '${oc.env:HOME}'}}}", "hydra.sweeper.params: seed="),
        ("hydra: {sweeper: {params: {hydra.job.name: x}}}", "hydra.sweeper.params: hydra.job.name=x"),
        ("hydra: {sweep: {subdir: '${oc.env:HOME}'}}", "hydra.sweep.subdir"),
        ("hydra: {launcher: {n_jobs: '${seed}'}}", "hydra.launcher.n_jobs"),
        ("defaults: [/data/csv@hydra.job.env_set]", "hydra.job.env_set"),
        ("defaults: [/optimizer/sgd@hydra.callbacks.x]", "hydra.callbacks.x"),
    ],
)
def test_a_file_outside_conf_cannot_set_other_keys(composed_from, text, key):
    with pytest.raises(ValueError, match="a file must not set this for you") as caught:
        composed_from(text)
    assert key in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "trust: []\nresume: null",
        "sweep: {on_error: stop, dry_run: true}",
        "hydra: {mode: MULTIRUN, sweeper: {params: {optimizer.lr: '0.1,0.2', 'data': 'sp500,stocks'}}}",
        "hydra: {sweep: {subdir: 'lr_${optimizer.lr}'}, callbacks: {lesson: {name: saddle}}, launcher: {n_jobs: 2}}\n"
        "defaults: [override /hydra/launcher: threads]",
        "hydra: {sweeper: {n_trials: 3, sampler: {n_startup_trials: 2}, params: {seed: 'range(3)'}}}\n"
        "defaults: [override /hydra/sweeper: tune, override /hydra/sweeper/pruner: none]",
    ],
)
def test_a_file_outside_conf_can_describe_a_sweep(composed_from, text):
    composed_from(text)


def test_a_file_outside_conf_can_name_a_class_that_the_command_line_trusts(composed_from, tmp_path, monkeypatch):
    (tmp_path / "mine_too.py").write_text("class Callback: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = "hydra: {callbacks: {mine: {_target_: mine_too.Callback, level: 3}}}"
    composed_from(text, "trust=[mine_too]")
    with pytest.raises(ValueError, match="must not set this for you"):
        composed_from(text)
    with pytest.raises(ValueError, match="must not set this for you"):
        composed_from(text, "trust=[mine]")


def test_the_shipped_files_obey_the_rules_for_other_files():
    """A copy of a shipped experiment or sweep therefore works in the user's folder."""
    for file in sorted((ROOT / "conf").rglob("*.yaml")):
        config = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        name = str(file.relative_to(ROOT / "conf"))
        if isinstance(config, dict) and name != "train.yaml":
            assert list(refused_keys(config)) == [], name


@pytest.mark.parametrize(
    "override",
    [
        "trust=[os]", "++trust=[os]", "resume=/elsewhere", "data.cache=/elsewhere", "sweep.storage=x", "~hydra.callbacks.sweep",
        "hydra.job.env_set.PATH=/elsewhere", "+hydra.callbacks.x._target_=os.system", "hydra.sweep.dir=/elsewhere",
        "--config-dir=/elsewhere", "-cn=x", "hydra={job:{name:x}}", "data@hydra.job=csv", "not an override", "",
    ],
)  # fmt: skip
def test_a_recorded_override_that_a_file_must_not_set_must_be_typed_again(override):
    assert refused_overrides(["seed=1,2", override, "hydra/launcher=threads"]) == [override]


def test_ordinary_recorded_overrides_need_not_be_typed_again():
    ordinary = ["seed=range(3)", "~callbacks.pictures", "trainer.limit_train_batches=3", "experiment=course/widths"]
    ordinary += [
        "data.path=${oc.env:HOME}/x.csv",
        "hydra.mode=MULTIRUN",
        "hydra/launcher=threads",
        "hydra.launcher.n_jobs=2",
    ]
    ordinary += ["hydra.sweep.subdir=lr_${optimizer.lr}", "sweep.on_error=stop", "sweep=tune", "hydra/sweeper=tune"]
    assert refused_overrides(ordinary) == []


def test_no_dangerous_name_is_accepted_in_any_place():
    """This checks a sample of `python -m tests.campaign.hostile`."""
    from campaign.names import combinations, refused

    sample = list(combinations())[::20]
    assert len(sample) > 900
    assert [pair for pair in sample if not refused(*pair)] == []
