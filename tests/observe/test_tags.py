"""The table of tags: one name, one meaning. The dashboard and the README are built from it."""

import re

import pytest
from conftest import ROOT, read_scalars

from steepest.observe.tags import TAGS, known, layout, table


def test_the_documented_table_equals_the_table_of_tags():
    assert table() in (ROOT / "docs" / "tags.md").read_text()


def test_every_tag_is_unique_and_has_meaning_unit_and_frequency():
    assert len({tag.name for tag in TAGS}) == len(TAGS)
    assert all(tag.meaning and tag.unit and tag.when for tag in TAGS)


def shown(tag, layers=2, entries=("W1[0,0]", "W1[0,3]", "b1[0]")):
    """The charts that show a tag. TensorBoard matches a pattern with the start of a tag."""
    return sorted(
        f"{category} / {chart}"
        for category, charts in layout(layers, entries).items()
        for chart, (_, patterns) in charts.items()
        if any(re.match(pattern, tag) for pattern in patterns)
    )


def test_a_chart_shows_only_its_own_tags():
    assert shown("train/loss") == ["Loss / by update, on its batch"]
    assert shown("train/full_loss") == ["Loss / by epoch, whole parts"]
    assert shown("reference/val_least_squares") == ["Loss / by epoch, whole parts"]
    assert shown("gradient_norm/total") == ["Gradient norms / total"]
    assert shown("gradient_norm/W2") == ["Gradient norms / of each parameter tensor, layers 1 to 3"]
    assert shown("gradient_norm/W12", layers=12) == ["Gradient norms / of each parameter tensor, layers 10 to 12"]
    assert shown("gradient_norm/W12") == []
    assert shown("parameter/W1[0,3]") == ["Parameters / W1[0,0] to b1[0]"]
    assert shown("parameter_norm/W1") == ["Parameters / norm of each tensor, layers 1 to 3"]
    assert shown("dead/layer1") == ["Neuron health / dead relus, layers 1 to 6"]
    assert (
        shown("learning_rate")
        == shown("curvature/stability_limit")
        == ["Step quality / step size and its stability limit"]
    )
    assert shown("test/rmse") == shown("best/objective") == shown("hp_metric") == []


def test_a_linear_model_has_no_charts_of_hidden_layers():
    assert "Neuron health" not in layout(1)
    assert "Neuron health" in layout(2)


@pytest.mark.parametrize("hidden", [[], [7], [3, 3, 3, 2, 2, 2, 2]])
def test_no_chart_has_more_than_six_curves_per_run(train, hidden):
    model = "model=mlp_manual" if hidden else "model=linear_manual"
    more = [f"model.hidden={hidden}", "model.activation=relu"] if hidden else []
    instruments = "callbacks=[default,curvature,noise,steps]"
    _, folder = train(model, *more, "data.window=2", "stop.epochs=1", instruments)
    tags = list(read_scalars(folder))
    entries = [tag.removeprefix("parameter/") for tag in tags if tag.startswith("parameter/")]
    charts = [chart for charts in written_layout(folder).values() for chart in charts.values()]
    counts = [sum(any(re.match(p, tag) for p in patterns) for tag in tags) for patterns in charts]
    assert max(counts) == 6
    drawn = {tag for tag in tags if any(re.match(p, tag) for patterns in charts for p in patterns)}
    assert {f"parameter/{entry}" for entry in entries} <= drawn
    assert {tag for tag in tags if tag.startswith(("gradient_norm/", "parameter_norm/", "dead/"))} <= drawn


def written_layout(folder):
    """The dashboard in a run's event file: category -> chart -> patterns."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata

    events = EventAccumulator(str(folder))
    events.Reload()
    (found,) = events.Tensors(metadata.CONFIG_SUMMARY_TAG)
    proto = layout_pb2.Layout.FromString(found.tensor_proto.string_val[0])
    return {c.title: {chart.title: list(chart.multiline.tag) for chart in c.chart} for c in proto.category}


def test_only_tags_of_the_table_are_known():
    assert known("parameter/W1[0,0]")
    assert known("dead/layer3")
    assert not known("hp_metric")
    assert not known("train/loss_step/0")
