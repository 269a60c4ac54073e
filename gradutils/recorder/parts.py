"""What is odd about the parts of a model, and no number: layers in eval mode, parts that it does not know, parts that hide."""

import torch
from torch import Tensor, nn

from gradutils.recorder.anatomy import Layer, moody, unregistered
from gradutils.recorder.outputs import Pass
from gradutils.recorder.torch_inside import version


class Parts:
    """Looked at in each recorded pass, and told at the end."""

    def __init__(self, model: nn.Module, layers: list[Layer]):
        self._layers, self._moody, self._strangers = layers, moody(model), unregistered(model)
        self._before = {path: version(tensors[0]) for path, tensors in self._strangers.items()}
        self._lost: set[str] = set()
        self._dtypes: dict[int, torch.dtype] = {}
        self._without_gradient: set[int] = set()
        self.evaluating: dict[str, int] = {}  # layer -> records in which it trained in eval mode

    def in_eval_mode(self) -> set[str]:
        """The layers that would do something else in training mode."""
        return {name for name, layer in self._moody if not layer.training}

    def see(self, k: int, h: Tensor) -> None:
        """Layer k has given an output."""
        self._dtypes.setdefault(k, h.dtype)

    def see_without_gradient(self, k: int) -> None:
        """Layer k has run under no_grad within a recorded pass."""
        self._without_gradient.add(k)

    def notice(self, passes: list[Pass]) -> None:
        """At the end of a step, before its gradients are cleared."""
        back = [passed.evaluating for passed in passes if passed.went_back]
        for name in set.intersection(*back) if back else ():
            self.evaluating[name] = self.evaluating.get(name, 0) + 1
        for path, (tensor, *_) in self._strangers.items():
            moved = version(tensor) != self._before[path]
            if moved or tensor.grad is not None:
                (self._lost.discard if moved else self._lost.add)(path)

    @property
    def unregistered(self) -> tuple[str, ...]:
        """Paths of modules and tensors that have gradients, that nobody moves, and that the model does not know."""
        return tuple(path for path in self._strangers if path in self._lost)

    def hidden(self, called: set[int]) -> list[str]:
        """Layers that ran without gradients and have some all the same, as reentrant checkpointing makes them."""
        silent = [self._layers[k] for k in sorted(self._without_gradient - called)]
        return [x.name for x in silent if any(p.grad is not None for p in x.module.parameters(recurse=False))]

    def dtypes(self, called: list[int]) -> tuple[str, ...]:
        """Of the outputs of these layers, by name."""
        return tuple(word(self._dtypes[k]) if k in self._dtypes else "" for k in called)


def word(dtype: torch.dtype) -> str:
    """A type as torch's users know it: "float16"."""
    return str(dtype).removeprefix("torch.")
