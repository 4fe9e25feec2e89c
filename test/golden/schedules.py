"""Learning rates at every step, by PyTorch, optax, or the published formula written out in numpy; `by` says which.

`config` is how a recipe of ours writes the schedule, `steps` the length of its run, `rates` its value before each step.
Traps: PyTorch's OneCycleLR counts to its last step, so that its total is ours + 1; its ReduceLROnPlateau counts the evaluations
that it bears, one fewer than ours.
"""

import jax
import numpy as np
import optax
import torch
from common import versions, write

jax.config.update("jax_enable_x64", True)

L = torch.optim.lr_scheduler
STEPS = 120


def by_torch(make, lr, steps=STEPS):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


def by_optax(schedule, steps=STEPS):
    return [float(schedule(step)) for step in range(steps)]


def by_numpy(formula, steps=STEPS):
    return [float(formula(step)) for step in range(steps)]


def warmed(length, peak, then):
    """optax: a line from 0 up to `peak`, then `then`, counted from its own beginning."""
    return optax.join_schedules([optax.linear_schedule(0.0, peak, length), then], [length])


def one_cycle(anneal):
    make = lambda o: L.OneCycleLR(  # noqa: E731
        o, max_lr=0.5, total_steps=STEPS, pct_start=0.25, anneal_strategy=anneal, cycle_momentum=False
    )
    return by_torch(make, 0.5)


def one_cycle_config(shape):
    return {"oneCycle": {"peak": 0.5, "total": STEPS - 1, "rise": (0.25 * STEPS - 1) / (STEPS - 1), "shape": shape}}


def cyclic(mode, gamma=1.0, down=20):
    make = lambda o: L.CyclicLR(  # noqa: E731
        o, base_lr=0.1, max_lr=0.9, step_size_up=10, step_size_down=down, mode=mode, gamma=gamma, cycle_momentum=False
    )
    return by_torch(make, 0.1)


def sgdr(peaks, period, growth, floor):
    cycles = [
        {"init_value": peak, "peak_value": peak, "decay_steps": period * growth**i, "warmup_steps": 0, "end_value": floor}
        for i, peak in enumerate(peaks)
    ]
    return by_optax(optax.sgdr_schedule(cycles))


def subtracted():
    """One subtraction after the other, as a loop does it."""
    rates, rate = [], 0.1
    for step in range(STEPS):
        if step > 0 and step % 20 == 0:
            rate = max(0.005, rate - 0.03)
        rates.append(rate)
    return rates


def inverse_sqrt(step):
    """Vaswani et al. 2017, section 5.3, scaled to a peak: peak * min(t / w, sqrt(w / t))."""
    return 0.4 * (step / 16 if step < 16 else np.sqrt(16 / step))


def keras_inverse_time(step, staircase):
    """keras.optimizers.schedules.InverseTimeDecay(0.6, decay_steps=15, decay_rate=0.5)."""
    times = np.floor(step / 15) if staircase else step / 15
    return 0.6 / (1 + 0.5 * times)


def stable_sqrt(step):
    """Haegele et al. 2024, equation 1: constant, then peak * (1 - sqrt((n - (N - Nd)) / Nd))."""
    return 0.3 if step < 90 else 0.3 * (1 - np.sqrt((step - 90) / 30))


TABLE = ([0, 10, 35, 80], [0.2, 0.8, 0.3, 0.05])


def held(step):
    return TABLE[1][np.searchsorted(TABLE[0], step, side="right") - 1]


