"""Access to a run's folder for lessons: config, scores, curves, parameters and data; and to the runs of a sweep.

Shapes: K updates, P numbers of all parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from steepest.data.batches import Batches
from steepest.data.windows import Batch, Windows
from steepest.lightning.build import build_model
from steepest.lightning.datamodule import WindowDataModule
from steepest.lightning.predictors import Predictor
from steepest.nets.curvature import Surface
from steepest.nets.networks import MLP
from steepest.observe.curves import Curve, read_curves
from steepest.runs.config import Checked, check
from steepest.runs.files import read_json
from steepest.sweep.results import Results, read_results
from steepest.sweep.settings import Setting, Spread

WRITTEN_BY = "the lesson needs callbacks=default and logger=tensorboard"


class Run:
    """A run, read from its folder. All tensors are in double precision on the CPU.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "config.yaml").exists():
            raise ValueError(f"{folder} is not a run's folder: it has no config.yaml")
        self.record, self.metrics = read_json(folder / "run.json"), read_json(folder / "metrics.json")

    @cached_property
    def checked(self) -> Checked:
        """The run's config, checked."""
        config = OmegaConf.load(self.folder / "config.yaml")
        assert isinstance(config, DictConfig)
        return check(config, trust=[])

    @property
    def status(self) -> str:
        """``finished``, ``failed`` or ``stopped``."""
        return str(self.record.get("status"))

    def asked(self, group: str, key: str) -> Any:
        """A value of the run's config."""
        return self.checked.plain[group][key]

    @cached_property
    def datamodule(self) -> WindowDataModule:
        """The run's data."""
        module = WindowDataModule(self.checked.groups["data"](), seed=self.checked.run.seed)
        module.setup()
        return module

    @cached_property
    def windows(self) -> Windows:
        """The run's data as tensors."""
        return self.datamodule.placed("cpu", torch.float64)

    def module(self, name: str = "last") -> Any:
        """The LightningModule at the ``last`` or the ``best`` epoch, or before the first update (``start``)."""
        module = build_model(self.checked, self.datamodule).module.double().eval()
        if name != "start":
            path = self.folder / "checkpoints" / f"{name}.ckpt"
            module.load_state_dict(torch.load(path, weights_only=True, map_location="cpu")["state_dict"])
        return module

    def predictor(self, name: str = "last") -> Predictor:
        """`module`, for runs of this package's models."""
        predictor = self.module(name)
        assert isinstance(predictor, Predictor), "the lesson needs one of this package's models"
        return predictor

    def net(self, name: str = "last") -> MLP:
        """The network of `predictor`."""
        network = self.predictor(name).network
        assert isinstance(network, MLP), "lessons on single layers train fully connected nets"
        return network

    def samples(self, part: str = "test") -> tuple[torch.Tensor, torch.Tensor]:
        """All samples of a part, as the model sees them: inputs (N, D) and targets (N, H)."""
        batch = self.windows.spread(part, len(self.windows.parts[part]))
        return batch.x_ND, batch.y_NH

    def surface(self, samples: int = 1 << 16) -> Surface:
        """The loss of the training part, or of at most `samples` of it, as a function of all parameters."""
        predictor, batch = self.predictor("start"), self.windows.spread("train", samples)
        return Surface(predictor.network, predictor.loss, batch.x_ND, batch.y_NH)

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (T, F) and targets (T,) of all rows, in the data's units."""
        windows = self.windows
        x_TF = windows.inputs_TF * windows.input_scale_SF[0] + windows.input_mean_SF[0]
        return x_TF.numpy(), windows.price_T.numpy()

    def scaled(self, x_MF: np.ndarray) -> torch.Tensor:
        """Inputs of plain rows (M, F), scaled for the model."""
        windows = self.windows
        return (torch.as_tensor(x_MF) - windows.input_mean_SF[0]) / windows.input_scale_SF[0]

    @torch.no_grad()
    def outputs(self, x_MF: np.ndarray, name: str = "last") -> np.ndarray:
        """The model's outputs for plain rows (M, F): values (M, O) in the data's units, or logits of classes."""
        windows = self.windows
        output_MO = self.module(name)(self.scaled(x_MF))
        return (output_MO if windows.classes else output_MO * windows.scale_S[0] + windows.mean_S[0]).numpy()

    def batches(self) -> Iterator[Batch]:
        """Yield the batch of each update, in the run's order."""
        dataset, seed = self.datamodule.dataset, self.checked.run.seed
        for epoch in range(int(self.metrics["epochs"])):
            number = partial(int, epoch)
            order = seed if dataset.shuffle else None
            for batch in Batches(self.windows, "train", dataset.batch_size, seed=order, epoch=number):
                assert isinstance(batch, Batch)
                yield batch

    def curves(self, *tags: str) -> dict[str, Curve]:
        """The curves with these tags in the run's event files; missing ones are left out."""
        return read_curves(self.folder, tags)

    def curve(self, tag: str) -> Curve:
        """The curve with this tag.

        Raises:
            ValueError: if there is none.
        """
        found = self.curves(tag)
        if tag not in found:
            raise ValueError(f"{self.folder} has no curve {tag}: {WRITTEN_BY}")
        return found[tag]

    def path(self) -> np.ndarray:
        """All parameters before the first and after every update (K + 1, P). The model must have few parameters."""
        network = self.predictor("start").network
        start_P = torch.cat([p.detach().flatten() for p in network.parameters()]).numpy()
        tags = [
            f"parameter/{n}[{','.join(map(str, i))}]"
            for n, p in network.named_parameters()
            for i in product(*map(range, p.shape))
        ]
        curves = self.curves(*tags)
        missing = [tag for tag in tags if tag not in curves]
        if missing:
            raise ValueError(f"{self.folder} has no curve {missing[0]}: {WRITTEN_BY}")
        after_KP = np.stack([curves[tag].values for tag in tags], 1).astype(float)
        return np.vstack([start_P, after_KP[curves[tags[0]].steps > 0]])

    def end(self) -> torch.Tensor:
        """All parameters at the end of the run (P,)."""
        return torch.cat([p.detach().flatten() for p in self.predictor().network.parameters()])

    def ending_gap(self) -> float:
        """Compare the recorded gradient norm and extreme eigenvalues at the run's end with those of autograd.

        Returns the largest difference, relative to the largest absolute eigenvalue of the Hessian.
        """
        surface, network, recorded = self.surface(), self.predictor().network, self.metrics["critical"]

        def loss(theta_P: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.mse_loss(network_by(network, theta_P, surface.x_ND), surface.y_NH)

        values_P = torch.linalg.eigvalsh(torch.func.hessian(loss)(self.end()))
        found = [torch.func.grad(loss)(self.end()).norm(), values_P[0], values_P[-1]]
        names = ("gradient_norm", "smallest_eigenvalue", "greatest_eigenvalue")
        gaps = [abs(float(value) - recorded[name]) for name, value in zip(names, found, strict=True)]
        return max(gaps) / float(values_P.abs().max())


def network_by(network: torch.nn.Module, theta_P: torch.Tensor, x_ND: torch.Tensor) -> torch.Tensor:
    """The outputs (N, O) of a net with these parameters, through its `forward`, so that autograd can differentiate."""
    named = dict(network.named_parameters())
    parts = theta_P.split([p.numel() for p in named.values()])
    shaped = {name: part.view_as(p) for (name, p), part in zip(named.items(), parts, strict=True)}
    return torch.func.functional_call(network, shaped, x_ND)


def mean_and_deviation(values: np.ndarray) -> str:
    """Mean ± standard deviation of a number over seeds."""
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


def sweep_results(folder: Path) -> Results:
    """A sweep's jobs and their scores."""
    return read_results(folder)[1]


def over_seeds(setting: Setting, column: str) -> Spread:
    """Mean and deviation of a score over a setting's jobs.

    Raises:
        ValueError: if no job has the score.
    """
    found = setting.over_seeds(column)
    if found is None:
        raise ValueError(f"no job has the score {column}, which the lesson compares")
    return found


def sweep_runs(folder: Path, *, finished: bool = True) -> list[Run]:
    """A sweep's runs, in the order of the jobs.

    Raises:
        ValueError: if `finished` and a job has not finished.
    """
    results = sweep_results(folder)
    rows = sorted(results.rows, key=lambda row: row["job"])
    left = [row for row in rows if row["status"] != "finished"]
    if finished and left:
        raise ValueError(f"job {left[0]['job']} has not finished ({left[0]['stop_reason']}): the lesson needs all jobs")
    return [Run(folder / str(row["folder"])) for row in rows]
