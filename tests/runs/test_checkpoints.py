"""Checkpoints are written beside their target and take its place whole, or not at all."""

import tempfile

import pytest
import torch

from steepest.runs import checkpoints


class Killed(BaseException):
    """Stands for a process that is no more."""


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoints.save({"state_dict": {}, "global_step": 1}, path)

    def half(content, file):
        file.write(b"half")
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        patch.setattr(torch, "save", half)
        checkpoints.save({"state_dict": {}, "global_step": 2}, path)
    assert checkpoints.load(path)["global_step"] == 1
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]
    checkpoints.save({"state_dict": {}, "global_step": 2}, path)
    assert checkpoints.load(path)["global_step"] == 2


@pytest.mark.parametrize("model", ["mlp", "mlp_manual"])
def test_a_run_writes_nothing_into_the_folder_for_temporary_files(train, tmp_path, monkeypatch, model):
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    made = []
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda *a, **o: made.append(a))
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda *a, **o: made.append(a))
    train(f"model={model}", "data=random_walk", "data.rows=200", "data.window=3", "model.hidden=[4]", "stop.epochs=2")
    assert made == []
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"half a checkpoint", b"PK\x03\x04 and no more"])
def test_a_file_that_is_no_whole_checkpoint_is_refused_by_name(tmp_path, content):
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last.ckpt is not a whole checkpoint"):
        checkpoints.load(path)


def test_plain_data_that_is_no_checkpoint_is_refused(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="has no state_dict"):
        checkpoints.load(tmp_path / "x.ckpt")
