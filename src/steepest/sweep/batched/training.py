"""The training of many runs as one: updates and epochs, and what every run would have recorded of them by itself.

Shapes: R runs, P numbers of all parameters, T parameter tensors, K updates, N samples of the training part, B of a
batch, D inputs, H horizon.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from steepest.data.batches import Batches
from steepest.data.windows import CHUNK
from steepest.evaluate.exam import Exam
from steepest.nets.descents import KINDS
from steepest.nets.stack import Stack
from steepest.lightning.updates import EPSILON
from steepest.sweep.batched.checkpoints import optimizer_state
from steepest.sweep.batched.members import Member, Moment
from steepest.sweep.batched.watch import Watch
from steepest.runs.rules import Stationary

AT_ONCE = 256  # updates between two looks at whether a run has diverged
HELD = 64 * CHUNK  # most numbers of inputs held at once: 256 MiB of float32
UNWRITTEN = 1 << 24  # most numbers for TensorBoard that are kept: 128 MiB


class Training:
    """Runs of one structure, trained together until each has ended.

    Args:
        members: the runs.
        exams: of train and, if there is one, val; on the device and in the precision of training.
        batches: seed -> the training part's batches in its order.
        watch: what is recorded.
        write: called with runs whose blocks have become many.
        ended: called with runs as they end, with their final parameters in their predictors.
    """

    def __init__(
        self,
        members: Sequence[Member],
        exams: Sequence[Exam],
        batches: Callable[[int], Batches],
        watch: Watch,
        write: Callable[[Member], None],
        ended: Callable[[Sequence[Member]], None],
    ) -> None:
        # Of one seed side by side, for they share their batches.
        self.members = sorted(members, key=lambda member: member.checked.run.seed)
        self.exams, self.watch = exams, watch
        self.write, self.ended = write, ended
        windows = exams[0].windows
        self.stack = Stack([m.predictor.network for m in self.members], windows.price_T.device, windows.inputs_TF.dtype)
        self.descent = KINDS[type(self.members[0].optimizer)]([m.optimizer for m in self.members], self.stack)
        self.loss = self.members[0].predictor.loss
        self.epoch = 0
        self.batches = {seed: batches(seed) for seed in dict.fromkeys(m.checked.run.seed for m in self.members)}
        for order in self.batches.values():
            order.epoch = lambda: self.epoch
        self.size = next(iter(self.batches.values())).size
        self.samples = Samples(exams[0], self.stack)
        self.saved: dict[str, Tensor] = {}  # as it was at the end of the last whole epoch
        self._align()

    def _align(self) -> None:
        """What is kept for each run that is left, in the order of the runs."""
        runs = Counter(m.checked.run.seed for m in self.members)
        alike = len(set(runs.values())) == 1
        # Of which order each batch is: one for all runs of a seed, where there are as many of each.
        self.seeds = list(runs) if alike else [m.checked.run.seed for m in self.members]
        bounds = [m.clip for m in self.members]
        self.bound_R = None
        if any(bound is not None for bound in bounds):
            self.bound_R = self.stack.theta.new_tensor([float("inf") if b is None else b for b in bounds])

    @torch.no_grad()
    def run(self) -> None:
        """Train until every run has ended."""
        self.watch.begin(self.members, self.stack)
        while self.members:
            self._one_epoch()
            self.epoch += 1

    def _one_epoch(self) -> None:
        orders = {seed: self.samples.places(self.batches[seed].order()) for seed in dict.fromkeys(self.seeds)}
        order_SN = torch.stack([orders[seed] for seed in self.seeds])
        count, done = len(self.batches[self.seeds[0]]), 0
        while done < count and self.members:
            left = [m.updates_left for m in self.members]
            stop = min([count, done + AT_ONCE, *(done + n for n in left if n is not None)])
            self._updates(order_SN, done, stop)
            done = stop
            whole = done == count
            ending = [i for i, m in enumerate(self.members) if m.status == "running" and (whole or m.updates_left == 0)]
            if ending:
                self._end_of_epoch(ending, whole)
            if sum(member.held for member in self.members) > UNWRITTEN:
                for member in self.members:
                    self.write(member)
            self._let_go()

    def _updates(self, order_SN: Tensor, start: int, stop: int) -> None:
        """Updates `start` to `stop` of the epoch, for all runs; those that diverge are ended."""
        stack, descent, size = self.stack, self.descent, self.size
        look = self.watch.look(stack, self.members[0].updates, stop - start)
        began = time.time()
        for k in range(start, stop):
            place_SB = order_SN[:, k * size : (k + 1) * size]
            loss_R = stack.loss_and_gradient(*self.samples.take(place_SB), self.loss)
            look.take(loss_R)
            if self.bound_R is not None:
                self._clip(self.bound_R)
            descent.step(stack.theta, stack.gradient)
        losses_KR = look.losses.cpu().numpy()
        finite_KR = np.isfinite(losses_KR)
        done_R = np.where(finite_KR.all(0), stop - start, finite_KR.argmin(0))
        self.watch.keep(self.members, look, done_R, began)
        for run, member in enumerate(self.members):
            done = int(done_R[run])
            member.updates += done
            member.samples += min(done * size, order_SN.shape[1] - start * size)
            member.batch = place_SB.shape[1]
            if done < stop - start:
                member.diverge(float(losses_KR[done, run]))

    def _clip(self, bound_R: Tensor) -> None:
        """As `updates.clip` does by norm, run by run."""
        norm_R = torch.linalg.vector_norm(self.stack.norms(self.stack.gradient), dim=1)
        self.stack.gradient *= self.stack.spread((bound_R / (norm_R + EPSILON)).clamp(max=1))

    def _end_of_epoch(self, ending: list[int], whole: bool) -> None:
        members = [self.members[i] for i in ending]
        stack = self.stack.part(torch.tensor(ending)) if len(ending) < len(self.members) else self.stack
        if whole:
            for member in members:
                member.optimizer._opt_called = True  # type: ignore[attr-defined]  # schedulers ask; it was stepped here
                if member.scheduler is not None and not isinstance(member.scheduler, ReduceLROnPlateau):
                    member.scheduler.step()
        outputs = {exam.part: exam.outputs(lambda batch: stack.outputs(batch.x_ND)) for exam in self.exams}
        scores: list[dict[str, float]] = [{} for _ in members]
        for exam in self.exams:
            found = {f"{exam.part}/{name}": score_R for name, score_R in exam.score(outputs[exam.part]).items()}
            loss = "train/full_loss" if exam.part == "train" else "val/loss"
            found[loss] = self.loss(outputs[exam.part], exam.target_NH)
            table_RC = torch.stack([score_R.double() for score_R in found.values()], 1).cpu().numpy()
            defined_RC = np.isfinite(table_RC)
            for run, (row, known) in enumerate(zip(table_RC.tolist(), defined_RC.tolist(), strict=True)):
                scores[run] |= {n: v for n, v, is_known in zip(found, row, known, strict=True) if is_known or n == loss}
        norms: Sequence[float | None] = [None] * len(members)
        if any(isinstance(m.rule, Stationary) for m in members):
            norms = self._full_gradient_norms(stack)
        self.watch.epoch(members, stack, scores)
        for run, member in enumerate(members):
            member.after_epoch(scores[run], norms[run], stack.of(stack.theta, run), whole)
        self._refresh()
        if whole:
            now = {"theta": self.stack.theta} | self.descent.memory
            self.saved = {name: numbers.clone() for name, numbers in now.items()}

    def _refresh(self) -> None:
        self.descent.refresh([m.optimizer for m in self.members], self.stack)

    def _full_gradient_norms(self, stack: Stack) -> list[float]:
        """The norm of the gradient of the whole training part's loss, for each run."""
        total, count = torch.zeros_like(stack.theta), 0
        for _, batch in self.exams[0].walk():
            stack.loss_and_gradient(stack.with_one(batch.x_ND[None]), batch.y_NH[None], self.loss)
            total.add_(stack.gradient, alpha=len(batch.x_ND))
            count += len(batch.x_ND)
        return torch.linalg.vector_norm(stack.norms(total / count), dim=1).tolist()

    def _let_go(self) -> None:
        """Hand over the runs that have ended; go on with the others, and with them only."""
        over = [i for i, m in enumerate(self.members) if m.status != "running"]
        if not over:
            return
        for run in over:
            self._take_along(run)
        self.ended([self.members[run] for run in over])
        left = [i for i, m in enumerate(self.members) if m.status == "running"]
        self.members = [self.members[i] for i in left]
        if left:
            index_r, stack = torch.tensor(left, device=self.stack.theta.device), self.stack
            for kept in (self.saved, self.descent.memory, self.watch.kept):
                kept.update({name: stack.some(numbers, index_r) for name, numbers in kept.items()})
            self.stack = stack.part(index_r)
            self._refresh()
            self._align()

    def _take_along(self, run: int) -> None:
        """Give a run its parameters, and what resuming it takes: from here, or from its last epoch if it diverged."""
        member, now = self.members[run], {"theta": self.stack.theta} | self.descent.memory
        self.stack.into(member.predictor.network, run)
        kept = now if member.status == "finished" else self.saved if member.history else None
        if kept:
            tensors = {name: [t.clone() for t in self.stack.of(numbers, run)] for name, numbers in kept.items()}
            theta, updates = tensors.pop("theta"), int(member.history[-1]["updates"])
            state = optimizer_state(member.optimizer, tensors, self.descent.counted(updates))
            scheduler = member.scheduler.state_dict() if member.scheduler is not None else None
            member.last = Moment(theta, member.epochs, updates, optimizer=state, scheduler=scheduler)
        self.watch.end(member)


