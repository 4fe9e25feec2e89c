"""Held-out accuracy of scikit-learn's logistic regression (R² and RMSE of linear regression) on public tables.

    python table_baselines.py DATA_FOLDER      # holds tab_uci_small/*.gz and tab_adult/*.gz

No row of the data is stored: only figures, and a SHA-256 of each split, so that a comparison on other rows is noticed.

Protocol
  rows      in file order, blank lines left out, numbered from 0; no header line; cells trimmed
  split     a fifth is held out, seeds 1 to 5, exactly as src/data/split.ts does it (written again here from its words):
            row order by swap-or-not over Philox, held out the first rows of each class, in proportion
  missing   "?" : the training mean for a number, a category of its own otherwise
  features  numbers to mean 0 and population deviation 1, both of the training rows; categories one-hot over the values
            of the training rows (a value never seen is all zeros)
  official  adult's own test file, its labels without their full stop: fitted on all rows of the training file
  model     LogisticRegression, lbfgs, L2 with C = 1 (its default), at most 10,000 iterations to 1e-8; LinearRegression
"""

import csv
import gzip
import hashlib
import io
import math
import sys
from pathlib import Path

import numpy as np
from common import mix32, versions, write
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss

SEEDS, HELD_OUT, ROUNDS, MASK = (1, 2, 3, 4, 5), 0.2, 64, 0xFFFFFFFF
PROTOCOL = " ".join(__doc__.split("Protocol")[1].split())

TABLES = {
    # name: path, target column, ignored columns, task
    "iris": ("tab_uci_small/iris.csv.gz", -1, [], "classification"),
    "wine": ("tab_uci_small/wine.csv.gz", -1, [], "classification"),
    "wdbc": ("tab_uci_small/wdbc.data.gz", 1, [0], "classification"),
    "breast-cancer-wisconsin": ("tab_uci_small/breast-cancer-wisconsin.csv.gz", -1, [], "classification"),
    "adult": ("tab_adult/adult-train.csv.gz", -1, [], "classification"),
    "abalone": ("tab_uci_small/abalone.csv.gz", -1, [], "regression"),
    "winequality-red": ("tab_uci_small/winequality-red.csv.gz", -1, [], "regression"),
}


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k[0], second & MASK, (first >> 32) ^ c[3] ^ k[1], first & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def fnv1a(name):
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) & MASK
    return value


def permutation(length, seed):
    """Swap-or-not: a round pairs x with key - x (mod length) and exchanges the two when a shared coin says so."""
    stream = fnv1a("permutation/split")
    rounds = []
    for i in range(ROUNDS):
        words = philox((i, 0, 0, stream), (seed & MASK, seed >> 32))
        rounds.append((math.floor((words[0] * 2**21 + (words[1] >> 11)) / 2**53 * length), words[2]))
    order = []
    for x in range(length):
        for key, coin in rounds:
            partner = (key - x) % length
            if mix32(max(x, partner) ^ coin) & 1:
                x = partner
        order.append(x)
    assert sorted(order) == list(range(length))
    return order


def held_out_rows(length, seed, classes):
    groups = {}
    for row in permutation(length, seed):
        groups.setdefault(0 if classes is None else int(classes[row]), []).append(row)
    held, owed = [], 0.0
    for _, rows in sorted(groups.items()):
        owed += HELD_OUT * len(rows)
        count = max(0, min(len(rows) - 1, math.floor(owed + 0.5)))
        owed -= count
        held += rows[:count]
    return sorted(held)


def read(path):
    text = gzip.decompress(path.read_bytes()).decode()
    return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]


