"""Windows, parts and scales: counted by hand, without look-ahead, never materialised."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.data.preparation import row_windows, series_windows
from steepest.data.sources import Line, RandomWalk


def frame(series: dict[str, list[float]], start="2020-01-01", **features) -> pd.DataFrame:
    """A checked frame of daily series."""
    parts = {
        name: pd.DataFrame(
            {"value": np.asarray(values, float)} | {k: np.asarray(v, float) for k, v in features.items()},
            index=pd.date_range(start, periods=len(values), name="date"),
        )
        for name, values in series.items()
    }
    return pd.concat(parts, names=["series", "date"])


def windows_of(values, features=None, **options):
    series = values if isinstance(values, dict) else {"s": values}
    return series_windows(frame(series, **(features or {})), RandomWalk(**options), "test")


def samples(windows, part):
    """(inputs, targets) of a part in prices, undoing the standardising of a level window."""
    origins, batches = zip(*windows.walk(part), strict=True)
    x, y = (torch.cat([getattr(b, name) for b in batches]) for name in ("x_ND", "y_NH"))
    scale, mean = windows.scale_S[0], windows.mean_S[0]
    return (
        (x * scale + mean).round().int().tolist(),
        (y * scale + mean).round().int().tolist(),
        torch.cat(origins).tolist(),
    )


def test_windows_counted_by_hand():
    windows = windows_of(range(1, 31), window=3, horizon=2, split=[1 / 3, 1 / 3, 1 / 3])
    assert samples(windows, "train")[:2] == (
        [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6], [5, 6, 7], [6, 7, 8]],
        [[4, 5], [5, 6], [6, 7], [7, 8], [8, 9], [9, 10]],
    )


def test_every_part_counted_by_hand():
    windows = windows_of(range(1, 31), window=3, horizon=2, split=[1 / 3, 1 / 3, 1 / 3])
    # train days 1-10, gap 11-12, val 13-20, gap 21-22, test 23-30
    assert samples(windows, "val")[:2] == (
        [[13, 14, 15], [14, 15, 16], [15, 16, 17], [16, 17, 18]],
        [[16, 17], [17, 18], [18, 19], [19, 20]],
    )
    assert samples(windows, "test")[:2] == (
        [[23, 24, 25], [24, 25, 26], [25, 26, 27], [26, 27, 28]],
        [[26, 27], [27, 28], [28, 29], [29, 30]],
    )


def test_a_split_by_dates_counted_by_hand():
    windows = windows_of(range(1, 31), split=["2020-01-11", "2020-01-21"])
    assert samples(windows, "train")[0][-1] == [9]
    assert samples(windows, "val")[0][0] == [12]
    assert samples(windows, "val")[1][-1] == [20]
    assert samples(windows, "test")[0][0] == [22]
    assert samples(windows, "test")[1][-1] == [30]


@settings(max_examples=60, deadline=None)
@given(window=st.integers(1, 6), horizon=st.integers(1, 4), rows=st.integers(60, 90), series=st.integers(1, 3))
def test_no_row_of_one_part_is_used_by_another_and_a_gap_of_the_horizon_lies_between(window, horizon, rows, series):
    data = {f"s{i}": (np.arange(rows - 3 * i) * (i + 1.0)).tolist() for i in range(series)}
    windows = windows_of(data, window=window, horizon=horizon, split=[0.5, 0.25, 0.25])
    days = {}
    for part in ("train", "val", "test"):
        origins = torch.cat([o for o, _ in windows.walk(part)]).tolist()
        rows_used = {r for o in origins for r in range(o - window + 1, o + horizon + 1)}
        assert all(windows.series_T[o - window + 1] == windows.series_T[o + horizon] for o in origins)
        days[part] = [windows.index.get_level_values("date")[r] for r in rows_used]
    assert min(days["val"]) - max(days["train"]) > pd.Timedelta(days=horizon)
    assert min(days["test"]) - max(days["val"]) > pd.Timedelta(days=horizon)


def test_several_series_are_cut_at_the_same_dates_and_scaled_by_their_own_training_rows():
    windows = windows_of({"a": range(1, 41), "b": range(1000, 1120, 3)}, window=2, split=[0.5, 0.25, 0.25])
    assert windows.mean_S.tolist() == [np.mean(range(1, 21)), np.mean(range(1000, 1060, 3))]
    assert windows.scale_S.tolist() == pytest.approx([np.std(range(1, 21)), np.std(range(1000, 1060, 3))])
    # one is the other rescaled, so standardised they are the same
    torch.testing.assert_close(windows.inputs_TF[:40], windows.inputs_TF[40:], rtol=0, atol=1e-12)
    assert [len(windows.parts[p]) for p in ("train", "val", "test")] == [36, 14, 14]


def test_scale_is_that_of_the_training_rows():
    values = [3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300, 1400]
    windows = windows_of(values, split=[0.5, 0.25, 0.25])
    assert windows.mean_S.item() == pytest.approx(np.mean(values[:10]))
    assert windows.scale_S.item() == pytest.approx(np.std(values[:10]))
    assert windows.unit_S.item() == pytest.approx(np.std(values[:10]))


def test_windows_up_to_the_longest_are_scored_on_the_same_days():
    targets = []
    for window in (1, 4, 9):
        windows = windows_of(range(1, 61), window=window, longest_window=9, split=[0.5, 0.25, 0.25])
        targets.append([samples(windows, part)[1] for part in ("train", "val", "test")])
    assert targets[0] == targets[1] == targets[2]


PRICES = st.lists(st.floats(1, 1000, width=32), min_size=60, max_size=60, unique=True)


@settings(max_examples=80, deadline=None)
@given(
    prices=PRICES,
    changed=st.lists(st.floats(1, 1000, width=32), min_size=1, max_size=20),
    window=st.integers(1, 5),
    horizon=st.integers(1, 3),
    transform=st.sampled_from(["level", "return", "log_return"]),
    relative=st.booleans(),
    target=st.sampled_from(["value", "direction"]),
)
def test_nothing_after_a_samples_window_changes_its_inputs(
    prices, changed, window, horizon, transform, relative, target
):
    options = {
        "window": window, "horizon": horizon, "transform": transform, "relative_to_last": relative, "target": target,
        "split": [0.5, 0.25, 0.25],
    }  # fmt: skip
    volume = list(np.linspace(1, 2, 60) ** 2)
    other = prices[: 60 - len(changed)] + changed
    first = 60 - len(changed)  # the first day that differs, long after the training part
    a = windows_of({"s": prices, "t": prices[::-1]}, {"volume": volume}, **options)
    b = windows_of({"s": other, "t": prices[::-1]}, {"volume": volume}, **options)
    assert torch.equal(a.mean_S, b.mean_S)
    assert torch.equal(a.scale_S, b.scale_S)
    assert torch.equal(a.unit_S, b.unit_S)
    model = torch.linspace(-1, 1, a.inputs, dtype=torch.float64)
    for part in ("train", "val", "test"):
        for (origin, one), (same, two) in zip(a.walk(part), b.walk(part), strict=True):
            assert torch.equal(origin, same)
            date = a.index.get_level_values("date")[origin.numpy()]
            known = torch.from_numpy(np.asarray(date < pd.Timestamp("2020-01-01") + pd.Timedelta(days=first))) | (
                a.series_T[origin] == 1
            )
            assert torch.equal(one.x_ND[known], two.x_ND[known])
            if target == "value":
                p = (one.x_ND @ model)[known].unsqueeze(1).expand(-1, horizon)
                q = (two.x_ND @ model)[known].unsqueeze(1).expand(-1, horizon)
                assert torch.equal(a.to_price(p, origin[known]), b.to_price(q, origin[known]))
            targets_known = known & torch.from_numpy(
                np.asarray(date + pd.Timedelta(days=horizon) < pd.Timestamp("2020-01-01") + pd.Timedelta(days=first))
            )
            assert torch.equal(one.y_NH[targets_known], two.y_NH[targets_known])


def test_the_look_ahead_test_can_fail():
    """A scale fitted on all rows is caught by the property above: its mean moves with the future."""
    prices = np.linspace(1, 60, 60)
    other = np.r_[prices[:50], prices[50:] * 3]
    assert prices.mean() != other.mean()
    kept = windows_of(list(prices), split=[0.5, 0.25, 0.25]).mean_S
    assert torch.equal(kept, windows_of(list(other), split=[0.5, 0.25, 0.25]).mean_S)
    assert kept.item() == pytest.approx(prices[:30].mean())


@pytest.mark.parametrize("transform", ["level", "return", "log_return"])
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("horizon", [1, 3])
def test_perfect_predictions_come_back_as_the_true_prices(transform, relative, horizon):
    random = np.random.default_rng(1)
    series = {n: list(100 * np.exp(np.cumsum(random.normal(0, 0.02, 80)))) for n in ("a", "b")}
    windows = windows_of(series, window=4, horizon=horizon, transform=transform, relative_to_last=relative)
    for part in ("train", "val", "test"):
        for origin, batch in windows.walk(part):
            torch.testing.assert_close(windows.to_price(batch.y_NH, origin), windows.actual(origin), rtol=1e-12, atol=0)


def test_relative_inputs_are_differences_to_the_last_value():
    values = [1.0, 2, 4, 7, 11, 16, 22, 29, 37, 46, 56, 67, 79, 92, 106, 121, 137, 154, 172, 191]
    windows = windows_of(values, window=3, relative_to_last=True, split=[0.5, 0.25, 0.25])
    _, batch = next(windows.walk("train"))
    scale = windows.scale_S.item()
    train = np.array(values[:10])
    assert scale == pytest.approx(np.sqrt(np.mean([np.mean((train[k:] - train[:-k]) ** 2) for k in (1, 2, 3)])))
    np.testing.assert_allclose(batch.x_ND[0] * scale, [1 - 4, 2 - 4, 0], atol=1e-12)
    np.testing.assert_allclose(batch.y_NH[0] * scale, [7 - 4], atol=1e-12)


def test_direction_is_whether_the_day_ends_above_the_last_one():
    windows = windows_of([1, 2, 2, 1, 3, 5, 4, 4, 6, 5] * 3, horizon=2, target="direction", split=[1 / 3, 1 / 3, 1 / 3])
    _, batch = next(windows.walk("train"))
    assert batch.y_NH.tolist() == [[1, 1], [0, 0], [0, 1], [1, 1], [1, 1], [0, 0], [0, 1], [1, 1]]
    assert windows.outputs == 4


def test_further_inputs_stand_beside_each_day():
    windows = windows_of(
        list(range(1, 31)), {"volume": [v**2 for v in range(1, 31)]}, window=2, split=[1 / 3, 1 / 3, 1 / 3]
    )
    _, batch = next(windows.walk("train"))
    mean, scale = windows.input_mean_SF[0].repeat(2), windows.input_scale_SF[0].repeat(2)
    np.testing.assert_allclose(batch.x_ND[0] * scale + mean, [1, 1, 2, 4])
    assert windows.inputs == 4


def test_rows_are_kept_once_whatever_the_window():
    sizes = []
    for window in (1, 500):
        spec = RandomWalk(rows=5000, window=window)
        windows = series_windows(spec.read(), spec, "test")
        sizes.append(sum(t.untyped_storage().nbytes() for t in vars(windows).values() if isinstance(t, torch.Tensor)))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize("horizon", [1, 3])
def test_gathering_equals_a_loop_over_the_rows(window, horizon):
    values = np.random.default_rng(0).normal(size=90).cumsum()
    windows = windows_of({"a": values, "b": values[::-1][:70]}, window=window, horizon=horizon, split=[0.5, 0.25, 0.25])
    z = windows.inputs_TF[:, 0].tolist()
    for part in ("train", "val", "test"):
        for origin, batch in windows.walk(part):
            assert batch.x_ND.tolist() == [[z[o - window + 1 + k] for k in range(window)] for o in origin.tolist()]
            assert batch.y_NH.tolist() == [[z[o + 1 + k] for k in range(horizon)] for o in origin.tolist()]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (
            range(40),
            {"window": 60},
            r"data.window=60 needs at least 61 rows in each part \(data.horizon=1\), the train part of s has 28: lower data.window",
        ),
        (range(100), {"window": 14}, r"the val part of s has 14 after its gap of 1"),
        (range(100), {"longest_window": 14}, r"data.longest_window=14 needs at least 15 rows"),
        (
            [*range(1, 50), 0.0, *range(50, 100)],
            {"transform": "log_return"},
            r"needs prices above 0, 1 are not, first 0 on 2020-02-19",
        ),
        ([5.0] * 80 + list(range(20)), {}, r"'value' does not change within the 70 training rows"),
    ],
)
def test_data_that_cannot_be_cut_is_refused_with_numbers(values, options, message):
    with pytest.raises(ValueError, match=message):
        windows_of(list(map(float, values)), **options)


def test_a_series_that_begins_after_the_training_part_is_named():
    late = frame({"late": range(20)}, start="2020-03-20")
    both = pd.concat([frame({"early": range(100)}), late])
    with pytest.raises(ValueError, match="the train part of late has 0"):
        series_windows(both, RandomWalk(), "test")


def test_plain_rows_are_dealt_out_by_the_seed():
    spec = Line(rows=100, split=[0.6, 0.2, 0.2])
    rows = spec.read()
    one, again, other = (row_windows(rows, spec, "test", seed=s) for s in (0, 0, 1))
    assert [len(one.parts[p]) for p in ("train", "val", "test")] == [60, 20, 20]
    assert sorted(one.index) == list(range(1, 101))
    assert list(one.index) == list(again.index) != list(other.index)
    row = one.index[7]
    assert one.price_T[7].item() == rows.loc[row, "value"]


def test_plain_rows_with_no_other_part_keep_their_order_and_every_row():
    spec = Line(rows=10, split=[1, 0, 0])
    windows = row_windows(spec.read(), spec, "test", seed=0)
    assert list(windows.index) == list(range(1, 11))
    assert [len(windows.parts[p]) for p in ("train", "val", "test")] == [10, 0, 0]


def test_a_part_that_gets_no_row_is_refused():
    spec = Line(rows=5, split=[0.9, 0.05, 0.05])
    with pytest.raises(ValueError, match="leaves no row for test of 5 rows|leaves no row for val of 5 rows"):
        row_windows(spec.read(), spec, "test", seed=0)
