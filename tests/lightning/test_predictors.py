"""The LightningModules with plain loaders of pairs."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from steepest import LinearPredictor, ManualPredictor, MLPPredictor, RandomWalk, WindowDataModule
from steepest.evaluate.blocks import outputs_at
from steepest.lightning.predictors import Diverged

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a `validation_step`")


def plain_trainer(epochs: int) -> Trainer:
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return Trainer(max_epochs=epochs, accelerator="cpu", **dict.fromkeys(off, False))


@pytest.mark.parametrize("validation", [True, False])
@pytest.mark.parametrize("kind", [LinearPredictor, partial(ManualPredictor, hidden=[])])
def test_a_predictor_fits_any_loader_of_pairs(kind, validation):
    x = torch.linspace(-1, 1, 32).unsqueeze(1)
    loader = DataLoader(TensorDataset(x, 3 * x - 1), batch_size=8)
    model = kind(1, 1, optimizer=partial(torch.optim.SGD, lr=0.3))
    trainer = plain_trainer(100)
    trainer.fit(model, loader, loader if validation else None)
    assert model.network.W1.item() == pytest.approx(3, abs=1e-4)
    assert model.network.b1.item() == pytest.approx(-1, abs=1e-4)
    assert not validation or trainer.callback_metrics["val/loss"].item() < 1e-8


@pytest.mark.parametrize("kind", [MLPPredictor, ManualPredictor])
def test_a_trainer_tests_and_predicts_the_test_part(kind):
    data = WindowDataModule(RandomWalk(rows=300, window=5, relative_to_last=True))
    data.setup()
    model, trainer = kind(5, 1, hidden=[4]), plain_trainer(1)
    trainer.fit(model, datamodule=data)
    windows = data.placed("cpu", torch.float32)
    origin_N = windows.parts["test"].origins(torch.arange(len(windows.parts["test"])))
    outputs_NO = outputs_at(model, windows, origin_N)
    torch.testing.assert_close(torch.cat(trainer.predict(model, datamodule=data)), outputs_NO)
    (logged,) = trainer.test(model, datamodule=data, verbose=False)
    assert logged["test/loss"] == pytest.approx(((outputs_NO - windows.targets(origin_N)) ** 2).mean().item(), rel=1e-6)


def test_an_update_is_refused_if_its_loss_is_not_finite():
    model = MLPPredictor(1, 1, hidden=[3])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    loader = DataLoader(TensorDataset(torch.ones(2, 1), torch.full((2, 1), float("inf"))), batch_size=2)
    trainer = plain_trainer(1)
    with pytest.raises(Diverged, match="loss is inf at update 1 .*lower optimizer.lr"):
        trainer.fit(model, loader)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_batchs_share_weights_its_loss():
    model = LinearPredictor(1, 1)
    model.trainer = plain_trainer(1)
    x, y = torch.ones(4, 1), torch.zeros(4, 1)
    whole = model.training_step((x, y), 0)
    assert model.training_step((x, y, 0.25), 0).item() == pytest.approx(whole.item() / 4)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="model.loss=mqe must be one of mse, mae"):
        LinearPredictor(1, 1, loss="mqe")  # type: ignore[arg-type]
