"""Operations element by element."""
import math

import torch
import torch.nn.functional as F

from rows.attrs import dtype, number, optional, whole


def clamp(x, low, high):
    if low is None and high is None:
        return x * 1
    if x.is_floating_point():
        return torch.clamp(x, low, high)
    return torch.clamp(x, None if low is None else max(math.ceil(low), 0 if x.dtype == torch.uint8 else -99),
                       None if high is None else max(math.floor(high), 0 if x.dtype == torch.uint8 else -99))


def polygamma(n, x):
    """torch.polygamma's first order has eight digits in f64; Hurwitz' zeta has them all, and its gradient."""
    if n == 0:
        return Digamma.apply(x)
    if n == 1 and (x <= 0).any():  # mirrored
        return (math.pi / torch.sin(math.pi * x)) ** 2 - torch.special.zeta(2.0, 1 - x)
    return (-1) ** (n + 1) * math.factorial(n) * torch.special.zeta(float(n + 1), x)


class Digamma(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return torch.digamma(x)

    @staticmethod
    def backward(context, dy):
        x, = context.saved_tensors
        return dy * polygamma(1, x)


def of_one(function):
    return lambda x, a: function(x[0])


ROWS = {
    "add": lambda x, a: x[0] + x[1],
    "sub": lambda x, a: x[0] - x[1],
    "mul": lambda x, a: x[0] * x[1],
    "div": lambda x, a: x[0] / x[1],
    "maximum": lambda x, a: torch.maximum(x[0], x[1]),
    "minimum": lambda x, a: torch.minimum(x[0], x[1]),
    "neg": lambda x, a: -x[0],
    "abs": lambda x, a: x[0].abs(),
    "sign": lambda x, a: x[0].sign(),
    "exp": lambda x, a: x[0].exp(),
    "log": lambda x, a: x[0].log(),
    "sqrt": lambda x, a: x[0].sqrt(),
    "sin": lambda x, a: x[0].sin(),
    "cos": lambda x, a: x[0].cos(),
    "erf": lambda x, a: x[0].erf(),
    "tanh": lambda x, a: x[0].tanh(),
    "sigmoid": lambda x, a: x[0].sigmoid(),
    "relu": lambda x, a: F.relu(x[0]),
    "affine": lambda x, a: x[0] * number(a, "scale") + number(a, "shift"),
    "eq": lambda x, a: x[0] == x[1],
    "ne": lambda x, a: x[0] != x[1],
    "lt": lambda x, a: x[0] < x[1],
    "le": lambda x, a: x[0] <= x[1],
    "gt": lambda x, a: x[0] > x[1],
    "ge": lambda x, a: x[0] >= x[1],
    "where": lambda x, a: torch.where(x[0], x[1], x[2]),
    "cast": lambda x, a: (x[0].clamp(min=0) if a["dtype"] == "u8" and x[0].dtype != torch.bool else x[0]).to(dtype(a, "dtype")),
    # arithmetic
    "floor_divide": lambda x, a: torch.div(x[0], x[1], rounding_mode="floor"),
    "trunc_divide": lambda x, a: torch.div(x[0], x[1], rounding_mode="trunc"),
    "remainder": lambda x, a: torch.remainder(x[0], x[1]),
    "fmod": lambda x, a: torch.fmod(x[0], x[1]),
    "pow": lambda x, a: torch.pow(x[0], x[1]),
    "pow_scalar": lambda x, a: torch.pow(x[0], number(a, "exponent") if x[0].is_floating_point() else whole(a, "exponent")),
    "square": lambda x, a: torch.square(x[0]),
    "reciprocal": lambda x, a: torch.reciprocal(x[0]),
    "rsqrt": lambda x, a: torch.rsqrt(x[0]),
    "atan2": lambda x, a: torch.atan2(x[0], x[1]),
    "hypot": lambda x, a: torch.hypot(x[0], x[1]),
    "logaddexp": lambda x, a: torch.logaddexp(x[0], x[1]),
    "xlogy": lambda x, a: torch.xlogy(x[0], x[1]),
    "copysign": lambda x, a: torch.copysign(x[0], x[1]),
    "heaviside": lambda x, a: torch.heaviside(x[0].detach(), x[1].detach()),
    "lerp": lambda x, a: torch.lerp(x[0], x[1], x[2]),
    "addcmul": lambda x, a: x[0] + whole(a, "value", 1) * x[1] * x[2],
    "addcdiv": lambda x, a: torch.addcdiv(x[0], x[1], x[2], value=number(a, "value", 1.0)),
    "clamp": lambda x, a: clamp(x[0], optional(a, "min"), optional(a, "max")),
    "clamp_tensor": lambda x, a: torch.clamp(x[0], x[1], x[2]),
    "nan_to_num": lambda x, a: torch.nan_to_num(x[0], number(a, "nan"), optional(a, "posinf"), optional(a, "neginf")),
    # functions
    **{name: of_one(getattr(torch, name)) for name in (
        "exp2", "expm1", "log2", "log10", "log1p", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erfc",
        "erfinv", "lgamma", "floor", "ceil", "round", "trunc", "frac", "isnan", "isinf", "isfinite", "logical_not",
        "bitwise_not")},
    "digamma": lambda x, a: Digamma.apply(x[0]),
    "polygamma": lambda x, a: polygamma(whole(a, "order"), x[0]),
    "logit": lambda x, a: torch.logit(x[0], optional(a, "eps")),
    # logic
    "logical_and": lambda x, a: torch.logical_and(x[0], x[1]),
    "logical_or": lambda x, a: torch.logical_or(x[0], x[1]),
    "logical_xor": lambda x, a: torch.logical_xor(x[0], x[1]),
    "bitwise_and": lambda x, a: x[0] & x[1],
    "bitwise_or": lambda x, a: x[0] | x[1],
    "bitwise_xor": lambda x, a: x[0] ^ x[1],
    "left_shift": lambda x, a: x[0] << x[1],
    "right_shift": lambda x, a: x[0] >> x[1],
    "isclose": lambda x, a: (x[0] == x[1]) | ((x[0].double() - x[1].double()).abs() <= number(a, "atol", 1e-8)
                                              + number(a, "rtol", 1e-5) * x[1].double().abs()),
}
