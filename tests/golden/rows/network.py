"""Normalisation, attention, recurrent layers."""
import torch
import torch.nn.functional as F

from rows.attrs import flag, number, whole


def batch_norm(x, a):
    state = [t.detach().clone() if t is not None else None for t in x[3:5]]
    return F.batch_norm(x[0], state[0], state[1], x[1], x[2], flag(a, "training"), number(a, "momentum", 0.1), number(a, "eps", 1e-5))


def row_shape(x, a, weights):
    given = next((t for t in weights if t is not None), None)
    return given.shape if given is not None else x.shape[x.dim() - (whole(a, "axes") or 1):]


def layer_norm(x, a):
    return F.layer_norm(x[0], row_shape(x[0], a, x[1:]), x[1], x[2], number(a, "eps", 1e-5))


def rms_norm(x, a):
    return F.rms_norm(x[0], row_shape(x[0], a, x[1:]), x[1], number(a, "eps"))


def instance_norm(x, a):
    return F.instance_norm(x[0], weight=x[1], bias=x[2], eps=number(a, "eps", 1e-5))


def local_response_norm(x, a):
    return F.local_response_norm(x[0], whole(a, "size"), number(a, "alpha", 1e-4), number(a, "beta", 0.75), number(a, "k", 1.0))


def attention(x, a):
    """PyTorch refuses a mask beside `causal`, and has no offset: both are made one mask here.  Its dropout draws otherwise."""
    q, k, v, mask = x[:4]
    if number(a, "dropout") > 0:
        return [None]
    if flag(a, "causal"):
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril(whole(a, "offset"))
    if q.shape[-2] * k.shape[-2] == 0:
        return q.new_zeros(*q.shape[:-1], v.shape[-1])
    grouped = q.dim() > 2 and q.shape[-3] != k.shape[-3]
    scale = number(a, "scale") if a["scale"] else None
    return F.scaled_dot_product_attention(q, k, v, mask, scale=scale, enable_gqa=grouped)


def rotary(x, a):
    pairs, sign = x[1].shape[-1], -1 if flag(a, "back") else 1
    rest = x[0][..., 2 * pairs:]
    if flag(a, "interleaved"):
        first, second = x[0][..., 0:2 * pairs:2], x[0][..., 1:2 * pairs:2]
    else:
        first, second = x[0][..., :pairs], x[0][..., pairs:2 * pairs]
    turned = torch.view_as_real(torch.complex(first, second) * torch.complex(x[1], sign * x[2]))
    turned = turned.flatten(-2) if flag(a, "interleaved") else torch.cat([turned[..., 0], turned[..., 1]], -1)
    return torch.cat([turned, rest], -1)


def recurrent(kind):
    """The cells of PyTorch step by step, with identity weights for the inputs' share; lengths freeze states."""
    def run(x, a):
        xg, w_hh, h, extra, lengths = x[:5]
        projection = x[5] if len(x) > 5 else None
        steps, batch, wide = xg.shape
        hidden = w_hh.shape[0] // {"rnn": 1, "lstm": 4, "gru": 3}[kind]
        one, none = torch.eye(wide, dtype=xg.dtype), xg.new_zeros(wide)
        h = xg.new_zeros(batch, w_hh.shape[1]) if h is None else h
        bias = extra if kind == "gru" and extra is not None else none
        c = extra if kind == "lstm" and extra is not None else xg.new_zeros(batch, hidden)
        out = [None] * steps
        for t in range(steps - 1, -1, -1) if flag(a, "reverse") else range(steps):
            if kind == "lstm":
                gates = F.linear(h, w_hh) + xg[t]
                i, f, g, o = gates.chunk(4, 1)
                new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                new = o.sigmoid() * new_c.tanh()
                new = new if projection is None else F.linear(new, projection)
            elif kind == "gru":
                new = torch.gru_cell(xg[t], h, one, w_hh, none, bias)
            else:
                cell = torch.rnn_relu_cell if flag(a, "relu") else torch.rnn_tanh_cell
                new = cell(xg[t], h, one, w_hh, none, none)
            runs = torch.ones(batch, 1, dtype=torch.bool) if lengths is None else (lengths > t)[:, None]
            out[t] = torch.where(runs, new, 0.0)
            h = torch.where(runs, new, h)
            c = torch.where(runs, new_c, c) if kind == "lstm" else c
        return [torch.stack(out)] + ([c] if kind == "lstm" else [])
    return run


ROWS = {
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": lambda x, a: F.group_norm(x[0], whole(a, "groups"), x[1], x[2], number(a, "eps", 1e-5)),
    "instance_norm": instance_norm,
    "local_response_norm": local_response_norm,
    "scaled_dot_product_attention": attention,
    "rotary": rotary,
    "rnn": recurrent("rnn"),
    "lstm": recurrent("lstm"),
    "gru": recurrent("gru"),
    "lstm_projected": recurrent("lstm"),
}
