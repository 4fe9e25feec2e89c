// Matrix multiplication by blocks: which part of A and B is packed when, and how the work is cut into chunks. The tiles
// are in gemm_tile.h, the packing in gemm_pack.h, the graph's matmul in kernels/matmul.cc.
//
// Goto & van de Geijn 2008: B is packed in panels of tileColumns over a block of the depth, A in panels of tileRows; a
// panel of B streams from L2 while a panel of A stays in L1. Three ways, chosen from the problem's size alone:
//   shared  one large product: all threads pack a block of B together, then multiply rectangles of C, each packing its A
//   local   many small products, or a depth split: a chunk packs and multiplies alone
//   thin    few rows of A: B is read once, so it is not packed at all
// Every element of C sums over the depth in order of the depth blocks, whoever computes it.
#pragma once

#include "gemm_pack.h"
#include "gemm_tile.h"
#include "rows.h"

namespace athanor::ATHANOR_ISA {

constexpr int64_t depthBlock = 384;          // a panel of A is 12 KB (avx512), of B 72 KB
constexpr int64_t rowBlock = 24 * tileRows;  // rows of A packed at once: 288 KB (avx512), a part of L2
constexpr int64_t sharedColumns = 6 * 1024 * 1024 / (4 * depthBlock) / tileColumns * tileColumns;  // 6 MB of B
constexpr int64_t localColumns = 384 * 1024 / (4 * depthBlock) / tileColumns * tileColumns;        // 384 KB of B

/** c (+)= a b for one pair of matrices. Columns of c are dense. */
struct Product {
  int64_t rows, columns, depth;
  const float* a;
  int64_t aRow, aDepth;
  const float* b;
  int64_t bDepth, bColumn;
  float* c;
  int64_t cRow;
  bool accumulate;
};

/** Equal blocks of the depth, each a multiple of 4 but the last. */
ATHANOR_INLINE int64_t depthStep(int64_t depth) {
  return maxOf<int64_t>(4, roundUp(ceilDiv(depth, maxOf<int64_t>(1, ceilDiv(depth, depthBlock))), 4));
}

/** A is read in place when its rows are dense in the depth and too few panels of B would use a packed copy. */
ATHANOR_INLINE bool packsA(const Product& p) { return p.aDepth != 1 || p.columns > 2 * tileColumns; }

ATHANOR_INLINE void packA(const Product& p, int64_t row, int64_t rows, int64_t k, int64_t depth, float* to) {
  for (int64_t i = 0; i < rows; i += tileRows) {
    packPanel<tileRows>(to + i * depth, p.a + (row + i) * p.aRow + k * p.aDepth, p.aDepth, p.aRow, depth,
                        minOf<int64_t>(tileRows, rows - i));
  }
}

ATHANOR_INLINE void packPanelOfB(const Product& p, int64_t column, int64_t k, int64_t depth, float* to) {
  packPanel<tileColumns>(to, p.b + k * p.bDepth + column * p.bColumn, p.bDepth, p.bColumn, depth,
                         minOf<int64_t>(tileColumns, p.columns - column));
}

/** One block of the depth: rows [row, row + rows) of C by columns [column, column + columns). */
struct Block {
  int64_t row, rows, column, columns, k, depth;
  const float* packedA;  // null: A is read in place
  const float* packedB;  // the panel of `column`
  int64_t panelDepth;    // of a panel of B: at least `depth`
};

template <bool packedA>
ATHANOR_INLINE void multiplyPanels(const Product& p, const Block& block) {
  TileJob job{};
  job.depth = block.depth;
  job.aRow = p.aRow;
  job.aDepth = p.aDepth;
  job.cRow = p.cRow;
  job.accumulate = p.accumulate || block.k > 0;
  for (int64_t j = 0; j < block.columns; j += tileColumns) {
    job.b = block.packedB + j * block.panelDepth;
    const int64_t columns = minOf<int64_t>(tileColumns, block.columns - j);
    for (int64_t i = 0; i < block.rows; i += tileRows) {
      job.a = packedA ? block.packedA + i * block.depth : p.a + (block.row + i) * p.aRow + block.k * p.aDepth;
      job.c = p.c + (block.row + i) * p.cRow + block.column + j;
      runTile<packedA, true>(job, minOf<int64_t>(tileRows, block.rows - i), columns);
    }
  }
}

ATHANOR_INLINE void multiplyBlock(const Product& p, const Block& block) {
  block.packedA != nullptr ? multiplyPanels<true>(p, block) : multiplyPanels<false>(p, block);
}

ATHANOR_INLINE void clearRows(float* c, int64_t cRow, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) memset(c + i * cRow, 0, static_cast<size_t>(columns) * sizeof(float));
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

// Few rows: B is read once, in place. Where its columns are dense it passes through the tile kernel; where it is dense in
// the depth (b = w^T), every element of C is a dot product of two dense vectors.

ATHANOR_INLINE bool isThin(const Product& p) {
  if (p.rows > tileRows) return false;
  return p.bColumn == 1 || (p.bDepth == 1 && p.aDepth == 1);
}

template <int rows, int columns>
static void dotTile(const Product& p, int64_t column) {
  const float* a = p.a;
  const float* b = p.b + column * p.bColumn;
  V sum[rows][columns];
  ATHANOR_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    ATHANOR_UNROLL(4)
    for (int j = 0; j < columns; ++j) sum[i][j] = zero();
  }
  forEachVector(p.depth, [&](int64_t k, auto mask) {
    V bk[columns];
    ATHANOR_UNROLL(4)
    for (int j = 0; j < columns; ++j) bk[j] = load(b + j * p.bColumn + k, mask);
    ATHANOR_UNROLL(8)
    for (int i = 0; i < rows; ++i) {
      const V ai = load(a + i * p.aRow + k, mask);
      ATHANOR_UNROLL(4)
      for (int j = 0; j < columns; ++j) sum[i][j] = fma(ai, bk[j], sum[i][j]);
    }
  });
  ATHANOR_UNROLL(8)
  for (int i = 0; i < rows; ++i) {
    ATHANOR_UNROLL(4)
    for (int j = 0; j < columns; ++j) {
      float* c = p.c + i * p.cRow + column + j;
      const float value = reduceAdd(sum[i][j]);
      *c = p.accumulate ? *c + value : value;
    }
  }
}

