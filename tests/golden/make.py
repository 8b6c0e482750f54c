"""Write the golden files of the tests: what PyTorch computes, for Wick to agree with.

Run as `python3 tests/golden/make.py`, with torch, numpy and safetensors installed.  The files are committed; the tests read
only them.
"""
import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def write(name, tensors, metadata=None):
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, os.path.join(HERE, name), metadata)


# ---- operations: result and gradients -------------------------------------------------------------------------------------

def draw(generator, *shape, low=-2.0, high=2.0):
    return torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low


def operations():
    g = torch.Generator().manual_seed(20260101)
    index = lambda n, high: torch.randint(0, high, (n,), generator=g)
    x4, w4, b4 = draw(g, 2, 4, 9, 8), draw(g, 6, 4, 3, 3), draw(g, 6)
    image, logits, wide = draw(g, 2, 3, 7, 8), draw(g, 6, 10), draw(g, 3, 70, low=-20, high=20)
    norm = {"x": draw(g, 4, 3, 5, 2), "weight": draw(g, 3), "bias": draw(g, 3), "mean!": draw(g, 3), "variance!": draw(g, 3, low=0.5)}
    target, ignored = index(6, 10), index(6, 10)
    ignored[2] = ignored[4] = 7
    pixels, labels = draw(g, 2, 5, 3, 2), torch.randint(0, 5, (2, 3, 2), generator=g)
    conv = {"x": x4, "weight": w4, "bias": b4}
    cases = {
        "linear": ({"x": draw(g, 5, 7), "weight": draw(g, 4, 7), "bias": draw(g, 4)}, F.linear),
        "linear_relu": ({"x": draw(g, 2, 5, 7), "weight": draw(g, 4, 7), "bias": draw(g, 4)}, lambda x, w, b: F.relu(F.linear(x, w, b))),
        "matmul": ({"a": draw(g, 2, 1, 3, 4), "b": draw(g, 5, 4, 6)}, torch.matmul),
        "conv2d": (conv, F.conv2d),
        "conv2d_stride": (conv, lambda x, w, b: F.conv2d(x, w, b, stride=(2, 1), padding=(1, 2))),
        "conv2d_dilation": (conv, lambda x, w, b: F.conv2d(x, w, b, dilation=(2, 3), padding=2)),
        "conv2d_groups": ({"x": x4, "weight": draw(g, 6, 2, 3, 2), "bias": b4}, lambda x, w, b: F.conv2d(x, w, b, groups=2, stride=2)),
        "conv2d_depthwise": ({"x": x4, "weight": draw(g, 4, 1, 3, 3)}, lambda x, w: F.conv2d(x, w, groups=4, padding=1)),
        "conv2d_one": ({"x": x4, "weight": draw(g, 5, 4, 1, 1)}, F.conv2d),
        "batch_norm_train": (norm, lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, training=True, momentum=0.3, eps=1e-3)),
        "batch_norm_eval": (norm, lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b)),
        "max_pool2d": ({"x": image}, lambda x: F.max_pool2d(x, 2)),
        "max_pool2d_ceil": ({"x": image}, lambda x: F.max_pool2d(x, (3, 2), stride=2, padding=(1, 0), ceil_mode=True)),
        "avg_pool2d": ({"x": image}, lambda x: F.avg_pool2d(x, 3, stride=2, padding=1)),
        "avg_pool2d_ceil": ({"x": image}, lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)),
        "avg_pool2d_exclude": ({"x": image}, lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)),
        "softmax": ({"x": wide}, lambda x: F.softmax(x, 1)),
        "softmax_first": ({"x": draw(g, 3, 4, 5)}, lambda x: F.softmax(x, 0)),
        "log_softmax": ({"x": wide}, lambda x: F.log_softmax(x, 1)),
        "cross_entropy": ({"x": logits, "target": target}, F.cross_entropy),
        "cross_entropy_sum": ({"x": wide, "target": index(3, 70)}, lambda x, t: F.cross_entropy(x, t, reduction="sum")),
        "cross_entropy_none": ({"x": logits, "target": ignored}, lambda x, t: F.cross_entropy(x, t, reduction="none", ignore_index=7)),
        "cross_entropy_smooth": ({"x": logits, "target": ignored}, lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1, ignore_index=7)),
        "cross_entropy_pixels": ({"x": pixels, "target": labels}, lambda x, t: F.cross_entropy(x, t, reduction="none")),
        "mse_loss": ({"a": draw(g, 4, 5), "b": draw(g, 4, 5)}, F.mse_loss),
        "gelu": ({"x": draw(g, 7, 9, low=-5, high=5)}, F.gelu),
        "sum": ({"x": draw(g, 3, 4, 5)}, lambda x: x.sum((0, 2), keepdim=True)),
        "mean": ({"x": draw(g, 3, 4, 5)}, lambda x: x.mean(-1)),
        "amax_ties": ({"x": torch.tensor([[1.0, 3, 3, 0], [2, 2, 2, 2]], dtype=torch.float64)}, lambda x: x.amax(1)),
        "maximum_ties": ({"a": torch.tensor([1.0, 2, 3], dtype=torch.float64), "b": torch.tensor([1.0, 3, 2], dtype=torch.float64)}, torch.maximum),
        "gather": ({"x": draw(g, 5, 6), "index": torch.randint(0, 6, (4, 9), generator=g)}, lambda x, i: x.gather(1, i)),
        "index_select": ({"x": draw(g, 5, 6), "index": index(8, 5)}, lambda x, i: x.index_select(0, i)),
        "div": ({"a": draw(g, 3, 1, 5), "b": draw(g, 4, 1, low=0.5)}, torch.div),
        "tanh": ({"x": draw(g, 6, 7)}, torch.tanh),
        "sigmoid": ({"x": draw(g, 6, 7)}, torch.sigmoid),
    }
    out = {}
    for dtype, suffix in ((torch.float32, "f32"), (torch.float64, "f64")):
        for name, (inputs, function) in cases.items():
            at = f"{suffix}/{name}/"
            used = []
            for key, value in inputs.items():
                floating = value.is_floating_point()
                value = value.to(dtype) if floating else value
                out[at + key.rstrip("!")] = value.clone()
                used.append(value.clone().requires_grad_(floating and not key.endswith("!")))
            y = function(*used)
            dy = draw(g, *y.shape).to(dtype)
            y.backward(dy)
            out[at + "y"], out[at + "dy"] = y, dy
            for key, value in zip(inputs, used):
                if value.grad is not None:
                    out[at + "d." + key] = value.grad
                elif key.endswith("!"):
                    out[at + "after." + key.rstrip("!")] = value
    write("operations.safetensors", out)


