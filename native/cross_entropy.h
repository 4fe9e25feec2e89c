// Cross entropy of one row of logits, and its gradient: what the kernels of kernels/softmax.cc share with the product that
// computes its logits chunk by chunk (kernels/linear_cross_entropy.cc).
#pragma once

#include <string.h>

#include "bf16.h"
#include "kernel.h"
#include "math.h"
#include "rows.h"

namespace athanor::ATHANOR_ISA {

/** NaN elements may be passed over: whoever uses the maximum meets them again. */
ATHANOR_INLINE float rowMax(const float* x, int64_t n) {
  V m0 = set(-INFINITY), m1 = m0;
  int64_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    m0 = max(m0, load(x + i));
    m1 = max(m1, load(x + i + LANES));
  }
  for (; i < n; i += LANES) m0 = max(m0, loadOr(x + i, tail(n - i), set(-INFINITY)));
  return reduceMax(max(m0, m1));
}

ATHANOR_INLINE bool isIgnoreIndex(double param) { return isWhole(param, INT32_MIN, INT32_MAX); }

ATHANOR_INLINE bool isTargetFor(const View& targets, int64_t rows) {
  return isIndex(targets) && targets.rank == 1 && targets.shape[0] == rows;
}

ATHANOR_INLINE bool isPerRow(const View& v, int64_t rows) { return isFloat(v) && v.rank == 1 && v.shape[0] == rows; }

/** The class of each row. */
struct Targets {
  const View& view;
  int64_t ignore;
  int64_t classes;
  Status* status;

  /** -1 for a row that counts for nothing: an ignored one, or one whose class does not exist, which is reported. */
  int64_t operator[](int64_t row) const {
    const int32_t target = ints(view)[row * view.strides[0]];
    const bool valid = target >= 0 && target < classes;
    if (!valid && target != ignore) status->report(Fault::indexOutOfRange, target);
    return valid && target != ignore ? target : -1;
  }
};

struct LogSumExp {
  float max, logSum;  // the whole is max + logSum
};

/**
 * One pass over memory: the sum of exponentials is kept relative to a running maximum (Milakov & Gimelshein 2018), block by
 * block, each block being in L1 when it is read the second time.
 */
ATHANOR_INLINE LogSumExp logSumExp(const float* x, int64_t n) {
  constexpr int64_t blockElements = 2048;
  float highest = -INFINITY;
  double sum = 0;
  for (int64_t start = 0; start < n; start += blockElements) {
    const float* block = x + start;
    const int64_t count = minOf(blockElements, n - start);
    const float blockMax = rowMax(block, count);
    if (blockMax > highest) {
      sum *= expOf(highest - blockMax);
      highest = blockMax;
    }
    const V shift = set(highest == -INFINITY ? 0.0f : highest);  // -inf - -inf would be NaN
    sum += sumVectors(count, [&](int64_t i, auto mask) { return select(mask, exp(load(block + i, mask) - shift), zero()); });
  }
  return {highest, logOf(static_cast<float>(sum))};
}

/** Loss and log-sum-exp of a row; 0 where the target is -1. */
ATHANOR_INLINE void crossEntropyRow(const float* x, int64_t n, int64_t target, float* loss, float* lse) {
  if (target < 0) {
    *loss = *lse = 0;
    return;
  }
  const LogSumExp found = logSumExp(x, n);
  *lse = found.max + found.logSum;
  *loss = found.logSum - (x[target] - found.max);
}

/** (softmax - one-hot) grad, in f32 or bf16. May be written over x: no element is written before it was read. */
template <class To>
ATHANOR_INLINE void crossEntropyGradRow(To* to, const float* x, int64_t n, int64_t target, float lse, float grad) {
  if (target < 0) {
    memset(to, 0, static_cast<size_t>(n) * sizeof(To));
    return;
  }
  const V shift = set(lse), scale = set(grad);
  const float atTarget = expOf(x[target] - lse) * grad - grad;
  forEachVector(n, [&](int64_t i, auto mask) { store(to + i, exp(load(x + i, mask) - shift) * scale, mask); });
  convertRow(to + target, &atTarget, 1);
}

}  // namespace athanor::ATHANOR_ISA
