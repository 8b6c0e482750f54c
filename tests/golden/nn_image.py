"""Write nn_image.safetensors: modules of images made with seed 0: their state, and what they make of an input, with its gradient."""
import os

import torch
from safetensors.torch import save_file

nn = torch.nn
CASES = {
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=2, padding_mode="circular"), (2, 4, 7)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), padding=(1, 2), groups=2, padding_mode="reflect"), (2, 4, 5, 6)),
    "conv2d_same": (lambda: nn.Conv2d(2, 3, (3, 2), padding="same", padding_mode="replicate", bias=False), (1, 2, 5, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 3, (2, 3, 2), dilation=(1, 1, 2)), (1, 2, 3, 4, 5)),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2), (2, 4, 5)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(3, 4, (2, 3), stride=2, output_padding=1), (1, 3, 4, 3)),
    "conv_transpose3d": (lambda: nn.ConvTranspose3d(2, 3, 2, padding=1, bias=False), (1, 2, 3, 3, 4)),
    "max_pool1d": (lambda: nn.MaxPool1d(3, 2, dilation=2), (2, 3, 9)),
    "max_pool3d": (lambda: nn.MaxPool3d(2), (1, 2, 4, 4, 5)),
    "avg_pool2d": (lambda: nn.AvgPool2d((2, 3), ceil_mode=True, count_include_pad=False), (1, 2, 5, 6)),
    "lp_pool2d": (lambda: nn.LPPool2d(2, 2), (1, 2, 4, 6)),
    "adaptive_avg_pool2d": (lambda: nn.AdaptiveAvgPool2d((2, None)), (1, 2, 5, 3)),
    "adaptive_max_pool1d": (lambda: nn.AdaptiveMaxPool1d(3), (1, 2, 8)),
    "reflection_pad2d": (lambda: nn.ReflectionPad2d((1, 2, 0, 1)), (1, 2, 4, 5)),
    "constant_pad1d": (lambda: nn.ConstantPad1d((1, 2), 0.5), (1, 2, 4)),
    "replication_pad3d": (lambda: nn.ReplicationPad3d(1), (1, 1, 2, 3, 2)),
    "upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 4)),
    "pixel_shuffle": (lambda: nn.PixelShuffle(2), (1, 8, 2, 3)),
    "fold": (lambda: nn.Sequential(nn.Unfold(2), nn.Fold((4, 5), 2)), (1, 2, 4, 5)),
    "unflatten": (lambda: nn.Unflatten(1, (2, 3)), (2, 6, 2)),
}
out = {}
for name, (make, shape) in CASES.items():
    torch.manual_seed(0)
    module = make()
    x = torch.randn(shape, requires_grad=True)
    y = module(x)
    (y * y).sum().backward()
    out.update({f"{name}/state.{key}": value.detach().clone() for key, value in module.state_dict().items()})
    out.update({f"{name}/x": x.detach().clone(), f"{name}/y": y.detach().clone().contiguous(), f"{name}/dx": x.grad.clone().contiguous()})
    out.update({f"{name}/grad.{key}": p.grad.clone().contiguous() for key, p in module.named_parameters()})
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nn_image.safetensors")
save_file(out, path)
os.chmod(path, 0o644)
