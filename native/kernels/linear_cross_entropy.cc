// linearCrossEntropy: cross entropy of the logits x w^T, and what flows back through it, some rows at a time: the matrix of
// logits (N, V) is never there as a whole. A chunk's logits become their own gradient in place, and go into the products for
// x and w before the next chunk overwrites them: nothing is computed twice. How a product is computed is in gemm.h.
//   x (N, D), w (V, D), targets (N) -> loss (N), lse (N)
//   the same and g (N), the gradient of each loss -> loss (N), lse (N), dx (N, D), dw (V, D)
// params: ignoreIndex, rows of a chunk, whether the gradient of the logits is rounded to bf16 before its products
#include "../cross_entropy.h"
#include "../gemm.h"
#include "../kernel.h"

namespace athanor::ATHANOR_ISA {
namespace {

ATHANOR_INLINE bool isMatrix(const View& v, int64_t rows, int64_t columns) {
  return isFloatOrBf16(v) && v.rank == 2 && v.shape[0] == rows && v.shape[1] == columns;
}

const char* check(const Call& call) {
  const bool forward = call.numIn == 3 && call.numOut == 2;
  if (!forward && !(call.numIn == 4 && call.numOut == 4)) {
    return "needs x, w, targets and gives loss, lse; with g also dx and dw";
  }
  if (call.numParams != 3 || !isIgnoreIndex(call.params[0])) return "needs a 32-bit ignoreIndex, chunk rows and rounding";
  if (!isWhole(call.params[1], 1, INT32_MAX)) return "a chunk must have at least one row";
  const View &x = call.in[0], &w = call.in[1];
  if (x.rank != 2 || w.rank != 2) return "x and w must be matrices";
  const int64_t rows = x.shape[0], width = x.shape[1], classes = w.shape[0];
  if (!isMatrix(x, rows, width) || !isMatrix(w, classes, width)) return "x and w must be f32 or bf16, (N, D) and (V, D)";
  if (!isTargetFor(call.in[2], rows)) return "targets must be i32 (N)";
  if (!isPerRow(call.out[0], rows) || !isPerRow(call.out[1], rows)) return "loss and lse must be f32 (N)";
  if (repeats(call.out[0]) || repeats(call.out[1])) return "outputs must not repeat elements";
  if (forward) return nullptr;
  const View &dx = call.out[2], &dw = call.out[3];
  if (!isPerRow(call.in[3], rows)) return "g must be f32 (N)";
  if (!isMatrix(dx, rows, width) || !isMatrix(dw, classes, width) || !isFloat(dw)) return "dx must be (N, D), dw f32 (V, D)";
  if (!isInnerDense(dx, 1) || !isInnerDense(dw, 1) || repeats(dx) || repeats(dw)) return "dx and dw must have dense rows";
  return nullptr;
}

/** The products of a chunk of rows from `first` on. */
struct Chunk {
  int64_t first, rows;
  Product logits, dx, dw;
};

struct Layout {
  float* logits;  // one chunk's, then its gradient: f32, or bf16 in the first half of each row
  float* sums;    // of a bf16 dx
  float* packed;
  float* a;  // per thread
  int64_t stepA;
};

struct Problem {
  const Call& call;
  int64_t rows, width, classes, chunkRows, row;  // row: floats from one row of a chunk to the next
  bool backward, rounds;
  Layout layout;

  Elements gradient() const { return {layout.logits, rounds}; }

