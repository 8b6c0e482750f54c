"""Write images/*.png and *.jpg, and images.safetensors: what torchvision's transforms make of pictures, and what Pillow reads of the files.

Pictures are (height, width, channels) of u8."""
import os
import struct
import zlib

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from torchvision.transforms import functional as F
from torchvision.transforms import v2

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "images")
draw = np.random.default_rng(1)
out = {}


def picture(height, width, channels):
    """Waves of all colours, and noise."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 90 * np.sin(x / (3 + c) + c) * np.cos(y / (4 - c) + 2 * c) + draw.normal(0, 12, (height, width)) for c in range(channels)]
    return np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)


def pil(array):
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def array(image):
    a = np.asarray(image)
    return np.ascontiguousarray(a[..., None] if a.ndim == 2 else a)


sources = {"colour": picture(23, 31, 3), "gray": picture(20, 17, 1), "square": picture(16, 16, 3)}
ops = {
    "resize_smaller": lambda i: F.resize(i, [9, 13]), "resize_larger": lambda i: F.resize(i, [41, 37]), "resize_tall": lambda i: F.resize(i, [60, 7]), "resize_wide": lambda i: F.resize(i, [7, 60]),
    "resize_short": lambda i: F.resize(i, 12), "centre": lambda i: F.center_crop(i, [10, 12]), "centre_larger": lambda i: F.center_crop(i, [25, 12]),
    "crop": lambda i: F.crop(i, 3, 4, 9, 8), "pad_crop": lambda i: F.crop(F.pad(i, 4, fill=7), 1, 2, 20, 16),
    "pad_edge": lambda i: F.crop(F.pad(i, 4, padding_mode="edge"), 1, 2, 20, 16), "pad_reflect": lambda i: F.crop(F.pad(i, 4, padding_mode="reflect"), 1, 2, 20, 16),
    "resized_crop": lambda i: F.resized_crop(i, 2, 3, 11, 10, [8, 9]), "horizontal": F.hflip, "vertical": F.vflip,
    **{f"rotate_{a}": (lambda i, a=a: F.rotate(i, a, fill=[9] * len(i.getbands()))) for a in (0, 12.5, -33, 90, 180, 270, 359.25)},
    **{f"brightness_{f}": (lambda i, f=f: F.adjust_brightness(i, f)) for f in (0, 0.37, 1, 1.8)},
    **{f"contrast_{f}": (lambda i, f=f: F.adjust_contrast(i, f)) for f in (0, 0.37, 1.8)},
    **{f"saturation_{f}": (lambda i, f=f: F.adjust_saturation(i, f)) for f in (0, 0.37, 1.8)},
    **{f"hue_{f}": (lambda i, f=f: F.adjust_hue(i, f)) for f in (-0.5, -0.13, 0.07, 0.5)},
}
for name, source in sources.items():
    out[f"{name}/source"] = source
    for op, function in ops.items():
        out[f"{name}/{op}"] = array(function(pil(source)))
normalised = F.normalize(F.to_tensor(pil(sources["colour"])), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
out["colour/normalised"] = normalised.numpy()
out["colour/erased"] = F.erase(normalised, 3, 4, 5, 6, torch.tensor(0.5)).numpy()

# Batches mixed with given shares: torchvision draws the share, so it is told to it.
batch, labels = torch.randn(4, 2, 6, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 2])
for kind, transform in (("mixup", v2.MixUp(num_classes=3)), ("cutmix", v2.CutMix(num_classes=3))):
    torch.manual_seed(3)
    params = transform.make_params([batch])
    params.update(labels=labels, batch_size=4)
    out[f"{kind}/images"], out[f"{kind}/targets"] = (transform.transform(x, params).numpy() for x in (batch, labels))
    out[f"{kind}/share"] = np.array([params["lam"] if kind == "mixup" else 0.0], np.float64)
    out[f"{kind}/box"] = np.array(params.get("box", [0] * 4), np.int64)  # x1, y1, x2, y2
out["mix/images"], out["mix/labels"] = batch.numpy(), labels.numpy()


def raw_png(path, width, height, depth, colour, rows, interlace=0):
    """A file that Pillow does not write."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
                   + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def interlaced(a):
    """Adam7's seven pictures, one behind the other, unfiltered."""
    return b"".join(b"\0" + row.tobytes() for y, x, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
                    for row in a[y::dy, x::dx] if row.size)


os.makedirs(FILES, exist_ok=True)
colour, gray = pil(sources["colour"]), pil(sources["gray"])
with_alpha = colour.copy()
with_alpha.putalpha(Image.fromarray(draw.integers(0, 256, (23, 31), np.uint8)))
files = {
    "rgb.png": colour, "gray.png": gray, "bit.png": gray.convert("1"), "palette.png": colour.quantize(20), "rgba.png": with_alpha, "la.png": with_alpha.convert("LA"),
    "colour.jpg": colour, "full.jpg": colour, "progressive.jpg": colour, "gray.jpg": gray, "cmyk.jpg": colour.convert("CMYK"), "turned.jpg": colour,
}
exif = Image.Exif()
exif[0x0112] = 6  # to be turned by a quarter, which nobody does
options = {"full.jpg": dict(subsampling=0, quality=95), "progressive.jpg": dict(progressive=True), "palette.png": dict(transparency=3), "turned.jpg": dict(exif=exif)}
for name, image in files.items():
    image.save(os.path.join(FILES, name), **options.get(name, {}))
deep = draw.integers(0, 65536, (5, 6, 3), np.uint16)
raw_png(os.path.join(FILES, "deep.png"), 6, 5, 16, 2, b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep))
raw_png(os.path.join(FILES, "deep_gray.png"), 6, 5, 16, 0, b"".join(b"\0" + row[:, 0].astype(">u2").tobytes() for row in deep))
raw_png(os.path.join(FILES, "interlaced.png"), 31, 23, 8, 2, interlaced(sources["colour"]), 1)
for name in sorted(os.listdir(FILES)):
    with Image.open(os.path.join(FILES, name)) as image:
        if name == "deep_gray.png":  # Pillow cuts its values off at 255
            out["file/deep_gray.png"] = np.repeat((deep[..., :1] >> 8).astype(np.uint8), 3, 2)
            continue
        out[f"file/{name}"] = array(image.convert("RGB"))
        out[f"file_gray/{name}"] = array(image.convert("L"))

# torch.utils.data.WeightedRandomSampler
weights = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) ** 3
weights[7] = 0
out["weighted/weights"] = weights.numpy()
for seed in (0, 8):
    sampler = torch.utils.data.WeightedRandomSampler(weights, 50, generator=torch.Generator().manual_seed(seed))
    out[f"weighted/seed_{seed}"] = np.array(list(sampler), np.int64)
path = os.path.join(HERE, "images.safetensors")
save_file(out, path)
os.chmod(path, 0o644)
