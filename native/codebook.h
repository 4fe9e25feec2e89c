// The numbers that codes stand for: 256 of a dynamic tree (Dettmers et al. 2021), as src/base/eight-bit.ts makes them, and the 16 of NF4
// (Dettmers et al. 2023, appendix E). Not the codes' finding.
#pragma once

#include <cstdint>

#include "kernel.h"

namespace athanor::ATHANOR_ISA {

/** Sizes of the tree, rising from 0 to 1: 129 of both signs, without -1, or 256 of no sign. */
struct TreeSizes {
  float at[256];
  int count;

  constexpr explicit TreeSizes(bool isSigned) : at{}, count(1) {
    const double decades[7] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
    for (int decade = 0; decade < 7; ++decade) {
      const int parts = (1 << decade) * (isSigned ? 1 : 2);
      for (int part = 0; part < parts; ++part) at[count++] = static_cast<float>((0.1 + 0.9 * (part + 0.5) / parts) * decades[decade]);
    }
    at[count++] = 1;
  }

  /** What a code of both signs stands for. */
  constexpr float ofSigned(int code) const { return code < 127 ? -at[127 - code] : at[code - 127]; }
};

/** What each code of both signs stands for. */
struct SignedTree {
  float at[256];

  constexpr SignedTree() : at{} {
    const TreeSizes sizes(true);
    for (int code = 0; code < 256; ++code) at[code] = sizes.ofSigned(code);
  }
};

constexpr float nf4Values[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

/** The pair of NF4 numbers that each byte stands for, the upper half first. */
struct Nf4Pairs {
  float at[256][2];

  constexpr Nf4Pairs() : at{} {
    for (int byte = 0; byte < 256; ++byte) {
      at[byte][0] = nf4Values[byte >> 4];
      at[byte][1] = nf4Values[byte & 15];
    }
  }
};

}  // namespace athanor::ATHANOR_ISA
