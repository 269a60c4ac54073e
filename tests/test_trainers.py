"""The recorder inside Lightning, Hugging Face's Trainer and accelerate: the real ones, on the CPU, with small models."""

import copy
import importlib
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from gradutils.recorder import Recorder, diagnose

MISSING = "the extra `trainers` is not installed"
L = pytest.importorskip("lightning.pytorch", reason=MISSING)
transformers = pytest.importorskip("transformers", reason=MISSING)
pytest.importorskip("accelerate", reason=MISSING)

from accelerate import Accelerator  # noqa: E402
from lightning.pytorch.plugins.precision import MixedPrecision  # noqa: E402

from gradutils.recorder.lightning import RecorderCallback as InLightning  # noqa: E402
from gradutils.recorder.torch_inside import global_hooks, hooks_of  # noqa: E402
from gradutils.recorder.transformers import RecorderCallback as InTransformers  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::UserWarning:transformers")


GUIDE = (Path(__file__).parent.parent / "docs" / "trainers.md").read_text(encoding="utf-8")


def shown(title):
    """The lines of code that the guide shows under a title."""
    return re.search(rf"## {title}\n.*?```python\n(.*?)```", GUIDE, re.DOTALL)[1]


def batches(n=24, size=16):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n * size, 8, generator=generator)
    y = (x @ torch.randn(8, 3, generator=generator)).argmax(1)
    return DataLoader(TensorDataset(x, y), batch_size=size)


def network():
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))


class Whole(L.LightningModule):
    """Calls itself."""

    def __init__(self, lr=0.1):
        super().__init__()
        torch.manual_seed(1)
        self.net, self.lr = network(), lr

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        x, y = batch
        return F.cross_entropy(self(x), y)

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)


class CallsPart(Whole):
    """Has a forward, and never calls it."""

    def training_step(self, batch, index):
        x, y = batch
        return {"loss": F.cross_entropy(self.net(x), y)}


class Halves(Whole):
    """Has no forward of its own, but an encoder and, in a list, a decoder."""

    forward = L.LightningModule.forward

    def __init__(self):
        super().__init__()
        self.net = None
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
        self.decoders = nn.ModuleList([nn.Linear(32, 3)])
        self.unused = nn.Linear(2, 2)

    def training_step(self, batch, index):
        x, y = batch
        return F.cross_entropy(self.decoders[0](self.encoder(x)), y)


class Manual(Whole):
    """Clears the gradients before the batch is over, and returns no loss."""

    def __init__(self, accumulate=1):
        super().__init__()
        self.automatic_optimization, self.accumulate = False, accumulate

    def training_step(self, batch, index):
        x, y = batch
        self.manual_backward(F.cross_entropy(self(x), y) / self.accumulate)
        if (index + 1) % self.accumulate == 0:
            optimizer = self.optimizers()
            optimizer.step()
            optimizer.zero_grad()


class ManualAlone(Manual):
    """Goes back without Lightning."""

    def training_step(self, batch, index):
        x, y = batch
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = F.cross_entropy(self(x), y)
        loss.backward()
        optimizer.step()
        return loss if index else None


class TwoOptimizers(Halves):
    """One loss, and two optimizers."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, index):
        x, y = batch
        first, second = self.optimizers()
        self.manual_backward(F.cross_entropy(self.decoders[0](self.encoder(x)), y))
        for optimizer in (first, second):
            optimizer.step()
        for optimizer in (first, second):
            optimizer.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), 0.1) for part in (self.encoder, self.decoders)]


class Adversaries(L.LightningModule):
    """The generator steps in every third batch, the discriminator in each; their losses differ."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.generator, self.discriminator = nn.Linear(4, 8), nn.Linear(8, 1)
        self.automatic_optimization = False
        self.losses = {"generator": [], "discriminator": []}

    def training_step(self, batch, index):
        x, _ = batch
        for name, optimizer in zip(self.losses, self.optimizers(), strict=True):
            if name == "generator" and index % 3:
                continue
            optimizer.zero_grad()
            fake = self.generator(x[:, :4])
            if name == "generator":
                loss = F.softplus(-self.discriminator(fake)).mean()
            else:
                loss = (
                    F.softplus(self.discriminator(fake.detach())) + F.softplus(-self.discriminator(x))
                ).mean()
            self.manual_backward(loss)
            optimizer.step()
            self.losses[name].append(loss.item())

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), 0.1) for part in (self.generator, self.discriminator)]


