"""Clipping where the gradient is spread over processes: each its own part, or all together.

``python -m gradutils.two_processes`` starts two processes on this machine and prints what both ways do to the
gradient of one small network, and what a `Recorder` on the sharded network says of its norm.
"""

import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing import ProcessExitedException, start_processes
from torch.nn import functional as F

from gradutils.data import digits
from gradutils.models import init_weights_, mlp
from gradutils.recorder import Recorder

DONE = "done"  # a file that says that both have done all that they had to do
# A fork need not import torch once more. It is safe on Linux, and here, where no thread runs yet.
START = "fork" if sys.platform == "linux" else "spawn"
LOOPBACK = {"linux": "lo", "darwin": "lo0"}  # what a machine calls the way to itself


def network():
    """Eight tanh layers whose gradient grows on its way back: the same in every process."""
    return init_weights_(mlp(8, 64, "tanh"), 3.0, generator=torch.Generator().manual_seed(0))


def backward(model) -> Tensor:
    """Compute the gradients of 100 digits; return the loss."""
    data = digits()
    loss = F.cross_entropy(model(data.x_train[:100]), data.y_train[:100])
    loss.backward()
    return loss


def joined(parameters) -> Tensor:
    """All gradients as one vector, gathered from the processes where they are spread."""
    grads = [p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in parameters]
    return torch.cat([g.flatten() for g in grads])


def compare(name: str, clipped: Tensor, whole: Tensor) -> None:
    """Print what a clip at 1 did to the length and the direction of the whole gradient."""
    cosine = float(F.cosine_similarity(clipped.double(), whole.double(), dim=0))
    if dist.get_rank() == 0:
        print(f"{name:28} length {float(clipped.norm()):.2f}, cosine {cosine:.2f}")


def clip_by_layers(whole) -> Tensor:
    """Each process holds some of the layers, as in pipeline parallelism, and clips what it holds."""
    parts, rank = list(whole.parameters()), dist.get_rank()
    parts = [parts[:8], parts[8:]]
    mine = torch.cat([p.grad.flatten() for p in parts[rank]])
    pieces = [torch.empty(sum(p.numel() for p in part)) for part in parts]
    pieces[rank] = mine * min(1.0, 1.0 / float(mine.norm()))
    for owner, piece in enumerate(pieces):
        dist.broadcast(piece, owner)
    return torch.cat(pieces)


def clip_by_rows(together: bool) -> tuple[Tensor, float]:
    """Each process holds some rows of every weight (FSDP2); what a `Recorder` says of the norm before the clip."""
    model = network()
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    with Recorder(model, every=1) as recorder:
        recorder.step(backward(model))
    if together:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # sees that the gradients are spread
    else:
        local = [p.grad.to_local() for p in model.parameters()]
        norm = float(torch.nn.utils.get_total_norm(local))
        for g in local:
            g.mul_(min(1.0, 1.0 / norm))
    return joined(model.parameters()), float(recorder.grad_norm[0].norm())


def measure() -> None:
    """What each of the two processes does."""
    whole = network()
    backward(whole)
    gradient = joined(whole.parameters())
    compare("each its own layers", clip_by_layers(whole), gradient)
    compare("each its own rows", clip_by_rows(together=False)[0], gradient)
    clipped, recorded = clip_by_rows(together=True)
    compare("FSDP2's clip, over all", clipped, gradient)
    if dist.get_rank() == 0:
        same = abs(recorded / float(gradient.norm()) - 1) < 1e-3
        print(f"Recorder's norm over all processes is that of one process: {same}")


def worker(rank: int, folder: Path) -> None:
    """One of the two processes; they meet in a file, so that no port has to be free."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    measure()
    sys.stdout.flush()
    dist.barrier()
    (folder / DONE).touch()
    dist.destroy_process_group()


def main() -> None:
    """Start both, and wait for them; an error in one of them is raised here."""
    if sys.platform in LOOPBACK:
        os.environ.setdefault(
            "GLOO_SOCKET_IFNAME", LOOPBACK[sys.platform]
        )  # a host name need not lead anywhere
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = start_processes(worker, (folder,), nprocs=2, join=False, start_method=START)
        try:
            while not processes.join():
                pass
        except ProcessExitedException:
            # gloo's threads can bring down an interpreter that is ending: by then both have printed.
            if not (folder / DONE).exists():
                raise


if __name__ == "__main__":
    main()
