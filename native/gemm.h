// Matrix multiplication by blocks: which part of A and B is packed when, and how the work is cut into chunks. The tiles
// are in gemm_tile.h, the packing in gemm_pack.h, the graph's matmul in kernels/matmul.cc.
//
// Goto & van de Geijn 2008: B is packed in panels of tileColumns over a block of the depth, A in panels of tileRows; a
// panel of B streams from L2 while a panel of A stays in L1. Two ways:
//   multiplyShared  one large product: all threads pack a block of B together, then multiply rectangles of C
//   multiplyAlone   a small product, or a part of one, on one thread: packed, or with few rows straight from where B lies
// Every element of C sums over the depth in order of the depth blocks, whoever computes it.
//
// A product of two bf16 matrices multiplies pairs where the processor can (gemm_tile.h); elsewhere, and beside an f32 matrix, bf16
// is widened while it is packed. Depths and buffers are counted in pairs, or in floats: both are 4 bytes.
#pragma once

#include "gemm_pack.h"
#include "gemm_tile.h"
#include "rows.h"

namespace athanor::ATHANOR_ISA {

constexpr int64_t depthBlock = 512;          // a panel of A is 16 KB (avx512), of B 96 KB
constexpr int64_t rowBlock = 24 * tileRows;  // rows of A packed at once: 384 KB (avx512), a part of L2
constexpr int64_t sharedColumns = 6 * 1024 * 1024 / (4 * depthBlock) / tileColumns * tileColumns;  // 6 MB of B
constexpr int64_t localColumns = 384 * 1024 / (4 * depthBlock) / tileColumns * tileColumns;        // 384 KB of B

/** c (+)= a b for one pair of matrices. Columns of c are dense. Strides of a and b are in elements. */
struct Product {
  int64_t rows, columns, depth;
  Elements a;
  int64_t aRow, aDepth;
  Elements b;
  int64_t bDepth, bColumn;
  Elements c;  // narrow only where storeNarrow() follows: sums are f32
  int64_t cRow;
  bool accumulate;
  bool pairs = false;  // depth, aDepth and bDepth are of pairs: the second half lies half a stride behind the first
  bool odd = false;    // the last pair is a half
};

/** The product as one of pairs, where there are such. */
ATHANOR_INLINE Product inPairs(Product p) {
  if (!hasPairs || !p.a.narrow || !p.b.narrow) return p;
  p.pairs = true;
  p.odd = p.depth % 2 != 0;
  p.depth = ceilDiv(p.depth, 2);
  p.aDepth *= 2;
  p.bDepth *= 2;
  return p;
}

/** Whether the pairs of a matrix lie together, at even words of a row. */
ATHANOR_INLINE bool hasWholePairs(const Product& p, int64_t depthStride, int64_t otherStride) {
  return p.pairs && !p.odd && depthStride == 2 && otherStride % 2 == 0;
}

/** Equal blocks of the depth, each a multiple of 4 but the last. */
ATHANOR_INLINE int64_t depthStep(int64_t depth) {
  return maxOf<int64_t>(4, roundUp(ceilDiv(depth, maxOf<int64_t>(1, ceilDiv(depth, depthBlock))), 4));
}

/** Rows of A that are dense in the depth are read in place: to the tile kernel they are as good as a packed copy. */
ATHANOR_INLINE bool packsA(const Product& p) {
  return p.pairs ? !hasWholePairs(p, p.aDepth, p.aRow) : p.aDepth != 1 || p.a.narrow;
}

/** One panel of `width` rows of A or columns of B, from depth k on. */
template <int width>
ATHANOR_INLINE void packPanel(const Product& p, Elements from, int64_t depthStride, int64_t widthStride, int64_t k, int64_t depth,
                              int64_t count, float* to) {
  from += k * depthStride;
  if constexpr (hasPairs) {
    const bool odd = p.odd && k + depth == p.depth;
    if (p.pairs) return packPairs<width>(to, from.words(), depthStride, widthStride, depth, odd, count);
  }
  packPanel<width>(to, from, depthStride, widthStride, depth, count);
}

ATHANOR_INLINE void packA(const Product& p, int64_t row, int64_t rows, int64_t k, int64_t depth, float* to) {
  // a transposed A: few k at a time for all panels, as every k is on a page of its own, and their lines may share cache sets
  const int64_t step = p.aRow == 1 ? minOf<int64_t>(depth, p.pairs ? 16 : 32) : depth;
  for (int64_t done = 0; done < depth; done += step) {
    for (int64_t i = 0; i < rows; i += tileRows) {
      packPanel<tileRows>(p, p.a + (row + i) * p.aRow, p.aDepth, p.aRow, k + done, minOf(step, depth - done),
                          minOf<int64_t>(tileRows, rows - i), to + i * depth + done * tileRows);
    }
  }
}

ATHANOR_INLINE void packPanelOfB(const Product& p, int64_t column, int64_t k, int64_t depth, float* to) {
  packPanel<tileColumns>(p, p.b + column * p.bColumn, p.bDepth, p.bColumn, k, depth,
                         minOf<int64_t>(tileColumns, p.columns - column), to);
}

/** One block of the depth: rows [row, row + rows) of C by columns [column, column + columns). */
struct Block {
  int64_t row, rows, column, columns, k, depth;
  const float* packedA;  // null: A is read in place
  const float* packedB;  // the panel of `column`
  int64_t panelDepth;    // of a panel of B: at least `depth`
  Elements rounded{};    // with the last of the depth: the bf16 of (row, column) that a finished tile is rounded into
  int64_t roundedRow = 0;
};

template <bool packedA, bool pairs>
ATHANOR_INLINE void multiplyPanels(const Product& p, const Block& block) {
  TileJob job{};
  job.depth = block.depth;
  job.aRow = pairs ? p.aRow / 2 : p.aRow;
  job.aDepth = pairs ? p.aDepth / 2 : p.aDepth;
  job.cRow = p.cRow;
  job.accumulate = p.accumulate || block.k > 0;
  for (int64_t j = 0; j < block.columns; j += tileColumns) {
    job.b = block.packedB + j * block.panelDepth;
    const int64_t columns = minOf<int64_t>(tileColumns, block.columns - j);
    for (int64_t i = 0; i < block.rows; i += tileRows) {
      const Elements a = p.a + (block.row + i) * p.aRow + block.k * p.aDepth;
      job.a = packedA ? block.packedA + i * block.depth : a.floats();
      job.c = p.c.floats() + (block.row + i) * p.cRow + block.column + j;
      const int64_t rows = minOf<int64_t>(tileRows, block.rows - i);
      runTile<packedA, true, pairs>(job, rows, columns);
      if (block.rounded.data == nullptr) continue;
      const Elements to = block.rounded + (i * block.roundedRow + j);
      for (int64_t r = 0; r < rows; ++r) convertRow((to + r * block.roundedRow).words(), job.c + r * p.cRow, columns);
    }
  }
}

ATHANOR_INLINE void multiplyBlock(const Product& p, const Block& block) {
  if constexpr (hasPairs) {
    if (p.pairs) return block.packedA != nullptr ? multiplyPanels<true, true>(p, block) : multiplyPanels<false, true>(p, block);
  }
  block.packedA != nullptr ? multiplyPanels<true, false>(p, block) : multiplyPanels<false, false>(p, block);
}

ATHANOR_INLINE void clearRows(float* c, int64_t cRow, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) memset(c + i * cRow, 0, static_cast<size_t>(columns) * sizeof(float));
}

