#!/usr/bin/env python3
"""Makes metrics.json: predictions, targets, and what scikit-learn and torchmetrics say of them; losses.json: tables as pandas prints them.

    python3 -m venv venv && venv/bin/pip install scikit-learn pandas torchmetrics torch && venv/bin/python tests/golden/metrics.py
"""
import json
import os

import numpy as np
import pandas as pd
import torch
from sklearn import metrics as m
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.text import Perplexity

rng = np.random.default_rng(7)
N, C = 60, 4
target = rng.integers(0, C - 1, N)  # the last class has no targets
scores = np.round(rng.normal(size=(N, C)) + 1.2 * np.eye(C)[target], 3)
guess = scores.argmax(1)
top2 = float(np.mean([t in np.argsort(-row, kind="stable")[:2] for t, row in zip(target, scores)]))
binary = rng.integers(0, 2, N)
risk = np.round(rng.normal(size=N) + binary, 1)  # with ties
truth = np.round(rng.normal(size=N) * 3 + 5, 3)
estimate = np.round(truth + rng.normal(size=N), 3)
logits = scores - scores.max(1, keepdims=True)
log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))

out = {"scores": scores.ravel().tolist(), "target": target.tolist(), "binary": binary.tolist(), "risk": risk.tolist(),
       "truth": truth.tolist(), "estimate": estimate.tolist(), "classes": C, "expected": {}}
e = out["expected"]
e["accuracy"] = m.accuracy_score(target, guess)
e["accuracy_top2"] = top2
for name, function in [("precision", m.precision_score), ("recall", m.recall_score), ("f1", m.f1_score)]:
    for average in ["macro", "micro", "weighted"]:
        e[f"{name}_{average}"] = function(target, guess, average=average, zero_division=0)
    e[f"{name}_none"] = function(target, guess, average=None, labels=range(C), zero_division=0).tolist()
e["confusion_matrix"] = m.confusion_matrix(target, guess, labels=range(C)).ravel().tolist()
e["auroc"] = m.roc_auc_score(binary, risk)
e["mse"] = m.mean_squared_error(truth, estimate)
e["mae"] = m.mean_absolute_error(truth, estimate)
e["r2"] = m.r2_score(truth, estimate)
perplexity, psnr = Perplexity().set_dtype(torch.float64), PeakSignalNoiseRatio(data_range=1.0).set_dtype(torch.float64)
e["perplexity"] = float(perplexity(torch.tensor(log_p)[None], torch.tensor(target)[None]))
e["psnr"] = float(psnr(torch.tensor(estimate), torch.tensor(truth)))
e["mean"] = float(np.average(truth, weights=estimate ** 2))
e["report"] = m.classification_report(target, guess, labels=range(C), zero_division=0)
e["report_named"] = m.classification_report(target, guess, labels=range(C), zero_division=0,
                                            target_names=["été", "a name that is long", "b", "c"])
with open(os.path.join(os.path.dirname(__file__), "metrics.json"), "w") as file:
    json.dump(out, file, indent=1)
    file.write("\n")

# pytorch-quik's table is a data frame of these columns.
tables = []
for train, valid, seconds in [([0.6435, 0.5281], [0.0, 0.0], [303, 380]), ([2.30258509, 1.5, 0.25], [1.25, 1.1234567, 1.0], [1, 61, 3605]),
                              ([0.5], [float("nan")], [59]), ([1e-7, 0.5], [1e6, 12.5], [0, 1]), ([float("inf"), 1.0], [123456.5, 1.0], [0, 1]),
                              ([1.0 / k for k in range(1, 12)], [float(k) for k in range(11)], list(range(11)))]:
    frame = pd.DataFrame()
    for i in range(len(train)):
        time = f"{seconds[i] // 60 % 60:02d}:{seconds[i] % 60:02d}"
        row = {"epoch": i, "train_loss": train[i], "valid_loss": valid[i], "time": time}
        frame = pd.concat([frame, pd.DataFrame(row, index=[i])])
    tables.append({"train": [str(x) for x in train], "valid": [str(x) for x in valid], "seconds": seconds, "text": frame.to_string() + "\n"})
with open(os.path.join(os.path.dirname(__file__), "losses.json"), "w") as file:
    json.dump(tables, file, indent=1)
    file.write("\n")