# ---- random numbers and initial weights -----------------------------------------------------------------------------------

def generator():
    out = {}
    for seed in (0, 1, 42, (1 << 40) + 3):
        def put(name, make):
            torch.manual_seed(seed)
            out[f"{seed}/{name}"] = make()
        put("rand", lambda: torch.rand(700))
        put("rand_f64", lambda: torch.rand(50, dtype=torch.float64))
        put("uniform", lambda: torch.empty(50).uniform_(-0.3, 0.7))
        put("randn_small", lambda: torch.randn(15))
        put("randn_16", lambda: torch.randn(16))
        put("randn", lambda: torch.randn(101) * 1.0)
        put("normal", lambda: torch.empty(64).normal_(0.5, 2.0))
        put("randperm", lambda: torch.randperm(1000))
        put("mixed", lambda: torch.cat([torch.rand(3), torch.randn(3), torch.randperm(5).float(), torch.randn(3), torch.rand(2)]))
        torch.manual_seed(seed)
        linear, conv = torch.nn.Linear(20, 30), torch.nn.Conv2d(6, 8, 3, groups=2)
        for name, p in (("linear.weight", linear.weight), ("linear.bias", linear.bias), ("conv.weight", conv.weight), ("conv.bias", conv.bias)):
            out[f"{seed}/{name}"] = p
    write("generator.safetensors", out)


# ---- optimizers and schedules -----------------------------------------------------------------------------------------------

