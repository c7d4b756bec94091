"""The shell completes commands and overrides."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from steepest.runs.composed import completed_override

BIN = Path(sys.executable).parent
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
# What an interactive bash does at a Tab: it splits the line at COMP_WORDBREAKS, and calls the registered function.
TAB = """
tab() {
    COMP_LINE="$1" COMP_POINT=${#1} COMP_WORDS=($2) COMP_CWORD=$(( $(set -- $2; echo $#) - 1 )) COMPREPLY=()
    $FUNCTION "${1%% *}"
    echo "${COMPREPLY[*]}"
}
"""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["model=ml"], ["model=mlp", "model=mlp_manual"]),
        (["-m", "model=mlp", "optimizer=a"], ["optimizer=adam", "optimizer=adamw"]),
        (["stop.ep"], ["stop.epochs=50"]),  # the value of the config, to be changed
        (["model=mlp", "model.hid"], ["model.hidden=[", "model.hidden=[]"]),
        (["hydra/launcher=th"], ["hydra/launcher=threads"]),
        (["nothing_starts_like_this"], []),
    ],
)
def test_an_override_is_completed(words, found):
    assert completed_override(words) == found


def test_a_choice_of_the_project_is_completed(tmp_path, monkeypatch):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mlp_mine.yaml").write_text("hidden: [3]\n")
    monkeypatch.chdir(tmp_path)
    assert completed_override(["model=mlp_mi"]) == ["model=mlp_mine"]


def bash(script: str, folder: Path) -> str:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    done = subprocess.run(
        ["bash", "--norc", "-c", TAB + script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == "", done.stderr
    return done.stdout


@needs_bash
@pytest.mark.slow
def test_bash_completes_commands_and_overrides_of_steepest(tmp_path):
    script = """
    eval "$(steepest --show-completion bash)"
    FUNCTION=$(complete -p steepest | grep -o '_[a-z_]*completion')
    tab 'steepest doc' 'steepest doc'
    tab 'steepest train model=ml' 'steepest train model = ml'
    tab 'steepest train model=' 'steepest train model ='
    tab 'steepest train -m model=mlp_manual optimizer=a' 'steepest train -m model = mlp_manual optimizer = a'
    tab 'steepest gradcheck model=dl' 'steepest gradcheck model = dl'
    tab 'steepest train model=[ model=ml' 'steepest train model = [ model = ml'
    """
    assert bash(script, tmp_path).splitlines() == [
        "doctor",
        "mlp mlp_manual",
        "dlinear gru linear linear_manual lstm mlp mlp_manual nlinear rlinear tcn",
        "adam adamw",
        "dlinear",
        "",  # the command line has an error: nothing is completed and nothing is printed
    ]


@needs_bash
@pytest.mark.slow
def test_bash_completes_overrides_of_train_py(tmp_path):
    for name in ("train.py", "conf"):
        (tmp_path / name).symlink_to(ROOT / name)
    script = """
    eval "$(python train.py -sc install=bash)"
    FUNCTION=hydra_bash_completion
    tab 'python train.py model=ml' 'python train.py model=ml'
    """
    assert bash(script, tmp_path) == "model=mlp model=mlp_manual\n"
