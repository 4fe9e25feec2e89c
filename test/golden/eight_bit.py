"""A 100-step path of Adam whose moments are kept in eight bits, written out in numpy from Dettmers et al. 2021 (f64).

Blocks of 256 numbers share their largest |x| as a scale; a number divided by it takes the nearest of the 256 values of the dynamic
tree. `map` builds that tree as the paper's figure 3 does, from bit patterns: a sign, zeros that name the decade, an indicator, and a
linear fraction in what is left. Nearest is found by trying all. A second moment above 0 takes no code of 0 (Li, Chen & Zhu 2023).
"""

import numpy as np
from common import grid, versions, write

COUNT, STEPS, BLOCK = 600, 100, 256
LR, B1, B2, EPS = 0.02, 0.9, 0.999, 1e-8


def tree(signed):
    bits = 7 if signed else 8
    values = set()
    for code in range(1, 2**bits):
        text = format(code, f"0{bits}b")
        zeros = text.index("1")
        fraction = text[zeros + 1 :]
        low, high = 0.1, 1.0
        width = (high - low) / 2 ** len(fraction)
        part = int(fraction, 2) if fraction else 0
        values.add(10.0**-zeros * (low + width * (part + 0.5)))
    if not signed:  # seven decades: the eighth pattern, all zeros but the last, is taken by 1
        values.discard(min(values))
    return np.array(sorted([*values, *([-v for v in values] if signed else []), 0.0, 1.0])).astype(np.float32).astype(np.float64)


def kept(x, code):
    out, worst = np.empty_like(x), np.inf
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        scale = np.abs(part).max()
        if scale == 0:
            out[start : start + BLOCK] = 0
            continue
        gaps = np.abs(part[:, None] / scale - code[None, :])
        nearest = gaps.argmin(1)
        if code[0] == 0:  # without a sign what is above 0 stays so: Li, Chen & Zhu 2023, section 4.1
            nearest = np.where(part > 0, np.maximum(nearest, 1), 0)
        out[start : start + BLOCK] = code[nearest] * scale
        two = np.sort(gaps, 1)[:, :2]
        worst = min(worst, (two[:, 1] - two[:, 0]).min())
    return out, worst


def main():
    maps = {"signed": tree(True), "unsigned": tree(False)}
    assert all(len(code) == 256 for code in maps.values())
    curvature = 10.0 ** (5 * np.array(grid(21, COUNT)))  # second moments of 10 decades and more, beyond the map
    target, x = np.array(grid(22, COUNT)) * 4, np.array(grid(23, COUNT)) * 4
    start = x.copy()
    m, v = np.zeros(COUNT), np.zeros(COUNT)
    path, exact, closest = [], x.copy(), np.inf
    full_m, full_v = np.zeros(COUNT), np.zeros(COUNT)
    for t in range(1, STEPS + 1):
        g = curvature * (x - target)
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * g * g
        x = x - LR * (m / (1 - B1**t)) / (np.sqrt(v / (1 - B2**t)) + EPS)
        (m, near_m), (v, near_v) = kept(m, maps["signed"]), kept(v, maps["unsigned"])
        closest = min(closest, near_m, near_v)
        g = curvature * (exact - target)
        full_m = B1 * full_m + (1 - B1) * g
        full_v = B2 * full_v + (1 - B2) * g * g
        exact = exact - LR * (full_m / (1 - B1**t)) / (np.sqrt(full_v / (1 - B2**t)) + EPS)
        if t % 10 == 0:
            path.append(x[::25].tolist())
    assert closest > 1e-9, closest  # no number so near to the middle of two codes that rounding decides
    assert np.abs(x - exact).max() > 1e-3  # the eight bits show
    loss = lambda y: float((curvature * (y - target) ** 2).sum() / 2)  # noqa: E731
    write(
        "eight-bit.json",
        {
            "madeBy": "eight_bit.py",
            "versions": versions("numpy"),
            "maps": {name: code.tolist() for name, code in maps.items()},
            "problem": {"curvature": curvature.tolist(), "target": target.tolist(), "start": start.tolist()},
            "options": {"lr": LR, "beta1": B1, "beta2": B2, "eps": EPS, "every": 25},
            "path": path,
            "losses": {"start": loss(start), "end": loss(x), "full": loss(exact)},
        },
    )


if __name__ == "__main__":
    main()
