// Reading and adding by index: take, scatterAdd over rows; takeAlong, scatterAlong over the last dim. Not slices or
// copies, whose places are known before the run. An index out of range is reported and counts as zeros.
#include <string.h>

#include "../kernel.h"
#include "../rows.h"

namespace athanor::ATHANOR_ISA {
namespace {

ATHANOR_INLINE bool inRange(int32_t index, int64_t size, Status* status) {
  if (index >= 0 && index < size) return true;
  status->report(Fault::indexOutOfRange, index);
  return false;
}

ATHANOR_INLINE bool sameDims(const View& a, int aStart, const View& b, int bStart, int count) {
  for (int d = 0; d < count; ++d) {
    if (a.shape[aStart + d] != b.shape[bStart + d]) return false;
  }
  return true;
}

// take: x (V, rest), idx (n) -> y (n, rest)

const char* checkTake(const Call& call) {
  if (call.numIn != 2 || call.numOut != 1) return "take needs x and idx, and gives one output";
  const View &x = call.in[0], &idx = call.in[1], &y = call.out[0];
  if (!isIndex(idx)) return "idx must be i32";
  if (x.dtype != y.dtype) return "x and y must have one dtype";
  if (x.rank < 1 || y.rank != idx.rank + x.rank - 1) return "y must have idx's dims, then x's dims after the first";
  if (!sameDims(y, 0, idx, 0, idx.rank)) return "y must begin with idx's dims";
  if (!sameDims(y, idx.rank, x, 1, x.rank - 1)) return "y must end with x's dims after the first";
  if (!isInnerDense(x, x.rank - 1) || !isInnerDense(y, x.rank - 1)) return "rows must be dense";
  if (repeats(y)) return "the output must not repeat elements";
  return nullptr;
}

void runTake(const Call& call) {
  const View &x = call.in[0], &idx = call.in[1], &y = call.out[0];
  if (y.size == 0) return;
  const int inner = x.rank - 1;
  const int64_t elementSize = elementBytes(x.dtype);
  const size_t rowBytes = static_cast<size_t>(innerSize(x, inner) * elementSize);
  const Rows indices = rowsOf(idx, 0);
  const Rows targets = rowsOf(y, inner);
  const char* source = static_cast<const char*>(x.data);
  char* target = static_cast<char*>(y.data);
  const auto copyRow = [&](int64_t row, int) {
    const int32_t index = ints(idx)[indices.offset(row)];
    char* to = target + targets.offset(row) * elementSize;
    if (inRange(index, x.shape[0], call.status)) {
      memcpy(to, source + index * x.strides[0] * elementSize, rowBytes);
    } else {
      memset(to, 0, rowBytes);
    }
  };
  forRows(call.pool, indices.count, static_cast<int64_t>(rowBytes) / 4, copyRow);
}

// scatterAdd: idx (n), src (n, rest)[, base (V, rest)] -> y (V, rest), over base's memory or its own. Every chunk owns a rectangle of y and adds what falls into it in
// the order of the indices, so there are no atomics and the sum does not depend on the threads.

const char* checkScatterAdd(const Call& call) {
  if (call.numIn < 2 || call.numIn > 3 || call.numOut != 1) return "scatterAdd needs idx, src and perhaps base, and gives y";
  const View &idx = call.in[0], &src = call.in[1], &y = call.out[0];
  if (!isIndex(idx)) return "idx must be i32";
  if (!isFloat(src) || !isFloat(y)) return "src and y must be f32";
  if (y.rank < 1 || src.rank != idx.rank + y.rank - 1) return "src must have idx's dims, then y's dims after the first";
  if (!sameDims(src, 0, idx, 0, idx.rank)) return "src must begin with idx's dims";
  if (!sameDims(src, idx.rank, y, 1, y.rank - 1)) return "src must end with y's dims after the first";
  if (!isInnerDense(src, y.rank - 1)) return "src's rows must be dense";
  if (!isInnerDense(y, y.rank)) return "y must be dense";
  if (call.numIn < 3) return nullptr;
  const View& base = call.in[2];
  if (!isFloat(base) || !sameShape(base, y) || !isInnerDense(base, y.rank)) return "base must be f32, dense, of y's shape";
  return nullptr;
}

constexpr int64_t scatterColumns = 128;  // floats: a piece of a row that one chunk owns, two cache lines and more
constexpr int64_t scatterMinWork = 32768;
constexpr int64_t scatterChunks = 8;
constexpr int64_t firstPiece = 65536;

void runScatterAdd(const Call& call) {
  const View &idx = call.in[0], &src = call.in[1], &y = call.out[0];
  const Rows indices = rowsOf(idx, 0);
  if (y.size == 0) {
    for (int64_t i = 0; i < idx.size; ++i) inRange(ints(idx)[indices.offset(i)], y.shape[0], call.status);
    return;
  }
  const int inner = y.rank - 1;
  const int64_t width = innerSize(y, inner);
  const int64_t height = y.shape[0];
  float* sums = floats(y);
  const float* base = call.numIn == 3 ? floats(call.in[2]) : nullptr;
  call.pool->parallelFor(base == sums ? 0 : ceilDiv(y.size, firstPiece), [&](int64_t piece, int) {
    const int64_t start = piece * firstPiece;
    const size_t bytes = static_cast<size_t>(minOf(firstPiece, y.size - start)) * sizeof(float);
    base == nullptr ? memset(sums + start, 0, bytes) : memcpy(sums + start, base + start, bytes);
  });

  const Rows sources = rowsOf(src, inner);
  const float* source = floats(src);
  const int64_t columnChunks = ceilDiv(width, scatterColumns);
  const int64_t wanted = idx.size * width < scatterMinWork ? 1 : ceilDiv(scatterChunks, columnChunks);
  const int64_t rowChunks = minOf(wanted, height);
  call.pool->parallelFor(columnChunks * rowChunks, [&](int64_t chunk, int) {
    const int64_t column = chunk % columnChunks * scatterColumns;
    const int64_t count = minOf(scatterColumns, width - column);
    const int64_t rowChunk = chunk / columnChunks;
    const int64_t firstRow = height * rowChunk / rowChunks;
    const int64_t endRow = height * (rowChunk + 1) / rowChunks;
    for (int64_t i = 0; i < idx.size; ++i) {
      const int32_t index = ints(idx)[indices.offset(i)];
      if (index < firstRow || index >= endRow) {
        if (chunk == 0) inRange(index, height, call.status);
        continue;
      }
      float* to = sums + index * width + column;
      const float* from = source + sources.offset(i) + column;
      for (int64_t j = 0; j < count; ++j) to[j] += from[j];
    }
  });
}

// takeAlong: x (n, V), idx (n) -> y (n)

const char* checkTakeAlong(const Call& call) {
  if (call.numIn != 2 || call.numOut != 1) return "takeAlong needs x and idx, and gives one output";
  const View &x = call.in[0], &idx = call.in[1], &y = call.out[0];
  if (!isIndex(idx)) return "idx must be i32";
  if (x.dtype != y.dtype) return "x and y must have one dtype";
  if (x.rank < 1 || idx.rank != x.rank - 1 || !sameDims(x, 0, idx, 0, idx.rank)) return "idx must have x's dims but the last";
  if (!sameShape(idx, y)) return "y must have idx's shape";
  if (repeats(y)) return "the output must not repeat elements";
  return nullptr;
}

void runTakeAlong(const Call& call) {
  const View &x = call.in[0], &idx = call.in[1], &y = call.out[0];
  const int64_t elementSize = elementBytes(x.dtype);
  const Rows sources = rowsOf(x, 1);
  const Rows indices = rowsOf(idx, 0);
  const Rows targets = rowsOf(y, 0);
  const int64_t numChoices = x.shape[x.rank - 1];
  const int64_t stride = x.strides[x.rank - 1];
  forRows(call.pool, y.size, 8, [&](int64_t row, int) {
    const int32_t index = ints(idx)[indices.offset(row)];
    char* to = static_cast<char*>(y.data) + targets.offset(row) * elementSize;
    if (inRange(index, numChoices, call.status)) {
      const int64_t at = sources.offset(row) + index * stride;
      memcpy(to, static_cast<const char*>(x.data) + at * elementSize, static_cast<size_t>(elementSize));
    } else {
      memset(to, 0, static_cast<size_t>(elementSize));
    }
  });
}

// scatterAlong: idx (n), src (n) -> y (n, V), the gradient of takeAlong

const char* checkScatterAlong(const Call& call) {
  if (call.numIn != 2 || call.numOut != 1) return "scatterAlong needs idx and src, and gives one output";
  const View &idx = call.in[0], &src = call.in[1], &y = call.out[0];
  if (!isIndex(idx)) return "idx must be i32";
  if (!isFloat(src) || !isFloat(y)) return "src and y must be f32";
  if (!sameShape(idx, src)) return "src must have idx's shape";
  if (y.rank != idx.rank + 1 || !sameDims(y, 0, idx, 0, idx.rank)) return "y must have idx's dims and one more";
  if (!isInnerDense(y, 1)) return "y's last dim must be dense";
  if (repeats(y)) return "the output must not repeat elements";
  return nullptr;
}

void runScatterAlong(const Call& call) {
  const View &idx = call.in[0], &src = call.in[1], &y = call.out[0];
  const Rows indices = rowsOf(idx, 0);
  const Rows sources = rowsOf(src, 0);
  const RowWriter target = writeRows(y);
  const int64_t numChoices = y.shape[y.rank - 1];
  forRows(call.pool, idx.size, numChoices, [&](int64_t row, int) {
    const int32_t index = ints(idx)[indices.offset(row)];
    float* to = target.row(row);
    memset(to, 0, static_cast<size_t>(numChoices) * sizeof(float));
    if (inRange(index, numChoices, call.status)) to[index] = floats(src)[sources.offset(row)];
  });
}

constexpr Kernel take{"take", checkTake, nullptr, runTake};
constexpr Kernel scatterAdd{"scatterAdd", checkScatterAdd, nullptr, runScatterAdd};
constexpr Kernel takeAlong{"takeAlong", checkTakeAlong, nullptr, runTakeAlong};
constexpr Kernel scatterAlong{"scatterAlong", checkScatterAlong, nullptr, runScatterAlong};
const RegisterKernel registerTake(take), registerScatterAdd(scatterAdd), registerTakeAlong(takeAlong),
    registerScatterAlong(scatterAlong);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
