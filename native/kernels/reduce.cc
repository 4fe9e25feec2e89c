// Reductions and running sums, of any strides.
//   sum, reduceMax, reduceMin, prod (x -> y) [bit mask of axes]   y has x's rank, the reduced dims with size 1
//   sumSquares (x -> y) []         one f32
//   argmax (x -> y i32) [axis]     the first of equals; a NaN counts as largest
//   cumsum (x -> y) [axis, exclusive, reverse]
//
// A sum is cut into blocks of fixed size, each added in vector lanes, and the blocks' results are added pairwise: the
// order depends on the shape alone, and the error grows with the logarithm of the number of blocks.
#include "../kernel.h"
#include "../math.h"
#include "../simd.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t blockElements = 4096;  // along contiguous reduced dims
constexpr int64_t blockRows = 64;        // when the reduced dims are the outer ones
constexpr int64_t columnTile = 8 * LANES;
constexpr int64_t chunkElements = 1 << 15;

// ---- what is combined ----

struct Sum {
  static constexpr bool squares = false;
  static float start(float) { return 0; }
  static int32_t start(int32_t) { return 0; }
  ATHANOR_INLINE V combine(V a, V b) { return a + b; }
  ATHANOR_INLINE float fold(V a) { return reduceAdd(a); }
  ATHANOR_INLINE VI combine(VI a, VI b) { return a + b; }
};
struct SumSquares : Sum {
  static constexpr bool squares = true;
};
struct Product {
  static constexpr bool squares = false;
  static float start(float) { return 1; }
  static int32_t start(int32_t) { return 1; }
  ATHANOR_INLINE V combine(V a, V b) { return a * b; }
  ATHANOR_INLINE VI combine(VI a, VI b) { return a * b; }
};
struct Max {
  static constexpr bool squares = false;
  static float start(float) { return -INFINITY; }
  static int32_t start(int32_t) { return INT32_MIN; }
  ATHANOR_INLINE V combine(V a, V b) { return maxNan(a, b); }
  ATHANOR_INLINE VI combine(VI a, VI b) { return max(a, b); }
};
struct Min {
  static constexpr bool squares = false;
  static float start(float) { return INFINITY; }
  static int32_t start(int32_t) { return INT32_MAX; }
  ATHANOR_INLINE V combine(V a, V b) { return minNan(a, b); }
  ATHANOR_INLINE VI combine(VI a, VI b) { return min(a, b); }
};

ATHANOR_INLINE V setAny(float x) { return set(x); }
ATHANOR_INLINE VI setAny(int32_t x) { return setInt(x); }
/** Halves fold onto halves: one fixed tree over the lanes. */
template <class Op, class T, class Vector>
ATHANOR_INLINE T reduceLanes(Vector a) {
  if constexpr (requires { Op::fold(a); }) return Op::fold(a);
  T lanes[2 * LANES];
  storeAny(lanes, a);
  for (int width = LANES / 2; width >= 1; width /= 2) {
    for (int i = LANES; i < 2 * LANES; ++i) lanes[i] = Op::start(T{});
    storeAny(lanes, Op::combine(loadAny(lanes), loadAny(lanes + width)));
  }
  return lanes[0];
}

// ---- the plan of a reduction ----

struct Dim {
  int64_t size, strideX, strideY;
};

/** Kept and reduced dims apart, each from the largest to the smallest stride of x, neighbours merged. */
struct Layout {
  Dim kept[maxRank], reduced[maxRank];
  int numKept = 0, numReduced = 0;
  int64_t outputs = 1, length = 1;  // products
  bool columns = false;             // the innermost dim of x is a kept one

  static void add(Dim* dims, int& count, Dim dim) {
    if (dim.size == 1) return;
    int at = count++;
    while (at > 0 && dims[at - 1].strideX < dim.strideX) {
      dims[at] = dims[at - 1];
      --at;
    }
    dims[at] = dim;
  }
  static void merge(Dim* dims, int& count) {
    int last = 0;
    for (int d = 1; d < count; ++d) {
      Dim& outer = dims[last];
      const bool joins =
          outer.strideX == dims[d].size * dims[d].strideX && outer.strideY == dims[d].size * dims[d].strideY;
      if (joins) {
        outer = {outer.size * dims[d].size, dims[d].strideX, dims[d].strideY};
      } else {
        dims[++last] = dims[d];
      }
    }
    if (count > 0) count = last + 1;
  }

