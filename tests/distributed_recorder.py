"""Started by torchrun on two processes: one recording with DDP or FSDP2, and the same training on one process."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn import functional as F

from gradutils.data import digits
from gradutils.models import init_weights_, mlp
from gradutils.recorder import Recorder


def train(model, x, y, path):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with Recorder(model, every=1, cosine=True) as recorder:
        for k in range(6):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[k]), y[k])
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    recorder.save(path)


def build():
    return init_weights_(mlp(3, 33), 2**0.5, 0.1, generator=torch.Generator().manual_seed(0))


def main(how, folder):
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    x, y, _, _ = digits()
    x, y = x[:240].view(6, 40, 64), y[:240].view(6, 40)
    if rank == 0:
        train(build(), x, y, folder / "single.npz")
    half = slice(20 * rank, 20 * rank + 20)
    if how == "ddp":
        model = torch.nn.parallel.DistributedDataParallel(build())
    else:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        model, mesh = build(), init_device_mesh("cpu", (2,))
        for layer in (model.fc1, model.fc2, model.fc3):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    train(model, x[:, half], y[:, half], folder / f"{how}-{rank}.npz")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    os._exit(0)  # gloo's threads may hold tensors still: they can bring down an interpreter that is ending
