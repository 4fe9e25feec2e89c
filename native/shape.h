// Shapes of untrusted origin: every product checked, every limit named. Used while loading, never while running.
#pragma once

#include <cstdint>

#include "kernel.h"

namespace athanor {

/** Far above any tensor, far below where products of two sizes could overflow. */
constexpr int64_t maxElements = int64_t{1} << 42;

inline bool isDType(int64_t value) { return value >= 0 && value < numDTypes; }

/** False when the dims are negative or, zeros counted as ones, too many: sub-products of the shape never overflow. */
inline bool countElements(const int64_t* shape, int rank, int64_t* size) {
  int64_t product = 1;
  bool empty = false;
  for (int d = 0; d < rank; ++d) {
    if (shape[d] < 0) return false;
    if (shape[d] == 0) {
      empty = true;
      continue;
    }
    if (shape[d] > maxElements / product) return false;
    product *= shape[d];
  }
  *size = empty ? 0 : product;
  return true;
}

/** Elements from the first to just past the last one that the view touches. False when that overflows. */
inline bool countSpan(const View& view, int64_t* span) {
  if (view.size == 0) {
    *span = 0;
    return true;
  }
  int64_t last = 0;
  for (int d = 0; d < view.rank; ++d) {
    const int64_t stride = view.strides[d];
    const int64_t steps = view.shape[d] - 1;
    if (stride < 0) return false;
    if (steps == 0 || stride == 0) continue;
    if (stride > maxElements / steps) return false;
    last += stride * steps;  // at most 8 terms of 2^42
  }
  *span = last + 1;
  return true;
}

/** True when no two indices of the view share an element (sufficient, and true of every slice and transpose). */
inline bool writesEachElementOnce(const View& view) {
  if (view.size <= 1) return true;
  bool used[maxRank] = {};
  int64_t extent = 1;
  for (int round = 0; round < view.rank; ++round) {
    int next = -1;
    for (int d = 0; d < view.rank; ++d) {
      if (used[d] || view.shape[d] == 1) continue;
      if (next < 0 || view.strides[d] < view.strides[next]) next = d;
    }
    if (next < 0) break;
    used[next] = true;
    if (view.strides[next] < extent) return false;
    extent += view.strides[next] * (view.shape[next] - 1);
  }
  return true;
}

}  // namespace athanor
