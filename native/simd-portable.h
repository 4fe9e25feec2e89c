// simd.h for any processor: 8 lanes of compiler vectors (gcc, clang), which become SSE2, NEON or scalar code.
// Included by simd.h only. No fused multiply-add: `fma` rounds twice.
#pragma once

#include <math.h>
#include <string.h>

namespace athanor::ATHANOR_ISA {

constexpr int LANES = 8;

typedef float Floats __attribute__((vector_size(32)));
typedef int32_t Ints __attribute__((vector_size(32)));
typedef uint32_t Words __attribute__((vector_size(32)));

struct V {
  Floats r;
};
struct VI {
  Ints r;
};
struct M {
  Ints r;  // -1 or 0
};

ATHANOR_INLINE V set(float x) { return {Floats{x, x, x, x, x, x, x, x}}; }
ATHANOR_INLINE V zero() { return {Floats{}}; }
ATHANOR_INLINE VI setInt(int32_t x) { return {Ints{x, x, x, x, x, x, x, x}}; }
/** 0, 1, 2, ... */
ATHANOR_INLINE VI laneIndex() { return {Ints{0, 1, 2, 3, 4, 5, 6, 7}}; }

/** The first n lanes; all when n >= LANES, none when n <= 0. */
ATHANOR_INLINE M tail(int64_t n) {
  int32_t count = n >= LANES ? LANES : static_cast<int32_t>(n < 0 ? 0 : n);
  return {laneIndex().r < setInt(count).r};
}
ATHANOR_INLINE M operator&(M a, M b) { return {a.r & b.r}; }
ATHANOR_INLINE M operator|(M a, M b) { return {a.r | b.r}; }
ATHANOR_INLINE M operator^(M a, M b) { return {a.r ^ b.r}; }
ATHANOR_INLINE M operator~(M a) { return {~a.r}; }
/** Bit i is lane i. */
ATHANOR_INLINE uint32_t bits(M a) {
  uint32_t result = 0;
  for (int i = 0; i < LANES; ++i) result |= static_cast<uint32_t>(a.r[i] & 1) << i;
  return result;
}
ATHANOR_INLINE bool any(M a) { return bits(a) != 0; }
ATHANOR_INLINE bool all(M a) { return bits(a) == 0xff; }

ATHANOR_INLINE V load(const float* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}
/** Lanes outside the mask are 0 and their memory is not touched. */
ATHANOR_INLINE V load(const float* p, M m) {
  V v = zero();
  for (int i = 0; i < LANES; ++i) {
    if (m.r[i]) v.r[i] = p[i];
  }
  return v;
}
ATHANOR_INLINE void store(float* p, V a) { memcpy(p, &a, sizeof a); }
ATHANOR_INLINE void store(float* p, V a, M m) {
  for (int i = 0; i < LANES; ++i) {
    if (m.r[i]) p[i] = a.r[i];
  }
}
ATHANOR_INLINE VI loadInt(const int32_t* p) {
  VI v;
  memcpy(&v, p, sizeof v);
  return v;
}
ATHANOR_INLINE VI loadInt(const int32_t* p, M m) {
  VI v = setInt(0);
  for (int i = 0; i < LANES; ++i) {
    if (m.r[i]) v.r[i] = p[i];
  }
  return v;
}
ATHANOR_INLINE void storeInt(int32_t* p, VI a) { memcpy(p, &a, sizeof a); }
ATHANOR_INLINE void storeInt(int32_t* p, VI a, M m) {
  for (int i = 0; i < LANES; ++i) {
    if (m.r[i]) p[i] = a.r[i];
  }
}
/** 0..65535 words to lanes, and the lanes' lower words back. */
ATHANOR_INLINE VI loadWords(const uint16_t* p) { return {Ints{p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]}}; }
ATHANOR_INLINE void storeWords(uint16_t* p, VI a) {
  for (int i = 0; i < LANES; ++i) p[i] = static_cast<uint16_t>(a.r[i]);
}
/** 0..255 bytes to lanes. */
ATHANOR_INLINE VI loadBytes(const uint8_t* p) { return {Ints{p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]}}; }

