"""The search space of a tuned sweep: Hydra's overrides to Optuna's distributions and back."""

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from steepest.sweep.space import read_space


@pytest.mark.parametrize(
    ("typed", "distribution"),
    [
        ("interval(0, 1)", FloatDistribution(0, 1)),
        ("tag(log, interval(0.001, 1))", FloatDistribution(0.001, 1, log=True)),
        ("int(interval(1, 60))", IntDistribution(1, 60)),
        ("tag(log, int(interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("int(tag(log, interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("range(7, 57, 7)", IntDistribution(7, 56, step=7)),
        ("range(5)", IntDistribution(0, 4)),
        ("range(10, 1, -3)", IntDistribution(4, 10, step=3)),
        ("range(0, 0.5, 0.1)", FloatDistribution(0, 0.4, step=0.1)),
        ("tag(log, range(1, 9))", IntDistribution(1, 8, log=True)),
        ("choice(0.1, 0.2)", CategoricalDistribution([0.1, 0.2])),
        ("sgd,adam", CategoricalDistribution(["sgd", "adam"])),
        ("true,false", CategoricalDistribution([True, False])),
        ("shuffle(choice(1, 2, 3, 4, 5))", CategoricalDistribution([1, 2, 3, 4, 5])),
        ("shuffle(range(1, 4))", IntDistribution(1, 3)),
        ("sort(3, 1, 2)", CategoricalDistribution([1, 2, 3])),
        ("[8],[8,16]", CategoricalDistribution(["[8]", "[8,16]"])),
        ("null,1", CategoricalDistribution(["null", 1])),
    ],
)
def test_every_hydra_sweep_becomes_an_optuna_distribution(typed, distribution):
    assert read_space([f"a.b={typed}"]).varied == {"a.b": distribution}


@pytest.mark.parametrize(
    ("typed", "chosen", "meant"),
    [
        ("interval(0, 1)", 1e-12, 1e-12),
        ("range(7, 57, 7)", 14, 14),
        ("sgd,adam", "adam", "adam"),
        ("true,false", False, False),
        ("choice([8], [8,16])", "[8,16]", [8, 16]),
        ("null,1", "null", None),
        ("choice('a b', 'c=d')", "c=d", "c=d"),
        ("choice('${seed}', 1)", "${seed}", "${seed}"),
        ("choice({a: 1}, {a: 2})", "{a:2}", {"a": 2}),
    ],
)
def test_hydra_reads_a_trials_values_back_from_its_overrides(typed, chosen, meant):
    space = read_space([f"a.b={typed}"])
    assert space.varied["a.b"]._contains(space.varied["a.b"].to_internal_repr(chosen))
    (override,) = space.overrides({"a.b": chosen})
    read = OverridesParser.create().parse_override(override).value()
    assert (read, type(read)) == (meant, type(meant))


def test_a_trial_suggests_every_value_and_nothing_else():
    space = read_space(["a=1", "b=x,y", "c=int(interval(1,3))", "~d", "+e=2", "f=tag(log,interval(1,10))", "b=u,v"])
    trial = optuna.trial.FixedTrial({"b": "v", "c": 2, "f": 2.5})
    space.suggest(trial)
    assert trial.distributions == space.varied
    assert space.overrides(trial.params) == ["a=1", "~d", "+e=2", "b=v", "c=2", "f=2.5"]


def test_the_last_override_of_a_key_counts():
    space = read_space(["a=interval(0,1)", "b=1,2", "a=0.5"])
    assert (space.fixed, list(space.varied)) == (["a=0.5"], ["b"])


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("a=1", r"nothing to vary: add a range, such as 'optimizer.lr=tag\(log"),
        ("a=interval(2, 1)", r"a=interval\(2, 1\) is empty: the first number must be the smaller one"),
        ("a=range(3, 3)", "is empty"),
        ("a=tag(log, interval(0, 1))", "a logarithmic range must start above 0"),
        ("a=tag(log, range(1, 9, 2))", "a logarithmic range has no step"),
        ("a=tag(lgo, interval(1, 2))", "unknown tag 'lgo'; the only tag is 'log'"),
    ],
)
def test_an_invalid_range_is_refused(typed, message):
    with pytest.raises(ValueError, match=message):
        read_space([typed])
