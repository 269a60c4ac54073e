"""Clipping where the gradient is spread over processes: each its own part, or all together.

``python -m gradutils.course.two_processes`` starts two processes on this machine and prints what both ways do to the gradient
of one small network, and what a `Recorder` on the sharded network says of its norm.
"""

import os
import socket
import sys

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.run import main as torchrun
from torch.nn import functional as F

from gradutils.data import digits
from gradutils.models import init_weights_, mlp
from gradutils.recorder import Recorder


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


def main() -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    whole = network()
    backward(whole)
    gradient = joined(whole.parameters())

    # Each process holds some of the layers, as in pipeline parallelism, and clips what it holds.
    parts = list(whole.parameters())
    parts = [parts[:8], parts[8:]]
    mine = torch.cat([p.grad.flatten() for p in parts[rank]])
    pieces = [torch.empty(sum(p.numel() for p in part)) for part in parts]
    pieces[rank] = mine * min(1.0, 1.0 / float(mine.norm()))
    for owner, piece in enumerate(pieces):
        dist.broadcast(piece, owner)
    compare("each its own layers", torch.cat(pieces), gradient)

    # Each process holds some rows of every weight: FSDP2.
    for together in (False, True):
        model = network()
        fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
        with Recorder(model) as recorder:
            loss = backward(model)
            recorder.step(loss)
        if together:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # sees that the gradients are spread
        else:
            local = [p.grad.to_local() for p in model.parameters()]
            norm = float(torch.nn.utils.get_total_norm(local))
            for g in local:
                g.mul_(min(1.0, 1.0 / norm))
        name = "FSDP2's clip, over all" if together else "each its own rows"
        compare(name, joined(model.parameters()), gradient)
    if rank == 0:
        recorded, exact = float(recorder.grad_norm[0].norm()), float(gradient.norm())
        same = abs(recorded / exact - 1) < 1e-3
        print(f"Recorder's norm over all processes is that of one process: {same}")
    dist.destroy_process_group()


if __name__ == "__main__":
    if "LOCAL_RANK" in os.environ:
        main()
        sys.stdout.flush()
        # gloo's threads may hold tensors still, and can bring down an interpreter that is ending.
        os._exit(0)
    else:
        with socket.socket() as probe:  # a free port, on this machine only
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        if loopback := {"linux": "lo", "darwin": "lo0"}.get(sys.platform):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)  # a host name need not lead anywhere
        # torchrun asks often, and without a network each answer takes long.
        socket.getfqdn = lambda name="": "localhost"
        where = ["--master-addr", "127.0.0.1", "--master-port", str(port)]
        torchrun(["--nproc-per-node", "2", *where, "-m", "gradutils.course.two_processes"])
