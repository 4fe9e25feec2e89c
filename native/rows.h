// Rows of a strided view: where each one starts, and a dense copy of it when its own elements are not dense.
// Not a kernel, and not for views whose inner dims are walked two at a time.
#pragma once

#include "bf16.h"
#include "kernel.h"

namespace athanor::ATHANOR_ISA {

/** The outer dims of a view, neighbours merged where one stride spans both: usually one dim is left. */
struct Rows {
  int64_t count;  // product of the outer dims
  int rank;
  int64_t shape[maxRank];
  int64_t strides[maxRank];

  /** Elements from the view's start to row `row` (row-major over the outer dims). */
  int64_t offset(int64_t row) const {
    int64_t result = 0;
    for (int d = rank - 1; d > 0; --d) {
      result += row % shape[d] * strides[d];
      row /= shape[d];
    }
    return rank > 0 ? result + row * strides[0] : 0;
  }
};

/** Rows of `view` when its last `innerDims` dims form the row. */
ATHANOR_INLINE Rows rowsOf(const View& view, int innerDims) {
  Rows rows{1, 0, {}, {}};
  for (int d = 0; d < view.rank - innerDims; ++d) {
    rows.count *= view.shape[d];
    if (view.shape[d] == 1) continue;
    int last = rows.rank - 1;
    if (last >= 0 && rows.strides[last] == view.shape[d] * view.strides[d]) {
      rows.shape[last] *= view.shape[d];
      rows.strides[last] = view.strides[d];
    } else {
      rows.shape[rows.rank] = view.shape[d];
      rows.strides[rows.rank++] = view.strides[d];
    }
  }
  return rows;
}

/** The product of the last `innerDims` dims. */
ATHANOR_INLINE int64_t innerSize(const View& view, int innerDims) {
  int64_t size = 1;
  for (int d = view.rank - innerDims; d < view.rank; ++d) size *= view.shape[d];
  return size;
}

/** True when the last `innerDims` dims are dense and row-major among themselves. */
ATHANOR_INLINE bool isInnerDense(const View& view, int innerDims) {
  if (view.size == 0) return true;
  int64_t expected = 1;
  for (int d = view.rank - 1; d >= view.rank - innerDims; --d) {
    if (view.shape[d] != 1 && view.strides[d] != expected) return false;
    expected *= view.shape[d];
  }
  return true;
}

/** True when two elements of the view share memory: such a view can be read, never written. */
ATHANOR_INLINE bool repeats(const View& view) {
  for (int d = 0; d < view.rank; ++d) {
    if (view.shape[d] > 1 && view.strides[d] == 0 && view.size > 0) return true;
  }
  return false;
}

ATHANOR_INLINE bool isFloat(const View& view) { return view.dtype == DType::f32; }
ATHANOR_INLINE bool isFloatOrBf16(const View& view) { return view.dtype == DType::f32 || view.dtype == DType::bf16; }
ATHANOR_INLINE bool isIndex(const View& view) { return view.dtype == DType::i32; }
ATHANOR_INLINE bool isScalarFloat(const View& view) { return view.size == 1 && view.dtype == DType::f32; }

ATHANOR_INLINE float* floats(const View& view) { return static_cast<float*>(view.data); }
ATHANOR_INLINE Elements elements(const View& view) { return {view.data, view.dtype == DType::bf16}; }
ATHANOR_INLINE int32_t* ints(const View& view) { return static_cast<int32_t*>(view.data); }

/** Reads rows of the last dim of an f32 or bf16 view, whatever its strides. */
struct RowReader {
  Elements base;
  Rows rows;
  int64_t length;
  int64_t stride;

  bool isDense() const { return stride == 1 || length <= 1; }

  /** The elements of a bf16 row, widened. */
  const float* widened(Elements source, float* scratch) const {
    if (isDense()) {
      convertRow(scratch, source.words(), length);
    } else {
      for (int64_t i = 0; i < length; ++i) scratch[i] = widen(source.words()[i * stride]);
    }
    return scratch;
  }

