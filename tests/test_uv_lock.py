"""`uv.lock` fits pyproject.toml, has a hash for each file, and names no registry other than PyPI."""

import re
import tomllib
from importlib.metadata import version

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {package["name"]: package for package in LOCK["package"]}


def test_the_lock_names_no_registry_but_pypi():
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


def test_every_file_has_a_hash():
    for name, package in PINS.items():
        if name != PROJECT["name"]:
            files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
            assert files, name
            assert all(file["hash"].startswith("sha256:") for file in files), name


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_every_pinned_version_satisfies_pyproject_toml(extra):
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in PINS, f"{name}: run uv lock"
        pinned = PINS[name]["version"]
        assert requirement.specifier.contains(pinned), f"{name} {pinned} is not {requirement.specifier}: run uv lock"


def test_the_lock_has_the_version_of_the_project():
    assert PINS[PROJECT["name"]]["version"] == PROJECT["version"] == version(PROJECT["name"])
    assert LOCK["requires-python"] == ">=3.11, <3.14"
