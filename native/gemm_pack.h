// Packing for matmul: a panel of `width` rows (of A) or columns (of B) is copied so that the tile kernel reads it straight
// through, [depth][width], zeros beyond the matrix's edge. Not the multiplication.
//
// `src(k, w)` lies at k * depthStride + w * widthStride. bf16 elements are widened on the way.
#pragma once

#include <string.h>

#include "bf16.h"

namespace athanor::ATHANOR_ISA {

/** A panel may be written this many floats beyond its end: the buffer needs the room after its last panel. */
constexpr int64_t packSlack = 8;

/** dst[k * stride + w] = src[w * widthStride + k] for k, w in [0, 8); rows from `count` on are zeros. */
#if defined(ATHANOR_ISA_AVX512) || defined(ATHANOR_ISA_AVX2)
ATHANOR_INLINE __m128 loadFour(const float* p) { return _mm_loadu_ps(p); }
ATHANOR_INLINE __m128 loadFour(const Bf16* p) {
  const __m128i words = _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm_castsi128_ps(_mm_slli_epi32(words, 16));
}

template <class Element>
ATHANOR_INLINE void transpose8(float* dst, int64_t stride, const Element* src, int64_t widthStride, int64_t count) {
  // rows w and w + 4 share a register: the halves need no exchange at the end
  const auto half = [&](int64_t w, int64_t k) {
    return w < count ? loadFour(src + w * widthStride + k) : _mm_setzero_ps();
  };
  __m256 r[8];
  for (int k = 0; k < 2; ++k) {
    for (int w = 0; w < 4; ++w) {
      r[4 * k + w] = _mm256_insertf128_ps(_mm256_castps128_ps256(half(w, 4 * k)), half(w + 4, 4 * k), 1);
    }
  }
  for (int k = 0; k < 2; ++k) {
    const __m256 *q = r + 4 * k;
    const __m256 low01 = _mm256_unpacklo_ps(q[0], q[1]), high01 = _mm256_unpackhi_ps(q[0], q[1]);
    const __m256 low23 = _mm256_unpacklo_ps(q[2], q[3]), high23 = _mm256_unpackhi_ps(q[2], q[3]);
    float* to = dst + 4 * k * stride;
    _mm256_storeu_ps(to, _mm256_shuffle_ps(low01, low23, 0x44));
    _mm256_storeu_ps(to + stride, _mm256_shuffle_ps(low01, low23, 0xee));
    _mm256_storeu_ps(to + 2 * stride, _mm256_shuffle_ps(high01, high23, 0x44));
    _mm256_storeu_ps(to + 3 * stride, _mm256_shuffle_ps(high01, high23, 0xee));
  }
}
#else
template <class Element>
ATHANOR_INLINE void transpose8(float* dst, int64_t stride, const Element* src, int64_t widthStride, int64_t count) {
  for (int64_t k = 0; k < 8; ++k) {
    for (int64_t w = 0; w < 8; ++w) dst[k * stride + w] = w < count ? widen(src[w * widthStride + k]) : 0.0f;
  }
}
#endif

/**
 * Packs one panel, and asks the memory for the next one on the way: the hardware's prefetcher follows too few rows.
 * `count` of the panel's `width` rows exist. Writes depth * width floats, and up to packSlack behind them.
 */
template <int width, class Element>
static void packPanel(float* dst, const Element* src, int64_t depthStride, int64_t widthStride, int64_t depth, int64_t count) {
  if (widthStride == 1 && count == width) {
    for (int64_t k = 0; k < depth; ++k) {
      const Element* row = src + k * depthStride;
      for (int64_t next = 0; next < width; next += 16) __builtin_prefetch(row + width + next);
      if constexpr (isBf16<Element>) {
        convertRow(dst + k * width, row, width);
      } else {
        memcpy(dst + k * width, row, width * sizeof(float));
      }
    }
    return;
  }
  if (depthStride == 1 && widthStride != 1) {
    const int64_t whole = depth / 8 * 8;
    // k outside, so that where `width` is no multiple of 8 the next k overwrites what this one wrote too far; 16 of it at a
    // time, a whole cache line of every row
    for (int64_t line = 0; line < whole; line += 16) {
      for (int64_t w = 0; w < width; w += 8) {
        for (int64_t i = 0; i < 8; ++i) __builtin_prefetch(src + line + (width + w + i) * widthStride);
        for (int64_t k = line; k < line + 16 && k < whole; k += 8) {
          transpose8(dst + k * width + w, width, src + k + w * widthStride, widthStride, minOf<int64_t>(width, count) - w);
        }
      }
    }
    for (int64_t k = whole; k < depth; ++k) {
      for (int64_t w = 0; w < width; ++w) dst[k * width + w] = w < count ? widen(src[k + w * widthStride]) : 0.0f;
    }
    return;
  }
  if (widthStride == 1) {
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t w = 0; w < width; w += LANES) {
        const V v = load(src + k * depthStride + w, tail(count - w));
        width % LANES == 0 ? store(dst + k * width + w, v) : store(dst + k * width + w, v, tail(width - w));
      }
    }
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t w = 0; w < width; ++w) {
      dst[k * width + w] = w < count ? widen(src[k * depthStride + w * widthStride]) : 0.0f;
    }
  }
}

