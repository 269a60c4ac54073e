"""Small data of the course: handwritten digits, as images or as sequences, lists to look up in, quadratics of chosen curvatures."""

from importlib.resources import files
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class Digits(NamedTuple):
    """Images as rows of 64 pixels or as sequences (N, T, pixels), labels as integers from 0 to 9."""

    x_train: Tensor  # (1400, 64) float32
    y_train: Tensor  # (1400,) int64
    x_test: Tensor  # (397, 64) float32
    y_test: Tensor  # (397,) int64


def digits(*, sign_flipped: bool = False, standardised: bool = True) -> Digits:
    """The 1797 real 8x8 digits: 1400 to train on and 397 to test on, always the same split.

    With ``sign_flipped`` each image is multiplied by its own random sign, a photographic negative of every other one.
    Plain digits are nearly linearly separable, so a network whose layers all fail but whose skip path works still
    classifies them; no linear model classifies the flipped ones.

    Pixels are standardised by one mean and one standard deviation, those of the training pixels; else they are 0 to 16.
    The 13 writers appear on both sides of the split, so test accuracy here says nothing about new writers.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, doi 10.24432/C50P49.
    """
    with np.load(str(files("gradutils") / "assets" / "digits.npz")) as archive:
        x = torch.tensor(archive["images"], dtype=torch.float32)
        y = torch.tensor(archive["labels"], dtype=torch.int64)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    if standardised:
        x = x / 16
        x = (x - x[:1400].mean()) / x[:1400].std()
    if sign_flipped:
        x = x * (2.0 * torch.randint(2, (len(x), 1), generator=torch.Generator().manual_seed(1)) - 1)
    return Digits(x[:1400], y[:1400], x[1400:], y[1400:])


def digit_sequences(pixels: int = 4) -> Digits:
    """The digits read ``pixels`` pixels at a time, row by row: x of shape (N, 64 / pixels, pixels).

    4 pixels make 16 steps, 1 pixel makes 64. Raises ValueError unless ``pixels`` divides 64.
    """
    if pixels < 1 or 64 % pixels:
        raise ValueError(f"pixels must divide 64 (1, 2, 4, 8, 16, 32 or 64); got {pixels!r}")
    x_train, y_train, x_test, y_test = digits()
    return Digits(x_train.view(1400, -1, pixels), y_train, x_test.view(397, -1, pixels), y_test)


def quadratic(eigenvalues, seed=None) -> Tensor:
    """The Hessian of the quadratic loss x.H.x / 2 with these curvatures, (n, n) float64.

    With ``seed=None`` the matrix is diagonal; with a seed it is turned by a random rotation, and no axis is special.

    Raises ValueError unless ``eigenvalues`` is a non-empty sequence of finite numbers.
    """
    values = torch.as_tensor(eigenvalues, dtype=torch.float64)
    if values.ndim != 1 or len(values) == 0 or not torch.isfinite(values).all():
        raise ValueError(
            f"eigenvalues must be a non-empty sequence of finite numbers, such as [1.0, 10.0]; got {eigenvalues!r}"
        )
    if seed is None:
        return torch.diag(values)
    gaussian = torch.randn(
        len(values), len(values), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    rotation, _ = torch.linalg.qr(gaussian)
    matrix = rotation @ torch.diag(values) @ rotation.T
    return (matrix + matrix.T) / 2  # rounding left it a hair from symmetric


def key_recall(count: int, *, pairs: int = 6, kinds: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Lists of pairs and a question: x (count, pairs + 1, 3 * kinds), and the value asked for, (count,) from 0 to kinds - 1.

    A token holds a key, a value and a question, each as one-hot of ``kinds`` or as zeros. First come the pairs, each a key
    and a value; no key comes twice. The last token asks for one of the keys. Whoever cannot look up where that key stood can
    at best guess among the values of the list.

    Raises ValueError unless ``pairs`` lies between 1 and ``kinds``.
    """
    if not 1 <= pairs <= kinds:
        raise ValueError(
            f"pairs must lie between 1 and kinds, {kinds}, since no key comes twice; got {pairs}"
        )
    generator = torch.Generator().manual_seed(seed)
    keys = torch.rand(count, kinds, generator=generator).argsort(1)[:, :pairs]
    values = torch.randint(kinds, (count, pairs), generator=generator)
    asked = torch.randint(pairs, (count, 1), generator=generator)
    x = torch.zeros(count, pairs + 1, 3, kinds)
    x[:, :pairs, :2] = F.one_hot(torch.stack([keys, values], 2), kinds).float()
    x[:, pairs, 2] = F.one_hot(keys.gather(1, asked)[:, 0], kinds).float()
    return x.flatten(2), values.gather(1, asked)[:, 0]
