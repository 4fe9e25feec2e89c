// One vector vocabulary for all instruction sets: a kernel written with V, VI and M is written once.
//
//   V   LANES floats          VI  LANES int32          M  one bool per lane
//
// `fma(a, b, c)` is one rounding on avx512 and avx2 and two on portable; the compiler itself never contracts
// (-ffp-contract=off), so every path is reproducible. Reductions add in one fixed order. Loads and stores need no
// alignment. `min` and `max` return their second argument when either is NaN, as the hardware does.
#pragma once

#include "kernel.h"

#if defined(ATHANOR_ISA_AVX512)
#include "simd-avx512.h"
#elif defined(ATHANOR_ISA_AVX2)
#include "simd-avx2.h"
#else
#include "simd-portable.h"
#endif

namespace athanor::ATHANOR_ISA {

ATHANOR_INLINE V operator-(V a) { return asFloat(asInt(a) ^ setInt(static_cast<int32_t>(0x80000000u))); }
ATHANOR_INLINE V abs(V a) { return asFloat(asInt(a) & setInt(0x7fffffff)); }
/** The magnitude of `a` with the sign of `b`. */
ATHANOR_INLINE V copySign(V a, V b) {
  VI sign = setInt(static_cast<int32_t>(0x80000000u));
  return asFloat((asInt(a) & setInt(0x7fffffff)) | (asInt(b) & sign));
}
ATHANOR_INLINE V& operator+=(V& a, V b) { return a = a + b; }
ATHANOR_INLINE V& operator-=(V& a, V b) { return a = a - b; }
ATHANOR_INLINE V& operator*=(V& a, V b) { return a = a * b; }

ATHANOR_INLINE M isNan(V a) { return ~(a == a); }
ATHANOR_INLINE M isFinite(V a) { return abs(a) < set(__builtin_inff()); }
/** max and min that give NaN when either is NaN. */
ATHANOR_INLINE V maxNan(V a, V b) { return select(isNan(a), a, max(a, b)); }
ATHANOR_INLINE V minNan(V a, V b) { return select(isNan(a), a, min(a, b)); }

#if !defined(ATHANOR_ISA_AVX512)
ATHANOR_INLINE VI loadWords(const uint16_t* p, M mask) {
  uint16_t lanes[LANES] = {};
  const uint32_t wanted = bits(mask);
  for (int i = 0; i < LANES; ++i) {
    if (wanted >> i & 1) lanes[i] = p[i];
  }
  return loadWords(lanes);
}
ATHANOR_INLINE void storeWords(uint16_t* p, VI a, M mask) {
  uint16_t lanes[LANES];
  storeWords(lanes, a);
  const uint32_t wanted = bits(mask);
  for (int i = 0; i < LANES; ++i) {
    if (wanted >> i & 1) p[i] = lanes[i];
  }
}
#endif

/** Loads the lanes of `mask`; the others are `other`. */
ATHANOR_INLINE V loadOr(const float* p, M mask, V other) { return select(mask, load(p, mask), other); }

// the same names for both element types, for templates
ATHANOR_INLINE V loadAny(const float* p) { return load(p); }
ATHANOR_INLINE V loadAny(const float* p, M m) { return load(p, m); }
ATHANOR_INLINE VI loadAny(const int32_t* p) { return loadInt(p); }
ATHANOR_INLINE VI loadAny(const int32_t* p, M m) { return loadInt(p, m); }
ATHANOR_INLINE void storeAny(float* p, V a) { store(p, a); }
ATHANOR_INLINE void storeAny(float* p, V a, M m) { store(p, a, m); }
ATHANOR_INLINE void storeAny(int32_t* p, VI a) { storeInt(p, a); }
ATHANOR_INLINE void storeAny(int32_t* p, VI a, M m) { storeInt(p, a, m); }

/** Runs `whole(i)` for each full vector of [0, n) and `part(i, mask)` for the rest. */
template <class Whole, class Part>
ATHANOR_INLINE void forVectors(int64_t n, const Whole& whole, const Part& part) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) whole(i);
  if (i < n) part(i, tail(n - i));
}

/** A mask that is full at compile time: a body written once with `load(p, mask)` costs nothing on whole vectors. */
struct AllLanes {};
ATHANOR_INLINE V load(const float* p, AllLanes) { return load(p); }
ATHANOR_INLINE V loadOr(const float* p, AllLanes, V) { return load(p); }
ATHANOR_INLINE void store(float* p, V a, AllLanes) { store(p, a); }
ATHANOR_INLINE V select(AllLanes, V yes, V) { return yes; }

/** Runs `body(i, mask)` for each vector of [0, n): with AllLanes for the full ones, with an M for the rest. */
template <class Body>
ATHANOR_INLINE void forEachVector(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) body(i, AllLanes{});
  if (i < n) body(i, tail(n - i));
}

/**
 * The sum over [0, n) of the vectors `term(i, mask)`, which must be 0 outside the mask: four running sums, added in a fixed
 * order at the end.
 */
template <class Term>
ATHANOR_INLINE float sumVectors(int64_t n, const Term& term) {
  V s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();
  int64_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES) {
    s0 += term(i, AllLanes{});
    s1 += term(i + LANES, AllLanes{});
    s2 += term(i + 2 * LANES, AllLanes{});
    s3 += term(i + 3 * LANES, AllLanes{});
  }
  for (; i + LANES <= n; i += LANES) s0 += term(i, AllLanes{});
  if (i < n) s1 += term(i, tail(n - i));
  return reduceAdd((s0 + s1) + (s2 + s3));
}

}  // namespace athanor::ATHANOR_ISA
