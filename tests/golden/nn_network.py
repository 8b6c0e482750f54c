"""Write nn_network.safetensors: modules of torch.nn made with seed 0: their state, results, and gradients for a fixed input.

Of parameters' gradients one number each is kept, their sum weighted by sin(1.3 i).
"""
import os

import torch
from safetensors.torch import save_file

nn = torch.nn
P = torch.nn.utils.parametrizations


def wave(*shape):
    n = 1
    for size in shape:
        n *= size
    return torch.sin(torch.arange(n, dtype=torch.float64) * 0.7 + 0.2).float().reshape(shape)


def lengths():
    return torch.tensor([2, 4, 1])


def packed_run(m, x):
    p = nn.utils.rnn.pack_padded_sequence(x, lengths(), enforce_sorted=False)
    y, state = m(p)
    out, _ = nn.utils.rnn.pad_packed_sequence(y)
    return out if not isinstance(state, tuple) else torch.cat([out.flatten(), state[0].flatten(), state[1].flatten()])


def attended(m, x):
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    mask = torch.ones(3, 5, dtype=torch.bool).triu(3)
    memory = wave(5, 2, 6) * 0.5
    y, w = m(x, memory, memory, key_padding_mask=padding, attn_mask=mask)
    return torch.cat([y.flatten(), w.flatten()])


def causal(m, x):
    n = x.shape[0]
    return m(x, torch.ones(n, n, dtype=torch.bool).triu(1))


def twice(m, x):
    m(x)
    return m(2 * x + 1)


def evaluated(m, x):
    m(x)
    m.eval()
    return m(x)


def decoded(m, x):
    return m(x, wave(4, 2, 6) * 0.5)


plain = lambda m, x: m(x)
first = lambda m, x: m(x)[0]
CASES = {
    "layer_norm": (lambda: nn.LayerNorm((3, 4)), (2, 3, 4), plain),
    "rms_norm": (lambda: nn.RMSNorm(4), (2, 3, 4), plain),
    "group_norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3), plain),
    "instance_norm1d": (lambda: nn.InstanceNorm1d(3), (3, 5), plain),
    "instance_norm2d": (lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), (2, 3, 2, 4), evaluated),
    "instance_norm3d": (lambda: nn.InstanceNorm3d(2, affine=True), (2, 2, 2, 2, 3), plain),
    "batch_norm1d": (lambda: nn.BatchNorm1d(4, momentum=None), (5, 4), twice),
    "batch_norm3d": (lambda: nn.BatchNorm3d(3), (2, 3, 2, 2, 2), evaluated),
    "response_norm": (lambda: nn.LocalResponseNorm(3, alpha=0.5), (2, 5, 3), plain),
    "rnn": (lambda: nn.RNN(3, 4, 2, nonlinearity="relu"), (4, 3, 3), first),
    "lstm": (lambda: nn.LSTM(3, 4, 2, bidirectional=True), (4, 3, 3), packed_run),
    "lstm_projected": (lambda: nn.LSTM(3, 4, 2, proj_size=2, batch_first=True), (2, 4, 3), first),
    "gru": (lambda: nn.GRU(3, 4, 1, bidirectional=True), (4, 3, 3), packed_run),
    "gru_plain": (lambda: nn.GRU(3, 4, bias=False), (4, 3), first),
    "lstm_cell": (lambda: nn.LSTMCell(3, 4), (2, 3), lambda m, x: torch.cat(m(x), 1)),
    "gru_cell": (lambda: nn.GRUCell(3, 4), (2, 3), plain),
    "rnn_cell": (lambda: nn.RNNCell(3, 4), (3,), plain),
    "attention": (lambda: nn.MultiheadAttention(6, 2), (3, 2, 6), attended),
    "encoder": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0), 2, enable_nested_tensor=False), (3, 2, 6), causal),
    "encoder_layer": (lambda: nn.TransformerEncoderLayer(6, 3, 8, dropout=0.0, activation="gelu", norm_first=True, batch_first=True), (2, 3, 6), plain),
    "decoder_layer": (lambda: nn.TransformerDecoderLayer(6, 2, 8, dropout=0.0), (3, 2, 6), decoded),
    "weight_norm": (lambda: P.weight_norm(nn.Linear(4, 3)), (2, 4), twice),
    "weight_norm_conv": (lambda: P.weight_norm(nn.Conv2d(2, 3, 2), dim=1), (1, 2, 3, 3), plain),
    "spectral_norm": (lambda: P.spectral_norm(nn.Linear(4, 3)), (2, 4), twice),
    "spectral_norm_conv": (lambda: P.spectral_norm(nn.Conv2d(2, 3, 2)), (1, 2, 3, 3), evaluated),
}

out = {}
for name, (make, shape, run) in CASES.items():
    torch.manual_seed(0)
    m = make()
    for key, value in m.state_dict().items():
        out[f"{name}/state/{key}"] = value.clone()
    x = wave(*shape).requires_grad_()
    y = run(m, x)
    (y * wave(*y.shape)).sum().backward()
    out[f"{name}/y"], out[f"{name}/dx"] = y.detach().flatten().clone(), x.grad.clone()
    sums = [(p.grad.flatten().double() * torch.sin(torch.arange(p.numel()) * 1.3)).sum() for p in m.parameters()]
    if sums:
        out[f"{name}/sums"] = torch.stack(sums)
    for key, value in m.named_buffers():
        out[f"{name}/after/{key}"] = value.clone()
torch.manual_seed(0)
out["embedding"] = nn.Embedding(7, 5, padding_idx=-2).weight.detach().clone()
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nn_network.safetensors")
save_file({k: v.contiguous() for k, v in out.items()}, path)
os.chmod(path, 0o644)
