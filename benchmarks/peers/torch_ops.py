#!/usr/bin/env python3
"""PyTorch's side of `wick bench ops`: answers requests on standard input, a line each (src/bench/peer.c says which).

Which function of PyTorch belongs to a row is what the goldens say (tests/golden/rows), except where those are written for exact
values and not the way PyTorch's users call it: FASTER names that, and OTHERS what is timed on operands of its own.
"""
import gc
import importlib
import math
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "golden"))
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # what libraries print goes elsewhere


def answer(*fields):
    answers.write("\t".join(str(f).replace("\n", " ").replace("\t", " ") for f in fields) + "\n")
    answers.flush()


threads, device = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cpu"
os.environ["OMP_NUM_THREADS"] = str(threads)
try:
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file, save_file
    from rows.attrs import flag, number, optional, text, whole, wholes
except ImportError as error:
    answer("error", f"{sys.executable}: {error}; run benchmarks/peers/install")
    sys.exit(1)
import warnings

warnings.simplefilter("ignore")
torch.set_num_threads(threads)
gc.disable()
BATCH_SECONDS = 50e-6 if device == "cpu" else 2e-3
if device != "cpu":
    torch.set_default_device(device)

ROWS = {}
for file in sorted(os.listdir(os.path.join(HERE, "..", "..", "tests", "golden", "rows"))):
    if file.endswith(".py") and file != "attrs.py":
        ROWS.update(importlib.import_module("rows." + file[:-3]).ROWS)


# ---- the way PyTorch's users call it ----

def over(a):
    axes = wholes(a, "axes")
    return {"dim": axes[0] if len(axes) == 1 else tuple(axes), "keepdim": flag(a, "keep_dims")} if axes else {}


def one_axis(function):
    """Where PyTorch takes one axis or all."""
    def run(x, a):
        return function(x[0], **over(a)) if len(wholes(a, "axes")) < 2 else ROWS[function.__name__](x, a)
    return run


def scan(function):
    name = function.__name__

    def run(x, a):
        return ROWS[name](x, a) if flag(a, "reverse") else function(x[0], whole(a, "axis", -1))
    return run


def max_pool(functions):
    def run(x, a):
        return functions[x[0].dim() - 2](x[0], wholes(a, "kernel"), [s or k for s, k in zip(wholes(a, "stride"), wholes(a, "kernel"))],
                                         wholes(a, "padding"), [d or 1 for d in wholes(a, "dilation")], flag(a, "ceil_mode"))
    return run


def adaptive_max(functions):
    def run(x, a):
        size = [s or None for s in wholes(a, "size")]
        return functions[x[0].dim() - 2](x[0], size if x[0].dim() > 3 else size[0])
    return run


def attention(x, a):
    q, k, v, mask = x[:4]
    if flag(a, "causal") and (mask is not None or q.shape[-2] != k.shape[-2] or whole(a, "offset")) or number(a, "dropout") > 0:
        return ROWS["scaled_dot_product_attention"](x, a)
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=flag(a, "causal"), scale=number(a, "scale") if a["scale"] else None,
                                          enable_gqa=q.dim() > 2 and q.shape[-3] != k.shape[-3])


def rotary(x, a):
    if flag(a, "interleaved"):
        return ROWS["rotary"](x, a)
    pairs, sign = x[1].shape[-1], -1 if flag(a, "back") else 1
    first, second, sine = x[0][..., :pairs], x[0][..., pairs:2 * pairs], sign * x[2]
    return torch.cat([first * x[1] - second * sine, first * sine + second * x[1], x[0][..., 2 * pairs:]], -1)


MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
FASTER = {
    **{f"max_pool{n}d": max_pool(MAX) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": adaptive_max(ADAPTIVE_MAX) for n in (1, 2, 3)},
    **{f.__name__: one_axis(f) for f in (torch.prod, torch.any, torch.all)},
    **{f.__name__: scan(f) for f in (torch.cumsum, torch.cumprod, torch.logcumsumexp)},
    "aminmax": lambda x, a: list(torch.aminmax(x[0], **over(a))) if len(wholes(a, "axes")) < 2 else ROWS["aminmax"](x, a),
    "count_nonzero": lambda x, a: torch.count_nonzero(x[0], dim=wholes(a, "axes") or None),
    "topk": lambda x, a: torch.topk(x[0], whole(a, "k"), whole(a, "axis", -1), not flag(a, "smallest"), not flag(a, "unsorted")),
    "kthvalue": lambda x, a: torch.kthvalue(x[0], whole(a, "k"), whole(a, "axis", -1), flag(a, "keep_dims")),
    "median": lambda x, a: torch.median(x[0], whole(a, "axis", -1), flag(a, "keep_dims")),
    "sort": lambda x, a: torch.sort(x[0], whole(a, "axis", -1), flag(a, "descending")),
    "argsort": lambda x, a: torch.argsort(x[0], whole(a, "axis", -1), flag(a, "descending")),
    "digamma": lambda x, a: torch.digamma(x[0]),
    "polygamma": lambda x, a: torch.polygamma(whole(a, "order"), x[0]),
    "hardsigmoid": lambda x, a: F.hardsigmoid(x[0]),
    "addcmul": lambda x, a: torch.addcmul(x[0], x[1], x[2], value=whole(a, "value", 1)),
    "isclose": lambda x, a: torch.isclose(x[0], x[1], number(a, "rtol", 1e-5), number(a, "atol", 1e-8)),
    "scaled_dot_product_attention": attention,
    "rotary": rotary,
    "cdist": lambda x, a: torch.cdist(x[0], x[1], number(a, "p", 2)),
    "weighted_bincount": lambda x, a: torch.bincount(x[0], x[1].detach(), whole(a, "minlength")),
    "instance_norm": lambda x, a: F.instance_norm(x[0], weight=x[1], bias=x[2], eps=number(a, "eps", 1e-5)),
}
# Of equal elements any may be named, vectors may have either sign: held against the goldens' way, timed this way.
UNALIKE = {
    "cholesky": lambda x, a: torch.linalg.cholesky(x[0]),
    "eigh": lambda x, a: list(torch.linalg.eigh(x[0])),
    "qr": lambda x, a: list(torch.linalg.qr(x[0])),
    "svd": lambda x, a: list(torch.linalg.svd(x[0], full_matrices=False)),
    **{name: FASTER.pop(name) for name in ("topk", "kthvalue", "median", "sort", "argsort")},
}


# Each draws its own numbers: timed, and held against nothing.
DRAWN = {
    "dropout": lambda x, a: F.dropout(x[0], number(a, "p", 0)),
    "alpha_dropout": lambda x, a: F.alpha_dropout(x[0], number(a, "p", 0), True),
    "feature_dropout": lambda x, a: F.dropout2d(x[0], number(a, "p", 0)),
    "feature_alpha_dropout": lambda x, a: F.feature_alpha_dropout(x[0], number(a, "p", 0), True),
    "bernoulli": lambda x, a: torch.bernoulli(x[0].detach()),
    "multinomial": lambda x, a: torch.multinomial(x[0].detach(), whole(a, "count"), flag(a, "replacement")),
    "uniform": lambda x, a: torch.empty(wholes(a, "dims")).uniform_(-1, 1),
    "normal": lambda x, a: torch.empty(wholes(a, "dims")).normal_(2, 1),
    "exponential": lambda x, a: torch.empty(wholes(a, "dims")).exponential_(3),
    "truncated_normal": lambda x, a: torch.nn.init.trunc_normal_(torch.empty(wholes(a, "dims")), 1, 1, -2, 1.5),
    "randint": lambda x, a: torch.randint(-3, 9, wholes(a, "dims")),
    "permutation": lambda x, a: torch.randperm(whole(a, "count")),
}


def layer(kind):
    """A recurrent layer over inputs of one feature, so that what is timed is the steps.  Wick's row is given the inputs' share."""
    def prepare(x, a):
        xg, w_hh, h = x[:3]
        gates = {"rnn": 1, "gru": 3, "lstm": 4}[kind]
        hidden = w_hh.shape[0] // gates
        net = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind](1, hidden).to(xg.dtype)
        with torch.no_grad():
            net.weight_hh_l0.copy_(w_hh)
        inputs = torch.randn(xg.shape[0], xg.shape[1], 1, dtype=xg.dtype, requires_grad=True)
        start = torch.zeros(1, xg.shape[1], hidden, dtype=xg.dtype)
        state = (start, start) if kind == "lstm" else start
        return lambda: [net(inputs, state)[0]], [inputs, *net.parameters()]
    return prepare


