"""Write sequence.safetensors: models over features and tokens (PyTorch, torchvision, transformers)."""
import torch

from common import record, save, wave

nn = torch.nn
out = {}

torch.manual_seed(0)
mlp = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
record(out, "mlp", mlp, wave(5, 3, 4))

save(out, "sequence.safetensors")
