// Kernels that move values and compute none:
//   copy        (x -> y)                      same shape and dtype, any strides: makes views dense, writes parts of concats
//   fill        (-> y) [value]
//   iota        (-> y i32) [axis]             the index along an axis
//   updateSlice (x, value, start -> y) [axis] x with `value` written from `start` (clamped; one, or one per row) on; in place when y is x
#include <string.h>

#include "../kernel.h"
#include "../strided.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t chunkBytes = 1 << 17;
constexpr int64_t block = 16;  // side of the squares in which a transposition is copied: 16 floats are a cache line

/** One outer row, or a piece of one, per chunk item; several items per chunk. */
struct Cut {
  int64_t rows, pieces, pieceLength, itemsPerChunk, chunks;
};

Cut cutRows(int64_t rows, int64_t inner, int64_t elementSize) {
  Cut cut{rows, 1, inner, 1, 0};
  if (rows == 0 || inner == 0) return cut;
  const int64_t target = chunkBytes / elementSize;
  if (inner > target) {
    cut.pieces = ceilDiv(inner, target);
    cut.pieceLength = ceilDiv(inner, cut.pieces);
  }
  cut.itemsPerChunk = maxOf<int64_t>(1, target / cut.pieceLength);
  cut.chunks = ceilDiv(rows * cut.pieces, cut.itemsPerChunk);
  return cut;
}

/** Calls `body(index over the outer dims, first column, columns)` for every item, in parallel. */
template <int operands, class Body>
void forPieces(Pool* pool, const Walk<operands>& walk, int64_t elementSize, const Body& body) {
  const Cut cut = cutRows(walk.outer(), walk.inner(), elementSize);
  pool->parallelFor(cut.chunks, [&](int64_t chunk, int) {
    const int64_t first = chunk * cut.itemsPerChunk;
    const int64_t end = minOf(first + cut.itemsPerChunk, cut.rows * cut.pieces);
    int64_t index[maxRank];
    walk.indexOf(first / cut.pieces, index);
    for (int64_t item = first; item < end; ++item) {
      const int64_t column = item % cut.pieces * cut.pieceLength;
      body(index, column, minOf(cut.pieceLength, walk.inner() - column));
      if (item % cut.pieces == cut.pieces - 1) walk.advance(index);
    }
  });
}

/** The outer dim along which x is dense while y is dense along the inner one, or -1. */
int transposedDim(const Walk<2>& walk) {
  if (walk.innerStride(1) != 1 || walk.innerStride(0) <= 1) return -1;
  for (int d = walk.rank - 2; d >= 0; --d) {
    if (walk.strides[0][d] == 1) return d;
  }
  return -1;
}

/** y[i * yStride + j] = x[i + j * xStride], square by square. */
template <class T>
void copyTransposed(Pool* pool, const T* x, T* y, const Walk<2>& walk, int dim) {
  // the two dims make planes; all other outer dims enumerate them
  Walk<2> planes = walk;
  const int64_t height = walk.shape[dim], width = walk.inner();
  const int64_t xStride = walk.innerStride(0), yStride = walk.strides[1][dim];
  planes.shape[dim] = 1;
  const int64_t bandsPerPlane = ceilDiv(height, block);
  const int64_t bandsPerChunk = maxOf<int64_t>(1, chunkBytes / static_cast<int64_t>(sizeof(T)) / (block * width));
  const int64_t bands = planes.outer() * bandsPerPlane;
  pool->parallelFor(ceilDiv(bands, bandsPerChunk), [&](int64_t chunk, int) {
    const int64_t first = chunk * bandsPerChunk;
    for (int64_t band = first; band < minOf(first + bandsPerChunk, bands); ++band) {
      int64_t index[maxRank];
      planes.indexOf(band / bandsPerPlane, index);
      const int64_t top = band % bandsPerPlane * block;
      const int64_t rows = minOf(block, height - top);
      const T* from = x + planes.offset(0, index) + top;
      T* to = y + planes.offset(1, index) + top * yStride;
      for (int64_t left = 0; left < width; left += block) {
        const int64_t columns = minOf(block, width - left);
        // through a buffer, so that each cache line of x is read once however the strides fall
        T square[block][block];
        for (int64_t j = 0; j < columns; ++j) memcpy(square[j], from + (left + j) * xStride, static_cast<size_t>(rows) * sizeof(T));
        for (int64_t i = 0; i < rows; ++i) {
          T* row = to + i * yStride + left;
          for (int64_t j = 0; j < columns; ++j) row[j] = square[j][i];
        }
      }
    }
  });
}

