"""Constructors get the values of environment variables in configs. Records, messages and logs do not contain them."""

import json
import logging

import pandas as pd
import pytest
from conftest import composed
from omegaconf import OmegaConf

from steepest.runs import environment
from steepest.runs.config import check
from steepest.runs.environment import MaskedFormatter, masked

SECRET = 'hunter2 "quoted" <x>'


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("MY_SECRET", SECRET)
    monkeypatch.setattr(environment, "_read", {})


def test_a_constructor_gets_the_value_and_the_record_shows_the_name():
    checked = check(
        composed("data=csv", "data.path='x/${oc.env:MY_SECRET}.csv'", "objective=${oc.env:NONE_SUCH,val/loss}")
    )
    assert checked.groups["data"]().path == f"x/{SECRET}.csv"
    assert checked.plain["data"]["path"] == "x/${oc.env:MY_SECRET}.csv"
    assert checked.plain["objective"] == "val/loss", "a default is no secret"


def test_a_value_that_reaches_another_key_is_not_in_the_record():
    checked = check(
        composed(
            "data=csv", "data.path=${oc.env:MY_SECRET}", "data.date=${data.path}", "data.features=['a${data.path}']"
        )
    )
    assert SECRET not in json.dumps(checked.plain)
    assert checked.groups["data"]().features == [f"a{SECRET}"]
    again = check(OmegaConf.create(json.loads(json.dumps(checked.plain))))
    assert again.groups["data"]().features == [f"a{SECRET}"], "a resumed run reads the variable again"


def test_messages_and_logs_show_the_name_instead_of_the_value(monkeypatch):
    with pytest.raises(ValueError, match="seed=") as caught:
        check(composed("seed=${oc.env:MY_SECRET}"))
    assert "hunter2" not in masked(str(caught.value))
    assert "${oc.env:MY_SECRET}" in masked(str(caught.value))
    assert "hunter2" not in masked(json.dumps(SECRET))
    try:
        raise OSError(f"no such file: {SECRET}")
    except OSError as error:
        record = logging.LogRecord("x", logging.INFO, "x", 1, "at %s", (SECRET,), (OSError, error, error.__traceback__))
    line = MaskedFormatter("%(message)s").format(record)
    assert "hunter2" not in line
    assert line.count("${oc.env:MY_SECRET}") >= 2


def test_a_short_value_is_hidden_only_where_it_stands_alone(monkeypatch):
    monkeypatch.setattr(environment, "_read", {"PLACE": "beta", "PASSWORD": "hunter2xyz", "PACKAGE": "steepest"})
    assert masked("alphabetical order in alpha/beta") == "alphabetical order in alpha/${oc.env:PLACE}"
    assert masked("uhunter2xyz1") == "u${oc.env:PASSWORD}1"
    record = logging.LogRecord("steepest.runs", logging.INFO, "x", 1, "steepest trains", (), None)
    assert MaskedFormatter("[%(name)s] %(message)s").format(record) == "[steepest.runs] ${oc.env:PACKAGE} trains"


def test_digests_detect_another_value_and_do_not_contain_it(monkeypatch):
    before = environment.digests('{"data": {"date": "${oc.env:MY_SECRET}"}, "seed": 0}')
    assert list(before) == ["MY_SECRET"]
    assert "hunter2" not in json.dumps(before)
    assert before != environment.digests("${oc.env:MY_SECRET}"), "each digest has its own salt"
    assert environment.changed_variables(before) == []
    monkeypatch.setenv("MY_SECRET", "other")
    assert environment.changed_variables(before) == ["MY_SECRET"]


def test_no_file_of_a_finished_run_contains_a_path_from_the_environment(train, tmp_path, monkeypatch):
    path = tmp_path / "hunter2xyz.csv"
    days = pd.date_range("2000-01-01", periods=200).astype(str)
    pd.DataFrame({"date": days, "close": range(1, 201)}).to_csv(path, index=False)
    monkeypatch.setenv("MY_PRICES", str(path))
    outcome, folder = train("data=csv", "data.path=${oc.env:MY_PRICES}", "stop.epochs=1")
    assert outcome.metrics["status"] == "finished"
    assert [file for file in folder.rglob("*") if file.is_file() and b"hunter2xyz" in file.read_bytes()] == []
    train(resume=True)


@pytest.mark.slow
def test_no_file_of_a_failed_run_contains_the_value(command, tmp_path):
    answer = command("data=csv", "data.path='${oc.env:MY_SECRET}'", MY_SECRET="hunter2xyz")
    assert answer.returncode == 2
    assert "data.path=${oc.env:MY_SECRET}: there is no such file" in answer.stderr
    assert "hunter2xyz" not in answer.stderr + answer.stdout
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2xyz" in path.read_bytes()] == []