def fit(model, *callbacks, validate=False, epochs=1, checkpoint=None, **options):
    """Train with Lightning; returns its Trainer."""
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )
    torch.manual_seed(2)
    trainer.fit(model, batches(), batches(4) if validate else None, ckpt_path=checkpoint)
    return trainer


def hooks(model):
    """How many hooks stand on a model and its parts."""
    return sum(len(held) for module in model.modules() for held in hooks_of(module).values())


def optimizer_hooks():
    """How many hooks wait for every optimizer."""
    return sum(len(held) for name, held in global_hooks() if "optimizer" in name)


def assert_same_weights(one, other):
    for name, held in one.state_dict().items():
        assert torch.equal(held, other.state_dict()[name]), name


def assert_records(recorder, steps, layers):
    """Each step of the optimizer, with its gradients, its update, and what the layers gave."""
    assert recorder.steps.tolist() == list(range(steps))
    assert (recorder.grad_norm > 0).all()
    assert (recorder.update_ratio > 0).all()
    assert recorder.layers == layers
    assert (recorder.delta_norm[:, 0] > 0).all()
    assert not recorder.stale.any()


def fp16():
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))


# case: model, options of the Trainer, steps of the optimizer in an epoch of 24 batches, layers of the model recorded
NET = ("net.0", "net.1", "net.2")
LIGHTNING = {
    "plain": (Whole, {}, 24, NET),
    "validated": (Whole, {"validate": True, "val_check_interval": 5}, 24, NET),
    "accumulated": (Whole, {"accumulate_grad_batches": 5}, 5, NET),
    "bf16": (Whole, {"precision": "bf16-mixed"}, 24, NET),
    "fp16 with a scaler": (Whole, {"plugins": fp16}, 24, NET),
    "clipped": (Whole, {"gradient_clip_val": 0.1}, 24, NET),
    "a part is called": (CallsPart, {}, 24, ("0", "1", "2")),
    "manual": (Manual, {}, 24, NET),
    "manual, accumulated": (lambda: Manual(4), {}, 6, NET),
    "manual, bf16": (Manual, {"precision": "bf16-mixed"}, 24, NET),
}


@pytest.mark.parametrize("case", LIGHTNING)
def test_lightning_trains_as_without_and_each_step_is_recorded(case):
    make, options, steps, layers = LIGHTNING[case]
    options = {name: value() if callable(value) else value for name, value in options.items()}
    alone, watched, callback = make(), make(), InLightning(every=1)
    fit(alone, **options)
    if "plugins" in options:
        options["plugins"] = fp16()
    fit(watched, callback, **options)
    assert_same_weights(alone, watched)
    assert_records(callback.recorder, steps, layers)
    assert hooks(watched) == hooks(alone)
    assert callback.recorder.lr.tolist() == pytest.approx([0.1] * steps)


def test_the_loss_of_an_accumulated_step_is_the_mean_that_training_step_gave():
    class Keeping(Whole):
        losses = ()

        def training_step(self, batch, index):
            loss = super().training_step(batch, index)
            self.losses = (*self.losses, loss.item())
            return loss

    for options in ({}, {"plugins": fp16()}):
        model, callback = Keeping(), InLightning(every=1)
        fit(model, callback, accumulate_grad_batches=4, **options)
        means = torch.tensor(model.losses).reshape(6, 4).mean(1)
        torch.testing.assert_close(callback.recorder.loss.float(), means)


