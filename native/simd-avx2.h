// simd.h for AVX2 with FMA and F16C: 8 lanes, masks are vectors of all-ones. Included by simd.h only.
#pragma once

#include <immintrin.h>

namespace athanor::ATHANOR_ISA {

constexpr int LANES = 8;

struct V {
  __m256 r;
};
struct VI {
  __m256i r;
};
struct M {
  __m256i r;
};

ATHANOR_INLINE V set(float x) { return {_mm256_set1_ps(x)}; }
ATHANOR_INLINE V zero() { return {_mm256_setzero_ps()}; }
ATHANOR_INLINE VI setInt(int32_t x) { return {_mm256_set1_epi32(x)}; }
/** 0, 1, 2, ... */
ATHANOR_INLINE VI laneIndex() { return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)}; }

/** The first n lanes; all when n >= LANES, none when n <= 0. */
ATHANOR_INLINE M tail(int64_t n) {
  int32_t count = n >= LANES ? LANES : static_cast<int32_t>(n < 0 ? 0 : n);
  return {_mm256_cmpgt_epi32(_mm256_set1_epi32(count), laneIndex().r)};
}
ATHANOR_INLINE M operator&(M a, M b) { return {_mm256_and_si256(a.r, b.r)}; }
ATHANOR_INLINE M operator|(M a, M b) { return {_mm256_or_si256(a.r, b.r)}; }
ATHANOR_INLINE M operator^(M a, M b) { return {_mm256_xor_si256(a.r, b.r)}; }
ATHANOR_INLINE M operator~(M a) { return {_mm256_xor_si256(a.r, _mm256_set1_epi32(-1))}; }
/** Bit i is lane i. */
ATHANOR_INLINE uint32_t bits(M a) { return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(a.r))); }
ATHANOR_INLINE bool any(M a) { return bits(a) != 0; }
ATHANOR_INLINE bool all(M a) { return bits(a) == 0xff; }

ATHANOR_INLINE V load(const float* p) { return {_mm256_loadu_ps(p)}; }
/** Lanes outside the mask are 0 and their memory is not touched. */
ATHANOR_INLINE V load(const float* p, M m) { return {_mm256_maskload_ps(p, m.r)}; }
ATHANOR_INLINE void store(float* p, V a) { _mm256_storeu_ps(p, a.r); }
ATHANOR_INLINE void store(float* p, V a, M m) { _mm256_maskstore_ps(p, m.r, a.r); }
ATHANOR_INLINE VI loadInt(const int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
ATHANOR_INLINE VI loadInt(const int32_t* p, M m) { return {_mm256_maskload_epi32(p, m.r)}; }
ATHANOR_INLINE void storeInt(int32_t* p, VI a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.r); }
ATHANOR_INLINE void storeInt(int32_t* p, VI a, M m) { _mm256_maskstore_epi32(p, m.r, a.r); }
/** 0..65535 words to lanes, and the lanes' lower words back. */
ATHANOR_INLINE VI loadWords(const uint16_t* p) {
  return {_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
ATHANOR_INLINE void storeWords(uint16_t* p, VI a) {
  const __m256i lower = _mm256_and_si256(a.r, _mm256_set1_epi32(0xffff));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(lower, lower), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
/** 0..255 bytes to lanes. */
ATHANOR_INLINE VI loadBytes(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}

ATHANOR_INLINE V operator+(V a, V b) { return {_mm256_add_ps(a.r, b.r)}; }
ATHANOR_INLINE V operator-(V a, V b) { return {_mm256_sub_ps(a.r, b.r)}; }
ATHANOR_INLINE V operator*(V a, V b) { return {_mm256_mul_ps(a.r, b.r)}; }
ATHANOR_INLINE V operator/(V a, V b) { return {_mm256_div_ps(a.r, b.r)}; }
/** a*b + c */
ATHANOR_INLINE V fma(V a, V b, V c) { return {_mm256_fmadd_ps(a.r, b.r, c.r)}; }
/** a*b - c */
ATHANOR_INLINE V fms(V a, V b, V c) { return {_mm256_fmsub_ps(a.r, b.r, c.r)}; }
/** c - a*b */
ATHANOR_INLINE V fnma(V a, V b, V c) { return {_mm256_fnmadd_ps(a.r, b.r, c.r)}; }
ATHANOR_INLINE V min(V a, V b) { return {_mm256_min_ps(a.r, b.r)}; }
ATHANOR_INLINE V max(V a, V b) { return {_mm256_max_ps(a.r, b.r)}; }
ATHANOR_INLINE V sqrt(V a) { return {_mm256_sqrt_ps(a.r)}; }
ATHANOR_INLINE V floor(V a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
ATHANOR_INLINE V ceil(V a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)}; }
ATHANOR_INLINE V trunc(V a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}; }
/** Halves go to even. */
ATHANOR_INLINE V round(V a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

ATHANOR_INLINE M operator==(V a, V b) { return {_mm256_castps_si256(_mm256_cmp_ps(a.r, b.r, _CMP_EQ_OQ))}; }
ATHANOR_INLINE M operator!=(V a, V b) { return {_mm256_castps_si256(_mm256_cmp_ps(a.r, b.r, _CMP_NEQ_UQ))}; }
ATHANOR_INLINE M operator<(V a, V b) { return {_mm256_castps_si256(_mm256_cmp_ps(a.r, b.r, _CMP_LT_OQ))}; }
ATHANOR_INLINE M operator<=(V a, V b) { return {_mm256_castps_si256(_mm256_cmp_ps(a.r, b.r, _CMP_LE_OQ))}; }
ATHANOR_INLINE M operator>(V a, V b) { return {_mm256_castps_si256(_mm256_cmp_ps(a.r, b.r, _CMP_GT_OQ))}; }
ATHANOR_INLINE M operator>=(V a, V b) { return {_mm256_castps_si256(_mm256_cmp_ps(a.r, b.r, _CMP_GE_OQ))}; }
ATHANOR_INLINE V select(M m, V yes, V no) { return {_mm256_blendv_ps(no.r, yes.r, _mm256_castsi256_ps(m.r))}; }

ATHANOR_INLINE VI operator+(VI a, VI b) { return {_mm256_add_epi32(a.r, b.r)}; }
ATHANOR_INLINE VI operator-(VI a, VI b) { return {_mm256_sub_epi32(a.r, b.r)}; }
ATHANOR_INLINE VI operator*(VI a, VI b) { return {_mm256_mullo_epi32(a.r, b.r)}; }
ATHANOR_INLINE VI operator&(VI a, VI b) { return {_mm256_and_si256(a.r, b.r)}; }
ATHANOR_INLINE VI operator|(VI a, VI b) { return {_mm256_or_si256(a.r, b.r)}; }
ATHANOR_INLINE VI operator^(VI a, VI b) { return {_mm256_xor_si256(a.r, b.r)}; }
template <int n>
ATHANOR_INLINE VI shiftLeft(VI a) {
  return {_mm256_slli_epi32(a.r, n)};
}
template <int n>
ATHANOR_INLINE VI shiftRight(VI a) {  // fills with zeros
  return {_mm256_srli_epi32(a.r, n)};
}
template <int n>
ATHANOR_INLINE VI shiftRightSigned(VI a) {
  return {_mm256_srai_epi32(a.r, n)};
}
ATHANOR_INLINE VI min(VI a, VI b) { return {_mm256_min_epi32(a.r, b.r)}; }
ATHANOR_INLINE VI max(VI a, VI b) { return {_mm256_max_epi32(a.r, b.r)}; }
ATHANOR_INLINE M operator==(VI a, VI b) { return {_mm256_cmpeq_epi32(a.r, b.r)}; }
ATHANOR_INLINE M operator<(VI a, VI b) { return {_mm256_cmpgt_epi32(b.r, a.r)}; }
ATHANOR_INLINE VI select(M m, VI yes, VI no) { return {_mm256_blendv_epi8(no.r, yes.r, m.r)}; }
/** Upper 32 bits of the unsigned product. */
ATHANOR_INLINE VI multiplyHigh(VI a, VI b) {
  __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(a.r, b.r), 32);
  __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a.r, 32), _mm256_srli_epi64(b.r, 32));
  return {_mm256_blend_epi32(even, odd, 0xaa)};
}

