// The kernels `packPanels` and `matmulPanels`: a matrix laid out once for many products with few rows, and such a product. A panel is read
// straight through where the rows of a matrix would lie on a page each; every element of y sums over the depth in its order.
// params of packPanels: transpose
#include "../gemm.h"
#include "../kernel.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t panelColumns = 32;  // as in src/core/ops/panels.ts
static_assert(panelColumns % LANES == 0 && panelColumns % 8 == 0);
constexpr int64_t panelTile = panelColumns < tileColumns ? panelColumns : tileColumns;

ATHANOR_INLINE int64_t rowsTogether(const View& view) { return view.dtype == DType::bf16 ? 2 : 1; }

bool isDense(const View& view) { return isInnerDense(view, view.rank) && !repeats(view); }

/** Whether these are panels of a matrix of that size. */
bool fits(const View& panels, int64_t depth, int64_t columns) {
  const int64_t together = rowsTogether(panels);
  return panels.rank == 3 && isDense(panels) && panels.shape[0] == ceilDiv(columns, panelColumns) &&
         panels.shape[1] * together == depth && panels.shape[2] == panelColumns * together;
}

const char* checkPack(const Call& call) {
  if (call.numIn != 1 || call.numOut != 1 || call.numParams != 1) return "packPanels needs a matrix and transpose, and gives panels";
  const View &matrix = call.in[0], &panels = call.out[0];
  if (!isFloatOrBf16(matrix) || matrix.dtype != panels.dtype) return "matrix and panels must both be f32, or both bf16";
  if (matrix.rank != 2) return "packPanels needs a matrix";
  const bool transposed = call.params[0] != 0;
  return fits(panels, matrix.shape[transposed], matrix.shape[!transposed]) ? nullptr : "matrix and panels do not fit";
}

void runPack(const Call& call) {
  const View &matrix = call.in[0], &panels = call.out[0];
  const bool transposed = call.params[0] != 0;
  const int64_t columns = matrix.shape[!transposed], depth = panels.shape[1];
  const int64_t depthStride = matrix.strides[transposed], columnStride = matrix.strides[!transposed];
  if (panels.size == 0) return;
  call.pool->parallelFor(panels.shape[0], [&](int64_t panel, int) {
    const int64_t column = panel * panelColumns, count = minOf(panelColumns, columns - column);
    float* const to = static_cast<float*>(panels.data) + column * depth;  // a pair of bf16 is as large as a float
    const Elements from = elements(matrix) + column * columnStride;
    if (from.narrow) {
      packPairs<panelColumns>(to, from.words(), 2 * depthStride, columnStride, depth, false, count);
    } else {
      packPanel<panelColumns, float>(to, from.floats(), depthStride, columnStride, depth, count);
    }
  });
}

const char* checkProduct(const Call& call) {
  if (call.numIn != 2 || call.numOut != 1 || call.numParams != 0) return "matmulPanels needs x and panels, and gives y";
  const View &x = call.in[0], &panels = call.in[1], &y = call.out[0];
  if (!isFloatOrBf16(x) || x.dtype != panels.dtype || !isFloat(y)) return "x and panels must both be f32, or both bf16; y is f32";
  if (x.rank != 2 || y.rank != 2 || !isDense(x) || !isDense(y)) return "x and y must be dense matrices";
  return x.shape[0] == y.shape[0] && fits(panels, x.shape[1], y.shape[1]) ? nullptr : "x, panels and y do not fit";
}

/** Where the processor multiplies no pairs: x widened, and for each thread a panel. */
struct Widened {
  float *x, *panels;
  int64_t stepPanel;
};

Widened layoutScratch(const Call& call, int numThreads, Scratch& scratch) {
  const View& x = call.in[0];
  if (hasPairs || x.dtype != DType::bf16) return {};
  const int64_t stepPanel = roundUp(x.shape[1] * panelColumns, 16);
  return {scratch.take<float>(x.size), scratch.take<float>(stepPanel * numThreads), stepPanel};
}

size_t workspace(const Call& call, int numThreads) {
  Scratch scratch{nullptr};
  layoutScratch(call, numThreads, scratch);
  return scratch.used;
}

/** A panel of pairs, row by row. */
void widenPanel(const Bf16* pairs, int64_t depth, float* to) {
  for (int64_t k = 0; k < depth; ++k) {
    const Bf16* row = pairs + k / 2 * 2 * panelColumns + k % 2;
    for (int64_t j = 0; j < panelColumns; ++j) to[k * panelColumns + j] = widen(row[2 * j]);
  }
}

/** x by one panel, `columns` of which exist. Depth and rows of x in pairs, or in floats. */
template <bool pairs>
ATHANOR_INLINE void multiplyPanel(const float* x, int64_t rows, int64_t depth, const float* panel, float* y, int64_t yRow,
                                  int64_t columns) {
  for (int64_t j = 0; j < columns; j += panelTile) {
    for (int64_t i = 0; i < rows; i += tileRows) {
      const TileJob job{depth, x + i * depth, depth, 1, panel + j, panelColumns, y + i * yRow + j, yRow, false};
      runTile<false, false, pairs>(job, minOf<int64_t>(tileRows, rows - i), minOf(panelTile, columns - j));
    }
  }
}

constexpr int64_t chunkWork = 1 << 18;  // multiply-adds: some 5 microseconds

void runProduct(const Call& call) {
  const View &x = call.in[0], &panels = call.in[1], &y = call.out[0];
  const int64_t rows = x.shape[0], depth = x.shape[1], columns = y.shape[1];
  if (y.size == 0) return;
  if (depth == 0) return clearRows(floats(y), columns, rows, columns);
  Scratch scratch{call.workspace};
  const Widened widened = layoutScratch(call, call.pool->numThreads(), scratch);
  if (widened.x != nullptr) convertRow(widened.x, elements(x).words(), x.size);
  const int64_t count = panels.shape[0], step = maxOf<int64_t>(1, chunkWork / (rows * depth * panelColumns));
  call.pool->parallelFor(ceilDiv(count, step), [&](int64_t chunk, int thread) {
    for (int64_t panel = chunk * step; panel < minOf(count, (chunk + 1) * step); ++panel) {
      const int64_t column = panel * panelColumns, own = minOf(panelColumns, columns - column);
      const Elements from = elements(panels) + panel * panels.shape[1] * panels.shape[2];
      float* const to = floats(y) + column;
      if (!from.narrow) {
        multiplyPanel<false>(floats(x), rows, depth, from.floats(), to, columns, own);
      } else if constexpr (hasPairs) {
        multiplyPanel<true>(static_cast<const float*>(x.data), rows, depth / 2, static_cast<const float*>(from.data), to, columns, own);
      } else {
        float* const wide = widened.panels + thread * widened.stepPanel;
        widenPanel(from.words(), depth, wide);
        multiplyPanel<false>(widened.x, rows, depth, wide, to, columns, own);
      }
    }
  });
}

constexpr Kernel packPanels{"packPanels", checkPack, nullptr, runPack};
constexpr Kernel matmulPanels{"matmulPanels", checkProduct, workspace, runProduct};
const RegisterKernel registerPackPanels(packPanels);
const RegisterKernel registerMatmulPanels(matmulPanels);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