using DotFunction = void (*)(const Product&, int64_t column);

/** dotTile for every size: [rows - 1][columns - 1], columns up to tileVectors. */
struct DotTable {
  DotFunction at[tileRows][tileVectors];

  template <int rows, int columns>
  constexpr void fill() {
    at[rows - 1][columns - 1] = dotTile<rows, columns>;
    if constexpr (columns > 1) {
      fill<rows, columns - 1>();
    } else if constexpr (rows > 1) {
      fill<rows - 1, tileVectors>();
    }
  }
  constexpr DotTable() : at{} { fill<tileRows, tileVectors>(); }
};
constexpr DotTable dotTable{};

constexpr int64_t thinDepth = 64;  // rows of B, each on a page of its own: as many as the first TLB holds

/** Columns [first, end) of a thin product. */
static void multiplyThin(const Product& p, int64_t first, int64_t end) {
  if (p.bColumn != 1) {
    for (int64_t j = first; j < end; j += tileVectors) {
      dotTable.at[p.rows - 1][minOf<int64_t>(tileVectors, end - j) - 1](p, j);
    }
    return;
  }
  TileJob job{};
  job.aRow = p.aRow;
  job.aDepth = p.aDepth;
  job.bDepth = p.bDepth;
  job.cRow = p.cRow;
  for (int64_t k = 0; k < p.depth; k += thinDepth) {
    job.depth = minOf(thinDepth, p.depth - k);
    job.accumulate = p.accumulate || k > 0;
    job.a = p.a + k * p.aDepth;
    for (int64_t j = first; j < end; j += tileColumns) {
      job.b = p.b + k * p.bDepth + j;
      job.c = p.c + j;
      runTile<false, false>(job, p.rows, minOf<int64_t>(tileColumns, end - j));
    }
  }
}

/** The whole product on the calling thread, in the way that suits it. */
ATHANOR_INLINE void multiplyAlone(const Product& p, const Buffers& buffers) {
  if (p.rows == 0 || p.columns == 0) return;
  if (p.depth == 0) {
    if (!p.accumulate) clearRows(p.c, p.cRow, p.rows, p.columns);
  } else if (isThin(p)) {
    multiplyThin(p, 0, p.columns);
  } else {
    multiplyLocal(p, buffers);
  }
}

// All threads on one product

struct SharedCut {
  int64_t rows;    // of a chunk
  int64_t groups;  // of panels, across the columns of a block of B
};

/** Chunks of about a fortieth of the block, but worth their packing: what a chunk does hides its start and its end. */
ATHANOR_INLINE SharedCut cutShared(int64_t rows, int64_t columns, int64_t depth) {
  constexpr int64_t wantedChunks = 40;
  constexpr int64_t smallestWork = 1 << 20;  // multiply-adds: some 20 microseconds
  const int64_t panels = ceilDiv(columns, tileColumns);
  const int64_t wanted = maxOf<int64_t>(1, minOf(wantedChunks, rows * columns * depth / smallestWork));
  int64_t blocks = maxOf(ceilDiv(rows, rowBlock), minOf(wanted, ceilDiv(rows, 4 * tileRows)));
  const int64_t groups = minOf(panels, ceilDiv(wanted, blocks));
  return {roundUp(ceilDiv(rows, blocks), tileRows), groups};
}

/** `packed` is shared, as large as floatsForB(p, sharedColumns); `bufferA(thread)` belongs to one thread. */
template <class BufferOf>
ATHANOR_INLINE void multiplyShared(const Product& p, Pool* pool, float* packed, const BufferOf& bufferA) {
  const int64_t step = depthStep(p.depth);
  const bool packing = packsA(p);
  for (int64_t column = 0; column < p.columns; column += sharedColumns) {
    const int64_t columns = minOf(sharedColumns, p.columns - column);
    const int64_t panels = ceilDiv(columns, tileColumns);
    for (int64_t k = 0; k < p.depth; k += step) {
      const int64_t depth = minOf(step, p.depth - k);
      pool->parallelFor(panels, [&](int64_t panel, int) {
        packPanelOfB(p, column + panel * tileColumns, k, depth, packed + panel * tileColumns * depth);
      });
      const SharedCut cut = cutShared(p.rows, columns, depth);
      pool->parallelFor(ceilDiv(p.rows, cut.rows) * cut.groups, [&](int64_t chunk, int thread) {
        const int64_t row = chunk / cut.groups * cut.rows;
        const int64_t group = chunk % cut.groups;
        const int64_t rows = minOf(cut.rows, p.rows - row);
        const int64_t first = panels * group / cut.groups * tileColumns;
        const int64_t end = minOf(columns, panels * (group + 1) / cut.groups * tileColumns);
        float* a = packing ? bufferA(thread) : nullptr;
        if (packing) packA(p, row, rows, k, depth, a);
        multiplyBlock(p, {row, rows, column + first, end - first, k, depth, a, packed + first * depth, depth});
      });
    }
  }
}

}  // namespace athanor::ATHANOR_ISA
