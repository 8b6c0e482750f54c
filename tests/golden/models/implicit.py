"""Write implicit.safetensors: EDSR and LIIF as their papers' formulas say, written here (arXiv 1707.02921, 2012.09161).

As in image.py results and gradients are those of values drawn exactly alike, computed in f64.
"""
import torch

from common import noise, record, save

nn, F = torch.nn, torch.nn.functional
out = {}


def conv(a, b):
    return nn.Conv2d(a, b, 3, padding=1)


class ResBlock(nn.Module):
    def __init__(self, width, scale):
        super().__init__()
        self.body, self.scale = nn.Sequential(conv(width, width), nn.ReLU(), conv(width, width)), scale

    def forward(self, x):
        return x + self.scale * self.body(x)


class EDSR(nn.Module):
    def __init__(self, blocks, width, channels=3, res_scale=1.0, factors=()):
        super().__init__()
        self.head = nn.Sequential(conv(channels, width))
        self.body = nn.Sequential(*[ResBlock(width, res_scale) for _ in range(blocks)], conv(width, width))
        self.tail = None
        if factors:
            steps = [m for f in factors for m in (conv(width, f * f * width), nn.PixelShuffle(f))]
            self.tail = nn.Sequential(nn.Sequential(*steps), conv(width, channels))

    def forward(self, x):
        x = self.head(x)
        x = x + self.body(x)
        return self.tail(x) if self.tail else x


class MLP(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        layers = [m for a, b in zip(widths, widths[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.layers(x)


class LIIF(nn.Module):
    """f(z, x) = Σ_t S_t / S · mlp([z_t, (x - v_t) · (H, W), cell · (H, W)]), t over the four nearest features."""
    def __init__(self, features, hidden, colours=3, unfold=True, ensemble=True, cell=True):
        super().__init__()
        self.encoder = EDSR(2, features)
        self.unfold, self.ensemble, self.cell = unfold, ensemble, cell
        self.imnet = MLP(features * (9 if unfold else 1) + (4 if cell else 2), *hidden, colours)

    def forward(self, x, coord, cell):
        z = self.encoder(x)
        n, c, h, w = z.shape
        size = torch.tensor([h, w], dtype=z.dtype)
        ys = (-1 + 1 / h + 2 / h * torch.arange(h, dtype=z.dtype)).view(1, 1, h, 1).expand(n, 1, h, w)
        xs = (-1 + 1 / w + 2 / w * torch.arange(w, dtype=z.dtype)).view(1, 1, 1, w).expand(n, 1, h, w)
        v = torch.cat([ys, xs], 1)
        if self.unfold:
            z = F.unfold(z, 3, padding=1).view(n, 9 * c, h, w)

        def nearest(t, at):
            return F.grid_sample(t, at.flip(-1)[:, None], mode="nearest", align_corners=False)[:, :, 0].transpose(1, 2)

        colours, areas = [], []
        for side in [(-1, -1), (-1, 1), (1, -1), (1, 1)] if self.ensemble else [(0, 0)]:
            shift = torch.tensor(side, dtype=z.dtype) / size + (1e-6 if self.ensemble else 0)
            at = (coord + shift).clamp(-1 + 1e-6, 1 - 1e-6)
            way = (coord - nearest(v, at)) * size
            colours.append(self.imnet(torch.cat([nearest(z, at), way] + [cell * size] * self.cell, -1)))
            areas.append((way[..., 0] * way[..., 1]).abs() + 1e-9)
        if not self.ensemble:
            return colours[0]
        total = sum(areas)
        return sum(c * (a / total)[..., None] for c, a in zip(colours, areas[::-1]))


def places(n, q):
    """Queries as tests/models/implicit.c has them: numbers of f32 in (-1, 1)."""
    i = torch.arange(n * q * 2, dtype=torch.float64)
    return torch.sin(i * 1.7 + 0.3).mul(0.99).float().view(n, q, 2)


def ask(model, x):
    cell = torch.full((2, 7, 2), 0.125, dtype=x.dtype)
    return model(x, places(2, 7).to(x.dtype), cell)


def drawn(make, *args, **options):
    torch.manual_seed(0)
    return make(*args, **options)


record(out, "edsr_features", drawn(EDSR, 2, 6, res_scale=0.5), noise(2, 3, 7, 9), exact=True)
record(out, "edsr_2", drawn(EDSR, 1, 4, factors=(2,)), noise(2, 3, 5, 6), exact=True)
record(out, "edsr_3", drawn(EDSR, 1, 4, channels=1, factors=(3,)), noise(2, 1, 5, 6), exact=True)
record(out, "edsr_4", drawn(EDSR, 1, 4, factors=(2, 2)), noise(2, 3, 5, 6), exact=True)
record(out, "liif", drawn(LIIF, 4, (8, 8)), noise(2, 3, 6, 5), run=ask, exact=True)
record(out, "liif_alone", drawn(LIIF, 4, (8,), unfold=False, ensemble=False, cell=False), noise(2, 3, 6, 5), run=ask, exact=True)
record(out, "liif_no_cell", drawn(LIIF, 4, (8,), cell=False), noise(2, 3, 6, 5), run=ask, exact=True)
save(out, "implicit.safetensors")
