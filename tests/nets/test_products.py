"""Products of several models: the same by either library, and each processor has the one whose are faster."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.nets import products
from steepest.nets.products import is_intels, multiply, numpys_are_wider


@settings(deadline=None)
@given(
    groups=st.integers(1, 3), each=st.integers(1, 3), sizes=st.tuples(*[st.integers(1, 9)] * 3), turned=st.booleans(),
    wide=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_both_libraries_give_what_einsum_gives(groups, each, sizes, turned, wide, seed):
    random = torch.Generator().manual_seed(seed)
    rows, inner, columns = sizes
    a = torch.randn(groups, inner, rows, generator=random, dtype=torch.float64).mT
    b = torch.randn(groups * each, inner, columns, generator=random, dtype=torch.float64)
    wanted = torch.einsum("rij,rjk->rik", a.repeat_interleave(each, 0), b)
    # Rows as in a stack: with something else between them.
    room = torch.zeros(groups * each, rows * columns + 2, dtype=torch.float64)
    out = room[:, : rows * columns]
    out = out.view(-1, columns, rows).mT if turned else out.view(-1, rows, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "numpys_are_wider", lambda: wide)
        torch.testing.assert_close(multiply(a, b), wanted)
        if not turned or wide:
            multiply(a, b, out)
            torch.testing.assert_close(out, wanted)
            assert not room[:, rows * columns :].any()


@pytest.mark.usefixtures("library")
def test_an_overflow_is_told_by_its_numbers_and_not_by_a_warning():
    large = torch.full((2, 2, 2), 1e200, dtype=torch.float64)
    assert multiply(large, large).isinf().all()


@pytest.mark.parametrize(
    ("kernels", "intels", "wider"),
    [(["SkylakeX"], False, True), (["Cooperlake"], False, True), (["Haswell"], False, False), ([], False, False),
     (["SkylakeX", "Haswell"], False, False), (["SkylakeX"], True, False)],
)  # fmt: skip
def test_numpys_are_taken_where_only_they_use_the_widest_instructions(monkeypatch, kernels, intels, wider):
    found = [{"internal_api": "openblas", "architecture": name} for name in kernels]
    monkeypatch.setattr(products, "threadpool_info", lambda: [{"internal_api": "openmp"}, *found])
    monkeypatch.setattr(products, "is_intels", lambda: intels)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert numpys_are_wider.__wrapped__() is wider


def test_a_processor_is_intels_if_linux_says_so(tmp_path):
    described = tmp_path / "cpuinfo"
    assert not is_intels(described)
    described.write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\n")
    assert not is_intels(described)
    described.write_text("processor\t: 0\nvendor_id\t: GenuineIntel\n")
    assert is_intels(described)
