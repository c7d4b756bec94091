"""The table of tags: one name, one meaning. The dashboard and the README are built from it."""

import re

from conftest import ROOT

from steepest.observe.tags import TAGS, known, layout, table


def test_the_documented_table_equals_the_table_of_tags():
    assert table() in (ROOT / "docs" / "tags.md").read_text()


def test_every_tag_is_unique_and_has_meaning_unit_and_frequency():
    assert len({tag.name for tag in TAGS}) == len(TAGS)
    assert all(tag.meaning and tag.unit and tag.when for tag in TAGS)


def test_a_chart_shows_only_its_own_tags():
    """TensorBoard matches a pattern with the start of a tag."""
    charts = {
        f"{category} / {chart}": patterns
        for category, charts in layout().items()
        for chart, (kind, patterns) in charts.items()
        if kind == "Multiline"
    }

    def shown(tag):
        return sorted(chart for chart, patterns in charts.items() if any(re.match(p, tag) for p in patterns))

    assert shown("train/loss") == ["Loss / by update, on its batch"]
    assert shown("train/full_loss") == ["Loss / by epoch, whole parts"]
    assert shown("reference/val_least_squares") == ["Loss / by epoch, whole parts"]
    assert shown("gradient_norm/total") == ["Gradient norms / total"]
    assert shown("gradient_norm/W12") == ["Gradient norms / of each parameter tensor"]
    assert shown("parameter/W1[0,3]") == ["Parameters / each number (models of up to 64)"]
    assert shown("parameter_norm/W1") == ["Parameters / norm of each tensor"]
    assert (
        shown("learning_rate")
        == shown("curvature/stability_limit")
        == ["Step quality / step size and its stability limit"]
    )
    assert shown("test/rmse") == shown("best/objective") == shown("hp_metric") == []


def test_only_tags_of_the_table_are_known():
    assert known("parameter/W1[0,0]")
    assert known("dead/layer3")
    assert not known("hp_metric")
    assert not known("train/loss_step/0")