OTHERS = {kind: layer(kind) for kind in ("rnn", "gru", "lstm")}


# ---- preparing and timing ----

def weights(like):
    i = torch.arange(1, like.numel() + 1, dtype=torch.float64)
    return (0.5 + torch.fmod(0.618033988749895 * i, 1.0)).reshape(like.shape).to(like.dtype)


def listed(results):
    return list(results) if isinstance(results, (list, tuple)) else [results]


def differentiable(results):
    return [k for k, r in enumerate(results) if r is not None and r.is_floating_point() and r.requires_grad]


class Prepared:
    def __init__(self, row, inputs, folder, attrs):
        given = load_file(os.path.join(folder, "in.safetensors"), device=device) if inputs else {}
        x = [given.get(f"in.{k}") for k in range(inputs)]
        x = [t.clone().requires_grad_(t.is_floating_point()) if t is not None else None for t in x]
        leaves = [t for t in x if t is not None and t.requires_grad]
        names = [f"grad.{k}" for k, t in enumerate(x) if t is not None and t.requires_grad]
        exact = DRAWN.get(row) or FASTER.get(row) or ROWS[row]
        timed = UNALIKE.get(row, exact)
        self.save([] if row in DRAWN else listed(exact(x, attrs)), leaves, names, folder)
        self.function, self.leaves = OTHERS[row](x, attrs) if row in OTHERS else (lambda: listed(timed(x, attrs)), leaves)
        results = self.function()
        self.places = differentiable(results)
        self.weights = [weights(results[k]) for k in self.places]
        if self.places:
            found = torch.autograd.grad([results[k] for k in self.places], self.leaves, self.weights, allow_unused=True)
            self.leaves = [t for t, g in zip(self.leaves, found) if g is not None]

    @staticmethod
    def save(results, leaves, names, folder):
        out = {f"out.{k}": r.detach().clone().contiguous() for k, r in enumerate(results) if r is not None}
        places = differentiable(results)
        if places:
            found = torch.autograd.grad([results[k] for k in places], leaves, [weights(results[k]) for k in places], allow_unused=True)
            out.update({name: g.contiguous().clone() for name, g in zip(names, found) if g is not None})
        save_file(out, os.path.join(folder, "out.safetensors"))

    def forward(self):
        return self.function()

    def grad(self):
        results = self.function()
        return torch.autograd.grad([results[k] for k in self.places], self.leaves, self.weights)


CACHES = []  # more than the last one holds


def fill_caches():
    if not CACHES:
        last = os.sysconf("SC_LEVEL3_CACHE_SIZE") if "SC_LEVEL3_CACHE_SIZE" in os.sysconf_names else 0
        CACHES.append(torch.zeros(2 * max(last, 32 << 20), dtype=torch.uint8))
    CACHES[0].add_(1)


def nanoseconds(function, seconds, cold):
    """The fastest of many batches, or of many calls from memory, as subject.c does it."""
    def batch(calls):
        start = time.perf_counter()
        for _ in range(calls):
            function()
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - start
    function()
    calls, least = 1, math.inf
    while not cold and batch(calls) < BATCH_SECONDS:
        calls *= 2
    until = time.perf_counter() + seconds
    while least == math.inf or time.perf_counter() < until:
        if cold:
            fill_caches()
        least = min(least, batch(calls) / calls)
    return 1e9 * least


def serve():
    prepared = None
    for line in sys.stdin:
        word, *fields = line.rstrip("\n").split("\t")
        try:
            if word == "prepare":
                row, inputs, folder, *attrs = fields
                prepared = None
                gc.collect()
                if row not in ROWS and row not in DRAWN:
                    answer("missing")
                    continue
                prepared = Prepared(row, int(inputs), folder, dict(a.split("=", 1) for a in attrs))
                answer("ready")
            elif fields[0] == "grad":
                answer("ns", nanoseconds(prepared.grad, float(fields[1]), fields[2] == "cold"))
            else:
                with torch.no_grad():
                    answer("ns", nanoseconds(prepared.forward, float(fields[1]), fields[2] == "cold"))
        except Exception as error:  # the other side decides
            answer("error", f"{type(error).__name__}: {error}")


answer("hello", f"torch {torch.__version__}")
serve()
