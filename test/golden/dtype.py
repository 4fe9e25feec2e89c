"""Half-precision conversions by numpy (f16) and PyTorch (bf16), over all 65,536 halves and over f32 words at and around
every rounding boundary. Stored as SHA-256 of the results and a few spot values, since the full lists would be large.

Results that are NaN are replaced by the quiet NaN 0x7e00 / 0x7fc0 before hashing: the payload is not part of the contract.
"""

import hashlib

import numpy as np
import torch
from common import versions, write

ALL = np.arange(65536, dtype=np.uint32)


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def values_hash(values):
    """SHA-256 of the f64 values, little-endian, every NaN as 0x7ff8000000000000."""
    bits = values.astype(np.float64).view(np.uint64).copy()
    bits[np.isnan(values)] = 0x7FF8000000000000
    return sha(bits)


def boundary_words():
    """f32 words: each upper half with six lower halves, then each f16 value, its upper midpoint and that ± 1 ulp."""
    lows = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=np.uint32)
    words = [(ALL[:, None] << 16 | lows[None, :]).reshape(-1)]
    halves = ALL.astype(np.uint16).view(np.float16).astype(np.float32)
    exact = halves[np.isfinite(halves)]
    following = (ALL + 1).astype(np.uint16).view(np.float16).astype(np.float32)[np.isfinite(halves)]
    # past the largest half the next step up would be 65536
    following = np.where(np.isinf(following), np.copysign(np.float32(65536), exact), following)
    middle = np.where(np.isnan(following), exact, (exact + following) / 2).astype(np.float32).view(np.uint32)
    words.append(np.stack([exact.view(np.uint32), middle, middle - 1, middle + 1], axis=1).reshape(-1))
    return np.concatenate(words)


def main():
    f16 = ALL.astype(np.uint16).view(np.float16).astype(np.float64)
    bf16_tensor = torch.from_numpy(ALL.astype(np.uint16).view(np.int16)).view(torch.bfloat16)
    bf16 = bf16_tensor.to(torch.float64).numpy()
    assert np.array_equal(f16, torch.from_numpy(ALL.astype(np.uint16).view(np.int16)).view(torch.float16).double().numpy(), equal_nan=True)

    words = boundary_words()
    floats = words.view(np.float32)
    with np.errstate(over="ignore"):
        to_f16 = floats.astype(np.float16).view(np.uint16).copy()
    to_f16[np.isnan(floats)] = 0x7E00
    to_bf16 = torch.from_numpy(floats).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16).copy()
    to_bf16[np.isnan(floats)] = 0x7FC0
    torch_f16 = torch.from_numpy(floats).to(torch.float16).view(torch.int16).numpy().view(np.uint16).copy()
    torch_f16[np.isnan(floats)] = 0x7E00
    assert np.array_equal(to_f16, torch_f16)

    spots = [0, 1, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0x8001, 0xFBFF]
    write(
        "dtype.json",
        {
            "madeBy": "dtype.py",
            "versions": versions("numpy", "torch"),
            "wordsCount": len(words),
            "wordsHash": sha(words),
            "f16": {"valuesHash": values_hash(f16), "fromWordsHash": sha(to_f16), "spots": [[s, float(f16[s])] for s in spots]},
            "bf16": {"valuesHash": values_hash(bf16), "fromWordsHash": sha(to_bf16), "spots": [[s, float(bf16[s])] for s in spots]},
        },
    )


main()