  void init(const View& x, const int64_t* stridesY, unsigned mask) {
    for (int d = 0; d < x.rank; ++d) {
      const bool isReduced = (mask >> d & 1) != 0;
      (isReduced ? length : outputs) *= x.shape[d];
      if (isReduced) {
        add(reduced, numReduced, {x.shape[d], x.strides[d], 0});
      } else {
        add(kept, numKept, {x.shape[d], x.strides[d], stridesY[d]});
      }
    }
    merge(kept, numKept);
    merge(reduced, numReduced);
    const bool hasKept = numKept > 0, hasReduced = numReduced > 0;
    columns = hasKept && (!hasReduced || kept[numKept - 1].strideX < reduced[numReduced - 1].strideX);
    if (!hasKept) kept[numKept++] = {1, 0, 0};
    if (!hasReduced) reduced[numReduced++] = {1, 0, 0};
  }
};

/** Offsets in x and y of a row-major position over `count` dims. */
ATHANOR_INLINE void offsetsOf(const Dim* dims, int count, int64_t position, int64_t* x, int64_t* y) {
  *x = *y = 0;
  for (int d = count - 1; d >= 0; --d) {
    const int64_t index = d == 0 ? position : position % dims[d].size;
    position = d == 0 ? 0 : position / dims[d].size;
    *x += index * dims[d].strideX;
    *y += index * dims[d].strideY;
  }
}

/** How the reduced elements are cut into blocks, whatever the number of threads. */
struct Blocks {
  int64_t count;
  int64_t rows;           // outer positions of the reduced dims (all positions, when they are walked as rows of columns)
  int64_t rowsPerBlock;   // several short rows in a block ...
  int64_t piecesPerRow;   // ... or several blocks in a long row
  int64_t pieceLength;
};

Blocks blocksOf(const Layout& layout) {
  Blocks b{1, layout.length, blockRows, 1, 1};
  if (!layout.columns) {
    const int64_t inner = layout.reduced[layout.numReduced - 1].size;
    b.rows = inner == 0 ? 0 : layout.length / inner;
    b.piecesPerRow = maxOf<int64_t>(1, ceilDiv(inner, blockElements));
    b.pieceLength = roundUp(ceilDiv(inner, b.piecesPerRow), 16);
    b.piecesPerRow = maxOf<int64_t>(1, ceilDiv(inner, maxOf<int64_t>(1, b.pieceLength)));
    b.rowsPerBlock = b.piecesPerRow > 1 ? 1 : maxOf<int64_t>(1, blockElements / maxOf<int64_t>(1, inner));
  }
  b.count = maxOf<int64_t>(1, ceilDiv(b.rows, b.rowsPerBlock) * b.piecesPerRow);
  return b;
}

template <class T>
ATHANOR_INLINE auto loadStrided(const T* p, int64_t stride, int64_t n) {
  T lanes[LANES] = {};
  for (int64_t i = 0; i < minOf<int64_t>(n, LANES); ++i) lanes[i] = p[i * stride];
  return loadAny(lanes);
}

template <class Op, class Vector>
ATHANOR_INLINE Vector prepare(Vector x) {
  if constexpr (Op::squares) {
    return x * x;
  } else {
    return x;
  }
}

/** Combines n elements into four accumulators, the i-th vector into the (i mod 4)-th. */
template <class Op, class T, class Vector>
ATHANOR_INLINE void accumulate(Vector* acc, const T* p, int64_t stride, int64_t n) {
  int64_t i = 0;
  if (stride == 1) {
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
      for (int k = 0; k < 4; ++k) acc[k] = Op::combine(acc[k], prepare<Op>(loadAny(p + i + k * LANES)));
    }
  }
  const Vector start = setAny(Op::start(T{}));
  for (int k = 0; i < n; i += LANES, k = (k + 1) % 4) {
    const int64_t rest = n - i;
    const Vector x = stride == 1 ? loadAny(p + i, tail(rest)) : loadStrided(p + i * stride, stride, rest);
    acc[k] = Op::combine(acc[k], select(tail(rest), prepare<Op>(x), start));
  }
}

/** One block of one output, when the reduced dims are innermost. */
template <class Op, class T>
T reduceBlock(const T* x, const Layout& layout, const Blocks& blocks, int64_t block) {
  const Dim& inner = layout.reduced[layout.numReduced - 1];
  const int64_t firstRow = block / blocks.piecesPerRow * blocks.rowsPerBlock;
  const int64_t column = block % blocks.piecesPerRow * blocks.pieceLength;
  const int64_t n = minOf(blocks.pieceLength, inner.size - column);
  auto start = setAny(Op::start(T{}));
  decltype(start) acc[4] = {start, start, start, start};
  for (int64_t row = firstRow; row < minOf(firstRow + blocks.rowsPerBlock, blocks.rows); ++row) {
    int64_t offset, unused;
    offsetsOf(layout.reduced, layout.numReduced - 1, row, &offset, &unused);
    accumulate<Op>(acc, x + offset + column * inner.strideX, inner.strideX, n);
  }
  return reduceLanes<Op, T>(Op::combine(Op::combine(acc[0], acc[1]), Op::combine(acc[2], acc[3])));
}

