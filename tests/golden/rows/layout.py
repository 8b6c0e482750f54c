"""Views, joining, rearranging."""
import torch
import torch.nn.functional as F

from rows.attrs import number, text, whole, wholes


def by_axis(x, a, function):
    return function(x, wholes(a, "axes"))


def pad(x, a):
    before, after, mode = wholes(a, "before"), wholes(a, "after"), text(a, "mode")
    pairs = [n for pair in zip(reversed(before), reversed(after)) for n in pair]
    return F.pad(x[0], pairs, mode=mode, **({"value": number(a, "value")} if mode == "constant" else {}))


def windows(x, a):
    size, step, dilation = whole(a, "size"), whole(a, "step") or 1, whole(a, "dilation") or 1
    axis = whole(a, "axis")
    view = x[0].unfold(axis, (size - 1) * dilation + 1, step)
    return view[..., ::dilation]


def unfold_options(a):
    some = lambda name: [n or 1 for n in wholes(a, name)]
    return {"kernel_size": wholes(a, "kernel"), "stride": some("stride"), "dilation": some("dilation"), "padding": wholes(a, "padding")}


def squeeze(x, a):
    axes = wholes(a, "axes")
    return x[0].squeeze(axes) if axes else x[0].squeeze()


def repeat_interleave(x, a):
    repeats = x[1] if x[1] is not None else whole(a, "repeats")
    return x[0].repeat_interleave(repeats, dim=whole(a, "axis") if a["axis"] else None)


ROWS = {
    "copy": lambda x, a: x[0].clone(),
    "to_device": lambda x, a: x[0].clone(),
    "reshape": lambda x, a: x[0].reshape(wholes(a, "dims")),
    "permute": lambda x, a: x[0].permute(wholes(a, "axes")),
    "expand": lambda x, a: x[0].expand(wholes(a, "dims")),
    "slice": lambda x, a: x[0][(slice(None),) * (whole(a, "axis") % x[0].dim()) + (slice(whole(a, "start"), whole(a, "stop"), whole(a, "step") or 1),)],
    "concat": lambda x, a: torch.cat(x, whole(a, "axis")),
    "flatten": lambda x, a: x[0].flatten(whole(a, "first_axis")),
    "transpose": lambda x, a: x[0].transpose(whole(a, "axis_a"), whole(a, "axis_b")),
    "select": lambda x, a: x[0].select(whole(a, "axis"), whole(a, "index")),
    "squeeze": squeeze,
    "unsqueeze": lambda x, a: x[0].unsqueeze(whole(a, "axis")),
    "unflatten": lambda x, a: x[0].unflatten(whole(a, "axis"), wholes(a, "sizes")),
    "movedim": lambda x, a: x[0].movedim(whole(a, "from"), whole(a, "to")),
    "diagonal": lambda x, a: x[0].diagonal(whole(a, "offset"), whole(a, "axis_a", 0), whole(a, "axis_b", 1)),
    "diag_embed": lambda x, a: x[0].diag_embed(whole(a, "offset")),
    "windows": windows,
    "unfold": lambda x, a: F.unfold(x[0], **unfold_options(a)),
    "fold": lambda x, a: F.fold(x[0], wholes(a, "size"), **unfold_options(a)),
    "split": lambda x, a: x[0].split(whole(a, "size"), whole(a, "axis")),
    "split_sizes": lambda x, a: x[0].split(wholes(a, "sizes"), whole(a, "axis")),
    "chunk": lambda x, a: x[0].chunk(whole(a, "chunks"), whole(a, "axis")),
    "unbind": lambda x, a: x[0].unbind(whole(a, "axis")),
    "stack": lambda x, a: torch.stack(x, whole(a, "axis")),
    "meshgrid": lambda x, a: torch.meshgrid(*x, indexing=text(a, "indexing")),
    "flip": lambda x, a: x[0].flip(wholes(a, "axes") or list(range(x[0].dim()))),
    "roll": lambda x, a: x[0].roll(wholes(a, "shifts"), wholes(a, "axes") or None),
    "repeat": lambda x, a: x[0].repeat(wholes(a, "times")),
    "repeat_interleave": repeat_interleave,
    "pad": pad,
    "pixel_shuffle": lambda x, a: F.pixel_shuffle(x[0], whole(a, "factor")),
    "pixel_unshuffle": lambda x, a: F.pixel_unshuffle(x[0], whole(a, "factor")),
    "tril": lambda x, a: x[0].tril(whole(a, "diagonal")),
    "triu": lambda x, a: x[0].triu(whole(a, "diagonal")),
}
