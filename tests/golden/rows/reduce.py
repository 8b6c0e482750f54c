"""Reductions, scans, order, counting."""
import torch
import torch.nn.functional as F

from rows.attrs import flag, number, text, whole, wholes


def over(x, a):
    """The reduced axes, all where none is named, and keepdim."""
    return {"dim": tuple(wholes(a, "axes")) or tuple(range(x.dim())), "keepdim": flag(a, "keep_dims")}


def whole_or_float(x):
    return x if x.is_floating_point() else x.long()


def merged(x, a, function):
    """A function of one axis over several."""
    axes = [i % x.dim() for i in wholes(a, "axes")] if wholes(a, "axes") else list(range(x.dim()))
    kept = [i for i in range(x.dim()) if i not in axes]
    shape = [x.shape[i] for i in kept]
    y = function(x.permute(kept + axes).reshape(shape + [-1] if x.numel() else shape + [0]))
    return y.reshape([1 if i in axes else x.shape[i] for i in range(x.dim())]) if flag(a, "keep_dims") else y


def truth(x, a, function):
    return function(x.bool(), dim=over(x, a)["dim"], keepdim=flag(a, "keep_dims")) if x.dim() else function(x.bool())


def magnitude(x, a):
    kind, where = text(a, "kind"), over(x, a)
    if kind == "squares":
        return (x * x).sum(**where)
    if kind == "sizes":
        return x.abs().sum(**where)
    return (torch.amax if kind == "largest" else torch.amin)(x.abs(), **where)


def scan(function, x, a):
    axis = whole(a, "axis", -1)
    if flag(a, "reverse"):
        return function(x.flip(axis), axis).flip(axis)
    return function(x, axis)


def recurrence(factor, term, a):
    axis = whole(a, "axis", -1)
    if flag(a, "reverse"):
        factor, term = factor.flip(axis), term.flip(axis)
    steps, value = [], torch.zeros_like(term.select(axis, 0))
    for f, t in zip(factor.unbind(axis), term.unbind(axis)):
        value = t + f * value
        steps.append(value)
    y = torch.stack(steps, axis)
    return y.flip(axis) if flag(a, "reverse") else y


def ordered(x, axis, descending=False):
    """Stable: of equal elements torch.topk and its like give any."""
    values, places = torch.sort(x if x.dim() else x.reshape(1), dim=axis, descending=descending, stable=True)
    return (values, places) if x.dim() else (values.reshape(()), places.reshape(()))


def topk(x, a):
    axis, k = whole(a, "axis", -1), whole(a, "k")
    values, places = (t.narrow(axis, 0, k) for t in ordered(x, axis, not flag(a, "smallest")))
    if flag(a, "unsorted"):
        places = places.sort(axis)[0]
        values = x.gather(axis, places)
    return values, places


def kth(x, axis, k, keep):
    values, places = ordered(x, axis)
    if x.dim() == 0:
        return values, places
    result = [t.narrow(axis, k - 1, 1) for t in (values, places)]
    return result if keep else [t.squeeze(axis) for t in result]


def unique(x):
    values, inverse, counts = torch.unique(x.detach(), return_inverse=True, return_counts=True)
    return values, inverse.reshape(x.shape), counts


def unique_padded(x, size):
    values, inverse, counts = unique(x)
    room = min(size, values.numel())
    padded = [torch.cat([t[:room], torch.zeros(size - room, dtype=t.dtype)]) for t in (values, counts)]
    return padded[0], torch.where(inverse < size, inverse, -1), padded[1], torch.tensor(values.numel())


def weighted_bincount(x, weights, least):
    """torch.bincount has no gradient."""
    return torch.zeros(max(int(x.max()) + 1, least), dtype=weights.dtype).index_add(0, x, weights)


def histc(x, a):
    return torch.histc(x.detach(), whole(a, "bins") or 100, number(a, "min"), number(a, "max"))


def var_options(x, a):
    return {**over(x, a), "correction": number(a, "correction", 1.0)}


def quantile(x, q, a):
    return torch.quantile(x, q, dim=whole(a, "axis") if a["axis"] else None, keepdim=flag(a, "keep_dims"),
                          interpolation=text(a, "interpolation"))


