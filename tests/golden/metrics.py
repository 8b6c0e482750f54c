#!/usr/bin/env python3
"""Makes metrics.json: predictions, targets, and what scikit-learn says of them.

    python3 -m venv venv && venv/bin/pip install scikit-learn && venv/bin/python tests/golden/metrics.py
"""
import json
import os

import numpy as np
from sklearn import metrics as m

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
e["perplexity"] = float(np.exp(-log_p[np.arange(N), target].mean()))
e["mean"] = float(np.average(truth, weights=estimate ** 2))
e["report"] = m.classification_report(target, guess, labels=range(C), zero_division=0)
with open(os.path.join(os.path.dirname(__file__), "metrics.json"), "w") as file:
    json.dump(out, file, indent=1)
    file.write("\n")