/** Rounds sums, rows of `sumsRow`, into the rectangle of a bf16 c at (row, column). */
ATHANOR_INLINE void storeNarrow(const Product& p, int64_t row, int64_t rows, int64_t column, int64_t columns, const float* sums,
                                int64_t sumsRow) {
  for (int64_t i = 0; i < rows; ++i) convertRow((p.c + (row + i) * p.cRow + column).words(), sums + i * sumsRow, columns);
}

// One chunk's own memory

struct Buffers {
  float* a;
  float* b;
};

ATHANOR_INLINE int64_t floatsForA(const Product& p) {
  if (!packsA(p)) return 0;
  return minOf(rowBlock, roundUp(p.rows, tileRows)) * minOf(depthBlock, p.depth) + packSlack;
}
ATHANOR_INLINE int64_t floatsForB(const Product& p, int64_t maxColumns) {
  return minOf(maxColumns, roundUp(p.columns, tileColumns)) * minOf(depthBlock, p.depth) + packSlack;
}

/** The whole product on the calling thread, packed. */
static void multiplyLocal(const Product& p, const Buffers& buffers) {
  const int64_t step = depthStep(p.depth);
  const bool packing = packsA(p);
  for (int64_t column = 0; column < p.columns; column += localColumns) {
    const int64_t columns = minOf(localColumns, p.columns - column);
    for (int64_t k = 0; k < p.depth; k += step) {
      const int64_t depth = minOf(step, p.depth - k);
      for (int64_t j = 0; j < columns; j += tileColumns) packPanelOfB(p, column + j, k, depth, buffers.b + j * depth);
      for (int64_t row = 0; row < p.rows; row += rowBlock) {
        const int64_t rows = minOf(rowBlock, p.rows - row);
        if (packing) packA(p, row, rows, k, depth, buffers.a);
        multiplyBlock(p, {row, rows, column, columns, k, depth, packing ? buffers.a : nullptr, buffers.b, depth});
      }
    }
  }
}

