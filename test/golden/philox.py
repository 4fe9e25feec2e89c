"""Known answers of Philox 4x32-10 (Salmon et al. 2011). The first three are the published ones of Random123's
kat_vectors; the rest come from the header that PyTorch ships, compiled here with g++, and a third implementation in
Python integers agrees with all of them."""

import subprocess
import tempfile
from pathlib import Path

import torch
from common import mix32, versions, write

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


PROGRAM = """
#include <ATen/core/PhiloxRNGEngine.h>
#include <cstdio>
int main() {
  unsigned c[4], k[2];
  while (std::scanf("%u %u %u %u %u %u", c, c + 1, c + 2, c + 3, k, k + 1) == 6) {
    at::philox_engine engine(k[0] | uint64_t(k[1]) << 32, c[2] | uint64_t(c[3]) << 32, 0);
    engine.set_offset(c[0] | uint64_t(c[1]) << 32);
    unsigned out[4];
    for (unsigned& word : out) word = engine();
    std::printf("%u %u %u %u\\n", out[0], out[1], out[2], out[3]);
  }
}
"""


def torch_philox(inputs):
    """PyTorch's words for rows of (c0, c1, c2, c3, k0, k1)."""
    include = Path(torch.__file__).parent / "include"
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "philox.cc", Path(folder) / "philox"
        source.write_text(PROGRAM)
        subprocess.run(["g++", "-std=c++20", "-I", include, source, "-o", program], check=True)
        text = "\n".join(" ".join(map(str, row)) for row in inputs)
        lines = subprocess.run([program], input=text, text=True, capture_output=True, check=True).stdout.splitlines()
    return [[int(word) for word in line.split()] for line in lines]


def main():
    published = [(words(counter) + words(key), words(out)) for counter, key, out in PUBLISHED]
    # one word of all ones, the others zero, tells each input word from the others
    probes = [[MASK if j == i else 0 for j in range(6)] for i in range(6)]
    probes += [[mix32(6 * i + j + 1) for j in range(6)] for i in range(26)]
    inputs = [row for row, _ in published] + probes
    outputs = torch_philox(inputs)
    assert outputs[: len(published)] == [out for _, out in published]
    vectors = []
    for i, (row, out) in enumerate(zip(inputs, outputs, strict=True)):
        assert philox(row[:4], row[4:]) == out
        source = "Random123" if i < len(published) else "PyTorch"
        vectors.append({"source": source, "counter": row[:4], "key": row[4:], "out": out})
    write("philox.json", {"madeBy": "philox.py", "versions": versions("torch"), "vectors": vectors})


main()
