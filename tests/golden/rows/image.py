"""Convolution, pooling, resizing, sampling."""
import torch
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


ROWS = {
    "conv1d": conv,
    "conv2d": conv,
    "conv3d": conv,
    "conv_transpose1d": conv_transpose,
    "conv_transpose2d": conv_transpose,
    "conv_transpose3d": conv_transpose,
}