// Few rows: packing B would cost as much as using it. Where its columns are dense it passes through the tile kernel as it
// lies; where it is dense in the depth (b = w^T), every element of C is a dot product of two dense vectors.

constexpr int64_t thinRows = 8 * tileRows, dotRows = 2 * tileRows;
constexpr int streamRows = 8, streamVectors = 6, streamAhead = 48;

ATHANOR_INLINE bool readsBInPlace(const Product& p) {
  if (p.pairs) return p.rows <= dotRows && hasWholePairs(p, p.bDepth, p.bColumn) && hasWholePairs(p, p.aDepth, p.aRow);
  if (p.a.narrow) return false;
  if (p.b.narrow) return p.rows <= streamRows && (p.bColumn == 1 || (p.bDepth == 1 && p.aDepth == 1));
  if (p.bColumn == 1) return p.rows <= thinRows;
  return p.bDepth == 1 && p.aDepth == 1 && p.rows <= dotRows;
}

/** The matrix's elements as they lie. */
template <class Element>
ATHANOR_INLINE const Element* asThey(const Elements& lie) { return static_cast<const Element*>(lie.data); }

template <int rows, int columns, bool pairs, class Element>
static void dotTile(const Product& p, int64_t row, int64_t column) {
  const float* a = (p.a + row * p.aRow).floats();
  const Element* b = asThey<Element>(p.b + column * p.bColumn);
  const int64_t aRow = pairs ? p.aRow / 2 : p.aRow, bColumn = pairs ? p.bColumn / 2 : p.bColumn;
  V sum[rows][columns];
  ATHANOR_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    ATHANOR_UNROLL(4)
    for (int j = 0; j < columns; ++j) sum[i][j] = zero();
  }
  forEachVector(p.depth, [&](int64_t k, auto mask) {
    V bk[columns];
    ATHANOR_UNROLL(4)
    for (int j = 0; j < columns; ++j) {
      __builtin_prefetch(b + (columns + j) * bColumn + k);  // the next columns: each is a stretch of its own
      bk[j] = load(b + j * bColumn + k, mask);
    }
    ATHANOR_UNROLL(8)
    for (int i = 0; i < rows; ++i) {
      const V ai = load(a + i * aRow + k, mask);
      ATHANOR_UNROLL(4)
      for (int j = 0; j < columns; ++j) sum[i][j] = multiplyAdd<pairs>(ai, bk[j], sum[i][j]);
    }
  });
  ATHANOR_UNROLL(4)
  for (int j = 0; j < columns; ++j) {
    ATHANOR_UNROLL(2)
    for (int i = 0; i < rows; i += 4) {
      const auto at = [&](int r) { return r < rows ? sum[r < rows ? r : 0][j] : zero(); };
      float sums[4];
      reduceAdd4(at(i), at(i + 1), at(i + 2), at(i + 3), sums);
      for (int r = i; r < rows && r < i + 4; ++r) {
        float* c = p.c.floats() + (row + r) * p.cRow + column + j;
        *c = p.accumulate ? *c + sums[r - i] : sums[r - i];
      }
    }
  }
}

