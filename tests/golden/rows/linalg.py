"""Products of matrices."""
import torch
import torch.nn.functional as F

from rows.attrs import number, text, whole


def linear(x, a):
    y = F.linear(x[0], x[1], x[2])
    return F.relu(y) if text(a, "activation") == "relu" else y


def add_product(function):
    return lambda x, a: function(x[0], x[1], x[2], beta=number(a, "scale", 1), alpha=number(a, "factor", 1))


ROWS = {
    "matmul": lambda x, a: x[0] @ x[1],
    "linear": linear,
    "outer": lambda x, a: x[0].unsqueeze(-1) * x[1].unsqueeze(-2),
    "dot": lambda x, a: torch.linalg.vecdot(x[0], x[1]),
    "mv": lambda x, a: (x[0] @ x[1].unsqueeze(-1)).squeeze(-1),
    "cross": lambda x, a: torch.linalg.cross(x[0], x[1]),
    "addmm": add_product(torch.addmm),
    "baddbmm": add_product(torch.baddbmm),
    "bilinear": lambda x, a: F.bilinear(x[0], x[1], x[2], x[3]),
    "tensordot": lambda x, a: torch.tensordot(x[0], x[1], dims=whole(a, "count")),
    "kron": lambda x, a: torch.kron(x[0], x[1]),
    "cdist": lambda x, a: torch.cdist(x[0], x[1], p=number(a, "p", 2), compute_mode="donot_use_mm_for_euclid_dist"),
    "trace": lambda x, a: x[0].diagonal(0, -2, -1).sum(-1),
    "matrix_power": lambda x, a: torch.linalg.matrix_power(x[0], whole(a, "n")),
    "einsum": lambda x, a: torch.einsum(text(a, "equation"), *x),
}
