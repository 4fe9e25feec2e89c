"""Known answers of Philox 4x32-10 (Salmon et al. 2011). The first three are the published ones of Random123's
kat_vectors; the rest come from XLA's implementation, and a third one in Python integers agrees with all of them."""

import jax
import numpy as np
from common import mix32, versions, write

jax.config.update("jax_enable_x64", True)
MASK = 0xFFFFFFFF

PUBLISHED = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [int(word, 16) for word in text.split()]


def philox(counter, key, rounds=10):
    c, k = list(counter), list(key)
    for _ in range(rounds):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k[0], second & MASK, (first >> 32) ^ c[3] ^ k[1], first & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def xla_philox(counter, key):
    state = np.array(
        [key[0] | key[1] << 32, counter[0] | counter[1] << 32, counter[2] | counter[3] << 32], dtype=np.uint64
    )
    _, out = jax.lax.rng_bit_generator(state, (4,), dtype=np.uint32, algorithm=jax.lax.RandomAlgorithm.RNG_PHILOX)
    return [int(word) for word in np.asarray(out)]


def main():
    vectors = []
    for counter, key, expected in PUBLISHED:
        assert philox(words(counter), words(key)) == words(expected)
        vectors.append({"source": "Random123", "counter": words(counter), "key": words(key), "out": words(expected)})
    for i in range(32):
        draw = [mix32(6 * i + j + 1) for j in range(6)]
        if i < 6:  # one word of all ones, the others zero: each input word is told from the others
            draw = [MASK if j == i else 0 for j in range(6)]
        counter, key = draw[:4], draw[4:]
        out = xla_philox(counter, key)
        assert out == philox(counter, key), (counter, key, out)
        vectors.append({"source": "XLA", "counter": counter, "key": key, "out": out})
    for vector in vectors:
        assert xla_philox(vector["counter"], vector["key"]) == vector["out"]
    write("philox.json", {"madeBy": "philox.py", "versions": versions("jax", "jaxlib", "numpy"), "vectors": vectors})


main()