class Samples:
    """The training part's samples by number, held as they are or gathered from their windows.

    Args:
        exam: of that part.
        stack: which wants their inputs `with_one`.
    """

    def __init__(self, exam: Exam, stack: Stack) -> None:
        self.exam, self.windows, self.stack = exam, exam.windows, stack
        rows = len(self.windows.price_T)
        self.number_T = torch.zeros(rows, dtype=torch.long, device=self.windows.price_T.device)
        self.number_T[exam.origin_N] = torch.arange(len(exam), device=self.number_T.device)
        self.x_NI: Tensor | None = None
        if len(exam) * self.windows.inputs <= HELD:
            self.x_NI = torch.cat([stack.with_one(batch.x_ND) for _, batch in exam.walk()])

    def places(self, origin_N: Tensor) -> Tensor:
        """Numbers of the samples with these origins."""
        return self.number_T[origin_N]

    def take(self, number_SB: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (S, B, I), `with_one`, and targets (S, B, H) of these samples."""
        number_M = number_SB.flatten()
        if self.x_NI is not None:
            x_MI = self.x_NI.index_select(0, number_M)
        else:
            x_MI = self.stack.with_one(self.windows.gather(self.exam.origin_N[number_M]).x_ND)
        y_MH = self.exam.target_NH.index_select(0, number_M)
        return x_MI.view(*number_SB.shape, -1), y_MH.view(*number_SB.shape, -1)
