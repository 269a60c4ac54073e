"""The recorder against plain torch: the same numbers, and a training that does not notice."""

import copy
import dataclasses
import itertools
import math
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gradutils.data import digit_sequences, digits
from gradutils.models import TransformerBlock, elman_rnn, init_weights_, mlp
from gradutils.recorder.norms import STACK
from gradutils.recorder.recording import Recording
from gradutils.recorder.rows import FIRST
from gradutils.recorder.signs import read_signs
from gradutils.recorder.watching import WAITING, Recorder

X, Y, _, _ = digits()
SEQUENCES = digit_sequences().x_train


class Tokens(nn.Module):
    """A small transformer over the digits as sequences."""

    def __init__(self, pre_ln=True):
        super().__init__()
        self.embed = nn.Linear(4, 16)
        self.blocks = nn.Sequential(
            TransformerBlock(16, 2, pre_ln=pre_ln), TransformerBlock(16, 2, pre_ln=pre_ln)
        )
        self.out = nn.Linear(16, 10)

    def forward(self, x):
        return self.out(self.blocks(self.embed(x)).mean(1))


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 12, batch_first=True)
        self.out = nn.Linear(12, 10)

    def forward(self, x):
        return self.out(self.lstm(x)[0][:, -1])


class Tied(nn.Module):
    """One weight used twice, an in-place activation, and a branch that no one calls."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 64)
        self.again = nn.Linear(64, 64)
        self.again.weight = self.fc.weight
        self.act = nn.ReLU(inplace=True)
        self.unused = nn.Linear(3, 3)
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        return self.out(self.act(self.again(self.act(self.fc(x)))))


def convolutional():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 10)
    )  # fmt: skip


MODELS = {
    "mlp": (lambda: mlp(4, 32), X),
    "tanh mlp": (lambda: mlp(3, 16, "tanh", norm=nn.LayerNorm), X),
    "elman": (lambda: elman_rnn(4, 12), SEQUENCES),
    "lstm": (LSTM, SEQUENCES),
    "pre-LN": (Tokens, SEQUENCES),
    "post-LN": (lambda: Tokens(False), SEQUENCES),
    "tied": (Tied, X),
    "convolutional": (convolutional, X),
}


def build(name):
    torch.manual_seed(0)
    return MODELS[name][0](), MODELS[name][1]


def run(model, x, steps=8, recorder=None, lr=0.05, batch=20, between=None, loss_of=F.cross_entropy):
    """Train; the losses."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    losses = []
    for k in range(steps):
        rows = slice(k * batch, (k + 1) * batch)
        optimizer.zero_grad()
        loss = loss_of(model(x[rows]), Y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if recorder is not None:
            recorder.step(loss, lr)
        if between is not None:
            between()
    return losses


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"every": 3}, {"activations": False}, {"deltas": False}], ids=str)
def test_training_is_the_same_bit_for_bit(name, options):
    model, x = build(name)
    other = copy.deepcopy(model)

    def evaluate(net):
        net.eval()
        with torch.no_grad():
            seen.append(net(x[-50:]))
        net.train()

    seen = []
    plain = run(model, x, between=lambda: evaluate(model))
    expected, seen = seen, []
    with Recorder(other, **options) as recorder:
        recorded = run(other, x, recorder=recorder, between=lambda: evaluate(other))
    assert plain == recorded
    assert all(torch.equal(a, b) for a, b in zip(expected, seen, strict=True))
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in other.modules())
    assert recorder.loss.tolist() == pytest.approx([recorded[k] for k in recorder.steps.tolist()])