  Chunk chunkAt(int64_t first) const {
    const View &x = call.in[0], &w = call.in[1];
    const int64_t count = minOf(chunkRows, rows - first);
    const Elements from = elements(x) + first * x.strides[0], weight = elements(w);
    const int64_t gradientRow = rounds ? 2 * row : row;
    Chunk chunk{first, count, {}, {}, {}};
    chunk.logits = inPairs({count, classes, width, from, x.strides[0], x.strides[1], weight, w.strides[1], w.strides[0],
                            {layout.logits, false}, row, false});
    if (!backward) return chunk;
    const View &dx = call.out[2], &dw = call.out[3];
    const bool direct = isFloat(dx);
    chunk.dx = inPairs({count, width, classes, gradient(), gradientRow, 1, weight, w.strides[0], w.strides[1],
                        direct ? elements(dx) + first * dx.strides[0] : Elements{layout.sums, false},
                        direct ? dx.strides[0] : width, false});
    chunk.dw = inPairs({classes, width, count, gradient(), 1, gradientRow, from, x.strides[0], x.strides[1], elements(dw),
                        dw.strides[0], first > 0});
    return chunk;
  }
};

Problem readCall(const Call& call, int numThreads, Scratch& scratch) {
  const View &x = call.in[0], &w = call.in[1];
  const int64_t rows = x.shape[0], classes = w.shape[0];
  const int64_t chunkRows = minOf(static_cast<int64_t>(call.params[1]), maxOf<int64_t>(1, rows));
  Problem problem{call,  rows, x.shape[1], classes, chunkRows, roundUp(classes, 16), call.numIn == 4, call.params[2] != 0, {}};
  Layout& layout = problem.layout;
  const Chunk chunk = problem.chunkAt(0);
  int64_t floatsA = floatsForA(chunk.logits), shared = floatsForShared(chunk.logits);
  if (problem.backward) {
    floatsA = maxOf(floatsA, maxOf(floatsForA(chunk.dx), floatsForA(chunk.dw)));
    shared = maxOf(shared, maxOf(floatsForShared(chunk.dx), floatsForShared(chunk.dw)));
    if (!isFloat(call.out[2])) layout.sums = scratch.take<float>(chunkRows * problem.width);
  }
  layout.logits = scratch.take<float>(chunkRows * problem.row);
  layout.packed = scratch.take<float>(shared);
  layout.stepA = roundUp(floatsA, 16);
  layout.a = scratch.take<float>(layout.stepA * numThreads);
  return problem;
}

size_t workspace(const Call& call, int numThreads) {
  Scratch scratch{nullptr};
  readCall(call, numThreads, scratch);
  return scratch.used;
}

void multiply(const Product& p, Pool* pool, const Layout& layout) {
  if (p.rows == 0 || p.columns == 0) return;
  if (p.depth == 0) {
    if (!p.accumulate) clearRows(p.c.floats(), p.cRow, p.rows, p.columns);
    return;
  }
  multiplyShared(p, pool, layout.packed, [&](int thread) { return layout.a + thread * layout.stepA; });
}

void run(const Call& call) {
  Scratch scratch{call.workspace};
  const Problem problem = readCall(call, call.pool->numThreads(), scratch);
  const Layout& layout = problem.layout;
  const int64_t classes = problem.classes;
  const Targets targets{call.in[2], static_cast<int64_t>(call.params[0]), classes, call.status};
  const Column losses = columnOf(call.out[0]), lses = columnOf(call.out[1]);
  const Column grads = problem.backward ? columnOf(call.in[3]) : Column{};
  int64_t first = 0;
  do {  // once at least: without rows dw is zero
    const Chunk chunk = problem.chunkAt(first);
    multiply(chunk.logits, call.pool, layout);
    forRows(call.pool, chunk.rows, classes, [&](int64_t i, int) {
      float* logits = layout.logits + i * problem.row;
      const int64_t row = first + i, target = targets[row];
      crossEntropyRow(logits, classes, target, &losses[row], &lses[row]);
      if (!problem.backward) return;
      if (problem.rounds) {
        Bf16* rounded = Elements{logits, true}.words();
        crossEntropyGradRow(rounded, logits, classes, target, lses[row], grads[row]);
      } else {
        crossEntropyGradRow(logits, logits, classes, target, lses[row], grads[row]);
      }
    });
    if (problem.backward) {
      multiply(chunk.dx, call.pool, layout);
      if (!isFloat(call.out[2])) {
        const RowWriter dx = writeRows(call.out[2]);
        forRows(call.pool, chunk.rows, problem.width,
                [&](int64_t i, int) { dx.finish(first + i, layout.sums + i * problem.width); });
      }
      multiply(chunk.dw, call.pool, layout);
    }
    first += problem.chunkRows;
  } while (first < problem.rows);
}

constexpr Kernel linearCrossEntropy{"linearCrossEntropy", check, workspace, run};
const RegisterKernel registerLinearCrossEntropy(linearCrossEntropy);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
