// softmax, logSoftmax and cross entropy over the last dim, with their gradients. Not attention, which has its own softmax.
#include "../cross_entropy.h"
#include "../kernel.h"
#include "../math.h"
#include "../rows.h"
#include "../simd.h"

namespace athanor::ATHANOR_ISA {
namespace {

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

const char* checkCrossEntropy(const Call& call) {
  if (call.numIn != 2 || call.numOut != 2) return "crossEntropy needs logits and targets, and gives loss and lse";
  if (call.numParams != 1 || !isIgnoreIndex(call.params[0])) return "crossEntropy needs a 32-bit ignoreIndex";
  const View &logits = call.in[0], &targets = call.in[1];
  if (!isFloat(logits)) return "logits must be f32";
  if (logits.rank != 2 || !isTargetFor(targets, logits.shape[0])) return "logits must be (N, V) and targets i32 (N)";
  for (int i = 0; i < 2; ++i) {
    if (!isPerRow(call.out[i], logits.shape[0]) || repeats(call.out[i])) return "loss and lse must be f32 (N)";
  }
  return nullptr;
}

ATHANOR_INLINE Targets targetsOf(const Call& call) {
  return {call.in[1], static_cast<int64_t>(call.params[0]), call.in[0].shape[1], call.status};
}

/** With so few classes, LANES rows are taken at once, one class to a vector: a row alone would leave most lanes idle. */
constexpr int64_t fewClasses = 8;

/** The classes and the targets of up to LANES rows from `first` on; lanes without a row, and what is masked, hold class 0. */
struct FewClasses {
  float logits[fewClasses][LANES];
  int64_t targets[LANES];
  int64_t first, count;

  FewClasses(const RowReader& rows, const Targets& of, int64_t block, float* scratch)
      : logits{}, targets{}, first(block * LANES), count(minOf<int64_t>(LANES, rows.rows.count - first)) {
    for (int64_t lane = 0; lane < count; ++lane) {
      const float* x = rows.row(first + lane, scratch);
      for (int64_t c = 0; c < rows.length; ++c) logits[c][lane] = x[c];
      targets[lane] = of[first + lane];
    }
  }

  static int64_t numBlocks(const RowReader& rows) { return (rows.rows.count + LANES - 1) / LANES; }
};

/** Loss and log-sum-exp of a block of rows. */
ATHANOR_INLINE void crossEntropyFew(const FewClasses& few, int64_t n, const Column& losses, const Column& lses) {
  V highest = load(few.logits[0]), sum = zero();
  for (int64_t c = 1; c < n; ++c) highest = max(highest, load(few.logits[c]));
  const V shift = select(highest == set(-INFINITY), zero(), highest);  // -inf - -inf would be NaN
  for (int64_t c = 0; c < n; ++c) sum += exp(load(few.logits[c]) - shift);
  float picked[LANES] = {}, loss[LANES], lse[LANES];
  for (int64_t lane = 0; lane < few.count; ++lane) picked[lane] = few.logits[maxOf<int64_t>(few.targets[lane], 0)][lane];
  const V logSum = log(sum);
  store(loss, logSum - (load(picked) - highest));
  store(lse, highest + logSum);
  for (int64_t lane = 0; lane < few.count; ++lane) {
    const bool counts = few.targets[lane] >= 0;
    losses[few.first + lane] = counts ? loss[lane] : 0;
    lses[few.first + lane] = counts ? lse[lane] : 0;
  }
}

void runCrossEntropy(const Call& call) {
  const Targets targets = targetsOf(call);
  const RowReader logits = readRows(call.in[0]);
  const Column losses = columnOf(call.out[0]), lses = columnOf(call.out[1]);
  Scratch scratch{call.workspace};
  const RowsScratch<1> s = layoutRows<1>(call, call.pool->numThreads(), scratch);
  if (logits.length <= fewClasses) {
    forRows(call.pool, FewClasses::numBlocks(logits), logits.length * LANES, [&](int64_t block, int thread) {
      const FewClasses few(logits, targets, block, s.input[0].of(thread));
      crossEntropyFew(few, logits.length, losses, lses);
    });
    return;
  }
  forRows(call.pool, logits.rows.count, logits.length, [&](int64_t row, int thread) {
    crossEntropyRow(logits.row(row, s.input[0].of(thread)), logits.length, targets[row], &losses[row], &lses[row]);
  });
}

// crossEntropyGrad: logits (N, V), targets (N), lse (N), g (N) -> dlogits (N, V), in place where it aliases logits

const char* checkCrossEntropyGrad(const Call& call) {
  if (call.numIn != 4 || call.numOut != 1) return "crossEntropyGrad needs logits, targets, lse and g, and gives dlogits";
  if (call.numParams != 1 || !isIgnoreIndex(call.params[0])) return "crossEntropyGrad needs a 32-bit ignoreIndex";
  const View &logits = call.in[0], &targets = call.in[1], &dlogits = call.out[0];
  if (!isFloat(logits) || !isFloat(dlogits)) return "logits and dlogits must be f32";
  if (logits.rank != 2 || !isTargetFor(targets, logits.shape[0])) return "logits must be (N, V) and targets i32 (N)";
  if (!isPerRow(call.in[2], logits.shape[0]) || !isPerRow(call.in[3], logits.shape[0])) return "lse and g must be f32 (N)";
  if (!sameShape(logits, dlogits) || !isWritableRows(dlogits)) return "dlogits must be (N, V) with dense rows";
  return nullptr;
}

/** The gradient of a block of rows, which was read before anything is written. */
ATHANOR_INLINE void crossEntropyGradFew(
    FewClasses& few, const RowWriter& dlogits, const Column& lses, const Column& grads) {
  float lse[LANES] = {}, grad[LANES] = {};
  for (int64_t lane = 0; lane < few.count; ++lane) {
    lse[lane] = lses[few.first + lane];
    grad[lane] = grads[few.first + lane];
  }
  for (int64_t c = 0; c < dlogits.length; ++c) {
    store(few.logits[c], exp(load(few.logits[c]) - load(lse)) * load(grad));
  }
  for (int64_t lane = 0; lane < few.count; ++lane) {
    float* to = dlogits.row(few.first + lane);
    const int64_t target = few.targets[lane];
    for (int64_t c = 0; c < dlogits.length; ++c) to[c] = target < 0 ? 0 : few.logits[c][lane];
    if (target >= 0) to[target] -= grad[lane];
  }
}

void runCrossEntropyGrad(const Call& call) {
  const Targets targets = targetsOf(call);
  const RowReader logits = readRows(call.in[0]);
  const RowWriter dlogits = writeRows(call.out[0]);
  const Column lses = columnOf(call.in[2]), grads = columnOf(call.in[3]);
  Scratch scratch{call.workspace};
  const RowsScratch<1> s = layoutRows<1>(call, call.pool->numThreads(), scratch);
  if (logits.length <= fewClasses) {
    forRows(call.pool, FewClasses::numBlocks(logits), logits.length * LANES, [&](int64_t block, int thread) {
      FewClasses few(logits, targets, block, s.input[0].of(thread));
      crossEntropyGradFew(few, dlogits, lses, grads);
    });
    return;
  }
  forRows(call.pool, logits.rows.count, logits.length, [&](int64_t row, int thread) {
    const float* x = logits.row(row, s.input[0].of(thread));
    crossEntropyGradRow(dlogits.row(row), x, logits.length, targets[row], lses[row], grads[row]);
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
