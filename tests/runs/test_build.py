"""Which jobs a thread trains, and why the others need a Trainer."""

import pytest
from conftest import NO_PICTURES, QUIET, composed

from steepest.runs.build import reason_against
from steepest.runs.config import check


def reason(*overrides: str) -> str | None:
    return reason_against(check(composed("model=mlp_manual", QUIET, NO_PICTURES, *overrides)), threads=1)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer=adamw", "scheduler=plateau", "stop=early", "trainer.gradient_clip_val=1"],
        ["trainer.precision=64-true", "callbacks=[default,audit,parity,noise,steps,escape]", "logger=none"],
        ["model=linear_manual", "data=rings", "model.loss=cross_entropy", "objective=val/cross_entropy"],
    ],
)
def test_a_job_with_a_hand_derived_model_needs_no_trainer(overrides):
    assert reason(*overrides) is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model=mlp", "model=mlp trains by autograd"),
        ("model.engine=textbook", "model.engine=textbook"),
        ("threads=2", "threads=2, but this process uses 1"),
        ("optimizer=lbfgs", "optimizer=lbfgs is not one of optimizer=sgd, momentum, adam and adamw"),
        ("+optimizer.maximize=true", None),
        ("trainer.accelerator=gpu", "trainer.accelerator=gpu needs Lightning's Trainer"),
        ("trainer.max_epochs=3", "trainer.max_epochs=3 differs from stop.epochs"),
        ("trainer.devices=2", "trainer.devices=2 needs Lightning's Trainer"),
        ("trainer.max_time=00:00:01:00", "trainer.max_time=00:00:01:00 needs Lightning's Trainer"),
        ("trainer.limit_train_batches=3", "trainer.limit_train_batches=3 needs Lightning's Trainer"),
        (
            "+callbacks.rates._target_=lightning.pytorch.callbacks.LearningRateMonitor",
            "callbacks.rates is a Lightning callback",
        ),
        ("resume=somewhere", "resume= continues one run"),
    ],
)
def test_a_job_that_needs_a_trainer_gives_the_reason(override, said):
    found = reason(override)
    assert found == said if said is None else found.startswith(said)