/**
 * Packs one panel of pairs of bf16: src(k, w) and, `depthStride / 2` behind it, its second half, which the last pair lacks where
 * `odd`. Strides in words.
 */
template <int width>
static void packPairs(float* dst, const Bf16* src, int64_t depthStride, int64_t widthStride, int64_t depth, bool odd,
                      int64_t count) {
  const int64_t second = depthStride / 2, whole = depth - odd;
  int64_t k = 0;
  if (second == 1 && widthStride % 2 == 0) {  // pairs as they lie
    k = whole / 8 * 8;
    packPanel<width>(dst, reinterpret_cast<const float*>(src), 1, widthStride / 2, k, count);
  } else if (widthStride == 1) {
#if defined(ATHANOR_ISA_AVX512BF16)
    if constexpr (width == 8) {
      for (; k < whole && count == width; ++k) {
        const Bf16* row = src + k * depthStride;
        __builtin_prefetch(row + depth * depthStride);  // the same panel's next call
        __builtin_prefetch(row + depth * depthStride + second);
        const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
        const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + second));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + k * width), _mm_unpacklo_epi16(low, high));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + k * width + 4), _mm_unpackhi_epi16(low, high));
      }
    }
#endif
    for (; k < whole; ++k) {
      const uint16_t *low = wordsOf(src + k * depthStride), *high = low + second;
      constexpr int64_t ahead = 16;  // rows of pairs: each is on a page of its own
      for (int64_t w = 0; w < width; w += 32) {
        __builtin_prefetch(low + ahead * depthStride + w);
        __builtin_prefetch(high + ahead * depthStride + w);
      }
      for (int64_t w = 0; w < width; w += LANES) {
        const M mask = tail(count - w);
        const V pairs = asFloat(loadWords(low + w, mask) | shiftLeft<16>(loadWords(high + w, mask)));
        width % LANES == 0 ? store(dst + k * width + w, pairs) : store(dst + k * width + w, pairs, tail(width - w));
      }
    }
  }
  for (; k < depth; ++k) {
    for (int64_t w = 0; w < width; ++w) {
      const Bf16* pair = src + k * depthStride + w * widthStride;
      const uint32_t low = w < count ? pair[0].word : 0, high = w < count && k < whole ? pair[second].word : 0;
      dst[k * width + w] = __builtin_bit_cast(float, low | high << 16);
    }
  }
}

template <int width>
ATHANOR_INLINE void packPanel(float* dst, Elements src, int64_t depthStride, int64_t widthStride, int64_t depth, int64_t count) {
  if (src.narrow) {
    packPanel<width, Bf16>(dst, src.words(), depthStride, widthStride, depth, count);
  } else {
    packPanel<width, float>(dst, src.floats(), depthStride, widthStride, depth, count);
  }
}

}  // namespace athanor::ATHANOR_ISA
