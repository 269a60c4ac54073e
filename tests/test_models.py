"""The networks against torch's own, their initialisation against the variances that it promises."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradutils.models import (
    ACTIVATIONS,
    Elementwise,
    TransformerBlock,
    activation_layer,
    elman_rnn,
    flat_scores,
    init_weights_,
    mlp,
    normalised_scores,
    recurrent_scores,
    recurrent_stacks,
    residual_scores,
    weight_stacks,
)

torch.set_num_threads(1)

FUNCTIONS = {
    "linear": lambda x: x,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": F.tanh,
    "sigmoid": F.sigmoid,
    "erf": torch.special.erf,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_every_activation_has_an_oracle():
    assert FUNCTIONS.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_torchs_functions(name):
    x = torch.linspace(-30, 30, 601, dtype=torch.float64)
    assert torch.equal(activation_layer(name)(x), FUNCTIONS[name](x))


def test_an_activation_may_be_a_name_a_module_or_a_function():
    module = nn.PReLU()
    assert isinstance(activation_layer("tanh"), nn.Tanh)
    assert isinstance(activation_layer(module), nn.PReLU)
    assert activation_layer(module).weight is not module.weight
    layer = activation_layer(torch.sin)
    assert isinstance(layer, Elementwise)
    assert torch.equal(layer(torch.ones(3)), torch.ones(3).sin())
    assert "sin" in repr(layer)


def test_mlp_names_its_layers_in_order():
    assert [n for n, _ in mlp(2, 8).named_children()] == ["fc1", "act1", "fc2", "act2", "out"]
    with_norm = [n for n, _ in mlp(2, 8, norm=nn.LayerNorm).named_children()]
    assert with_norm == ["fc1", "norm1", "act1", "fc2", "norm2", "act2", "out"]
    assert [n for n, _ in mlp(0, 8).named_children()] == ["out"]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_mlp_shapes(depth):
    model = mlp(depth, 8, inputs=5, outputs=3)
    shapes = [tuple(p.shape) for n, p in model.named_parameters() if n.endswith("weight")]
    sizes = [5] + [8] * depth + [3]
    assert shapes == [(b, a) for a, b in pairwise(sizes)]
    assert model(torch.ones(7, 5)).shape == (7, 3)


def test_mlp_equals_a_chain_of_torchs_functions():
    model = mlp(2, 8, "gelu", inputs=5, outputs=3, norm=nn.LayerNorm).double()
    x = normal(7, 5)
    h = x
    for fc in (model.fc1, model.fc2):
        h = F.gelu(F.layer_norm(F.linear(h, fc.weight, fc.bias), (8,)))
    assert close(model(x), F.linear(h, model.out.weight, model.out.bias))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_elman_rnn_equals_torchs_rnn(activation):
    ours = elman_rnn(4, 12, 3, activation).double()
    theirs = nn.RNN(4, 12, nonlinearity=activation, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.input.weight)
        theirs.bias_ih_l0.copy_(ours.input.bias)
        theirs.weight_hh_l0.copy_(ours.recurrent.weight)
        theirs.bias_hh_l0.zero_()
    x = normal(5, 9, 4)
    final = theirs(x)[1][0]
    assert ours(x).shape == (5, 3)
    assert close(ours(x), ours.out(final))
    ours(x).square().sum().backward()
    ours.out(final).square().sum().backward()
    assert close(ours.recurrent.weight.grad, theirs.weight_hh_l0.grad)


@pytest.mark.parametrize("pre_ln", [True, False], ids=["pre-LN", "post-LN"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_transformer_block_equals_torchs_encoder_layer(pre_ln, activation):
    ours = TransformerBlock(16, 4, pre_ln=pre_ln, activation=activation).double()
    theirs = nn.TransformerEncoderLayer(
        16, 4, dim_feedforward=64, dropout=0, activation=activation, batch_first=True, norm_first=pre_ln
    ).double()
    with torch.no_grad():
        for seed, norm in enumerate((ours.norm1, ours.norm2)):
            norm.weight.copy_(1 + 0.1 * normal(16, seed=seed))
            norm.bias.copy_(normal(16, seed=seed + 2))
    for target, source in (
        (theirs.self_attn, ours.attention),
        (theirs.linear1, ours.dense.fc1),
        (theirs.linear2, ours.dense.fc2),
        (theirs.norm1, ours.norm1),
        (theirs.norm2, ours.norm2),
    ):
        target.load_state_dict(source.state_dict())
    x = normal(3, 7, 16)
    assert close(ours(x), theirs(x))
    assert len(list(ours.parameters())) == len(list(theirs.parameters()))


@pytest.mark.parametrize("sigma_w", [0.5, 2.0])
@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: nn.Linear(300, 1000), 300),
        (lambda: nn.Linear(1000, 300, bias=False), 1000),
        (lambda: nn.Conv1d(30, 200, 5), 150),
        (lambda: nn.Conv2d(40, 200, 3), 360),
        (lambda: nn.Conv2d(40, 200, 3, groups=2), 180),
    ],
    ids=["wide", "narrow", "conv1d", "conv2d", "grouped"],
)
def test_weights_have_variance_sigma_w_squared_over_fan_in(layer, fan_in, sigma_w):
    weight = init_weights_(layer(), sigma_w, generator=seeded()).weight.detach().double().flatten()
    scaled = weight * fan_in**0.5 / sigma_w
    n = len(scaled)
    assert abs(scaled.mean()) < 5 / n**0.5
    assert abs(scaled.square().mean() - 1) < 5 * (2 / n) ** 0.5
    assert abs(scaled.pow(4).mean() - 3) < 5 * (96 / n) ** 0.5  # Gaussian, not merely of this variance


def test_biases_have_standard_deviation_sigma_b():
    bias = init_weights_(nn.Linear(2, 20_000), 1.0, 0.3, generator=seeded()).bias.detach().double()
    assert abs((bias / 0.3).square().mean() - 1) < 5 * (2 / 20_000) ** 0.5
    assert abs(bias.mean() / 0.3) < 5 / 20_000**0.5
    assert (init_weights_(nn.Linear(2, 20)).bias == 0).all()


def test_recurrent_and_attention_weights_are_drawn_too():
    for model in (nn.RNN(100, 200), nn.MultiheadAttention(200, 4)):
        init_weights_(model, 1.5, 0.2, generator=seeded())
        for name, parameter in model.named_parameters():
            fan_in = parameter.shape[-1]
            wanted = 0.2**2 if "bias" in name else 1.5**2 / fan_in
            spread = parameter.detach().double().square().mean() / wanted
            assert abs(spread - 1) < 5 * (2 / parameter.numel()) ** 0.5, name


def test_square_orthogonal_weights_are_rotations():
    W = init_weights_(nn.Linear(64, 64).double(), 1.7, orthogonal=True, generator=seeded()).weight.detach()
    assert close(W @ W.T, 1.7**2 * torch.eye(64, dtype=torch.float64))


@pytest.mark.parametrize(("inputs", "outputs"), [(40, 100), (100, 40), (64, 64)])
def test_orthogonal_weights_have_the_mean_square_of_gaussian_ones(inputs, outputs):
    layer = init_weights_(nn.Linear(inputs, outputs).double(), 1.7, orthogonal=True, generator=seeded())
    W = layer.weight.detach()
    gram = W.T @ W if outputs > inputs else W @ W.T
    assert close(gram, gram[0, 0] * torch.eye(len(gram), dtype=torch.float64))
    assert W.square().mean().item() == pytest.approx(1.7**2 / inputs)


def test_orthogonal_convolutions_have_orthogonal_filters():
    layer = init_weights_(nn.Conv2d(8, 20, 3).double(), 0.6, orthogonal=True, generator=seeded())
    W = layer.weight.detach().flatten(1)
    assert close(W @ W.T, 0.6**2 * torch.eye(20, dtype=torch.float64))


def test_embeddings_and_normalisation_are_left_alone():
    model = nn.Sequential(
        nn.Embedding(9, 4), nn.LayerNorm(4), nn.BatchNorm1d(4), nn.GroupNorm(2, 4), nn.Linear(4, 4)
    )
    before = copy.deepcopy(model)
    init_weights_(model, 3.0, 3.0)
    for old, new in zip(before[:4].parameters(), model[:4].parameters(), strict=True):
        assert torch.equal(old, new)
    assert not torch.equal(before[4].weight, model[4].weight)
    assert not torch.equal(before[4].bias, model[4].bias)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_the_same_generator_gives_the_same_weights(orthogonal):
    def parameters(seed):
        model = init_weights_(mlp(2, 16), 1.0, 0.1, orthogonal=orthogonal, generator=seeded(seed))
        return nn.utils.parameters_to_vector(model.parameters())

    assert torch.equal(parameters(0), parameters(0))
    assert not torch.equal(parameters(0), parameters(1))


def test_the_model_itself_is_returned_and_still_learns():
    model = mlp(1, 4)
    assert init_weights_(model) is model
    assert all(p.requires_grad and p.grad_fn is None for p in model.parameters())


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: mlp(-1, 8), ValueError, "depth=-1"),
        (lambda: mlp(1, 0), ValueError, "width=0"),
        (lambda: mlp(1, 8, inputs=0), ValueError, "inputs=0"),
        (lambda: mlp(1, 8, outputs=-2), ValueError, "outputs=-2"),
        (lambda: mlp(1, 8, "rleu"), ValueError, "relu.*got 'rleu'"),
        (lambda: elman_rnn(1, 8, 2, "thanh"), ValueError, "tanh.*got 'thanh'"),
        (lambda: TransformerBlock(8, 2, activation="glu"), ValueError, "gelu.*got 'glu'"),
        (lambda: activation_layer(3), TypeError, "got 3"),
        (lambda: activation_layer(None), TypeError, "got None"),
        (lambda: init_weights_(mlp(1, 8), -0.5), ValueError, "sigma_w.*got -0.5"),
        (lambda: init_weights_(mlp(1, 8), math.nan), ValueError, "sigma_w.*got nan"),
        (lambda: init_weights_(mlp(1, 8), math.inf), ValueError, "sigma_w.*got inf"),
        (lambda: init_weights_(mlp(1, 8), 1.0, -1.0), ValueError, r"sigma_b.*got -1\.0"),
    ],
)
def test_errors_say_what_was_given(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_refused_initialisation_touches_nothing():
    model = mlp(1, 4)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="sigma_b"):
        init_weights_(model, 1.0, math.nan)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_gains_of_wide_norms_and_tied_embeddings_are_left_alone():
    norm = nn.LayerNorm((4, 8))
    init_weights_(norm)
    assert (norm.weight == 1).all()
    tied = nn.ModuleDict({"embed": nn.Embedding(5, 3), "out": nn.Linear(3, 5)})
    tied["out"].weight = tied["embed"].weight
    before = tied["embed"].weight.clone()
    init_weights_(tied)
    assert torch.equal(tied["embed"].weight, before)


def test_stacks_of_weights_have_the_variance_of_their_fan_in():
    first, last = weight_stacks([200, 300, 10], 1.5, seeds=3)
    assert first.shape == (3, 300, 200)
    assert last.shape == (3, 10, 300)
    assert first.dtype == torch.float32
    assert float(first.var()) == pytest.approx(1.5**2 / 200, rel=0.02)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, weight_stacks([200, 300, 10], 1.5, seeds=3)[0])
    assert not torch.equal(first, weight_stacks([200, 300, 10], 1.5, seeds=3, seed=1)[0])


def test_many_recurrent_networks_are_elmans():
    stacks = recurrent_stacks(4, 6, 1.2, seeds=3)
    x = torch.randn(5, 7, 4)
    together = recurrent_scores(stacks, x)
    assert together.shape == (3, 5, 10)
    for k in range(3):
        net = elman_rnn(4, 6, activation="relu")
        net.input.weight.data, net.recurrent.weight.data, net.out.weight.data = (
            stacks[j][k] for j in (0, 1, 3)
        )
        net.input.bias.data, net.out.bias.data = stacks[2][k, 0], torch.zeros(10)
        assert torch.allclose(together[k], net(x), rtol=1e-5, atol=1e-5)


def test_rows_of_weights_are_networks():
    stacks, x = weight_stacks([5, 7, 7, 3], 1.3, seeds=4), torch.randn(6, 5)
    found = flat_scores(torch.tanh, torch.cat([W.flatten(1) for W in stacks], 1), [5, 7, 7, 3], x)
    assert found.shape == (4, 6, 3)
    for k in range(4):
        h = torch.tanh(torch.tanh(x @ stacks[0][k].T) @ stacks[1][k].T) @ stacks[2][k].T
        assert torch.allclose(found[k], h, atol=1e-6)


def test_many_residual_networks_are_blocks_in_a_row():
    first, last = weight_stacks([5, 4], seeds=2)[0], weight_stacks([4, 3], seeds=2)[0]
    branches, x = weight_stacks([4, 4, 4], seeds=2), torch.randn(6, 5)
    learnt = [first, torch.stack(branches, 1), last]

    def one(k, block):
        h = x @ first[k].T
        for W in branches:
            h = block(h, W[k])
        return h @ last[k].T

    for block, options in (
        (lambda h, W: h + torch.relu(h) @ W.T, {}),
        (lambda h, W: h + torch.relu(h @ W.T), {"relu_last": True}),
        (lambda h, W: torch.relu(h / 2) @ W.T, {"path": 0.0, "norm": lambda h: h / 2}),
    ):
        found = residual_scores(learnt, x, **options)
        assert found.shape == (2, 6, 3)
        for k in range(2):
            assert torch.allclose(found[k], one(k, block), atol=1e-5)


def test_a_branch_can_be_left_out_and_is_measured_beside_its_path():
    first, last = weight_stacks([5, 4], seeds=2)[0], weight_stacks([4, 3], seeds=2)[0]
    branches, x, seen = torch.zeros(2, 3, 4, 4), torch.randn(6, 5), []
    branches[:, 1] = 2 * torch.eye(4)
    learnt = [first, branches, last]
    residual_scores(learnt, x, seen=seen)
    h = x @ first.mT
    ratio = 2 * (torch.relu(h).square().mean((1, 2)) / h.square().mean((1, 2))).sqrt()
    assert torch.allclose(torch.stack(seen), torch.stack([0 * ratio, ratio, 0 * ratio]))
    assert torch.equal(residual_scores(learnt, x, without=1), h @ last.mT)
    assert not torch.allclose(residual_scores(learnt, x, without=0), h @ last.mT)


@pytest.mark.parametrize(("axis", "norm"), [(-2, nn.BatchNorm1d), (-1, nn.LayerNorm)])
def test_normalised_networks_are_torchs(axis, norm):
    weights, x = weight_stacks([5, 8, 8, 3], seeds=2), torch.randn(6, 5)
    found = normalised_scores(weights, x, phi=torch.tanh, centre=axis, divide=axis)
    for k in range(2):
        h = x
        for W in weights[:-1]:
            h = torch.tanh(norm(8)(h @ W[k].T))
        assert torch.allclose(found[k], h @ weights[-1][k].T, atol=1e-5)


def test_a_network_can_centre_only_or_divide_only():
    weights, x = weight_stacks([5, 8, 3], seeds=2), torch.randn(6, 5)
    z = x @ weights[0].mT
    for h, options in (
        (z, {}),
        (z - z.mean(1, keepdim=True), {"centre": -2}),
        (z / (z.square().mean((1, 2), keepdim=True) + 1e-5).sqrt(), {"divide": (-2, -1)}),
    ):
        assert torch.allclose(normalised_scores(weights, x, **options), torch.relu(h) @ weights[1].mT)


def test_the_gradient_of_each_layer_is_seen_on_its_way_back():
    weights, x, seen = weight_stacks([5, 8, 8, 3], seeds=2), torch.randn(6, 5), []
    normalised_scores(weights, x, seen=seen)
    assert not seen  # nothing goes back
    h = x.clone().requires_grad_()
    normalised_scores(weights, h, seen=seen).sum().backward()
    z = [(x @ weights[0].mT).requires_grad_()]
    z.append(torch.relu(z[0]) @ weights[1].mT)
    deltas = torch.autograd.grad((torch.relu(z[1]) @ weights[2].mT).sum(), z)
    assert torch.allclose(torch.stack(seen), torch.stack([d.norm(dim=(1, 2)) for d in deltas[::-1]]))
