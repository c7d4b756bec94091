"""Checkpoints of runs that no Trainer trained, as Lightning would have written them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steepest.sweep.batched.members import Member, Moment, PlainRule
from steepest.sweep.batched.template import VERSION, best_checkpoint, template


class Checkpoints:
    """Writes `best.ckpt` and `last.ckpt`.

    The last one holds all that a run can be resumed from; the best one parameters only, as Lightning's
    ``save_weights_only``.

    Args:
        batches: updates of a whole epoch.
    """

    def __init__(self, batches: int) -> None:
        self.loops = pickle.dumps(template()["loops"])  # each run has its own, and this is how they are copied fastest
        self.batches = batches

    def write(self, member: Member) -> None:
        """Write both, of a run that has ended; of one that diverged, as it was after its last whole epoch."""
        folder = member.folder / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        if member.best is not None:
            _save(self._weights(member, member.best), folder / "best.ckpt")
        if member.last is not None:
            whole = self._weights(member, member.last) | {
                "loops": self._loops(member.last),
                "callbacks": self._callbacks(member, folder),
                "optimizer_states": [member.last.optimizer],
                "lr_schedulers": [member.last.scheduler] if member.scheduler is not None else [],
            }
            _save(whole, folder / "last.ckpt")

    def _weights(self, member: Member, at: Moment) -> dict[str, Any]:
        names = [name for name, _ in member.predictor.named_parameters()]
        return {
            "epoch": at.epochs - 1,
            "global_step": at.updates,
            "pytorch-lightning_version": VERSION,
            "state_dict": dict(zip(names, at.theta, strict=True)),
            "hparams_name": "kwargs",
            "hyper_parameters": dict(member.predictor.options),
        }

    def _loops(self, at: Moment) -> dict[str, Any]:
        """What Lightning's loops have counted by then."""
        loops = pickle.loads(self.loops)
        fit = loops["fit_loop"]
        position = at.updates - (at.epochs - 1) * self.batches
        for when, batches, epochs in (("current", position, at.epochs), ("total", at.updates, at.epochs)):
            counted = dict.fromkeys(("ready", "started", "processed", "completed"), batches)
            fit["epoch_loop.batch_progress"][when].update(counted)
            counted = dict.fromkeys(("ready", "started", "processed"), epochs) | {"completed": epochs - 1}
            fit["epoch_progress"][when].update(counted)
            steps = {"ready": at.updates, "completed": at.updates}
            fit["epoch_loop.manual_optimization.optim_step_progress"][when].update(steps)
            fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"][when].update(steps)
        fit["epoch_loop.batch_progress"]["is_last_batch"] = position == self.batches
        fit["epoch_loop.state_dict"]["_batches_that_stepped"] = at.updates
        fit["state_dict"]["combined_loader"] = [{"position": position}]
        return loops

    def _callbacks(self, member: Member, folder: Path) -> dict[str, Any]:
        """The states of the callbacks that have one."""
        rule = member.rule
        states = {} if isinstance(rule, PlainRule) else {rule.state_key: rule.state_dict()}
        key, best = best_checkpoint(folder, member.objective)
        if member.best is not None:
            score = torch.tensor(member.best.objective, dtype=torch.float64)
            path = str(folder / "best.ckpt")
            best["best_model_score"] = best["kth_value"] = score
            best["best_model_path"] = best["kth_best_model_path"] = path
            best["best_k_models"] = {path: score}
            best["current_score"] = torch.tensor(member.history[-1].get(member.objective, score), dtype=torch.float64)
        return states | {key: best}


def _save(content: dict[str, Any], path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    torch.save(content, part)
    part.replace(path)


def optimizer_state(optimizer: torch.optim.Optimizer, memory: dict[str, list[Tensor]], alike: dict[str, Tensor]) -> Any:
    """An optimizer's state as it would be, had it made its steps itself.

    Args:
        optimizer: that has made none.
        memory: name -> what it remembers of each parameter tensor.
        alike: name -> what is the same for all parameter tensors.
    """
    content = optimizer.state_dict()
    count = len(content["param_groups"][0]["params"])
    content["state"] = {
        k: {name: t.clone() for name, t in alike.items()}
        | {name: tensors[k].clone() for name, tensors in memory.items()}
        for k in range(count if memory else 0)
    }
    return content
