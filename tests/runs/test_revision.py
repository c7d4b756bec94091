"""The record has the checkout's revision, and finding it starts no program of the repository or the environment."""

import os
import subprocess

import pytest

from steepest.runs.revision import checkout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """`repository(config)` makes a repository with this configuration. It returns (folder, marker)."""
    marker = tmp_path / "marker"

    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@y", *words], cwd=folder, check=True, capture_output=True
        )

    folder = tmp_path / "repository" / "src"
    folder.mkdir(parents=True)
    git("init", "-q", "..")
    (folder / "file").write_text("one\n")
    (folder / "odd.filtered").write_text("one\n")
    git("add", "-A")
    git("commit", "-qm", "x")
    checkout.cache_clear()
    yield folder, marker
    checkout.cache_clear()


def revision(folder):
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_revision_and_changes_are_those_of_git(repository):
    folder, _ = repository
    assert checkout(folder) == {"revision": revision(folder), "dirty": False}
    checkout.cache_clear()
    (folder.parent / ".git" / "info" / "exclude").write_text("ignored\n")
    (folder / "ignored").write_text("x")
    assert checkout(folder)["dirty"] is False
    checkout.cache_clear()
    (folder / "file").write_text("two\n")
    assert checkout(folder) == {"revision": revision(folder), "dirty": True}


def test_an_untracked_file_is_a_change(repository):
    folder, _ = repository
    (folder / "new").write_text("x")
    assert checkout(folder)["dirty"] is True


def test_outside_a_checkout_there_is_no_revision(tmp_path):
    checkout.cache_clear()
    assert checkout(tmp_path) == {"revision": None, "dirty": None}


CONFIG = {
    "fsmonitor": "[core]\n\tfsmonitor = touch MARK; false\n",
    "hooks": "[core]\n\thooksPath = BIN\n",
    "clean filter": '[filter "x"]\n\tclean = touch MARK; cat\n\tsmudge = touch MARK; cat\n\tprocess = touch MARK\n',
    "alias": "[alias]\n\tstatus = !touch MARK\n\trev-parse = !touch MARK\n",
    "include": "[include]\n\tpath = BIN/more\n",
    "pager and editor": "[core]\n\tpager = touch MARK\n\teditor = touch MARK\n\tsshCommand = touch MARK\n[pager]\n\tstatus = touch MARK\n",
    "diff": '[diff]\n\texternal = touch MARK\n[diff "x"]\n\ttextconv = touch MARK\n\tcommand = touch MARK\n',
    "credential": "[credential]\n\thelper = !touch MARK\n[gpg]\n\tprogram = touch MARK\n[uploadpack]\n\tpackObjectsHook = touch MARK\n",
}


@pytest.mark.parametrize("name", CONFIG)
@pytest.mark.parametrize("where", ["repository", "environment", "home"])
def test_git_does_not_start_a_program_that_a_configuration_names(repository, tmp_path, monkeypatch, name, where):
    folder, marker = repository
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in (
        "git",
        "touch",
        "post-index-change",
        "post-checkout",
        "reference-transaction",
        "git-status",
        "git-rev-parse",
    ):
        (programs / program).write_text(f"#!/bin/sh\n/usr/bin/touch {marker}\n")
        (programs / program).chmod(0o755)
    text = CONFIG[name].replace("MARK", str(marker)).replace("BIN", str(programs))
    (programs / "more").write_text(CONFIG["fsmonitor"].replace("MARK", str(marker)))
    (folder.parent / ".gitattributes").write_text("*.filtered filter=x diff=x\n")
    (folder / "odd.filtered").write_text("two\n")  # filters run on changed files
    if where == "repository":
        with (folder.parent / ".git" / "config").open("a") as config:
            config.write(text)
    elif where == "home":
        (tmp_path / ".gitconfig").write_text(text)
        monkeypatch.setenv("HOME", str(tmp_path))
    else:
        (tmp_path / "config").write_text(text)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
        monkeypatch.setenv("GIT_EXEC_PATH", str(programs))
        monkeypatch.setenv("GIT_PAGER", f"touch {marker}")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert checkout(folder)["dirty"] is True
    assert not marker.exists()


def test_the_payloads_of_these_tests_work(repository, tmp_path):
    """An ordinary git command runs them."""
    folder, marker = repository
    with (folder.parent / ".git" / "config").open("a") as config:
        config.write(CONFIG["fsmonitor"].replace("MARK", str(marker)))
    subprocess.run(["git", "status"], cwd=folder, capture_output=True, check=True)
    assert marker.exists()
