"""Write sparse.safetensors: fifty steps of torch.optim.SparseAdam on a table, in f64, and the gradient of its first step."""
import os

import torch
from safetensors.torch import save_file

ROWS, WIDTH, STEPS = 11, 3, 50
table = torch.sin(torch.arange(ROWS * WIDTH, dtype=torch.float64) * 0.7 + 0.2).reshape(ROWS, WIDTH).requires_grad_()
optim = torch.optim.SparseAdam([table], lr=0.05, betas=(0.8, 0.95), eps=1e-6)
out = {}
for step in range(STEPS):
    index = (torch.arange(6) * (step + 2) + step * step) % (ROWS - 1)  # the last row is never used
    wanted = torch.cos(torch.arange(6 * WIDTH, dtype=torch.float64) + step).reshape(6, WIDTH)
    optim.zero_grad()
    loss = ((torch.nn.functional.embedding(index, table, padding_idx=3, sparse=True) - wanted) ** 2).sum()
    loss.backward()
    if step == 0:
        grad = table.grad.coalesce()
        out["rows"], out["values"] = grad.indices()[0].clone(), grad.values().clone()
    optim.step()
    if step == 0:
        out["table.1"] = table.detach().clone()
out["table.50"] = table.detach().clone()
state = optim.state[table]
out["exp_avg"], out["exp_avg_sq"] = state["exp_avg"].clone(), state["exp_avg_sq"].clone()
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sparse.safetensors")
save_file(out, path)
os.chmod(path, 0o644)
