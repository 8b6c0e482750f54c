"""Products of matrices."""
import torch
import torch.nn.functional as F

from rows.attrs import flag, number, text, whole


def linear(x, a):
    y = F.linear(x[0], x[1], x[2])
    return F.relu(y) if text(a, "activation") == "relu" else y


def add_product(function):
    return lambda x, a: function(x[0], x[1], x[2], beta=number(a, "scale", 1), alpha=number(a, "factor", 1))


def symmetric(x):
    return (x + x.mT) / 2


def turn(vectors):
    """Factors that make the largest element of each column positive."""
    if vectors.numel() == 0:
        return torch.ones(vectors.shape[:-2] + vectors.shape[-1:], dtype=vectors.dtype)
    largest = vectors.detach().abs().argmax(-2, keepdim=True)
    return vectors.detach().gather(-2, largest).squeeze(-2).sign()


def qr(x, a):
    q, r = torch.linalg.qr(x[0])
    k = q.shape[-1]
    sign = torch.where(r.detach().diagonal(0, -2, -1)[..., :k] < 0, -1.0, 1.0).to(r.dtype)
    return [q * sign.unsqueeze(-2), r * sign.unsqueeze(-1)]


def eigh(x, a):
    w, v = torch.linalg.eigh(symmetric(x[0]))
    return [w, v * turn(v).unsqueeze(-2)]


def svd(x, a):
    u, s, vh = torch.linalg.svd(x[0], full_matrices=False)
    sign = turn(u)
    return [u * sign.unsqueeze(-2), s, vh * sign.unsqueeze(-1)]


ROWS = {
    "cholesky": lambda x, a: torch.linalg.cholesky(symmetric(x[0])),
    "eigh": eigh,
    "qr": qr,
    "svd": svd,
    "solve": lambda x, a: torch.linalg.solve(x[0], x[1]),
    "solve_triangular": lambda x, a: torch.linalg.solve_triangular(x[0], x[1], upper=flag(a, "upper"), unitriangular=flag(a, "unit_diagonal")),
    "inverse": lambda x, a: torch.linalg.inv(x[0]),
    "slogdet": lambda x, a: torch.linalg.slogdet(x[0]),
    "det": lambda x, a: torch.linalg.det(x[0]),
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
