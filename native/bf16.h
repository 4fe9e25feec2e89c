// bf16 in memory, f32 in registers: loads that widen and stores that round, under the names that floats have in simd.h.
// A bf16 is the upper half of an f32. No arithmetic in bf16, and no f16.
#pragma once

#include "simd.h"

namespace athanor::ATHANOR_ISA {

/** One bf16 in memory. */
struct Bf16 {
  uint16_t word;
};

template <class Element>
constexpr bool isBf16 = sizeof(Element) == sizeof(Bf16);

/** The nearest bf16 of each lane, ties to even, as its word. NaN stays a quiet NaN. */
ATHANOR_INLINE VI bf16Words(V x) {
#if defined(ATHANOR_ISA_AVX512BF16)
  if (!anySubnormal(x)) return nearestWords(x);
#endif
  const VI bits = asInt(x);
  const VI upper = shiftRight<16>(bits);
  const VI rounded = shiftRight<16>(bits + setInt(0x7fff) + (upper & setInt(1)));
  return select(isNan(x), upper | setInt(0x40), rounded);
}

/** Two vectors as products of pairs read them: lane i is low[i] below high[i]. Subnormals, which those take for zeros, may become zeros. */
ATHANOR_INLINE V bf16Pairs(V low, V high) {
#if defined(ATHANOR_ISA_AVX512BF16)
  return nearestPairs(low, high);
#else
  return asFloat(bf16Words(low) | shiftLeft<16>(bf16Words(high)));
#endif
}

/** The nearest f32 that a bf16 can hold. */
ATHANOR_INLINE V roundToBf16(V x) { return asFloat(shiftLeft<16>(bf16Words(x))); }

ATHANOR_INLINE const uint16_t* wordsOf(const Bf16* p) { return reinterpret_cast<const uint16_t*>(p); }
ATHANOR_INLINE uint16_t* wordsOf(Bf16* p) { return reinterpret_cast<uint16_t*>(p); }

ATHANOR_INLINE V load(const Bf16* p) { return asFloat(shiftLeft<16>(loadWords(wordsOf(p)))); }
ATHANOR_INLINE V load(const Bf16* p, AllLanes) { return load(p); }
/** Lanes outside the mask are 0 and their memory is not touched. */
ATHANOR_INLINE V load(const Bf16* p, M mask) {
  return asFloat(shiftLeft<16>(loadWords(wordsOf(p), mask)));
}
ATHANOR_INLINE void store(Bf16* p, V a) { storeWords(wordsOf(p), bf16Words(a)); }
ATHANOR_INLINE void store(Bf16* p, V a, AllLanes) { store(p, a); }
ATHANOR_INLINE void store(Bf16* p, V a, M mask) {
  storeWords(wordsOf(p), bf16Words(a), mask);
}

ATHANOR_INLINE Bf16 narrow(float x) {
  Bf16 lanes[LANES];
  store(lanes, set(x));
  return lanes[0];
}

/** f32 or bf16 elements, as the dtype of a view says. */
struct Elements {
  void* data;
  bool narrow;  // bf16

  Elements operator+(int64_t n) const { return {static_cast<char*>(data) + n * (narrow ? 2 : 4), narrow}; }
  Elements& operator+=(int64_t n) { return *this = *this + n; }
  float* floats() const { return static_cast<float*>(data); }
  Bf16* words() const { return static_cast<Bf16*>(data); }
};

ATHANOR_INLINE float widen(float x) { return x; }
ATHANOR_INLINE float widen(Bf16 x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x.word) << 16); }

/** to[i] = from[i] for n elements, rounded to the nearest where `to` is bf16. */
template <class To, class From>
ATHANOR_INLINE void convertRow(To* to, const From* from, int64_t n) {
  forEachVector(n, [&](int64_t i, auto mask) { store(to + i, load(from + i, mask), mask); });
}

}  // namespace athanor::ATHANOR_ISA
