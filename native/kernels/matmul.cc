// The kernel `matmul`: a (..., M, K) by b (..., K, N) gives c (..., M, N), batch dims equal or broadcast by stride 0, either
// matrix transposed, any strides in a and b, each of them f32 or bf16. How one product is computed is in gemm.h.
// params: transposeA, transposeB, accumulate (c += a b)
#include "../gemm.h"
#include "../kernel.h"

namespace athanor::ATHANOR_ISA {
namespace {

struct BatchDim {
  int64_t size, a, b, c;  // strides
};

/** The call, with its pointers still at the first matrix: batch dims merged, and folded into the rows where they go on. */
struct Batch {
  Product product;
  int rank;
  BatchDim dims[maxRank];
  int64_t count;

  Product at(int64_t item) const {
    Product p = product;
    for (int d = rank - 1; d >= 0; --d) {
      const int64_t index = item % dims[d].size;
      item /= dims[d].size;
      p.a += index * dims[d].a;
      p.b += index * dims[d].b;
      p.c += index * dims[d].c;
    }
    return p;
  }
};

/** c^T = b^T a^T. */
ATHANOR_INLINE void transposeProduct(Batch& batch, int64_t cColumn) {
  const Product p = batch.product;
  batch.product = {p.columns, p.rows, p.depth, p.b, p.bColumn, p.bDepth, p.a, p.aDepth, p.aRow, p.c, cColumn, p.accumulate};
  for (int d = 0; d < batch.rank; ++d) {
    const BatchDim dim = batch.dims[d];
    batch.dims[d] = {dim.size, dim.b, dim.a, dim.c};
  }
}

Batch readCall(const Call& call) {
  const View &a = call.in[0], &b = call.in[1], &c = call.out[0];
  const int rank = c.rank;
  const int aRow = call.params[0] != 0 ? rank - 1 : rank - 2, aDepth = call.params[0] != 0 ? rank - 2 : rank - 1;
  const int bDepth = call.params[1] != 0 ? rank - 1 : rank - 2, bColumn = call.params[1] != 0 ? rank - 2 : rank - 1;
  Batch batch{};
  batch.product = {c.shape[rank - 2], c.shape[rank - 1], a.shape[aDepth],
                   elements(a),       a.strides[aRow],   a.strides[aDepth],
                   elements(b),       b.strides[bDepth], b.strides[bColumn],
                   elements(c),       c.strides[rank - 2], call.params[2] != 0};
  for (int d = 0; d < rank - 2; ++d) {
    if (c.shape[d] == 1) continue;
    const BatchDim dim{c.shape[d], a.strides[d], b.strides[d], c.strides[d]};
    BatchDim* outer = batch.rank > 0 ? &batch.dims[batch.rank - 1] : nullptr;
    if (outer != nullptr && outer->a == dim.size * dim.a && outer->b == dim.size * dim.b && outer->c == dim.size * dim.c) {
      *outer = {outer->size * dim.size, dim.a, dim.b, dim.c};
    } else {
      batch.dims[batch.rank++] = dim;
    }
  }
  Product& p = batch.product;
  if (c.strides[rank - 1] != 1 && p.columns != 1) transposeProduct(batch, c.strides[rank - 1]);
  // one b for rows that go on from matrix to matrix: x (B, T, C) times w (C, N)
  while (batch.rank > 0) {
    const BatchDim& inner = batch.dims[batch.rank - 1];
    if (inner.b != 0) break;
    if (p.rows == 1) {
      p.aRow = inner.a;
      p.cRow = inner.c;
    } else if (inner.a != p.rows * p.aRow || inner.c != p.rows * p.cRow) {
      break;
    }
    p.rows *= inner.size;
    --batch.rank;
  }
  if (p.columns == 1 && p.rows > 1 && p.cRow == 1) transposeProduct(batch, 1);  // one row: dot products
  batch.count = 1;
  for (int d = 0; d < batch.rank; ++d) batch.count *= batch.dims[d].size;
  p = inPairs(p);
  return batch;
}

const char* check(const Call& call) {
  if (call.numIn != 2 || call.numOut != 1) return "matmul needs a and b, and gives c";
  if (call.numParams != 3) return "matmul needs transposeA, transposeB and accumulate";
  const View &a = call.in[0], &b = call.in[1], &c = call.out[0];
  if (!isFloatOrBf16(a) || !isFloatOrBf16(b) || !isFloatOrBf16(c)) return "a, b and c must be f32 or bf16";
  if (!isFloat(c) && call.params[2] != 0) return "only an f32 c can be added to";
  const int rank = c.rank;
  if (rank < 2 || a.rank != rank || b.rank != rank) return "a, b and c must have one rank of at least 2";
  for (int d = 0; d < rank - 2; ++d) {
    if (a.shape[d] != c.shape[d] || b.shape[d] != c.shape[d]) return "batch dims must be equal";
  }
  const int aRow = call.params[0] != 0 ? rank - 1 : rank - 2;
  const int bColumn = call.params[1] != 0 ? rank - 2 : rank - 1;
  if (a.shape[aRow] != c.shape[rank - 2]) return "rows of a and c differ";
  if (b.shape[bColumn] != c.shape[rank - 1]) return "columns of b and c differ";
  if (a.shape[2 * rank - 3 - aRow] != b.shape[2 * rank - 3 - bColumn]) return "inner dims differ";
  const bool isVector = c.shape[rank - 1] <= 1 || c.shape[rank - 2] <= 1;
  if (!isVector && c.strides[rank - 1] != 1 && c.strides[rank - 2] != 1) return "c must be dense in its rows or its columns";
  if (repeats(c)) return "c must not repeat elements";
  return nullptr;
}

enum class Way { nothing, batched, split, grid, shared };

/** What the sizes decide; the number of threads has no say. */
struct Cut {
  Way way;
  int64_t step;  // batched: items of a chunk; split: depth of a part; grid: columns of a chunk
  int64_t numChunks;
  int64_t rows;  // grid: rows of a chunk
};

// Measured on 2 cores with 1 MB of L2 each; a factor of two either way changes little.
constexpr int64_t smallWork = 1 << 18;      // multiply-adds that are not worth a second thread, some 5 microseconds
constexpr int64_t mediumWork = 1 << 21;     // below it a product of a batch is better left to one thread
constexpr int64_t manyItems = 16;           // so many products keep any number of threads busy
constexpr int64_t splitTiles = 8;           // fewer tiles of c than this do not
constexpr int64_t maxSplits = 16;
constexpr int64_t fewRows = 20 * tileRows;  // a is then small enough to be read again for every few columns
constexpr int64_t smallB = 128 * 1024;      // floats of b that stay in L2 while every few rows read them again
constexpr int64_t gridChunks = 8, maxGridChunks = 32;

Cut cutWork(const Batch& batch) {
  const Product& p = batch.product;
  if (p.rows == 0 || p.columns == 0 || batch.count == 0) return {Way::nothing, 0, 0, 0};
  if (p.depth == 0) return {Way::batched, 1, batch.count, 0};
  const int64_t work = p.rows * p.columns * p.depth;
  if (work < smallWork || (batch.count > 1 && (work < mediumWork || batch.count >= manyItems))) {
    const int64_t items = minOf(batch.count, maxOf<int64_t>(1, smallWork / work));
    return {Way::batched, items, ceilDiv(batch.count, items), 0};
  }
  const int64_t tiles = ceilDiv(p.rows, tileRows) * ceilDiv(p.columns, tileColumns);
  if (tiles <= splitTiles && p.depth >= 4 * depthBlock) {
    const int64_t step = roundUp(ceilDiv(p.depth, minOf(maxSplits, p.depth / depthBlock)), 16);
    return {Way::split, step, ceilDiv(p.depth, step), 0};
  }
  const bool inPlace = p.bColumn == 1 && !p.a.narrow && !p.b.narrow && p.depth * p.columns <= smallB;
  const bool packsOften = packsA(p) && work >= mediumWork;  // every few columns would pack a again
  if ((p.rows <= fewRows && !packsOften) || inPlace) {
    const bool wide = p.columns >= gridChunks * tileColumns;
    const int64_t whole = p.rows <= streamRows ? streamVectors * LANES : tileColumns;
    const int64_t unit = wide ? whole : minOf<int64_t>(tileColumns, 2 * LANES);
    const int64_t wanted = minOf<int64_t>(maxGridChunks, work / smallWork);
    const int64_t step = minOf(roundUp(ceilDiv(p.columns, wanted), unit), localColumns);
    const int64_t strips = ceilDiv(p.columns, step);
    const int64_t wantedBlocks = maxOf<int64_t>(1, wanted / strips);
    const int64_t rows = inPlace ? minOf(thinRows, roundUp(ceilDiv(p.rows, wantedBlocks), tileRows)) : p.rows;
    return {Way::grid, step, strips * ceilDiv(p.rows, rows), rows};
  }
  return {Way::shared, 0, 1, 0};
}

ATHANOR_INLINE Product partOfDepth(const Product& p, int64_t first, int64_t depth) {
  Product part = p;
  part.depth = depth;
  part.a += first * p.aDepth;
  part.b += first * p.bDepth;
  part.odd = p.odd && first + depth == p.depth;
  return part;
}

/** The rectangle of c of a chunk of the grid, as a product of its own. */
ATHANOR_INLINE Product rectangleOf(const Product& p, const Cut& cut, int64_t chunk) {
  const int64_t strips = ceilDiv(p.columns, cut.step);
  const int64_t row = chunk / strips * cut.rows, column = chunk % strips * cut.step;
  Product part = p;
  part.rows = minOf(cut.rows, p.rows - row);
  part.columns = minOf(cut.step, p.columns - column);
  part.a += row * p.aRow;
  part.b += column * p.bColumn;
  part.c += row * p.cRow + column;
  return part;
}

struct Layout {
  float* parts;   // split: one dense c per part of the depth; shared and too deep for a bf16 c: c in f32
  float* packed;  // shared: a block of b
  float *a, *b, *sums;   // per thread; sums of a bf16 c
  int64_t stepA, stepB, stepSums;

