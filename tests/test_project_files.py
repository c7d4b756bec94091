"""The files for contributors and services agree with pyproject.toml."""

import json
import re
import tomllib

import yaml
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_workflow_runs_the_tests_on_each_supported_python():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    lowest, above = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups())
    assert jobs["tests"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(lowest, above)]
    assert jobs["versions"]["strategy"]["matrix"]["resolution"] == ["lowest-direct", "highest"]
    installed = {
        word
        for job in jobs.values()
        for step in job["steps"]
        for word in re.findall(r"\.\[([\w,]+)\]", step.get("run", ""))
    }
    assert {extra for extras in installed for extra in extras.split(",")} <= set(PROJECT["optional-dependencies"])


def test_the_citation_has_the_version_and_the_licence_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_the_hooks_and_the_container_use_the_tools_of_the_extra_dev():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    tools = {re.split(r"[>=]", requirement)[0] for requirement in PROJECT["optional-dependencies"]["dev"]}
    assert {hook["entry"].split()[0] for hook in hooks} == {"ruff", "mypy"} <= tools
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert "-e '.[dev,docs]'" in container["postCreateCommand"]


def test_the_issue_templates_have_a_name_and_labelled_fields():
    for name in ("bug", "idea"):
        form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
        assert form["name"]
        assert all(field["attributes"]["label"] for field in form["body"])


def test_the_dockerfile_installs_the_locked_versions_of_a_supported_python():
    text = (ROOT / "Dockerfile").read_text()
    minor = int(re.search(r"uv venv --python 3\.(\d+)", text)[1])
    assert 11 <= minor <= 13
    assert "--require-hashes" in text
