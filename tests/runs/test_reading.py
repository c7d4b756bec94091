"""The message about a damaged file of a record names the file and the fix."""

import pytest

from steepest.runs.files import read_json, write_text

DAMAGED = {
    "no JSON": "{",
    "no object": "[1]",
    "deep": "[" * 100_000,
    "another type": '{"overrides": 3}',
    "an entry of another type": '{"overrides": [{"a": 1}]}',
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_the_message_about_a_damaged_run_json_has_the_fix(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run.json cannot be read \(.+\): restore it from a copy, or remove it"):
        read_json(tmp_path / "run.json")


def test_a_folder_or_a_link_to_itself_gives_a_message(tmp_path):
    (tmp_path / "job.json").mkdir()
    (tmp_path / "run.json").symlink_to("run.json")
    for name in ("job.json", "run.json"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            read_json(tmp_path / name)


def test_unknown_entries_are_read_and_a_missing_file_gives_an_empty_record(tmp_path):
    (tmp_path / "metrics.json").write_text('{"mine": [1], "seconds": 2}')
    assert read_json(tmp_path / "metrics.json") == {"mine": [1], "seconds": 2}
    assert read_json(tmp_path / "run.json") == {}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_text(path, "old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