template <class T>
void copyAs(Pool* pool, const View& from, const View& into) {
  const View* views[] = {&from, &into};
  Walk<2> walk;
  walk.init(views, 2);
  const T* x = static_cast<const T*>(from.data);
  T* y = static_cast<T*>(into.data);
  if (const int dim = transposedDim(walk); dim >= 0 && walk.shape[dim] >= 4) {
    copyTransposed(pool, x, y, walk, dim);
    return;
  }
  const int64_t xStride = walk.innerStride(0), yStride = walk.innerStride(1);
  forPieces(pool, walk, sizeof(T), [&](const int64_t* index, int64_t column, int64_t n) {
    const T* source = x + walk.offset(0, index) + column * xStride;
    T* target = y + walk.offset(1, index) + column * yStride;
    if (xStride == 1 && yStride == 1) {
      memmove(target, source, static_cast<size_t>(n) * sizeof(T));
    } else {
      for (int64_t i = 0; i < n; ++i) target[i * yStride] = source[i * xStride];
    }
  });
}

/** True when copying would write every element onto itself. */
bool isSameMemory(const View& a, const View& b) {
  if (a.data != b.data) return false;
  for (int d = 0; d < a.rank; ++d) {
    if (a.shape[d] != 1 && a.strides[d] != b.strides[d]) return false;
  }
  return true;
}

void copyView(Pool* pool, const View& from, const View& into) {
  if (into.size == 0 || isSameMemory(from, into)) return;
  switch (elementBytes(into.dtype)) {
    case 8:
      return copyAs<uint64_t>(pool, from, into);
    case 4:
      return copyAs<uint32_t>(pool, from, into);
    case 2:
      return copyAs<uint16_t>(pool, from, into);
    default:
      return copyAs<uint8_t>(pool, from, into);
  }
}

const char* checkCopy(const Call& call) {
  if (call.numIn != 1 || call.numOut != 1) return "expected one input and one output";
  if (!sameShape(call.in[0], call.out[0])) return "shapes differ";
  return call.in[0].dtype == call.out[0].dtype ? nullptr : "dtypes differ";
}

void runCopy(const Call& call) { copyView(call.pool, call.in[0], call.out[0]); }

// ---- fill ----

