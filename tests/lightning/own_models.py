"""LightningModules as users write them: some follow the protocol of models, others break it."""

from functools import partial

import torch
from lightning.pytorch import LightningModule
from torch import nn

EXTRA = partial(max)  # a checkpoint of plain data cannot hold it


class Tutorial(LightningModule):
    """With everything that Lightning's tutorial has, and with layers that depend on the mode and on chance."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 8, lr: float = 1e-3, extra=EXTRA):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, outputs)
        )

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.mse_loss(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", nn.functional.mse_loss(self(x), y))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}


class Short(LightningModule):
    """The least that a model needs."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)
        self.loss = nn.L1Loss()

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return {"loss": self.loss(self(x), y)}


class Manual(Short):
    """`Short` with manual optimization and the config's optimizer."""

    def __init__(self, inputs, outputs, optimizer):
        super().__init__(inputs, outputs)
        self.automatic_optimization = False
        self.make = optimizer

    def configure_optimizers(self):
        return self.make(self.parameters())

    def training_step(self, batch, batch_idx):
        x, y = batch
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(self(x), y))
        optimizer.step()


class Picky(Short):
    """It cannot be measured in double precision."""

    def forward(self, x):
        if x.dtype == torch.float64:
            raise RuntimeError("only single precision")
        return self.layer(x)


class NotLightning(nn.Linear):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)


class NoStep(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)


class Flat(Short):
    def forward(self, x):
        return self.layer(x)[:, 0]


class Pair(Short):
    def forward(self, x):
        return self.layer(x), None


class Random(Short):
    def forward(self, x):
        return self.layer(x) + torch.randn(len(x), 1)


class Mixing(Short):
    def forward(self, x):
        return self.layer(x) - self.layer(x).mean(0)


class Explodes(Short):
    def __init__(self, inputs, outputs):
        raise RuntimeError("no network today")


class Silent(Short):
    def training_step(self, batch, batch_idx):
        return None


class Unused(Short):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.other = nn.Linear(3, 3)


class Nan(Short):
    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).sum() * float("nan")


class Faulty(Short):
    """Its step fails."""

    def training_step(self, batch, batch_idx):
        raise RuntimeError("a fault of the user's own")


class Fixed(LightningModule):
    """Its sizes are its own, and it keeps no hyper-parameters."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.mse_loss(self(x), y)


class Two(Short):
    """Two optimizers, which automatic optimization cannot use."""

    def configure_optimizers(self):
        return [torch.optim.SGD(self.parameters(), lr=0.1), torch.optim.SGD(self.parameters(), lr=0.1)]


class Mixed(Short):
    """Parameters of two precisions."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.layer.bias.data = self.layer.bias.data.double()