ATHANOR_INLINE VI asInt(V a) { return {reinterpret_cast<Ints>(a.r)}; }
ATHANOR_INLINE V asFloat(VI a) { return {reinterpret_cast<Floats>(a.r)}; }
ATHANOR_INLINE VI asWords(Words a) { return {reinterpret_cast<Ints>(a)}; }
ATHANOR_INLINE Words words(VI a) { return reinterpret_cast<Words>(a.r); }

ATHANOR_INLINE V operator+(V a, V b) { return {a.r + b.r}; }
ATHANOR_INLINE V operator-(V a, V b) { return {a.r - b.r}; }
ATHANOR_INLINE V operator*(V a, V b) { return {a.r * b.r}; }
ATHANOR_INLINE V operator/(V a, V b) { return {a.r / b.r}; }
/** a*b + c */
ATHANOR_INLINE V fma(V a, V b, V c) { return {a.r * b.r + c.r}; }
/** a*b - c */
ATHANOR_INLINE V fms(V a, V b, V c) { return {a.r * b.r - c.r}; }
/** c - a*b */
ATHANOR_INLINE V fnma(V a, V b, V c) { return {c.r - a.r * b.r}; }
ATHANOR_INLINE VI blend(Ints m, Ints yes, Ints no) { return {(yes & m) | (no & ~m)}; }
ATHANOR_INLINE V select(M m, V yes, V no) { return asFloat(blend(m.r, asInt(yes).r, asInt(no).r)); }
ATHANOR_INLINE VI select(M m, VI yes, VI no) { return blend(m.r, yes.r, no.r); }
ATHANOR_INLINE V min(V a, V b) { return select({a.r < b.r}, a, b); }
ATHANOR_INLINE V max(V a, V b) { return select({a.r > b.r}, a, b); }
ATHANOR_INLINE V sqrt(V a) {
  V v;
  for (int i = 0; i < LANES; ++i) v.r[i] = __builtin_sqrtf(a.r[i]);
  return v;
}

ATHANOR_INLINE M operator==(V a, V b) { return {a.r == b.r}; }
ATHANOR_INLINE M operator!=(V a, V b) { return {a.r != b.r}; }
ATHANOR_INLINE M operator<(V a, V b) { return {a.r < b.r}; }
ATHANOR_INLINE M operator<=(V a, V b) { return {a.r <= b.r}; }
ATHANOR_INLINE M operator>(V a, V b) { return {a.r > b.r}; }
ATHANOR_INLINE M operator>=(V a, V b) { return {a.r >= b.r}; }

ATHANOR_INLINE VI operator+(VI a, VI b) { return asWords(words(a) + words(b)); }
ATHANOR_INLINE VI operator-(VI a, VI b) { return asWords(words(a) - words(b)); }
ATHANOR_INLINE VI operator*(VI a, VI b) { return asWords(words(a) * words(b)); }
ATHANOR_INLINE VI operator&(VI a, VI b) { return {a.r & b.r}; }
ATHANOR_INLINE VI operator|(VI a, VI b) { return {a.r | b.r}; }
ATHANOR_INLINE VI operator^(VI a, VI b) { return {a.r ^ b.r}; }
template <int n>
ATHANOR_INLINE VI shiftLeft(VI a) {
  return asWords(words(a) << n);
}
template <int n>
ATHANOR_INLINE VI shiftRight(VI a) {  // fills with zeros
  return asWords(words(a) >> n);
}
template <int n>
ATHANOR_INLINE VI shiftRightSigned(VI a) {
  return {a.r >> n};
}
ATHANOR_INLINE VI min(VI a, VI b) { return blend(a.r < b.r, a.r, b.r); }
ATHANOR_INLINE VI max(VI a, VI b) { return blend(a.r > b.r, a.r, b.r); }
ATHANOR_INLINE M operator==(VI a, VI b) { return {a.r == b.r}; }
ATHANOR_INLINE M operator<(VI a, VI b) { return {a.r < b.r}; }
/** Upper 32 bits of the unsigned product. */
ATHANOR_INLINE VI multiplyHigh(VI a, VI b) {
  VI v;
  for (int i = 0; i < LANES; ++i) {
    uint64_t product = static_cast<uint64_t>(static_cast<uint32_t>(a.r[i])) * static_cast<uint32_t>(b.r[i]);
    v.r[i] = static_cast<int32_t>(product >> 32);
  }
  return v;
}

