"""The callback that looks at the Hessian: its ends as training goes, and where the descent ended."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from steepest.lightning.datamodule import windows_in_training
from steepest.evaluate.critical import Ending
from steepest.lightning.predictors import Predictor
from steepest.observe.eventfile import write_event
from steepest.observe.events import writer_of
from steepest.observe.hessian import Hessian
from steepest.observe.looks import turn


class Curvature(Hessian, Callback):
    """Writes gradient norm and eigenvalues of the training loss, and says where the descent ended.

    Looks are at the end of epochs, at evenly spaced samples of the training part, in double precision. Its options are
    those of `CurvatureSettings`.

    Attributes:
        ending: the verdict, after training; None where nothing was looked at.
    """

    ending: Ending | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at where the descent begins."""
        if trainer.global_step == 0:
            self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, if it is one's turn."""
        if turn(trainer, self.looks):
            self._look(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the descent ended."""
        if self.is_for(pl_module) and trainer.is_global_zero:
            assert isinstance(pl_module, Predictor), "curvature is of a Predictor's loss"
            batch = len(pl_module.at_hand[0]) * trainer.world_size
            self.ending = self.judged(
                pl_module, windows_in_training(trainer, pl_module), trainer.optimizers[0].param_groups[0], batch
            )

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        writer = writer_of(trainer)
        if writer is not None and self.is_for(pl_module):
            assert isinstance(pl_module, Predictor), "curvature is of a Predictor's loss"
            found = self.seen(pl_module, windows_in_training(trainer, pl_module))
            write_event(writer, list(found), list(found.values()), trainer.global_step)