  /** Row `row`, dense: a pointer into the view where possible, else a copy in `scratch` (`length` floats). */
  const float* row(int64_t row, float* scratch) const {
    const Elements at = base + rows.offset(row);
    if (base.narrow) return widened(at, scratch);
    const float* source = at.floats();
    if (isDense()) return source;
    for (int64_t i = 0; i < length; ++i) scratch[i] = source[i * stride];
    return scratch;
  }
};

ATHANOR_INLINE RowReader readRows(const View& view) {
  return {elements(view), rowsOf(view, 1), view.shape[view.rank - 1], view.strides[view.rank - 1]};
}

/** Writes rows of the last dim of an f32 or bf16 view, which must be dense inside a row. */
struct RowWriter {
  Elements base;
  Rows rows;
  int64_t length;

  /** Where to write row `row`: in the view, or for bf16 in `scratch` (`length` floats), which finish() rounds into it. */
  float* row(int64_t row, float* scratch = nullptr) const {
    return base.narrow ? scratch : (base + rows.offset(row)).floats();
  }
  void finish(int64_t row, const float* scratch) const {
    if (base.narrow) convertRow((base + rows.offset(row)).words(), scratch, length);
  }
};

ATHANOR_INLINE RowWriter writeRows(const View& view) {
  return {elements(view), rowsOf(view, 1), view.shape[view.rank - 1]};
}

/** One float per row: the outer dims of some other view, as a view of their own. */
struct Column {
  float* base;
  Rows rows;

  float& operator[](int64_t row) const { return base[rows.offset(row)]; }
};

ATHANOR_INLINE Column columnOf(const View& view) { return {floats(view), rowsOf(view, 0)}; }

/** How many rows of `length` elements make one chunk of about `elements`: from the problem alone, never the threads. */
ATHANOR_INLINE int64_t rowsPerChunk(int64_t length, int64_t elements) {
  return maxOf<int64_t>(1, elements / maxOf<int64_t>(1, length));
}

/** Calls `body(row, thread)` for every row, in chunks of about `elements` elements. */
template <class Body>
ATHANOR_INLINE void forRows(Pool* pool, int64_t numRows, int64_t length, const Body& body, int64_t elements = 16384) {
  int64_t step = rowsPerChunk(length, elements);
  pool->parallelFor(ceilDiv(numRows, step), [&](int64_t chunk, int thread) {
    int64_t end = minOf(numRows, (chunk + 1) * step);
    for (int64_t row = chunk * step; row < end; ++row) body(row, thread);
  });
}

/**
 * Deals out scratch memory piece by piece. A kernel writes the layout of its scratch once: with a null base it only
 * measures (`used`), with the workspace it hands out pointers.
 */
struct Scratch {
  char* base;
  size_t used = 0;

  template <class T>
  T* take(int64_t count) {
    T* piece = base == nullptr ? nullptr : reinterpret_cast<T*>(base + used);
    used += scratchBytes<T>(count);
    return piece;
  }
};

/** Scratch for one dense row of each thread, or nothing when the rows of `view` are dense f32 already. */
struct RowScratch {
  float* base;
  int64_t step;

  float* of(int thread) const { return base + thread * step; }
};

ATHANOR_INLINE RowScratch takeRows(Scratch& scratch, const View& view, int numThreads) {
  const int64_t length = view.shape[view.rank - 1];
  const int64_t step = isInnerDense(view, 1) && isFloat(view) ? 0 : roundUp(length, 16);
  return {scratch.take<float>(step * numThreads), step};
}

/** A dense copy of a rank-1 float view where it is not dense (a broadcast scale, say). */
ATHANOR_INLINE const float* denseVector(const View& view, float* scratch) {
  return readRows(view).row(0, scratch);
}
ATHANOR_INLINE float* takeVector(Scratch& scratch, const View& view) {
  return scratch.take<float>(isInnerDense(view, 1) ? 0 : view.shape[0]);
}

}  // namespace athanor::ATHANOR_ISA
