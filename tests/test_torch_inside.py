"""Each private name of torch that the recorder uses, by the purpose that it serves: a test fails with what is lost."""

import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gradutils.recorder import torch_inside

PACKAGE = Path(__file__).parent.parent / "gradutils"


def test_only_one_room_knows_private_names():
    private = r"\btorch\._[a-zA-Z]|(?<!self)\._(version|forward_|backward_|compiled_|saved_|orig_mod|parameters|modules|buffers)"
    for path in PACKAGE.rglob("*.py"):
        if path.name != "torch_inside.py":
            assert not re.search(private, path.read_text(encoding="utf-8")), path


def test_names_are_those_of_the_author():
    model = torch.compile(nn.Sequential(nn.Linear(1, 1)), backend="eager")
    (name, *_), _ = zip(*model.named_parameters(), strict=True)
    assert name != "0.weight", "torch.compile wraps no longer: WRAPPERS names too much"
    assert torch_inside.plain_name(name) == "0.weight"
    assert torch_inside.plain_name("a._checkpoint_wrapped_module.b") == "a.b"


def test_a_compiled_model_is_known_as_one():
    model = nn.Sequential(nn.Linear(1, 1))
    assert not torch_inside.is_compiled(model)
    assert torch_inside.is_compiled(torch.compile(model, backend="eager"))
    model[0].compile(backend="eager")
    assert torch_inside.is_compiled(model)


def test_children_and_parameters_are_found_where_a_module_keeps_them():
    model = nn.Sequential(nn.Linear(1, 1))
    assert torch_inside.shelf(model, "0")["0"] is model[0]
    weights = torch_inside.shelf(model[0], "weight")
    assert weights["weight"] is model[0].weight
    model[0].weight = nn.Parameter(torch.zeros(1, 1))
    assert weights["weight"] is model[0].weight


def test_the_way_back_is_told_from_the_way_forward():
    seen = []

    def block(x):
        seen.append(torch_inside.going_back())
        return x.sin()

    x = torch.ones(2, requires_grad=True)
    checkpoint(block, x, use_reentrant=False).sum().backward()
    assert seen == [False, True]


def test_a_tensor_that_stands_for_many_is_known():
    seen = []

    def look(x):
        seen.append(torch_inside.in_transform())
        return x.sum()

    look(torch.ones(2))
    torch.func.vmap(look)(torch.ones(2, 2))
    torch.func.grad(look)(torch.ones(2))
    assert seen == [False, True, True]


def test_a_change_in_place_is_counted():
    t = torch.zeros(2)
    before = torch_inside.version(t)
    t.add_(1)
    assert torch_inside.version(t) > before


def test_a_hook_rests_and_listens_again():
    module, seen = nn.Identity(), []
    hook = torch_inside.ForwardHook(module, lambda *_: seen.append(len(seen)))
    module(1)
    hook.listen()
    module(1)
    module(1)
    hook.rest()
    module(1)
    assert seen == [0, 1]
    assert not module._forward_hooks


def test_hooks_of_every_kind_are_seen_on_a_module():
    module = nn.Linear(1, 1)
    assert torch_inside.hooks_of(module) == {}
    for register in (
        module.register_forward_hook,
        module.register_forward_pre_hook,
        module.register_full_backward_hook,
        module.register_full_backward_pre_hook,
    ):
        handle = register(print)
        ((keys,),) = [torch_inside.hooks_of(module).values()]
        assert keys == (handle.id,)
        handle.remove()
        assert torch_inside.hooks_of(module) == {}


def test_hooks_of_both_kinds_are_seen_on_a_tensor():
    tensor = torch.ones(1, requires_grad=True)
    assert torch_inside.hooks_of(tensor) == {}
    for register in (tensor.register_hook, tensor.register_post_accumulate_grad_hook):
        handle = register(print)
        ((keys,),) = [torch_inside.hooks_of(tensor).values()]
        assert keys == (handle.id,)
        handle.remove()
        assert torch_inside.hooks_of(tensor) == {}


