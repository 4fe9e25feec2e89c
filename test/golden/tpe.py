"""What Optuna's tree-structured Parzen estimator says (multivariate off): densities of its mixtures, and how good it gets.

    python test/golden/tpe.py

The densities are also computed with SciPy from the definition, and must agree. The searches minimize closed forms; what is stored
of them is the best value of each seed.
"""

import math

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_gamma, default_weights
from scipy.stats import kruskal, norm

from common import grid, versions, write

optuna.logging.set_verbosity(optuna.logging.ERROR)
PARAMETERS = _ParzenEstimatorParameters(1.0, True, False, default_weights, False)

DOMAINS = {
    "real": ({"low": -5.0, "high": 10.0, "log": False, "whole": False}, FloatDistribution(-5.0, 10.0)),
    "log": ({"low": 1e-5, "high": 1.0, "log": True, "whole": False}, FloatDistribution(1e-5, 1.0, log=True)),
    "whole": ({"low": 1, "high": 40, "log": False, "whole": True}, IntDistribution(1, 40)),
    "logWhole": ({"low": 8, "high": 512, "log": True, "whole": True}, IntDistribution(8, 512, log=True)),
    "choice": ({"values": ["a", "b", "c", "d"]}, CategoricalDistribution(["a", "b", "c", "d"])),
}


def external(distribution, share):
    """The value at a share of the domain."""
    if isinstance(distribution, CategoricalDistribution):
        return min(int(share * 4), 3)
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** share if distribution.log else low + (high - low) * share
    return round(value) if isinstance(distribution, IntDistribution) else float(f"{value:.6g}")


def by_definition(distribution, observations, value):
    """The mixture written out: truncated normal kernels on the (log) line, the prior's last."""
    n = len(observations)
    weights = np.append(default_weights(n), 1.0)
    weights /= weights.sum()
    if isinstance(distribution, CategoricalDistribution):
        total = 0.0
        for kernel in range(n + 1):
            row = np.full(4, 1 / (n + 1))
            if kernel < n:
                row[observations[kernel]] += 1
            total += weights[kernel] * (row / row.sum())[value]
        return math.log(total)
    half = 0.5 if isinstance(distribution, IntDistribution) else 0.0
    line = np.log if distribution.log else (lambda x: x)
    low, high = line(distribution.low - half), line(distribution.high + half)
    mus = line(np.array(observations, dtype=float))
    order = np.argsort(mus)
    edges = np.concatenate([[low], mus[order], [high]])
    gaps = np.maximum(edges[1:-1] - edges[:-2], edges[2:] - edges[1:-1])
    if n >= 2:
        gaps[0], gaps[-1] = edges[2] - edges[1], edges[-2] - edges[-3]
    sigmas = np.empty(n)
    sigmas[order] = np.clip(gaps, (high - low) / min(100, n + 2), high - low)
    mus, sigmas = np.append(mus, (low + high) / 2), np.append(sigmas, high - low)
    inside = norm.cdf((high - mus) / sigmas) - norm.cdf((low - mus) / sigmas)
    if half:
        ends = [norm.cdf((line(value + d) - mus) / sigmas) for d in (-half, half)]
        density = ends[1] - ends[0]
    else:
        density = norm.pdf((line(value) - mus) / sigmas) / sigmas
    return math.log(np.sum(weights * density / inside))


def densities():
    for index, (name, (stored, distribution)) in enumerate(DOMAINS.items()):
        for count in (0, 1, 2, 9, 24, 26, 40):
            shares = [g + 0.5 for g in grid(10 * index + count, count)]
            observations = []
            for share in shares:  # of numbers no one twice: the order of equal ones is not defined, and the older weigh less
                value = external(distribution, share)
                while value in observations and "values" not in stored:
                    value = value + 1 if value < distribution.high else distribution.low
                observations.append(value)
            values = [external(distribution, share) for share in (0.0, 0.13, 0.5, 0.77, 1.0)]
            estimator = _ParzenEstimator({"x": np.array(observations, dtype=float)}, {"x": distribution}, PARAMETERS)
            figures = estimator.log_pdf({"x": np.array(values, dtype=float)})
            for value, figure in zip(values, figures):
                expected = by_definition(distribution, observations, value)
                if abs(expected - figure) > 1e-9:
                    raise ValueError(f"{name}, {count} observations: Optuna {figure}, the definition {expected}")
            yield {"name": name, **stored, "observations": observations, "at": values, "logDensities": [float(x) for x in figures]}


def branin(x, y):
    """Branin 1972; least value 0.397887."""
    return (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def mixed(rate, width, kind):
    """A learning rate, a width and a choice: least value 0 at 0.01, 128, "b"."""
    return (math.log10(rate) + 2) ** 2 + (math.log2(width / 128)) ** 2 / 4 + {"a": 1.0, "b": 0.0, "c": 2.0}[kind]


def sphere(values):
    """Least value 0 at 0.3 in each of five places."""
    return sum((value - 0.3) ** 2 for value in values)


OBJECTIVES = {
    "branin": lambda t: branin(t.suggest_float("x", -5.0, 10.0), t.suggest_float("y", 0.0, 15.0)),
    "mixed": lambda t: mixed(
        t.suggest_float("rate", 1e-5, 1.0, log=True),
        t.suggest_int("width", 8, 1024, log=True),
        t.suggest_categorical("kind", ["a", "b", "c"]),
    ),
    "sphere": lambda t: sphere([t.suggest_float(f"x{i}", -2.0, 2.0) for i in range(5)]),
}


def searches():
    for name, objective in OBJECTIVES.items():
        for trials in (60,):
            best = []
            for seed in range(20):
                study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=False))
                study.optimize(objective, n_trials=trials)
                best.append(study.best_value)
            yield {"name": name, "trials": trials, "best": best}


def ranks():
    for index, sizes in enumerate([(5, 5), (4, 7, 3), (12, 9, 10, 8)]):
        groups, at = [], 0
        for level, size in enumerate(sizes):
            groups.append([round(g + 0.2 * level * index, 2) for g in grid(100 + index * 10 + level, size)])
            at += size
        yield {"groups": groups, "h": float(kruskal(*groups).statistic)}


if default_gamma(95) != 10 or default_gamma(1000) != 25:
    raise ValueError("the number of good trials is not a tenth, up to 25")
write(
    "tpe.json",
    {
        "script": "test/golden/tpe.py",
        "versions": versions("optuna", "scipy", "numpy"),
        "densities": list(densities()),
        "searches": list(searches()),
        "ranks": list(ranks()),
    },
)
