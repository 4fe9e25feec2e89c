"""PyTorch on the CPU: training steps, updates or matrix products, timed on request. One process is one setting; see README.md.

python torch_peer.py '{"model": "gpt", ...}' [--precision bf16] [--compile] [--threads N]
OMP_WAIT_POLICY is taken from the environment.
"""

import argparse
import json

import torch
from protocol import serve_products, serve_steps
from torch_models import make_step, make_update


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="bf16 is autocast over f32 weights")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model with its loss")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    ready = {"version": torch.__version__, "threads": torch.get_num_threads()}
    if options.shape["model"] == "matmul":
        dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32

        def prepare(m, n):
            a, b, out = torch.randn(m, n).to(dtype), torch.randn(n, n).to(dtype), torch.empty(m, n, dtype=dtype)
            return lambda: torch.mm(a, b, out=out)

        serve_products(prepare, **ready)
    elif options.shape["model"] == "update":
        step, parameters = make_update(options.shape)
        serve_steps(step, parameters=sum(p.numel() for p in parameters), **ready)
    else:
        step, model, _ = make_step(options.shape, options.precision, options.compile)
        serve_steps(step, parameters=sum(p.numel() for p in model.parameters()), **ready)


if __name__ == "__main__":
    main()
