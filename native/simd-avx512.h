// simd.h for AVX-512 (f, bw, dq, vl), and with bf16 products where those are compiled in: 16 lanes, mask registers. Included
// by simd.h only.
#pragma once

#include <immintrin.h>

namespace athanor::ATHANOR_ISA {

constexpr int LANES = 16;

struct V {
  __m512 r;
};
struct VI {
  __m512i r;
};
struct M {
  __mmask16 r;
};

ATHANOR_INLINE V set(float x) { return {_mm512_set1_ps(x)}; }
ATHANOR_INLINE V zero() { return {_mm512_setzero_ps()}; }
ATHANOR_INLINE VI setInt(int32_t x) { return {_mm512_set1_epi32(x)}; }
/** 0, 1, 2, ... */
ATHANOR_INLINE VI laneIndex() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }

/** The first n lanes; all when n >= LANES, none when n <= 0. */
ATHANOR_INLINE M tail(int64_t n) {
  return {n >= LANES ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << (n < 0 ? 0 : n)) - 1)};
}
ATHANOR_INLINE M operator&(M a, M b) { return {static_cast<__mmask16>(a.r & b.r)}; }
ATHANOR_INLINE M operator|(M a, M b) { return {static_cast<__mmask16>(a.r | b.r)}; }
ATHANOR_INLINE M operator^(M a, M b) { return {static_cast<__mmask16>(a.r ^ b.r)}; }
ATHANOR_INLINE M operator~(M a) { return {static_cast<__mmask16>(~a.r)}; }
ATHANOR_INLINE bool any(M a) { return a.r != 0; }
ATHANOR_INLINE bool all(M a) { return a.r == 0xffff; }
/** Bit i is lane i. */
ATHANOR_INLINE uint32_t bits(M a) { return a.r; }

ATHANOR_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
/** Lanes outside the mask are 0 and their memory is not touched. */
ATHANOR_INLINE V load(const float* p, M m) { return {_mm512_maskz_loadu_ps(m.r, p)}; }
ATHANOR_INLINE void store(float* p, V a) { _mm512_storeu_ps(p, a.r); }
ATHANOR_INLINE void store(float* p, V a, M m) { _mm512_mask_storeu_ps(p, m.r, a.r); }
ATHANOR_INLINE VI loadInt(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
ATHANOR_INLINE VI loadInt(const int32_t* p, M m) { return {_mm512_maskz_loadu_epi32(m.r, p)}; }
ATHANOR_INLINE void storeInt(int32_t* p, VI a) { _mm512_storeu_si512(p, a.r); }
ATHANOR_INLINE void storeInt(int32_t* p, VI a, M m) { _mm512_mask_storeu_epi32(p, m.r, a.r); }
/** 0..65535 words to lanes, and the lanes' lower words back. */
ATHANOR_INLINE VI loadWords(const uint16_t* p) {
  return {_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
ATHANOR_INLINE void storeWords(uint16_t* p, VI a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.r));
}
ATHANOR_INLINE VI loadWords(const uint16_t* p, M m) { return {_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m.r, p))}; }
ATHANOR_INLINE void storeWords(uint16_t* p, VI a, M m) { _mm512_mask_cvtepi32_storeu_epi16(p, m.r, a.r); }
/** 0..255 bytes to lanes. */
ATHANOR_INLINE VI loadBytes(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}

ATHANOR_INLINE V operator+(V a, V b) { return {_mm512_add_ps(a.r, b.r)}; }
ATHANOR_INLINE V operator-(V a, V b) { return {_mm512_sub_ps(a.r, b.r)}; }
ATHANOR_INLINE V operator*(V a, V b) { return {_mm512_mul_ps(a.r, b.r)}; }
ATHANOR_INLINE V operator/(V a, V b) { return {_mm512_div_ps(a.r, b.r)}; }
/** a*b + c */
ATHANOR_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.r, b.r, c.r)}; }
/** a*b - c */
ATHANOR_INLINE V fms(V a, V b, V c) { return {_mm512_fmsub_ps(a.r, b.r, c.r)}; }
/** c - a*b */
ATHANOR_INLINE V fnma(V a, V b, V c) { return {_mm512_fnmadd_ps(a.r, b.r, c.r)}; }
ATHANOR_INLINE V min(V a, V b) { return {_mm512_min_ps(a.r, b.r)}; }
ATHANOR_INLINE V max(V a, V b) { return {_mm512_max_ps(a.r, b.r)}; }
ATHANOR_INLINE V sqrt(V a) { return {_mm512_sqrt_ps(a.r)}; }
ATHANOR_INLINE V floor(V a) { return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
ATHANOR_INLINE V ceil(V a) { return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)}; }
ATHANOR_INLINE V trunc(V a) { return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}; }
/** Halves go to even. */
ATHANOR_INLINE V round(V a) { return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

ATHANOR_INLINE M operator==(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_EQ_OQ)}; }
ATHANOR_INLINE M operator!=(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_NEQ_UQ)}; }
ATHANOR_INLINE M operator<(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LT_OQ)}; }
ATHANOR_INLINE M operator<=(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LE_OQ)}; }
ATHANOR_INLINE M operator>(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_GT_OQ)}; }
ATHANOR_INLINE M operator>=(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_GE_OQ)}; }
ATHANOR_INLINE V select(M m, V yes, V no) { return {_mm512_mask_blend_ps(m.r, no.r, yes.r)}; }

