"""Messages about an unknown key suggest what a user can type."""

import re

import pytest
from conftest import composed
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from steepest.runs.choices import choice_of, suggestion
from steepest.runs.errors import explain


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("epoch=5", "stop.epochs=5"),
        ("max_epochs=5", "stop.epochs=5"),
        ("stop.epoch=5", "stop.epochs=5"),
        ("learning_rate=0.1", "optimizer.lr=0.1"),
        ("optimizer.learning_rate=0.1", "optimizer.lr=0.1"),
        ("callbacks.theme=dark", "callbacks.pictures.theme=dark"),
        ("sed=3", "seed=3"),
    ],
)
def test_the_suggestion_for_an_unknown_key_can_be_typed(typed, meant):
    with pytest.raises(ConfigCompositionException) as caught:
        composed(typed)
    assert f"; did you mean '{meant.partition('=')[0]}'?" in str(explain(caught.value))
    composed(meant)


@pytest.mark.parametrize(("typed", "choice"), [("hidden=[4]", "model=gru"), ("patience=3", "stop=early")])
def test_a_key_of_another_choice_is_suggested_with_its_group_and_the_choice(typed, choice):
    with pytest.raises(ConfigCompositionException) as caught:
        composed(typed)
    key = f"{choice.partition('=')[0]}.{typed.partition('=')[0]}"
    assert f"'{key}' is a key of {choice}" in str(explain(caught.value))
    composed(choice, f"{choice.partition('=')[0]}.{typed}")


def test_a_suggestion_for_any_mistyped_key_is_a_key_of_the_config():
    plain = OmegaConf.to_container(composed(), resolve=False)
    keys = {f"{group}.{key}" for group, keys in plain.items() if isinstance(keys, dict) for key in keys}
    suggested = set()
    for full_key in keys:
        group = full_key.partition(".")[0]
        for hint in (suggestion(f"{full_key}s", plain[group]), suggestion(f"{full_key.partition('.')[2][:-1]}", plain)):
            suggested.update(re.findall(r"did you mean '(.*)'\?", hint))
    assert len(suggested) > 30
    for key in suggested:
        assert OmegaConf.select(OmegaConf.create(plain), key, throw_on_missing=False) is not None or key in keys


def test_messages_name_a_class_by_its_choice_and_a_custom_class_by_its_name():
    assert choice_of("model", "steepest.lightning.predictors.LinearPredictor") == "model=linear"
    assert choice_of("optimizer", "torch.optim.lbfgs.LBFGS") == "optimizer=lbfgs"
    assert choice_of("optimizer", "mine.LBFGS") == "LBFGS"
    for name, normalise, trend in (("dlinear", "none", 25), ("nlinear", "last", None), ("rlinear", "standard", None)):
        arguments = {"normalise": normalise, "trend": trend, "loss": "mae"}
        assert choice_of("model", "steepest.lightning.predictors.WindowPredictor", arguments) == f"model={name}"
