#!/usr/bin/env python3
"""ONNX Runtime's side of the step benchmarks: the workloads of inference, as torch.onnx exports pytorch.py's networks.

onnx_runtime.py WORKLOAD [--threads N] [--steps N] [--warmup N]

The exported network lies beside the Python (onnx/WORKLOAD.onnx); where it does not yet, pytorch.py makes it in a process of its own, so that
neither time nor memory of the export counts.  Prints one JSON line, as pytorch.py does.
"""
import argparse
import json
import os
import subprocess
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("workload")
parser.add_argument("--dtype", default="f32", choices=["f32"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=0)
parser.add_argument("--warmup", type=int, default=3)
arguments = parser.parse_args()
folder = os.path.join(sys.prefix, "onnx")
path = os.path.join(folder, arguments.workload + ".onnx")
if not os.path.exists(path):
    os.makedirs(folder, exist_ok=True)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch.py")
    done = subprocess.run([sys.executable, script, arguments.workload, "--export", path], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = arguments.threads
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
x = numpy.random.default_rng(0).integers(0, 30522, given.shape)
steps = arguments.steps or (60 if given.shape[0] == 1 else 9)


def step():
    start = time.perf_counter()
    result = session.run(None, {given.name: x})[0]
    return time.perf_counter() - start, float(result.flat[0])


def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


first, value = step()
first_at = time.monotonic()
for _ in range(arguments.warmup):
    step()
times = sorted(step()[0] for _ in range(steps))
median = times[len(times) // 2]
print(json.dumps({
    "workload": arguments.workload, "peer": f"onnxruntime {onnxruntime.__version__}", "dtype": arguments.dtype, "ranks": 1, "threads": arguments.threads,
    "step_s": round(median, 7), "p10": round(times[len(times) // 10], 7), "p90": round(times[len(times) * 9 // 10], 7),
    "items_per_s": round(given.shape[0] / median, 1), "first_step_s": round(first, 5), "first_step_at": first_at, "peak_mib": round(peak_mib(), 1),
    "loss_first": round(value, 4), "loss_last": round(value, 4)}))
