"""100-step paths of optimizers in f64 by PyTorch, on two problems: a quadratic and a small regression network.

quadratic: f(x) = x.A.x / 2 - b.x, gradient A x - b, with A symmetric; `path` is x after each step.
network:   mean((tanh(X W1 + b1) W2 + b2 - y)^2) over all rows; `losses` are taken before each step, and after the last.
Adam and AdamW are checked against optax, the quadratic's SGD rules against loops written out here.
"""

import jax
import numpy as np
import optax
import torch
from common import grid, versions, write

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
jax.config.update("jax_enable_x64", True)

STEPS, DIM, ROWS, INPUTS, HIDDEN = 100, 4, 8, 3, 5


def quadratic():
    root = np.array(grid(1, DIM * DIM)).reshape(DIM, DIM) * 2
    a = root @ root.T + 0.125 * np.eye(DIM)
    return a, np.array(grid(2, DIM)) * 2, np.array(grid(3, DIM)) * 4


def network():
    return {
        "X": np.array(grid(4, ROWS * INPUTS)).reshape(ROWS, INPUTS) * 4,
        "y": np.array(grid(5, ROWS)).reshape(ROWS, 1) * 4,
        "W1": np.array(grid(6, INPUTS * HIDDEN)).reshape(INPUTS, HIDDEN) * 2,
        "b1": np.array(grid(7, HIDDEN)),
        "W2": np.array(grid(8, HIDDEN)).reshape(HIDDEN, 1) * 2,
        "b2": np.array(grid(9, 1)),
    }


O = torch.optim
OPTIMIZERS = {
    "sgd": (O.SGD, {"lr": 0.05}),
    "momentum": (O.SGD, {"lr": 0.01, "momentum": 0.9}),
    "nesterov": (O.SGD, {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
    "dampening": (O.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.5}),
    "momentum-l2": (O.SGD, {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}),
    "adam": (O.Adam, {"lr": 0.02, "betas": (0.9, 0.999), "eps": 1e-8}),
    "adam-l2": (O.Adam, {"lr": 0.02, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}),
    "adam-amsgrad": (O.Adam, {"lr": 0.02, "betas": (0.9, 0.99), "eps": 1e-8, "amsgrad": True}),
    "adamw": (O.AdamW, {"lr": 0.02, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}),
    "adamax": (O.Adamax, {"lr": 0.02, "betas": (0.9, 0.999), "eps": 1e-8}),
    # at twice the rate the second coordinate overshoots, and rounding errors double from step to step
    "nadam": (O.NAdam, {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "momentum_decay": 4e-3}),
    "radam": (O.RAdam, {"lr": 0.02, "betas": (0.9, 0.999), "eps": 1e-8}),
    "adagrad": (O.Adagrad, {"lr": 0.1, "eps": 1e-10}),
    "adadelta": (O.Adadelta, {"lr": 1.0, "rho": 0.9, "eps": 1e-6}),
    "rmsprop": (O.RMSprop, {"lr": 0.01, "alpha": 0.99, "eps": 1e-8}),
    "rmsprop-centered": (O.RMSprop, {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": True}),
}


def quadratic_path(make):
    a, b, x0 = (torch.tensor(v) for v in quadratic())
    x = x0.clone().requires_grad_()
    optimizer = make([x])
    path = []
    for _ in range(STEPS):
        x.grad = a @ x.detach() - b
        optimizer.step()
        path.append(x.detach().tolist())
    return path


def network_path(make):
    data = {name: torch.tensor(v) for name, v in network().items()}
    p = {name: data[name].clone().requires_grad_() for name in ("W1", "b1", "W2", "b2")}
    optimizer = make(list(p.values()))

    def loss():
        return ((torch.tanh(data["X"] @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"] - data["y"]) ** 2).mean()

    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        losses.append(value.item())
        optimizer.step()
    losses.append(loss().item())
    return losses, {name: t.detach().flatten().tolist() for name, t in p.items()}


def check_written_out(paths):
    """SGD as its definition says: g += l2 x; v = m v + (1 - dampening) g, v = g at first; step v, or g + m v (Nesterov)."""
    a, b, x0 = quadratic()
    for name, (kind, options) in OPTIMIZERS.items():
        if kind is not O.SGD:
            continue
        x, v, m = x0.copy(), None, options.get("momentum", 0.0)
        for expected in paths[name]:
            g = a @ x - b + options.get("weight_decay", 0.0) * x
            v = g if v is None else m * v + (1 - options.get("dampening", 0.0)) * g
            x = x - options["lr"] * (g + m * v if options.get("nesterov") else v)
            np.testing.assert_allclose(x, expected, rtol=0, atol=1e-13)


def check_optax(paths):
    a, b, x0 = quadratic()
    for name, theirs in {
        "adam": optax.adam(0.02, 0.9, 0.999, eps=1e-8),
        "adamw": optax.adamw(0.02, 0.9, 0.95, eps=1e-8, weight_decay=0.1),
    }.items():
        x, state = x0.copy(), theirs.init(x0)
        for expected in paths[name]:
            updates, state = theirs.update(a @ x - b, state, x)
            x = np.asarray(x + updates)
            np.testing.assert_allclose(x, expected, rtol=0, atol=1e-12)


def main():
    a, b, x0 = quadratic()
    records, paths = {}, {}
    for name, (kind, options) in OPTIMIZERS.items():
        make = lambda params, kind=kind, options=options: kind(params, foreach=False, **options)  # noqa: E731
        paths[name] = quadratic_path(make)
        losses, final = network_path(make)
        assert losses[-1] < losses[0], (name, losses[0], losses[-1])
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
        records[name] = {
            "class": kind.__name__, "options": settings,
            "quadratic": {"path": paths[name]}, "network": {"losses": losses, "final": final},
        }  # fmt: skip
    check_written_out(paths)
    check_optax(paths)
    names = list(paths)
    for i, one in enumerate(names):  # no two settings may be mistaken for one another
        for other in names[i + 1 :]:
            gap = np.abs(np.array(paths[one]) - np.array(paths[other])).max()
            assert gap > 1e-5, (one, other, gap)
    write(
        "optimizers.json",
        {
            "madeBy": "optimizers.py",
            "versions": versions("torch", "optax", "numpy"),
            "steps": STEPS,
            "problems": {
                "quadratic": {"A": a.tolist(), "b": b.tolist(), "start": x0.tolist()},
                "network": {name: v.tolist() for name, v in network().items()},
            },
            "optimizers": records,
        },
    )


if __name__ == "__main__":
    main()