using DotFunction = void (*)(const Product&, int64_t row, int64_t column);

/** dotTile for every size: [rows - 1][columns - 1], columns up to tileVectors. */
template <bool pairs, class Element, int mostRows>
struct DotTable {
  DotFunction at[mostRows][tileVectors];

  template <int rows, int columns>
  constexpr void fill() {
    at[rows - 1][columns - 1] = dotTile<rows, columns, pairs, Element>;
    if constexpr (columns > 1) {
      fill<rows, columns - 1>();
    } else if constexpr (rows > 1) {
      fill<rows - 1, tileVectors>();
    }
  }
  constexpr DotTable() : at{} { fill<mostRows, tileVectors>(); }
};
template <bool pairs, class Element, int mostRows>
constexpr DotTable<pairs, Element, mostRows> dotTable{};

template <bool pairs, class Element = float, int mostRows = tileRows>
ATHANOR_INLINE void multiplyDots(const Product& p) {
  for (int64_t j = 0; j < p.columns; j += tileVectors) {
    for (int64_t i = 0; i < p.rows; i += mostRows) {
      const int64_t rows = minOf<int64_t>(mostRows, p.rows - i), columns = minOf<int64_t>(tileVectors, p.columns - j);
      dotTable<pairs, Element, mostRows>.at[rows - 1][columns - 1](p, i, j);
    }
  }
}

// Up to eight rows: B comes from beyond L1 once, in stretches as wide as there are registers for their sums. What follows is asked for
// early, as each row of a stretch may lie on a page of its own.

/** C's columns [column, column + vectors * LANES). */
template <int rows, int vectors, class Element>
static void streamTile(const Product& p, int64_t column) {
  V sum[rows][vectors];
  ATHANOR_UNROLL(4)
  for (int i = 0; i < rows; ++i) {
    ATHANOR_UNROLL(12)
    for (int j = 0; j < vectors; ++j) sum[i][j] = zero();
  }
  const float* a = p.a.floats();
  const Element* b = asThey<Element>(p.b + column);
  const int64_t aRow = p.aRow, aDepth = p.aDepth, bDepth = p.bDepth, depth = p.depth;
  for (int64_t k = 0; k < depth; ++k) {
    V ak[rows];
    ATHANOR_UNROLL(4)
    for (int i = 0; i < rows; ++i) ak[i] = set(a[i * aRow]);
    ATHANOR_UNROLL(12)
    for (int j = 0; j < vectors; ++j) {
      __builtin_prefetch(b + streamAhead / vectors * bDepth + j * LANES);
      const V bj = load(b + j * LANES);
      ATHANOR_UNROLL(4)
      for (int i = 0; i < rows; ++i) sum[i][j] = fma(ak[i], bj, sum[i][j]);
    }
    a += aDepth;
    b += bDepth;
  }
  ATHANOR_UNROLL(4)
  for (int i = 0; i < rows; ++i) {
    float* c = p.c.floats() + i * p.cRow + column;
    ATHANOR_UNROLL(12)
    for (int j = 0; j < vectors; ++j) store(c + j * LANES, p.accumulate ? load(c + j * LANES) + sum[i][j] : sum[i][j]);
  }
}

/** As many columns as whole stretches cover; gives their number. */
template <int rows, class Element>
static int64_t streamColumns(const Product& p) {
  constexpr int most = tileRows * tileVectors / rows;
  constexpr int vectors = most >= streamVectors ? streamVectors : most >= 3 ? 3 : maxOf(1, most);  // they divide the widest
  constexpr int wide = 2 * vectors <= most ? 2 * vectors : vectors;
  int64_t column = 0;
  for (; column + wide * LANES <= p.columns; column += wide * LANES) streamTile<rows, wide, Element>(p, column);
  for (; column + vectors * LANES <= p.columns; column += vectors * LANES) streamTile<rows, vectors, Element>(p, column);
  return column;
}
template <class Element>
constexpr int64_t (*streamColumnsOf[streamRows])(const Product&) = {
    streamColumns<1, Element>, streamColumns<2, Element>, streamColumns<3, Element>, streamColumns<4, Element>,
    streamColumns<5, Element>, streamColumns<6, Element>, streamColumns<7, Element>, streamColumns<8, Element>};

