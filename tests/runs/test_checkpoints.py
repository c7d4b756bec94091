"""A checkpoint replaces the previous one when it is complete."""

import tempfile

import pytest
import torch

from steepest.runs import checkpoints


class Killed(BaseException):
    """Raised where a process would be killed."""


def test_an_interrupted_write_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
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
def test_a_run_writes_no_temporary_files_elsewhere(train, tmp_path, monkeypatch, model):
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
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, content):
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last.ckpt is not a complete checkpoint"):
        checkpoints.load(path)


def test_a_file_without_a_state_dict_is_refused(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="has no state_dict"):
        checkpoints.load(tmp_path / "x.ckpt")
