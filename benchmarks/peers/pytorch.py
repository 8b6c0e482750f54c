#!/usr/bin/env python3
"""PyTorch's side of the step benchmarks: the workloads of benchmarks/README.md, eager, f32.

pytorch.py mlp|cnn [--threads N] [--steps N] [--warmup N] [--layout contiguous|channels_last]
torchrun --nproc-per-node 2 pytorch.py cnn --threads 1         DistributedDataParallel over gloo

Prints one JSON line (rank 0) with the same keys as bench_steps.
"""
import argparse
import contextlib
import json
import os
import resource
import time

parser = argparse.ArgumentParser()
parser.add_argument("workload", choices=["mlp", "cnn"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=0)
parser.add_argument("--warmup", type=int, default=5)
parser.add_argument("--layout", default="contiguous", choices=["contiguous", "channels_last"])
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
started = time.perf_counter()
import torch
import torch.distributed
from torch import nn

imported = time.perf_counter() - started
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)
ranks = int(os.environ.get("WORLD_SIZE", "1"))
BATCH = 64


def mlp():
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return net, torch.randn(BATCH, 784), torch.optim.SGD(net.parameters(), 0.01), 2000


def cnn():
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    x = torch.randn(BATCH, 1, 28, 28)
    if arguments.layout == "channels_last":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    return net, x, torch.optim.AdamW(net.parameters(), 1e-3), 60


net, x, optimizer, steps = {"mlp": mlp, "cnn": cnn}[arguments.workload]()
steps = arguments.steps or steps
y = torch.randint(0, 10, (BATCH,))
if ranks > 1:
    torch.distributed.init_process_group("gloo")
    net = nn.parallel.DistributedDataParallel(net)


def step(exchange=True):
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with contextlib.nullcontext() if exchange or ranks == 1 else net.no_sync():
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
    optimizer.step()
    value = loss.item()
    return time.perf_counter() - start, value


first, loss_first = step()
for _ in range(arguments.warmup):
    step()
with_exchange, without = [], []
for _ in range(steps):
    if ranks > 1:
        torch.distributed.barrier()
    seconds, loss = step()
    with_exchange.append(seconds)
    if ranks > 1:
        torch.distributed.barrier()
        without.append(step(exchange=False)[0])
if ranks == 1 or torch.distributed.get_rank() == 0:
    with_exchange.sort()
    median = with_exchange[len(with_exchange) // 2]
    result = {
        "workload": arguments.workload, "peer": f"torch {torch.__version__} {arguments.layout}", "ranks": ranks,
        "threads": arguments.threads, "step_s": round(median, 7), "p10": round(with_exchange[len(with_exchange) // 10], 7),
        "p90": round(with_exchange[len(with_exchange) * 9 // 10], 7), "items_per_s": round(BATCH * ranks / median, 1),
        "first_step_s": round(first, 5), "import_s": round(imported, 3),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "loss_first": round(loss_first, 4), "loss_last": round(loss, 4)}
    if ranks > 1:
        result["step_no_exchange_s"] = round(sorted(without)[len(without) // 2], 7)
    print(json.dumps(result))
if ranks > 1:
    torch.distributed.destroy_process_group()
