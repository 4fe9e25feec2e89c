// The kernels `quantizedMatmul`: x by a matrix kept as codes of 8 bits or 4, or by its transpose; and `groupedQuantizedMatmul`: the rows of
// each group by a matrix of their own. Few rows are multiplied by the codes as they lie (../quantized.h); for more, pieces of the matrix are
// made floats on the way into the products of gemm.h, so that no thread ever holds more than one piece.
// params: quantizedMatmul: transpose; groupedQuantizedMatmul: transpose, whether it is NF4
#include "../gemm.h"
#include "../groups.h"
#include "../kernel.h"
#include "../quantized.h"

namespace athanor::ATHANOR_ISA {
namespace {

/** Rows of x by matrices, each by that of its group; or all by one. */
struct Work {
  const View &x, &y;
  const View* parts;    // of each matrix, one after the other
  const View* offsets;  // null: one group of all rows
  bool transposed, isNf4;

  int64_t groups() const { return offsets == nullptr ? 1 : offsets->size - 1; }
  int64_t first(int64_t group) const { return offsets == nullptr ? 0 : ints(*offsets)[group]; }
  int64_t rows(int64_t group) const { return offsets == nullptr ? x.shape[0] : first(group + 1) - first(group); }
  int64_t depth() const { return x.shape[1]; }
  int64_t columns() const { return y.shape[1]; }
  int numParts() const { return isNf4 ? 4 : 2; }

  Quantized matrix(int64_t group) const {
    const View* part = parts + group * numParts();
    const View &codes = part[0], &scales = part[1];
    const auto* bytes = static_cast<const uint8_t*>(codes.data);
    if (!isNf4) return {codes.shape[0], codes.shape[1], bytes, floats(scales), nullptr, 0};
    return {codes.shape[0], 2 * codes.shape[1], bytes, floats(scales), static_cast<const uint8_t*>(part[2].data), *floats(part[3])};
  }

