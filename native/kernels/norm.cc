// layerNorm, rmsNorm and their gradients over the last dim. Not batch or group norms.
// Ba et al. 2016; Zhang & Sennrich 2019. The variance is taken around the mean (sweeps over a row that sits in L1), as
// E[x^2] - E[x]^2 cancels. An f32 mean is off by some units in its last place, which far from zero is much beside the deviations:
// their own mean says by how much, forward and backward (Chan, Golub & LeVeque 1983).
#include <string.h>

#include "../kernel.h"
#include "../rows.h"
#include "../simd.h"

namespace athanor::ATHANOR_ISA {
namespace {

/** x's dims but the last. */
ATHANOR_INLINE bool isStatisticOf(const View& statistic, const View& x) {
  if (!isFloat(statistic) || statistic.rank != x.rank - 1) return false;
  for (int d = 0; d < statistic.rank; ++d) {
    if (statistic.shape[d] != x.shape[d]) return false;
  }
  return true;
}

ATHANOR_INLINE bool isVectorOf(const View& vector, const View& x) {
  return isFloat(vector) && vector.rank == 1 && vector.shape[0] == x.shape[x.rank - 1];
}

ATHANOR_INLINE bool isWritableRows(const View& y) { return isInnerDense(y, 1) && !repeats(y); }

struct ForwardScratch {
  float *w, *b;
  RowScratch x, y;
};

template <bool centered>
ForwardScratch layoutForward(const Call& call, int numThreads, Scratch& scratch) {
  ForwardScratch s{};
  s.w = takeVector(scratch, call.in[1]);
  if (centered) s.b = takeVector(scratch, call.in[2]);
  s.x = takeRows(scratch, call.in[0], numThreads);
  s.y = takeRows(scratch, call.out[0], numThreads);
  return s;
}

template <bool centered>
size_t forwardWorkspace(const Call& call, int numThreads) {
  Scratch scratch{nullptr};
  layoutForward<centered>(call, numThreads, scratch);
  return scratch.used;
}

template <bool centered>
const char* checkForward(const Call& call) {
  constexpr int numIn = centered ? 3 : 2;
  if (call.numIn != numIn) return centered ? "layerNorm needs x, w and b" : "rmsNorm needs x and w";
  if (call.numOut != numIn) return centered ? "layerNorm gives y, mean and rstd" : "rmsNorm gives y and rstd";
  if (call.numParams != 1) return "a norm needs eps";
  const View &x = call.in[0], &y = call.out[0];
  if (!isFloatOrBf16(x) || !isFloatOrBf16(y)) return "x and y must be f32 or bf16";
  if (x.rank < 1 || !sameShape(x, y)) return "x and y must have one shape of at least one dim";
  for (int i = 1; i < numIn; ++i) {
    if (!isVectorOf(call.in[i], x)) return "w and b must be f32 vectors as long as x's last dim";
    if (!isStatisticOf(call.out[i], x) || repeats(call.out[i])) return "mean and rstd must be f32 with x's dims but the last";
  }
  if (!isWritableRows(y)) return "y's last dim must be dense";
  return nullptr;
}

template <bool centered>
void runForward(const Call& call) {
  const int64_t length = call.in[0].shape[call.in[0].rank - 1];
  const RowReader x = readRows(call.in[0]);
  const RowWriter y = writeRows(call.out[0]);
  Scratch scratch{call.workspace};
  const ForwardScratch s = layoutForward<centered>(call, call.pool->numThreads(), scratch);
  const float* w = denseVector(call.in[1], s.w);
  const float* b = centered ? denseVector(call.in[2], s.b) : nullptr;
  const Column means = columnOf(call.out[centered ? 1 : 0]);
  const Column rstds = columnOf(call.out[centered ? 2 : 1]);
  const float eps = static_cast<float>(call.params[0]);
  const float invLength = 1.0f / static_cast<float>(length);

  forRows(call.pool, x.rows.count, length, [&](int64_t row, int thread) {
    const float* from = x.row(row, s.x.of(thread));
    float* to = y.row(row, s.y.of(thread));
    float mean = 0, rest = 0;  // rest: how far the mean of x is above `mean`
    if (centered) {
      mean = sumVectors(length, [&](int64_t i, auto mask) { return load(from + i, mask); }) * invLength;
      const V center = set(mean);
      rest = invLength * sumVectors(length, [&](int64_t i, auto mask) {
        return select(mask, load(from + i, mask) - center, zero());
      });
      means[row] = mean + rest;
    }
    const V center = set(mean), correction = set(rest);
    const auto deviationAt = [&](int64_t i, auto mask) {
      const V value = load(from + i, mask);
      return centered ? value - center - correction : value;
    };
    const float squares = sumVectors(length, [&](int64_t i, auto mask) {
      const V d = select(mask, deviationAt(i, mask), zero());
      return d * d;
    });
    const float rstd = 1.0f / __builtin_sqrtf(squares * invLength + eps);
    rstds[row] = rstd;
    const V scale = set(rstd);
    forEachVector(length, [&](int64_t i, auto mask) {
      const V normal = deviationAt(i, mask) * scale, weight = load(w + i, mask);
      store(to + i, centered ? fma(normal, weight, load(b + i, mask)) : normal * weight, mask);
    });
    y.finish(row, to);
  });
}

// Gradients. With n = (x - mean) rstd and h = g w:  dx = rstd (h - avg(h) - n avg(h n)), dw = sum g n, db = sum g;
// rmsNorm has no mean and no avg(h). The given mean is rounded, so the n of it has an average, which the first sweep finds and
// the second takes out. Every chunk of rows keeps its own dw and db; they are added in chunk order.

constexpr int64_t maxPartials = 32;

ATHANOR_INLINE int64_t gradRowsPerChunk(int64_t numRows, int64_t length) {
  return maxOf(ceilDiv(numRows, maxPartials), rowsPerChunk(length, 8192));
}

struct BackwardScratch {
  float* partials;  // per chunk: dw, and db when centered
  float* w;
  RowScratch g, x, dx;
};

template <bool centered>
BackwardScratch layoutBackward(const Call& call, int numThreads, Scratch& scratch) {
  const View& x = call.in[1];
  const int64_t length = x.shape[x.rank - 1];
  const int64_t numRows = rowsOf(x, 1).count;
  BackwardScratch s{};
  s.partials = scratch.take<float>(ceilDiv(numRows, gradRowsPerChunk(numRows, length)) * length * (centered ? 2 : 1));
  s.w = takeVector(scratch, call.in[2]);
  s.g = takeRows(scratch, call.in[0], numThreads);
  s.x = takeRows(scratch, x, numThreads);
  s.dx = takeRows(scratch, call.out[0], numThreads);
  return s;
}

template <bool centered>
size_t backwardWorkspace(const Call& call, int numThreads) {
  Scratch scratch{nullptr};
  layoutBackward<centered>(call, numThreads, scratch);
  return scratch.used;
}

template <bool centered>
const char* checkBackward(const Call& call) {
  if (call.numIn != (centered ? 5 : 4)) return "a norm's gradient needs g, x, w and the statistics";
  if (call.numOut != (centered ? 3 : 2)) return centered ? "layerNormGrad gives dx, dw and db" : "rmsNormGrad gives dx and dw";
  const View &g = call.in[0], &x = call.in[1], &dx = call.out[0];
  if (!isFloatOrBf16(g) || !isFloatOrBf16(x) || !isFloatOrBf16(dx)) return "g, x and dx must be f32 or bf16";
  if (x.rank < 1 || !sameShape(x, g) || !sameShape(x, dx)) return "g, x and dx must have one shape of at least one dim";
  if (!isVectorOf(call.in[2], x)) return "w must be an f32 vector as long as x's last dim";
  for (int i = 3; i < call.numIn; ++i) {
    if (!isStatisticOf(call.in[i], x)) return "mean and rstd must be f32 with x's dims but the last";
  }
  for (int i = 1; i < call.numOut; ++i) {
    if (!isVectorOf(call.out[i], x) || !isInnerDense(call.out[i], 1)) return "dw and db must be dense f32 vectors like w";
  }
  if (!isWritableRows(dx)) return "dx's last dim must be dense";
  return nullptr;
}

template <bool centered>
void runBackward(const Call& call) {
  const int64_t length = call.in[1].shape[call.in[1].rank - 1];
  const RowReader g = readRows(call.in[0]);
  const RowReader x = readRows(call.in[1]);
  const RowWriter dx = writeRows(call.out[0]);
  const Column means = columnOf(call.in[3]);
  const Column rstds = columnOf(call.in[centered ? 4 : 3]);
  Scratch scratch{call.workspace};
  const BackwardScratch s = layoutBackward<centered>(call, call.pool->numThreads(), scratch);
  const float* w = denseVector(call.in[2], s.w);
  const float invLength = 1.0f / static_cast<float>(length);
  const int64_t numRows = x.rows.count;
  const int64_t step = gradRowsPerChunk(numRows, length);
  const int64_t numChunks = ceilDiv(numRows, step);
  const int64_t partialSize = length * (centered ? 2 : 1);

  call.pool->parallelFor(numChunks, [&](int64_t chunk, int thread) {
    float* dw = s.partials + chunk * partialSize;
    float* db = dw + length;
    memset(dw, 0, static_cast<size_t>(partialSize) * sizeof(float));
    const int64_t end = minOf(numRows, (chunk + 1) * step);
    for (int64_t row = chunk * step; row < end; ++row) {
      const float* grads = g.row(row, s.g.of(thread));
      const float* values = x.row(row, s.x.of(thread));
      float* to = dx.row(row, s.dx.of(thread));
      const V center = set(centered ? means[row] : 0.0f);
      const V rstd = set(rstds[row]);
      const auto normalAt = [&](int64_t i, auto mask) {
        const V value = load(values + i, mask);
        return centered ? (value - center) * rstd : value * rstd;
      };
      V sumH = zero(), sumHn = zero(), sumN = zero();
      forEachVector(length, [&](int64_t i, auto mask) {
        const V h = load(grads + i, mask) * load(w + i, mask);
        const V normal = select(mask, normalAt(i, mask), zero());
        sumHn = fma(h, normal, sumHn);
        if (!centered) return;
        sumH += h;
        sumN += normal;
      });
      const float averageN = centered ? reduceAdd(sumN) * invLength : 0.0f;
      const float averageH = centered ? reduceAdd(sumH) * invLength : 0.0f;
      const V n = set(averageN), h = set(averageH), hn = set(reduceAdd(sumHn) * invLength - averageN * averageH);
      forEachVector(length, [&](int64_t i, auto mask) {
        const V grad = load(grads + i, mask);
        V normal = normalAt(i, mask), above = grad * load(w + i, mask);
        if (centered) {
          normal -= n;
          above -= h;
          store(db + i, load(db + i, mask) + grad, mask);
        }
        store(dw + i, fma(grad, normal, load(dw + i, mask)), mask);
        store(to + i, rstd * fnma(normal, hn, above), mask);
      });
      dx.finish(row, to);
    }
  });

  constexpr int64_t columnStep = 512;
  const int64_t columnChunks = ceilDiv(length, columnStep);
  call.pool->parallelFor(columnChunks * (centered ? 2 : 1), [&](int64_t chunk, int) {
    const int64_t which = chunk / columnChunks;
    const int64_t start = chunk % columnChunks * columnStep;
    const float* partials = s.partials + which * length + start;
    float* to = floats(call.out[1 + which]) + start;
    forEachVector(minOf(columnStep, length - start), [&](int64_t i, auto mask) {
      V sum = zero();
      for (int64_t c = 0; c < numChunks; ++c) sum += load(partials + c * partialSize + i, mask);
      store(to + i, sum, mask);
    });
  });
}

constexpr Kernel layerNorm{"layerNorm", checkForward<true>, forwardWorkspace<true>, runForward<true>};
constexpr Kernel rmsNorm{"rmsNorm", checkForward<false>, forwardWorkspace<false>, runForward<false>};
constexpr Kernel layerNormGrad{"layerNormGrad", checkBackward<true>, backwardWorkspace<true>, runBackward<true>};
constexpr Kernel rmsNormGrad{"rmsNormGrad", checkBackward<false>, backwardWorkspace<false>, runBackward<false>};
const RegisterKernel registerLayerNorm(layerNorm), registerRmsNorm(rmsNorm), registerLayerNormGrad(layerNormGrad),
    registerRmsNormGrad(rmsNormGrad);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
