"""Picking and putting elements by position and condition."""
import torch
import torch.nn.functional as F

from rows.attrs import flag, number, text, whole


def take_along_axis(x, a):
    axis = whole(a, "axis") % x[0].dim()
    shape = [max(p, q) for p, q in zip(x[0].shape, x[1].shape)]
    grown = lambda t: t.expand([t.shape[k] if k == axis else shape[k] for k in range(t.dim())])
    return grown(x[0]).gather(axis, grown(x[1]))


def index_put(x, a):
    return x[0].index_put(tuple(x[2:]), x[1], accumulate=flag(a, "accumulate"))


def used(x):
    """PyTorch's gradients refuse a source that is larger than the index."""
    return x[2][tuple(slice(n) for n in x[1].shape)]


def scatter_reduce(x, a):
    return x[0].scatter_reduce(whole(a, "axis"), x[1], used(x), text(a, "reduce"), include_self=not flag(a, "exclude_self"))


def sized(rows, a, fill):
    """The rows found, cut or filled to the size asked for."""
    if not a["size"]:
        return rows
    size = whole(a, "size")
    missing = max(0, size - rows.shape[0])
    return torch.cat([rows[:size], torch.full((missing, *rows.shape[1:]), fill).to(rows.dtype)])


def masked_scatter(x, a):
    return x[0].masked_scatter(x[1].expand(x[0].shape), x[2])


def padding(x, a):
    return whole(a, "padding_idx") if a["padding_idx"] else None


ROWS = {
    "index_select": lambda x, a: x[0].index_select(whole(a, "axis"), x[1]),
    "gather": lambda x, a: x[0].gather(whole(a, "axis"), x[1]),
    "take": lambda x, a: x[0].take(x[1]),
    "take_along_axis": take_along_axis,
    "index": lambda x, a: x[0][tuple(x[1:])],
    "index_put": index_put,
    "index_add": lambda x, a: x[0].index_add(whole(a, "axis"), x[1], x[2], alpha=whole(a, "scale") or 1),
    "index_copy": lambda x, a: x[0].index_copy(whole(a, "axis"), x[1], x[2]),
    "index_fill": lambda x, a: x[0].index_fill(whole(a, "axis"), x[1], number(a, "value")),
    "scatter": lambda x, a: x[0].scatter(whole(a, "axis"), x[1], used(x)),
    "scatter_add": lambda x, a: x[0].scatter_add(whole(a, "axis"), x[1], used(x)),
    "scatter_reduce": scatter_reduce,
    "nonzero": lambda x, a: sized(x[0].nonzero(), a, whole(a, "fill")),
    "masked_fill": lambda x, a: x[0].masked_fill(x[1], number(a, "value")),
    "masked_select": lambda x, a: sized(x[0].masked_select(x[1]), a, number(a, "fill")),
    "masked_scatter": masked_scatter,
    "one_hot": lambda x, a: F.one_hot(x[0], whole(a, "classes")),
    "embedding": lambda x, a: F.embedding(x[1], x[0], padding_idx=padding(x, a)),
}
