"""A GPT training step in PyTorch on the CPU, to be timed beside Athanor's. See README.md for the shapes and the rules.

One process times one setting and prints one JSON line. `--sweep` starts a process per setting, so that each has its own
environment and threads, and marks the best. `--interactive` keeps the compiled step and times it whenever told to,
which lets a harness take turns between peers.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time

SHAPES = {
    # vocabulary, context, layers, heads, width, batch
    "c1": (65, 256, 6, 6, 384, 8),
    "c2": (65, 64, 4, 4, 128, 12),
    "c3": (50304, 256, 4, 4, 256, 4),
    "gpt2": (50257, 256, 12, 12, 768, 1),
}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--compile", action="store_true", help="torch.compile the model with its loss")
    parser.add_argument("--attention", choices=("plain", "sdpa"), default="sdpa")
    parser.add_argument("--optimizer", choices=("default", "foreach", "fused"), default="fused")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="bf16 is autocast over f32 weights")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument("--wait", choices=("default", "passive", "active"), default="default", help="OMP_WAIT_POLICY")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long to time, after warming up")
    parser.add_argument("--warmup", type=int, default=3, help="steps before timing, the first one apart")
    parser.add_argument("--sweep", action="store_true", help="time every sensible setting, each in its own process")
    parser.add_argument("--interactive", action="store_true", help="per line of seconds on stdin, time so long and print")
    return parser.parse_args()


def make_step(shape, options):
    """Returns `step()`, which trains once and gives the loss, and the number of parameters."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    vocabulary, context, layers, heads, width, batch = shape
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.c_attn = nn.Linear(width, 3 * width, bias=False)
            self.c_proj = nn.Linear(width, width, bias=False)
            self.register_buffer("hidden", torch.ones(context, context, dtype=torch.bool).triu(1), persistent=False)

        def forward(self, x):
            rows, time_, _ = x.shape
            q, k, v = self.c_attn(x).view(rows, time_, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            if options.attention == "sdpa":
                mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                scores = q @ k.transpose(-2, -1) * (width // heads) ** -0.5
                mixed = scores.masked_fill(self.hidden[:time_, :time_], float("-inf")).softmax(-1) @ v
            return self.c_proj(mixed.transpose(1, 2).reshape(rows, time_, width))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attn = Attention()
            self.c_fc = nn.Linear(width, 4 * width, bias=False)
            self.c_proj = nn.Linear(4 * width, width, bias=False)

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.h = nn.Sequential(*(Block() for _ in range(layers)))
            self.ln_f = nn.LayerNorm(width)
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, tokens, targets):
            x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
            logits = F.linear(self.ln_f(self.h(x)), self.wte.weight)
            return F.cross_entropy(logits.view(-1, vocabulary).float(), targets.view(-1))

    model = GPT()
    parameters = list(model.parameters())
    kinds = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, **kinds[options.optimizer])
    loss_of = torch.compile(model) if options.compile else model
    tokens = torch.randint(vocabulary, (batch, context + 1))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            loss = loss_of(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    return step, sum(p.numel() for p in parameters)


def measure(step, seconds):
    """Step times in ms, ascending, and mean CPU time in ms: at least five steps, for at least `seconds`."""
    times, until, cpu = [], time.perf_counter() + seconds, time.process_time()
    while len(times) < 5 or time.perf_counter() < until:
        begin = time.perf_counter()
        step()
        times.append((time.perf_counter() - begin) * 1e3)
    return sorted(times), (time.process_time() - cpu) / len(times) * 1e3


def report(options, measured, **more):
    import torch

    times, cpu_ms = measured
    _, context, _, _, _, batch = SHAPES[options.shape]
    median = times[len(times) // 2]
    line = {
        "peer": "pytorch", "version": torch.__version__, "shape": options.shape, "precision": options.precision,
        "compile": options.compile, "attention": options.attention, "optimizer": options.optimizer,
        "threads": torch.get_num_threads(), "wait": options.wait,
        "medianMs": round(median, 3), "bestMs": round(times[0], 3), "p20Ms": round(times[len(times) // 5], 3),
        "cpuMs": round(cpu_ms, 3), "loadAverage": round(os.getloadavg()[0], 2), "steps": len(times),
        "tokensPerSecond": round(batch * context / median * 1e3, 1), **more,
    }  # fmt: skip
    print(json.dumps(line), flush=True)


def time_one(options):
    begin = time.perf_counter()
    step, num_parameters = make_step(SHAPES[options.shape], options)
    first_loss = step()
    first = time.perf_counter() - begin
    for _ in range(options.warmup):
        step()
    more = {"firstSeconds": round(first, 2), "parameters": num_parameters, "firstLoss": first_loss}
    if options.interactive:
        print(json.dumps({"ready": True, **more}), flush=True)
        for line in sys.stdin:
            report(options, measure(step, float(line)))
    else:
        report(options, measure(step, options.seconds), **more)


def sweep(options):
    """Every sensible setting in a fresh process; the last line is the best by median."""
    settings = itertools.product((False, True), ("sdpa", "plain"), ("fused", "default"), ("default", "passive"))
    lines = []
    for compiled, attention, optimizer, wait in settings:
        if wait == "passive" and (attention, optimizer) != ("sdpa", "fused"):
            continue
        command = [
            sys.executable, __file__, options.shape, "--precision", options.precision, "--threads", str(options.threads),
            "--seconds", str(options.seconds), "--warmup", str(options.warmup),
            "--attention", attention, "--optimizer", optimizer, "--wait", wait, *(["--compile"] if compiled else []),
        ]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            print(f"failed: {' '.join(command[1:])}", file=sys.stderr)
            continue
        print(done.stdout, end="", flush=True)
        lines.append(json.loads(done.stdout))
    if not lines:
        sys.exit("no setting ran")
    print(json.dumps({"best": True, **min(lines, key=lambda line: line["medianMs"])}), flush=True)


def main():
    options = parse()
    if options.sweep:
        return sweep(options)
    if options.wait != "default":
        # read by the OpenMP runtime when torch is first imported, which is later than this
        os.environ["OMP_WAIT_POLICY"] = options.wait.upper()
    return time_one(options)


if __name__ == "__main__":
    main()