/** Few rows of f32 by a bf16 matrix as it lies: what is left of its columns is a vector at a time. */
static void multiplyWidening(const Product& p) {
  if (p.bColumn != 1) return multiplyDots<false, Bf16, streamRows>(p);
  for (int64_t j = streamColumnsOf<Bf16>[p.rows - 1](p); j < p.columns; j += LANES) {
    const M mask = tail(p.columns - j);
    for (int64_t i = 0; i < p.rows; ++i) {
      const float* a = p.a.floats() + i * p.aRow;
      float* c = p.c.floats() + i * p.cRow + j;
      V sum = p.accumulate ? load(c, mask) : zero();
      for (int64_t k = 0; k < p.depth; ++k) sum = fma(set(a[k * p.aDepth]), load(p.b.words() + k * p.bDepth + j, mask), sum);
      store(c, sum, mask);
    }
  }
}

constexpr int64_t thinDepth = 128;  // a piece of B of one tile width is then 24 KB (avx512)

/** Depth by depth, so that a piece of B is still in L1 when the next rows of A come for it. */
static void multiplyInPlace(const Product& p) {
  if constexpr (hasPairs) {
    if (p.pairs) return multiplyDots<true>(p);
  }
  if (p.b.narrow) return multiplyWidening(p);
  if (p.bColumn != 1) return multiplyDots<false>(p);
  const int64_t first = p.rows <= streamRows ? streamColumnsOf<float>[p.rows - 1](p) : 0;
  TileJob job{};
  job.aRow = p.aRow;
  job.aDepth = p.aDepth;
  job.bDepth = p.bDepth;
  job.cRow = p.cRow;
  for (int64_t k = 0; k < p.depth; k += thinDepth) {
    job.depth = minOf(thinDepth, p.depth - k);
    job.accumulate = p.accumulate || k > 0;
    for (int64_t j = first; j < p.columns; j += tileColumns) {
      job.b = p.b.floats() + k * p.bDepth + j;
      for (int64_t i = 0; i < p.rows; i += tileRows) {
        job.a = p.a.floats() + i * p.aRow + k * p.aDepth;
        job.c = p.c.floats() + i * p.cRow + j;
        runTile<false, false>(job, minOf<int64_t>(tileRows, p.rows - i), minOf<int64_t>(tileColumns, p.columns - j));
      }
    }
  }
}

// Few columns would leave tiles of C all but empty. Rows of A that are dense in the depth meet copies of B's columns in dot
// products; where A is dense across its rows instead, the transpose of C is computed from A as it lies.

ATHANOR_INLINE bool hasFewColumns(const Product& p) {
  if (p.columns > tileVectors || p.a.narrow || p.b.narrow) return false;
  return p.aDepth == 1 ? p.depth <= depthBlock : p.aRow == 1 && p.rows <= LANES * minOf(depthBlock, p.depth);
}

/** `buffer` is as large as floatsForB(p, localColumns). */
static void multiplyFewColumns(const Product& p, float* buffer) {
  Product q = p;
  if (p.aDepth == 1) {
    for (int64_t j = 0; j < p.columns; ++j) {
      for (int64_t k = 0; k < p.depth; ++k) buffer[j * p.depth + k] = p.b.floats()[k * p.bDepth + j * p.bColumn];
    }
    q.b = {buffer, false};
    q.bDepth = 1;
    q.bColumn = p.depth;
    return multiplyInPlace(q);
  }
  q = {p.columns, p.rows, p.depth, p.b, p.bColumn, p.bDepth, p.a, p.aDepth, 1, {buffer, false}, p.rows, false};
  multiplyInPlace(q);
  for (int64_t i = 0; i < p.rows; ++i) {
    float* c = p.c.floats() + i * p.cRow;
    for (int64_t j = 0; j < p.columns; ++j) c[j] = (p.accumulate ? c[j] : 0) + buffer[j * p.rows + i];
  }
}

