"""Write power_sgd.txt: weights of two ranks that trained with PyTorch's PowerSGD and post-local SGD hooks, for tests/dist.

Run as `python3 tests/golden/power_sgd.py FOLDER`, with torch installed and an empty folder to meet in.  The file is committed; the tests read only it.  A line is a case
and the weights (rank 0's, which are rank 1's too) behind its steps; what is computed stands in tests/dist/worker/power.c again.
"""
import os
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.algorithms.ddp_comm_hooks import post_localSGD_hook as local, powerSGD_hook as power
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.optim import PostLocalSGDOptimizer
from torch.nn.parallel import DistributedDataParallel

HERE = os.path.dirname(os.path.abspath(__file__))
FEATURES, HIDDEN, CLASSES, BATCH = 6, 10, 4, 5
CASES = {  # steps, rank, error feedback, warm start, seed; 0: post-local SGD
    "rank1": (7, 1, True, True, 0), "rank2": (7, 2, True, True, 5), "rank3": (7, 3, True, True, 0),
    "no_feedback": (6, 1, False, True, 1), "no_warm_start": (6, 2, True, False, 2), "local": (6, 0, False, False, 0),
}


def make_net():
    net = torch.nn.Sequential(torch.nn.Linear(FEATURES, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, CLASSES))
    with torch.no_grad():
        for k, p in enumerate(net.parameters()):
            p.copy_(torch.tensor([((i * 37 + k * 11) % 17) / 17 - 0.5 for i in range(p.numel())]).reshape(p.shape))
    return net


def make_batch(step, rank):
    items = [step * 2 * BATCH + 2 * i + rank for i in range(BATCH)]
    x = torch.tensor([[((item * 37 + f * 101) % 29) / 14.5 - 1 for f in range(FEATURES)] for item in items])
    return x, torch.tensor([item % CLASSES for item in items])


def run(rank, folder, name):
    steps, size, feedback, warm, seed = CASES[name]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + os.path.join(folder, name), rank=rank, world_size=2)
    net = DistributedDataParallel(make_net())
    optim = torch.optim.SGD(net.parameters(), lr=0.2)
    if size:
        net.register_comm_hook(power.PowerSGDState(None, matrix_approximation_rank=size, start_powerSGD_iter=2, min_compression_rate=1,
                                                   use_error_feedback=feedback, warm_start=warm, random_seed=seed), power.powerSGD_hook)
    else:
        net.register_comm_hook(local.PostLocalSGDState(None, None, 2, post_local_gradient_allreduce=False), local.post_localSGD_hook)
        optim = PostLocalSGDOptimizer(optim, PeriodicModelAverager(period=3, warmup_steps=2))
    for step in range(steps):
        optim.zero_grad()
        x, y = make_batch(step, rank)
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optim.step()
    weights = torch.cat([p.detach().reshape(-1) for p in net.module.parameters()])
    both = [torch.empty_like(weights) for _ in range(2)]
    dist.all_gather(both, weights)
    assert torch.equal(*both), name
    if rank == 0:
        with open(os.path.join(folder, name + ".txt"), "w") as out:
            out.write(name + " " + " ".join("%.9g" % w for w in weights.tolist()) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    with open(os.path.join(HERE, "power_sgd.txt"), "w") as out:
        for name in CASES:
            mp.spawn(run, (sys.argv[1], name), 2)
            with open(os.path.join(sys.argv[1], name + ".txt")) as made:
                out.write(made.read())