def optimizers():
    g = torch.Generator().manual_seed(7)
    start = [draw(g, 5, 7), draw(g, 33)]
    gradients = [[draw(g, *p.shape) for p in start] for _ in range(20)]
    configs = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
        "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01),
        "sgd_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
        "sgd_dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
        "adam_decay": lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
        "adamw_decay": lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.7, 0.9), weight_decay=0.2),
        "adamw_clip": lambda p: torch.optim.AdamW(p, lr=0.01),
    }
    out = {}
    for dtype, suffix in ((torch.float32, "f32"), (torch.float64, "f64")):
        for i, p in enumerate(start):
            out[f"{suffix}/start.{i}"] = p.to(dtype)
            for step in range(20):
                out[f"{suffix}/gradient.{step}.{i}"] = gradients[step][i].to(dtype)
        for name, make in configs.items():
            p = [torch.nn.Parameter(s.to(dtype).clone()) for s in start]
            optim = make(p)
            for step in range(20):
                for i in range(2):
                    p[i].grad = gradients[step][i].to(dtype).clone()
                if name.endswith("clip"):
                    torch.nn.utils.clip_grad_norm_(p, 2.5)
                optim.step()
                if step in (0, 1, 19):
                    for i in range(2):
                        out[f"{suffix}/{name}/{step}.{i}"] = p[i].data.clone()
    parameter = torch.nn.Parameter(torch.zeros(1))
    optim = torch.optim.SGD([parameter], lr=0.4)
    schedule, rates = torch.optim.lr_scheduler.StepLR(optim, step_size=3, gamma=0.5), []
    for _ in range(20):
        rates.append(optim.param_groups[0]["lr"])
        optim.step()
        schedule.step()
    out["schedule/step"] = torch.tensor(rates, dtype=torch.float64)
    warmup, total, base, least = 5, 25, 0.3, 0.01
    out["schedule/cosine"] = torch.tensor(
        [base * (t + 1) / warmup if t < warmup else least + (base - least) * (1 + math.cos(math.pi * min(1, (t - warmup) / (total - warmup)))) / 2
         for t in range(30)], dtype=torch.float64)
    write("optimizers.safetensors", out)


# ---- the first steps of training --------------------------------------------------------------------------------------------

def mark(p):
    """A number that any other bits of the weights change: sum of word · (2 · index + 1), modulo 2^64."""
    words = p.detach().numpy().reshape(-1).view(np.uint32).astype(np.uint64)
    return int((words * (2 * np.arange(words.size, dtype=np.uint64) + 1)).sum(dtype=np.uint64).astype(np.int64))


def training():
    g = torch.Generator().manual_seed(3)
    pictures = torch.randint(0, 256, (4, 64, 784), generator=g, dtype=torch.uint8)
    labels = torch.randint(0, 10, (4, 64), generator=g)
    out = {"pictures": pictures, "labels": labels}
    N = torch.nn
    models = {
        "mlp": (lambda: N.Sequential(N.Linear(784, 128), N.ReLU(), N.Linear(128, 10)), (64, 784),
                lambda p: torch.optim.SGD(p, lr=0.01)),
        "cnn": (lambda: N.Sequential(N.Conv2d(1, 32, 3), N.ReLU(), N.Conv2d(32, 64, 3), N.ReLU(), N.MaxPool2d(2), N.Flatten(),
                                     N.Linear(9216, 128), N.ReLU(), N.Linear(128, 10)), (64, 1, 28, 28),
                lambda p: torch.optim.AdamW(p, lr=1e-3)),
    }
    for name, (make, shape, optimizer) in models.items():
        torch.manual_seed(0)
        model = make()
        out[f"{name}/marks"] = torch.tensor([mark(p) for p in model.parameters()])
        optim, losses = optimizer(model.parameters()), []
        for step in range(20):
            x = (pictures[step % 4].float() / 256).reshape(shape)
            optim.zero_grad()
            loss = F.cross_entropy(model(x), labels[step % 4])
            loss.backward()
            optim.step()
            losses.append(loss.item())
        out[f"{name}/losses"] = torch.tensor(losses, dtype=torch.float64)
    write("training.safetensors", out)


# ---- the format itself --------------------------------------------------------------------------------------------------------

def format_():
    tensors = {
        "b.f32": torch.tensor([[1.5, -2.0], [0.0, 3.25]]), "a.f64": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
        "half": torch.tensor([1.0, 0.5], dtype=torch.float16), "brain": torch.tensor([1.0, -0.5, 2.0], dtype=torch.bfloat16),
        "i64": torch.tensor([1, -1]), "i32": torch.tensor([5, 6, 7], dtype=torch.int32), "i16": torch.tensor([300], dtype=torch.int16),
        "i8": torch.tensor([-3, 4], dtype=torch.int8), "u8": torch.tensor([250, 1, 2], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]), "scalar": torch.tensor(7.0), "empty": torch.zeros(0, 3),
        "z\u00e9ro \"quoted\"": torch.tensor([9.0]),
    }
    write("format.safetensors", tensors, {"format": "pt"})


operations()
generator()
optimizers()
training()
format_()
