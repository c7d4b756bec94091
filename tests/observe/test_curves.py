"""The quick reader of curves against TensorBoard's reader."""

import numpy as np
import pytest
from conftest import read_scalars

from steepest.observe.curves import Curve, read_curves, thinned
from steepest.observe.eventfile import EventFile, encode


@pytest.fixture
def events(tmp_path):
    """`events(tags, values)` writes an event file with one row per update, and rows of other tags in between."""

    def start(tags, values_KC, first=1):
        file, steps = EventFile.begin(tmp_path), np.arange(first, first + len(values_KC))
        file.write(encode(tags, values_KC, steps, steps.astype(float)))
        file.write(encode(["noise", "val/mse_scaled_not"], values_KC[:, :2], steps, steps.astype(float)))
        file.close()
        return max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)

    return start


def test_curves_equal_those_that_tensorboard_reads(events, tmp_path):
    values = np.random.default_rng(0).normal(size=(500, 3))
    values[7, 0] = np.inf
    events(["val/mse", "val/mse_scaled", "train/full_loss"], values)
    curves, oracle = read_curves(tmp_path, ["val/mse", "train/full_loss", "not there"]), read_scalars(tmp_path)
    assert set(curves) == {"val/mse", "train/full_loss"}
    for tag, curve in curves.items():
        assert curve.steps.tolist() == oracle[tag].index.tolist()
        assert curve.values.tolist() == oracle[tag].tolist()


def test_the_values_of_a_resumed_run_replace_earlier_ones(events, tmp_path):
    events(["a", "b"], np.zeros((10, 2)))
    events(["a", "b"], np.ones((10, 2)), first=6)
    assert read_curves(tmp_path, ["a"])["a"].values.tolist() == [0.0] * 5 + [1.0] * 10


def test_an_unfinished_last_record_is_ignored_and_a_damaged_record_is_refused(events, tmp_path):
    path = events(["a", "b"], np.zeros((10, 2)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    assert 0 < len(read_curves(tmp_path, ["a"])["a"].steps) < 10
    place = whole.index(b"\x01a") + 8
    path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
    with pytest.raises(ValueError, match="damaged"):
        read_curves(tmp_path, ["a"])


def test_a_folder_without_event_files_has_no_curves(tmp_path):
    assert read_curves(tmp_path, ["a"]) == {}


def test_a_thinned_curve_keeps_both_ends_and_the_chosen_point():
    curve = Curve(np.arange(1000), np.arange(1000.0))
    few = thinned(curve, 200, keep=501)
    assert len(few.steps) <= 201
    assert {0, 501, 999} <= set(few.steps)
    assert (few.steps == few.values).all()
    assert thinned(few, 300) is few