def by_hand(model, x, steps=3, lr=0.05, batch=20):
    """What a recorder should say, computed the long way in double precision; layers are caught by plain hooks."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for k in range(steps):
        rows = slice(k * batch, (k + 1) * batch)
        outputs, handles = {}, []
        for name, module in model.named_modules():

            def catch(module, args, out, name=name, outputs=outputs):
                out = out[0] if isinstance(out, tuple) else out
                grads = []
                outputs.setdefault(name, []).append((out.detach().clone(), grads))
                if out.requires_grad:
                    out.register_hook(lambda g: grads.append(g.clone()))

            handles.append(module.register_forward_hook(catch))
        before = {n: p.detach().double().clone() for n, p in model.named_parameters()}
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[rows]), Y[rows])
        loss.backward()
        for handle in handles:
            handle.remove()
        grads = {
            n: None if p.grad is None else p.grad.double().norm().item() for n, p in model.named_parameters()
        }
        optimizer.step()
        yield {
            "loss": loss.item(),
            "grad": grads,
            "weight": {n: v.norm().item() for n, v in before.items()},
            "change": {
                n: (p.detach().double() - before[n]).norm().item() for n, p in model.named_parameters()
            },
            "outputs": outputs,
        }


@pytest.mark.parametrize("name", MODELS)
def test_every_number_equals_the_one_computed_by_hand(name):
    model, x = build(name)
    other = copy.deepcopy(model)
    with Recorder(other) as recorder:
        run(other, x, steps=3, recorder=recorder)
    for r, truth in enumerate(by_hand(model, x)):
        assert recorder.loss[r].item() == pytest.approx(truth["loss"], rel=1e-6)
        for p, parameter in enumerate(recorder.parameters):
            grad = recorder.grad_norm[r, p].item()
            assert (
                math.isnan(grad)
                if truth["grad"][parameter] is None
                else grad == pytest.approx(truth["grad"][parameter], rel=1e-5)
            )
            assert recorder.weight_norm[r, p].item() == pytest.approx(truth["weight"][parameter], rel=1e-5)
            if truth["weight"][parameter] > 0:
                ratio = truth["change"][parameter] / truth["weight"][parameter]
                assert recorder.update_ratio[r, p].item() == pytest.approx(ratio, rel=1e-4, abs=1e-12)
        for k, layer in enumerate(recorder.layers):
            seen = truth["outputs"][layer]
            assert recorder.calls[k] == len(seen)
            tables = [(v.flatten(0, 1) if v.ndim == 3 else v.flatten(1)).double() for v, _ in seen]
            h = torch.cat(tables)
            assert recorder.activation_mean[r, k].item() == pytest.approx(h.mean().item(), rel=1e-4, abs=1e-6)
            assert recorder.activation_std[r, k].item() == pytest.approx(
                h.std(correction=0).item(), rel=1e-4, abs=1e-6
            )
            alike = sum((t.mean(0) ** 2).sum() for t in tables) / sum((t**2).sum() / len(t) for t in tables)
            assert recorder.separation[r, k].item() == pytest.approx(1 - alike.item(), abs=1e-5)
            if recorder.kinds[k] in ("ReLU", "Tanh", "MultiheadAttention"):
                zero = torch.cat([(t == 0).double().flatten() for t in tables]).mean().item()
                dead = torch.cat([(t == 0).all(0) for t in tables]).double().mean().item()
                assert recorder.zero_fraction[r, k].item() == pytest.approx(zero, abs=1e-6)
                assert recorder.dead_fraction[r, k].item() == pytest.approx(dead, abs=1e-6)
            if recorder.kinds[k] == "Tanh":
                saturated = (h.abs() >= 0.95).double().mean().item()
                assert recorder.saturated_fraction[r, k].item() == pytest.approx(saturated, abs=1e-6)
            module = other.get_submodule(layer)
            if list(module.parameters(recurse=False)):
                deltas = [g[0].double().norm().item() for _, g in seen if g]
                assert recorder.delta_norm[r, k].item() == pytest.approx(math.hypot(*deltas), rel=1e-5)
                assert recorder.first_call_delta[r, k].item() == pytest.approx(deltas[0], rel=1e-5)
                assert recorder.last_call_delta[r, k].item() == pytest.approx(deltas[-1], rel=1e-5)


def test_layers_come_in_the_order_of_their_calls():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        run(model, x, recorder=recorder)
    assert recorder.layers == ("fc1", "act1", "fc2", "act2", "fc3", "act3", "fc4", "act4", "out")
    assert recorder.kinds[:2] == ("Linear", "ReLU")
    assert recorder.parameters[:2] == ("fc1.weight", "fc1.bias")
    assert recorder.shapes[0] == (32, 64)
    assert recorder.input_rms[0].item() == pytest.approx(X[:20].square().mean().sqrt().item(), rel=1e-5)
    assert recorder.lr.tolist() == [0.05] * 8
    assert recorder.loss_kind == "cross entropy"
    assert recorder.trivial_loss == pytest.approx(math.log(10), rel=0.02)
    assert not recorder.loss_summed
    assert recorder.first_nonfinite is None


def test_extreme_sizes_neither_overflow_nor_vanish():
    model = mlp(1, 4, "linear", inputs=4, outputs=2)
    for size in (1e-30, 1e30):
        with torch.no_grad():
            model.fc1.weight.fill_(size)
            model.fc1.bias.zero_()
        with Recorder(model) as recorder:
            loss = model(torch.ones(3, 4))[:, 0].sum() * 0
            loss.backward()
            recorder.step(loss)
        assert recorder.weight_norm[0, 0].item() == pytest.approx(4 * size, rel=1e-5)
        assert recorder.activation_std[0, 0].item() == pytest.approx(0, abs=1e-3 * size)
        assert recorder.activation_mean[0, 0].item() == pytest.approx(4 * size, rel=1e-5)
        assert recorder.first_nonfinite is None


@pytest.mark.parametrize("where", ["activation", "loss", "gradient"])
def test_the_first_nonfinite_number_is_found_where_it_arose(where):
    torch.manual_seed(0)
    model = mlp(6, 16, "linear")
    init_weights_(model, 1.0)
    recorder = Recorder(model).__enter__()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    for k in range(4):
        if k == 2 and where == "activation":
            with torch.no_grad():
                model.fc3.weight.fill_(3e38)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X[:8]), Y[:8])
        if k == 2 and where == "loss":
            loss = loss * torch.inf
        loss.backward()
        if k == 2 and where == "gradient":
            model.fc5.weight.grad[0, 0] = torch.nan
        optimizer.step()
        recorder.step(loss)
    found = recorder.first_nonfinite
    assert found.step == 2
    assert (found.what, found.where) == {
        "activation": ("activation", "fc3"),
        "loss": ("loss", "loss"),
        "gradient": ("gradient", "fc5.weight"),
    }[where]


def test_stale_gradients_are_noticed_whichever_way_they_are_cleared():
    model, x = build("mlp")
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    clear = [lambda: None, optimizer.zero_grad, lambda: optimizer.zero_grad(set_to_none=False), lambda: None]
    with Recorder(model) as recorder:
        for k in range(4):
            clear[k]()
            for part in range(3):  # accumulating within a step is no bug
                rows = slice(10 * part, 10 * part + 10)
                loss = F.cross_entropy(model(x[rows]), Y[rows]) / 3
                loss.backward()
            optimizer.step()
            recorder.step(loss)
    assert recorder.stale.tolist() == [False, False, False, True]


def test_gradients_that_are_cleared_are_not_held():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        run(model, x, steps=2, recorder=recorder)
        held = [weakref.ref(p.grad) for p in model.parameters()]
        assert all(g() is not None for g in held)
        model.zero_grad()
        assert all(g() is None for g in held)


def test_accumulated_passes_make_one_record():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        for part in range(2):
            (
                F.cross_entropy(model(x[20 * part : 20 * part + 20]), Y[20 * part : 20 * part + 20]) / 2
            ).backward()
        recorder.step(0.0)
    model.zero_grad()
    with Recorder(model) as whole:
        F.cross_entropy(model(x[:40]), Y[:40]).backward()
        whole.step(0.0)
    for name in ("grad_norm", "delta_norm", "activation_std", "input_rms"):
        assert torch.allclose(getattr(recorder, name), getattr(whole, name), rtol=1e-5, equal_nan=True), name


def test_a_pass_without_backward_does_not_count():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        model(100 * x[:20])  # grad mode, but no one asks for its gradient
        loss = F.cross_entropy(model(x[:20]), Y[:20])
        loss.backward()
        recorder.step(loss)
    assert recorder.input_rms[0].item() == pytest.approx(x[:20].square().mean().sqrt().item(), rel=1e-5)


def test_frozen_parts_unused_parts_and_two_optimizers():
    model, x = build("tied")
    model.fc.bias.requires_grad_(False)
    first, second = torch.optim.SGD([model.fc.weight], 0.1), torch.optim.Adam(model.out.parameters(), 0.01)
    with Recorder(model) as recorder:
        for _ in range(3):
            model.zero_grad()
            loss = F.cross_entropy(model(x[:20]), Y[:20])
            loss.backward()
            first.step()
            second.step()
            recorder.step(loss)
    at = {name: k for k, name in enumerate(recorder.parameters)}
    assert recorder.grad_norm[:, at["fc.bias"]].isnan().all()
    assert recorder.grad_norm[:, at["unused.weight"]].isnan().all()
    assert (recorder.update_ratio[:, at["fc.weight"]] > 0).all()
    assert (recorder.update_ratio[:, at["again.bias"]] == 0).all()
    assert "unused" not in recorder.layers
    assert "again.weight" not in recorder.parameters  # it is fc.weight


def test_sparse_gradients():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 8, sparse=True), nn.Flatten(), nn.Linear(24, 2))
    with Recorder(model) as recorder:
        loss = model(torch.tensor([[1, 2, 2], [3, 1, 4]])).square().sum()
        loss.backward()
        recorder.step(loss)
    dense = model[0].weight.grad.to_dense()
    assert recorder.grad_norm[0, 0].item() == pytest.approx(dense.norm().item(), rel=1e-5)
    assert math.isnan(recorder.input_rms[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    model, x = build("mlp")
    model, x = model.to(dtype), x.to(dtype)
    with Recorder(model) as recorder:
        run(model, x, steps=3, recorder=recorder, lr=1e-3)
    assert recorder.grad_norm.isfinite().all()
    assert recorder.activation_std.isfinite().all()
    weight = dict(model.named_parameters())["fc1.weight"]
    assert recorder.weight_norm[-1, 0].item() == pytest.approx(
        weight.detach().double().norm().item(), rel=1e-2
    )


def test_autocast():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x[:20]), Y[:20])
        loss.backward()
        recorder.step(loss)
    assert recorder.delta_norm[0, 0] > 0
    assert recorder.activation_std.isfinite().all()


def test_checkpointed_blocks_are_counted_once():
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.out = mlp(2, 16, outputs=16), nn.Linear(16, 10)

        def forward(self, x):
            return self.out(checkpoint(self.block, x, use_reentrant=False))

    torch.manual_seed(0)
    model = Checkpointed()
    other = copy.deepcopy(model)
    with Recorder(other) as recorder:
        recorded = run(other, X, recorder=recorder)
    assert recorded == run(model, X)
    assert set(recorder.calls) == {1}


def test_a_compiled_model_gives_its_weights_and_says_what_is_missing():
    model, x = build("mlp")
    other = copy.deepcopy(model)
    plain = run(torch.compile(model, backend="eager"), x)
    compiled = torch.compile(other, backend="eager")
    with pytest.warns(UserWarning, match="compiled"):
        recorder = Recorder(compiled)
    with recorder:
        recorded = run(compiled, x, recorder=recorder)
    assert plain == recorded
    assert recorder.parameters[0] == "fc1.weight"
    assert recorder.grad_norm.isfinite().all()
    assert recorder.layers == ()


def test_a_model_compiled_behind_the_recorders_back_trains_on():
    model, x = build("mlp")
    other = copy.deepcopy(model)
    plain = run(torch.compile(model, backend="eager"), x)
    with Recorder(other) as recorder, pytest.warns(UserWarning, match="nor compiled"):
        recorded = run(torch.compile(other, backend="eager"), x, recorder=recorder)
    assert plain == recorded
    assert recorder.grad_norm.isfinite().all()


def test_the_first_five_steps_then_every_nth():
    model, x = build("mlp")
    with Recorder(model, every=4) as recorder:
        run(model, x, steps=14, recorder=recorder)
    assert recorder.steps.tolist() == [0, 1, 2, 3, 4, 8, 12]


def test_hooks_rest_between_recorded_steps():
    model, x = build("mlp")
    with Recorder(model, every=10) as recorder:
        run(model, x, steps=7, recorder=recorder)
        assert not any(m._forward_hooks for name, m in model.named_modules() if name)


def test_the_ring_keeps_the_first_five_and_says_what_it_dropped():
    model, x = build("mlp")
    with Recorder(model, capacity=8) as recorder:
        losses = run(model, x, steps=15, recorder=recorder)
    assert recorder.steps.tolist() == [0, 1, 2, 3, 4, 12, 13, 14]
    assert recorder.loss.tolist() == pytest.approx([losses[k] for k in recorder.steps.tolist()])
    assert recorder.dropped == 7
    assert "7 older records were overwritten" in recorder.summary()


def test_it_can_be_read_at_any_time_and_entered_again():
    model, x = build("mlp")
    recorder = Recorder(model)
    assert recorder.loss.shape == (0,)
    assert "Nothing was recorded" in recorder.summary()
    with recorder:
        run(model, x, steps=2, recorder=recorder)
        assert len(recorder.recording) == 2
        run(model, x, steps=2, recorder=recorder)
    with recorder:
        run(model, x, steps=1, recorder=recorder)
    assert recorder.steps.tolist() == [0, 1, 2, 3, 4]


def test_save_and_load_give_the_same_recording(tmp_path):
    model, x = build("elman")
    with Recorder(model) as recorder:
        run(model, x, recorder=recorder)
    path = tmp_path / "run.npz"
    recorder.save(path)
    loaded = Recording.load(path)
    for name, value in recorder.to_dict().items():
        assert str(loaded.to_dict()[name]) == str(value), name
    assert loaded.summary() == recorder.summary()
    assert list(tmp_path.iterdir()) == [path]
    for content in (b"not a recording", b"", path.read_bytes()[:-40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a saved recording"):
            Recording.load(path)


def test_a_failed_save_leaves_the_older_file(tmp_path, monkeypatch):
    model, x = build("mlp")
    with Recorder(model) as recorder:
        run(model, x, recorder=recorder)
    path = tmp_path / "run.npz"
    recorder.save(path)
    before = path.read_bytes()
    monkeypatch.setattr("numpy.savez_compressed", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        recorder.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_recurrent_weights_are_measured_at_the_start():
    for name, key in (("elman", "recurrent.weight"), ("lstm", "lstm.weight_hh_l0")):
        model, x = build(name)
        weight = model.get_parameter(key).detach()
        truth = max(torch.linalg.matrix_norm(gate, 2).item() for gate in weight.split(weight.shape[1]))
        with Recorder(model) as recorder:
            run(model, x, recorder=recorder)
        assert recorder.spectral_norms[key] == pytest.approx(truth, rel=1e-5)


def in_float8():
    model = nn.Linear(1, 1)
    model.weight = nn.Parameter(model.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    return model


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Recorder("net"), TypeError, "nn.Module"),
        (lambda: Recorder(nn.ReLU()), ValueError, "must have floating-point"),
        (lambda: Recorder(nn.Linear(1, 1), every=0), ValueError, "every"),
        (lambda: Recorder(nn.Linear(1, 1), capacity=FIRST), ValueError, "capacity"),
        (lambda: Recorder(nn.LazyLinear(3)), ValueError, "run one batch"),
        (
            lambda: Recorder(nn.Linear(1, 1), every=1.5),
            ValueError,
            "every must be a whole number, 1 or more; got 1.5",
        ),
        (lambda: Recorder(nn.Linear(1, 1), every=True), ValueError, "every must be a whole number"),
        (
            lambda: Recorder(nn.Linear(1, 1), capacity=1e3),
            ValueError,
            "capacity must be a whole number, 6 or more; got 1000.0",
        ),
        (lambda: Recorder(nn.Linear(1, 1, device="meta")), ValueError, "weight is on the meta device"),
        (lambda: Recorder(in_float8()), ValueError, "weight is of float8_e4m3fn"),
        (lambda: Recorder(nn.Linear(1, 1)).step(1.0), RuntimeError, "outside"),
        (lambda: Recorder(nn.Linear(1, 1)).__enter__().step(torch.ones(2)), ValueError, "single number"),
        (lambda: Recorder(nn.Linear(1, 1)).__enter__().step([1.0]), ValueError, "single number; got list"),
        (lambda: Recorder(nn.Linear(1, 1)).__enter__().step("1,0"), ValueError, "single number; got str"),
        (
            lambda: Recorder(nn.Linear(1, 1)).__enter__().step(1.0, [0.1]),
            ValueError,
            "lr must be a single number; got list",
        ),
        (
            lambda: Recorder(nn.Linear(1, 1)).__enter__().step(10**400),
            ValueError,
            "loss must be a single number; got int",
        ),
        (lambda: Recorder(nn.Linear(1, 1)).grad_nrom, AttributeError, "grad_nrom"),
    ],
)
def test_errors_say_what_was_given(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_pass_that_raises_leaves_nothing_behind():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        with pytest.raises(RuntimeError):
            model(torch.ones(3, 5))
        losses = run(model, x, steps=2, recorder=recorder)
    assert recorder.loss.tolist() == pytest.approx(losses)
    assert recorder.calls == (1,) * 9


def test_copies_of_the_model_are_not_listened_to():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        average = copy.deepcopy(model)
        average(100 * x[:20]).sum().backward()
        run(model, x, steps=1, recorder=recorder)
        run(average, 100 * x, steps=1)
    assert recorder.calls == (1,) * 9
    assert recorder.input_rms[0].item() == pytest.approx(x[:20].square().mean().sqrt().item(), rel=1e-5)


class Odd(nn.Module):
    """A gate without dimensions, a parameter handed out as it is, and a loss for an output."""

    def __init__(self):
        super().__init__()
        self.fc, self.gate, self.count = nn.Linear(64, 10), nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(1, dtype=torch.int64), requires_grad=False)  # fmt: skip

    def forward(self, x, y):
        return {"loss": F.cross_entropy(self.gate * self.fc(x), y)}


def test_gates_integers_and_models_that_return_their_loss():
    torch.manual_seed(0)
    model = Odd()
    with Recorder(model) as recorder:
        for _ in range(2):
            model.zero_grad()
            loss = model(X[:20], Y[:20])["loss"]
            loss.backward()
            recorder.step(loss)
    assert recorder.parameters == ("gate", "fc.weight", "fc.bias")
    assert recorder.grad_norm[0, 0].item() == pytest.approx(model.gate.grad.norm().item(), rel=1e-5)


def test_a_model_of_one_layer_is_a_layer():
    torch.manual_seed(0)
    with Recorder(nn.Linear(64, 10)) as recorder:
        run(recorder._model, X, steps=2, recorder=recorder)
    assert recorder.layers == ("Linear",)
    assert (recorder.delta_norm > 0).all()


def test_torch_func_goes_on_undisturbed():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        jacobian = torch.func.jacrev(lambda v: model(v))(x[0])
        per_sample = torch.func.vmap(lambda v: model(v).sum())(x[:4])
        run(model, x, steps=1, recorder=recorder)
    assert jacobian.shape == (10, 64)
    assert per_sample.shape == (4,)
    assert recorder.calls == (1,) * 9


def test_a_gradient_penalty_before_clearing_is_not_stale():
    model, x = build("mlp")
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with Recorder(model) as recorder:
        for _ in range(3):
            inputs = x[:20].clone().requires_grad_()
            loss = F.cross_entropy(model(inputs), Y[:20])
            (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
            optimizer.zero_grad()
            loss = loss + slope.square().sum()
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    assert not recorder.stale.any()


def test_a_model_saved_whole_while_recorded_can_be_loaded(tmp_path):
    model, x = build("mlp")
    with Recorder(model) as recorder:
        run(model, x, steps=1, recorder=recorder)
        torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    assert torch.equal(loaded(x), model(x))


def test_gradients_cleared_too_early_are_said_so():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        F.cross_entropy(model(x[:20]), Y[:20]).backward()
        model.zero_grad()
        with pytest.warns(UserWarning, match=r"before zero_grad\(\)"):
            recorder.step(1.0)


def test_a_model_that_is_only_called_in_parts_is_said_so():
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    with Recorder(model) as recorder:
        loss = F.cross_entropy(model[2](model[1](model[0](X[:20]))), Y[:20])
        loss.backward()
        with pytest.warns(UserWarning, match="neither in parts nor compiled"):
            recorder.step(loss)


def test_the_largest_update_in_the_summary_is_that_of_a_weight_matrix():
    model = init_weights_(mlp(2, 16), 1.0)  # its biases start at zero
    with Recorder(model) as recorder:
        run(model, X, steps=5, recorder=recorder)
    line = next(line for line in recorder.summary().splitlines() if line.startswith("largest update"))
    ratio = recorder.update_ratio[:, [len(shape) > 1 for shape in recorder.shapes]]
    assert ".weight" in line
    assert f"{ratio.max():.3g}" in line


def entropy(targets=Y[:20], classes=10):
    """Of the frequencies of some classes, with Miller and Madow's correction: what the best constant answer loses on them."""
    share = torch.bincount(targets, minlength=classes) / len(targets)
    return min(
        -torch.xlogy(share, share).sum().item() + ((share > 0).sum().item() - 1) / (2 * len(targets)),
        math.log(classes),
    )