def is_number(cell):
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def encode(rows, columns, train):
    """One matrix; everything learnt from `train` rows alone."""
    parts = []
    for column in columns:
        cells = [row[column] for row in rows]
        present = [cell for cell in cells if cell != "?"]
        if all(map(is_number, present)):
            values = np.array([math.nan if cell == "?" else float(cell) for cell in cells])
            known = values[train][~np.isnan(values[train])]
            mean, scale = known.mean(), known.std()
            if scale > 0:
                parts.append(((np.where(np.isnan(values), mean, values) - mean) / scale)[:, None])
        else:
            vocabulary = {value: i for i, value in enumerate(sorted({cells[i] for i in train}))}
            hot = np.zeros((len(rows), len(vocabulary)))
            for i, cell in enumerate(cells):
                if cell in vocabulary:
                    hot[i, vocabulary[cell]] = 1
            parts.append(hot)
    return np.concatenate(parts, axis=1)


def measure(name, folder):
    path, target, ignored, task = TABLES[name]
    rows = read(folder / path)
    width = len(rows[0])
    assert all(len(row) == width for row in rows)
    target %= width
    columns = [c for c in range(width) if c != target and c not in ignored]
    labels = [row[target] for row in rows]
    if task == "classification":
        classes = sorted(set(labels), key=lambda v: float(v) if is_number(v) else v)
        y = np.array([classes.index(label) for label in labels])
    else:
        classes, y = [], np.array([float(label) for label in labels])

    seeds = []
    for seed in SEEDS:
        held = held_out_rows(len(rows), seed, y if classes else None)
        train = sorted(set(range(len(rows))) - set(held))
        x = encode(rows, columns, train)
        entry = {"seed": seed, "heldOut": len(held), "splitHash": hashlib.sha256(",".join(map(str, held)).encode()).hexdigest()}
        if classes:
            model = LogisticRegression(max_iter=10_000, tol=1e-8).fit(x[train], y[train])
            right = int((model.predict(x[held]) == y[held]).sum())
            entry |= {
                "correct": right,
                "accuracy": right / len(held),
                "logLoss": float(log_loss(y[held], model.predict_proba(x[held]), labels=range(len(classes)))),
                "majority": float((y[held] == np.bincount(y[train]).argmax()).mean()),
            }
        else:
            error = LinearRegression().fit(x[train], y[train]).predict(x[held]) - y[held]
            spread = ((y[held] - y[held].mean()) ** 2).sum()
            entry |= {"rmse": float(np.sqrt((error**2).mean())), "r2": float(1 - (error**2).sum() / spread)}
        seeds.append(entry)
    figure = "accuracy" if classes else "r2"
    print(name, len(rows), x.shape[1], [round(entry[figure], 4) for entry in seeds])
    return {
        "path": path, "task": task, "target": target, "ignored": ignored, "rows": len(rows), "columns": width,
        "features": x.shape[1], "classes": len(classes), "mean": float(np.mean([entry[figure] for entry in seeds])), "seeds": seeds,
    }  # fmt: skip


def measure_official(folder):
    """Right answers on adult's own test file."""
    train, test = (read(folder / f"tab_adult/adult-{part}.csv.gz") for part in ("train", "test"))
    count = len(train)
    rows = train + [[*row[:-1], row[-1].rstrip(".")] for row in test]
    x = encode(rows, range(len(rows[0]) - 1), range(count))
    y = np.array([row[-1] == ">50K" for row in rows])
    model = LogisticRegression(max_iter=10_000, tol=1e-8).fit(x[:count], y[:count])
    right = int((model.predict(x[count:]) == y[count:]).sum())
    print("adult, official test", right / len(test))
    return {"path": "tab_adult/adult-test.csv.gz", "rows": len(test), "correct": right, "accuracy": right / len(test)}


def main():
    folder = Path(sys.argv[1])
    write(
        "table-baselines.json",
        {
            "madeBy": "table_baselines.py",
            "versions": versions("scikit-learn", "numpy"),
            "protocol": PROTOCOL,
            "heldOut": HELD_OUT,
            "tables": {name: measure(name, folder) for name in TABLES},
            "adultOfficial": measure_official(folder),
        },
    )


main()
