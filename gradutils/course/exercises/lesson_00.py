"""Exercise of lesson 00."""

import torch

from gradutils.course.exercise import Exercise, drawer


def _rms(x):
    return x.square().mean().sqrt()


def _vectors(generator):
    randn = drawer(generator)
    return [
        (torch.tensor([3.0, 4.0]),),
        (torch.tensor([1.0, -1.0, 1.0, -1.0]),),
        (randn(5, dtype=torch.float64) + 2,),
        (randn(3, 4) * 10,),
    ]


EXERCISES = {
    "00.1": Exercise(
        task="rms(x): the root of the mean of the squares of all entries of x, as a 0-d tensor",
        reference=_rms,
        cases=_vectors,
        mistakes={
            "This is the mean of the squares. The root is still to be taken.": lambda x: x.square().mean(),
            "This is the root of the sum of the squares, the norm. It grows with the number of entries; take the mean.": (
                lambda x: x.square().sum().sqrt()
            ),
            "The mean was taken before the squares: opposite signs cancel.": (
                lambda x: x.mean().square().sqrt()
            ),
            "This is the mean of the absolute values. Square first, take the root last.": (
                lambda x: x.abs().mean()
            ),
            "Absolute values were averaged where squares belong; the root of them is no size any more.": (
                lambda x: x.abs().mean().sqrt()
            ),
            "The root of the sum was divided by the number of entries. The mean comes first, and the root is taken of it.": (
                lambda x: x.norm() / x.numel()
            ),
            "The sum was divided by n - 1, as for a standard deviation. Here it is a plain mean, over n entries.": (
                lambda x: (x.square().sum() / (x.numel() - 1)).sqrt()
            ),
            "This is the largest entry. The RMS weighs all of them: square, mean, root.": lambda x: (
                x.abs().max()
            ),
            "The mean was squared. It is the squares that are averaged, and the root comes last.": (
                lambda x: x.mean().square()
            ),
            "The mean went along one axis only, and a matrix gives several numbers. All entries count: .mean() without an axis.": (
                lambda x: x.square().mean(-1).sqrt()
            ),
            "The mean went along the first axis only, and a matrix gives several numbers. All entries count: .mean() without an axis.": (
                lambda x: x.square().mean(0).sqrt()
            ),
            "This is the standard deviation, which subtracts the mean first. Leave the mean in.": (
                lambda x: x.std()
            ),
            "This subtracts the mean first, as a standard deviation does.": lambda x: x.std(correction=0),
        },
        hints=(
            "The name says the order, read from right to left: square, mean, root.",
            "Tensors have methods for all three: x.square(), then .mean(), then .sqrt().",
        ),
        alternatives=(lambda x: (x**2).mean() ** 0.5, lambda x: x.norm() / x.numel() ** 0.5),
    )
}
