"""What a recording says besides numbers: optimizers, modes, parts that are not registered, inputs that are none."""

import copy
import gc
import math
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gradutils.data import digits
from gradutils.models import init_weights_, mlp
from gradutils.recorder import Recorder, Recording
from gradutils.recorder.curve import KEPT, ROOM, Curve

X, Y, _, _ = digits()


def batch(k=0, size=20):
    rows = slice(size * k, size * k + size)
    return X[rows], Y[rows]


def train(model, optimizer, steps=6, before=None, after=None, **options):
    """Six steps; ``before`` comes ahead of the optimizer's step, ``after`` instead of the recorder's."""
    with Recorder(model, every=1, **options) as recorder:
        for k in range(steps):
            x, y = batch(k)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            if before is not None:
                before(recorder, loss, k)
            optimizer.step()
            if after is None:
                recorder.step(loss)
            else:
                after(recorder, loss, k)
    return recorder


def test_the_optimizer_and_its_rate_are_known():
    model = mlp(1, 8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    recorder = train(model, optimizer, after=lambda r, loss, k: (r.step(loss), schedule.step()))
    assert recorder.optimizer == "AdamW"
    assert recorder.lr.tolist() == pytest.approx([3e-3 * 0.5**k for k in range(6)])
    assert recorder.optimizer_steps.tolist() == [1] * 6
    assert all(recorder.held)
    assert (recorder.foreign_steps, recorder.order) == (0, "")


def test_an_optimizer_of_another_model_is_told_from_none():
    model = mlp(1, 8)
    recorder = train(model, torch.optim.SGD(mlp(1, 8).parameters(), 0.1))
    assert recorder.foreign_steps == 6
    assert not any(recorder.held)
    assert recorder.optimizer_steps.tolist() == [0] * 6
    assert (recorder.update_norm == 0).all()

    class Own:
        def zero_grad(self): ...
        def step(self): ...

    recorder = train(model, Own())
    assert recorder.optimizer_steps.tolist() == [-1] * 6
    assert recorder.optimizer == ""


def test_only_the_parameters_that_an_optimizer_holds_are_held():
    model = mlp(1, 8)
    recorder = train(model, torch.optim.SGD(model.out.parameters(), 0.1))
    assert dict(zip(recorder.parameters, recorder.held, strict=True)) == {
        "fc1.weight": False, "fc1.bias": False, "out.weight": True, "out.bias": True,
    }  # fmt: skip


def test_a_step_at_the_wrong_place_is_said():
    def order(**at):
        model = mlp(1, 8)
        return train(model, torch.optim.SGD(model.parameters(), 0.1), **at).order

    nothing = lambda r, loss, k: None  # noqa: E731
    assert order() == ""
    assert "before optimizer.step()" in order(before=lambda r, loss, k: r.step(loss), after=nothing)
    model = mlp(1, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    cleared = train(
        model, optimizer, after=lambda r, loss, k: (optimizer.zero_grad(set_to_none=False), r.step(loss))
    )
    assert "cleared before step()" in cleared.order


def test_a_step_at_every_part_of_an_accumulation_is_said_and_a_skipped_one_is_not():
    model = mlp(1, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def run(optimizer_at, steps=16):
        with Recorder(model, every=1) as recorder:
            for k in range(steps):
                x, y = batch(k)
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                if optimizer_at(k):
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=False)
                recorder.step(loss)
        return recorder.order

    assert "several times" in run(lambda k: k % 4 == 3)
    assert run(lambda k: k > 2) == ""


def test_the_hook_on_optimizers_goes_with_the_recorder():
    from torch.optim import optimizer as room

    kept = dict(room._global_optimizer_post_hooks)
    model = mlp(1, 8)
    recorder = Recorder(model).start()
    assert len(room._global_optimizer_post_hooks) == len(kept) + 1
    recorder.stop()
    assert room._global_optimizer_post_hooks == kept
    Recorder(model).start()  # and nobody stops it
    watched = weakref.ref(model)
    del model, recorder
    gc.collect()
    assert watched() is None
    for key in room._global_optimizer_post_hooks.keys() - kept.keys():
        del room._global_optimizer_post_hooks[key]


def test_a_second_recorder_of_one_model_closes_the_first():
    model = mlp(1, 8)
    first = Recorder(model).start()
    with pytest.warns(UserWarning, match="another recorder"):
        second = Recorder(model).start()
    with pytest.raises(RuntimeError, match="outside"):
        first.step(1.0)
    second.stop()
    second.stop()
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    with Recorder(model) as whole, Recorder(model.fc1) as part:  # of different models: no warning
        assert len(whole) == len(part) == 0
    assert whole
    copied = copy.deepcopy(model)
    assert copied is not model


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.norm, self.drop, self.out = (
            nn.Linear(64, 8),
            nn.BatchNorm1d(8),
            nn.Dropout(0.2),
            nn.Linear(8, 10),
        )

    def forward(self, x):
        return self.out(self.drop(self.norm(self.fc1(x)).relu()))


def test_layers_in_eval_mode_are_counted_where_something_is_learnt_from_them():
    model = Norms()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    assert train(model, optimizer).evaluating == {}
    model.eval()
    assert train(model, optimizer).evaluating == {"": 6, "norm": 6, "drop": 6}
    model.train()
    model.norm.eval()
    assert train(model, optimizer).evaluating == {"norm": 6}
    model.norm.requires_grad_(False)  # frozen: there it belongs
    assert train(model, torch.optim.SGD(model.fc1.parameters(), 0.01)).evaluating == {}
    plain = mlp(1, 8).eval()
    assert train(plain, torch.optim.SGD(plain.parameters(), 0.01)).evaluating == {}


def test_a_pass_in_eval_mode_beside_one_in_training_mode_is_none():
    model = Norms()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with Recorder(model, every=1) as recorder:
        for k in range(4):
            x, y = batch(k)
            model.eval()
            probe = x.clone().requires_grad_()
            F.cross_entropy(model(probe), y).backward()
            model.train()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x + 0.01 * probe.grad.sign()), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    assert recorder.evaluating == {}
    assert not recorder.stale.any()
    assert recorder.passes.tolist() == [2] * 4


class Listed(nn.Module):
    def __init__(self, registered):
        super().__init__()
        parts = [nn.Linear(64, 8), nn.Linear(8, 8)]
        self.parts = nn.ModuleList(parts) if registered else parts
        self.scales = (
            {"a": nn.Parameter(torch.ones(8))} if not registered else nn.ParameterDict({"a": torch.ones(8)})
        )
        self.frozen = [nn.Linear(8, 8).requires_grad_(False)]
        self.out = nn.Linear(8, 10)

    def forward(self, x):
        for part in self.parts:
            x = part(x).relu()
        with torch.no_grad():
            more = self.frozen[0](x)
        return self.out((x + more) * self.scales["a"])


def test_parts_that_the_model_does_not_know_are_named_where_nobody_moves_them():
    model = Listed(registered=False)
    recorder = train(model, torch.optim.SGD(model.parameters(), 0.1))
    assert recorder.unregistered == ("parts[0]", "parts[1]", "scales['a']")
    every = [
        *model.parameters(),
        *(p for part in model.parts for p in part.parameters()),
        *model.scales.values(),
    ]
    assert train(model, torch.optim.SGD(every, 0.1)).unregistered == ()
    known = Listed(registered=True)
    assert train(known, torch.optim.SGD(known.parameters(), 0.1)).unregistered == ()


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(1, 8)

    def forward(self, attention_mask, x, count=None, extra=None):
        return self.net(x + (attention_mask[:, None] > -1) + (0 if extra is None else extra))


def test_masks_and_single_numbers_are_no_inputs():
    model, (x, y) = Masked(), batch()
    mask = torch.zeros(20).masked_fill(torch.arange(20) % 2 == 0, -torch.inf)
    for given in (
        lambda m: m(mask, 3 * x),
        lambda m: m(attention_mask=mask, count=torch.tensor(256.0), x=3 * x),
        lambda m: m(mask, 3 * x, torch.tensor(256.0), mask[:, None]),
    ):
        with Recorder(model, every=1) as recorder:
            loss = F.cross_entropy(given(model).nan_to_num(neginf=0.0), y)
            loss.backward()
            recorder.step(loss)
        assert recorder.input_rms[0].item() == pytest.approx(3 * x.square().mean().sqrt().item(), rel=1e-5)


@pytest.mark.parametrize("which", ["first", "second"])
def test_an_input_that_is_no_number_is_where_it_begins(which):
    model, (x, y) = Masked(), batch()
    bad = x.clone()
    bad[3, 4] = math.nan
    with Recorder(model, every=1) as recorder:
        for k in range(3):
            model.zero_grad()
            first, second = (bad, x) if which == "first" and k == 2 else (x, bad if k == 2 else x)
            loss = F.cross_entropy(model(torch.zeros(20), first, extra=second), y)
            loss.backward()
            recorder.step(loss)
    assert tuple(recorder.first_nonfinite) == (2, "input", "input")
    assert str(recorder.first_nonfinite) == "the input"


def test_an_update_that_is_no_number_is_where_it_begins():
    model = mlp(1, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def spoil(recorder, loss, k):
        if k == 2:
            model.out.weight.grad.fill_(3e38)
            optimizer.param_groups[0]["lr"] = 1e3

    recorder = train(model, optimizer, before=spoil)
    assert tuple(recorder.first_nonfinite)[:2] == (2, "update")
    assert recorder.update_ratio[2].isinf().any()


def test_types_are_recorded():
    model, (x, y) = mlp(1, 8), batch()
    with Recorder(model, every=1) as recorder:
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        recorder.step(loss)
    assert set(recorder.dtypes) == {"float32"}
    assert recorder.layer_dtypes[0] == "bfloat16"


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first, self.inner, self.out, self.reentrant = (
            nn.Linear(64, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 10),
            reentrant,
        )

    def forward(self, x):
        return self.out(checkpoint(self.inner, self.first(x), use_reentrant=self.reentrant))


def test_reentrant_checkpointing_is_said_to_hide_layers():
    hiding = Checkpointed(True)
    with pytest.warns(UserWarning, match="inner ran without gradients .* reentrant"):
        train(hiding, torch.optim.SGD(hiding.parameters(), 0.1))
    plain = Checkpointed(False)
    recorder = train(plain, torch.optim.SGD(plain.parameters(), 0.1))
    assert "inner" in recorder.layers


def test_gradients_of_a_penalty_are_not_taken_for_old_ones():
    model = mlp(1, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Recorder(model, every=1) as recorder:
        for k in range(5):
            x, y = batch(k)
            probe = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(model(probe).sum(), probe, create_graph=True)
            penalty = (slope.norm(dim=1) - 1).square().mean()
            optimizer.zero_grad(set_to_none=False)
            loss = F.cross_entropy(model(x), y) + penalty
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    assert not recorder.stale.any()


def test_the_loss_of_every_step_is_kept():
    model = mlp(1, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses = []
    with Recorder(model, every=10) as recorder:
        for k in range(30):
            x, y = batch(k)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss)
            losses.append(loss.item())
    assert recorder.loss_steps.tolist() == list(range(30))
    assert recorder.loss_curve.tolist() == pytest.approx(losses)
    assert len(recorder) == 7
    curve = Curve(torch.device("cpu"))
    for k in range(KEPT + 3 * ROOM):
        curve.add(k, float(k))
    steps, values = curve.read()
    assert torch.equal(steps.double(), values)
    assert KEPT - ROOM < len(steps) <= KEPT + ROOM


def test_a_recording_of_the_version_before_is_read_and_says_what_it_does_not_know(tmp_path):
    import json

    import numpy as np

    model = mlp(1, 8)
    recorder = train(model, torch.optim.SGD(model.parameters(), 0.1))
    recorder.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as archive:
        parts = {name: archive[name] for name in archive.files}
    words = json.loads(str(parts.pop("words")))
    older = ("steps", "loss", "lr", "input_rms", "input_mean", "stale", "grad_norm", "grad_cosine", "weight_norm",
             "activation_mean", "activation_std", "zero_fraction", "dead_fraction", "saturated_fraction", "separation",
             "delta_norm", "first_call_delta", "last_call_delta")  # fmt: skip
    arrays = {name: parts[name] for name in older} | {"update_ratio": recorder.update_ratio.numpy()}
    kept = (
        "parameters",
        "shapes",
        "layers",
        "kinds",
        "calls",
        "loss_kind",
        "loss_summed",
        "spectral_norms",
        "dropped",
    )
    words = {name: words[name] for name in kept} | {"trivial_loss": 2.3}
    np.savez_compressed(tmp_path / "old.npz", words=np.array(json.dumps(words)), **arrays)
    old = Recording.load(tmp_path / "old.npz")
    torch.testing.assert_close(old.update_ratio, recorder.update_ratio, equal_nan=True)
    assert old.trivial_loss == pytest.approx(2.3)
    assert old.loss_curve.tolist() == recorder.loss.tolist()
    assert (old.misfit, old.optimizer) == ("", "")
    assert old.output_rms.isnan().all()


@pytest.mark.parametrize("gain", [1.4, 4.0, 30.0])
def test_a_constant_answer_is_known_beside_a_loss_of_thousands(gain):
    """Right answers that are sure send nothing back; they count all the same."""
    model = init_weights_(mlp(6, 64), gain, generator=torch.Generator().manual_seed(0))
    with Recorder(model, every=1) as recorder:
        x, y = X[:200], Y[:200]
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        recorder.step(loss)
    share = torch.bincount(y).double() / 200
    expected = min(math.log(10), -torch.xlogy(share, share).sum().item() + 9 / 400)
    assert recorder.trivial_loss == pytest.approx(expected, rel=0.02)
    assert recorder.loss_kind == "cross entropy"


def gone_back(model, x, y, steps=6):
    """A few steps, recorded."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with Recorder(model, every=1) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss)
            yield recorder


def test_gradients_of_a_whole_batch_at_once_are_left_alone():
    model, (x, y) = mlp(1, 8), batch(size=4)
    for _ in gone_back(model, x, y, steps=2):
        rows = torch.autograd.functional.jacobian(model, x, vectorize=True)
        assert rows.shape == (4, 10, 4, 64)


def test_passes_of_another_thread_are_not_mixed_in():
    model, (x, y) = mlp(1, 8), batch()
    failed = []

    def elsewhere():
        try:
            for _ in range(30):
                model(x[:3]).sum().backward()
        except Exception as error:
            failed.append(error)

    for recorder in gone_back(model, x, y):
        other = threading.Thread(target=elsewhere)
        other.start()
        model(x)
        other.join()
        assert recorder.first_nonfinite is None
    assert not failed
    assert len(recorder) == 6


def test_operations_that_are_written_down_are_not_measured():
    from torch.fx.experimental.proxy_tensor import make_fx

    model, (x, y) = mlp(1, 8), batch()
    for recorder in gone_back(model, x, y, steps=2):
        assert "addmm" in str(make_fx(model)(x).graph)
        assert recorder.activation_std.isfinite().all()


def test_a_copy_of_a_model_carries_no_recorder_along(tmp_path):
    model, (x, y) = mlp(1, 8), batch()
    for recorder in gone_back(model, x, y, steps=2):
        copied = copy.deepcopy(model)
        torch.save(model, tmp_path / "model.pt")
        assert len(recorder)
    read = torch.load(tmp_path / "model.pt", weights_only=False)
    watched = weakref.ref(recorder)
    del recorder
    gc.collect()
    assert watched() is None
    for other in (copied, read):
        other.register_forward_pre_hook(lambda module, args: None)
        assert other(x).shape == (20, 10)


def test_a_summed_loss_of_a_short_batch_has_its_own_constant_answer():
    model, targets = nn.Linear(64, 3), torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    with Recorder(model, every=1) as recorder:
        for rows in (slice(0, 64), slice(64, 128), slice(128, 192), slice(192, 200)):
            model.zero_grad()
            loss = F.mse_loss(model(X[rows]), targets[rows], reduction="sum")
            loss.backward()
            recorder.step(loss)
    expected = (targets[192:] - targets.mean(0)).square().sum().item()
    assert recorder.constant_loss[-1].item() == pytest.approx(expected, rel=0.02)
    assert recorder.target_mean[-1].item() == pytest.approx(targets[192:].mean().item(), abs=1e-3)


def test_the_rate_of_an_optimizer_that_was_loaded_is_the_new_one():
    model = mlp(1, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    other = torch.optim.SGD(model.parameters(), 0.001).state_dict()
    recorder = train(
        model, optimizer, after=lambda r, loss, k: (r.step(loss), optimizer.load_state_dict(other))
    )
    assert recorder.lr.tolist() == pytest.approx([0.1] + [0.001] * 5)


def test_a_part_that_a_fused_optimizer_moves_is_moved():
    model = Listed(registered=False)
    every = [
        *model.parameters(),
        *(p for part in model.parts for p in part.parameters()),
        *model.scales.values(),
    ]
    assert train(model, torch.optim.SGD(every, 0.1, fused=True)).unregistered == ()


def test_a_writer_that_fails_does_not_end_the_training():
    class Full:
        def add_scalar(self, *_):
            raise OSError("no space left")

    def with_writer(recorder, loss, k):
        if not k:
            recorder.log_to(Full())
        recorder.step(loss)

    model = mlp(1, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.warns(UserWarning, match="nothing is sent to the writer any more: OSError: no space left"):
        recorder = train(model, optimizer, steps=25, after=with_writer)
    assert len(recorder) == 25


@pytest.mark.parametrize(
    "loss", [torch.ones((), dtype=torch.complex64), torch.ones((), device="meta"), torch.ones(1).to_sparse()]
)
def test_a_loss_that_is_no_number_is_refused(loss):
    with Recorder(mlp(1, 8)) as recorder, pytest.raises(ValueError, match="loss must be a single number"):
        recorder.step(loss)


def test_squares_of_probabilities_are_no_cross_entropy():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(64, 10)
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

        def forward(self, x):
            return self.out(x).softmax(1)

    model, (x, y) = Head(), batch()
    with Recorder(model) as recorder:
        loss = F.mse_loss(model(x), F.one_hot(y, 10).float())
        loss.backward()
        recorder.step(loss)
    assert recorder.loss_kind == "squared error"
    assert recorder.misfit == ""


def test_what_is_read_between_two_records_holds_the_losses_since():
    model, (x, y) = mlp(1, 8), batch()
    seen = []
    with Recorder(model, every=10) as recorder:
        for _ in range(9):
            model.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            recorder.step(loss)
            seen.append(len(recorder.loss_curve))
    assert seen == list(range(1, 10))
    assert len(recorder) == 5
