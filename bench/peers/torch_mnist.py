"""The twin of recipes/mnist-mlp.yaml in PyTorch: the same model, batches, epochs, optimizer, schedule and evaluations; a JSON line at the end.

python torch_mnist.py FOLDER [--epochs 10] [--seed 1] [--compile]      # FOLDER holds the four files of MNIST, .gz or not
"""

import argparse
import gzip
import math
import time
from pathlib import Path

import numpy as np
import torch
from protocol import answer
from torch import nn
from torch.nn import functional as F

BATCH, PEAK, WARMUP = 128, 1e-3, 100


def read(folder, name, offset):
    path = next(path for path in (folder / name, folder / f"{name}.gz") if path.exists())
    raw = path.read_bytes()
    return np.frombuffer(gzip.decompress(raw) if path.suffix == ".gz" else raw, np.uint8, offset=offset)


def load(folder, part):
    images = torch.from_numpy(read(folder, f"{part}-images-idx3-ubyte", 16).reshape(-1, 784).copy()).float()
    return images, torch.from_numpy(read(folder, f"{part}-labels-idx1-ubyte", 8).astype(np.int64))


def batches(count, seed):
    """Endless rows, each epoch in another order; a batch may lie across two epochs, as in the recipe."""
    generator, rows = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.int64)
    while True:
        while len(rows) < BATCH:
            rows = torch.cat([rows, torch.randperm(count, generator=generator)])
        yield rows[:BATCH]
        rows = rows[BATCH:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    begin = time.perf_counter()
    images, labels = load(options.folder, "train")
    tests, answers = load(options.folder, "t10k")
    mean, scale = images.mean(), images.std()
    images, tests = (images - mean) / scale, (tests - mean) / scale
    layers = [nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 10)]
    model = nn.Sequential(*layers)
    run = torch.compile(model) if options.compile else model
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    source = batches(len(labels), options.seed)
    each = math.ceil(len(labels) / BATCH)
    steps = options.epochs * each
    read_seconds, begin = time.perf_counter() - begin, time.perf_counter()
    for step in range(steps):
        rate = step / WARMUP if step < WARMUP else (1 + math.cos(math.pi * (step - WARMUP) / (steps - WARMUP))) / 2
        for group in optimizer.param_groups:
            group["lr"] = PEAK * rate
        rows = next(source)
        loss = F.cross_entropy(run(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        if (step + 1) % each == 0:
            model.eval()
            with torch.no_grad():
                right = sum((model(tests[at : at + 1000]).argmax(1) == answers[at : at + 1000]).sum().item() for at in range(0, len(answers), 1000))
            model.train()
    answer(steps=steps, accuracy=right / len(answers), seconds=time.perf_counter() - begin, readSeconds=read_seconds, version=torch.__version__)


main()
