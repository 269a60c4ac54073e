"""The loss of every step, recorded or not: two numbers a step, and a GPU is not waited for."""

import torch
from torch import Tensor

KEPT = 100_000  # steps; of a longer run the newest
ROOM = 4096


class Curve:
    """Losses by step, in chunks: the oldest goes when there are more than are kept. On a GPU they are gathered there."""

    def __init__(self, device: torch.device):
        self._device = device
        self._chunks: list[tuple[list[int], list[float] | Tensor]] = []

    def add(self, step: int, loss: Tensor | float) -> None:
        if not self._chunks or len(self._chunks[-1][0]) == ROOM:
            self._chunks.append(([], self._room()))
            if (len(self._chunks) - 1) * ROOM > KEPT:
                del self._chunks[0]
        steps, losses = self._chunks[-1]
        if isinstance(losses, Tensor):
            losses[len(steps)] = loss.detach().reshape(()) if isinstance(loss, Tensor) else float(loss)
        else:
            losses.append(loss.item() if isinstance(loss, Tensor) else float(loss))
        steps.append(step)

    def _room(self) -> list[float] | Tensor:
        if self._device.type == "cpu":
            return []
        return torch.empty(ROOM, dtype=torch.float32, device=self._device)

    def read(self) -> tuple[Tensor, Tensor]:
        """Steps and losses, (S,) each, on the CPU."""
        none = torch.zeros(0, dtype=torch.float64)
        steps = [torch.tensor(steps, dtype=torch.int64) for steps, _ in self._chunks]
        losses = [torch.as_tensor(x).to("cpu", torch.float64)[: len(steps)] for steps, x in self._chunks]
        return torch.cat(steps or [none]).long(), torch.cat(losses or [none])
