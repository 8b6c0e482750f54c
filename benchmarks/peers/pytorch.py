#!/usr/bin/env python3
"""PyTorch's side of the step benchmarks: the workloads of benchmarks/README.md.

pytorch.py WORKLOAD [--mode eager|compile] [--dtype f32|bf16] [--threads N] [--steps N] [--warmup N] [--layout contiguous|channels_last]
pytorch.py WORKLOAD --launches                                  how many kernels one step would hand to a device
pytorch.py WORKLOAD --export FILE                              the network as ONNX, for onnx_runtime.py
torchrun --nproc-per-node 2 pytorch.py cnn --threads 1         DistributedDataParallel over gloo

`wick bench steps --peer torch` runs it.  Prints one JSON line (rank 0) with the same keys as `wick bench step`.
"""
import argparse
import collections
import contextlib
import ctypes
import json
import os
import signal
import time

parser = argparse.ArgumentParser()
parser.add_argument("workload")
parser.add_argument("--mode", default="eager", choices=["eager", "compile"])
parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=0)
parser.add_argument("--warmup", type=int, default=3)
parser.add_argument("--layout", default="contiguous", choices=["contiguous", "channels_last"])
parser.add_argument("--device", default="cpu")
parser.add_argument("--export")
parser.add_argument("--launches", action="store_true")
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
started = time.perf_counter()
import torch
import torch.distributed
import torch.nn.functional as F
from torch import nn

imported = time.perf_counter() - started
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)
ranks = int(os.environ.get("WORLD_SIZE", "1"))
if ranks > 1:  # torchrun that is killed may not get to end its ranks
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def peak_mib():
    """The largest resident size of this program: getrusage's begins with that of the program that started it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


def laid_out(net, x):
    if arguments.layout == "channels_last":
        return net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    return net, x


def synchronise():
    if arguments.device != "cpu":
        torch.cuda.synchronize()


def classes(count):
    return torch.randint(0, 10, (count,))


# Each gives the network, its input, the target (None: inference), the optimizer, items a step, steps.

def mlp():
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return net, torch.randn(64, 784), classes(64), torch.optim.SGD(net.parameters(), 0.01), 64, 2000


def cnn():
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    net, x = laid_out(net, torch.randn(64, 1, 28, 28))
    return net, x, classes(64), torch.optim.AdamW(net.parameters(), 1e-3), 64, 60


def resnet18():
    from torchvision.models import resnet18 as make
    net = make(num_classes=10)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    net, x = laid_out(net, torch.randn(128, 3, 32, 32))
    return net, x, classes(128), torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4), 128, 5


class Decoder(nn.Module):
    """One block of GPT-2."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, width = x.shape
        parts = self.attend(self.norm_1(x)).split(width, dim=2)
        q, k, v = (p.view(n, t, self.heads, width // self.heads).transpose(1, 2) for p in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, width)
        x = x + self.project(y)
        return x + self.narrow(F.gelu(self.widen(self.norm_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, vocabulary=50257, context=1024, width=768, heads=12, layers=12):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Decoder(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.02)

    def forward(self, x):
        x = self.tokens(x) + self.places(torch.arange(x.shape[1], device=x.device))
        return self.head(self.norm(self.blocks(x)))


def gpt2(length):
    net = GPT2()
    x, y = (torch.randint(0, 50257, (4, length)) for _ in range(2))
    return net, x, y, torch.optim.AdamW(net.parameters(), 3e-4), 4 * length, 4


class CharLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.linear = nn.Embedding(65, 128), nn.LSTM(128, 256, 2, batch_first=True), nn.Linear(256, 65)

    def forward(self, x):
        return self.linear(self.lstm(self.embedding(x))[0])


def lstm():
    net = CharLSTM()
    x, y = (torch.randint(0, 65, (64, 64)) for _ in range(2))
    return net, x, y, torch.optim.AdamW(net.parameters(), 2e-3), 64 * 64, 15


def minilm(batch):
    from transformers import BertConfig, BertModel
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, attn_implementation="sdpa")
    return BertModel(config).eval(), torch.randint(0, 30522, (batch, 128)), None, None, batch, 60 if batch == 1 else 9


WORKLOADS = {
    "mlp": mlp, "cnn": cnn, "resnet18": resnet18, "gpt2-t64": lambda: gpt2(64), "gpt2-t256": lambda: gpt2(256), "lstm": lstm,
    "minilm-b1": lambda: minilm(1), "minilm-b32": lambda: minilm(32)}
if arguments.workload not in WORKLOADS:
    parser.error(f"there is no workload {arguments.workload}, only {', '.join(WORKLOADS)}")
net, x, y, optimizer, items, steps = WORKLOADS[arguments.workload]()
steps = arguments.steps or steps
if arguments.export:
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, tokens):
            return self.net(input_ids=tokens).last_hidden_state

    torch.onnx.export(Sequence().eval(), (x,), arguments.export, input_names=["tokens"], dynamo=False)
    raise SystemExit
if arguments.device != "cpu":  # parameters move in place, so the optimizer keeps them
    net, x, y = net.to(arguments.device), x.to(arguments.device), None if y is None else y.to(arguments.device)
if ranks > 1:
    torch.distributed.init_process_group("gloo")
    net = nn.parallel.DistributedDataParallel(net)
run = torch.compile(net) if arguments.mode == "compile" else net


def autocast():
    return torch.autocast(arguments.device.split(":")[0], torch.bfloat16, enabled=arguments.dtype == "bf16")


def infer():
    start = time.perf_counter()
    with torch.inference_mode(), autocast():
        result = run(x)[0]
    synchronise()
    return time.perf_counter() - start, result.flatten()[0].item()


def step(exchange=True):
    if y is None:
        return infer()
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with contextlib.nullcontext() if exchange or ranks == 1 else net.no_sync():
        with autocast():
            logits = run(x)
            loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1))
        loss.backward()
    optimizer.step()
    value = loss.item()
    return time.perf_counter() - start, value


