"""`mixes_samples` tells whether one sample's output depends on another's input, and leaves the model as it was."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradutils.models import TransformerBlock, mlp
from gradutils.recorder.mixing import mixes_samples


class Rows(nn.Module):
    """An LSTM that wants (time, batch, features), and how it gets them."""

    def __init__(self, swap):
        super().__init__()
        self.swap, self.rnn, self.out = swap, nn.LSTM(4, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.out(self.rnn(self.swap(x))[0][-1])


class Over(nn.Module):
    """A linear layer, and an operation on its output."""

    def __init__(self, operation):
        super().__init__()
        self.linear, self.operation = nn.Linear(5, 3), operation

    def forward(self, x):
        return self.operation(self.linear(x))


class Words(nn.Module):
    """Token and position embeddings, and one transformer block."""

    def __init__(self, view=False):
        super().__init__()
        self.words, self.places = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.block, self.out, self.view = TransformerBlock(8, 2), nn.Linear(8, 2), view

    def forward(self, ids, mask=None):
        h = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        if self.view:
            h = h.view(ids.shape[1], ids.shape[0], -1).transpose(0, 1)
        return {"logits": self.out(self.block(h).mean(1))}


def images(batch=6):
    return torch.randn(batch, 3, 8, 8)


def convnet(**norm):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, **norm), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    )


MIXING = {
    "a view for a transpose": lambda: (Rows(lambda x: x.view(x.shape[1], x.shape[0], -1)), torch.randn(6, 7, 4)),
    "softmax over the samples": lambda: (Over(lambda h: h.softmax(0)), torch.randn(6, 5)),
    "a norm over the samples": lambda: (Over(lambda h: F.normalize(h, dim=0)), torch.randn(6, 5)),
    "a mean over the samples taken off": lambda: (Over(lambda h: h - h.mean(0)), torch.randn(6, 5)),
    "attention over the samples": lambda: (TransformerBlock(8, 2), torch.randn(1, 6, 8)),
    "words in a view": lambda: (Words(view=True), torch.randint(11, (5, 6))),
}  # fmt: skip
APART = {
    "a transpose": lambda: (Rows(lambda x: x.transpose(0, 1)), torch.randn(6, 7, 4)),
    "softmax over the classes": lambda: (Over(lambda h: h.softmax(1)), torch.randn(6, 5)),
    "an mlp": lambda: (mlp(3, 8, inputs=5, outputs=2), torch.randn(4, 5)),
    "attention over time": lambda: (TransformerBlock(8, 2), torch.randn(6, 7, 8)),
    "words": lambda: (Words(), torch.randint(11, (5, 6))),
    "as many words as sentences": lambda: (Words(), torch.randint(11, (6, 6))),
    "words by name, with a mask": lambda: (Words(), {"ids": torch.randint(11, (5, 6)), "mask": torch.ones(6)}),
    "batch norm": lambda: (convnet(), images()),
    "batch norm without running statistics": lambda: (convnet(track_running_stats=False), images()),
}  # fmt: skip
SECOND_AXIS = [name for name in MIXING if name == "attention over the samples"]


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_is_found(name):
    torch.manual_seed(0)
    model, batch = MIXING[name]()
    found = mixes_samples(model, batch, dim=1 if name in SECOND_AXIS else 0)
    assert found.mixes
    assert 0.01 < found.share <= 1
    assert str(found) == found.sentence
    assert "Samples mix" in found.sentence


@pytest.mark.parametrize("name", APART)
def test_what_keeps_samples_apart_is_left_alone(name):
    torch.manual_seed(0)
    model, batch = APART[name]()
    if name.startswith("batch norm"):
        model(batch)  # the lazy layer takes its shape
    found = mixes_samples(model, batch)
    assert (found.mixes, found.share) == (False, 0.0)


def test_batch_norm_alone_is_put_aside_and_not_what_comes_after_it():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), Over(lambda h: h.softmax(0)))
    model[2].linear = nn.Linear(4, 3)
    assert mixes_samples(model, torch.randn(6, 5)).mixes


def test_the_axis_of_the_samples_can_be_given():
    torch.manual_seed(0)
    model, x = nn.RNN(4, 8), torch.randn(7, 6, 4)
    assert not mixes_samples(model, x, dim=1).mixes
    assert mixes_samples(model, x, dim=0).mixes  # along time it must


@pytest.mark.parametrize("norm", [{}, {"track_running_stats": False}])
@pytest.mark.parametrize("train", [True, False])
def test_the_model_and_the_random_numbers_are_as_before(norm, train):
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 4)), nn.BatchNorm1d(4, **norm), nn.Dropout(),
                          nn.Linear(4, 2)).train(train)  # fmt: skip
    model[3].eval()
    x = torch.randn(6, 5)
    model(x).sum().backward()
    state, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    grads, random = [p.grad.clone() for p in model.parameters()], torch.get_rng_state()
    statistics = model[1].running_mean is None
    with torch.no_grad():
        mixes_samples(model, x)
    assert all(torch.equal(v, state[name]) for name, v in model.state_dict().items())
    assert list(model.state_dict()) == list(state)
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert (model[1].running_mean is None) == statistics
    assert not x.requires_grad
    assert not any(m._forward_hooks for m in model.modules())


def test_the_model_is_as_before_even_where_it_raises():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(3, 2))
    with pytest.raises(RuntimeError):
        mixes_samples(model, torch.randn(6, 4))
    assert model[0].training


@pytest.mark.parametrize(
    ("model", "batch", "error", "said"),
    [
        ("net", torch.zeros(3, 2), TypeError, "nn.Module; got str"),
        (nn.Linear(2, 2), "batch", TypeError, "got str"),
        (nn.Linear(2, 2), torch.zeros(1, 2), ValueError, "at least 2 samples"),
        (nn.Linear(2, 2), torch.tensor(1.0), ValueError, "no tensor with an axis 0"),
        (Over(lambda h: h.sum()), torch.zeros(3, 5), ValueError, "floating-point tensor|which axis"),
        (Over(lambda h: h.detach()), torch.zeros(3, 5), ValueError, "has no gradient"),
        (Over(lambda h: (h / 0).exp()), torch.ones(3, 5), ValueError, "not finite"),
        (Over(lambda h: 0 * h), torch.ones(3, 5), ValueError, "do not depend on the inputs"),
        (Over(lambda h: h.argmax(1)), torch.ones(3, 5), ValueError, "no floating-point tensor"),
    ],
)
def test_what_cannot_be_told_is_refused(model, batch, error, said):
    with pytest.raises(error, match=said):
        mixes_samples(model, batch)


def test_integers_without_an_embedding_are_refused():
    class OneHot(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(11, 2)

        def forward(self, ids):
            return self.linear(F.one_hot(ids, 11).float()).mean(1)

    with pytest.raises(ValueError, match=r"no nn\.Embedding"):
        mixes_samples(OneHot(), torch.randint(11, (4, 5)))
