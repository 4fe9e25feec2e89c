"""What initial values are judged by: PyTorch's fans, and the deviation of truncated normal distributions by SciPy."""

import torch
from common import versions, write
from scipy.stats import truncnorm

shapes = [(7, 5), (1, 9), (3, 4, 6), (3, 2, 4, 6), (2, 3, 2, 5, 8)]
write("init.json", {
    "madeBy": "init.py",
    "versions": versions("torch", "scipy"),
    # stored [..., in, out] here, [out, in, ...] in PyTorch
    "fans": [
        {"shape": list(s), "fans": list(torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(s[-1], s[-2], *s[:-2])))} for s in shapes
    ],
    "truncated": [{"cut": cut, "deviation": float(truncnorm(-cut, cut).std())} for cut in (0.1, 0.5, 1.0, 2.0, 3.0)],
})  # fmt: skip