/** The whole product on the calling thread, in the way that suits it. */
ATHANOR_INLINE void multiplyAlone(const Product& p, const Buffers& buffers) {
  if (p.rows == 0 || p.columns == 0) return;
  if (p.depth == 0) {
    if (!p.accumulate) clearRows(p.c.floats(), p.cRow, p.rows, p.columns);
  } else if (readsBInPlace(p)) {
    multiplyInPlace(p);
  } else if (hasFewColumns(p)) {
    multiplyFewColumns(p, buffers.b);
  } else {
    multiplyLocal(p, buffers);
  }
}

// All threads on one product

struct SharedCut {
  int64_t rows;    // of a chunk
  int64_t groups;  // of panels, across the columns of a block of B
};

/**
 * Some forty chunks where there is enough work for them. Where A is packed, the columns are not cut without need: every
 * group of them packs A again.
 */
ATHANOR_INLINE SharedCut cutShared(int64_t rows, int64_t columns, int64_t depth, bool packing) {
  constexpr int64_t wantedChunks = 40, enoughBlocks = 16;
  constexpr int64_t smallestWork = 1 << 20;  // multiply-adds: some 20 microseconds
  const int64_t panels = ceilDiv(columns, tileColumns);
  const int64_t wanted = maxOf<int64_t>(1, minOf(wantedChunks, rows * columns * depth / smallestWork));
  const int64_t blocks = maxOf(ceilDiv(rows, rowBlock), minOf(wanted, ceilDiv(rows, 4 * tileRows)));
  const int64_t groups = packing && blocks >= enoughBlocks ? 1 : minOf(panels, ceilDiv(wanted, blocks));
  return {roundUp(ceilDiv(rows, blocks), tileRows), groups};
}

/** Whether all threads pack A together too: where it is small, its columns are cut into groups that would each pack it again. */
ATHANOR_INLINE bool sharesA(const Product& p) { return packsA(p) && p.rows <= 4 * rowBlock; }

ATHANOR_INLINE int64_t floatsForShared(const Product& p) {
  const int64_t panels = sharesA(p) ? ceilDiv(p.rows, tileRows) : 0;
  return floatsForB(p, sharedColumns) + panels * (tileRows * minOf(depthBlock, p.depth) + packSlack);
}

/** `packed` is shared, as large as floatsForShared(p); `bufferA(thread)` belongs to one thread. */
template <class BufferOf>
ATHANOR_INLINE void multiplyShared(const Product& p, Pool* pool, float* packed, const BufferOf& bufferA) {
  const int64_t step = depthStep(p.depth);
  const bool sharing = sharesA(p), packing = packsA(p) && !sharing;
  float* const packedA = packed + floatsForB(p, sharedColumns);
  // chunks' panels with slack between them: they are packed side by side
  const auto sharedA = [&](int64_t row, int64_t rows, int64_t depth) { return packedA + row * depth + row / rows * packSlack; };
  for (int64_t column = 0; column < p.columns; column += sharedColumns) {
    const int64_t columns = minOf(sharedColumns, p.columns - column);
    const int64_t panels = ceilDiv(columns, tileColumns);
    for (int64_t k = 0; k < p.depth; k += step) {
      const int64_t depth = minOf(step, p.depth - k);
      const SharedCut cut = cutShared(p.rows, columns, depth, packing);
      const int64_t blocks = ceilDiv(p.rows, cut.rows);
      pool->parallelFor(panels + (sharing ? blocks : 0), [&](int64_t item, int) {
        if (item < panels) return packPanelOfB(p, column + item * tileColumns, k, depth, packed + item * tileColumns * depth);
        const int64_t row = (item - panels) * cut.rows;
        packA(p, row, minOf(cut.rows, p.rows - row), k, depth, sharedA(row, cut.rows, depth));
      });
      pool->parallelFor(blocks * cut.groups, [&](int64_t chunk, int thread) {
        const int64_t row = chunk / cut.groups * cut.rows;
        const int64_t group = chunk % cut.groups;
        const int64_t rows = minOf(cut.rows, p.rows - row);
        const int64_t first = panels * group / cut.groups * tileColumns;
        const int64_t end = minOf(columns, panels * (group + 1) / cut.groups * tileColumns);
        float* a = sharing ? sharedA(row, cut.rows, depth) : packing ? bufferA(thread) : nullptr;
        if (packing) packA(p, row, rows, k, depth, a);
        multiplyBlock(p, {row, rows, column + first, end - first, k, depth, a, packed + first * depth, depth});
      });
    }
  }
}