  Buffers of(int thread) const { return {a + thread * stepA, b + thread * stepB}; }
};

Layout layoutScratch(const Batch& batch, const Cut& cut, int numThreads, Scratch& scratch) {
  const Product& p = batch.product;
  Layout layout{};
  const auto takeOwn = [&](const Product& own, bool withB) {
    layout.stepA = roundUp(floatsForA(own), 16);
    layout.stepB = withB ? roundUp(floatsForB(own, localColumns), 16) : 0;
    layout.a = scratch.take<float>(layout.stepA * numThreads);
    layout.b = scratch.take<float>(layout.stepB * numThreads);
  };
  const auto takeSums = [&](int64_t floatsPerThread) {
    layout.stepSums = roundUp(floatsPerThread, 16);
    layout.sums = scratch.take<float>(layout.stepSums * numThreads);
  };
  if (cut.way == Way::shared && p.c.narrow && p.depth > deepestNarrow) {
    layout.parts = scratch.take<float>(p.rows * p.columns);
    layout.packed = scratch.take<float>(floatsForShared(p));
    takeOwn(p, false);
  } else if (cut.way == Way::shared) {
    layout.packed = scratch.take<float>(p.c.narrow ? floatsForNarrowB(p) : floatsForShared(p));
    if (p.c.narrow) takeSums(floatsForSums);
    if (p.c.narrow || !sharesA(p)) takeOwn(p, false);
  } else if (cut.way == Way::split) {
    layout.parts = scratch.take<float>(cut.numChunks * p.rows * p.columns);
    Product own = partOfDepth(p, 0, cut.step);
    own.odd = p.odd;  // as the last part is
    takeOwn(own, true);
  } else if (cut.way == Way::batched || cut.way == Way::grid) {
    Product own = p;
    if (cut.way == Way::grid) {
      own.rows = cut.rows;
      own.columns = cut.step;
    }
    if (!readsBInPlace(own)) takeOwn(own, true);
    if (p.c.narrow) takeSums(own.rows * own.columns);
  }
  return layout;
}

size_t workspace(const Call& call, int numThreads) {
  const Batch batch = readCall(call);
  Scratch scratch{nullptr};
  layoutScratch(batch, cutWork(batch), numThreads, scratch);
  return scratch.used;
}

/** c (+)= the parts, in their order. */
void addParts(const Product& p, const float* parts, int64_t numParts) {
  for (int64_t i = 0; i < p.rows; ++i) {
    const Elements c = p.c + i * p.cRow;
    const float* row = parts + i * p.columns;
    forEachVector(p.columns, [&](int64_t j, auto mask) {
      V sum = load(row + j, mask);
      for (int64_t part = 1; part < numParts; ++part) sum += load(row + part * p.rows * p.columns + j, mask);
      if (c.narrow) return store(c.words() + j, sum, mask);
      store(c.floats() + j, p.accumulate ? load(c.floats() + j, mask) + sum : sum, mask);
    });
  }
}

/** A product on one thread. */
ATHANOR_INLINE void multiplyOn(int thread, const Product& p, const Layout& layout) {
  if (!p.c.narrow) return multiplyAlone(p, layout.of(thread));
  Product sums = p;
  sums.c = {layout.sums + thread * layout.stepSums, false};
  sums.cRow = p.columns;
  multiplyAlone(sums, layout.of(thread));
  storeNarrow(p, 0, p.rows, 0, p.columns, sums.c.floats(), sums.cRow);
}

/** A product on all threads. */
void multiplyTogether(const Product& p, Pool* pool, const Layout& layout) {
  const auto bufferA = [&](int thread) { return layout.of(thread).a; };
  if (!p.c.narrow) return multiplyShared(p, pool, layout.packed, bufferA);
  if (p.depth <= deepestNarrow) {
    return multiplySharedNarrow(p, pool, layout.packed, bufferA, [&](int thread) { return layout.sums + thread * layout.stepSums; });
  }
  Product whole = p;
  whole.c = {layout.parts, false};
  whole.cRow = p.columns;
  multiplyShared(whole, pool, layout.packed, bufferA);
  forRows(pool, p.rows, p.columns, [&](int64_t row, int) {
    storeNarrow(p, row, 1, 0, p.columns, layout.parts + row * p.columns, p.columns);
  });
}

void run(const Call& call) {
  const Batch batch = readCall(call);
  const Cut cut = cutWork(batch);
  Scratch scratch{call.workspace};
  const Layout layout = layoutScratch(batch, cut, call.pool->numThreads(), scratch);
  switch (cut.way) {
    case Way::nothing:
      return;
    case Way::batched:
      call.pool->parallelFor(cut.numChunks, [&](int64_t chunk, int thread) {
        const int64_t end = minOf(batch.count, (chunk + 1) * cut.step);
        for (int64_t item = chunk * cut.step; item < end; ++item) multiplyOn(thread, batch.at(item), layout);
      });
      return;
    default:
      break;
  }
  for (int64_t item = 0; item < batch.count; ++item) {
    const Product p = batch.at(item);
    switch (cut.way) {
      case Way::split:
        call.pool->parallelFor(cut.numChunks, [&](int64_t chunk, int thread) {
          const int64_t first = chunk * cut.step;
          Product part = partOfDepth(p, first, minOf(cut.step, p.depth - first));
          part.c = {layout.parts + chunk * p.rows * p.columns, false};
          part.cRow = p.columns;
          part.accumulate = false;
          multiplyAlone(part, layout.of(thread));
        });
        addParts(p, layout.parts, cut.numChunks);
        break;
      case Way::grid:
        call.pool->parallelFor(cut.numChunks, [&](int64_t chunk, int thread) {
          multiplyOn(thread, rectangleOf(p, cut, chunk), layout);
        });
        break;
      default:
        multiplyTogether(p, call.pool, layout);
    }
  }
}

constexpr Kernel matmul{"matmul", check, workspace, run};
const RegisterKernel registerMatmul(matmul);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
