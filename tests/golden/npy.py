"""Write npy/: small files as NumPy writes them, for wk_npy_load, wk_npy_save and wk_npz_open to agree with.

Run as `python3 tests/golden/npy.py`, with numpy 2.  Every array holds 0, 1, 2, … in row-major order (bool: every second).
"""
import os

import numpy as np
from numpy.lib import format as npy

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npy")
os.makedirs(HERE, exist_ok=True)


def counted(dtype, *shape):
    values = np.arange(int(np.prod(shape))).reshape(shape)
    return (values % 2).astype(bool) if dtype == "bool" else values.astype(dtype)


DTYPES = {"f32": "f4", "f64": "f8", "f16": "f2", "i64": "i8", "i32": "i4", "i16": "i2", "i8": "i1", "u8": "u1", "bool": "bool"}
for ours, theirs in DTYPES.items():
    np.save(os.path.join(HERE, f"{ours}.npy"), counted(theirs, 2, 3, 4))
np.save(os.path.join(HERE, "scalar.npy"), np.float32(7))
np.save(os.path.join(HERE, "vector.npy"), counted("f4", 5))
np.save(os.path.join(HERE, "empty.npy"), counted("f4", 0, 3))
np.save(os.path.join(HERE, "fortran.npy"), np.asfortranarray(counted("f4", 2, 3, 4)))
np.save(os.path.join(HERE, "big.npy"), counted(">f8", 2, 3, 4))
for version in (2, 3):
    with open(os.path.join(HERE, f"version{version}.npy"), "wb") as file:
        npy.write_array(file, counted("i4", 2, 3, 4), version=(version, 0))
np.save(os.path.join(HERE, "complex.npy"), np.zeros(3, np.complex64))
np.save(os.path.join(HERE, "unsigned.npy"), np.zeros(3, np.uint16))
np.save(os.path.join(HERE, "record.npy"), np.zeros(3, [("a", "f4"), ("b", "i4")]))
np.save(os.path.join(HERE, "raw.npy"), np.zeros(3, "V2"))
np.savez(os.path.join(HERE, "stored.npz"), a=counted("f4", 2, 3), **{"layer.weight": counted("i8", 4), "s": np.float64(2)})
np.savez_compressed(os.path.join(HERE, "deflated.npz"), a=counted("f4", 20, 30), b=np.asfortranarray(counted("bool", 3, 4)))