/** One block of up to columnTile neighbouring outputs, when a kept dim is innermost. */
template <class Op, class T>
void reduceColumns(T* out, const T* x, const Layout& layout, const Blocks& blocks, int64_t block, int64_t n) {
  const int64_t stride = layout.kept[layout.numKept - 1].strideX;
  auto start = setAny(Op::start(T{}));
  decltype(start) acc[columnTile / LANES];
  for (auto& a : acc) a = start;
  const int64_t firstRow = block * blocks.rowsPerBlock;
  for (int64_t row = firstRow; row < minOf(firstRow + blocks.rowsPerBlock, blocks.rows); ++row) {
    int64_t offset, unused;
    offsetsOf(layout.reduced, layout.numReduced, row, &offset, &unused);
    const T* p = x + offset;
    if (stride == 1 && n == columnTile) {
      for (int k = 0; k < columnTile / LANES; ++k) acc[k] = Op::combine(acc[k], prepare<Op>(loadAny(p + k * LANES)));
    } else {
      for (int k = 0; k * LANES < n; ++k) {
        const int64_t rest = n - k * LANES;
        const auto v = stride == 1 ? loadAny(p + k * LANES, tail(rest)) : loadStrided(p + k * LANES * stride, stride, rest);
        acc[k] = Op::combine(acc[k], prepare<Op>(v));
      }
    }
  }
  for (int k = 0; k * LANES < n; ++k) storeAny(out + k * LANES, acc[k], tail(n - k * LANES));
}

/** partial[0][i] becomes the pairwise combination of partial[b][i] over all blocks b. */
template <class Op, class T>
void combineBlocks(T* partial, int64_t outputs, int64_t blocks, int64_t first, int64_t n) {
  for (int64_t step = 1; step < blocks; step *= 2) {
    for (int64_t b = 0; b + step < blocks; b += 2 * step) {
      T* into = partial + b * outputs + first;
      const T* from = partial + (b + step) * outputs + first;
      for (int64_t i = 0; i < n; i += LANES) {
        const M m = tail(n - i);
        storeAny(into + i, Op::combine(loadAny(into + i, m), loadAny(from + i, m)), m);
      }
    }
  }
}

template <class Op, class T>
void reduceAs(const Call& call, const Layout& layout) {
  const T* x = static_cast<const T*>(call.in[0].data);
  T* y = static_cast<T*>(call.out[0].data);
  T* partial = reinterpret_cast<T*>(call.workspace);  // [blocks][outputs]
  const Blocks blocks = blocksOf(layout);
  const int64_t outputs = layout.outputs;
  if (outputs == 0) return;
  const int64_t inner = layout.columns ? layout.kept[layout.numKept - 1].size : 1;
  const int64_t tilesPerRow = layout.columns ? ceilDiv(inner, columnTile) : 1;
  const int64_t groups = layout.columns ? outputs / inner * tilesPerRow : outputs;  // of outputs that are reduced together
  const int64_t perItem = ceilDiv(layout.length, blocks.count) * (layout.columns ? minOf(inner, columnTile) : 1);
  const int64_t itemsPerChunk = maxOf<int64_t>(1, chunkElements / maxOf<int64_t>(1, perItem));
  const int64_t items = groups * blocks.count;
  call.pool->parallelFor(ceilDiv(items, itemsPerChunk), [&](int64_t chunk, int) {
    for (int64_t item = chunk * itemsPerChunk; item < minOf((chunk + 1) * itemsPerChunk, items); ++item) {
      const int64_t group = item / blocks.count, block = item % blocks.count;
      T* into = partial + block * outputs;
      int64_t offset, unused;
      if (layout.columns) {
        const int64_t column = group % tilesPerRow * columnTile;
        const int64_t output = group / tilesPerRow * inner + column;
        offsetsOf(layout.kept, layout.numKept, output, &offset, &unused);
        reduceColumns<Op>(into + output, x + offset, layout, blocks, block, minOf(columnTile, inner - column));
      } else {
        offsetsOf(layout.kept, layout.numKept, group, &offset, &unused);
        into[group] = reduceBlock<Op>(x + offset, layout, blocks, block);
      }
    }
  });
  const int64_t perChunk = maxOf<int64_t>(columnTile, chunkElements / blocks.count / columnTile * columnTile);
  call.pool->parallelFor(ceilDiv(outputs, perChunk), [&](int64_t chunk, int) {
    const int64_t first = chunk * perChunk;
    const int64_t n = minOf(perChunk, outputs - first);
    combineBlocks<Op>(partial, outputs, blocks.count, first, n);
    for (int64_t i = first; i < first + n; ++i) {
      int64_t unused, offset;
      offsetsOf(layout.kept, layout.numKept, i, &unused, &offset);
      y[offset] = partial[i];
    }
  });
}