ATHANOR_INLINE VI operator+(VI a, VI b) { return {_mm512_add_epi32(a.r, b.r)}; }
ATHANOR_INLINE VI operator-(VI a, VI b) { return {_mm512_sub_epi32(a.r, b.r)}; }
ATHANOR_INLINE VI operator*(VI a, VI b) { return {_mm512_mullo_epi32(a.r, b.r)}; }
ATHANOR_INLINE VI operator&(VI a, VI b) { return {_mm512_and_si512(a.r, b.r)}; }
ATHANOR_INLINE VI operator|(VI a, VI b) { return {_mm512_or_si512(a.r, b.r)}; }
ATHANOR_INLINE VI operator^(VI a, VI b) { return {_mm512_xor_si512(a.r, b.r)}; }
template <int n>
ATHANOR_INLINE VI shiftLeft(VI a) {
  return {_mm512_slli_epi32(a.r, n)};
}
template <int n>
ATHANOR_INLINE VI shiftRight(VI a) {  // fills with zeros
  return {_mm512_srli_epi32(a.r, n)};
}
template <int n>
ATHANOR_INLINE VI shiftRightSigned(VI a) {
  return {_mm512_srai_epi32(a.r, n)};
}
ATHANOR_INLINE VI min(VI a, VI b) { return {_mm512_min_epi32(a.r, b.r)}; }
ATHANOR_INLINE VI max(VI a, VI b) { return {_mm512_max_epi32(a.r, b.r)}; }
ATHANOR_INLINE M operator==(VI a, VI b) { return {_mm512_cmpeq_epi32_mask(a.r, b.r)}; }
ATHANOR_INLINE M operator<(VI a, VI b) { return {_mm512_cmplt_epi32_mask(a.r, b.r)}; }
ATHANOR_INLINE VI select(M m, VI yes, VI no) { return {_mm512_mask_blend_epi32(m.r, no.r, yes.r)}; }
/** Upper 32 bits of the unsigned product. */
ATHANOR_INLINE VI multiplyHigh(VI a, VI b) {
  __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(a.r, b.r), 32);
  __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.r, 32), _mm512_srli_epi64(b.r, 32));
  return {_mm512_mask_blend_epi32(0xaaaa, even, odd)};
}

ATHANOR_INLINE VI asInt(V a) { return {_mm512_castps_si512(a.r)}; }
ATHANOR_INLINE V asFloat(VI a) { return {_mm512_castsi512_ps(a.r)}; }
ATHANOR_INLINE V toFloat(VI a) { return {_mm512_cvtepi32_ps(a.r)}; }
/** table[the lowest four bits of a] */
ATHANOR_INLINE V lookUp(const float table[16], VI a) { return {_mm512_permutexvar_ps(a.r, _mm512_loadu_ps(table))}; }
/** To the nearest integer; out of range gives INT32_MIN. */
ATHANOR_INLINE VI toIntRounded(V a) { return {_mm512_cvtps_epi32(a.r)}; }
/** Towards zero; out of range and NaN give INT32_MIN. */
ATHANOR_INLINE VI toInt(V a) { return {_mm512_cvttps_epi32(a.r)}; }

#if defined(ATHANOR_ISA_AVX512BF16)
ATHANOR_INLINE bool anySubnormal(V a) { return _mm512_fpclass_ps_mask(a.r, 0x20) != 0; }
/** The nearest bf16 of each lane as its word, ties to even, NaN quiet. Subnormals become zeros. */
ATHANOR_INLINE VI nearestWords(V a) {
  return {_mm512_cvtepu16_epi32(__builtin_bit_cast(__m256i, _mm512_cvtneps_pbh(a.r)))};
}
/** The same of two vectors, in pairs: lane i is low[i] below high[i]. */
ATHANOR_INLINE V nearestPairs(V low, V high) {
  const __m512i halves = __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(high.r, low.r));
  const VI order = laneIndex() * setInt(0x10001) + setInt(LANES << 16);
  return {_mm512_castsi512_ps(_mm512_permutexvar_epi16(order.r, halves))};
}
/** sum + the products of two pairs of bf16 in each lane, in f32. Subnormal operands and results are zeros. */
ATHANOR_INLINE V addPairs(V a, V b, V sum) {
  return {_mm512_dpbf16_ps(sum.r, __builtin_bit_cast(__m512bh, a.r), __builtin_bit_cast(__m512bh, b.r))};
}
#endif

/** x * 2^n for integral n, right through overflow and subnormals. */
ATHANOR_INLINE V scaleByPowerOf2(V x, V n) { return {_mm512_scalef_ps(x.r, n.r)}; }

ATHANOR_INLINE float reduceAdd(V a) {
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.r), _mm512_extractf32x8_ps(a.r, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
/** The sums of four vectors, each in the same order of additions (which is not reduceAdd's). */
ATHANOR_INLINE void reduceAdd4(V a, V b, V c, V d, float sums[4]) {
  __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.r, b.r), _mm512_unpackhi_ps(a.r, b.r));
  __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.r, d.r), _mm512_unpackhi_ps(c.r, d.r));
  __m512 abcd = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}
/** No lane may be NaN, or the result is unspecified. */
ATHANOR_INLINE float reduceMax(V a) {
  __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a.r), _mm512_extractf32x8_ps(a.r, 1));
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}
ATHANOR_INLINE float reduceMin(V a) {
  __m256 h = _mm256_min_ps(_mm512_castps512_ps256(a.r), _mm512_extractf32x8_ps(a.r, 1));
  __m128 q = _mm_min_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_min_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_min_ss(q, _mm_movehdup_ps(q)));
}

}  // namespace athanor::ATHANOR_ISA