SCHEDULES = [
    ("optax", {"constant": {"value": 0.3, "warmup": 12}}, by_optax(optax.warmup_constant_schedule(0.0, 0.3, 12))),
    ("torch", {"cosine": {"peak": 0.7, "total": 119, "floor": 0.05}},
     by_torch(lambda o: L.CosineAnnealingLR(o, T_max=119, eta_min=0.05), 0.7)),
    ("optax", {"cosine": {"peak": 0.7, "warmup": 20, "floor": 0.01}},
     by_optax(optax.warmup_cosine_decay_schedule(0.0, 0.7, 20, STEPS, 0.01))),
    ("torch", {"linear": {"peak": 0.2, "total": 100, "floor": 0.02}},
     by_torch(lambda o: L.LinearLR(o, 1.0, 0.1, 100), 0.2)),
    ("optax", {"linear": {"peak": 0.2, "warmup": 10, "floor": 0.02}},
     by_optax(warmed(10, 0.2, optax.linear_schedule(0.2, 0.02, STEPS - 10)))),
    ("torch", {"polynomial": {"peak": 0.2, "power": 2, "total": 150}},
     by_torch(lambda o: L.PolynomialLR(o, 150, 2), 0.2)),
    ("optax", {"polynomial": {"peak": 0.2, "power": 0.7, "warmup": 8, "floor": 0.03}},
     by_optax(warmed(8, 0.2, optax.polynomial_schedule(0.2, 0.03, 0.7, STEPS - 8)))),
    ("torch", {"exponential": {"peak": 0.9, "factor": 0.95, "every": 1}},
     by_torch(lambda o: L.ExponentialLR(o, 0.95), 0.9)),
    ("optax", {"exponential": {"peak": 0.9, "factor": 0.5, "every": 30, "warmup": 7, "floor": 0.2}},
     by_optax(optax.warmup_exponential_decay_schedule(0.0, 0.9, 7, 30, 0.5, end_value=0.2))),
    ("optax", {"exponential": {"peak": 0.01, "factor": 3, "every": 25, "staircase": True}},
     by_optax(optax.exponential_decay(0.01, 25, 3.0, staircase=True))),
    ("torch", {"step": {"peak": 0.8, "factor": 0.3, "every": 35}}, by_torch(lambda o: L.StepLR(o, 35, 0.3), 0.8)),
    ("numpy", {"subtract": {"peak": 0.1, "amount": 0.03, "every": 20, "floor": 0.005}}, subtracted()),
    ("numpy", {"inverseTime": {"peak": 0.6, "rate": 0.5, "every": 15}}, by_numpy(lambda t: keras_inverse_time(t, False))),
    ("numpy", {"inverseTime": {"peak": 0.6, "rate": 0.5, "every": 15, "staircase": True}},
     by_numpy(lambda t: keras_inverse_time(t, True))),
    ("numpy", {"inverseSqrt": {"peak": 0.4, "warmup": 16}}, by_numpy(inverse_sqrt)),
    ("torch", {"cosineRestarts": {"peak": 0.5, "period": 10, "growth": 2, "floor": 0.05}},
     by_torch(lambda o: L.CosineAnnealingWarmRestarts(o, 10, 2, eta_min=0.05), 0.5)),
    ("optax", {"cosineRestarts": {"peak": 0.8, "period": 30, "peakFactor": 0.5, "floor": 0.05}},
     sgdr([0.8, 0.4, 0.2, 0.1], 30, 1, 0.05)),
    ("torch", one_cycle_config("cosine"), one_cycle("cos")),
    ("torch", one_cycle_config("linear"), one_cycle("linear")),
    ("torch", {"cyclic": {"floor": 0.1, "peak": 0.9, "rise": 10, "fall": 20}}, cyclic("triangular")),
    ("torch", {"cyclic": {"floor": 0.1, "peak": 0.9, "rise": 10, "mode": "triangular2"}}, cyclic("triangular2", down=10)),
    ("torch", {"cyclic": {"floor": 0.1, "peak": 0.9, "rise": 10, "fall": 20, "mode": "exponential", "factor": 0.98}},
     cyclic("exp_range", 0.98)),
    ("optax", {"stableDecay": {"peak": 0.3, "warmup": 10, "decay": 30, "floor": 0.03}},
     by_optax(optax.join_schedules(
         [optax.linear_schedule(0.0, 0.3, 10), optax.constant_schedule(0.3), optax.linear_schedule(0.3, 0.03, 30)],
         [10, 90]))),
    ("numpy", {"stableDecay": {"peak": 0.3, "decay": 30, "shape": "sqrt"}}, by_numpy(stable_sqrt)),
    ("torch", {"piecewise": {"values": [0.4, 0.04, 0.004], "boundaries": [30, 80]}},
     by_torch(lambda o: L.MultiStepLR(o, [30, 80], 0.1), 0.4)),
    ("optax", {"piecewise": {"values": [0.01, 0.1, 0.001], "boundaries": [50, 100]}},
     by_optax(optax.join_schedules([optax.constant_schedule(v) for v in (0.01, 0.1, 0.001)], [50, 100]))),
    ("numpy", {"table": {"positions": TABLE[0], "values": TABLE[1]}}, by_numpy(held)),
    ("numpy", {"table": {"positions": TABLE[0], "values": TABLE[1], "between": "line"}},
     by_numpy(lambda t: np.interp(t, *TABLE))),
    ("optax", {"join": {"parts": [0.2, {"cosine": {"peak": 0.6, "floor": 0.1}}, {"exponential": {"peak": 0.1, "factor": 0.9, "every": 5}}],
                        "boundaries": [30, 70]}},
     by_optax(optax.join_schedules(
         [optax.constant_schedule(0.2), optax.cosine_decay_schedule(0.6, 40, 0.1 / 0.6), optax.exponential_decay(0.1, 5, 0.9)],
         [30, 70]))),
    ("optax", {"scale": {"by": 0.25, "of": {"linear": {"peak": 0.8, "floor": 0.4}}}},
     by_numpy(lambda t: 0.25 * float(optax.linear_schedule(0.8, 0.4, STEPS)(t)))),
    ("numpy", {"clamp": {"min": 0.1, "max": 0.5, "of": {"exponential": {"peak": 0.9, "factor": 0.5, "every": 20}}}},
     by_numpy(lambda t: np.clip(0.9 * 0.5 ** (t / 20), 0.1, 0.5))),
]  # fmt: skip


def plateau(losses, patience, cooldown):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.8)
    scheduler = L.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience - 1, threshold=1e-2, cooldown=cooldown, min_lr=0.15
    )
    rates = []
    for loss in losses:
        rates.append(float(optimizer.param_groups[0]["lr"]))
        scheduler.step(loss)
    return [*rates, float(optimizer.param_groups[0]["lr"])]


def plateaus():
    rng = np.random.default_rng(5)
    losses = (1.0 / (1 + 0.2 * np.arange(60)) + 0.05 * rng.random(60)).round(6).tolist()
    return [
        {
            "by": "torch",
            "config": {"plateau": {"peak": 0.8, "patience": patience, "threshold": 1e-2, "cooldown": cooldown, "floor": 0.15}},
            "losses": losses,
            "rates": plateau(losses, patience, cooldown),
        }
        for patience, cooldown in [(3, 0), (2, 4), (1, 1)]
    ]


def main():
    records = [{"by": by, "steps": STEPS, "config": config, "rates": rates} for by, config, rates in SCHEDULES]
    for record in records:
        assert len(record["rates"]) == STEPS and len(set(record["rates"])) > 1, record["config"]
    for record in plateaus():
        assert len(set(record["rates"])) == 4, record["config"]
    write(
        "schedules.json",
        {"madeBy": "schedules.py", "versions": versions("torch", "optax", "numpy"), "schedules": records, "plateaus": plateaus()},
    )


main()
