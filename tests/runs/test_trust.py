"""Neither a run nor Hydra imports or calls a target that is not approved."""

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, flag_override

from steepest.runs.config import APPROVED
from steepest.runs.trust import CALLED_BY_HYDRA, check_hydra, locate

PLANTED = "from pathlib import Path\nPath('planted.txt').touch()\ndef thing(): pass\n"


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
        "steepest.runs.record.subprocess.run",
        "steepest.runs.record.write_text",  # this package's, but a function that writes a file
        "steepest.data.sources.read_prices.__globals__",
        "lightning.pytorch.callbacks.lambda_function.Callback.__init__",
        "lightning.pytorch.loggers.tensorboard.os.system",
        "torch.optim.lr_scheduler.torch.load",
        "torch.optim.sgd.Tensor",
        "steepestevil.thing",
        "steepest.data.sources",
        "steepest.nothing.here",
        "steepest..data",
        "",
    ],
)
def test_a_target_that_is_not_approved_is_refused(target):
    with pytest.raises(ValueError, match="_target_"):
        locate(target, APPROVED)


def test_nothing_is_imported_before_its_path_is_approved(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="'planted.thing' is not approved"):
        locate("planted.thing", APPROVED)


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


@pytest.mark.parametrize("arguments", [[], ["-m"], ["--cfg", "job"], ["--cfg", "hydra", "--resolve"]])
@pytest.mark.parametrize("trust", ["", "trust: [planted]"])
def test_an_experiment_file_cannot_make_hydra_call_a_target(command, tmp_path, arguments, trust):
    (tmp_path / "planted.py").write_text(PLANTED)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "evil.yaml").write_text(
        f"# @package _global_\n{trust}\nhydra:\n  callbacks:\n    evil:\n      _target_: planted.thing\n"
    )
    answer = command("--config-dir", "mine", "experiment=evil", *arguments, PYTHONPATH=str(tmp_path))
    assert answer.returncode == 2
    assert ("a file of this config trusts planted" if trust else "'planted.thing' is not approved") in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "planted.txt").exists()
    assert not (tmp_path / "outputs").exists()


def test_trust_on_the_command_line_applies_to_hydra(command, tmp_path):
    (tmp_path / "planted.py").write_text(PLANTED)
    evil = ("--cfg", "job", "+hydra.callbacks.mine._target_=planted.thing")
    assert "'planted.thing' is not approved" in command(*evil, PYTHONPATH=str(tmp_path)).stderr
    answer = command(*evil, "trust=[planted]", PYTHONPATH=str(tmp_path))
    assert answer.returncode == 0, answer.stderr
