"""Windows, parts and scales: counted by hand, without look-ahead, never materialised."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.data import windows as windows_module
from steepest.data.formulas import Line
from steepest.data.preparation import Standardizer, row_windows, series_windows, within
from steepest.data.sources import RandomWalk
from steepest.evaluate.evaluation import Evaluator


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
    """(inputs, targets) of a part in prices: undoes the scaling of a level window."""
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
def test_parts_share_no_row_and_are_a_horizon_apart(window, horizon, rows, series):
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


def test_the_scale_is_that_of_the_training_rows():
    values = [3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300, 1400]
    windows = windows_of(values, split=[0.5, 0.25, 0.25])
    assert windows.mean_S.item() == pytest.approx(np.mean(values[:10]))
    assert windows.scale_S.item() == pytest.approx(np.std(values[:10]))
    assert windows.unit_S.item() == pytest.approx(np.std(values[:10]))


def test_shorter_windows_are_scored_on_the_days_of_the_longest():
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
    days = a.index.get_level_values("date")
    for part in ("train", "val", "test"):
        origins, others = (torch.cat([origin for origin, _ in w.walk(part)]) for w in (a, b))
        # For directions, a day with an unchanged price is not a target. No other difference is allowed.
        different = np.setxor1d(origins, others)
        assert target == "direction" or not len(different)
        assert (
            days[different] + pd.Timedelta(days=horizon) >= pd.Timestamp("2020-01-01") + pd.Timedelta(days=first)
        ).all()
        origin = origins[torch.isin(origins, others)]
        one, two = a.gather(origin), b.gather(origin)
        date = days[origin.numpy()]
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


def test_the_scale_does_not_change_with_later_prices():
    """The mean of all rows does change with them, so a scale fitted on all rows fails here."""
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
    assert batch.y_NH.tolist() == [[1, 1], [0, 1], [1, 1], [1, 1], [0, 0], [1, 1]], "unmoved days are no targets"


def test_additional_inputs_follow_the_price_of_each_day():
    windows = windows_of(
        list(range(1, 31)), {"volume": [v**2 for v in range(1, 31)]}, window=2, split=[1 / 3, 1 / 3, 1 / 3]
    )
    _, batch = next(windows.walk("train"))
    mean, scale = windows.input_mean_SF[0].repeat(2), windows.input_scale_SF[0].repeat(2)
    np.testing.assert_allclose(batch.x_ND[0] * scale + mean, [1, 1, 2, 4])
    assert windows.inputs == 4


def test_rows_are_stored_once_for_any_window():
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
            r"data.window=60 needs at least 61 rows in each part \(data.horizon=1\), the train part of s has 28: lower data.window to 27 or",
        ),
        (range(100), {"window": 14}, r"the val part of s has 14 after its gap of 1"),
        (range(100), {"longest_window": 14}, r"data.longest_window=14 needs at least 15 rows"),
        (
            range(40),
            {"horizon": 7, "history": "borrow"},
            r"data.horizon=7 needs at least 7 rows in each part, the val part",
        ),
        (
            [*range(1, 50), 0.0, *range(50, 100)],
            {"transform": "log_return"},
            r"needs prices above 0, 1 are not, first 0 on 2020-02-19",
        ),
        ([5.0] * 80 + list(range(20)), {}, r"'value' does not change within the 70 training rows"),
    ],
)
def test_data_with_too_few_rows_are_refused_with_the_numbers(values, options, message):
    with pytest.raises(ValueError, match=message):
        windows_of(list(map(float, values)), **options)


def test_a_series_that_begins_after_the_training_part_is_named():
    late = frame({"late": range(20)}, start="2020-03-20")
    both = pd.concat([frame({"early": range(100)}), late])
    with pytest.raises(ValueError, match="the train part of late has 0"):
        series_windows(both, RandomWalk(), "test")


def test_the_seed_assigns_plain_rows_to_parts():
    spec = Line(rows=100, split=[0.6, 0.2, 0.2])
    rows = spec.read()
    one, again, other = (row_windows(rows, spec, "test", seed=s) for s in (0, 0, 1))
    assert [len(one.parts[p]) for p in ("train", "val", "test")] == [60, 20, 20]
    assert sorted(one.index) == list(range(1, 101))
    assert list(one.index) == list(again.index) != list(other.index)
    row = one.index[7]
    assert one.price_T[7].item() == rows.loc[row, "value"]


def test_plain_rows_for_training_only_keep_their_order():
    spec = Line(rows=10, split=[1, 0, 0])
    windows = row_windows(spec.read(), spec, "test", seed=0)
    assert list(windows.index) == list(range(1, 11))
    assert [len(windows.parts[p]) for p in ("train", "val", "test")] == [10, 0, 0]


def test_a_part_that_gets_no_row_is_refused():
    spec = Line(rows=5, split=[0.9, 0.05, 0.05])
    with pytest.raises(ValueError, match="leaves no row of 5 for (test|val)"):
        row_windows(spec.read(), spec, "test", seed=0)


def test_classes_of_plain_rows_are_their_targets():
    spec = Line(rows=8, split=[1, 0, 0], classes=True)
    rows = spec.read()
    rows.iloc[:, -1] = [0, 1, 1, 0, 1, 0, 0, 1]
    windows = row_windows(rows, spec, "test", seed=0)
    y_NH = windows.gather(torch.arange(8)).y_NH
    assert y_NH.dtype == torch.long
    assert y_NH[:, 0].tolist() == [0, 1, 1, 0, 1, 0, 0, 1]


def test_targets_that_are_not_classes_are_named():
    spec = Line(rows=8, split=[1, 0, 0], classes=True)
    rows = spec.read()
    rows.iloc[:, -1] = [0, 1, 2.5, 0, 1, -1, 0, 1]
    with pytest.raises(
        ValueError, match="'value' is neither 0 nor 1 in 2 of 8 rows, first 2.5 in row 3: data.classes=true"
    ):
        row_windows(rows, spec, "test", seed=0)


# A second, independent computation of the samples: plain Python over the checked frame, with series that start and end
# on different days.

CALENDAR = pd.date_range("2020-01-01", periods=60)
SPANS = {"whole": (0, 60), "delisted": (3, 34), "listed_later": (14, 60)}  # the second has no row of val or test


def panel(features=(), spans=SPANS, seed=0) -> pd.DataFrame:
    """A checked frame of random walks. Each series has its own days and features."""
    random = np.random.default_rng(seed)
    parts = {}
    for name, (start, stop) in spans.items():
        n = stop - start
        columns = {"value": 50 * np.exp(random.normal(0, 0.05, n).cumsum())}
        columns |= {feature: random.normal(3, 2, n) for feature in features}
        parts[name] = pd.DataFrame(columns, index=CALENDAR[start:stop])
    return pd.concat(parts, names=["series", "date"])


def loop(rows: pd.DataFrame, spec: RandomWalk, val_day: pd.Timestamp, test_day: pd.Timestamp):
    """{part: [(series, last day, x, y, true prices)]}, computed by nested loops from the definitions."""
    L, H = spec.window, spec.horizon
    lead = max(L, spec.longest_window or 0)
    gap = spec.gap if spec.gap is not None else {"own": H, "borrow": 0}[spec.history]
    found = {"train": [], "val": [], "test": []}
    for name in rows.index.unique("series"):
        table = rows.loc[name]
        days, price = list(table.index), list(table["value"])
        value = price
        if spec.transform != "level":
            ratios = [b / a for a, b in itertools.pairwise(price)]
            value = [np.log(r) if spec.transform == "log_return" else r - 1 for r in ratios]
            days, price, table = days[1:], price[1:], table.iloc[1:]
        columns = [value, *(list(table[c]) for c in table.columns[1:])]
        train = [t for t, day in enumerate(days) if day < val_day]
        scaled = []
        for number, column in enumerate(columns):
            known = [column[t] for t in train]
            mean, scale = np.mean(known), np.std(known)
            if number == 0 and spec.relative_to_last:
                steps = range(1, min(L, len(known) - 1) + 1)
                changes = [np.mean([(known[t] - known[t - k]) ** 2 for t in range(k, len(known))]) for k in steps]
                scale = np.sqrt(np.mean(changes))
            scaled.append([(v - mean) / scale for v in column])
        first_val = sum(day < val_day for day in days)
        first_test = sum(day < test_day for day in days)
        spans = {
            "train": range(0, first_val),
            "val": range(first_val + gap, first_test),
            "test": range(first_test + gap, len(days)),
        }
        for part, span in spans.items():
            inputs = range(len(days)) if spec.history == "borrow" and part != "train" else span
            for t in range(len(days)):
                if not all(r in inputs for r in range(t - lead + 1, t + 1)):
                    continue
                if not all(r in span for r in range(t + 1, t + H + 1)):
                    continue
                last = scaled[0][t] if spec.relative_to_last else 0.0
                x = [c[r] - (last if i == 0 else 0.0) for r in range(t - L + 1, t + 1) for i, c in enumerate(scaled)]
                ahead = range(t + 1, t + H + 1)
                y = [int(price[r] > price[t]) if spec.target == "direction" else scaled[0][r] - last for r in ahead]
                found[part].append((name, days[t], x, y, [price[r] for r in ahead]))
    return found


@pytest.mark.parametrize("transform", ["level", "return", "log_return"])
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("target", ["value", "direction"])
@pytest.mark.parametrize(
    ("window", "horizon", "longest", "history", "gap"),
    [
        (1, 1, None, "own", None),
        (4, 1, None, "borrow", None),
        (3, 2, 5, "own", 1),
        (3, 2, 5, "borrow", 3),
        (5, 3, None, "own", None),
    ],
)
def test_samples_equal_a_plain_loop_over_the_prices(
    transform, relative, target, window, horizon, longest, history, gap
):
    rows = panel(["volume", "rate"])
    spec = RandomWalk(
        window=window, horizon=horizon, longest_window=longest, transform=transform, relative_to_last=relative,
        target=target, split=[0.5, 0.25, 0.25], history=history, gap=gap,
    )  # fmt: skip
    windows = series_windows(rows, spec, "test")
    for part, expected in loop(rows, spec, CALENDAR[30], CALENDAR[45]).items():
        origins, batches = zip(*windows.walk(part), strict=True)
        origin = torch.cat(origins)
        assert len(windows.parts[part]) == len(origin) == len(expected)
        assert list(windows.index[origin.numpy()]) == [(name, day) for name, day, *_ in expected]
        x, y, prices = ([sample[i] for sample in expected] for i in (2, 3, 4))
        np.testing.assert_allclose(torch.cat([b.x_ND for b in batches]), x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(torch.cat([b.y_NH for b in batches]), y, rtol=1e-9, atol=1e-9)
        assert windows.actual(origin).tolist() == prices
    assert {name for name, *_ in expected} == {"whole", "listed_later"}


@pytest.mark.parametrize(
    ("rows", "options", "counts"),
    [
        # train rows - (window - 1) - horizon; val and test lose a gap of horizon rows as well
        (10, {"split": [0.4, 0.3, 0.3]}, (3, 1, 1)),
        (40, {"window": 3, "horizon": 2, "split": [0.5, 0.25, 0.25]}, (16, 4, 4)),
        (40, {"window": 3, "horizon": 2, "split": ["2020-01-21", "2020-01-31"]}, (16, 4, 4)),
        (40, {"window": 3, "horizon": 2, "split": ["2020-01-16", "2020-02-01"]}, (11, 10, 3)),
        (50, {"window": 5, "horizon": 3, "split": [0.4, 0.3, 0.3]}, (13, 5, 5)),
        (33, {"split": [0.7, 0.15, 0.15]}, (22, 3, 3)),  # 23.1 and 28.05 rows
        (100, {"split": [0.7, 0.1, 0.2]}, (69, 8, 18)),  # 0.7 + 0.1 < 0.8 in binary
        (20, {"window": 2, "split": [0.7, 0.3, 0]}, (12, 3, 0)),
        (20, {"window": 2, "split": [0.7, 0, 0.3]}, (12, 0, 3)),
        (20, {"window": 2, "split": [1, 0, 0]}, (18, 0, 0)),
        (40, {"window": 3, "horizon": 2, "split": [0.5, 0.25, 0.25], "transform": "return"}, (15, 4, 4)),
        (40, {"window": 1, "longest_window": 3, "horizon": 2, "split": [0.5, 0.25, 0.25]}, (16, 4, 4)),
    ],
)
def test_number_of_samples_counted_by_hand(rows, options, counts):
    windows = windows_of((np.arange(1.0, rows + 1) ** 2).tolist(), **options)
    assert tuple(len(windows.parts[p]) for p in ("train", "val", "test")) == counts
    assert tuple(sum(len(origin) for origin, _ in windows.walk(p)) for p in ("train", "val", "test")) == counts


def test_series_of_different_lengths_counted_by_hand():
    rows = pd.concat([frame({"a": range(40)}), frame({"b": range(30)}, start="2020-01-11")])
    windows = series_windows(rows, RandomWalk(window=3, horizon=2, split=[0.5, 0.25, 0.25]), "test")
    origins = {p: torch.cat([o for o, _ in windows.walk(p)]).tolist() for p in windows.parts}
    # b's rows follow the 40 rows of a, and its first day is the eleventh day of a
    assert origins["train"] == [*range(2, 18), *range(42, 48)]
    assert origins["val"] == [*range(24, 28), *range(54, 58)]
    assert origins["test"] == [*range(34, 38), *range(64, 68)]


def rows_read(windows, part) -> set[tuple[int, int]]:
    """(series, day) of every price in a part's samples. The prices encode it: price = 1000 series + day."""
    prices = set()
    for origin, batch in windows.walk(part):
        series = windows.series_T[origin].unsqueeze(1)
        for values in (batch.x_ND, batch.y_NH):
            told = (values * windows.scale_S[series] + windows.mean_S[series]).round().int()
            assert torch.equal(told // 1000, series.expand_as(told).int()), "a sample reaches into another series"
            prices |= {divmod(price, 1000) for price in told.flatten().tolist()}
    return prices


@settings(max_examples=30, deadline=None)
@given(
    window=st.integers(1, 6),
    horizon=st.integers(1, 4),
    starts=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    longest=st.one_of(st.none(), st.integers(6, 8)),
    val_day=st.integers(25, 35),
    test_day=st.integers(52, 56),
    stop=st.integers(73, 84),
)
def test_parts_share_no_price_and_exactly_the_horizon_lies_between(
    window, horizon, starts, longest, val_day, test_day, stop
):
    calendar = pd.date_range("2020-01-01", periods=stop)
    days = {f"s{number}": np.arange(start, stop) for number, start in enumerate(starts)}
    tables = {n: pd.DataFrame({"value": 1000.0 * i + d}, calendar[d]) for i, (n, d) in enumerate(days.items())}
    rows = pd.concat(tables, names=["series", "date"])
    cuts = [f"{calendar[day]:%Y-%m-%d}" for day in (val_day, test_day)]
    spec = RandomWalk(window=window, horizon=horizon, longest_window=longest, split=cuts)
    windows = series_windows(rows, spec, "test")
    read = {part: rows_read(windows, part) for part in ("train", "val", "test")}
    unread = (longest or window) - window  # the first days of a part, which only longer windows read
    for number, start in enumerate(starts):
        seen = {part: sorted(day for series, day in pairs if series == number) for part, pairs in read.items()}
        assert seen["train"] == list(range(start + unread, val_day))
        assert seen["val"] == list(range(val_day + horizon + unread, test_day))
        assert seen["test"] == list(range(test_day + horizon + unread, stop))


@settings(max_examples=60, deadline=None)
@given(
    window=st.integers(1, 4),
    horizon=st.integers(1, 3),
    transform=st.sampled_from(["level", "return", "log_return"]),
    relative=st.booleans(),
    target=st.sampled_from(["value", "direction"]),
    features=st.sampled_from([[], ["volume"], ["volume", "rate"]]),
    split=st.sampled_from([[0.5, 0.25, 0.25], ["2020-01-31", "2020-02-15"]]),
    day=st.integers(30, 59),  # the first that differs; val begins on day 30
    until=st.sampled_from(["that day", "the end"]),
    who=st.sampled_from(["whole", "listed_later", "all"]),
    factor=st.sampled_from([0.01, 0.5, 1.5, 1e6]),
    data=st.data(),
)
def test_a_price_or_feature_changed_in_the_future_leaves_scales_and_earlier_inputs_bit_identical(
    window, horizon, transform, relative, target, features, split, day, until, who, factor, data
):
    column = data.draw(st.sampled_from(["value", *features]))
    rows = panel(features, seed=data.draw(st.integers(0, 5)))
    dates = rows.index.get_level_values("date")
    changed = (dates == CALENDAR[day]) if until == "that day" else (dates >= CALENDAR[day])
    if who != "all":
        changed &= rows.index.get_level_values("series") == who
    future = rows.copy()
    future.loc[changed, column] *= factor
    spec = RandomWalk(
        window=window, horizon=horizon, transform=transform, relative_to_last=relative, target=target, split=split
    )
    one, two = series_windows(rows, spec, "test"), series_windows(future, spec, "test")
    assert not torch.equal(one.inputs_TF, two.inputs_TF)  # the change did arrive
    for name in ("input_mean_SF", "input_scale_SF", "mean_S", "scale_S", "unit_S", "start_S", "train_stop_S"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    for part in ("train", "val", "test"):
        for (origin, a), (same, b) in zip(one.walk(part), two.walk(part), strict=True):
            assert torch.equal(origin, same)
            last_day = one.index.get_level_values("date")[origin.numpy()]
            known = torch.from_numpy(np.asarray(last_day < CALENDAR[day]))
            assert torch.equal(a.x_ND[known], b.x_ND[known])
            assert torch.equal(one.last(origin)[known], two.last(origin)[known])
            settled = torch.from_numpy(np.asarray(last_day + pd.Timedelta(days=horizon) < CALENDAR[day]))
            assert torch.equal(a.y_NH[settled], b.y_NH[settled])
            if part == "train":
                assert known.all()
                assert settled.all()


@pytest.mark.parametrize("transform", ["level", "return", "log_return"])
def test_a_price_changed_within_the_training_part_moves_earlier_inputs_by_the_scale_alone(transform):
    rows = panel(["volume"])
    future = rows.copy()
    dates = rows.index.get_level_values("date")
    future.loc[dates >= CALENDAR[25], "value"] *= 3
    spec = RandomWalk(window=3, transform=transform, split=[0.5, 0.25, 0.25])
    told = []
    for given_rows in (rows, future):
        windows = series_windows(given_rows, spec, "test")
        origin, batch = next(windows.walk("train"))
        series = windows.series_T[origin]
        scale, mean = windows.input_scale_SF[series].repeat(1, 3), windows.input_mean_SF[series].repeat(1, 3)
        earlier = windows.index.get_level_values("date")[origin.numpy()] < CALENDAR[25]
        told.append((batch.x_ND * scale + mean)[torch.from_numpy(np.asarray(earlier))])
    assert len(told[0]) == (25 - 2) + (22 - 2) + (11 - 2) - (3 if transform != "level" else 0)
    torch.testing.assert_close(told[0], told[1], rtol=1e-12, atol=1e-12)


def test_standardizer_equals_numpys_mean_and_population_deviation_column_by_column():
    rows = np.random.default_rng(2).normal([1, -50, 1e6], [1, 20, 3], (41, 3))
    fitted = Standardizer.fit(torch.from_numpy(rows))
    np.testing.assert_allclose(fitted.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(fitted.scale, rows.std(0), rtol=1e-9)
    np.testing.assert_allclose(
        fitted.transform(torch.from_numpy(rows)), (rows - rows.mean(0)) / rows.std(0), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("transform", ["level", "return", "log_return"])
def test_every_series_and_feature_is_scaled_by_its_own_training_rows(transform):
    rows = panel(["volume"])
    windows = series_windows(rows, RandomWalk(transform=transform, split=[0.5, 0.25, 0.25]), "test")
    for number, name in enumerate(SPANS):
        table = rows.loc[name]
        price = table["value"]
        value = {"level": price, "return": price.pct_change(), "log_return": np.log(price).diff()}[transform]
        train = pd.DataFrame({"value": value, "volume": table["volume"]}).iloc[0 if transform == "level" else 1 :]
        train = train[train.index < CALENDAR[30]]
        np.testing.assert_allclose(windows.input_mean_SF[number], train.mean(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(windows.input_scale_SF[number], train.std(ddof=0), rtol=1e-9)
        assert windows.mean_S[number] == windows.input_mean_SF[number, 0]
        assert windows.scale_S[number] == windows.input_scale_SF[number, 0]
        assert windows.unit_S[number].item() == pytest.approx(price[train.index].std(ddof=0), rel=1e-9)
        own = slice(int(windows.start_S[number]), int(windows.train_stop_S[number]))
        np.testing.assert_allclose(windows.inputs_TF[own].mean(0), 0, atol=1e-9)
        np.testing.assert_allclose(windows.inputs_TF[own].std(0, correction=0), 1, rtol=1e-9)


@pytest.mark.parametrize("transform", ["level", "return", "log_return"])
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_to_price_of_the_targets_gives_back_the_files_prices(transform, relative, horizon):
    rows = panel(["volume"], {"a": (0, 60), "b": (7, 60)})
    spec = RandomWalk(
        window=3, horizon=horizon, transform=transform, relative_to_last=relative, split=[0.5, 0.25, 0.25]
    )
    windows = series_windows(rows, spec, "test")
    listed = {name: rows.loc[name, "value"] for name in ("a", "b")}
    for part in ("train", "val", "test"):
        for origin, batch in windows.walk(part):
            prices = windows.to_price(batch.y_NH, origin)
            assert prices.dtype == torch.float64
            after = []
            for name, day in windows.index[origin.numpy()]:
                next_row = list(listed[name].index).index(day) + 1
                after.append(listed[name].tolist()[next_row : next_row + horizon])
            np.testing.assert_allclose(prices, after, rtol=1e-9, atol=0)


def test_a_prediction_of_no_change_is_the_last_price():
    for options in ({"relative_to_last": True}, {"transform": "return"}, {"transform": "log_return"}):
        windows = series_windows(panel(), RandomWalk(window=2, horizon=3, split=[0.5, 0.25, 0.25], **options), "test")
        origin, batch = next(windows.walk("val"))
        zero = torch.zeros_like(batch.y_NH)
        if "transform" in options:  # a return of 0 is -mean / scale in the model's units
            zero = zero - (windows.mean_S / windows.scale_S)[windows.series_T[origin]].unsqueeze(1)
        torch.testing.assert_close(
            windows.to_price(zero, origin), windows.last(origin).expand(-1, 3), rtol=1e-12, atol=0
        )


def test_predictions_for_plain_rows_come_back_as_the_targets():
    spec = Line(rows=50, a=7, b=300)
    windows = row_windows(spec.read(), spec, "test", seed=3)
    for part in ("train", "val", "test"):
        for origin, batch in windows.walk(part):
            torch.testing.assert_close(windows.to_price(batch.y_NH, origin), windows.actual(origin), rtol=1e-12, atol=0)


@pytest.mark.parametrize("relative", [True, False])
def test_gathering_does_not_change_the_rows(relative):
    windows = series_windows(
        panel(["volume"]), RandomWalk(window=3, relative_to_last=relative, split=[0.5, 0.25, 0.25]), "test"
    )
    before = windows.inputs_TF.clone()
    origin = windows.parts["train"].origins(torch.arange(len(windows.parts["train"])))
    first, again = windows.gather(origin), windows.gather(origin)
    first.x_ND.zero_()
    assert torch.equal(again.x_ND, windows.gather(origin).x_ND)
    assert torch.equal(windows.inputs_TF, before)


def test_storage_is_a_few_numbers_per_row_in_training_precision_too():
    rows = 4000
    spec = RandomWalk(rows=rows, window=500)
    windows = series_windows(spec.read(), spec, "test")
    for held in (windows, windows.to("cpu", torch.float32)):
        tensors = [t for t in vars(held).values() if isinstance(t, torch.Tensor)]
        tensors += [t for part in held.parts.values() for t in vars(part).values() if isinstance(t, torch.Tensor)]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        assert sum(storages.values()) <= 8 * 5 * rows  # windows of 500 would be 100 times as much


def test_walking_in_small_steps_gives_the_same_samples(monkeypatch):
    windows = series_windows(panel(["volume"]), RandomWalk(window=3, split=[0.5, 0.25, 0.25]), "test")
    (whole,) = windows.walk("train")
    monkeypatch.setattr(windows_module, "CHUNK", 64 * 7)
    steps = list(windows.walk("train"))
    assert [len(origin) for origin, _ in steps] == [7] * (len(whole[0]) // 7) + [len(whole[0]) % 7]
    assert torch.equal(torch.cat([origin for origin, _ in steps]), whole[0])
    assert torch.equal(torch.cat([batch.x_ND for _, batch in steps]), whole[1].x_ND)
    assert torch.equal(torch.cat([batch.y_NH for _, batch in steps]), whole[1].y_NH)


@pytest.mark.parametrize("transform", ["level", "return"])
@pytest.mark.parametrize("series", [1, 2])
def test_longest_window_puts_the_targets_on_the_days_of_a_window_of_that_length(transform, series):
    rows = panel(["volume"], dict(list(SPANS.items())[::2][:series]))
    days = []
    for window, longest in ((1, 5), (3, 5), (5, 5), (5, None)):
        spec = RandomWalk(
            window=window, longest_window=longest, horizon=2, transform=transform, split=[0.5, 0.25, 0.25]
        )
        windows = series_windows(rows, spec, "test")
        days.append({p: [list(windows.index[(o + 1).numpy()]) for o, _ in windows.walk(p)] for p in windows.parts})
    assert days[0] == days[1] == days[2] == days[3]


@pytest.mark.parametrize("constant", [0.1, 0.3, 1.1, 2.7])
def test_a_constant_training_price_is_refused_for_any_rounding(constant):
    for rows in range(20, 100, 10):
        values = [constant] * (7 * rows // 10) + [float(v) for v in range(rows - 7 * rows // 10)]
        with pytest.raises(ValueError, match=r"'value' does not change within the \d+ training rows"):
            windows_of(values)


@pytest.mark.parametrize("transform", ["return", "log_return"])
def test_steady_growth_has_no_returns_to_scale(transform):
    with pytest.raises(ValueError, match=r"'value' does not change within the \d+ training rows"):
        windows_of((100 * 1.01 ** np.arange(60.0)).tolist(), transform=transform)


def test_a_constant_training_feature_is_named():
    volume = [5.0] * 50 + [float(v) for v in range(10)]
    with pytest.raises(ValueError, match=r"s: 'volume' does not change within the 42 training rows"):
        windows_of([float(v) for v in range(60)], {"volume": volume})


def test_faults_of_all_series_are_reported_together():
    rows = frame({"up": range(1, 31), "broke": [*range(29), 0], "flat": [7] * 29 + [8]})
    with pytest.raises(ValueError, match="^prices.csv: 2 faults") as caught:
        series_windows(rows, RandomWalk(transform="return"), "prices.csv")
    message = str(caught.value)
    assert "broke: data.transform=return needs prices above 0, 2 are not, first 0 on 2020-01-01" in message
    assert "flat: 'value' does not change" in message
    assert "up" not in message


def test_negative_prices_have_levels():
    windows = windows_of([float(v) for v in range(-30, 30)])
    origin, batch = next(windows.walk("test"))
    torch.testing.assert_close(windows.to_price(batch.y_NH, origin), windows.actual(origin), rtol=1e-12, atol=1e-12)


def test_plain_rows_pair_each_input_with_the_target_of_its_own_row():
    rows = pd.DataFrame({"x1": np.arange(1.0, 41) ** 2, "x2": np.arange(40.0)[::-1], "y": np.arange(40.0) * 5})
    windows = row_windows(rows, Line(split=[0.6, 0.2, 0.2]), "test", seed=4)
    seen = []
    for part in ("train", "val", "test"):
        origin, batch = next(windows.walk(part))
        told = batch.x_ND * windows.input_scale_SF + windows.input_mean_SF
        for x, y, row in zip(told, windows.actual(origin), windows.index[origin.numpy()], strict=True):
            np.testing.assert_allclose([*x, *y], rows.loc[row], rtol=1e-9, atol=1e-9)
            seen.append(row)
    assert sorted(seen) == list(range(40))


def test_plain_rows_are_scaled_by_the_training_rows_only():
    spec = Line(rows=40, split=[0.5, 0.25, 0.25])
    rows = spec.read()
    one = row_windows(rows, spec, "test", seed=1)
    train = rows.loc[one.index[:20]]
    np.testing.assert_allclose([*one.input_mean_SF[0], *one.mean_S], train.mean(), rtol=1e-12)
    np.testing.assert_allclose([*one.input_scale_SF[0], *one.scale_S], train.std(ddof=0), rtol=1e-12)
    other = rows.copy()
    other.loc[one.index[20:]] *= 100
    two = row_windows(other, spec, "test", seed=1)
    (_, a), (_, b) = next(one.walk("train")), next(two.walk("train"))
    assert torch.equal(a.x_ND, b.x_ND)
    assert torch.equal(a.y_NH, b.y_NH)
    assert torch.equal(one.scale_S, two.scale_S)
    assert torch.equal(one.input_scale_SF, two.input_scale_SF)


def test_plain_rows_for_training_only_are_all_rows_of_the_file():
    spec = Line(rows=10, split=[1, 0, 0])
    rows = spec.read()
    windows = row_windows(rows, spec, "test", seed=5)
    assert windows.price_T.tolist() == rows["value"].tolist()
    assert list(windows.walk("val")) == list(windows.walk("test")) == []


def test_parts_by_numbers_of_days_with_borrowed_history_are_those_of_the_literature():
    """The windows of the data loader of Informer and its successors, for one series after the other."""
    L, H, days = 24, 12, (280, 40, 80)
    names, calendar = ["a", "b", "c"], pd.bdate_range("2020-01-01", periods=420)
    walks = 100 + np.random.default_rng(0).normal(size=(420, 3)).cumsum(0)
    rows = pd.concat(
        {n: pd.DataFrame({"value": walks[:, i]}, calendar) for i, n in enumerate(names)}, names=["series", "date"]
    )
    spec = RandomWalk(window=L, horizon=H, history="borrow", split=list(days))
    windows = series_windows(within(rows, spec, "test"), spec, "test")
    scaled = (walks - walks[: days[0]].mean(0)) / walks[: days[0]].std(0)
    starts, stops = [0, days[0] - L, sum(days[:2]) - L], [days[0], sum(days[:2]), sum(days)]
    for part, start, stop in zip(("train", "val", "test"), starts, stops, strict=True):
        data = scaled[start:stop]
        x = [data[i : i + L, s] for s in range(3) for i in range(len(data) - L - H + 1)]
        y = [data[i + L : i + L + H, s] for s in range(3) for i in range(len(data) - L - H + 1)]
        origins, batches = zip(*windows.walk(part), strict=True)
        np.testing.assert_allclose(torch.cat([b.x_ND for b in batches]), x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(torch.cat([b.y_NH for b in batches]), y, rtol=1e-9, atol=1e-9)
        assert len(torch.cat(origins)) == len(x)
    error = np.array(y) - np.array(x)[:, -1:]  # of persistence on the test part
    found = Evaluator(windows).baselines["persistence"]["test"]
    assert found["mse_scaled"] == pytest.approx((error**2).mean())
    assert found["mae_scaled"] == pytest.approx(abs(error).mean())


def test_days_after_the_last_one_that_is_used_are_left_out():
    rows = frame({"a": range(1, 101)})
    for options in ({"until": "2020-02-19"}, {"split": [30, 10, 10]}):
        kept = within(rows, RandomWalk(**options), "test")
        assert kept["value"].tolist() == [float(value) for value in range(1, 51)]
    with pytest.raises(ValueError, match="needs 120 days, but there are 100"):
        within(rows, RandomWalk(split=[100, 10, 10]), "test")
    with pytest.raises(ValueError, match="leaves no row"):
        within(rows, RandomWalk(until="2019-01-01"), "test")
    for options, message in (
        ({"until": "soon"}, "must be a date"),
        ({"split": [30, 10.5, 10]}, "whole numbers of days"),
        ({"gap": -1}, "data.gap=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            RandomWalk(**options)
