"""What the goldens of models hold: for each, its state's names and initial values, its result and its gradients.

Of a state tensor and of a parameter's gradient two numbers are kept: its sum weighted by sin(1.3 i), and its norm.
"""
import os

import torch
from safetensors.torch import save_file


def wave(*shape):
    """The input of image models: the same formula stands in tests/models/check.c."""
    n = 1
    for size in shape:
        n *= size
    return torch.sin(torch.arange(n, dtype=torch.float64) * 0.7 + 0.2).float().reshape(shape)


def tokens(vocabulary, *shape):
    """Token numbers, i64: (7 i + 3 + i² // 5) mod vocabulary."""
    n = 1
    for size in shape:
        n *= size
    i = torch.arange(n)
    return ((7 * i + 3 + i * i // 5) % vocabulary).reshape(shape)


def two_numbers(t):
    flat = t.detach().flatten().double()
    return torch.stack([(flat * torch.sin(torch.arange(flat.numel(), dtype=torch.float64) * 1.3)).sum(), flat.norm()])


def fill(model):
    """Values for models whose own initialisation is not ours: each floating state tensor in order, normal, 0.1 wide; of vectors 1 more."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape) * 0.1 + (1 if p.dim() == 1 else 0))


def record(out, name, model, x, run=None):
    """Forward in the model's mode, backward from a wave, and what both gave."""
    for key, value in model.state_dict().items():
        out[f"{name}/state/{key}"] = two_numbers(value)
    if x.is_floating_point():
        x = x.clone().requires_grad_()
    y = (run or (lambda m, x: m(x)))(model, x)
    (y * wave(*y.shape)).sum().backward()
    out[f"{name}/y"] = y.detach().flatten()[:512].clone()
    out[f"{name}/norm"] = two_numbers(y)
    if x.is_floating_point():
        out[f"{name}/grad_x"] = two_numbers(x.grad)
    for key, p in model.named_parameters():
        out[f"{name}/grad/{key}"] = two_numbers(p.grad)


def save(out, file):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), file)
    save_file({k: v.contiguous() for k, v in out.items()}, path)
    os.chmod(path, 0o644)
