"""Write tests/golden/rows/FAMILY.safetensors: what PyTorch computes for every sample of the op table.

Run as `python3 tests/golden/make_rows.py [FAMILY...]` after a build, with torch, numpy and safetensors installed.  The program
golden_samples (made by the build) writes the samples: inputs and attributes.  rows/FAMILY.py says which function of PyTorch
belongs to a row:

    ROWS = {"huber_loss": lambda x, a: F.huber_loss(x[0], x[1], reduction=text(a, "reduction"), delta=number(a, "delta", 1.0))}

x is the list of inputs (None where an optional one is absent), a the attributes as text.  The function gives a tensor, or a list
of tensors with None for outputs that are not compared.  Gradients are those of the sum of all results weighted by weights(result).
"""
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "..", "..", "build", "bin", "tests", "golden_samples")
MOST_ELEMENTS = 256
torch.set_num_threads(1)


def weights(like):
    """What the test in C weighs results with: no symmetry, so that no wrong index cancels."""
    i = torch.arange(1, like.numel() + 1, dtype=torch.float64)
    return (0.5 + torch.fmod(0.618033988749895 * i, 1.0)).reshape(like.shape)


def thinned(tensor):
    flat = tensor.detach().reshape(-1)
    if flat.numel() > MOST_ELEMENTS:
        return flat[:: math.ceil(flat.numel() / MOST_ELEMENTS)].clone()
    return tensor.detach().clone().contiguous()


def stored(tensor):
    return thinned(tensor.double() if tensor.is_floating_point() else tensor.bool() if tensor.dtype == torch.bool else tensor.long())


def computed(function, x, attrs):
    """The results as a list.  What PyTorch has for floats only is computed in floats."""
    try:
        results = function(x, attrs)
    except (NotImplementedError, RuntimeError) as error:
        if "not implemented for" not in str(error):
            raise
        narrow = next(t.dtype for t in x if t is not None)
        results = function([t.double() if t is not None and t.dtype == narrow else t for t in x], attrs)
        results = results if isinstance(results, (list, tuple)) else [results]
        return [r.to(narrow) if r.is_floating_point() else r for r in results]
    return list(results) if isinstance(results, (list, tuple)) else [results]


def one_case(function, case, inputs):
    """The golden tensors of one sample, without the leading name."""
    x = [inputs.get(f"in.{k}") for k in range(case["inputs"])]
    x = [t.clone().requires_grad_(t.is_floating_point()) if t is not None else None for t in x]
    results = computed(function, x, case["attrs"])
    out = {f"out.{k}": stored(r) for k, r in enumerate(results) if r is not None}
    smooth = [r for r in results if r is not None and r.is_floating_point() and r.requires_grad]
    if smooth:
        sum((r * weights(r)).sum() for r in smooth).backward()
        out.update({f"grad.{k}": stored(t.grad) for k, t in enumerate(x) if t is not None and t.grad is not None})
    return out


def family(name, cases, tensors):
    rows, out = importlib.import_module(f"rows.{name}").ROWS, {}
    for case in cases:
        if case["row"] not in rows:
            continue
        at = f"{case['row']}/{case['label']}/{case['class']}/"
        inputs = {key[len(at):]: value for key, value in tensors.items() if key.startswith(at)}
        try:
            golden = one_case(rows[case["row"]], case, inputs)
        except Exception as error:
            raise SystemExit(f"{at}: {error}") from error
        out.update({at + key: value for key, value in golden.items()})
    path = os.path.join(HERE, "rows", name + ".safetensors")
    save_file(out, path)
    os.chmod(path, 0o644)
    missing = sorted(set(rows) - {case["row"] for case in cases})
    print(f"{name}: {len(rows)} rows, {len(out)} tensors", f"; not in the op table: {', '.join(missing)}" if missing else "")


def main():
    sys.path.insert(0, HERE)
    names = sys.argv[1:] or sorted(f[:-3] for f in os.listdir(os.path.join(HERE, "rows")) if f.endswith(".py") and f != "attrs.py")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PROGRAM, folder], check=True)
        with open(os.path.join(folder, "samples.json"), encoding="utf-8") as file:
            cases = json.load(file)
        tensors = load_file(os.path.join(folder, "samples.safetensors"))
    for name in names:
        family(name, cases, tensors)


main()
