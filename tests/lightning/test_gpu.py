"""Runs on a GPU, compared with the same runs on the CPU.

pytest tests/lightning/test_gpu.py -n 4
"""

import json
import re

import pytest
import torch
from conftest import NO_PICTURES, QUIET, read_scalars

from steepest import MLPPredictor, load

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
WALK = ("data=random_walk", "data.rows=400", "data.window=5", "data.transform=log_return", "stop.epochs=3")
RINGS = ("data=rings", "stop.epochs=3", "objective=val/cross_entropy")
MODELS = {
    "linear": [],
    "mlp": ["model.hidden=[8,6]"],
    "linear_manual": [],
    "mlp_manual": ["model.hidden=[8,6]"],
}
every_model = pytest.mark.parametrize("model", MODELS)


def assert_agree(on_gpu, on_cpu, rel):
    """Assert that two runs have the same scores for every part, and ended in the same way."""
    for part in ("train", "val", "test"):
        assert on_gpu.metrics[part] == pytest.approx(on_cpu.metrics[part], rel=rel, abs=1e-9), part
    for key in ("updates", "epochs", "stop_reason"):
        assert on_gpu.metrics[key] == on_cpu.metrics[key]


@every_model
@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "cross_entropy"])
def test_every_model_and_loss_agrees_with_the_cpu_to_1e_4(train, model, loss):
    task = RINGS if loss == "cross_entropy" else WALK
    settings = (*task, f"model={model}", *MODELS[model], f"model.loss={loss}")
    on_cpu, _ = train(*settings, name="cpu")
    on_gpu, folder = train(*settings, "trainer=gpu", name="gpu")
    assert_agree(on_gpu, on_cpu, 1e-4)
    record = json.loads((folder / "run.json").read_text())
    assert record["device"] == torch.cuda.get_device_name()
    if model.endswith("_manual"):
        assert record["engine"] == "textbook"
        assert "the device is cuda" in json.dumps(record)


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh", "hard_sigmoid", "identity"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
def test_every_activation_and_optimizer_agrees_with_the_cpu_in_double_precision(train, activation, optimizer):
    settings = (
        *WALK, "model=mlp_manual", "model.hidden=[8,6]", f"model.activation={activation}", f"optimizer={optimizer}",
        "trainer.gradient_clip_val=0.1", "trainer.precision=64-true",
    )  # fmt: skip
    on_cpu, cpu = train(*settings, name="cpu")
    on_gpu, gpu = train(*settings, "trainer=gpu", name="gpu")
    assert_agree(on_gpu, on_cpu, 1e-9)
    expected, found = read_scalars(cpu), read_scalars(gpu)
    assert expected.keys() == found.keys()
    norms = [tag for tag in expected if tag.startswith("gradient_norm/")]
    assert norms
    for tag in ("train/loss", *norms):
        assert found[tag].to_list() == pytest.approx(expected[tag].to_list(), rel=1e-4, abs=1e-12), tag


@every_model
def test_a_resumed_run_gives_the_numbers_of_an_uninterrupted_one(train, model):
    settings = (*WALK, f"model={model}", *MODELS[model], "trainer=gpu", "optimizer=adam")
    whole, expected = train(*settings, name="whole")
    train(*settings, "stop.updates=13", name="stopped")
    resumed, folder = train("stop.updates=1000", name="stopped", resume=True)
    assert resumed.metrics["test"] == whole.metrics["test"]
    ends = [torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in (expected, folder)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_textbook_does_not_resume_a_run_of_the_kernel(train):
    train(*WALK, "model=mlp_manual", "stop.epochs=2")
    with pytest.raises(ValueError, match=r"kernel.*textbook|textbook.*kernel"):
        train("trainer.accelerator=gpu", "stop.epochs=4", resume=True)


@pytest.mark.parametrize("callbacks", ["audit", "parity", "noise", "steps", "curvature", "escape"])
@pytest.mark.parametrize("model", ["mlp", "mlp_manual"])
def test_every_instrument_works_on_the_gpu(train, model, callbacks):
    if (model, callbacks) == ("mlp", "parity"):
        pytest.skip("parity compares the gradients derived by hand with autograd's")
    outcome, folder = train(*WALK, f"model={model}", "model.hidden=[8]", f"+callbacks={callbacks}", "trainer=gpu")
    curves = read_scalars(folder)
    assert outcome.metrics["updates"] == len(curves["train/loss"])
    assert curves["speed/memory"].max() > 0


def test_pictures_are_drawn_and_the_checkpoint_loads_on_the_cpu(train):
    _, folder = train(*WALK, "model=mlp_manual", "trainer=gpu", pictures=True)
    assert {"prediction.png", "loss.png"} <= {path.name for path in (folder / "figures").iterdir()}
    model = MLPPredictor.load_from_checkpoint(folder / "checkpoints/best.ckpt", map_location="cpu", weights_only=True)
    assert next(model.parameters()).device.type == "cpu"


@every_model
def test_a_trained_run_is_used_on_the_cpu(train, model):
    outcome, folder = train(*WALK, f"model={model}", *MODELS[model], "trainer=gpu")
    run = load(folder)
    found = run.evaluate().model["test"]
    assert found == pytest.approx({name: outcome.metrics["test"][name] for name in found}, rel=1e-4, abs=1e-9)
    assert run.predict()["prediction"].notna().all()


@pytest.mark.parametrize("launcher", ["basic", "processes", "threads", "joblib"])
def test_every_launcher_trains_on_the_gpu(command, tmp_path, launcher):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[joblib]'")
    answer = command(
        "-m", "model=mlp_manual", "model.hidden=[8]", "seed=1,2", *WALK, "trainer=gpu", f"hydra/launcher={launcher}",
        f"hydra.sweep.dir={tmp_path}/sweep", QUIET, NO_PICTURES,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    records = [json.loads(file.read_text()) for file in sorted((tmp_path / "sweep").glob("*/run.json"))]
    assert [record["status"] for record in records] == ["finished", "finished"]
    assert {record["device"] for record in records} == {torch.cuda.get_device_name()}
    if launcher == "threads":  # it trains only on the CPU, and logs why these jobs run one at a time
        assert re.search(r"gpu", answer.stdout + answer.stderr)
