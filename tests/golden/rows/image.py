"""Convolution, pooling, resizing, sampling."""
import torch.nn.functional as F

from rows.attrs import flag, number, text, whole, wholes

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def ones(a, name):
    return [n or 1 for n in wholes(a, name)]


def conv(x, a):
    pad = text(a, "pad")
    padding = wholes(a, "padding") if pad == "padding" else pad
    y = CONV[x[0].dim() - 2](x[0], x[1], x[2], stride=ones(a, "stride"), padding=padding, dilation=ones(a, "dilation"), groups=whole(a, "groups") or 1)
    return y.relu() if text(a, "activation") == "relu" else y


def conv_transpose(x, a):
    return TRANSPOSE[x[0].dim() - 2](x[0], x[1], x[2], stride=ones(a, "stride"), padding=wholes(a, "padding"), dilation=ones(a, "dilation"),
                                     output_padding=wholes(a, "output_padding"), groups=whole(a, "groups") or 1)


MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
UNPOOL = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}


def max_pool(x, a, indices=True, keep=True):
    got = MAX[x[0].dim() - 2](x[0], wholes(a, "kernel"), [s or None for s in wholes(a, "stride")], wholes(a, "padding"), ones(a, "dilation"),
                              flag(a, "ceil_mode"), return_indices=True)
    return list(got) if keep else [got[0], None] if indices else got[0]


def avg_pool(x, a):
    stride = [s or k for s, k in zip(wholes(a, "stride"), wholes(a, "kernel"))]
    options = {"stride": stride, "padding": wholes(a, "padding"), "ceil_mode": flag(a, "ceil_mode"),
               "count_include_pad": not flag(a, "exclude_padding")}
    if x[0].dim() == 3:
        return F.avg_pool1d(x[0], wholes(a, "kernel"), **options)
    return (F.avg_pool2d if x[0].dim() == 4 else F.avg_pool3d)(x[0], wholes(a, "kernel"), divisor_override=whole(a, "divisor") or None, **options)


def sizes(a):
    return [s or None for s in wholes(a, "size")]


def adaptive_max(x, a, keep=True):
    axes = x[0].dim() - 2
    got = ADAPTIVE_MAX[axes](x[0], sizes(a) if axes > 1 else sizes(a)[0], return_indices=True)
    return list(got) if keep else [got[0], None]


def unpool(x, a):
    axes = x[0].dim() - 2
    return UNPOOL[axes](x[0], x[1], wholes(a, "size"), wholes(a, "size"), 0)


ADAPTIVE_AVG = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def adaptive_avg(x, a):
    axes = x[0].dim() - 2
    return ADAPTIVE_AVG[axes](x[0], sizes(a) if axes > 1 else sizes(a)[0])


def interpolate(x, a):
    axes, mode = x[0].dim() - 2, text(a, "mode")
    mode = {"linear": LINEAR[axes], "cubic": "bicubic"}.get(mode, mode)
    size, scale = wholes(a, "size")[:axes], number(a, "scale")
    scales = [scale, number(a, "scale_2") or scale, number(a, "scale_3") or scale][:axes]
    corners = {"align_corners": flag(a, "align_corners")} if "linear" in mode or mode == "bicubic" else {}
    place = {"size": size} if size[0] else {"scale_factor": scales, "recompute_scale_factor": flag(a, "recompute_scale")}
    return F.interpolate(x[0], mode=mode, **place, **corners)


LP = {1: F.lp_pool1d, 2: F.lp_pool2d, 3: F.lp_pool3d}


def lp_pool(x, a):
    axes = x[0].dim() - 2
    stride = [s or k for s, k in zip(wholes(a, "stride"), wholes(a, "kernel"))]
    one = (lambda v: v[0]) if axes == 1 else (lambda v: v)
    return LP[axes](x[0], number(a, "p"), one(wholes(a, "kernel")), one(stride), flag(a, "ceil_mode"))


def grid_sample(x, a):
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(text(a, "mode"), text(a, "mode"))
    return F.grid_sample(x[0], x[1], mode=mode, padding_mode=text(a, "padding"), align_corners=flag(a, "align_corners"))


ROWS = {
    "conv1d": conv,
    "conv2d": conv,
    "conv3d": conv,
    "conv_transpose1d": conv_transpose,
    "conv_transpose2d": conv_transpose,
    "conv_transpose3d": conv_transpose,
    "max_pool1d": lambda x, a: max_pool(x, a, indices=False, keep=False),
    "max_pool2d": lambda x, a: max_pool(x, a, keep=False),
    "max_pool3d": lambda x, a: max_pool(x, a, keep=False),
    "max_pool1d_with_indices": max_pool,
    "max_pool2d_with_indices": max_pool,
    "max_pool3d_with_indices": max_pool,
    "avg_pool1d": avg_pool,
    "avg_pool2d": avg_pool,
    "avg_pool3d": avg_pool,
    "adaptive_max_pool1d": lambda x, a: adaptive_max(x, a, keep=False)[0],
    "adaptive_max_pool2d": lambda x, a: adaptive_max(x, a, keep=False),
    "adaptive_max_pool3d": lambda x, a: adaptive_max(x, a, keep=False),
    "adaptive_max_pool1d_with_indices": adaptive_max,
    "adaptive_max_pool2d_with_indices": adaptive_max,
    "adaptive_max_pool3d_with_indices": adaptive_max,
    "adaptive_avg_pool1d": adaptive_avg,
    "adaptive_avg_pool2d": adaptive_avg,
    "adaptive_avg_pool3d": adaptive_avg,
    "interpolate": interpolate,
    "channel_shuffle": lambda x, a: F.channel_shuffle(x[0], whole(a, "groups")),
    "lp_pool1d": lp_pool,
    "lp_pool2d": lp_pool,
    "lp_pool3d": lp_pool,
    "grid_sample": grid_sample,
    "affine_grid": lambda x, a: F.affine_grid(x[0], wholes(a, "dims"), align_corners=flag(a, "align_corners")),
    "max_unpool1d": unpool,
    "max_unpool2d": unpool,
    "max_unpool3d": unpool,
}