ONE_HOT, FEW = F.one_hot(Y[:20], 10).float(), 20 / 19
SPREAD = FEW * (ONE_HOT - ONE_HOT.mean(0)).square().mean().item()
RARE = sum(entropy(column.long(), 2) for column in ONE_HOT.T) / 10
BALANCED = torch.arange(20) % 10
SEEN = {
    "a module": (lambda out: nn.CrossEntropyLoss()(out, Y[:20]), "cross entropy", 1, entropy()),
    "in two steps": (lambda out: F.nll_loss(F.log_softmax(out, 1), Y[:20]), "cross entropy", 1, entropy()),
    "each by itself": (lambda out: F.cross_entropy(out, Y[:20], reduction="none").mean(), "cross entropy", 1, entropy()),
    "added up": (lambda out: F.cross_entropy(out, Y[:20], reduction="sum"), "cross entropy", 20, 20 * entropy()),
    "divided": (lambda out: F.cross_entropy(out, Y[:20]) / 4, "cross entropy", 1 / 4, entropy() / 4),
    "balanced": (lambda out: F.cross_entropy(out, BALANCED), "cross entropy", 1, math.log(10)),
    "one class only": (lambda out: F.cross_entropy(out, 0 * BALANCED), "cross entropy", 1, 0.0),
    "weighted": (lambda out: F.cross_entropy(out, BALANCED, weight=torch.arange(1.0, 11)), "cross entropy", 1,
                 min(math.log(10), -sum(k / 55 * math.log(k / 55) for k in range(1, 11)) + 9 / 40)),
    "smoothed": (lambda out: F.cross_entropy(out, BALANCED, label_smoothing=0.1), "cross entropy", 1, math.log(10)),
    "soft": (lambda out: F.cross_entropy(out, 0.7 * ONE_HOT + 0.03), "cross entropy", 1, None),
    "a divergence": (lambda out: F.kl_div(out.log_softmax(1), 0.9 * F.one_hot(BALANCED) + 0.01, reduction="batchmean"), "cross entropy", 1, None),
    "by hand": (lambda out: -out.softmax(1)[torch.arange(20), Y[:20]].log().mean(), "cross entropy", 1, entropy()),
    "pixels": (lambda out: F.cross_entropy(out.view(2, 5, 20), torch.zeros(2, 20).long()), "unknown", math.nan, math.nan),
    "two classes": (lambda out: F.binary_cross_entropy(out.sigmoid(), ONE_HOT, reduction="sum"), "binary cross entropy", 200, 200 * RARE),
    "from logits": (lambda out: F.binary_cross_entropy_with_logits(out, ONE_HOT), "binary cross entropy", 1, RARE),
    "squares": (lambda out: F.mse_loss(out, ONE_HOT), "squared error", 1, SPREAD),
    "squares by hand": (lambda out: (out - ONE_HOT).pow(2).sum(1).mean() / 2, "squared error", 5, 5 * SPREAD),
    "targets all alike": (lambda out: F.mse_loss(out, torch.ones(20, 10)), "squared error", 1, 0.0),
    "with a penalty": (lambda out: F.mse_loss(out, ONE_HOT) + 3, "squared error", 1, 3 + SPREAD),
    "one of the outputs": (lambda out: F.mse_loss(out[:, 3], ONE_HOT[:, 3]), "squared error", 1, FEW * ONE_HOT[:, 3].var(correction=0).item()),
    "distances": (lambda out: F.l1_loss(out, ONE_HOT), "absolute error", 1, math.nan),
    "Huber's": (lambda out: F.huber_loss(out, ONE_HOT), "absolute error", math.nan, math.nan),
    "a second loss beside it": (lambda out: (F.mse_loss(out, ONE_HOT), F.cross_entropy(out, Y[:20]))[1], "cross entropy", 1, entropy()),
    "rewards": (lambda out: (torch.linspace(-1, 1, 20) * F.cross_entropy(out, Y[:20], reduction="none")).mean(), "unknown", math.nan, math.nan),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("how", ["as it is", "detached", "in half precision", "scaled for half precision"])
def test_which_loss_it_is(name, how):
    loss_of, kind, scale, trivial = SEEN[name]
    if how == "detached" and name in ("with a penalty", "Huber's", "a divergence"):
        pytest.skip("only the graph tells")
    if how == "in half precision" and name == "with a penalty":
        pytest.skip("3 is lost in rounding")
    model, x = build("mlp")
    times = 2.0**16 if "scaled" in how else 1.0
    with Recorder(model) as recorder:
        with torch.autocast("cpu", torch.bfloat16, enabled=how == "in half precision"):
            out = model(x[:20])
            loss = loss_of(out) if name != "two classes" else loss_of(out.float())
        (times * loss).backward()
        recorder.step(loss.detach() if how == "detached" else loss)
    if how == "scaled for half precision" and name in (
        "with a penalty",
        "squares by hand",
        "two classes",
        "a divergence",
    ):
        return  # which of the factors is which cannot be told; nothing is raised
    assert recorder.loss_kind == kind
    rough = 0.1 if how == "in half precision" else 1e-3
    rounded = how == "in half precision" and name in (
        "smoothed",
        "soft",
        "a divergence",
    )  # a tenth of it is lost
    if not rounded:
        assert recorder.loss_scale == pytest.approx(times * scale, nan_ok=True, rel=rough)
    if trivial is not None:
        assert recorder.trivial_loss == pytest.approx(trivial, nan_ok=True, rel=rough, abs=1e-5)


MISFITS = {  # how the model ends, the loss, and words of what is said
    "softmax twice": (lambda z: z.softmax(1), lambda out: F.cross_entropy(out, Y[:20]), "probabilities already"),
    "softmax over the batch": (lambda z: z.softmax(0), lambda out: F.cross_entropy(out, Y[:20]), "over the samples instead of the classes"),
    "sigmoid first": (torch.sigmoid, lambda out: F.cross_entropy(out, Y[:20]), "end in Sigmoid"),
    "rectified": (torch.relu, lambda out: F.cross_entropy(out, Y[:20]), "end in Relu"),
    "sigmoid twice": (torch.sigmoid, lambda out: F.binary_cross_entropy_with_logits(out, ONE_HOT), "sigmoid of them once more"),
    "no logarithm": (lambda z: z.softmax(1), lambda out: F.nll_loss(out, Y[:20]), "without their logarithm"),
    "no probabilities": (lambda z: z, lambda out: F.nll_loss(out, Y[:20]), "no logarithms"),
    "one class": (lambda z: z[:, :1], lambda out: F.cross_entropy(out, 0 * Y[:20]), "over one class"),
    "classes as numbers": (lambda z: z[:, 0], lambda out: F.binary_cross_entropy_with_logits(out, Y[:20].float()), "outside of 0 and 1"),
    "broadcast": (lambda z: z[:, :1], lambda out: (out - 3 * ONE_HOT[:, 3]).square().mean(), "another shape"),
    "broadcast by torch": (lambda z: z[:, :1], lambda out: F.l1_loss(out, 3 * ONE_HOT[:, 3]), "another shape"),
    "out of reach": (torch.tanh, lambda out: F.mse_loss(out, 3 * ONE_HOT + 2), "outside of what that gives"),
    "in reach": (torch.tanh, lambda out: F.mse_loss(out, 0.9 * ONE_HOT), ""),
    "well": (lambda z: z, lambda out: F.cross_entropy(out, Y[:20]), ""),
    "log-probabilities": (lambda z: z.log_softmax(1), lambda out: F.nll_loss(out, Y[:20]), ""),
}  # fmt: skip


class Ending(nn.Module):
    """A model whose last operation is a function."""

    def __init__(self, inside, end):
        super().__init__()
        self.inside, self.end = inside, end

    def forward(self, x):
        return self.end(self.inside(x))


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("half", [False, True])
def test_a_loss_that_does_not_fit_the_outputs_is_said_in_words(name, half):
    end, loss_of, words = MISFITS[name]
    inside, x = build("mlp")
    model = Ending(inside, end)
    with Recorder(model) as recorder:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = model(x[:20])
        loss = loss_of(out.float() if half and "torch" not in name else out)
        loss.backward()
        recorder.step(loss)
    assert (words in recorder.misfit) if words else recorder.misfit == ""


class Twice(TorchFunctionMode):
    """What a user's own mode may do."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        return 2 * result if function is torch.ones else result


def test_modes_of_the_users_own_end_where_they_end():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        with Twice():
            out = model(x[:20])
        assert torch.ones(1).item() == 1
        loss = F.cross_entropy(out, Y[:20])
        loss.backward()
        recorder.step(loss)
    assert torch.ones(1).item() == 1


def test_another_default_device_changes_nothing():
    model, x = build("mlp")
    with Recorder(model) as recorder, torch.device("meta"):
        losses = run(model, x, steps=3, recorder=recorder)
        assert recorder.loss.tolist() == pytest.approx(losses)
        assert recorder.summary()
        assert read_signs(recorder.recording)


@dataclasses.dataclass(slots=True)
class Slots:
    logits: torch.Tensor


class InSlots(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x, options):
        return Slots(self.fc(x))


def test_outputs_with_slots_and_arguments_that_hold_themselves():
    model, options = InSlots(), {}
    options["self"] = options
    with Recorder(model) as recorder:
        loss = F.cross_entropy(model(X[:20], options=options).logits, Y[:20])
        loss.backward()
        recorder.step(loss)
    assert recorder.loss_kind == "cross entropy"
    assert recorder.calls == (1,)


def test_a_model_can_be_saved_after_a_pass_that_raised(tmp_path):
    model, _ = build("mlp")
    with Recorder(model):
        with pytest.raises(RuntimeError):
            model(torch.ones(3, 5))
        torch.save(model, tmp_path / "model.pt")
        assert not any(m._forward_hooks for name, m in model.named_modules() if name)


def test_a_model_rebuilt_between_recorded_steps_is_noticed():
    model, x = build("mlp")
    with Recorder(model, every=10) as recorder:
        run(model, x, steps=7, recorder=recorder)
        narrowed(model)
        recorder.step(1.0)
        recorder.step(1.0)
        with pytest.warns(UserWarning, match="rebuilt while it is recorded: fc1.weight"):
            recorder.step(1.0)  # the next one would be recorded
        recorder.step(1.0)
    assert recorder.steps.tolist() == [0, 1, 2, 3, 4]


def test_a_model_rebuilt_before_it_is_entered_is_noticed():
    model, x = build("mlp")
    recorder = Recorder(model)
    rebuilt(model)
    with recorder, pytest.warns(UserWarning, match="rebuilt while it is recorded: out"):
        run(model, x, steps=2, recorder=recorder)
    assert len(recorder.recording) == 0


def replaced(model):
    model.fc1.weight = nn.Parameter(model.fc1.weight.detach().clone())


def rebuilt(model):
    model.out = nn.Linear(model.out.in_features, 10)


def narrowed(model):
    model.fc1.weight.data = model.fc1.weight.data[:1]


def turned(model):
    model.fc1.weight.data = model.fc1.weight.data.T.contiguous()


def in_half(model):
    model.fc1.weight.data = model.fc1.weight.data.half()


@pytest.mark.parametrize(("change", "what"), [(replaced, "fc1.weight"), (rebuilt, "out"), (narrowed, "fc1.weight"), (turned, "fc1.weight"), (in_half, "fc1.weight")])  # fmt: skip
def test_a_model_that_is_rebuilt_ends_the_recording_with_a_warning(change, what):
    model, x = build("mlp")
    with Recorder(model) as recorder:
        run(model, x, steps=3, recorder=recorder)
        change(model)
        with pytest.warns(UserWarning, match=rf"rebuilt while it is recorded: {what} .* before step 3"):
            recorder.step(1.0)
        recorder.step(1.0)  # said once
    assert recorder.steps.tolist() == [0, 1, 2]


def test_a_layer_of_nan_is_not_called_dead():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        run(model, x, steps=3, recorder=recorder)
        with torch.no_grad():
            model.fc1.weight.fill_(torch.nan)
        run(model, x, steps=1, recorder=recorder)
    assert recorder.dead_fraction[-1].isnan().all()
    assert recorder.dead_fraction[0].isfinite().any()
    assert "dead units" not in recorder.summary()
    assert "not finite     the activation of fc1, step 3" in recorder.summary()


def test_passes_that_never_go_back_do_not_pile_up():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        for _ in range(WAITING + 50):
            model(x[:2])
        assert len(recorder._passes) == WAITING
        losses = run(model, x, steps=1, recorder=recorder)
    assert recorder.loss.tolist() == pytest.approx(losses)
    assert recorder.input_rms[0].item() == pytest.approx(x[:20].square().mean().sqrt().item(), rel=1e-5)


def test_a_model_may_be_traced_while_it_is_recorded():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        traced = torch.jit.trace(model, x[:3])
        run(model, x, steps=1, recorder=recorder)
    assert torch.allclose(traced(x[:3]), model(x[:3]))
    assert recorder.calls == (1,) * 9


def test_one_sample_has_no_separation():
    model, x = build("mlp")
    with Recorder(model) as recorder:
        run(model, x, steps=2, recorder=recorder, batch=1)
    assert recorder.separation.isnan().all()
    assert recorder.activation_std.isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_nothing_waits_for_the_host():
    model, x = build("mlp")
    model, x, y = model.cuda(), x.cuda(), Y.cuda()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with Recorder(model) as recorder:
        for k in range(4):
            torch.cuda.set_sync_debug_mode("error" if k else "default")
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[:50]), y[:50])
            loss.backward()
            optimizer.step()
            recorder.step(loss)
        torch.cuda.set_sync_debug_mode("default")
    assert recorder.grad_norm.isfinite().all()


@pytest.mark.parametrize("how", ["ddp", "fsdp2"])
def test_norms_over_two_processes_equal_those_of_one(how, tmp_path):
    script = Path(__file__).parent / "distributed_recorder.py"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--standalone",
        script,
        how,
        tmp_path,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    single = Recording.load(tmp_path / "single.npz")
    for rank in range(2):
        shared = Recording.load(tmp_path / f"{how}-{rank}.npz")
        assert shared.parameters == single.parameters
        for name in ("grad_norm", "weight_norm", "update_ratio", "grad_cosine"):
            assert torch.allclose(getattr(shared, name), getattr(single, name), rtol=1e-5, equal_nan=True), (
                name
            )


def test_the_cosine_of_successive_gradients():
    model, grads, (x, y, _, _) = mlp(2, 16), [], digits()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, every=7, cosine=True) as recorder:
        for step in range(9):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[20 * step :][:20]), y[20 * step :][:20])
            loss.backward()
            grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
            optimizer.step()
            recorder.step(loss)
    wanted = [torch.cosine_similarity(a, b, dim=0) for a, b in itertools.pairwise(grads)]
    found = recorder.grad_cosine
    assert recorder.steps.tolist() == [0, 1, 2, 3, 4, 7]
    assert found[[0, 5]].isnan().all()  # nothing before it, or nothing recorded just before it
    assert torch.allclose(found[1:5].float(), torch.stack(wanted[:4]), atol=1e-6)
    with Recorder(model) as plain:  # not asked for
        run(model, x, steps=3, recorder=plain)
    assert plain.grad_cosine.isnan().all()


@pytest.mark.parametrize("sizes", [(128, 64), (190, 10), (100, 100)])
def test_separation_does_not_depend_on_how_a_step_is_cut_into_passes(sizes):
    torch.manual_seed(0)
    model, some = mlp(2, 16), X[:10]
    found = []
    for parts in (sizes, (200,)):
        with Recorder(model) as recorder:
            for n in parts:  # the same inputs again and again: all passes have the same statistics
                model(some.repeat(-(-n // 10), 1)[: n - n % 10]).sum().backward()
            recorder.step(0.0)
        found.append(recorder.separation[0])
    assert (found[1] > 0.01).any()
    assert torch.allclose(*found, atol=1e-5)


def test_many_outputs_of_a_kind_are_measured_like_one():
    """More layers than are measured together, of passes that take turns, one that never goes back, sequences of any length."""
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Tanh()) for _ in range(9)]
    model = nn.Sequential(*blocks)
    outs = {name: [] for name, module in model.named_modules() if not list(module.children())}
    handles = [
        model.get_submodule(name).register_forward_hook(lambda m, a, out, name=name: outs[name].append(out.detach().clone()))
        for name in outs
    ]  # fmt: skip
    with Recorder(model) as recorder:
        for step in range(2):
            for seen in outs.values():
                seen.clear()
            for length in range(40, 120):
                model(torch.randn(900, 4)) if length == 60 else model(torch.randn(length, 4)).sum().backward()
            recorder.step(0.0)
            for k, name in enumerate(recorder.layers):
                h = torch.cat([out for out in outs[name] if len(out) < 900]).double()
                assert recorder.activation_mean[step, k].item() == pytest.approx(h.mean().item(), rel=1e-4)
                assert recorder.activation_std[step, k].item() == pytest.approx(
                    h.std(correction=0).item(), rel=1e-3, abs=1e-6
                )
                if recorder.kinds[k] != "Linear":
                    assert recorder.zero_fraction[step, k].item() == pytest.approx(
                        (h == 0).double().mean().item()
                    )
                if recorder.kinds[k] == "Tanh":
                    close = (h.abs() >= 0.95).double().mean().item()
                    assert recorder.saturated_fraction[step, k].item() == pytest.approx(close)
    for handle in handles:
        handle.remove()


def test_a_weight_changed_between_steps_is_the_one_before_the_next():
    model, x = build("mlp")
    with Recorder(model, activations=False) as recorder:
        for _ in range(3):
            run(model, x, steps=1, recorder=recorder, lr=0.0)
        assert (recorder.update_norm == 0).all()
        before = model.fc2.weight.detach().double().clone()
        run(model, x, steps=1, recorder=recorder, lr=1e-6)
        moved = (model.fc2.weight.detach().double() - before).norm().item()
    at = recorder.parameters.index("fc2.weight")
    assert recorder.update_norm[3, at].item() == pytest.approx(moved, rel=1e-4)
    assert recorder.weight_norm[3, at].item() == pytest.approx(before.norm().item(), rel=1e-6)


def test_parameters_larger_than_what_is_measured_together():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 2000), nn.ReLU(), nn.Linear(2000, 10))
    assert model[0].weight.numel() > STACK
    with Recorder(model) as recorder:
        for _ in range(3):
            before = [p.detach().double().clone() for p in model.parameters()]
            run(model, X, steps=1, recorder=recorder)
            for p, (old, new) in enumerate(zip(before, model.parameters(), strict=True)):
                assert recorder.weight_norm[-1, p].item() == pytest.approx(old.norm().item(), rel=1e-5)
                change = (new.detach().double() - old).norm().item()
                assert recorder.update_norm[-1, p].item() == pytest.approx(change, rel=1e-4)
                assert recorder.grad_norm[-1, p].item() == pytest.approx(
                    new.grad.double().norm().item(), rel=1e-5
                )
