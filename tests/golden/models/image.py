"""Write image.safetensors: models of images (torchvision; LeNet and U-Net as written here).

Results and gradients are those of values drawn exactly alike, computed in f64: a difference is Wick's.
"""
from unittest import mock

import torch
from torchvision.models import convnext, mobilenetv2, resnet, vgg

from common import digest, noise, record, save

nn = torch.nn
out = {}


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = nn.functional.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = nn.functional.avg_pool2d(torch.tanh(self.conv2(x)), 2)
        x = torch.tanh(self.fc1(x.flatten(1)))
        return self.fc3(torch.tanh(self.fc2(x)))


def double_conv(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                         nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, channels, classes, width, levels):
        super().__init__()
        sizes = [width << i for i in range(levels + 1)]
        self.down = nn.ModuleList(double_conv(a, b) for a, b in zip([channels] + sizes, sizes))
        self.up, self.join = nn.ModuleList(), nn.ModuleList()
        for a, b in zip(sizes[:0:-1], sizes[-2::-1]):
            self.up.append(nn.ConvTranspose2d(a, b, 2, stride=2))
            self.join.append(double_conv(2 * b, b))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        kept = []
        for level in self.down:
            kept.append(level(nn.functional.max_pool2d(kept[-1], 2) if kept else x))
        x = kept.pop()
        for up, join in zip(self.up, self.join):
            x = join(torch.cat([kept.pop(), up(x)], 1))
        return self.head(x)


class Narrow(nn.Linear):
    """torchvision's VGG has no option for its classifier's width."""
    def __init__(self, a, b):
        super().__init__(16 if a == 4096 else a, 16 if b == 4096 else b)


def make_vgg(depth, batch_norm=False):
    with mock.patch.object(vgg.nn, "Linear", Narrow):
        features = vgg.make_layers(vgg.cfgs[{11: "A", 13: "B", 16: "D", 19: "E"}[depth]], batch_norm)
        return vgg.VGG(features, num_classes=5, dropout=0)


class SmallStem(vgg.nn.Conv2d):
    """conv1 of networks for small images."""
    def __init__(self, a, b, kernel_size, stride=1, padding=0, **options):
        if kernel_size == 7:
            kernel_size, stride, padding = 3, 1, 1
        super().__init__(a, b, kernel_size, stride, padding, **options)


def make_small_resnet():
    with mock.patch.object(resnet.nn, "Conv2d", SmallStem):
        model = resnet.resnet18(num_classes=5)
    model.maxpool = vgg.nn.Identity()
    return model


def make_convnext(depths, dims, drop, layer_scale):
    last = list(dims[1:]) + [None]
    return convnext.ConvNeXt([convnext.CNBlockConfig(a, b, n) for a, b, n in zip(dims, last, depths)], stochastic_depth_prob=drop,
                             layer_scale=layer_scale, num_classes=5)


def drawn(make, *args, **options):
    torch.manual_seed(0)
    return make(*args, **options)


def whole(name, model, x, evaluate=False):
    record(out, name, model, x, evaluate=evaluate, exact=True)


small = {"num_classes": 5}
whole("lenet", drawn(LeNet), noise(3, 1, 28, 28))
whole("vgg11", drawn(make_vgg, 11), noise(2, 3, 64, 64))
whole("vgg13_bn", drawn(make_vgg, 13, True), noise(4, 3, 32, 32), evaluate=True)
for depth, batch_norm in ((16, False), (19, True)):
    digest(out, f"vgg{depth}" + "_bn" * batch_norm, drawn(make_vgg, depth, batch_norm))
whole("resnet18", drawn(resnet.resnet18, **small), noise(4, 3, 64, 64), evaluate=True)
whole("resnet18_small", drawn(make_small_resnet), noise(4, 3, 32, 32), evaluate=True)
whole("resnet50", drawn(resnet.resnet50, zero_init_residual=True, **small), noise(4, 3, 48, 48), evaluate=True)
for name in ("resnet34", "resnet101", "resnet152"):
    digest(out, name, drawn(getattr(resnet, name)))
whole("mobilenet_v2", drawn(mobilenetv2.mobilenet_v2, width_mult=0.35, dropout=0, **small), noise(4, 3, 64, 64), evaluate=True)
for width in (1.0, 1.4):
    digest(out, f"mobilenet_v2_{width}", drawn(mobilenetv2.mobilenet_v2, width_mult=width))
whole("convnext", drawn(make_convnext, (1, 1, 3, 2), (16, 24, 32, 48), 0, 0.5), noise(2, 3, 64, 64))
digest(out, "convnext_tiny", drawn(convnext.convnext_tiny))
# Of the larger ones, the depths of narrow networks and the widths of shallow ones.
one, narrow, deep = (1, 1, 1, 1), (4, 6, 8, 10), (3, 3, 27, 3)
digest(out, "convnext_deep", drawn(make_convnext, deep, narrow, 0.4, 1e-6))
digest(out, "convnext_base", drawn(make_convnext, one, (128, 256, 512, 1024), 0.5, 1e-6))
digest(out, "convnext_large", drawn(make_convnext, one, (192, 384, 768, 1536), 0.5, 1e-6))
whole("unet", drawn(UNet, 1, 2, 8, 3), noise(2, 1, 32, 40), evaluate=True)

save(out, "image.safetensors")
