"""The digits are scikit-learn's, the quadratics have the curvatures asked for."""

from importlib.resources import files

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradutils.data import digits, quadratic


def test_digits_equal_scikit_learns_copy():
    import numpy as np
    from sklearn.datasets import load_digits

    path = files("gradutils") / "assets" / "digits.npz"
    theirs = load_digits()
    with np.load(str(path)) as ours:
        assert (ours["images"] == theirs.data).all()
        assert (ours["labels"] == theirs.target).all()
    assert path.stat().st_size < 50_000
    assert "Alpaydin" in (files("gradutils") / "assets" / "digits.txt").read_text()


def test_digits_are_split_and_standardised():
    data = digits()
    assert [tuple(part.shape) for part in data] == [(1400, 64), (1400,), (397, 64), (397,)]
    assert data.x_train.dtype == torch.float32
    assert data.y_train.dtype == torch.int64
    assert data.x_train.mean().abs() < 1e-5
    assert abs(data.x_train.std() - 1) < 1e-5
    assert all(torch.equal(a, b) for a, b in zip(digits(), data, strict=True))
    joined = torch.cat([data.x_train, data.x_test])
    assert len(torch.unique(joined, dim=0)) == len(joined)  # no image is on both sides


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.none() | st.integers(0, 1000))
def test_a_quadratic_has_the_curvatures_asked_for(eigenvalues, seed):
    H = quadratic(eigenvalues, seed)
    assert torch.equal(H, H.T)
    wanted = torch.tensor(sorted(eigenvalues), dtype=torch.float64)
    assert torch.allclose(torch.linalg.eigvalsh(H), wanted, atol=1e-9)


@pytest.mark.parametrize("wrong", [[], [[1.0]], [float("nan")], [1.0, float("inf")]])
def test_bad_curvatures_are_a_clear_error(wrong):
    with pytest.raises(ValueError, match="eigenvalues must be"):
        quadratic(wrong)
