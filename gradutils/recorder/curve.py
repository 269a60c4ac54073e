"""The loss of every step, recorded or not: two numbers a step, and a GPU is not waited for."""

import torch
from torch import Tensor

KEPT = 100_000  # steps; of a longer run the newest
ROOM = 4096


class Curve:
    """Losses by step, in chunks: the oldest chunk goes when there are more than are kept."""

    def __init__(self, device: torch.device):
        self._device = device
        self._chunks: list[tuple[list[int], Tensor]] = []

    def add(self, step: int, loss: Tensor | float) -> None:
        if not self._chunks or len(self._chunks[-1][0]) == ROOM:
            on = self._device if isinstance(loss, Tensor) and loss.device == self._device else "cpu"
            self._chunks.append(
                (
                    [],
                    torch.empty(
                        ROOM, dtype=torch.float32 if self._device.type == "mps" else torch.float64, device=on
                    ),
                )
            )
            if (len(self._chunks) - 1) * ROOM > KEPT:
                del self._chunks[0]
        steps, losses = self._chunks[-1]
        losses[len(steps)] = loss.detach().reshape(()) if isinstance(loss, Tensor) else float(loss)
        steps.append(step)

    def read(self) -> tuple[Tensor, Tensor]:
        """Steps and losses, (S,) each, on the CPU."""
        steps = [torch.tensor(steps, dtype=torch.int64) for steps, _ in self._chunks]
        losses = [losses[: len(steps)].to("cpu", torch.float64) for steps, losses in self._chunks]
        none = [torch.zeros(0)]
        return torch.cat(steps or none).long(), torch.cat(losses or none).double()