def count_launches():
    """The operations of a step by name, on whatever device, without those that move no element (views, empty memory).

    Each is at least one kernel on a GPU, and some are several (norms backward, lists of tensors)."""
    from torch.utils._python_dispatch import TorchDispatchMode

    found = collections.Counter()

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = str(func).removeprefix("aten.")
            if not func.is_view and not name.startswith(("empty", "_unsafe_view", "_local_scalar_dense", "profiler.")):
                found[name] += 1
            return func(*args, **(kwargs or {}))

    for group in optimizer.param_groups:
        group["foreach"] = True  # the default on a GPU
    step()
    with Count():
        step()
    return found


if arguments.launches:
    found = count_launches()
    print(json.dumps({"workload": arguments.workload, "dtype": arguments.dtype, "launches": found.total(), "by_name": dict(found.most_common())}))
    raise SystemExit
first, loss_first = step()
first_at = time.monotonic()
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
        "workload": arguments.workload, "peer": f"torch {torch.__version__} {arguments.layout} {arguments.mode}", "dtype": arguments.dtype, "ranks": ranks,
        "threads": arguments.threads, "step_s": round(median, 7), "p10": round(with_exchange[len(with_exchange) // 10], 7),
        "p90": round(with_exchange[len(with_exchange) * 9 // 10], 7), "items_per_s": round(items * ranks / median, 1),
        "first_step_s": round(first, 5), "first_step_at": first_at, "import_s": round(imported, 3), "peak_mib": round(peak_mib(), 1),
        "loss_first": round(loss_first, 4), "loss_last": round(loss, 4)}
    if ranks > 1:
        result["step_no_exchange_s"] = round(sorted(without)[len(without) // 2], 7)
    print(json.dumps(result))
if ranks > 1:
    torch.distributed.destroy_process_group()
