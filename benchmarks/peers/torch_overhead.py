#!/usr/bin/env python3
"""PyTorch's side of `wick bench overhead`, from Python: nanoseconds of x + y on one element without and with gradients, and of a forward of a
64-64-64-10 MLP at batch 1; of each the least of fifty rounds.  One JSON line."""
import json
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"  # none of this is work for two
import torch
from torch import nn

torch.set_num_threads(1)


def nanoseconds(f, count):
    least = 1.0
    for _ in range(50):
        start = time.perf_counter()
        for _ in range(count):
            f()
        least = min(least, (time.perf_counter() - start) / count)
    return round(1e9 * least, 1)


x, y, leaf = torch.ones(1), torch.ones(1), torch.ones(1, requires_grad=True)
net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
row = torch.randn(1, 64)
noted = nanoseconds(lambda: torch.add(leaf, y), 10000)
with torch.inference_mode():
    plain = nanoseconds(lambda: torch.add(x, y), 10000)
    forward = nanoseconds(lambda: net(row), 2000)
print(json.dumps({"workload": "overhead", "peer": f"torch {torch.__version__}, Python", "add_nograd_ns": plain, "add_grad_ns": noted, "mlp_b1_ns": forward}))
