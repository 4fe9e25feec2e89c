"""Iterates of torch.optim.LBFGS with its strong-Wolfe search in f64: the network of optimizers.py, and a logistic regression on its rows.

`points` are the parameters after so many iterations, each from a run of its own; the logistic regression has labels y > 0.
"""

import optimizers as problems
import torch
from common import versions, write

DATA = {name: torch.tensor(value) for name, value in problems.network().items()}


def network(p):
    return ((torch.tanh(DATA["X"] @ p[0] + p[1]) @ p[2] + p[3] - DATA["y"]) ** 2).mean()


def logistic(p):
    penalty = 0.05 * (p[0] ** 2).sum()
    return torch.nn.functional.cross_entropy(DATA["X"] @ p[0] + p[1], (DATA["y"][:, 0] > 0).long()) + penalty


def after(loss, start, iterations, history):
    p = [w.clone().requires_grad_() for w in start]
    optimizer = torch.optim.LBFGS(p, max_iter=iterations, history_size=history, line_search_fn="strong_wolfe", max_eval=10**6)
    evaluations = 0

    def closure():
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        value = loss(p)
        value.backward()
        return value

    optimizer.step(closure)
    return {"iterations": iterations, "evaluations": evaluations, "loss": loss(p).item(), "x": torch.cat([w.detach().flatten() for w in p]).tolist()}  # fmt: skip


def main():
    net = [DATA[name] for name in ("W1", "b1", "W2", "b2")]
    line = [DATA["W1"][:, :2].contiguous(), DATA["b1"][:2]]
    content = {
        "network": {"history": 4, "points": [after(network, net, k, 4) for k in (1, 2, 3, 5, 8, 12, 16)]},
        "logistic": {"start": torch.cat([w.flatten() for w in line]).tolist(), "history": 10, "points": [after(logistic, line, k, 10) for k in (1, 2, 4, 8)]},  # fmt: skip
    }
    write("lbfgs.json", {"madeBy": "lbfgs.py", "versions": versions("torch", "numpy"), "problems": content})


main()
