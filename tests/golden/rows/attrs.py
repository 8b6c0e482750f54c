"""Attributes of rows, which arrive as text."""
import torch

DTYPES = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16, "f16": torch.float16, "i64": torch.int64,
          "i32": torch.int32, "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8, "bool": torch.bool}


def text(a, name):
    return a[name]


def number(a, name, default=0.0):
    return float(a[name]) if a[name] else default


def optional(a, name, default=None):
    return float(a[name]) if a[name] else default


def whole(a, name, default=0):
    return int(float(a[name])) if a[name] else default


def flag(a, name):
    return a[name] == "true"


def wholes(a, name):
    return [int(v) for v in a[name].split(",")] if a[name] else []


def dtype(a, name):
    return DTYPES[a[name]]