// The same into a bf16 c: all of the depth is packed, and a chunk keeps its sums in f32 until the last of it.

constexpr int64_t deepestNarrow = 8 * depthBlock;
constexpr int64_t narrowPanels = 256 / (tileVectors * 8);  // of a chunk: with rowBlock rows its sums are some 200 KB

ATHANOR_INLINE int64_t narrowColumns(int64_t depth) {
  return maxOf<int64_t>(1, 6 * 1024 * 1024 / (4 * maxOf<int64_t>(1, depth)) / tileColumns) * tileColumns;
}
ATHANOR_INLINE int64_t floatsForNarrowB(const Product& p) {
  return minOf(narrowColumns(p.depth), roundUp(p.columns, tileColumns)) * p.depth + packSlack;
}
constexpr int64_t floatsForSums = rowBlock * narrowPanels * tileColumns;

/** `packed` is shared, as large as floatsForNarrowB(p); `bufferA(thread)` and `sumsOf(thread)` belong to one thread. */
template <class BufferOf, class SumsOf>
ATHANOR_INLINE void multiplySharedNarrow(const Product& p, Pool* pool, float* packed, const BufferOf& bufferA,
                                         const SumsOf& sumsOf) {
  const int64_t step = depthStep(p.depth);
  const bool packing = packsA(p);
  for (int64_t column = 0; column < p.columns; column += narrowColumns(p.depth)) {
    const int64_t columns = minOf(narrowColumns(p.depth), p.columns - column);
    const int64_t panels = ceilDiv(columns, tileColumns);
    const auto packedAt = [&](int64_t k) { return packed + k * panels * tileColumns; };
    pool->parallelFor(panels * ceilDiv(p.depth, step), [&](int64_t item, int) {
      const int64_t panel = item % panels, k = item / panels * step;
      const int64_t depth = minOf(step, p.depth - k);
      packPanelOfB(p, column + panel * tileColumns, k, depth, packedAt(k) + panel * tileColumns * depth);
    });
    SharedCut cut = cutShared(p.rows, columns, p.depth, packing);
    cut.groups = maxOf(cut.groups, ceilDiv(panels, narrowPanels));
    pool->parallelFor(ceilDiv(p.rows, cut.rows) * cut.groups, [&](int64_t chunk, int thread) {
      const int64_t row = chunk / cut.groups * cut.rows;
      const int64_t group = chunk % cut.groups;
      const int64_t first = panels * group / cut.groups * tileColumns;
      const int64_t width = minOf(columns, panels * (group + 1) / cut.groups * tileColumns) - first;
      float* a = packing ? bufferA(thread) : nullptr;
      Product part = p;
      part.rows = minOf(cut.rows, p.rows - row);
      part.a += row * p.aRow;
      part.c = {sumsOf(thread), false};
      part.cRow = narrowPanels * tileColumns;
      for (int64_t k = 0; k < p.depth; k += step) {
        const int64_t depth = minOf(step, p.depth - k);
        if (packing) packA(part, 0, part.rows, k, depth, a);
        const bool last = k + depth == p.depth;
        multiplyBlock(part, {0, part.rows, 0, width, k, depth, a, packedAt(k) + first * depth, depth,
                             last ? p.c + (row * p.cRow + column + first) : Elements{}, p.cRow});
      }
    });
  }
}

}  // namespace athanor::ATHANOR_ISA
