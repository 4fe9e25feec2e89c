// softmax, logSoftmax and cross entropy over the last dim, with their gradients. Not attention, which has its own softmax.
#include <string.h>

#include "../kernel.h"
#include "../math.h"
#include "../rows.h"
#include "../simd.h"

namespace athanor::ATHANOR_ISA {
namespace {

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

ATHANOR_INLINE bool isWritableRows(const View& y) { return isInnerDense(y, 1) && !repeats(y); }

template <int numInputs>
struct RowsScratch {
  RowScratch input[numInputs];
};

template <int numInputs>
RowsScratch<numInputs> layoutRows(const Call& call, int numThreads, Scratch& scratch) {
  RowsScratch<numInputs> s{};
  for (int i = 0; i < numInputs; ++i) s.input[i] = takeRows(scratch, call.in[i], numThreads);
  return s;
}

template <int numInputs>
size_t rowsWorkspace(const Call& call, int numThreads) {
  Scratch scratch{nullptr};
  layoutRows<numInputs>(call, numThreads, scratch);
  return scratch.used;
}

// softmax: x -> y

template <int numInputs>
const char* checkRows(const Call& call) {
  if (call.numIn != numInputs || call.numOut != 1) return numInputs == 1 ? "needs x, gives y" : "needs g and y, gives dx";
  const View& y = call.out[0];
  if (!isFloat(y) || y.rank < 1) return "the output must be f32 with at least one dim";
  for (int i = 0; i < numInputs; ++i) {
    if (!isFloat(call.in[i]) || !sameShape(call.in[i], y)) return "inputs must be f32 of the output's shape";
  }
  if (!isWritableRows(y)) return "the output's last dim must be dense";
  return nullptr;
}

/** Calls `body(inputRows, outputRow)` for every row. */
template <int numInputs, class Body>
ATHANOR_INLINE void forInputRows(const Call& call, const Body& body) {
  Scratch scratch{call.workspace};
  const RowsScratch<numInputs> s = layoutRows<numInputs>(call, call.pool->numThreads(), scratch);
  RowReader inputs[numInputs];
  for (int i = 0; i < numInputs; ++i) inputs[i] = readRows(call.in[i]);
  const RowWriter output = writeRows(call.out[0]);
  forRows(call.pool, inputs[0].rows.count, inputs[0].length, [&](int64_t row, int thread) {
    const float* rows[numInputs];
    for (int i = 0; i < numInputs; ++i) rows[i] = inputs[i].row(row, s.input[i].of(thread));
    body(rows, output.row(row));
  });
}

void runSoftmax(const Call& call) {
  const int64_t n = call.out[0].shape[call.out[0].rank - 1];
  forInputRows<1>(call, [&](const float* const* in, float* y) {
    const float* x = in[0];
    const V shift = set(rowMax(x, n));
    const float sum = sumVectors(n, [&](int64_t i, auto mask) {
      const V e = select(mask, exp(load(x + i, mask) - shift), zero());
      store(y + i, e, mask);
      return e;
    });
    const V scale = set(1.0f / sum);
    forEachVector(n, [&](int64_t i, auto mask) { store(y + i, load(y + i, mask) * scale, mask); });
  });
}

void runLogSoftmax(const Call& call) {
  const int64_t n = call.out[0].shape[call.out[0].rank - 1];
  forInputRows<1>(call, [&](const float* const* in, float* y) {
    const float* x = in[0];
    const V shift = set(rowMax(x, n));
    const float sum = sumVectors(
        n, [&](int64_t i, auto mask) { return select(mask, exp(load(x + i, mask) - shift), zero()); });
    const V logSum = set(logOf(sum));
    forEachVector(n, [&](int64_t i, auto mask) { store(y + i, load(x + i, mask) - shift - logSum, mask); });
  });
}

void runSoftmaxGrad(const Call& call) {
  const int64_t n = call.out[0].shape[call.out[0].rank - 1];
  forInputRows<2>(call, [&](const float* const* in, float* dx) {
    const float *g = in[0], *y = in[1];
    const V dot = set(sumVectors(n, [&](int64_t i, auto mask) { return load(g + i, mask) * load(y + i, mask); }));
    forEachVector(n, [&](int64_t i, auto mask) { store(dx + i, load(y + i, mask) * (load(g + i, mask) - dot), mask); });
  });
}

void runLogSoftmaxGrad(const Call& call) {
  const int64_t n = call.out[0].shape[call.out[0].rank - 1];
  forInputRows<2>(call, [&](const float* const* in, float* dx) {
    const float *g = in[0], *y = in[1];
    const V sum = set(sumVectors(n, [&](int64_t i, auto mask) { return load(g + i, mask); }));
    forEachVector(
        n, [&](int64_t i, auto mask) { store(dx + i, fnma(exp(load(y + i, mask)), sum, load(g + i, mask)), mask); });
  });
}

// crossEntropy: logits (N, V), targets (N) -> loss (N), lse (N). params: ignoreIndex
// One pass over memory: the sum of exponentials is kept relative to a running maximum (Milakov & Gimelshein 2018), block
// by block, each block being in L1 when it is read the second time.

constexpr int64_t blockElements = 2048;

ATHANOR_INLINE bool isTargetFor(const View& targets, const View& logits) {
  return isIndex(targets) && targets.rank == 1 && logits.rank == 2 && targets.shape[0] == logits.shape[0];
}

ATHANOR_INLINE bool isPerRow(const View& v, const View& logits) {
  return isFloat(v) && v.rank == 1 && v.shape[0] == logits.shape[0];
}

const char* checkCrossEntropy(const Call& call) {
  if (call.numIn != 2 || call.numOut != 2) return "crossEntropy needs logits and targets, and gives loss and lse";
  if (call.numParams != 1 || !isWhole(call.params[0], INT32_MIN, INT32_MAX)) {
    return "crossEntropy needs a 32-bit ignoreIndex";
  }
  const View &logits = call.in[0], &targets = call.in[1];
  if (!isFloat(logits)) return "logits must be f32";
  if (!isTargetFor(targets, logits)) return "logits must be (N, V) and targets i32 (N)";
  for (int i = 0; i < 2; ++i) {
    if (!isPerRow(call.out[i], logits) || repeats(call.out[i])) return "loss and lse must be f32 (N)";
  }
  return nullptr;
}

struct LogSumExp {
  float max, logSum;  // the whole is max + logSum
};

ATHANOR_INLINE LogSumExp logSumExp(const float* x, int64_t n) {
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

void runCrossEntropy(const Call& call) {
  const View& targets = call.in[1];
  const RowReader logits = readRows(call.in[0]);
  const Column losses = columnOf(call.out[0]), lses = columnOf(call.out[1]);
  Scratch scratch{call.workspace};
  const RowsScratch<1> s = layoutRows<1>(call, call.pool->numThreads(), scratch);
  const int64_t ignore = static_cast<int64_t>(call.params[0]);
  const int64_t n = logits.length;
  forRows(call.pool, logits.rows.count, n, [&](int64_t row, int thread) {
    const int32_t target = ints(targets)[row * targets.strides[0]];
    const bool valid = target >= 0 && target < n;
    if (!valid && target != ignore) call.status->report(Fault::indexOutOfRange, target);
    if (!valid || target == ignore) {
      losses[row] = lses[row] = 0;
      return;
    }
    const float* x = logits.row(row, s.input[0].of(thread));
    const LogSumExp lse = logSumExp(x, n);
    lses[row] = lse.max + lse.logSum;
    losses[row] = lse.logSum - (x[target] - lse.max);
  });
}

// crossEntropyGrad: logits (N, V), targets (N), lse (N), g (N) -> dlogits (N, V), in place where it aliases logits

const char* checkCrossEntropyGrad(const Call& call) {
  if (call.numIn != 4 || call.numOut != 1) return "crossEntropyGrad needs logits, targets, lse and g, and gives dlogits";
  if (call.numParams != 1 || !isWhole(call.params[0], INT32_MIN, INT32_MAX)) {
    return "crossEntropyGrad needs a 32-bit ignoreIndex";
  }
  const View &logits = call.in[0], &targets = call.in[1], &dlogits = call.out[0];
  if (!isFloat(logits) || !isFloat(dlogits)) return "logits and dlogits must be f32";
  if (!isTargetFor(targets, logits)) return "logits must be (N, V) and targets i32 (N)";
  if (!isPerRow(call.in[2], logits) || !isPerRow(call.in[3], logits)) return "lse and g must be f32 (N)";
  if (!sameShape(logits, dlogits) || !isWritableRows(dlogits)) return "dlogits must be (N, V) with dense rows";
  return nullptr;
}

void runCrossEntropyGrad(const Call& call) {
  const View& targets = call.in[1];
  const RowReader logits = readRows(call.in[0]);
  const RowWriter dlogits = writeRows(call.out[0]);
  const Column lses = columnOf(call.in[2]), grads = columnOf(call.in[3]);
  Scratch scratch{call.workspace};
  const RowsScratch<1> s = layoutRows<1>(call, call.pool->numThreads(), scratch);
  const int64_t ignore = static_cast<int64_t>(call.params[0]);
  const int64_t n = logits.length;
  forRows(call.pool, logits.rows.count, n, [&](int64_t row, int thread) {
    const int32_t target = ints(targets)[row * targets.strides[0]];
    const bool valid = target >= 0 && target < n;
    float* to = dlogits.row(row);
    if (!valid && target != ignore) call.status->report(Fault::indexOutOfRange, target);
    if (!valid || target == ignore) {
      memset(to, 0, static_cast<size_t>(n) * sizeof(float));
      return;
    }
    const float* x = logits.row(row, s.input[0].of(thread));
    const float grad = grads[row];
    const V lse = set(lses[row]), scale = set(grad);
    forEachVector(n, [&](int64_t i, auto mask) { store(to + i, exp(load(x + i, mask) - lse) * scale, mask); });
    to[target] -= grad;
  });
}

constexpr Kernel softmax{"softmax", checkRows<1>, rowsWorkspace<1>, runSoftmax};
constexpr Kernel logSoftmax{"logSoftmax", checkRows<1>, rowsWorkspace<1>, runLogSoftmax};
constexpr Kernel softmaxGrad{"softmaxGrad", checkRows<2>, rowsWorkspace<2>, runSoftmaxGrad};
constexpr Kernel logSoftmaxGrad{"logSoftmaxGrad", checkRows<2>, rowsWorkspace<2>, runLogSoftmaxGrad};
constexpr Kernel crossEntropy{"crossEntropy", checkCrossEntropy, rowsWorkspace<1>, runCrossEntropy};
constexpr Kernel crossEntropyGrad{"crossEntropyGrad", checkCrossEntropyGrad, rowsWorkspace<1>, runCrossEntropyGrad};
const RegisterKernel registerSoftmax(softmax), registerLogSoftmax(logSoftmax), registerSoftmaxGrad(softmaxGrad),
    registerLogSoftmaxGrad(logSoftmaxGrad), registerCrossEntropy(crossEntropy), registerCrossEntropyGrad(crossEntropyGrad);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
