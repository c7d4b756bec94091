"""Two ways of looking at the same updates find the same, wherever what they kept is asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.nets.networks import MLP
from steepest.lightning.updates import Flat
from steepest.observe.looks import BETWEEN_RATIOS, FlatLook, Look, way_to_look


def descent(hidden, updates, seed=0):
    """A net with its parameters and gradient in one tensor, at each of so many updates; and all states by NumPy."""
    net = MLP(2, hidden, 1, seed=seed).double()
    flat, random = Flat(net), torch.Generator().manual_seed(seed)
    for parameter, gradient in zip(flat.parameters, flat.gradients, strict=True):
        parameter.grad = gradient

    def steps():
        for _ in range(updates):
            flat.gradient.copy_(torch.randn(len(flat.gradient), generator=random, dtype=torch.float64))
            yield
            flat.theta.sub_(flat.gradient, alpha=0.1)

    return flat, steps()


def joined(found):
    norms = np.concatenate([rows.norms for rows in found])
    entries = np.concatenate([rows.entries for rows in found])
    return norms, entries, [ratio for rows in found for ratio in rows.ratios]


@settings(deadline=None, max_examples=40)
@given(
    done=st.integers(0, 120),
    asked=st.sets(st.integers(0, 129)),
    places=st.sampled_from(FlatLook.PLACES),
    hidden=st.sampled_from([[], [3], [4, 2]]),
)
def test_copies_and_norms_find_the_same_whenever_they_are_asked(done, asked, places, hidden):
    flat, steps = descent(hidden, 130)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlatLook, "NUMBERS", places * len(flat.both))
        looks = [Look([*flat.parameters], True, done), FlatLook(flat, True, done)]
    assert looks[1].places == places
    found: list[list] = [[], []]
    for number, _ in enumerate(steps):
        for look in looks:
            look.take()
        if number in asked:
            for kept, look in zip(found, looks, strict=True):
                kept.append(look.rows())
    if 129 not in asked:
        for kept, look in zip(found, looks, strict=True):
            kept.append(look.rows())
    (norms, entries, ratios), (same_norms, same_entries, same_ratios) = map(joined, found)
    np.testing.assert_allclose(same_norms, norms, rtol=1e-12)
    assert np.array_equal(same_entries, entries)
    assert [update for update, _ in same_ratios] == [update for update, _ in ratios]
    assert [update % BETWEEN_RATIOS for update, _ in ratios] == [1] * len(ratios)
    np.testing.assert_allclose([r for _, r in same_ratios], [r for _, r in ratios], rtol=1e-10)
    assert looks[0].spread() == pytest.approx(looks[1].spread(), rel=1e-12)
    assert looks[0].now() == looks[1].now()


def test_norms_and_ratios_are_numpys():
    flat, steps = descent([3], 52)
    look, states = FlatLook(flat, True), []
    for _ in steps:
        look.take()
        states.append(flat.both.clone().numpy())
    rows, states = look.rows(), np.array(states)
    sizes = [p.numel() for p in flat.parameters] * 2
    parts = np.split(states, np.cumsum(sizes)[:-1], axis=1)
    np.testing.assert_allclose(rows.norms, np.stack([np.linalg.norm(p, axis=1) for p in parts], axis=1), rtol=1e-12)
    (first, ratios), (second, _) = rows.ratios
    assert (first, second) == (1, 51)
    wanted = [np.linalg.norm(p[1] - p[0]) / np.linalg.norm(p[0]) for p in parts[:4]]
    assert ratios == pytest.approx(wanted, rel=1e-10)


def test_large_models_and_modules_without_one_tensor_are_looked_at_by_norms():
    net = MLP(300, [200], 1)
    module = torch.nn.Module()
    assert type(way_to_look(module, [*net.parameters()], False, 0)) is Look
    module.flat = Flat(net)
    assert type(way_to_look(module, [*net.parameters()], False, 0)) is FlatLook
    module.flat = Flat(MLP(2000, [300], 1))
    assert type(way_to_look(module, [*net.parameters()], False, 0)) is Look
