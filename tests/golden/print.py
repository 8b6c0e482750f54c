"""Write print.txt: what NumPy prints for many arrays, for wk_tensor_format to agree with.

Run as `python3 tests/golden/print.py`, with numpy 2.  Each case is a line "dtype rank sizes… : bytes in hex" and then the text of str()
and of repr(), each ended by a line "----".  The values are stored so that nothing has to be drawn again.
"""
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {"float32": "f32", "float64": "f64", "float16": "f16", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8", "uint8": "u8", "bool": "bool"}
rng = np.random.default_rng(20260101)
cases = []


def case(values, dtype=None):
    cases.append(np.asarray(values, dtype))


for dtype in (np.float32, np.float64, np.float16):
    case([1, 2, 3], dtype)
    case([0.1, 0.25, -3.5], dtype)
    case([[1.5, 2.25], [3.125, 4]], dtype)
    case([0.0, -0.0], dtype)
    case([np.nan, 1, 2.5], dtype)
    case([np.inf, -np.inf, 2.5], dtype)
    case([np.nan, np.inf], dtype)
    case([np.nan, 1], dtype)
    case([np.inf, 100], dtype)
    case([-np.inf, 1], dtype)
    case([1e-5, 1], dtype)
    case([1e-4, 0.05], dtype)
    case([1e-3, 1.0], dtype)
    case([1e-3, 1.1], dtype)
    case([999.5, 1000], dtype)
    case([1024, 2048], dtype)
    case([65504, 1], dtype)
    case([1 / 3, 2 / 3], dtype)
    case([1e-7, np.nan, -1], dtype)
    case(rng.standard_normal(7), dtype)
    case(rng.standard_normal((5, 6)), dtype)
    case(rng.standard_normal((2, 3, 4)), dtype)
    case(rng.standard_normal((30, 40)), dtype)
    case(rng.standard_normal((2, 3, 20, 9)) * 100, dtype)
    case(rng.standard_normal(1001), dtype)
    case(rng.standard_normal(1000), dtype)
    case(rng.standard_normal((3, 1, 2, 1, 2)), dtype)
    case(np.zeros((3, 4)), dtype)
    case(np.zeros((2, 0, 3)), dtype)
    case([], dtype)
    case(np.zeros((1, 1, 1)), dtype)
    for scalar in (0, 1, -2.5, 0.1, 1e-4, 9e-5, 1e-7, 12345.678, 65504, 1 / 3, np.nan, np.inf, -np.inf, 5.96e-8):
        case(scalar, dtype)
    for _ in range(12):
        shape = tuple(rng.integers(1, 9, size=rng.integers(1, 4)))
        case(rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 4), dtype)
for dtype in (np.float32, np.float64):
    for scalar in (1e15, 1e16, 1e20, 123456789.0, 16777216.0, 1e-30, 3.4e38, 2.0**-44):
        case(scalar, dtype)
        case([scalar, 1], dtype)
    case([1e6, 1], dtype)
    case([999999, 999], dtype)
    case([1e8, 1e7], dtype)
    case([99999992, 99999990], dtype)
    case([1e-45, 1], dtype)
    for _ in range(12):
        case(rng.standard_normal(rng.integers(1, 30)) * 10.0 ** rng.integers(-30, 30), dtype)
case([1e300, 1e-300], np.float64)
case([1e-320, 1], np.float64)
case([5e-324], np.float64)
case([1e100], np.float64)
case([123456.789012345678], np.float64)
case([0.1 + 0.2, 0.3], np.float64)
for dtype in (np.int64, np.int32, np.int16, np.int8, np.uint8):
    info = np.iinfo(dtype)
    case([1, 2, 3], dtype)
    case([info.min, 0, info.max], dtype)
    case(rng.integers(info.min, info.max, (4, 7), dtype=dtype), dtype)
    case(np.arange(60) % 100, dtype)
    if dtype in (np.int64, np.uint8):
        case(np.arange(1200) % 100, dtype)
        case(np.arange(2 * 30 * 20).reshape(2, 30, 20) % 100, dtype)
    case(np.zeros((0, 4)), dtype)
    case(np.zeros((0,)), dtype)
    case(7, dtype)
case([True, False], bool)
case(rng.integers(0, 2, (3, 5)), bool)
case(rng.integers(0, 2, (50, 50)), bool)
case(np.ones(40), bool)
case(True, bool)
case(False, bool)
case(np.zeros((0, 1)), bool)

with open(os.path.join(HERE, "print.txt"), "w") as out:
    for x in cases:
        data = np.ascontiguousarray(x).tobytes().hex()
        out.write(f"{NAMES[str(x.dtype)]} {x.ndim} {' '.join(str(n) for n in x.shape)} : {data}\n")
        out.write(f"{x!s}\n----\n{x!r}\n----\n")
print(len(cases), "cases")