// ---- sum, reduceMax, reduceMin, prod, sumSquares ----

unsigned axesOf(const Call& call) { return static_cast<unsigned>(call.params[0]); }

const char* checkReduce(const Call& call) {
  if (call.numIn != 1 || call.numOut != 1 || call.numParams != 1) return "expected one input, one output, [axes]";
  const View &x = call.in[0], &y = call.out[0];
  if (x.dtype != y.dtype || (x.dtype != DType::f32 && x.dtype != DType::i32)) return "expected f32 or i32, x and y alike";
  if (x.rank != y.rank) return "x and y differ in rank";
  if (!isWhole(call.params[0], 0, (1 << x.rank) - 1)) return "an axis is out of range";
  for (int d = 0; d < x.rank; ++d) {
    const bool reduced = (axesOf(call) >> d & 1) != 0;
    if (y.shape[d] != (reduced ? 1 : x.shape[d])) return "y's shape is not x's with the reduced dims 1";
  }
  return nullptr;
}

Layout layoutOf(const Call& call, bool everything) {
  Layout layout;
  const int64_t none[maxRank] = {};
  layout.init(call.in[0], everything ? none : call.out[0].strides, everything ? 0xff : axesOf(call));
  return layout;
}

size_t partialBytes(const Layout& layout) { return scratchBytes<float>(blocksOf(layout).count * layout.outputs); }

size_t workspaceReduce(const Call& call, int) { return partialBytes(layoutOf(call, false)); }

template <class Op>
void runReduce(const Call& call) {
  const Layout layout = layoutOf(call, false);
  if (call.in[0].dtype == DType::i32) {
    reduceAs<Op, int32_t>(call, layout);
  } else {
    reduceAs<Op, float>(call, layout);
  }
}

const char* checkSumSquares(const Call& call) {
  if (call.numIn != 1 || call.numOut != 1 || call.numParams != 0) return "expected one input, one output";
  if (call.in[0].dtype != DType::f32 || call.out[0].dtype != DType::f32) return "expected f32";
  return call.out[0].size == 1 ? nullptr : "expected a scalar output";
}

size_t workspaceSumSquares(const Call& call, int) { return partialBytes(layoutOf(call, true)); }

void runSumSquares(const Call& call) { reduceAs<SumSquares, float>(call, layoutOf(call, true)); }

// ---- along one axis: argmax, cumsum ----

/** All dims but one, as lines to walk along that one. */
struct Lines {
  int64_t count = 1;
  int rank = 0;
  Dim dims[maxRank];

  void init(const View& x, const int64_t* stridesY, int axis) {
    for (int d = 0; d < x.rank; ++d) {
      if (d == axis) continue;
      count *= x.shape[d];
      dims[rank++] = {x.shape[d], x.strides[d], stridesY[d]};
    }
  }
};

/** Calls `body(line, offset in x, offset in y)` for every line, in parallel. */
template <class Body>
void forLines(Pool* pool, const Lines& lines, int64_t length, const Body& body) {
  const int64_t perChunk = maxOf<int64_t>(1, chunkElements / maxOf<int64_t>(1, length));
  pool->parallelFor(ceilDiv(lines.count, perChunk), [&](int64_t chunk, int) {
    for (int64_t line = chunk * perChunk; line < minOf((chunk + 1) * perChunk, lines.count); ++line) {
      int64_t x, y;
      offsetsOf(lines.dims, lines.rank, line, &x, &y);
      body(x, y);
    }
  });
}