OUT, ONE_HOT = torch.zeros(4, 3, requires_grad=True), F.one_hot(torch.arange(4) % 3, 3).float()
NODES = {
    "cross entropy": lambda r: F.cross_entropy(OUT, torch.arange(4) % 3, reduction=r),
    "binary cross entropy": lambda r: F.binary_cross_entropy_with_logits(OUT, ONE_HOT, reduction=r),
    "squared error": lambda r: F.mse_loss(OUT, ONE_HOT, reduction=r),
    "absolute error": lambda r: F.huber_loss(OUT, ONE_HOT, reduction=r),
}


@pytest.mark.parametrize("kind", NODES)
def test_a_loss_is_known_by_its_node(kind):
    for summed in (False, True):
        loss = NODES[kind]("sum" if summed else "mean")
        found = torch_inside.loss_of(loss.grad_fn)
        assert (found.kind, found.summed, found.added, found.expanded) == (kind, summed, False, False)
        divided = torch_inside.loss_of((loss / 4).to(torch.bfloat16).grad_fn)
        assert (divided.kind, divided.added, divided.summed) == (kind, False, False)
        added = torch_inside.loss_of((loss + OUT.square().sum()).grad_fn)
        assert (added.kind, added.added) == (kind, True)
    assert torch_inside.loss_of(loss.grad_fn).logits == (kind == "binary cross entropy")


def test_other_losses_have_no_node_that_says_so():
    assert (
        torch_inside.loss_of(F.l1_loss(OUT, ONE_HOT).grad_fn).kind == "absolute error"
    )  # the distance of two
    assert torch_inside.loss_of(OUT.abs().sum().grad_fn).kind == "unknown"
    assert torch_inside.loss_of(
        F.kl_div(OUT.log_softmax(1), ONE_HOT, reduction="batchmean").grad_fn
    ).log_softmax
    assert torch_inside.loss_of(None) == torch_inside.LossNode()
    assert not torch_inside.loss_of(F.binary_cross_entropy(OUT.sigmoid(), ONE_HOT).grad_fn).logits


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_graph_says_that_outputs_were_repeated():
    assert torch_inside.loss_of(F.mse_loss(OUT[:, :1], ONE_HOT[:, 0]).grad_fn).expanded
    assert torch_inside.loss_of(F.mse_loss(OUT[:, :1].bfloat16().float(), ONE_HOT[:, 0]).grad_fn).expanded


def test_the_last_operation_is_known_below_changes_of_shape():
    for made, name in (
        (OUT.sigmoid().squeeze(), "Sigmoid"),
        (OUT.relu().double(), "Relu"),
        (OUT.softmax(1).T, "Softmax"),
        (OUT, ""),
    ):
        assert torch_inside.last_operation(made) == name


def test_print_options_are_those_that_were_set():
    before = torch_inside.print_options()
    try:
        torch.set_printoptions(precision=7)
        assert torch_inside.print_options()["precision"] == 7
        assert before["precision"] != 7
    finally:
        torch.set_printoptions(**before)


def test_hooks_for_all_modules_and_optimizers_are_put_back():
    before, seen = torch_inside.global_hooks(), []
    nn.modules.module.register_module_forward_hook(lambda *_: seen.append("module"))
    sys.modules["torch.optim.optimizer"].register_optimizer_step_post_hook(
        lambda *_: seen.append("optimizer")
    )
    torch_inside.put_back_global_hooks(before)
    model = nn.Linear(1, 1)
    model(torch.ones(1, 1)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert seen == []


def test_modes_that_were_begun_and_not_ended_can_be_ended():
    before = torch_inside.function_modes()
    with torch.device("cpu"):
        outer = torch_inside.function_modes()
        assert len(outer) == len(before) + 1
        torch.device("meta").__enter__()  # and nobody leaves it
        assert torch.ones(1).is_meta
        torch_inside.end_function_modes(outer)
        assert not torch.ones(1).is_meta
        assert torch_inside.function_modes() == outer
    assert torch_inside.function_modes() == before
