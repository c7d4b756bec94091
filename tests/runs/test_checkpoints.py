"""Only a complete checkpoint replaces the previous one. A damaged one is detected, and the previous one is used."""

import tempfile

import pytest
import torch

from steepest.runs import checkpoints
from steepest.runs.checkpoints import CONFIG, DATA, LAST, PREVIOUS, TRACKER


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
    checkpoints.save({"weights": torch.ones(2)}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="has no state_dict"):
        checkpoints.load(tmp_path / "x.ckpt")


def state(updates):
    return {
        "epoch": updates, "global_step": updates, "batches": 1, "state_dict": {"w": torch.arange(3.0)}, DATA: {},
        CONFIG: {"sha256": "ab", "variables": {}}, "optimizer_states": [], "lr_schedulers": [],
        "callbacks": {
            TRACKER: {
                "updates": updates, "gradients": {}, "samples": 1, "batch": 1, "batches": 1, "engine": "kernel",
                "world": 1, "history": [], "best": None, "rule": {}, "reason": "", "first_loss": None, "instruments": {}, "events": 0,
            }
        },
    }  # fmt: skip


def test_a_changed_byte_is_detected(tmp_path):
    path = tmp_path / LAST
    checkpoints.save(state(7), path)
    assert checkpoints.load(path)["global_step"] == 7
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"last\.ckpt is not a complete checkpoint.*its checksum differs"):
            checkpoints.load(path)
    path.write_bytes(whole)
    assert torch.load(path, weights_only=True)["global_step"] == 7, "plain PyTorch reads it, too"


@pytest.mark.parametrize("damage", ["truncated", "empty", "another file", "gone"])
def test_the_previous_checkpoint_is_used_if_the_last_one_is_damaged(tmp_path, caplog, damage):
    assert checkpoints.newest(tmp_path) is None
    last = tmp_path / LAST
    checkpoints.save(state(7), last)
    checkpoints.save(state(14), last)
    assert checkpoints.newest(tmp_path)[1]["global_step"] == 14
    assert not caplog.messages
    if damage == "gone":
        last.unlink()
    elif damage == "another file":
        checkpoints.save({"state_dict": {}}, tmp_path / "best.ckpt")
        (tmp_path / "best.ckpt").replace(last)
    else:
        last.write_bytes(last.read_bytes()[: 200 if damage == "truncated" else 0])
    path, content = checkpoints.newest(tmp_path)
    assert (path.name, content["global_step"]) == (PREVIOUS, 7)
    if damage != "gone":
        (message,) = caplog.messages
        assert message.startswith(str(last))
        assert message.endswith("the run continues from previous.ckpt, update 7")
        path.write_bytes(b"")
        with pytest.raises(ValueError, match=r"last\.ckpt is not .*previous\.ckpt is not .*Restore a copy"):
            checkpoints.newest(tmp_path)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda c: c.pop("optimizer_states"), "optimizer_states"),
        (lambda c: c.update(callbacks={}), "callbacks.steepest"),
        (lambda c: c["callbacks"][TRACKER].update(updates="many"), "callbacks.steepest.updates"),
        (lambda c: c["callbacks"][TRACKER].pop("rule"), "callbacks.steepest.rule"),
        (lambda c: c.update({CONFIG: {}}), f"{CONFIG}.sha256"),
        (lambda c: c.update(state_dict={"w": 1.0}), "state_dict.w"),
    ],
)
def test_a_checkpoint_with_other_content_is_refused_with_the_name_of_the_entry(tmp_path, change, where):
    content = state(7)
    change(content)
    checkpoints.save(content, tmp_path / LAST)
    with pytest.raises(ValueError, match=rf"last\.ckpt is not a checkpoint of a run of train\.py \({where}: "):
        checkpoints.newest(tmp_path)


def test_a_checkpoint_of_another_program_is_not_called_damaged(tmp_path):
    torch.save(state(7), tmp_path / LAST)
    with pytest.raises(ValueError, match="it has no checksum: an earlier version of steepest, or another program"):
        checkpoints.newest(tmp_path)