const char* checkArgmax(const Call& call) {
  if (call.numIn != 1 || call.numOut != 1 || call.numParams != 1) return "expected one input, one output, [axis]";
  const View &x = call.in[0], &y = call.out[0];
  if (x.dtype != DType::f32 && x.dtype != DType::i32) return "expected f32 or i32";
  if (y.dtype != DType::i32) return "expected an i32 output";
  if (!isWhole(call.params[0], 0, x.rank - 1)) return "the axis is out of range";
  const int axis = static_cast<int>(call.params[0]);
  if (x.shape[axis] < 1 || x.shape[axis] > INT32_MAX) return "the axis is empty or too long for i32";
  if (y.rank != x.rank) return "x and y differ in rank";
  for (int d = 0; d < x.rank; ++d) {
    if (y.shape[d] != (d == axis ? 1 : x.shape[d])) return "y's shape is not x's with the axis 1";
  }
  return nullptr;
}

template <class T>
int32_t indexOfLargest(const T* p, int64_t stride, int64_t n) {
  int64_t best = 0;
  T champion = p[0];
  for (int64_t i = 1; i < n && champion == champion; ++i) {
    const T value = p[i * stride];
    if (value > champion || value != value) {
      champion = value;
      best = i;
    }
  }
  return static_cast<int32_t>(best);
}

void runArgmax(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const int axis = static_cast<int>(call.params[0]);
  Lines lines;
  lines.init(x, y.strides, axis);
  const int64_t n = x.shape[axis], stride = x.strides[axis];
  int32_t* out = static_cast<int32_t*>(y.data);
  forLines(call.pool, lines, n, [&](int64_t atX, int64_t atY) {
    out[atY] = x.dtype == DType::f32 ? indexOfLargest(static_cast<const float*>(x.data) + atX, stride, n)
                                     : indexOfLargest(static_cast<const int32_t*>(x.data) + atX, stride, n);
  });
}

const char* checkCumsum(const Call& call) {
  if (call.numIn != 1 || call.numOut != 1 || call.numParams != 3) return "expected x -> y, [axis, exclusive, reverse]";
  const View &x = call.in[0], &y = call.out[0];
  if (!sameShape(x, y)) return "x and y differ in shape";
  if (x.dtype != y.dtype || (x.dtype != DType::f32 && x.dtype != DType::i32)) return "expected f32 or i32, x and y alike";
  if (!isWhole(call.params[0], 0, x.rank - 1)) return "the axis is out of range";
  return isWhole(call.params[1], 0, 1) && isWhole(call.params[2], 0, 1) ? nullptr : "exclusive and reverse are 0 or 1";
}

/** The total runs in `Total`, wider than the elements. x and y may be the same memory. */
template <class T, class Total>
void cumsumAs(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const int axis = static_cast<int>(call.params[0]);
  const bool exclusive = call.params[1] != 0, reverse = call.params[2] != 0;
  Lines lines;
  lines.init(x, y.strides, axis);
  const int64_t n = x.shape[axis];
  const int64_t strideX = x.strides[axis], strideY = y.strides[axis];
  forLines(call.pool, lines, n, [&](int64_t atX, int64_t atY) {
    const T* from = static_cast<const T*>(x.data) + atX;
    T* into = static_cast<T*>(y.data) + atY;
    Total total = 0;
    for (int64_t step = 0; step < n; ++step) {
      const int64_t i = reverse ? n - 1 - step : step;
      const Total before = total;
      total += static_cast<Total>(from[i * strideX]);
      into[i * strideY] = static_cast<T>(exclusive ? before : total);
    }
  });
}

void runCumsum(const Call& call) {
  if (call.out[0].size == 0) return;
  if (call.in[0].dtype == DType::i32) {
    cumsumAs<int32_t, uint32_t>(call);  // unsigned: overflow wraps
  } else {
    cumsumAs<float, double>(call);
  }
}

constexpr Kernel sumKernel{"sum", checkReduce, workspaceReduce, runReduce<Sum>};
constexpr Kernel maxKernel{"reduceMax", checkReduce, workspaceReduce, runReduce<Max>};
constexpr Kernel minKernel{"reduceMin", checkReduce, workspaceReduce, runReduce<Min>};
constexpr Kernel prodKernel{"prod", checkReduce, workspaceReduce, runReduce<Product>};
constexpr Kernel sumSquaresKernel{"sumSquares", checkSumSquares, workspaceSumSquares, runSumSquares};
constexpr Kernel argmaxKernel{"argmax", checkArgmax, nullptr, runArgmax};
constexpr Kernel cumsumKernel{"cumsum", checkCumsum, nullptr, runCumsum};
const RegisterKernel registerSum(sumKernel);
const RegisterKernel registerMax(maxKernel);
const RegisterKernel registerMin(minKernel);
const RegisterKernel registerProd(prodKernel);
const RegisterKernel registerSumSquares(sumSquaresKernel);
const RegisterKernel registerArgmax(argmaxKernel);
const RegisterKernel registerCumsum(cumsumKernel);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
