"""Operations element by element."""
import torch
import torch.nn.functional as F

from rows.attrs import dtype, number

ROWS = {
    "add": lambda x, a: x[0] + x[1],
    "sub": lambda x, a: x[0] - x[1],
    "mul": lambda x, a: x[0] * x[1],
    "div": lambda x, a: x[0] / x[1],
    "maximum": lambda x, a: torch.maximum(x[0], x[1]),
    "minimum": lambda x, a: torch.minimum(x[0], x[1]),
    "neg": lambda x, a: -x[0],
    "abs": lambda x, a: x[0].abs(),
    "sign": lambda x, a: x[0].sign(),
    "exp": lambda x, a: x[0].exp(),
    "log": lambda x, a: x[0].log(),
    "sqrt": lambda x, a: x[0].sqrt(),
    "sin": lambda x, a: x[0].sin(),
    "cos": lambda x, a: x[0].cos(),
    "erf": lambda x, a: x[0].erf(),
    "tanh": lambda x, a: x[0].tanh(),
    "sigmoid": lambda x, a: x[0].sigmoid(),
    "relu": lambda x, a: F.relu(x[0]),
    "gelu": lambda x, a: F.gelu(x[0]),
    "affine": lambda x, a: x[0] * number(a, "scale") + number(a, "shift"),
    "eq": lambda x, a: x[0] == x[1],
    "ne": lambda x, a: x[0] != x[1],
    "lt": lambda x, a: x[0] < x[1],
    "le": lambda x, a: x[0] <= x[1],
    "gt": lambda x, a: x[0] > x[1],
    "ge": lambda x, a: x[0] >= x[1],
    "where": lambda x, a: torch.where(x[0], x[1], x[2]),
    "cast": lambda x, a: (x[0].clamp(min=0) if a["dtype"] == "u8" and x[0].dtype != torch.bool else x[0]).to(dtype(a, "dtype")),
}
