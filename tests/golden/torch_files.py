"""Files of torch.save for tests/io/torch_file.c, and the check that PyTorch reads what Wick wrote.

    python tests/golden/torch_files.py            # writes tests/golden/torch/*.pt
    python tests/golden/torch_files.py FILE.pt    # FILE, as the test writes it, loads and holds what it should

PyTorch 2.x.  Tensors count from 0, so that the test knows what they hold.
"""

import os
import sys
from collections import OrderedDict

import torch

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch")


def counted(*shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    values = torch.arange(count) % 2 if dtype == torch.bool else torch.arange(count)
    return values.to(dtype).reshape(shape)


def save(name, value, **options):
    torch.save(value, os.path.join(FOLDER, name + ".pt"), **options)


def state_dict():
    return OrderedDict(
        [("layer.weight", counted(2, 3)), ("layer.bias", counted(2)), ("norm.num_batches_tracked", torch.tensor(7))]
    )


class Runs:
    """What an attacker would send: unpickling it would make a file."""

    def __reduce__(self):
        return os.system, ("touch wick_was_here",)


def write():
    os.makedirs(FOLDER, exist_ok=True)
    state = state_dict()
    state._metadata = OrderedDict([("", {"version": 1})])
    save("state", state)
    save("protocol4", state, pickle_protocol=4)
    dtypes = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    dtypes += [torch.int8, torch.uint8, torch.bool]
    save("dtypes", {str(t).split(".")[1]: counted(2, 3, dtype=t) for t in dtypes})
    whole = counted(4, 6)
    save("views", {"whole": whole, "turned": whole.t(), "part": whole[1:3, ::2], "one": whole[2, 3],
                   "none": torch.empty(0, 3), "spread": counted(3).expand(2, 3)})
    parameter = torch.nn.Parameter(counted(2, 2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.grad = counted(2, 2)
    optimizer.step()
    save("checkpoint", {"model": {"weight": torch.nn.Parameter(counted(3))}, "optimizer": optimizer.state_dict(),
                        "epoch": 3, "loss": 0.25, "tiny": 1e-7, "steps": 2**40, "down": -5, "name": "größer",
                        "done": False, "best": None, "sizes": torch.Size([2, 3]), "device": torch.device("cpu")})
    save("dataset", torch.utils.data.TensorDataset(counted(4, 2), counted(4, dtype=torch.int64)))
    save("list", [counted(2), counted(3)])
    save("alone", counted(5))
    save("model", torch.nn.Linear(2, 2))
    save("code", {"weight": counted(2), "evil": Runs()})
    save("old", state_dict(), _use_new_zipfile_serialization=False)
    itself = []
    itself.append(itself)
    save("itself", {"loop": itself})
    save("twice", {"a.b": counted(1), "a": {"b": counted(2)}})


def check(path):
    got = torch.load(path, weights_only=True)
    expected = OrderedDict([("a.weight", counted(2, 3)), ("b", counted(300, dtype=torch.int64)),
                            ("größer", counted(2, 2, dtype=torch.bfloat16)), ("scalar", torch.tensor(0.0)),
                            ("empty", torch.empty(0, 3)), ("truth", counted(3, dtype=torch.bool))])
    assert type(got) is OrderedDict and list(got) == list(expected), list(got)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype and torch.equal(got[name], tensor), name
    print(path, "holds what it should")


if __name__ == "__main__":
    check(sys.argv[1]) if len(sys.argv) > 1 else write()
