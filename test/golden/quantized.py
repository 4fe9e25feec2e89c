"""A matrix in int8 and in NF4 with double quantization, written out in numpy from Dettmers et al. 2023 (sections 2 and 3, appendix E).

The 16 numbers of NF4 are quantiles of the normal distribution by SciPy, as bitsandbytes' `create_normal_map` takes them: 8 above zero and
7 below, evenly spaced in probability up to 0.9677083, over the largest. The order is PyTorch's: rows of [outputs, inputs], one after the
other, in blocks of 64; the first number of a pair in the upper four bits. Scales less their mean are codes of the signed dynamic tree
(eight_bit.py) in blocks of 256. The nearest code is found by trying all, in f64.
"""

import base64

import numpy as np
from common import grid, versions, write
from eight_bit import tree
from scipy.stats import norm

INPUTS, OUTPUTS, OFFSET = 128, 150, 0.9677083
STREAM = 63


def nf4():
    above = norm.ppf(np.linspace(OFFSET, 0.5, 9)[:-1])
    below = -norm.ppf(np.linspace(OFFSET, 0.5, 8)[:-1])
    values = np.sort(np.concatenate([above, below, [0.0]]))
    return values / values.max()


def nearest(x, code):
    gaps = np.abs(x[..., None] - code)
    two = np.sort(gaps, -1)[..., :2]
    return gaps.argmin(-1), (two[..., 1] - two[..., 0]).min()


def text(codes):
    return base64.b64encode(codes.astype(np.uint8).tobytes()).decode()


def main():
    size = INPUTS * OUTPUTS
    values = np.array(grid(61, size)) * np.array(grid(STREAM, size))  # [inputs, outputs]
    rows = values.astype(np.float32).astype(np.float64).reshape(INPUTS, OUTPUTS).T  # [outputs, inputs]

    scales8 = np.abs(rows).max(1) / 127
    codes8 = np.rint(rows / scales8[:, None])
    assert np.abs(np.abs(rows / scales8[:, None] % 1) - 0.5).min() > 1e-5

    blocks = rows.reshape(-1, 64)
    scales = np.abs(blocks).max(1)
    codes, gap = nearest(blocks / scales[:, None], nf4())
    assert gap > 1e-6, gap  # no number so near to the middle of two codes that rounding decides
    flat = codes.reshape(-1)
    mean = scales.mean()
    rest = np.zeros(512)
    rest[: len(scales)] = scales - mean
    rest = rest.reshape(2, 256)
    outer = np.abs(rest).max(1)
    code = tree(True)
    shares = (rest / outer[:, None]).reshape(-1)[: len(scales)]
    scale_codes, gap = nearest(shares, code)
    assert gap > 1e-7, gap
    again = code[scale_codes] * outer.repeat(256)[: len(scales)] + mean
    whole = (nf4()[codes] * again[:, None]).reshape(OUTPUTS, INPUTS)
    write(
        "quantized.json",
        {
            "madeBy": "quantized.py",
            "versions": versions("numpy", "scipy"),
            "stream": STREAM,
            "inputs": INPUTS,
            "outputs": OUTPUTS,
            "values": nf4().tolist(),
            "int8": {"codes": text(codes8.reshape(-1) + 128), "scales": scales8.tolist(), "sums": (codes8 * scales8[:, None]).sum(1).tolist()},
            "nf4": {
                "codes": text(flat[0::2] * 16 + flat[1::2]),
                "scaleCodes": text(scale_codes),
                "scales": outer.tolist(),
                "mean": float(mean),
                "sums": whole.sum(1).tolist(),
                "squares": float(((whole - rows) ** 2).sum()),
            },
        },
    )


if __name__ == "__main__":
    main()
