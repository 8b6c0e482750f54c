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


def noise(*shape):
    """An input without a pattern, for deep networks: those with batch normalisation amplify rounding where channels hardly differ."""
    torch.manual_seed(5)
    return torch.empty(shape).uniform_(-1, 1)


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


def refill(model):
    """Values of the size that He et al. 2015 advise, drawn uniformly, which Wick does to the last bit (logarithms of normal draws differ in it)."""
    torch.manual_seed(2)
    with torch.no_grad():
        for key, p in model.named_parameters():
            bound = (6 * p.shape[0] / p.numel()) ** 0.5
            if p.dim() > 1:
                p.uniform_(-bound, bound)
            else:
                p.uniform_(-0.5, 0.5).add_(0 if key.endswith("bias") else 1)


def digest(out, name, model):
    """Of a state too long to keep: how many tensors, a hash of their names, and both numbers of all, weighted by their place."""
    names, first, norm = 0, 0.0, 0.0
    state = model.state_dict()
    for k, (key, value) in enumerate(state.items()):
        for byte in (key + "\n").encode():
            names = (names * 31 + byte) % 2**32
        numbers = two_numbers(value)
        first += (k + 1) * numbers[0].item()
        norm += (k + 1) * numbers[1].item()
    out[f"{name}/digest"] = torch.tensor([len(state), names, first, norm], dtype=torch.float64)


def record(out, name, model, x, run=None, evaluate=False, exact=False):
    """Forward in the model's mode, backward from a wave, and what both gave; then, if asked, forward in evaluation mode.

    exact: with the values of refill, in f64."""
    for key, value in model.state_dict().items():
        out[f"{name}/state/{key}"] = two_numbers(value)
    if exact:
        refill(model)
        model, x = model.double(), x.double()
    if x.is_floating_point():
        x = x.clone().requires_grad_()
    y = (run or (lambda m, x: m(x)))(model, x)
    (y * wave(*y.shape)).sum().backward()
    out[f"{name}/y"] = y.detach().flatten()[:512].float().clone()
    out[f"{name}/norm"] = two_numbers(y)
    if x.is_floating_point():
        out[f"{name}/grad_x"] = two_numbers(x.grad)
    for key, p in model.named_parameters():
        out[f"{name}/grad/{key}"] = two_numbers(p.grad)
    if evaluate:
        with torch.no_grad():
            out[f"{name}/evaluated"] = model.eval()(x).flatten()[:512].float().clone()


def save(out, file):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), file)
    save_file({k: v.contiguous() for k, v in out.items()}, path)
    os.chmod(path, 0o644)
