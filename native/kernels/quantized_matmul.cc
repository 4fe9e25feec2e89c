// The kernel `quantizedMatmul`: x by a matrix kept as codes of 8 bits or 4, or by its transpose. Few rows are multiplied by the codes as they
// lie (../quantized.h); for more, pieces of the matrix are made floats on the way into the products of gemm.h, so that no thread ever holds
// more than one piece.
// params: transpose
#include "../gemm.h"
#include "../kernel.h"
#include "../quantized.h"

namespace athanor::ATHANOR_ISA {
namespace {

Quantized readMatrix(const Call& call) {
  const View &codes = call.in[1], &scales = call.in[2];
  const bool isNf4 = call.numIn == 5;
  const auto* bytes = static_cast<const uint8_t*>(codes.data);
  if (!isNf4) return {codes.shape[0], codes.shape[1], bytes, floats(scales), nullptr, 0};
  const float mean = call.in[4].data == nullptr ? 0 : *floats(call.in[4]);  // null while checking
  return {codes.shape[0], 2 * codes.shape[1], bytes, floats(scales), static_cast<const uint8_t*>(call.in[3].data), mean};
}

bool isDense(const View& view, DType dtype) { return view.dtype == dtype && isInnerDense(view, view.rank) && !repeats(view); }

const char* check(const Call& call) {
  if ((call.numIn != 3 && call.numIn != 5) || call.numOut != 1) return "quantizedMatmul needs x, codes, scales, or those, scaleCodes and mean, and gives y";
  if (call.numParams != 1) return "quantizedMatmul needs transpose";
  const View &x = call.in[0], &codes = call.in[1], &scales = call.in[2], &y = call.out[0];
  if (!isDense(x, DType::f32) || !isDense(y, DType::f32) || !isDense(scales, DType::f32)) return "x, scales and y must be dense f32";
  if (!isDense(codes, DType::u8)) return "codes must be dense u8";
  if (x.rank != 2 || y.rank != 2 || codes.rank != 2) return "x, codes and y must be matrices";
  const Quantized matrix = readMatrix(call);
  const bool transposed = call.params[0] != 0;
  const int64_t depth = transposed ? matrix.rows : matrix.width, columns = transposed ? matrix.width : matrix.rows;
  if (x.shape[1] != depth || y.shape[0] != x.shape[0] || y.shape[1] != columns) return "x, the matrix and y do not fit";
  if (call.numIn == 3) return scales.size == matrix.rows ? nullptr : "there must be one scale per output";
  const int64_t blocks = ceilDiv(matrix.rows * matrix.width, nf4Block);
  if (!isDense(call.in[3], DType::u8) || !isScalarFloat(call.in[4])) return "scaleCodes must be dense u8, mean one f32";
  return call.in[3].size == blocks && scales.size == ceilDiv(blocks, scaleBlock) ? nullptr : "there must be one scale per block";
}

/** Columns of y that one chunk makes, and how deep a piece of the matrix it holds: few rows take a piece that stays in L1. */
struct Cut {
  int64_t columns, depth;
};

ATHANOR_INLINE Cut cutWork(int64_t rows) {
  return rows <= dotRows ? Cut{4 * tileVectors, depthBlock} : Cut{2 * tileColumns, depthBlock};
}

/** What one thread uses: a piece of the matrix, and what its product packs. */
struct Layout {
  float *piece, *a, *b;
  int64_t stepPiece, stepA, stepB;
};

/** The product of a whole piece. */
ATHANOR_INLINE Product pieceOf(const Call& call, const Cut& cut) {
  const View &x = call.in[0], &y = call.out[0];
  const int64_t depth = minOf(cut.depth, x.shape[1]), columns = minOf(cut.columns, y.shape[1]);
  const bool transposed = call.params[0] != 0;
  return {x.shape[0], columns, depth, elements(x), x.shape[1], 1, {nullptr, false}, transposed ? columns : 1, transposed ? 1 : depth,
          elements(y), y.shape[1], false};
}

Layout layoutScratch(const Product& p, int numThreads, Scratch& scratch) {
  Layout layout{};
  layout.stepPiece = roundUp(p.columns * p.depth, 16);
  layout.stepA = roundUp(floatsForA(p), 16);
  layout.stepB = roundUp(floatsForB(p, localColumns), 16);
  layout.piece = scratch.take<float>(layout.stepPiece * numThreads);
  layout.a = scratch.take<float>(layout.stepA * numThreads);
  layout.b = scratch.take<float>(layout.stepB * numThreads);
  return layout;
}

/** Whether codes are read in place. */
bool readsCodes(const Call& call) {
  const View& x = call.in[0];
  const bool isNf4 = call.numIn == 5;
  return x.shape[0] <= 2 * fewRows && call.params[0] == 0 && (!isNf4 || x.shape[1] % nf4Block == 0);
}

constexpr int64_t chunkCodes = 1 << 15;  // some microseconds

/** Eight rows at a time, while a chunk's codes are at hand. As many numbers as `workspace` says are in `halves`. */
void multiplyCodes(const Call& call, const Quantized& matrix, float* halves) {
  const View &x = call.in[0], &y = call.out[0];
  const int64_t rows = x.shape[0], depth = x.shape[1], columns = y.shape[1];
  const bool isNf4 = matrix.scaleCodes != nullptr;
  if (isNf4) partHalves(floats(x), rows * depth, halves);
  const float* from = isNf4 ? halves : floats(x);
  const int64_t step = roundUp(ceilDiv(chunkCodes, depth), 4);
  call.pool->parallelFor(ceilDiv(columns, step), [&](int64_t chunk, int) {
    for (int64_t row = 0; row < rows; row += fewRows) {
      const FewRows multiply = (isNf4 ? nf4By : int8By)[minOf<int64_t>(fewRows, rows - row) - 1];
      multiply(matrix, from + row * depth, chunk * step, minOf(columns, (chunk + 1) * step), floats(y) + row * columns, columns);
    }
  });
}

size_t workspace(const Call& call, int numThreads) {
  if (readsCodes(call)) return call.numIn == 5 ? scratchBytes<float>(call.in[0].size) : 0;
  Scratch scratch{nullptr};
  layoutScratch(pieceOf(call, cutWork(call.in[0].shape[0])), numThreads, scratch);
  return scratch.used;
}

void run(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const int64_t rows = x.shape[0], columns = y.shape[1], depth = x.shape[1];
  if (rows == 0 || columns == 0) return;
  if (depth == 0) return clearRows(floats(y), columns, rows, columns);
  const Quantized matrix = readMatrix(call);
  if (readsCodes(call)) return multiplyCodes(call, matrix, reinterpret_cast<float*>(call.workspace));
  const bool transposed = call.params[0] != 0;
  const Cut cut = cutWork(rows);
  Scratch scratch{call.workspace};
  const Layout layout = layoutScratch(pieceOf(call, cut), call.pool->numThreads(), scratch);
  call.pool->parallelFor(ceilDiv(columns, cut.columns), [&](int64_t chunk, int thread) {
    float* const piece = layout.piece + thread * layout.stepPiece;
    const int64_t column = chunk * cut.columns;
    Product p = pieceOf(call, cut);
    p.columns = minOf(cut.columns, columns - column);
    p.b = {piece, false};
    p.c += column;
    for (int64_t k = 0; k < depth; k += cut.depth) {
      p.depth = minOf(cut.depth, depth - k);
      p.bDepth = transposed ? p.columns : 1;
      p.bColumn = transposed ? 1 : p.depth;
      if (transposed) {
        for (int64_t i = 0; i < p.depth; ++i) matrix.read(k + i, column, p.columns, piece + i * p.columns);
      } else {
        for (int64_t j = 0; j < p.columns; ++j) matrix.read(column + j, k, p.depth, piece + j * p.depth);
      }
      p.a = elements(x) + k;
      p.accumulate = k > 0;
      multiplyAlone(p, {layout.a + thread * layout.stepA, layout.b + thread * layout.stepB});
    }
  });
}

constexpr Kernel quantizedMatmul{"quantizedMatmul", check, workspace, run};
const RegisterKernel registerQuantizedMatmul(quantizedMatmul);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
