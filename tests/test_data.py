"""The digits are scikit-learn's, flipped or in sequence; the quadratics have the curvatures asked for."""

from importlib.resources import files

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradutils.data import digit_sequences, digits, key_recall, quadratic


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


def test_flipped_digits_are_the_digits_times_a_random_sign():
    plain, flipped = digits(), digits(sign_flipped=True)
    for x, turned in ((plain.x_train, flipped.x_train), (plain.x_test, flipped.x_test)):
        signs = (x * turned).sum(1).sign()
        assert torch.equal(turned, x * signs.unsqueeze(1))
        assert abs(signs.mean()) < 4 / len(signs) ** 0.5
    assert torch.equal(plain.y_train, flipped.y_train)
    assert torch.equal(plain.y_test, flipped.y_test)
    assert all(torch.equal(a, b) for a, b in zip(digits(sign_flipped=True), flipped, strict=True))
    signs = (plain.x_train * flipped.x_train).sum(1).sign()
    for label in range(10):  # the sign tells nothing about the label
        assert abs(signs[plain.y_train == label].mean()) < 0.4


def test_a_linear_model_classifies_the_digits_but_not_the_flipped_ones():
    from sklearn.linear_model import RidgeClassifier

    def accuracy(data):
        x_train, y_train, x_test, y_test = (part.numpy() for part in data)
        return RidgeClassifier().fit(x_train, y_train).score(x_test, y_test)

    assert accuracy(digits()) > 0.9
    assert accuracy(digits(sign_flipped=True)) < 0.35


@pytest.mark.parametrize("pixels", [1, 2, 4, 8, 16, 32, 64])
def test_sequences_are_the_digits_read_row_by_row(pixels):
    plain, sequences = digits(), digit_sequences(pixels)
    for images, read in ((plain.x_train, sequences.x_train), (plain.x_test, sequences.x_test)):
        assert read.shape == (len(images), 64 // pixels, pixels)
        for step in range(64 // pixels):
            assert torch.equal(read[:, step], images[:, step * pixels : (step + 1) * pixels])
    assert torch.equal(plain.y_train, sequences.y_train)
    assert torch.equal(plain.y_test, sequences.y_test)


def test_four_pixels_a_step_unless_told():
    assert all(torch.equal(a, b) for a, b in zip(digit_sequences(), digit_sequences(4), strict=True))


@pytest.mark.parametrize("wrong", [0, -4, 3, 128])
def test_a_bad_number_of_pixels_is_a_clear_error(wrong):
    with pytest.raises(ValueError, match=f"pixels must divide 64 .*got {wrong}"):
        digit_sequences(wrong)


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


def test_raw_digits_are_the_standardised_ones_up_to_one_scale_and_one_shift():
    raw, ready = digits(standardised=False), digits()
    assert raw.x_train.min() == 0
    assert raw.x_train.max() == 16
    assert torch.allclose((raw.x_test - raw.x_train.mean()) / raw.x_train.std(), ready.x_test, atol=1e-5)
    assert torch.equal(raw.y_train, ready.y_train)


def test_a_list_answers_its_question():
    x, y = key_recall(500, pairs=5, kinds=7, seed=3)
    assert x.shape == (500, 6, 21)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    keys, values, questions = x.split(7, -1)
    assert (keys[:, :5].sum(-1) == 1).all()
    assert (values[:, :5].sum(-1) == 1).all()
    assert (keys[:, :5].sum(1) <= 1).all()  # no key comes twice
    assert (keys[:, 5] == 0).all()
    assert (values[:, 5] == 0).all()
    assert (questions[:, :5] == 0).all()
    assert (questions[:, 5].sum(-1) == 1).all()
    place = keys[:, :5].argmax(-1) == questions[:, 5].argmax(-1, keepdim=True)
    assert (place.sum(1) == 1).all()
    assert (values[:, :5].argmax(-1)[place] == y).all()
    again, other = key_recall(500, pairs=5, kinds=7, seed=3), key_recall(500, pairs=5, kinds=7, seed=4)
    assert torch.equal(x, again[0])
    assert not torch.equal(x, other[0])
    assert all(0.05 < (y == k).float().mean() < 0.3 for k in range(7))
    for pairs in (0, 8):
        with pytest.raises(ValueError, match=f"pairs must lie between 1 and kinds, 7, .* got {pairs}"):
            key_recall(10, pairs=pairs, kinds=7)
