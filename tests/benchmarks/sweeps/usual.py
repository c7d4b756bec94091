"""The usual kind of sweep: a Hydra app that trains the usual Lightning module, one job after the other.

python usual.py -m data=DATA.npz rate=0.01,0.1 seed=0,1
"""

import warnings
from dataclasses import dataclass

import hydra
import lightning
import numpy as np
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Config:
    """The options of a job."""

    data: str = ""
    rate: float = 0.01
    seed: int = 0
    epochs: int = 20


ConfigStore.instance().store("config", Config)


class Module(lightning.LightningModule):
    """A LightningModule as in a tutorial."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(28, 64), nn.Sigmoid(), nn.Linear(64, 1))
        self.rate = rate

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.mse_loss(self.network(x), y)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val/loss", nn.functional.mse_loss(self.network(x), y))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.rate)


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def train(config: Config) -> float:
    """Train one net; the best validation loss."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    lightning.seed_everything(config.seed, verbose=False)
    arrays = np.load(config.data)
    parts = [TensorDataset(*(torch.tensor(arrays[f"{p}_{k}"]) for k in "xy")) for p in ("train", "val")]
    folder = HydraConfig.get().runtime.output_dir
    best = ModelCheckpoint(folder, monitor="val/loss")
    trainer = lightning.Trainer(
        max_epochs=config.epochs, accelerator="cpu", logger=TensorBoardLogger(folder, name="", version=""),
        callbacks=[best], enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loaders = DataLoader(parts[0], 64, shuffle=True), DataLoader(parts[1], 1024)
    trainer.fit(Module(config.rate), *loaders)
    return float(best.best_model_score)


if __name__ == "__main__":
    train()
