"""The JSON schemas accept every shipped config and refuse mistakes, as an editor's validator applies them."""

import json

import pytest
import yaml
from conftest import ROOT

from steepest.runs.config import GROUPS
from steepest.runs.schema import PRESETS, schema, write_schemas
from steepest.runs.trusted import remember

jsonschema = pytest.importorskip("jsonschema", reason="pip install -e '.[test]' brings jsonschema")
CONF = ROOT / "conf"


@pytest.fixture(scope="module")
def validators():
    schemas = {group: schema(group) for group in (*GROUPS, *PRESETS)}
    for one in schemas.values():
        jsonschema.Draft7Validator.check_schema(one)
    return {group: jsonschema.Draft7Validator(one) for group, one in schemas.items()}


def test_every_shipped_config_has_the_schema_of_its_group(validators):
    files = [file for group in validators for file in sorted((CONF / group).rglob("*.yaml"))]
    assert len(files) > 60
    for file in files:
        group, content = file.relative_to(CONF).parts[0], yaml.safe_load(file.read_text())
        assert [f"{file}: {error.message}" for error in validators[group].iter_errors(content)] == []


@pytest.mark.parametrize(
    ("file", "key", "wrong"),
    [
        ("model/mlp", "hiden", [3]),
        ("model/mlp", "hidden", 3),
        ("model/mlp", "activation", "sigmod"),
        ("data/csv", "separater", "comma"),
        ("data/csv", "window", "seven"),
        ("optimizer/adam", "learning_rate", 0.1),
        ("optimizer/adam", "_partial_", False),
        ("stop/early", "patience", "long"),
        ("evaluation/walk_forward", "fold", 3),
        ("callbacks/steps", "other", 3),
        ("trainer/cpu", "defaults", "base/lightning"),
        ("experiment/direction", "modle", {}),
        ("experiment/direction", "seed", -1),
    ],
)
def test_a_misspelt_key_and_a_wrong_value_are_refused(validators, file, key, wrong):
    content = yaml.safe_load((CONF / f"{file}.yaml").read_text())
    validator = validators[file.partition("/")[0]]
    assert validator.is_valid(content)
    assert not validator.is_valid(content | {key: wrong})


def test_a_reference_to_another_key_may_be_any_value(validators):
    content = yaml.safe_load((CONF / "model" / "mlp.yaml").read_text())
    assert validators["model"].is_valid(content | {"hidden": "${oc.env:LAYERS}", "init_scale": "???"})


def test_the_keys_of_a_trusted_class_of_the_project_are_in_the_schema(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema_test.py").write_text("class Net:\n    def __init__(self, inputs: int, width: int = 3): ...\n")
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "net.yaml").write_text("_target_: schema_test.Net\nwidth: 3\n")
    right, wrong = ({"_target_": "schema_test.Net", key: 3} for key in ("width", "widht"))
    assert jsonschema.Draft7Validator(schema("model")).is_valid(wrong), "an untrusted class is not imported"
    remember(tmp_path, ["schema_test"])
    written = write_schemas(tmp_path / "schemas")
    assert written[f"{tmp_path}/schemas/model.json"] == "conf/model/**/*.yaml"
    validator = jsonschema.Draft7Validator(json.loads((tmp_path / "schemas" / "model.json").read_text()))
    assert validator.is_valid(right)
    assert not validator.is_valid(wrong)
