"""Write init.safetensors: what torch.nn.init makes of seed 0."""
import math
import os

import torch
from safetensors.torch import save_file

I = torch.nn.init
CASES = {
    "uniform": lambda t: I.uniform_(t, -0.5, 2),
    "normal": lambda t: I.normal_(t, 1, 3),
    "truncated_normal": lambda t: I.trunc_normal_(t, 0.5, 2, -1, 3),
    "truncated_tail": lambda t: I.trunc_normal_(t, 0, 1, 2, 3),
    "xavier_uniform": lambda t: I.xavier_uniform_(t, 2),
    "xavier_normal": lambda t: I.xavier_normal_(t),
    "kaiming_uniform": lambda t: I.kaiming_uniform_(t, math.sqrt(5)),
    "kaiming_normal": lambda t: I.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
    "orthogonal": lambda t: I.orthogonal_(t, 2),
    "sparse": lambda t: I.sparse_(t, 0.3, 0.5) if t.dim() == 2 else None,
    "eye": lambda t: I.eye_(t) if t.dim() == 2 else None,
    "dirac": lambda t: I.dirac_(t, 2) if t.dim() > 2 else None,
}
SHAPES = {"matrix": (12, 5), "wide": (4, 9), "tiny": (3, 4), "conv": (6, 3, 3, 2)}

out = {}
for dtype in (torch.float32, torch.float64):
    for shape_name, shape in SHAPES.items():
        for name, make in CASES.items():
            torch.manual_seed(0)
            t = make(torch.empty(shape, dtype=dtype))
            if t is not None:
                out[f"{'f32' if dtype == torch.float32 else 'f64'}/{name}/{shape_name}"] = t.detach().clone().contiguous()
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "init.safetensors")
save_file(out, path)
os.chmod(path, 0o644)
