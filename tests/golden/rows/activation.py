"""Activations."""
import torch
import torch.nn.functional as F

from rows.attrs import number, text, whole



def backward(function):
    """dy times the slope of a function of x and the attributes."""
    def run(x, a):
        result = function([x[1]], a)
        slope, = torch.autograd.grad(result.sum(), x[1], create_graph=True)
        return x[0] * slope
    return run


def scaled_elu(x, a):
    return torch.ops.aten.elu(x[0], number(a, "alpha"), number(a, "scale"), number(a, "input_scale"))


def piecewise(x, a):
    low, high = number(a, "low"), number(a, "high")
    is_open = a["open"] == "true"
    below = (x[1] <= low) if is_open else (x[1] < low)
    above = ((x[1] >= high) if is_open else (x[1] > high)) & ~below
    slope = torch.full_like(x[1], number(a, "between")).masked_fill(below, number(a, "below")).masked_fill(above, number(a, "above"))
    return x[0] * slope


ROWS = {
    "gelu": lambda x, a: F.gelu(x[0], approximate="tanh" if text(a, "approximate") == "tanh" else "none"),
    "relu6": lambda x, a: F.relu6(x[0]),
    "leaky_relu": lambda x, a: F.leaky_relu(x[0], number(a, "slope", 0.01)),
    "prelu": lambda x, a: F.prelu(x[0], x[1]),
    "hardtanh": lambda x, a: F.hardtanh(x[0], number(a, "min", -1.0), number(a, "max", 1.0)),
    "hardsigmoid": lambda x, a: F.relu6(x[0] + 3) / 6,  # F.hardsigmoid's gradient has a factor of f32
    "hardswish": lambda x, a: F.hardswish(x[0]),
    "hardshrink": lambda x, a: F.hardshrink(x[0], number(a, "lambda", 0.5)),
    "softshrink": lambda x, a: F.softshrink(x[0], number(a, "lambda", 0.5)),
    "threshold": lambda x, a: F.threshold(x[0], number(a, "threshold"), number(a, "value")),
    "logsigmoid": lambda x, a: F.logsigmoid(x[0]),
    "silu": lambda x, a: F.silu(x[0]),
    "mish": lambda x, a: F.mish(x[0]),
    "softplus": lambda x, a: F.softplus(x[0], number(a, "beta", 1.0), number(a, "threshold", 20.0)),
    "softsign": lambda x, a: F.softsign(x[0]),
    "elu": lambda x, a: F.elu(x[0], number(a, "alpha", 1.0)),
    "selu": lambda x, a: F.selu(x[0]),
    "celu": lambda x, a: F.celu(x[0], number(a, "alpha", 1.0)),
    "tanhshrink": lambda x, a: F.tanhshrink(x[0]),
    "glu": lambda x, a: F.glu(x[0], whole(a, "axis", -1)),
}
ROWS.update({name + "_backward": backward(ROWS[name]) for name in ("gelu", "silu", "mish", "hardswish", "softplus")})
ROWS.update({
    "elu_backward": backward(scaled_elu),
    "piecewise_backward": piecewise,
    "gate": lambda x, a: x[0] * torch.sigmoid(x[1]),
    "gate_backward": lambda x, a: x[0] * x[1] * torch.sigmoid(x[2]) * (1 - torch.sigmoid(x[2])),
    "prelu_broadcast": lambda x, a: torch.where(x[0] > 0, x[0], x[0] * x[1]),
})