def test_a_scaler_skips_a_step_and_it_is_recorded_with_no_update():
    model, callback = Whole(), InLightning(every=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    fit(model, callback, plugins=MixedPrecision("16-mixed", "cpu", scaler))
    recorder = callback.recorder
    skipped = (recorder.update_ratio == 0).all(1)
    assert len(recorder) == 24
    assert skipped[0]
    assert not skipped[-1]
    assert torch.equal(skipped, ~torch.isfinite(recorder.grad_norm).all(1))
    assert torch.isfinite(recorder.loss).all()


def test_what_training_step_calls_is_what_is_recorded():
    def recorded(model, **options):
        callback = InLightning(every=1, **options)
        fit(model, callback)
        assert hooks(model) == 0
        return {name: recorder.layers for name, recorder in callback.recorders.items()}

    assert recorded(Whole()) == {"Whole": NET}
    assert recorded(CallsPart()) == {"net": ("0", "1", "2")}
    assert recorded(Halves()) == {"encoder": ("0", "1"), "decoders.0": ("Linear",)}
    assert recorded(Whole(), module=lambda m: m.net) == {"net": ("0", "1", "2")}


def test_training_step_calls_parts_of_parts():
    class Deep(Whole):
        def training_step(self, batch, index):
            x, y = batch
            return F.cross_entropy(self.net[2](self.net[1](self.net[0](x))), y)

    model, callback = Deep(), InLightning(every=1)
    with pytest.warns(UserWarning, match="no pass through the model"):
        fit(model, callback)
    assert list(callback.recorders) == ["Deep"]
    assert callback.recorder.layers == ()
    assert (callback.recorder.grad_norm > 0).all()


def test_two_optimizers_of_one_loss_make_one_record():
    alone, watched, callback = TwoOptimizers(), TwoOptimizers(), InLightning(every=1)
    fit(alone)
    fit(watched, callback)
    assert_same_weights(alone, watched)
    encoder, decoder = callback.recorders.values()
    assert callback.recorder is encoder  # the larger one
    assert_records(encoder, 24, ("0", "1"))
    assert_records(decoder, 24, ("Linear",))
    assert torch.equal(encoder.loss, decoder.loss)


def test_adversaries_are_recorded_apart_each_with_its_own_loss():
    alone, watched, callback = Adversaries(), Adversaries(), InLightning(every=1)
    fit(alone)
    fit(watched, callback)
    assert_same_weights(alone, watched)
    assert {name: len(recorder) for name, recorder in callback.recorders.items()} == {
        "generator": 8,
        "discriminator": 24,
    }
    for name, recorder in callback.recorders.items():
        torch.testing.assert_close(recorder.loss.float(), torch.tensor(watched.losses[name]))
        assert (recorder.update_ratio > 0).all()


def test_a_loss_that_lightning_never_sees_is_asked_for():
    model, callback = ManualAlone(), InLightning(every=1)
    with pytest.warns(UserWarning, match="its loss is not known: call self.manual_backward"):
        fit(model, callback)
    assert len(callback.recorder) == 23


class Fails(L.Callback):
    def __init__(self, error):
        self.error = error

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == 3:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("make", [Whole, CallsPart])
def test_lightning_fails_and_no_hook_is_left(make, error):
    before, model, callback = optimizer_hooks(), make(), InLightning(every=1)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit if error is KeyboardInterrupt else error):
        fit(model, callback, Fails(error))
    signal.signal(signal.SIGINT, handler)  # Lightning ignores further interrupts while it shuts down
    assert hooks(model) == 0
    assert optimizer_hooks() == before
    assert len(callback.recorder) == 3
    assert callback.diagnosis().evidence


def test_an_error_in_the_first_forward_pass_leaves_no_hook():
    class Broken(CallsPart):
        def training_step(self, batch, index):
            return self.net(batch[0][:, :3])

    model, callback = Broken(), InLightning()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit(model, callback)
    assert hooks(model) == 0


def test_each_fit_makes_a_recorder_of_its_own(tmp_path):
    model, callback = Whole(), InLightning(every=1)
    with pytest.raises(RuntimeError, match="nothing is recorded yet"):
        callback.diagnosis()
    trainer = fit(model, callback)
    first = callback.recorder
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    weights = {name: held.clone() for name, held in model.state_dict().items()}
    resumed = Whole()
    fit(resumed, callback, epochs=2, checkpoint=tmp_path / "one.ckpt")
    second = callback.recorder
    assert first is not second
    assert len(first) == len(second) == 24
    start = torch.tensor([weights[name].norm() for name in second.parameters])
    torch.testing.assert_close(second.weight_norm[0].float(), start, rtol=0.02, atol=0.02)
    assert second.loss[0] < first.loss[0] / 1.3


