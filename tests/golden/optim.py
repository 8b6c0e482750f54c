"""Write optim.safetensors: fifty steps of each optimizer, line searches, averages, loss scaling and schedules, as PyTorch computes them.

Run as `python3 tests/golden/optim.py`, with torch, numpy and safetensors installed.  The file is committed; the tests read only it.
The default dtype is f64, so that PyTorch keeps its scalar states (mu_product, eta) in f64 as Wick does.
"""
import math
import os

import torch
from safetensors.torch import save_file
from torch.optim import lr_scheduler as S
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
out = {}
generator = torch.Generator().manual_seed(11)
STEPS = 50


def draw(*shape, low=-1.0, high=1.0):
    return torch.rand(shape, generator=generator) * (high - low) + low


# ---- optimizers ---------------------------------------------------------------------------------------------------------------

class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, p, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(p, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                c = b1 * m + (1 - b1) * p.grad
                p -= group["lr"] * (c.sign() + group["weight_decay"] * p)
                m.copy_(b2 * m + (1 - b2) * p.grad)


class LAMB(torch.optim.Optimizer):
    """You et al. 2020, algorithm 2, with the identity as scaling function."""

    def __init__(self, p, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
        super().__init__(p, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if not s:
                    s["t"], s["m"], s["v"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                s["t"] += 1
                s["m"].copy_(b1 * s["m"] + (1 - b1) * p.grad)
                s["v"].copy_(b2 * s["v"] + (1 - b2) * p.grad ** 2)
                r = (s["m"] / (1 - b1 ** s["t"])) / ((s["v"] / (1 - b2 ** s["t"])).sqrt() + group["eps"]) + group["weight_decay"] * p
                size, length = p.norm(), r.norm()
                ratio = size / length if size > 0 and length > 0 else 1.0
                p -= group["lr"] * ratio * r


O = torch.optim
OPTIMIZERS = {
    "sgd_maximize": lambda p: O.SGD(p, lr=0.05, momentum=0.9, dampening=0.2, maximize=True),
    "sgd_nesterov": lambda p: O.SGD(p, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01),
    "adam": lambda p: O.Adam(p, lr=0.01),
    "adam_amsgrad": lambda p: O.Adam(p, lr=0.02, betas=(0.8, 0.95), amsgrad=True, weight_decay=0.1, maximize=True),
    "adamw_amsgrad": lambda p: O.AdamW(p, lr=0.02, betas=(0.7, 0.9), amsgrad=True, weight_decay=0.2),
    "adamax": lambda p: O.Adamax(p),
    "adamax_decay": lambda p: O.Adamax(p, lr=0.02, betas=(0.8, 0.9), weight_decay=0.1, maximize=True),
    "nadam": lambda p: O.NAdam(p),
    "nadam_decay": lambda p: O.NAdam(p, lr=0.02, weight_decay=0.1, momentum_decay=0.01),
    "nadam_decoupled": lambda p: O.NAdam(p, lr=0.02, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda p: O.RAdam(p, lr=0.01),
    "radam_decay": lambda p: O.RAdam(p, lr=0.02, betas=(0.8, 0.95), weight_decay=0.1),
    "radam_decoupled": lambda p: O.RAdam(p, lr=0.02, weight_decay=0.1, decoupled_weight_decay=True, maximize=True),
    "adagrad": lambda p: O.Adagrad(p),
    "adagrad_decay": lambda p: O.Adagrad(p, lr=0.1, lr_decay=0.05, weight_decay=0.1, initial_accumulator_value=0.3, maximize=True),
    "adadelta": lambda p: O.Adadelta(p),
    "adadelta_decay": lambda p: O.Adadelta(p, lr=0.5, rho=0.8, eps=1e-3, weight_decay=0.1, maximize=True),
    "rmsprop": lambda p: O.RMSprop(p),
    "rmsprop_momentum": lambda p: O.RMSprop(p, lr=0.02, alpha=0.9, momentum=0.8, weight_decay=0.1),
    "rmsprop_centered": lambda p: O.RMSprop(p, lr=0.02, alpha=0.9, centered=True),
    "rmsprop_all": lambda p: O.RMSprop(p, lr=0.02, alpha=0.9, centered=True, momentum=0.7, eps=1e-4, maximize=True),
    "rprop": lambda p: O.Rprop(p),
    "rprop_etas": lambda p: O.Rprop(p, lr=0.05, etas=(0.4, 1.3), step_sizes=(1e-3, 0.2), maximize=True),
    "asgd": lambda p: O.ASGD(p, lr=0.05),
    "asgd_average": lambda p: O.ASGD(p, lr=0.05, lambd=0.02, alpha=0.6, t0=10, weight_decay=0.1, maximize=True),
    "adafactor": lambda p: O.Adafactor(p),
    "adafactor_decay": lambda p: O.Adafactor(p, lr=0.05, beta2_decay=-0.5, d=1.2, weight_decay=0.1, maximize=True),
    "lion": lambda p: Lion(p),
    "lion_decay": lambda p: Lion(p, lr=0.01, betas=(0.8, 0.95), weight_decay=0.1),
    "lamb": lambda p: LAMB(p, lr=0.02),
    "lamb_decay": lambda p: LAMB(p, lr=0.02, betas=(0.8, 0.95), weight_decay=0.1),
    "muon": lambda p: O.Muon(p[:2]),
    "muon_plain": lambda p: O.Muon(p[:2], lr=0.02, momentum=0.8, nesterov=False, adjust_lr_fn="match_rms_adamw"),
    "groups": lambda p: O.AdamW([{"params": p[:1]}, {"params": p[1:], "lr": 0.05, "weight_decay": 0.3, "betas": (0.5, 0.9)}], lr=0.01),
}
START = [draw(5, 7), draw(8, 3), draw(33)]
GRADIENTS = [[draw(*p.shape) + 0.3 * draw(1) for p in START] for _ in range(STEPS)]


def has_gradient(step, which):
    """The third parameter has none in each third step: counts are per parameter."""
    return which != 2 or step % 3 != 1


def optimizers():
    for i, p in enumerate(START):
        out[f"start.{i}"] = p
        for step in range(STEPS):
            out[f"gradient.{step}.{i}"] = GRADIENTS[step][i]
    for name, make in OPTIMIZERS.items():
        p = [torch.nn.Parameter(s.clone()) for s in START]
        optimizer = make(p)
        for step in range(STEPS):
            for i in range(3):
                p[i].grad = GRADIENTS[step][i].clone() if has_gradient(step, i) else None
            optimizer.step()
            if step in (0, 1, 4, STEPS - 1):
                for i in range(2 if name.startswith("muon") else 3):
                    out[f"{name}/{step}.{i}"] = p[i].data.clone()
        for i in range(3):
            for key, value in optimizer.state[p[i]].items():
                if key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "ax", "row_var", "col_var", "mu_product", "eta", "step_size"):
                    out[f"{name}/state/{key}.{i}"] = value.clone()


# ---- L-BFGS -------------------------------------------------------------------------------------------------------------------

def lbfgs():
    matrix, target = draw(9, 6), draw(9, 1, low=-0.5, high=0.5)
    out["lbfgs/matrix"], out["lbfgs/target"], out["lbfgs/start"] = matrix, target, draw(6, 1)
    configs = {"plain": dict(lr=0.1, max_iter=6), "memory": dict(lr=0.15, max_iter=5, history_size=3),
               "wolfe": dict(max_iter=6, line_search_fn="strong_wolfe"), "wolfe_far": dict(lr=30, max_iter=7, line_search_fn="strong_wolfe"),
               "wolfe_near": dict(lr=1e-3, max_iter=5, line_search_fn="strong_wolfe", history_size=4)}
    for name, options in configs.items():
        x = torch.nn.Parameter(out["lbfgs/start"].clone())
        optimizer = torch.optim.LBFGS([x], **options)

        def closure():
            optimizer.zero_grad()
            loss = ((torch.tanh(matrix @ x) - target) ** 2).mean() + 0.01 * (x ** 2).sum()
            loss.backward()
            return loss
        losses = []
        for step in range(6):
            losses.append(optimizer.step(closure).item())
            out[f"lbfgs/{name}/{step}"] = x.data.clone()
        out[f"lbfgs/{name}/losses"] = torch.tensor(losses)
        out[f"lbfgs/{name}/evaluations"] = torch.tensor(float(optimizer.state[x]["func_evals"]))


def rosenbrock():
    for name, options in {"rosenbrock": dict(max_iter=4, line_search_fn="strong_wolfe"), "rosenbrock_far": dict(lr=5, max_iter=3, history_size=2, line_search_fn="strong_wolfe")}.items():
        x = torch.nn.Parameter(torch.tensor([[-1.2], [1.0]]))
        optimizer = torch.optim.LBFGS([x], **options)

        def closure():
            optimizer.zero_grad()
            loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
            loss.sum().backward()
            return loss.sum()
        losses = []
        for step in range(6):
            losses.append(optimizer.step(closure).item())
            out[f"lbfgs/{name}/{step}"] = x.data.clone()
        out[f"lbfgs/{name}/losses"] = torch.tensor(losses)
        out[f"lbfgs/{name}/evaluations"] = torch.tensor(float(optimizer.state[x]["func_evals"]))


# ---- clipping, averages, loss scaling -----------------------------------------------------------------------------------------------

def clipping():
    for name, clip in {"two": lambda p: torch.nn.utils.clip_grad_norm_(p, 1.5), "one": lambda p: torch.nn.utils.clip_grad_norm_(p, 3.0, norm_type=1),
                       "three": lambda p: torch.nn.utils.clip_grad_norm_(p, 0.7, norm_type=3),
                       "infinity": lambda p: torch.nn.utils.clip_grad_norm_(p, 0.4, norm_type=math.inf), "loose": lambda p: torch.nn.utils.clip_grad_norm_(p, 100.0),
                       "value": lambda p: torch.nn.utils.clip_grad_value_(p, 0.3)}.items():
        p = [torch.nn.Parameter(s.clone()) for s in START]
        optimizer = torch.optim.SGD(p, lr=0.1)
        for i in range(3):
            p[i].grad = GRADIENTS[0][i].clone()
        norm = clip(p)
        optimizer.step()
        if norm is not None:
            out[f"clip/{name}/norm"] = norm
        for i in range(3):
            out[f"clip/{name}/{i}"] = p[i].data.clone()


def averages():
    for name, options in {"swa": {}, "ema": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}, "ema_buffers": {"multi_avg_fn": get_ema_multi_avg_fn(0.8), "use_buffers": True}}.items():
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        averaged = AveragedModel(model, **options)
        for step in range(5):
            for i, (key, t) in enumerate(model.state_dict().items()):
                t.copy_(torch.full_like(t, 3 * step + i) if t.dtype == torch.int64 else torch.sin(torch.arange(t.numel()).reshape(t.shape) + 0.7 * i + 1.3 * step))
            averaged.update_parameters(model)
        for key, value in averaged.state_dict().items():
            out[f"average/{name}/{key}"] = value
    p, slow = torch.nn.Parameter(START[2].clone()), START[2].clone()
    optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.9)
    for step in range(12):
        p.grad = GRADIENTS[step][2].clone()
        optimizer.step()
        if step % 4 == 3:
            slow = slow + 0.6 * (p.data - slow)
            p.data.copy_(slow)
    out["average/lookahead"] = p.data.clone()
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    batches = [draw(4, 3, 2, 2, low=-2 + i, high=3) for i in range(4)]
    update_bn(batches, model)
    for i, x in enumerate(batches):
        out[f"update_bn/{i}"] = x
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        out[f"update_bn/{key}"] = model.state_dict()["0." + key]


def scaler():
    for name, make in {"adamw": lambda p: torch.optim.AdamW(p, lr=0.02), "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)}.items():
        p = [torch.nn.Parameter(s.float().clone()) for s in START]
        optimizer = make(p)
        s = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
        s.scale(torch.zeros(1))
        scales = []
        for step in range(14):
            for i in range(3):
                p[i].grad = GRADIENTS[step][i].float() * s.get_scale()
            if step == 5:
                p[1].grad[2, 1] = math.inf
            if step % 2:
                s.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(p, 2.0)
            s.step(optimizer)
            s.update()
            scales.append(s.get_scale())
        out[f"scaler/{name}/scales"] = torch.tensor(scales)
        out[f"scaler/{name}/tracker"] = torch.tensor(float(s._get_growth_tracker()))
        for i in range(3):
            out[f"scaler/{name}/{i}"] = p[i].data.clone()


# ---- schedules ------------------------------------------------------------------------------------------------------------------

METRICS = [3.0, 2.0, 1.9, 1.95, 1.9, 1.899, 2.0, 1.7, 1.7, 1.7, 1.7, 1.7, 1.7, 1.7, 1.7, 1.6, 1.61, 1.6, 1.7, 1.8, 1.9, 2.0, 2.0, 2.0, 2.0, 1.0, 1.5, 1.5, 1.5, 1.5]
SCHEDULES = {
    "lambda": lambda o: S.LambdaLR(o, lambda t: 0.9 ** t + 0.1),
    "multiplicative": lambda o: S.MultiplicativeLR(o, lambda t: 1 - 0.5 / (t + 1)),
    "step": lambda o: S.StepLR(o, 4, gamma=0.3),
    "multi_step": lambda o: S.MultiStepLR(o, [3, 9, 9, 20], gamma=0.5),
    "constant": lambda o: S.ConstantLR(o),
    "constant_long": lambda o: S.ConstantLR(o, factor=0.25, total_iters=11),
    "linear": lambda o: S.LinearLR(o),
    "linear_down": lambda o: S.LinearLR(o, start_factor=0.9, end_factor=0.2, total_iters=13),
    "exponential": lambda o: S.ExponentialLR(o, 0.9),
    "polynomial": lambda o: S.PolynomialLR(o),
    "polynomial_power": lambda o: S.PolynomialLR(o, total_iters=17, power=2.5),
    "cosine": lambda o: S.CosineAnnealingLR(o, 12, eta_min=0.003),
    "warm_restarts": lambda o: S.CosineAnnealingWarmRestarts(o, 5, T_mult=2, eta_min=0.001),
    "warm_restarts_plain": lambda o: S.CosineAnnealingWarmRestarts(o, 7),
    "sequential": lambda o: S.SequentialLR(o, [S.ConstantLR(o, factor=0.1, total_iters=4), S.ExponentialLR(o, 0.9), S.CosineAnnealingLR(o, 9)], [4, 15]),
    "sequential_warmup": lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, total_iters=5), S.StepLR(o, 6, gamma=0.5)], [5]),
    "chained": lambda o: S.ChainedScheduler([S.ConstantLR(o, factor=0.1, total_iters=8), S.ExponentialLR(o, 0.95)]),
    "cyclic": lambda o: S.CyclicLR(o, 0.01, 0.2, step_size_up=4, step_size_down=7),
    "cyclic_two": lambda o: S.CyclicLR(o, 0.01, 0.2, step_size_up=4, mode="triangular2", base_momentum=0.7, max_momentum=0.95),
    "cyclic_exp": lambda o: S.CyclicLR(o, 0.01, 0.2, step_size_up=5, mode="exp_range", gamma=0.95, cycle_momentum=False),
    "one_cycle": lambda o: S.OneCycleLR(o, 0.3, total_steps=40),
    "one_cycle_three": lambda o: S.OneCycleLR(o, 0.3, epochs=6, steps_per_epoch=7, three_phase=True, anneal_strategy="linear", pct_start=0.35, div_factor=10, final_div_factor=100, base_momentum=0.6),
    "plateau": lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1, min_lr=1e-3),
    "plateau_max": lambda o: S.ReduceLROnPlateau(o, mode="max", factor=0.3, patience=3, threshold=0.05, threshold_mode="abs"),
    "swa": lambda o: SWALR(o, 0.03),
    "swa_linear": lambda o: SWALR(o, 0.2, anneal_epochs=6, anneal_strategy="linear"),
}


def schedules():
    out["schedule/metrics"] = torch.tensor(METRICS)
    for name, make in SCHEDULES.items():
        a, b = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
        for kind in ("sgd", "adam") if name in ("one_cycle", "cyclic") else ("sgd",):
            groups = [{"params": [a]}, {"params": [b], "lr": 0.04}]
            optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9) if kind == "sgd" else torch.optim.Adam(groups, lr=0.1)
            schedule, rows = make(optimizer), []
            for step in range(30):
                rows.append([x for g in optimizer.param_groups for x in (g["lr"], g["momentum"] if kind == "sgd" else g["betas"][0])])
                optimizer.step()
                schedule.step(METRICS[step]) if name.startswith("plateau") else schedule.step()
            out[f"schedule/{name}/{kind}"] = torch.tensor(rows)


optimizers()
lbfgs()
rosenbrock()
clipping()
averages()
scaler()
schedules()
save_file({k: v.detach().clone().contiguous() for k, v in out.items()}, os.path.join(HERE, "optim.safetensors"))