  /** Whether codes are read in place. */
  bool readsCodes(int64_t rows) const { return rows <= 2 * fewRows && !transposed && (!isNf4 || depth() % nf4Block == 0); }
};

Work readPlain(const Call& call) { return {call.in[0], call.out[0], call.in + 1, nullptr, call.params[0] != 0, call.numIn == 5}; }

Work readGrouped(const Call& call) {
  return {call.in[0], call.out[0], call.in + 2, call.in + 1, call.params[0] != 0, call.params[1] != 0};
}

bool isDense(const View& view, DType dtype) { return view.dtype == dtype && isInnerDense(view, view.rank) && !repeats(view); }

const char* checkRows(const View& x, const View& y) {
  if (!isDense(x, DType::f32) || !isDense(y, DType::f32)) return "x and y must be dense f32";
  return x.rank == 2 && y.rank == 2 && x.shape[0] == y.shape[0] ? nullptr : "x and y must be matrices of as many rows";
}

/** The parts of one matrix. */
const char* checkMatrix(const Work& work, int64_t group) {
  const View* part = work.parts + group * work.numParts();
  const View &codes = part[0], &scales = part[1];
  if (!isDense(codes, DType::u8) || codes.rank != 2) return "codes must be a dense matrix of u8";
  if (!isDense(scales, DType::f32)) return "scales must be dense f32";
  const int64_t outputs = codes.shape[0], inputs = codes.shape[1] * (work.isNf4 ? 2 : 1);
  if (work.depth() != (work.transposed ? outputs : inputs) || work.columns() != (work.transposed ? inputs : outputs)) return "x, the matrix and y do not fit";
  if (!work.isNf4) return scales.size == outputs ? nullptr : "there must be one scale per output";
  const int64_t blocks = ceilDiv(outputs * inputs, nf4Block);
  if (!isDense(part[2], DType::u8) || !isScalarFloat(part[3])) return "scaleCodes must be dense u8, mean one f32";
  return part[2].size == blocks && scales.size == ceilDiv(blocks, scaleBlock) ? nullptr : "there must be one scale per block";
}

const char* checkPlain(const Call& call) {
  if ((call.numIn != 3 && call.numIn != 5) || call.numOut != 1) return "quantizedMatmul needs x, codes, scales, or those, scaleCodes and mean, and gives y";
  if (call.numParams != 1) return "quantizedMatmul needs transpose";
  const char* wrong = checkRows(call.in[0], call.out[0]);
  return wrong != nullptr ? wrong : checkMatrix(readPlain(call), 0);
}

const char* checkGrouped(const Call& call) {
  if (call.numIn < 4 || call.numOut != 1 || call.numParams != 2) return "groupedQuantizedMatmul needs x, offsets, parts, transpose and isNf4, and gives y";
  if (!isDenseIndex(call.in[1], 1)) return "offsets must be dense i32";
  const Work work = readGrouped(call);
  if (call.numIn - 2 != work.groups() * work.numParts()) return "offsets must be one more than matrices";
  const char* wrong = checkRows(call.in[0], call.out[0]);
  for (int64_t group = 0; wrong == nullptr && group < work.groups(); ++group) wrong = checkMatrix(work, group);
  return wrong;
}

/** Columns of y that one chunk makes, and how deep a piece of the matrix it holds: few rows take a piece that stays in L1. */
struct Cut {
  int64_t columns, depth;
};

ATHANOR_INLINE Cut cutWork(int64_t rows) {
  return rows <= dotRows ? Cut{4 * tileVectors, depthBlock} : Cut{2 * tileColumns, depthBlock};
}

/** The product of a whole piece. */
ATHANOR_INLINE Product pieceOf(const Work& work, int64_t rows, const Cut& cut) {
  const int64_t depth = minOf(cut.depth, work.depth()), columns = minOf(cut.columns, work.columns());
  return {rows, columns, depth, elements(work.x), work.depth(), 1, {nullptr, false}, work.transposed ? columns : 1, work.transposed ? 1 : depth,
          elements(work.y), work.columns(), false};
}

/** x in the order that NF4 is unpacked in; and what one thread uses: a piece of the matrix, and what its product packs. */
struct Layout {
  float *halves, *piece, *a, *b;
  int64_t stepPiece, stepA, stepB;
};

Layout layoutScratch(const Work& work, int numThreads, Scratch& scratch) {
  Layout layout{};
  const int64_t rows = work.x.shape[0];  // of a group at most
  if (work.isNf4 && work.readsCodes(work.offsets == nullptr ? rows : 0)) layout.halves = scratch.take<float>(work.x.size);
  if (work.readsCodes(rows)) return layout;
  const Product p = pieceOf(work, rows, cutWork(rows));
  layout.stepPiece = roundUp(p.columns * p.depth, 16);
  layout.stepA = roundUp(floatsForA(p), 16);
  layout.stepB = roundUp(floatsForB(p, localColumns), 16);
  layout.piece = scratch.take<float>(layout.stepPiece * numThreads);
  layout.a = scratch.take<float>(layout.stepA * numThreads);
  layout.b = scratch.take<float>(layout.stepB * numThreads);
  return layout;
}

size_t workspaceOf(const Work& work, int numThreads) {
  Scratch scratch{nullptr};
  layoutScratch(work, numThreads, scratch);
  return scratch.used;
}

constexpr int64_t chunkCodes = 1 << 15;  // some microseconds

/** Columns of a chunk of a group. */
ATHANOR_INLINE int64_t stepOf(const Work& work, int64_t rows) {
  return work.readsCodes(rows) ? roundUp(ceilDiv(chunkCodes, work.depth()), 4) : cutWork(rows).columns;
}

/** Columns [first, end) of a group by its codes: eight rows at a time, while they are at hand. */
void multiplyCodes(const Work& work, int64_t group, int64_t first, int64_t end, const float* halves) {
  const Quantized matrix = work.matrix(group);
  const int64_t rows = work.rows(group), depth = work.depth(), columns = work.columns();
  const float* from = (work.isNf4 ? halves : floats(work.x)) + work.first(group) * depth;
  float* const to = floats(work.y) + work.first(group) * columns;
  for (int64_t row = 0; row < rows; row += fewRows) {
    const FewRows multiply = (work.isNf4 ? nf4By : int8By)[minOf<int64_t>(fewRows, rows - row) - 1];
    multiply(matrix, from + row * depth, first, end, to + row * columns, columns);
  }
}

/** The same by pieces of the matrix, of which `piece` holds one. */
void multiplyPieces(const Work& work, int64_t group, int64_t first, int64_t end, float* piece, const Buffers& buffers) {
  const Quantized matrix = work.matrix(group);
  const Cut cut = cutWork(work.rows(group));
  Product p = pieceOf(work, work.rows(group), cut);
  p.columns = end - first;
  p.b = {piece, false};
  p.c += work.first(group) * p.cRow + first;
  for (int64_t k = 0; k < work.depth(); k += cut.depth) {
    p.depth = minOf(cut.depth, work.depth() - k);
    p.bDepth = work.transposed ? p.columns : 1;
    p.bColumn = work.transposed ? 1 : p.depth;
    if (work.transposed) {
      for (int64_t i = 0; i < p.depth; ++i) matrix.read(k + i, first, p.columns, piece + i * p.columns);
    } else {
      for (int64_t j = 0; j < p.columns; ++j) matrix.read(first + j, k, p.depth, piece + j * p.depth);
    }
    p.a = elements(work.x) + (work.first(group) * p.aRow + k);
    p.accumulate = k > 0;
    multiplyAlone(p, buffers);
  }
}

void multiplyAll(const Call& call, const Work& work) {
  const int64_t columns = work.columns(), depth = work.depth();
  if (depth == 0) return clearRows(floats(work.y), columns, work.y.shape[0], columns);
  Scratch scratch{call.workspace};
  const Layout layout = layoutScratch(work, call.pool->numThreads(), scratch);
  const auto chunksOf = [&](int64_t group) { return work.rows(group) == 0 ? 0 : ceilDiv(columns, stepOf(work, work.rows(group))); };
  int64_t chunks = 0;
  for (int64_t group = 0; group < work.groups(); ++group) {
    chunks += chunksOf(group);
    if (!work.isNf4 || !work.readsCodes(work.rows(group))) continue;
    const int64_t at = work.first(group) * depth;
    partHalves(floats(work.x) + at, work.rows(group) * depth, layout.halves + at);
  }
  call.pool->parallelFor(chunks, [&](int64_t chunk, int thread) {
    int64_t group = 0, at = chunk;
    while (at >= chunksOf(group)) at -= chunksOf(group++);
    const int64_t rows = work.rows(group), step = stepOf(work, rows), end = minOf(columns, (at + 1) * step);
    if (work.readsCodes(rows)) return multiplyCodes(work, group, at * step, end, layout.halves);
    multiplyPieces(work, group, at * step, end, layout.piece + thread * layout.stepPiece,
                   {layout.a + thread * layout.stepA, layout.b + thread * layout.stepB});
  });
}

size_t workspaceOfPlain(const Call& call, int numThreads) { return workspaceOf(readPlain(call), numThreads); }
size_t workspaceOfGrouped(const Call& call, int numThreads) { return workspaceOf(readGrouped(call), numThreads); }

void runPlain(const Call& call) { multiplyAll(call, readPlain(call)); }

void runGrouped(const Call& call) {
  if (!checkOffsets(call, call.in[1], call.in[0].shape[0])) return;
  clearOutside(call.out[0], call.in[1]);
  multiplyAll(call, readGrouped(call));
}

constexpr Kernel quantizedMatmul{"quantizedMatmul", checkPlain, workspaceOfPlain, runPlain};
constexpr Kernel groupedQuantizedMatmul{"groupedQuantizedMatmul", checkGrouped, workspaceOfGrouped, runGrouped};
const RegisterKernel registerPlain(quantizedMatmul), registerGrouped(groupedQuantizedMatmul);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