def test_lightning_is_diagnosed():
    healthy, broken = InLightning(every=1), InLightning(every=1)
    fit(Whole(0.3), healthy, epochs=3)
    assert healthy.diagnosis().illness == "healthy"
    assert healthy.diagnosis().remedy == "Nothing to mend."
    fit(Whole(300.0), broken, epochs=3)
    assert broken.diagnosis().illness == "learning rate too high"


class Classifier(nn.Module):
    """A model of one's own, which computes the loss where it is given labels."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.body, self.head = nn.Sequential(nn.Linear(8, 32), nn.ReLU()), nn.Linear(32, 3)

    def forward(self, x, labels=None):
        logits = self.head(self.body(x))
        found = {"logits": logits}
        return found if labels is None else {"loss": F.cross_entropy(logits, labels)} | found


def gpt():
    torch.manual_seed(1)
    size = {"vocab_size": 12, "n_positions": 8, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**size, bos_token_id=0, eos_token_id=0))


class Rows(torch.utils.data.Dataset):
    """Sequences that count up, modulo the vocabulary; or points and their classes."""

    def __init__(self, model):
        self.model = model

    def __len__(self):
        return 96

    def __getitem__(self, k):
        if isinstance(self.model, Classifier):
            x, y = POINTS[k]
            return {"x": x, "labels": y}
        ids = (torch.arange(8) * (1 + k % 2) + k) % 12
        return {"input_ids": ids, "labels": ids}


POINTS = batches().dataset
GPT_LAYERS = (
    4 + 2 * 10
)  # of the model that gpt() makes: two embeddings, a norm, a head, the dropouts and blocks


def trainer_for(model, folder, *callbacks, kind=transformers.Trainer, **options):
    arguments = {
        "per_device_train_batch_size": 8,
        "num_train_epochs": 1,
        "learning_rate": 3e-3,
        "max_grad_norm": 0.0,
        "seed": 2,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_strategy": "no",
    }
    extra = {name: options.pop(name) for name in ("compute_loss_func",) if name in options}
    arguments = transformers.TrainingArguments(output_dir=str(folder), **arguments | options)
    rows = Rows(model)
    trainer = kind(
        model, arguments, train_dataset=rows, eval_dataset=rows, callbacks=list(callbacks), **extra
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


# case: model, options of the Trainer, steps of the optimizer
TRAINER = {
    "plain": (gpt, {}, 12),
    "evaluated": (Classifier, {"eval_strategy": "steps", "eval_steps": 5}, 12),
    "accumulated": (gpt, {"gradient_accumulation_steps": 5}, 3),
    "accumulated, a model of one's own": (Classifier, {"gradient_accumulation_steps": 5}, 3),
    "bf16": (gpt, {"bf16": True}, 12),
    "clipped": (gpt, {"max_grad_norm": 0.1}, 12),
    "checkpointed": (gpt, {"activation_checkpointing": True}, 12),
    "a model of one's own": (Classifier, {}, 12),
}


@pytest.mark.parametrize("case", TRAINER)
def test_the_trainer_trains_as_without_and_each_step_is_recorded(case, tmp_path):
    make, options, steps = TRAINER[case]
    alone, watched, callback = make(), make(), InTransformers(every=1)
    trainer_for(alone, tmp_path, **options).train()
    trainer_for(watched, tmp_path, callback, **options).train()
    assert_same_weights(alone, watched)
    recorder = callback.recorder
    assert recorder.steps.tolist() == list(range(steps))
    assert (recorder.grad_norm > 0).all()
    assert (recorder.update_ratio > 0).any(1)[:-1].all()
    assert not recorder.stale.any()
    last = recorder.layers.index("head" if make is Classifier else "lm_head")
    assert (recorder.delta_norm[:, last] > 0).all()
    assert hooks(watched) == hooks(alone)
    rates = 3e-3 * (1 - torch.arange(steps) / steps)
    torch.testing.assert_close(recorder.lr.float(), rates.float())


@pytest.mark.parametrize("make", [gpt, Classifier])
def test_the_loss_of_an_accumulated_step_is_the_one_that_the_trainer_reports(make, tmp_path):
    callback = InTransformers(every=1)
    options = {"gradient_accumulation_steps": 4, "logging_strategy": "steps", "logging_steps": 1}
    trainer = trainer_for(make(), tmp_path, callback, **options)
    trainer.train()
    reported = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert len(reported) == len(callback.recorder) == 3
    torch.testing.assert_close(callback.recorder.loss, torch.tensor(reported).double(), atol=1e-3, rtol=0)


def weighted(outputs, labels, num_items_in_batch=None):
    return F.cross_entropy(outputs["logits"], labels, weight=torch.tensor([1.0, 2.0, 3.0]))


def test_a_loss_that_the_trainer_hides_is_asked_for_and_can_be_noted(tmp_path):
    losses = []

    def keeping(*given, **named):
        losses.append(weighted(*given, **named))
        return losses[-1]

    callback, noting = InTransformers(every=1), InTransformers(every=1)
    with pytest.warns(UserWarning, match=r"no loss.*return callback.note\(loss\)"):
        trainer_for(Classifier(), tmp_path, callback, compute_loss_func=keeping).train()
    assert len(callback.recorder) == 0
    noted = lambda *given, **named: noting.note(weighted(*given, **named))  # noqa: E731
    trainer_for(Classifier(), tmp_path, noting, compute_loss_func=noted).train()
    torch.testing.assert_close(noting.recorder.loss.float(), torch.stack(losses).detach())


def test_a_compute_loss_of_ones_own_is_noted_in_place_of_the_models(tmp_path):
    callback = InTransformers(every=1)

    class Weighted(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **_):
            outputs = model(**inputs)
            loss = callback.note((10 if model.training else 1000) + outputs["loss"])
            return (loss, outputs) if return_outputs else loss

    evaluated = {"eval_strategy": "steps", "eval_steps": 5}
    trainer_for(Classifier(), tmp_path, callback, kind=Weighted, **evaluated).train()
    assert ((callback.recorder.loss > 10) & (callback.recorder.loss < 20)).all()


class FailsInTrainer(transformers.TrainerCallback):
    def __init__(self, error):
        self.error = error

    def on_pre_optimizer_step(self, args, state, control, **_):
        if state.global_step == 3:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_trainer_fails_and_no_hook_is_left(error, tmp_path):
    model, callback = Classifier(), InTransformers(every=1)
    trainer = trainer_for(model, tmp_path, callback, FailsInTrainer(error))
    with pytest.raises(error), callback:
        trainer.train()
    assert hooks(model) == 0
    assert len(callback.recorder) == 3
    with pytest.raises(error):
        trainer.train()
    model(torch.randn(2, 8))  # without `with`, the hooks go when the model is next called
    assert hooks(model) == 0
    assert len(callback.recorder) == 3


def test_a_failed_training_is_followed_by_another(tmp_path):
    model, callback = Classifier(), InTransformers(every=1)
    failing = FailsInTrainer(RuntimeError)
    trainer = trainer_for(model, tmp_path, callback, failing)
    with pytest.raises(RuntimeError):
        trainer.train()
    trainer.remove_callback(failing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.train()
    assert len(callback.recorder) == 12
    assert hooks(model) == 0


def test_each_train_makes_a_recorder_of_its_own_and_goes_on_from_a_checkpoint(tmp_path):
    model, callback = Classifier(), InTransformers(every=1)
    with pytest.raises(RuntimeError, match="nothing is recorded yet"):
        callback.diagnosis()
    trainer_for(model, tmp_path, callback, save_strategy="steps", save_steps=8).train()
    first = callback.recorder
    assert len(first) == 12
    trainer_for(Classifier(), tmp_path, callback).train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    assert len(callback.recorder) == 4
    torch.testing.assert_close(callback.recorder.weight_norm, first.weight_norm[8:])
    torch.testing.assert_close(callback.recorder.loss, first.loss[8:])


def test_a_part_of_a_model_is_recorded_in_the_trainer(tmp_path):
    callback = InTransformers(module=lambda m: m.body, every=1)
    trainer_for(Classifier(), tmp_path, callback).train()
    assert callback.recorder.parameters == ("0.weight", "0.bias")
    assert_records(callback.recorder, 12, ("0", "1"))


def test_a_copy_of_a_recorded_model_is_deaf(tmp_path):
    class Copies(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            torch.save(model, tmp_path / "model.pt")
            for copied in (copy.deepcopy(model), torch.load(tmp_path / "model.pt", weights_only=False)):
                copied(torch.randn(2, 8), labels=torch.tensor([0, 1]))["loss"].backward()

    plain, copying = InTransformers(every=1), InTransformers(every=1, module=lambda m: m)
    trainer_for(Classifier(), tmp_path, plain).train()
    trainer_for(Classifier(), tmp_path, copying, Copies()).train()
    assert torch.equal(plain.recorder.loss, copying.recorder.loss)
    assert torch.equal(plain.recorder.grad_norm, copying.recorder.grad_norm)


def test_the_trainer_is_diagnosed(tmp_path):
    healthy, broken = InTransformers(every=1), InTransformers(every=1)
    trainer_for(gpt(), tmp_path, healthy, learning_rate=1e-2, num_train_epochs=4).train()
    assert healthy.diagnosis().illness == "healthy"
    assert healthy.diagnosis().remedy == "Nothing to mend."
    trainer_for(Classifier(), tmp_path, broken, learning_rate=30.0, num_train_epochs=4).train()
    assert broken.diagnosis().illness == "learning rate too high"


class NoRecorder:
    """Stands in for the recorder in a loop that is to run without."""

    def __init__(self, model): ...

    def __enter__(self):
        return self

    def __exit__(self, *_): ...

    def step(self, loss): ...


@pytest.mark.parametrize("title", ["accelerate", "Accumulation by hand"])
def test_the_lines_for_a_loop_that_accumulates(title):
    def run(model, recorder):
        optimizer, loader = torch.optim.SGD(model.parameters(), 0.1), batches()
        names = {"Recorder": recorder, "loss_fn": F.cross_entropy}
        if title == "accelerate":
            names["accelerator"] = accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
            model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        exec(shown(title), names := names | {"model": model, "optimizer": optimizer, "batches": loader})
        return names["recorder"]

    alone, watched = Whole().net, Whole().net
    run(alone, NoRecorder)
    recorder = run(watched, Recorder)
    assert_same_weights(alone, watched)
    assert_records(recorder, 6, ("0", "1", "2"))
    assert hooks(watched) == 0
    assert diagnose(recorder).illness == "healthy"


def test_the_lines_for_lightning(capsys):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    names = {"Trainer": L.Trainer, "options": {"accelerator": "cpu", "max_epochs": 3, **quiet}}
    exec(shown("Lightning"), names | {"model": CallsPart(0.3), "batches": batches()})
    assert "Nothing to mend." in capsys.readouterr().out


def test_the_lines_for_the_trainer(capsys, tmp_path):
    model = Classifier()
    arguments = trainer_for(model, tmp_path, learning_rate=0.03, num_train_epochs=3).args
    names = {"Trainer": transformers.Trainer, "arguments": arguments, "model": model, "data": Rows(model)}
    exec(shown("The Trainer of transformers"), names)
    assert "Nothing to mend." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("library", "line"),
    [("lightning", "pip install lightning"), ("transformers", "pip install transformers accelerate")],
)
def test_a_missing_library_is_named(monkeypatch, library, line):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.pytorch", None)
    monkeypatch.delitem(sys.modules, f"gradutils.recorder.{library}")
    with pytest.raises(ImportError, match=f"gradutils.recorder.{library} needs .*: {line}$"):
        importlib.import_module(f"gradutils.recorder.{library}")


def test_the_recorder_alone_imports_no_trainer():
    code = "import sys, gradutils.recorder; print({'lightning', 'transformers', 'accelerate'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
