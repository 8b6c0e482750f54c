"""Discrete Fourier transforms; complex tensors are pairs."""
import torch

from rows.attrs import wholes, text


def run(function, x, a, pairs_in=True, pairs_out=True):
    axes, sizes = wholes(a, "axes"), wholes(a, "sizes")
    x = torch.view_as_complex(x[0].contiguous()) if pairs_in else x[0]
    y = function(x, s=sizes or None, dim=axes or [-1], norm=text(a, "norm") or "backward")
    return torch.view_as_real(y) if pairs_out else y


ROWS = {
    "fft": lambda x, a: run(torch.fft.fftn, x, a),
    "ifft": lambda x, a: run(torch.fft.ifftn, x, a),
    "rfft": lambda x, a: run(torch.fft.rfftn, x, a, pairs_in=False),
    "irfft": lambda x, a: run(torch.fft.irfftn, x, a, pairs_out=False),
}
