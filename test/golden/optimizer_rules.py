"""100-step paths of further optimizers in f64, on the problems of optimizers.py: by PyTorch, optax, or a loop written out here.

`by` says which. `config` is how a recipe of ours writes the optimizer. `evaluated` are the weights to evaluate with after the last
step, where they are not the parameters. PyTorch's Muon iterates in bf16; here its cast is taken out, so that the figures are f64.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimizers as problems
import torch
from common import versions, write

A, B, X0 = problems.quadratic()
DATA = problems.network()
NAMES = ("W1", "b1", "W2", "b2")


def network_loss(p):
    hidden = jnp.tanh(DATA["X"] @ p["W1"] + p["b1"])
    return jnp.mean((hidden @ p["W2"] + p["b2"] - DATA["y"]) ** 2)


TASKS = {
    "quadratic": ({"x": X0}, lambda p: {"x": A @ p["x"] - B}, None),
    "network": ({name: DATA[name] for name in NAMES}, jax.jit(jax.grad(network_loss)), jax.jit(network_loss)),
}


def flat(tree):
    return {name: np.asarray(value).flatten().tolist() for name, value in tree.items()}


def walk(update, task):
    """`update(t, params, gradients)` gives the next params and, if it keeps others to evaluate with, those."""
    params, gradient, loss = TASKS[task]
    params = {name: jnp.asarray(value) for name, value in params.items()}
    path, losses, evaluated = [], [], None
    for t in range(problems.STEPS):
        if loss:
            losses.append(float(loss(params)))
        params, evaluated = update(t, params, gradient(params))
        path.append(np.asarray(params.get("x", 0)).tolist())
    record = {"path": path} if loss is None else {"losses": losses, "final": flat(params)}
    return record if evaluated is None else {**record, "evaluated": flat(evaluated)}


def by_optax(make, evaluated=None):
    def updates():
        optimizer, state = make(), None
        step = jax.jit(optimizer.update)

        def update(_, params, grads):
            nonlocal state
            state = optimizer.init(params) if state is None else state
            steps, state = step(grads, state, params)
            params = optax.apply_updates(params, steps)
            return params, None if evaluated is None else evaluated(state, params)

        return update

    return updates


def by_torch(make):
    def updates():
        held = {}

        def update(_, params, grads):
            if not held:
                held["p"] = {name: torch.tensor(np.asarray(v).copy()).requires_grad_() for name, v in params.items()}
                held["o"] = make(held["p"])
            for name, p in held["p"].items():
                p.grad = torch.tensor(np.asarray(grads[name]).copy())
            for optimizer in held["o"]:
                optimizer.step()
            return {name: jnp.asarray(p.detach().numpy().copy()) for name, p in held["p"].items()}, None

        return update

    return updates


def lookahead():
    """Zhang et al. 2019, algorithm 1, around Nesterov SGD: k = 5, alpha = 0.5."""
    fast = optax.sgd(0.01, 0.9, nesterov=True)
    state, slow = None, None

    def update(t, params, grads):
        nonlocal state, slow
        if state is None:
            state, slow = fast.init(params), params
        steps, state = fast.update(grads, state, params)
        params = optax.apply_updates(params, steps)
        if (t + 1) % 5 == 0:
            slow = params = jax.tree.map(lambda s, p: s + 0.5 * (p - s), slow, params)
        return params, slow

    return update


def averaged(weight):
    """An average of the weights of Adam: average += weight(updates made) * (params - average)."""

    def updates():
        inner = optax.adam(0.02)
        state, average = None, None

        def update(t, params, grads):
            nonlocal state, average
            if state is None:
                state, average = inner.init(params), params
            steps, state = inner.update(grads, state, params)
            params = optax.apply_updates(params, steps)
            average = jax.tree.map(lambda a, p: a + weight(t + 1) * (p - a), average, params)
            return params, average

        return update

    return updates


def swa_weight(made, start=40, every=3):
    """Izmailov et al. 2018, algorithm 1: (n * average + params) / (n + 1), n models averaged so far."""
    if made <= start:
        return 1.0
    return 0.0 if (made - start) % every else 1 / ((made - start) // every + 1)


def two_rates(p):
    """Two rates by parameter groups: W1 at a tenth."""
    groups = [{"params": [v], "lr": 0.002 if n == "W1" else 0.02} for n, v in p.items()]
    return [torch.optim.Adam(groups, foreach=False)]


def muon(p):
    torch.Tensor.bfloat16 = lambda self: self.clone()
    matrices = [v for v in p.values() if v.ndim == 2]
    others = [v for v in p.values() if v.ndim < 2]
    first = [torch.optim.Muon(matrices, lr=0.02, momentum=0.9, adjust_lr_fn="match_rms_adamw")] if matrices else []
    return [*first, torch.optim.AdamW(others, lr=0.02, weight_decay=0.0, foreach=False)]


def ademamix(warmup):
    """Pagliardini et al. 2024, section 3: schedules of alpha and beta3, counted from 1."""

    def slow_decay(count, b1=0.9, b3=0.99):
        share = jnp.minimum((count.astype(float) + 1) / warmup, 1.0)
        value = jnp.exp(np.log(b1) * np.log(b3) / ((1 - share) * np.log(b3) + share * np.log(b1)))
        return jnp.minimum(value, b3)

    def alpha(count):
        return jnp.minimum(3.0 * (count.astype(float) + 1) / warmup, 3.0)

    return by_optax(lambda: optax.contrib.ademamix(0.02, 0.9, 0.999, slow_decay, alpha, eps=1e-8))


def centralize(grads, _):
    return jax.tree.map(lambda v: v if v.ndim < 2 else v - v.mean(0, keepdims=True), grads)


def one(make):
    return by_torch(lambda p: [make(list(p.values()))])


free = optax.contrib.schedule_free_eval_params
everywhere = {"decay": "all"}
RULES = {
    "lion": ("optax", 0.01, {"lion": {"weightDecay": 0.1, **everywhere}},
             by_optax(lambda: optax.lion(0.01, 0.9, 0.99, weight_decay=0.1))),
    "lamb": ("optax", 0.02, {"lamb": {"weightDecay": 0.1, **everywhere}},
             by_optax(lambda: optax.lamb(0.02, 0.9, 0.999, eps=1e-6, weight_decay=0.1))),
    "lars": ("optax", 0.5, {"lars": {"coefficient": 0.01, "l2": 1e-3}},
             by_optax(lambda: optax.lars(0.5, 1e-3, trust_coefficient=0.01, momentum=0.9))),
    "adafactor": ("torch", 0.05, {"adafactor": {"eps": [1e-12, 1e-3], "weightDecay": 0.1, **everywhere}},
                  one(lambda p: torch.optim.Adafactor(p, lr=0.05, eps=(1e-12, 1e-3), weight_decay=0.1, foreach=False))),
    "adan": ("optax", 0.02, {"adan": {"weightDecay": 0.02, **everywhere}},
             by_optax(lambda: optax.adan(0.02, 0.98, 0.92, 0.99, eps=1e-8, eps_root=0.0, weight_decay=0.02))),
    "ademamix": ("optax", 0.02, {"ademamix": {"betas": [0.9, 0.999, 0.99], "alpha": 3, "warmup": 30}}, ademamix(30)),
    "schedule-free-sgd": ("optax", 0.05, {"scheduleFreeSgd": {}},
                          by_optax(lambda: optax.contrib.schedule_free_sgd(0.05, b1=0.9), free)),
    "schedule-free-adamw": ("optax", 0.05, {"scheduleFreeAdamw": {"weightDecay": 0.01, **everywhere}},
                            by_optax(lambda: optax.contrib.schedule_free_adamw(0.05, b1=0.9, weight_decay=0.01), free)),
    "prodigy": ("optax", 1.0, {"prodigy": {"weightDecay": 0.01, **everywhere}},
                by_optax(lambda: optax.contrib.prodigy(1.0, weight_decay=0.01))),
    "muon": ("torch", 0.02, {"muon": {"momentum": 0.9}}, by_torch(muon)),
    "adamw-amsgrad": ("torch", 0.02, {"adamw": {"amsgrad": True, "weightDecay": 0.1, **everywhere}},
                      one(lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1, amsgrad=True, foreach=False))),
    "lookahead": ("written out", 0.01, {"sgd": {"momentum": 0.9, "nesterov": True, "lookahead": {}}}, lookahead),
    "ema": ("written out", 0.02, {"adam": {"average": {"ema": {"decay": 0.9}}}},
            averaged(lambda made: 1 - min(0.9, made / (9 + made)))),
    "swa": ("written out", 0.02, {"adam": {"average": {"swa": {"start": 40, "every": 3}}}}, averaged(swa_weight)),
    "clip-adaptive": ("optax", 0.05, {"sgd": {"clip": {"adaptive": 0.05}}},
                      by_optax(lambda: optax.chain(optax.adaptive_grad_clip(0.05), optax.sgd(0.05)))),
    "clip-value": ("optax", 0.05, {"sgd": {"clip": {"value": 0.05}}},
                   by_optax(lambda: optax.chain(optax.clip(0.05), optax.sgd(0.05)))),
    "centralize": ("optax", 0.05, {"adam": {"centralize": True}},
                   by_optax(lambda: optax.chain(optax.stateless(centralize), optax.adam(0.05)))),
    "rates": ("torch", 0.02, {"adam": {"rates": [{"select": ["W1"], "by": 0.1}]}}, by_torch(two_rates)),
}  # fmt: skip


def main():
    records = {}
    for name, (by, lr, config, make) in RULES.items():
        tasks = ["network"] if name == "rates" else list(TASKS)
        records[name] = {"by": by, "lr": lr, "config": config, **{task: walk(make(), task) for task in tasks}}
        losses = records[name]["network"]["losses"]
        assert losses[-1] < losses[0], (name, losses[0], losses[-1])
    content = {"madeBy": "optimizer_rules.py", "versions": versions("torch", "optax", "numpy"), "optimizers": records}
    write("optimizer-rules.json", content)


main()
