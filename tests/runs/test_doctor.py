"""`steepest doctor` names each fault of an installation and its fix, and does not fail itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import steepest.data.home
from steepest.runs import conf, doctor

COMMAND = Path(sys.executable).with_name("steepest")


def faults(findings):
    return {found.subject: found for found in findings if found.fix}


def test_a_package_that_is_missing_or_too_old_is_named_with_the_command_that_installs_it(monkeypatch):
    wanted = ["numpy>=99", "no-such-package>=1", "typer>=0.1", "no-such-extra>=1; extra == 'yahoo'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: wanted)
    found = faults(doctor.check_versions())
    assert {name: one.fix for name, one in found.items()} == {
        "numpy": "pip install 'numpy>=99'", "no-such-package": "pip install 'no-such-package>=1'",
    }  # fmt: skip
    assert found["no-such-package"].text == "not installed, but steepest needs >=1"


def test_the_versions_of_this_installation_fit():
    assert faults(doctor.check_versions()) == {}


def test_a_damaged_or_missing_data_file_is_named(tmp_path, monkeypatch):
    assert faults(doctor.check_data()) == {}
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setattr(steepest.data.home, "HOME", tmp_path)
    (tmp_path / "data" / "norris.csv").write_text("y,x\n1,2\n")
    (tmp_path / "data" / "sp500.csv.gz").unlink()
    assert faults(doctor.check_data())["data"].text == "sp500.csv.gz, norris.csv differ from the checksums"


def test_a_faulty_config_of_the_project_is_named_and_one_with_a_value_to_give_is_not(tmp_path, monkeypatch):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "small.yaml").write_text(
        "_target_: steepest.lightning.predictors.MLPPredictor\nhiden: [3]\n"
    )
    (tmp_path / "conf" / "model" / "open.yaml").write_text(
        "_target_: steepest.lightning.predictors.MLPPredictor\nhidden: ???\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(conf, "choices", lambda: {"model": {"small", "open", "mlp"}})
    (found,) = doctor.check_configs()
    assert found.subject == "model=small"
    assert found.text == f"{tmp_path}/conf/model/small.yaml does not pass the check"
    assert "unknown key 'model.hiden'; did you mean 'model.hidden'?" in found.fix


def test_a_training_that_fails_is_reported_with_its_last_line(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("import sys\nprint('first', file=sys.stderr)\nsys.exit('the last line')\n")
    monkeypatch.setattr(conf, "program", lambda: tmp_path / "train.py")
    (found,) = doctor.check_training()
    assert found.text == "exit code 1: the last line"
    assert found.fix.startswith("repeat it to see all messages: steepest train model=mlp_manual")


def test_a_check_that_fails_itself_is_a_fault_and_the_others_run(monkeypatch):
    def broken():
        raise RuntimeError("libtorch is missing")

    monkeypatch.setattr(doctor, "CHECKS", {"devices": broken, "kernel": doctor.check_kernel})
    first, second = doctor.diagnose()
    assert first == doctor.Finding("devices", "the check failed: RuntimeError: libtorch is missing", doctor.AGAIN)
    assert second.fix is None


def test_a_folder_that_cannot_be_written_is_a_fault(monkeypatch):
    monkeypatch.setattr(doctor, "_writable", lambda folder: False)
    assert faults(doctor.check_folders())["runs"].text.endswith("cannot be written")


def test_without_hydra_the_command_names_the_missing_package_and_shows_no_traceback(tmp_path):
    (tmp_path / "hydra.py").write_text("raise ModuleNotFoundError(\"No module named 'hydra'\", name='hydra')\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "steepest", "doctor"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.startswith("steepest cannot start: No module named 'hydra'")
    assert "Traceback" not in answer.stderr


@pytest.mark.slow
def test_this_installation_has_no_faults(tmp_path):
    environment = os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}
    answer = subprocess.run(
        [COMMAND, "doctor"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.endswith("No faults.\n")
    for subject in ("Python", "packages", "CPU", "GPU", "kernel cache", "configs", "data", "training"):
        assert f"ok  {subject} " in answer.stdout
    left = [path.name for path in tmp_path.iterdir() if path.name != "matplotlib"]  # its fonts, at its first import
    assert not left, "doctor leaves nothing in the folder"
