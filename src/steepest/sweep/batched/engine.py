"""From planned jobs to their folders: jobs of a kind are trained as one, as many as the cache or device holds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import torch
from threadpoolctl import threadpool_limits

from steepest.data.batches import Batches, PreparedData
from steepest.evaluate.evaluation import Evaluator
from steepest.evaluate.references import reference_losses
from steepest.sweep.batched import parts
from steepest.sweep.batched.checkpoints import Checkpoints
from steepest.sweep.batched.fits import of_rows
from steepest.sweep.batched.folders import Folders
from steepest.sweep.batched.members import Member
from steepest.sweep.batched.plan import Job
from steepest.sweep.batched.sizes import fastest, padded, pieces
from steepest.sweep.batched.training import Training
from steepest.sweep.batched.watch import Watch
from steepest.runs.checks import check_objective
from steepest.runs.config import Checked
from steepest.runs.process import keep_freed_memory
from steepest.runs.record import data_facts, device_name


class Ground:
    """What jobs on the same data, device and precision share, made once.

    Args:
        checked: the config of one of them.
        data: theirs, not read yet; made from the config when None.

    Raises:
        ValueError: with every fault of the data, and for an objective that they do not have.
    """

    def __init__(self, checked: Checked, data: PreparedData | None = None) -> None:
        torch.set_num_threads(1)  # small products lose time on more; the processes share the cores
        threadpool_limits(1, "blas")
        keep_freed_memory()
        self.device, self.dtype = parts.placement(checked)
        self.data = PreparedData(checked.groups["data"](), seed=checked.run.seed) if data is None else data
        self.data.setup()
        check_objective(checked.run.objective, self.data.windows)
        self.windows = self.data.placed(self.device, self.dtype)
        # Scores at the end are taken on the CPU, as of a run by itself.
        self.evaluator = Evaluator(self.data.placed("cpu", self.dtype))
        self.exams = Evaluator(self.windows).exams if self.device.type != "cpu" else self.evaluator.exams
        self.facts = data_facts(self.data)

    def batches(self, seed: int) -> Batches:
        """The training part's batches, in the order of (seed, epoch)."""
        dataset = self.data.dataset
        return Batches(
            self.windows,
            "train",
            dataset.batch_size,
            seed=seed if dataset.shuffle else None,
            one_batch=dataset.one_batch,
        )


class Group:
    """Jobs of one kind: what they share is made once.

    Args:
        jobs: of one kind (`fits.kind_of`).
        ground: of their data.
    """

    def __init__(self, jobs: Sequence[Job], ground: Ground) -> None:
        checked = jobs[0].checked
        self.ground, self.windows = ground, ground.windows
        self.device, self.dtype = ground.device, ground.dtype
        self.callbacks = [parts.part(callback) for callback in checked.groups["callbacks"].values()]
        first = self.member(jobs[0])
        self.references = {
            f"reference/{name}": loss
            for name, loss in reference_losses(first.predictor.to(self.device, self.dtype), self.windows).items()
        }
        self.folders = Folders(
            ground.data.windows,
            ground.facts,
            device_name(self.device),
            ground.evaluator,
            Checkpoints(len(ground.batches(checked.run.seed))),
            events=bool(checked.groups["logger"]),
        )

    def member(self, job: Job) -> Member:
        """A job's run before its first update.

        Raises:
            ValueError: for what cannot be trained on.
        """
        model = parts.model(job.checked, self.ground.data.windows)
        optimizer, scheduler = parts.descent(job.checked, model)
        arguments = job.checked.groups["trainer"].arguments
        return Member(
            job.number, job.folder, job.overrides, job.checked, model, optimizer, scheduler,
            parts.part(job.checked.groups["stop"]), arguments.get("gradient_clip_val") or None,
        )  # fmt: skip

    def train(self, jobs: Sequence[Job], ended: Callable[[Member], None]) -> None:
        """Train these jobs at once; `ended` is called with each as its folder is whole."""
        members = [self.member(job) for job in jobs]
        for member, job in zip(members, jobs, strict=True):
            self.folders.begin(member, job.texts)
        watch = Watch(self.callbacks, self.references, self.windows)
        began = time.perf_counter()

        def finish(some: Sequence[Member]) -> None:
            for member in some:
                member.seconds = (time.perf_counter() - began) / len(members)
                member.predictor.to("cpu")
            self.folders.end(some, ended)

        exams = [self.ground.exams[part] for part in ("train", "val") if part in self.ground.exams]
        Training(members, exams, self.ground.batches, watch, self.folders.write, finish).run()

    def pieces(self, jobs: Sequence[Job], at_once: int | None) -> list[list[Job]]:
        """Jobs of this kind in groups to be trained at once.

        Args:
            jobs: all of them.
            at_once: most jobs of a group; None: as many as is fastest here.
        """
        inputs, order = self.windows.inputs, self.ground.batches(jobs[0].checked.run.seed)
        size = min(order.size, order.count)
        widths = [tuple(job.checked.groups["model"].arguments.get("hidden", ())) for job in jobs]
        if at_once is None:
            widest = max(range(len(jobs)), key=lambda i: padded(inputs, widths[i]))
            at_once = fastest(self.member(jobs[widest]), self.windows.gather(order.order()[:size]), len(jobs))
        return [[jobs[i] for i in piece] for piece in pieces(widths, inputs, size, at_once)]


def ground_key(checked: Checked) -> str:
    """A text that is the same for jobs on the same ground."""
    trainer = {k: v for k, v in checked.plain["trainer"].items() if k in ("accelerator", "devices", "precision")}
    same = [checked.plain["data"], trainer, checked.run.objective, checked.run.seed if of_rows(checked) else None]
    return json.dumps(same, sort_keys=True)