uint32_t floatBits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/** The nearest bf16; ties to even. */
uint16_t bf16Bits(float x) {
  const uint32_t bits = floatBits(x);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/** The nearest half; ties to even. */
uint16_t f16Bits(float x) {
  const uint32_t bits = floatBits(x);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    // adding 0.5 leaves exactly the bits of a subnormal half, rounded by the addition
    float tiny;
    memcpy(&tiny, &magnitude, sizeof tiny);
    return static_cast<uint16_t>(sign | (floatBits(tiny + 0.5f) - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

int64_t wholePart(double x) {
  if (!(x == x)) return 0;
  return x >= 9223372036854775808.0 ? INT64_MAX : x < -9223372036854775808.0 ? INT64_MIN : static_cast<int64_t>(x);
}

template <class T>
void fillAs(const Call& call, T value) {
  const View* views[] = {&call.out[0]};
  Walk<1> walk;
  walk.init(views, 1);
  T* y = static_cast<T*>(call.out[0].data);
  const int64_t stride = walk.innerStride(0);
  forPieces(call.pool, walk, sizeof(T), [&](const int64_t* index, int64_t column, int64_t n) {
    T* target = y + walk.offset(0, index) + column * stride;
    if (stride == 1) {
      for (int64_t i = 0; i < n; ++i) target[i] = value;
    } else {
      for (int64_t i = 0; i < n; ++i) target[i * stride] = value;
    }
  });
}

const char* checkFill(const Call& call) {
  return call.numIn == 0 && call.numOut == 1 && call.numParams == 1 ? nullptr : "expected no input, one output, [value]";
}

void runFill(const Call& call) {
  if (call.out[0].size == 0) return;
  const double value = call.params[0];
  switch (call.out[0].dtype) {
    case DType::f64:
      return fillAs<double>(call, value);
    case DType::f32:
      return fillAs<float>(call, static_cast<float>(value));
    case DType::bf16:
      return fillAs<uint16_t>(call, bf16Bits(static_cast<float>(value)));
    case DType::f16:
      return fillAs<uint16_t>(call, f16Bits(static_cast<float>(value)));
    case DType::i64:
      return fillAs<int64_t>(call, wholePart(value));
    case DType::i32:
      return fillAs<int32_t>(call, static_cast<int32_t>(static_cast<uint32_t>(wholePart(value))));
    case DType::u8:
      return fillAs<uint8_t>(call, static_cast<uint8_t>(wholePart(value)));
    default:
      return fillAs<uint8_t>(call, value != 0);
  }
}

// ---- iota ----

const char* checkIota(const Call& call) {
  if (call.numIn != 0 || call.numOut != 1 || call.numParams != 1) return "expected no input, one output, [axis]";
  const View& y = call.out[0];
  if (y.dtype != DType::i32) return "expected i32";
  if (!isWhole(call.params[0], 0, y.rank - 1)) return "the axis is out of range";
  return y.shape[static_cast<int>(call.params[0])] <= INT32_MAX ? nullptr : "the axis is too long for i32";
}

void runIota(const Call& call) {
  const View& y = call.out[0];
  const int axis = static_cast<int>(call.params[0]);
  if (y.size == 0) return;
  // the axis as rows of one value each; what remains is filled
  View rest = y;
  rest.shape[axis] = 1;
  const View* views[] = {&rest};
  Walk<1> walk;
  walk.init(views, 1);
  int32_t* data = static_cast<int32_t*>(y.data);
  const int64_t inner = walk.inner(), stride = walk.innerStride(0), outer = walk.outer();
  const int64_t perChunk = maxOf<int64_t>(1, chunkBytes / 4 / inner);
  const int64_t rows = y.shape[axis];
  call.pool->parallelFor(ceilDiv(rows, perChunk), [&](int64_t chunk, int) {
    for (int64_t row = chunk * perChunk; row < minOf((chunk + 1) * perChunk, rows); ++row) {
      int64_t index[maxRank] = {};
      for (int64_t o = 0; o < outer; ++o) {
        int32_t* p = data + row * y.strides[axis] + walk.offset(0, index);
        for (int64_t i = 0; i < inner; ++i) p[i * stride] = static_cast<int32_t>(row);
        walk.advance(index);
      }
    }
  });
}

// ---- updateSlice ----

const char* checkUpdateSlice(const Call& call) {
  if (call.numIn != 3 || call.numOut != 1 || call.numParams != 1) return "expected x, value, start -> y, [axis]";
  const View &x = call.in[0], &value = call.in[1], &start = call.in[2], &y = call.out[0];
  if (!sameShape(x, y)) return "x and y differ in shape";
  if (x.dtype != y.dtype || value.dtype != y.dtype) return "dtypes differ";
  const bool isPerRow = start.rank == 1 && x.rank > 0 && start.size == x.shape[0] && call.params[0] > 0;
  if (start.dtype != DType::i32 || (start.size != 1 && !isPerRow)) return "expected start to be one i32, or one per row";
  if (value.rank != x.rank) return "x and value differ in rank";
  if (!isWhole(call.params[0], 0, x.rank - 1)) return "the axis is out of range";
  for (int d = 0; d < x.rank; ++d) {
    const bool isAxis = d == static_cast<int>(call.params[0]);
    if (isAxis ? value.shape[d] > x.shape[d] : value.shape[d] != x.shape[d]) return "the value does not fit";
  }
  return nullptr;
}

/** Row `i` of the first dim, as a view of as many dims. */
View rowOf(View view, int64_t i) {
  view.data = static_cast<char*>(view.data) + i * view.strides[0] * elementBytes(view.dtype);
  view.size /= view.shape[0];
  view.shape[0] = 1;
  return view;
}

void runUpdateSlice(const Call& call) {
  const int axis = static_cast<int>(call.params[0]);
  const View &whole = call.in[1], &starts = call.in[2];
  copyView(call.pool, call.in[0], call.out[0]);
  const int32_t* firsts = static_cast<const int32_t*>(starts.data);
  const int64_t last = call.out[0].shape[axis] - whole.shape[axis];
  for (int64_t i = 0; i < starts.size; ++i) {
    View value = whole, window = call.out[0];
    if (starts.size > 1) value = rowOf(value, i), window = rowOf(window, i);
    const int64_t start = maxOf<int64_t>(0, minOf<int64_t>(firsts[starts.rank > 0 ? i * starts.strides[0] : 0], last));
    window.data = static_cast<char*>(window.data) + start * window.strides[axis] * elementBytes(window.dtype);
    window.shape[axis] = value.shape[axis];
    window.size = value.size;
    copyView(call.pool, value, window);
  }
}

constexpr Kernel copyKernel{"copy", checkCopy, nullptr, runCopy};
constexpr Kernel fillKernel{"fill", checkFill, nullptr, runFill};
constexpr Kernel iotaKernel{"iota", checkIota, nullptr, runIota};
constexpr Kernel updateSliceKernel{"updateSlice", checkUpdateSlice, nullptr, runUpdateSlice};
const RegisterKernel registerCopy(copyKernel);
const RegisterKernel registerFill(fillKernel);
const RegisterKernel registerIota(iotaKernel);
const RegisterKernel registerUpdateSlice(updateSliceKernel);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