ATHANOR_INLINE VI asInt(V a) { return {_mm256_castps_si256(a.r)}; }
ATHANOR_INLINE V asFloat(VI a) { return {_mm256_castsi256_ps(a.r)}; }
ATHANOR_INLINE V toFloat(VI a) { return {_mm256_cvtepi32_ps(a.r)}; }
/** table[the lowest four bits of a] */
ATHANOR_INLINE V lookUp(const float table[16], VI a) {
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), a.r);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), a.r);
  return {_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(a.r, 28)))};
}
/** To the nearest integer; out of range gives INT32_MIN. */
ATHANOR_INLINE VI toIntRounded(V a) { return {_mm256_cvtps_epi32(a.r)}; }
/** Towards zero; out of range and NaN give INT32_MIN. */
ATHANOR_INLINE VI toInt(V a) { return {_mm256_cvttps_epi32(a.r)}; }

/** x * 2^n for integral n in [-252, 254], right through overflow and subnormals (two factors, each a normal number). */
ATHANOR_INLINE V scaleByPowerOf2(V x, V n) {
  VI whole = toIntRounded(n);
  VI half = shiftRightSigned<1>(whole);
  VI bias = setInt(127);
  return x * asFloat(shiftLeft<23>(half + bias)) * asFloat(shiftLeft<23>(whole - half + bias));
}

ATHANOR_INLINE float reduceAdd(V a) {
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(a.r), _mm256_extractf128_ps(a.r, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
/** The sums of four vectors, each in the same order of additions (which is not reduceAdd's). */
ATHANOR_INLINE void reduceAdd4(V a, V b, V c, V d, float sums[4]) {
  __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a.r, b.r), _mm256_unpackhi_ps(a.r, b.r));
  __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c.r, d.r), _mm256_unpackhi_ps(c.r, d.r));
  __m256 abcd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}
/** No lane may be NaN, or the result is unspecified. */
ATHANOR_INLINE float reduceMax(V a) {
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(a.r), _mm256_extractf128_ps(a.r, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}
ATHANOR_INLINE float reduceMin(V a) {
  __m128 q = _mm_min_ps(_mm256_castps256_ps128(a.r), _mm256_extractf128_ps(a.r, 1));
  q = _mm_min_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_min_ss(q, _mm_movehdup_ps(q)));
}

}  // namespace athanor::ATHANOR_ISA