ATHANOR_INLINE V toFloat(VI a) { return {__builtin_convertvector(a.r, Floats)}; }
/** table[the lowest four bits of a] */
ATHANOR_INLINE V lookUp(const float table[16], VI a) {
  V v;
  for (int i = 0; i < LANES; ++i) v.r[i] = table[a.r[i] & 15];
  return v;
}
/** Towards zero; out of range and NaN give INT32_MIN. */
ATHANOR_INLINE VI toInt(V a) {
  M inside{(a.r >= -2147483648.0f) & (a.r < 2147483648.0f)};
  V safe = select(inside, a, zero());
  return select(inside, VI{__builtin_convertvector(safe.r, Ints)}, setInt(INT32_MIN));
}
ATHANOR_INLINE V trunc(V a) {  // from 2^23 on every float is an integer; the sign of zero is kept
  VI sign = asInt(a) & setInt(INT32_MIN);
  V magnitude = asFloat(asInt(a) & setInt(INT32_MAX));
  M small = magnitude < set(8388608.0f);
  V cut = toFloat(toInt(select(small, magnitude, zero())));
  return select(small, asFloat(asInt(cut) | sign), a);
}
ATHANOR_INLINE V floor(V a) {
  V t = trunc(a);
  return select(t > a, t - set(1.0f), t);
}
ATHANOR_INLINE V ceil(V a) {
  V t = trunc(a);
  V up = t + set(1.0f);
  return select(t < a, asFloat(asInt(up) | (asInt(a) & setInt(INT32_MIN))), t);  // ceil(-0.5) is -0
}
/** Halves go to even. Adding 2^23 leaves no room for a fraction. */
ATHANOR_INLINE V round(V a) {
  VI sign = asInt(a) & setInt(INT32_MIN);
  V magnitude = asFloat(asInt(a) & setInt(INT32_MAX));
  V shift = set(8388608.0f);
  V rounded = (magnitude + shift) - shift;
  return select(magnitude < shift, asFloat(asInt(rounded) | sign), a);
}
/** To the nearest integer; out of range gives INT32_MIN. */
ATHANOR_INLINE VI toIntRounded(V a) { return toInt(round(a)); }

/** x * 2^n for integral n in [-252, 254], right through overflow and subnormals (two factors, each a normal number). */
ATHANOR_INLINE V scaleByPowerOf2(V x, V n) {
  VI whole = toIntRounded(n);
  VI half = shiftRightSigned<1>(whole);
  VI bias = setInt(127);
  return x * asFloat(shiftLeft<23>(half + bias)) * asFloat(shiftLeft<23>(whole - half + bias));
}

ATHANOR_INLINE float reduceAdd(V a) {
  float s0 = a.r[0] + a.r[4], s1 = a.r[1] + a.r[5], s2 = a.r[2] + a.r[6], s3 = a.r[3] + a.r[7];
  return (s0 + s2) + (s1 + s3);
}
/** The sums of four vectors. */
ATHANOR_INLINE void reduceAdd4(V a, V b, V c, V d, float sums[4]) {
  sums[0] = reduceAdd(a);
  sums[1] = reduceAdd(b);
  sums[2] = reduceAdd(c);
  sums[3] = reduceAdd(d);
}
/** No lane may be NaN, or the result is unspecified. */
ATHANOR_INLINE float reduceMax(V a) {
  float best = a.r[0];
  for (int i = 1; i < LANES; ++i) best = a.r[i] > best ? a.r[i] : best;
  return best;
}
ATHANOR_INLINE float reduceMin(V a) {
  float best = a.r[0];
  for (int i = 1; i < LANES; ++i) best = a.r[i] < best ? a.r[i] : best;
  return best;
}

}  // namespace athanor::ATHANOR_ISA
