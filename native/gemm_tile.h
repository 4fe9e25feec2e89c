// The innermost part of every matmul: a tile of C held in registers while two panels stream past. Not the blocking.
#pragma once

#include <string.h>

#include "simd.h"

#define ATHANOR_UNROLL(n) _Pragma(ATHANOR_TEXT(GCC unroll n))
#define ATHANOR_TEXT(x) #x

namespace athanor::ATHANOR_ISA {

// Registers: tileRows * tileVectors sums, tileVectors of B, one or two of A.
#if defined(ATHANOR_ISA_AVX512)
constexpr int tileRows = 8, tileVectors = 3;  // 24 of 32 registers
#elif defined(ATHANOR_ISA_AVX2)
constexpr int tileRows = 6, tileVectors = 2;  // 12 of 16
#elif defined(__aarch64__)
constexpr int tileRows = 6, tileVectors = 2;  // a vector is two registers: 24 of 32
#else
constexpr int tileRows = 4, tileVectors = 1;  // a vector is two registers: 8 of 16
#endif
constexpr int tileColumns = tileVectors * LANES;

// Where the processor multiplies pairs of bf16, an element of a and b may be such a pair: two steps of the depth in 32 bits,
// the first of them in the lower half. Memory, strides and depths are then counted in pairs as they are in floats.
#if defined(ATHANOR_ISA_AVX512BF16)
constexpr bool hasPairs = true;
#else
constexpr bool hasPairs = false;
#endif

/** sum + a b */
template <bool pairs>
ATHANOR_INLINE V multiplyAdd(V a, V b, V sum) {
#if defined(ATHANOR_ISA_AVX512BF16)
  if constexpr (pairs) return addPairs(a, b, sum);
#endif
  return fma(a, b, sum);
}

/** What a tile reads and writes. a(i, k) = a[i * aRow + k * aDepth], b(k, j) = b[k * bDepth + j]. */
struct TileJob {
  int64_t depth;
  const float* a;
  int64_t aRow, aDepth;
  const float* b;
  int64_t bDepth;
  float* c;
  int64_t cRow;
  bool accumulate;  // add to c, else overwrite
};

/** C tile of `rows` by `vectors` vectors, the last of them `last` lanes wide. */
template <int rows, int vectors, bool packedA, bool packedB, bool pairs>
static void multiplyTile(const TileJob& job, M last) {
  V sum[rows][vectors];
  ATHANOR_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    ATHANOR_UNROLL(4)
    for (int j = 0; j < vectors; ++j) {
      sum[i][j] = zero();
      __builtin_prefetch(job.c + i * job.cRow + j * LANES, 1);
    }
  }
  const float* a = job.a;
  const float* b = job.b;
  const int64_t aRow = packedA ? 1 : job.aRow;
  const int64_t aDepth = packedA ? tileRows : job.aDepth;
  const int64_t bDepth = packedB ? tileColumns : job.bDepth;
  ATHANOR_UNROLL(4)
  for (int64_t k = 0; k < job.depth; ++k) {
    V bk[vectors];
    ATHANOR_UNROLL(4)
    for (int j = 0; j < vectors; ++j) {
      bk[j] = packedB || j + 1 < vectors ? load(b + j * LANES) : load(b + j * LANES, last);
    }
    ATHANOR_UNROLL(8)
    for (int i = 0; i < rows; ++i) {
      float unit;  // as bytes: a pair may lie at any word
      memcpy(&unit, a + i * aRow, sizeof(unit));
      const V ai = set(unit);
      ATHANOR_UNROLL(4)
      for (int j = 0; j < vectors; ++j) sum[i][j] = multiplyAdd<pairs>(ai, bk[j], sum[i][j]);
    }
    a += aDepth;
    b += bDepth;
  }
  ATHANOR_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    float* c = job.c + i * job.cRow;
    ATHANOR_UNROLL(4)
    for (int j = 0; j + 1 < vectors; ++j) {
      store(c + j * LANES, job.accumulate ? load(c + j * LANES) + sum[i][j] : sum[i][j]);
    }
    float* end = c + (vectors - 1) * LANES;
    const V v = sum[i][vectors - 1];
    store(end, job.accumulate ? load(end, last) + v : v, last);
  }
}

using TileFunction = void (*)(const TileJob&, M);

/** multiplyTile for every size up to the full tile: [rows - 1][vectors - 1]. */
template <bool packedA, bool packedB, bool pairs>
struct TileTable {
  TileFunction at[tileRows][tileVectors];

  template <int rows, int vectors>
  constexpr void fill() {
    at[rows - 1][vectors - 1] = multiplyTile<rows, vectors, packedA, packedB, pairs>;
    if constexpr (vectors > 1) {
      fill<rows, vectors - 1>();
    } else if constexpr (rows > 1) {
      fill<rows - 1, tileVectors>();
    }
  }
  constexpr TileTable() : at{} { fill<tileRows, tileVectors>(); }
};

template <bool packedA, bool packedB, bool pairs>
constexpr TileTable<packedA, packedB, pairs> tileTable{};

/** Runs the tile of `rows` by `columns` (within one full tile). */
template <bool packedA, bool packedB, bool pairs = false>
ATHANOR_INLINE void runTile(const TileJob& job, int64_t rows, int64_t columns) {
  const int64_t vectors = (columns + LANES - 1) / LANES;
  tileTable<packedA, packedB, pairs>.at[rows - 1][vectors - 1](job, tail(columns - (vectors - 1) * LANES));
}

}  // namespace athanor::ATHANOR_ISA
