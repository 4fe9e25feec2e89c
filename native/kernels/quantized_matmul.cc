// The kernel `quantizedMatmul`: x by a matrix kept as codes of 8 bits or 4, or by its transpose. Pieces of the matrix are made floats on the
// way into the products of gemm.h, so that no thread ever holds more than one piece. Formats: src/core/quantized.ts.
// params: transpose
#include <string.h>

#include "../codebook.h"
#include "../gemm.h"
#include "../kernel.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t nf4Block = 64, scaleBlock = 256;
constexpr TreeSizes tree(true);
constexpr Nf4Pairs nf4;

/** The matrix: `rows` outputs of `width` inputs each. */
struct Quantized {
  int64_t rows, width;
  const uint8_t* codes;
  const float* scales;
  const uint8_t* scaleCodes;  // null: int8
  float mean;

  /** to[0, count) = inputs [first, first + count) of a row. `first` and `count` are even where a byte holds two codes. */
  void read(int64_t row, int64_t first, int64_t count, float* to) const {
    if (scaleCodes == nullptr) {
      const uint8_t* from = codes + row * width + first;
      const float scale = scales[row];
      for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(static_cast<int32_t>(from[i]) - 128) * scale;
      return;
    }
    int64_t flat = row * width + first;
    for (const int64_t end = flat + count; flat < end;) {
      const int64_t block = flat / nf4Block, stop = minOf(end, (block + 1) * nf4Block);
      const float scale = tree.ofSigned(scaleCodes[block]) * scales[block / scaleBlock] + mean;
      for (; flat < stop; flat += 2, to += 2) {
        const float* pair = nf4.at[codes[flat / 2]];
        to[0] = pair[0] * scale;
        to[1] = pair[1] * scale;
      }
    }
  }
};

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

size_t workspace(const Call& call, int numThreads) {
  Scratch scratch{nullptr};
  layoutScratch(pieceOf(call, cutWork(call.in[0].shape[0])), numThreads, scratch);
  return scratch.used;
}

/** Few rows by columns of int8: codes become floats in registers alone, and the memory's speed is what is left. */
template <int rows>
void multiplyCodes(const Quantized& matrix, const float* x, int64_t first, int64_t end, float* y, int64_t yRow) {
  constexpr int columns = 4;
  const int64_t depth = matrix.width;
  for (int64_t j = first; j < end; j += columns) {
    const uint8_t* codes[columns];
    for (int c = 0; c < columns; ++c) codes[c] = matrix.codes + minOf(j + c, end - 1) * depth;
    V sum[rows][columns];
    for (auto& row : sum) for (V& one : row) one = zero();
    const auto add = [&](int64_t k, const auto& bytesAt, auto mask) {
      V values[rows];
      for (int i = 0; i < rows; ++i) values[i] = load(x + i * depth + k, mask);
      for (int c = 0; c < columns; ++c) {
        const V code = toFloat(loadBytes(bytesAt(codes[c] + k)) - setInt(128));
        for (int i = 0; i < rows; ++i) sum[i][c] = fma(values[i], code, sum[i][c]);
      }
    };
    int64_t k = 0;
    for (; k + LANES <= depth; k += LANES) add(k, [](const uint8_t* bytes) { return bytes; }, AllLanes{});
    if (k < depth) {
      uint8_t rest[LANES] = {};
      const auto copied = [&](const uint8_t* bytes) { return static_cast<const uint8_t*>(memcpy(rest, bytes, static_cast<size_t>(depth - k))); };
      add(k, copied, tail(depth - k));
    }
    for (int i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < columns && j + c < end; ++c) y[i * yRow + j + c] = reduceAdd(sum[i][c]) * matrix.scales[j + c];
    }
  }
}
constexpr void (*multiplyCodesOf[streamRows])(const Quantized&, const float*, int64_t, int64_t, float*, int64_t) = {
    multiplyCodes<1>, multiplyCodes<2>, multiplyCodes<3>, multiplyCodes<4>};

void run(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const int64_t rows = x.shape[0], columns = y.shape[1], depth = x.shape[1];
  if (rows == 0 || columns == 0) return;
  if (depth == 0) return clearRows(floats(y), columns, rows, columns);
  const Quantized matrix = readMatrix(call);
  const bool transposed = call.params[0] != 0;
  if (rows <= streamRows && !transposed && matrix.scaleCodes == nullptr) {
    const int64_t step = maxOf<int64_t>(4, roundUp(ceilDiv(int64_t{1} << 17, depth), 4));
    return call.pool->parallelFor(ceilDiv(columns, step), [&](int64_t chunk, int) {
      multiplyCodesOf[rows - 1](matrix, floats(x), chunk * step, minOf(columns, (chunk + 1) * step), floats(y), columns);
    });
  }
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
