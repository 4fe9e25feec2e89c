"""Learning from pairs with the smallest language model, a table of next-token scores, in f64 by PyTorch: for every method the mean loss
of a batch, its gradient, and how often and by how much the chosen completion leads.

A row is a prompt and a completion of different lengths; only the completion's tokens count.
"""

import torch
import torch.nn.functional as F
from common import grid, versions, write

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

V = 7
table = (torch.tensor(grid(7100, V * V)).reshape(V, V) * 3).requires_grad_()
reference = table.detach() + torch.tensor(grid(7101, V * V)).reshape(V, V) * 0.5
pairs = [
    ([1, 2, 3], [4, 5], [5, 4, 6]),
    ([0, 6], [1, 1, 2, 3], [3]),
    ([5], [2, 0], [0, 2]),
    ([4, 4, 4, 1], [6], [6, 6, 6]),
]


def log_prob(scores, prompt, completion, mean):
    ids = prompt + completion
    total = sum(F.log_softmax(scores[ids[at - 1]], -1)[ids[at]] for at in range(len(prompt), len(ids)))
    return total / len(completion) if mean else total


def sides(mean):
    rows = [(p, c, r, pairs[(at + 1) % len(pairs)][1]) for at, (p, c, r) in enumerate(pairs)]
    width = max(len(p) + max(len(c), len(r)) for p, c, r in pairs)
    of = lambda scores, k: torch.stack([log_prob(scores, row[0], row[k][: width - len(row[0])], mean) for row in rows])  # noqa: E731
    return [of(table, k) for k in (1, 2, 3)], [of(reference, k).detach() for k in (1, 2, 3)]


def dpo(h):
    return -0.9 * F.logsigmoid(h) - 0.1 * F.logsigmoid(-h)


def odds(x):
    return x.exp() / (1 - x.exp())


def kto(p, q):
    z = (p[2] - q[2]).mean().clamp(min=0).detach()
    good, bad = 1 - torch.sigmoid(0.3 * (p[0] - q[0] - z)), 1 - torch.sigmoid(0.3 * (z - (p[1] - q[1])))
    return (1.5 * good + 0.5 * bad) / 2


gap = lambda p, q: (p[0] - q[0]) - (p[1] - q[1])  # noqa: E731
methods = {
    "dpo": ({"beta": 0.3, "labelSmoothing": 0.1}, False, True, lambda p, q: dpo(0.3 * gap(p, q))),
    "ipo": ({"beta": 0.3}, True, True, lambda p, q: (gap(p, q) - 1 / 0.6) ** 2),
    "kto": ({"beta": 0.3, "desirableWeight": 1.5, "undesirableWeight": 0.5}, False, True, kto),
    "orpo": ({"beta": 0.3}, True, False, lambda p, q: -p[0] - 0.3 * F.logsigmoid(torch.log(odds(p[0]) / odds(p[1])))),
    "simpo": ({"beta": 2.0, "gamma": 0.5}, True, False, lambda p, q: -F.logsigmoid(2 * (p[0] - p[1]) - 0.5)),
    "cpo": ({"beta": 0.3, "labelSmoothing": 0.1, "alpha": 0.5}, False, False, lambda p, q: dpo(0.3 * (p[0] - p[1])) - 0.5 * p[0]),
}
cases = {}
for name, (settings, mean, compared, loss) in methods.items():
    policy, known = sides(mean)
    value = loss(policy, known).mean()
    (gradient,) = torch.autograd.grad(value, table)
    margin = settings["beta"] * (gap(policy, known) if compared else policy[0] - policy[1])
    cases[name] = {
        "settings": settings,
        "loss": value.item(),
        "gradient": gradient.flatten().tolist(),
        "correct": (margin > 0).sum().item(),
        "margin": margin.sum().item(),
    }

# GRPO: completions of one group with their rewards, at a temperature, sampled by an older table and held by the reference
old = table.detach() + torch.tensor(grid(7102, V * V)).reshape(V, V) * 0.6
group = [([1, 2], c, r) for c, r in (([3, 6], 1.0), ([4, 4, 0, 6], 0.0), ([5], 0.25), ([3, 3, 6], 1.0))]
rewards = torch.tensor([r for _, _, r in group])
T, clip, beta = 0.7, 0.1, 0.3
of = lambda scores, p, c: torch.stack([F.log_softmax(scores[b] / T, -1)[t] for b, t in zip(([*p, *c])[len(p) - 1 :], c, strict=False)])  # noqa: E731
grpo = {}
for scale in ("std", "none"):
    advantages = rewards - rewards.mean()
    if scale == "std":
        advantages = advantages / (rewards.std(correction=0) + 1e-4)
    losses, kls = [], []
    for (p, c, _), a in zip(group, advantages, strict=True):
        new, before, ref = of(table, p, c), of(old, p, c).detach(), of(reference, p, c).detach()
        ratio = torch.exp(new - before)
        kl = torch.exp(ref - new) - (ref - new) - 1
        losses.append((-torch.min(ratio * a, ratio.clamp(1 - clip, 1 + clip) * a) + beta * kl).mean())
        kls.append(kl.mean())
    (gradient,) = torch.autograd.grad(torch.stack(losses).mean(), table)
    grpo[scale] = {"advantages": advantages.tolist(), "gradient": gradient.flatten().tolist(), "kl": torch.stack(kls).sum().item()}

write("preferences.json", {
    "madeBy": "preferences.py", "versions": versions("torch"), "vocab": V,
    "table": table.detach().flatten().tolist(), "reference": reference.flatten().tolist(),
    "pairs": [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in pairs], "cases": cases,
    "old": old.flatten().tolist(), "temperature": T, "clip": clip, "beta": beta, "grpo": grpo,
    "group": [{"prompt": p, "completion": c, "reward": r} for p, c, r in group],
})  # fmt: skip
