// Philox 4x32 with 10 rounds (Salmon et al. 2011) on vectors: the words of src/base/rng.ts. Not a kernel.
//
// Counter words are (element / 4, row, step, stream), key words the two halves of the seed: a draw depends on nothing else.
#pragma once

#include "simd.h"

namespace athanor::ATHANOR_ISA {

/** What all draws of one row share. */
struct DrawKey {
  int32_t seedLow, seedHigh, step, stream, row;
};

/** Block i of four words for each lane: word w of lane i is words[w] at i. */
ATHANOR_INLINE void philox(const DrawKey& key, VI block, VI words[4]) {
  VI c0 = block, c1 = setInt(key.row), c2 = setInt(key.step), c3 = setInt(key.stream);
  uint32_t k0 = static_cast<uint32_t>(key.seedLow), k1 = static_cast<uint32_t>(key.seedHigh);
  const VI multiplier0 = setInt(static_cast<int32_t>(0xd2511f53u)), multiplier1 = setInt(static_cast<int32_t>(0xcd9e8d57u));
  for (int round = 0; round < 10; ++round) {
    const VI high0 = multiplyHigh(multiplier0, c0), low0 = multiplier0 * c0;
    const VI high1 = multiplyHigh(multiplier1, c2), low1 = multiplier1 * c2;
    c0 = high1 ^ c1 ^ setInt(static_cast<int32_t>(k0));
    c1 = low1;
    c2 = high0 ^ c3 ^ setInt(static_cast<int32_t>(k1));
    c3 = low0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/** [0, 1) with 24 bits. */
ATHANOR_INLINE V wordToUniform(VI word) { return toFloat(shiftRight<8>(word)) * set(0x1p-24f); }

/** Floats that `uniforms` may write for `count` elements, and that vectors over them may read. */
ATHANOR_INLINE int64_t uniformsRoom(int64_t count) { return roundUp(count + 3, 4 * LANES) + LANES; }

/** Draws of the elements [first, first + count), made in `buffer` (uniformsRoom(count) floats); returns where they begin. */
ATHANOR_INLINE const float* uniforms(const DrawKey& key, int64_t first, int64_t count, float* buffer) {
  const int64_t firstBlock = first / 4;
  const int64_t skipped = first - 4 * firstBlock;
  for (int64_t done = 0; done < skipped + count; done += 4 * LANES) {
    // the counter word holds the block's low 32 bits
    VI words[4];
    philox(key, setInt(static_cast<int32_t>(static_cast<uint32_t>(firstBlock + done / 4))) + laneIndex(), words);
    float lanes[4][LANES];
    for (int w = 0; w < 4; ++w) store(lanes[w], wordToUniform(words[w]));
    for (int i = 0; i < LANES; ++i) {
      for (int w = 0; w < 4; ++w) buffer[done + 4 * i + w] = lanes[w][i];
    }
  }
  return buffer + skipped;
}

}  // namespace athanor::ATHANOR_ISA