def along(function):
    return lambda x, a: function(x[0], dim=whole(a, "axis", -1))


ROWS = {
    "sum": lambda x, a: x[0].sum(**over(x[0], a)),
    "mean": lambda x, a: x[0].mean(**over(x[0], a)),
    "amax": lambda x, a: torch.amax(x[0], **over(x[0], a)),
    "amin": lambda x, a: torch.amin(x[0], **over(x[0], a)),
    "aminmax": lambda x, a: [torch.amin(x[0], **over(x[0], a)), torch.amax(x[0], **over(x[0], a))],
    "prod": lambda x, a: merged(whole_or_float(x[0]), a, lambda t: t.prod(-1)),
    "nansum": lambda x, a: torch.nansum(x[0], **over(x[0], a)),
    "nanmean": lambda x, a: torch.nanmean(x[0], **over(x[0], a)),
    "any": lambda x, a: truth(x[0], a, torch.any),
    "all": lambda x, a: truth(x[0], a, torch.all),
    "count_nonzero": lambda x, a: (x[0] != 0).sum(**over(x[0], a)),
    "logsumexp": lambda x, a: torch.logsumexp(x[0], **over(x[0], a)),
    "magnitude": lambda x, a: magnitude(x[0], a),
    "argmax": along(torch.argmax),
    "argmin": along(torch.argmin),
    "softmax": along(F.softmax),
    "log_softmax": along(F.log_softmax),
    "softmin": along(F.softmin),
    "var": lambda x, a: torch.var(x[0], **var_options(x[0], a)),
    "std": lambda x, a: torch.std(x[0], **var_options(x[0], a)),
    "var_mean": lambda x, a: torch.var_mean(x[0], **var_options(x[0], a)),
    "norm": lambda x, a: torch.linalg.vector_norm(x[0], number(a, "p", 2.0), **over(x[0], a)),
    "normalize": lambda x, a: F.normalize(x[0], number(a, "p", 2.0), whole(a, "axis", 1), number(a, "eps", 1e-12)),
    "cosine_similarity": lambda x, a: F.cosine_similarity(x[0], x[1], whole(a, "axis", 1), number(a, "eps", 1e-8)),
    "cumsum": lambda x, a: scan(torch.cumsum, whole_or_float(x[0]), a),
    "cumprod": lambda x, a: scan(torch.cumprod, whole_or_float(x[0]), a),
    "logcumsumexp": lambda x, a: scan(torch.logcumsumexp, x[0], a),
    "linear_scan": lambda x, a: recurrence(x[0], x[1], a),
    "cummax": lambda x, a: torch.cummax(x[0], whole(a, "axis", -1)),
    "cummin": lambda x, a: torch.cummin(x[0], whole(a, "axis", -1)),
    "sort": lambda x, a: ordered(x[0], whole(a, "axis", -1), flag(a, "descending")),
    "argsort": lambda x, a: ordered(x[0], whole(a, "axis", -1), flag(a, "descending"))[1],
    "topk": lambda x, a: topk(x[0], a),
    "kthvalue": lambda x, a: kth(x[0], whole(a, "axis", -1), whole(a, "k"), flag(a, "keep_dims")),
    "median": lambda x, a: kth(x[0], whole(a, "axis", -1), (x[0].shape[whole(a, "axis", -1)] + 1) // 2, flag(a, "keep_dims")),
    "quantile": lambda x, a: quantile(x[0], x[1], a),
    "unique": lambda x, a: unique(x[0]),
    "unique_padded": lambda x, a: unique_padded(x[0], whole(a, "size")),
    "bincount": lambda x, a: torch.bincount(x[0], minlength=whole(a, "minlength")),
    "weighted_bincount": lambda x, a: weighted_bincount(x[0], x[1], whole(a, "minlength")),
    "histc": lambda x, a: histc(x[0], a),
    "searchsorted": lambda x, a: torch.searchsorted(x[0].detach(), x[1].detach(), right=flag(a, "right")),
    "bucketize": lambda x, a: torch.bucketize(x[0].detach(), x[1].detach(), right=flag(a, "right")),
}
