"""TensorBoard's HPARAMS tab shows the settings that the user varied and the main results without a click."""

from contextlib import closing

import pytest
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import metadata

from steepest.observe.eventfile import EventFile
from steepest.observe.hparams import FIRST, begin_session, hyperparameters

SHOWN = 5  # columns of each kind that TensorBoard shows by default


def experiment(folder):
    """The columns as TensorBoard sorts them: names of settings, names of results."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    (run,) = runs.Runs()
    content = runs.SummaryMetadata(run, metadata.EXPERIMENT_TAG).plugin_data.content
    found = metadata.parse_experiment_plugin_data(content)
    settings = sorted(found.hparam_infos, key=lambda info: (not info.differs, info.name))
    return [info.name for info in settings], [info.name.tag for info in found.metric_infos]


@pytest.mark.parametrize(
    ("overrides", "first"),
    [
        (["optimizer.lr=0.05", "data.batch_size=32"], ["data", "data.batch_size", "optimizer.lr", "stop.epochs"]),
        ([], ["data", "stop.epochs"]),
    ],
)
def test_settings_that_the_user_set_come_first(train, overrides, first):
    _, folder = train("data=line", "stop.epochs=1", *overrides)
    settings, results = experiment(folder)
    assert settings[: len(first)] == first
    assert {"model", "seed"} <= set(settings)
    assert results[:SHOWN] == ["best/objective", "test/skill", "test/rmse", "test/mase", "test/directional_accuracy"]


def test_without_overrides_the_columns_that_most_sweeps_vary_come_first(tmp_path, plain):
    values = hyperparameters(plain("data=line"), [])
    with closing(EventFile.begin(tmp_path)) as file:
        begin_session(file, values, [])
    settings, _ = experiment(tmp_path)
    assert set(settings[: len(FIRST)]) == set(FIRST)
