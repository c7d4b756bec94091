"""From planned jobs to their folders: jobs of a kind are trained as one, as many as the cache or device holds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from steepest.data.datamodule import Batches, WindowDataModule
from steepest.evaluate.evaluation import Evaluator
from steepest.evaluate.references import reference_losses
from steepest.models.networks import MLP
from steepest.sweep.batched.checkpoints import Checkpoints
from steepest.sweep.batched.folders import Folders
from steepest.sweep.batched.members import Member
from steepest.sweep.batched.training import Training
from steepest.sweep.batched.watch import Watch
from steepest.sweep.compose import Texts
from steepest.training.config import Checked
from steepest.training.record import data_facts, device_name
from steepest.training.run import build_model, check_objective

CACHE = 1 << 20  # bytes of a core's own cache, where the machine does not say
SHARE_OF_DEVICE = 0.5  # of a GPU's free memory that a group may take


@dataclass(frozen=True)
class Job:
    """One job of a sweep, planned.

    Attributes:
        number: in the sweep.
        folder: its own.
        overrides: what the user asked of it.
        checked: its config.
        texts: of the files that say what was asked.
    """

    number: int
    folder: Path
    overrides: list[str]
    checked: Checked
    texts: Texts


class Group:
    """Jobs of one kind: what they share is made once.

    Args:
        jobs: of one kind (`fits.kind_of`).
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        checked = jobs[0].checked
        torch.set_num_threads(1)  # small products lose time on more; the groups share the cores
        self.trainer: Trainer = checked.groups["trainer"](logger=False, callbacks=[])
        self.device = self.trainer.strategy.root_device
        self.dtype = torch.float64 if self.trainer.precision == "64-true" else torch.float32
        self.datamodule = WindowDataModule(checked.groups["data"](), seed=checked.run.seed)
        self.datamodule.setup()
        check_objective(checked.run.objective, self.datamodule.windows)
        self.windows = self.datamodule.placed(self.device, self.dtype)
        # Scores at the end are taken on the CPU, as of a run by itself.
        self.evaluator = Evaluator(self.datamodule.placed("cpu", self.dtype))
        self.exams = Evaluator(self.windows).exams if self.device.type != "cpu" else self.evaluator.exams
        self.callbacks = [callback() for callback in checked.groups["callbacks"].values()]
        first = self.member(jobs[0])
        self.references = {
            f"reference/{name}": loss
            for name, loss in reference_losses(first.predictor.to(self.device, self.dtype), self.windows).items()
        }
        self.folders = Folders(
            self.datamodule,
            data_facts(self.datamodule),
            device_name(self.device),
            self.evaluator,
            Checkpoints(self.trainer, len(self.batches(checked.run.seed))),
            events=bool(checked.groups["logger"]),
        )

    def batches(self, seed: int) -> Batches:
        """The training part's batches, in the order of (seed, epoch)."""
        dataset = self.datamodule.dataset
        return Batches(
            self.windows,
            "train",
            dataset.batch_size,
            seed=seed if dataset.shuffle else None,
            one_batch=dataset.one_batch,
        )

    def member(self, job: Job) -> Member:
        """A job's run before its first update.

        Raises:
            ValueError: for what cannot be trained on.
        """
        predictor = build_model(job.checked, self.datamodule)
        made = predictor.configure_optimizers()
        optimizer, scheduler = (
            (made["optimizer"], made["lr_scheduler"]["scheduler"]) if isinstance(made, dict) else (made, None)
        )
        arguments = job.checked.groups["trainer"].arguments
        return Member(
            job.number, job.folder, job.overrides, job.checked, predictor, optimizer, scheduler,
            job.checked.groups["stop"](), arguments.get("gradient_clip_val") or None,
        )  # fmt: skip

    def train(self, jobs: Sequence[Job], ended: Callable[[Member], None]) -> None:
        """Train these jobs at once; `ended` is called with each as its folder is whole."""
        members = [self.member(job) for job in jobs]
        for member, job in zip(members, jobs, strict=True):
            self.folders.begin(member, job.texts)
        watch = Watch(self.callbacks, self.references, self.windows)
        began = time.perf_counter()

        def finish(member: Member) -> None:
            member.seconds = (time.perf_counter() - began) / len(members)
            member.predictor.to("cpu")
            self.folders.end(member)
            ended(member)

        exams = [self.exams[part] for part in ("train", "val") if part in self.exams]
        Training(members, exams, self.batches, watch, finish).run()

    def at_once(self, jobs: Sequence[Job]) -> int:
        """How many of these jobs are trained at once: what their numbers take of the cache, or of the device."""
        network = self.member(jobs[0]).predictor.network
        need = bytes_of_a_run(network, self.batches(jobs[0].checked.run.seed).size, self.dtype.itemsize)
        room = SHARE_OF_DEVICE * torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else cache_size()
        return max(1, int(room / need))


def bytes_of_a_run(network: MLP, batch: int, size: int) -> int:
    """What one run's update touches: parameters, gradient and momentum, inputs, and two numbers a unit and sample."""
    parameters = sum(p.numel() for p in network.parameters())
    widths = [w.shape[1] for w, _ in network.layers()], [w.shape[0] for w, _ in network.layers()]
    return size * (3 * parameters + batch * (widths[0][0] + 2 * sum(widths[1])))


def cache_size() -> int:
    """Bytes of a core's own (second-level) cache."""
    name = "SC_LEVEL2_CACHE_SIZE"
    return (os.sysconf(name) if name in os.sysconf_names else 0) or CACHE
