// What attention and its gradient share: reading the call, which keys a query sees, and which probabilities dropout keeps.
// Not the two kernels.
//
// B batch, T queries, S keys, H heads, G groups of heads that share keys and values, D head dim.
#pragma once

#include "gemm.h"
#include "math.h"
#include "philox.h"
#include "rows.h"

namespace athanor::ATHANOR_ISA {

/** Rows of f32, `row` elements apart. */
struct FloatRows {
  const float* data;
  int64_t row;
};

/** A (B, T, H, D) view of f32 or bf16 as pointer and strides; the last dim is dense. */
struct Heads {
  Elements data;
  int64_t batch, row, head;

  Elements at(int64_t b, int64_t t, int64_t h) const { return data + (b * batch + t * row + h * head); }
  /** Where f32 rows are written. */
  float* floatsAt(int64_t b, int64_t t, int64_t h) const { return at(b, t, h).floats(); }

  /** `count` rows of one head from `t` on: in the view, or widened into `scratch` (count * D floats). */
  FloatRows read(int64_t b, int64_t t, int64_t h, int64_t count, int64_t D, float* scratch) const {
    const Elements from = at(b, t, h);
    if (!from.narrow) return {from.floats(), row};
    for (int64_t i = 0; i < count; ++i) convertRow(scratch + i * D, (from + i * row).words(), D);
    return {scratch, D};
  }
  /** Writes `count` dense rows of one head from `t` on. */
  void write(int64_t b, int64_t t, int64_t h, int64_t count, int64_t D, const float* rows) const {
    const Elements to = at(b, t, h);
    for (int64_t i = 0; i < count; ++i) {
      if (to.narrow) {
        convertRow((to + i * row).words(), rows + i * D, D);
      } else {
        convertRow((to + i * row).floats(), rows + i * D, D);
      }
    }
  }
};

/**
 * Asks the memory for `count` rows of one head from `t` on: they lie too far apart for the hardware to guess. Inlined always:
 * gcc 12 takes a function that only prefetches for one without effect, and drops its calls.
 */
ATHANOR_INLINE void prefetchRows(const Heads& heads, int64_t b, int64_t t, int64_t h, int64_t count, int64_t D) {
  constexpr int64_t lineBytes = 64;
  const int64_t bytes = D * (heads.data.narrow ? 2 : 4);
  for (int64_t i = 0; i < count; ++i) {
    const char* row = static_cast<const char*>(heads.at(b, t + i, h).data);
    for (int64_t at = 0; at < bytes; at += lineBytes) __builtin_prefetch(row + at);
  }
}

ATHANOR_INLINE Heads headsOf(const View& v) { return {elements(v), v.strides[0], v.strides[1], v.strides[2]}; }

struct Attention {
  int64_t B, T, S, H, G, D;
  bool causal;
  int64_t window;  // 0: none
  float scale;
  int64_t shift;  // where the queries stand among the keys
  Heads q, k, v;
  bool hasMask;
  View mask;       // bool (B|1, H|1, T|1, S), or documents: i32 (B, S), or positions: i32 (B)
  bool hasDropout;
  int32_t stream;
  View p, key, rows;

  /** Where the keys end that query i may see by its position: causal attention ends at the last key with the last query. */
  int64_t endOfKeys(int64_t i) const {
    const int64_t own = i + shift;
    const int64_t end = causal ? own + 1 : (window > 0 ? own + window : S);
    return maxOf<int64_t>(0, minOf(S, end));
  }
  /** Where they begin. */
  int64_t firstKey(int64_t i) const { return window > 0 ? maxOf<int64_t>(0, i + shift - window + 1) : 0; }
  /** The same for one batch row: positions say where its queries stand, and hide nothing else. */
  Attention ofBatch(int64_t b) const {
    Attention one = *this;
    if (!hasMask || mask.rank != 1) return one;
    one.shift = static_cast<const int32_t*>(mask.data)[b * mask.strides[0]];
    one.hasMask = false;
    return one;
  }
};

/** Keys [first, end). */
struct KeyRange {
  int64_t first, end;

  bool empty() const { return end <= first; }
};

/** The document of every position of one batch row, or none. Where ids only grow, a query's keys are found by search. */
struct Documents {
  const int32_t* ids;  // null: none
  int64_t step, count;
  bool sorted;

  int32_t at(int64_t position) const { return ids[position * step]; }
  /** The first position whose id is at least `id`. */
  int64_t find(int64_t id) const {
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      at(middle) < id ? low = middle + 1 : high = middle;
    }
    return low;
  }
};

ATHANOR_INLINE Documents readDocuments(const Attention& x, int64_t b) {
  if (!x.hasMask || x.mask.dtype != DType::i32) return {nullptr, 0, 0, false};
  Documents documents{ints(x.mask) + b * x.mask.strides[0], x.mask.strides[1], x.S, true};
  for (int64_t j = 1; j < x.S && documents.sorted; ++j) documents.sorted = documents.at(j - 1) <= documents.at(j);
  return documents;
}

/** All that the queries [first, first + count) may see lies in it. */
ATHANOR_INLINE KeyRange keysOfQueries(const Attention& x, const Documents& documents, int64_t first, int64_t count) {
  KeyRange range{x.firstKey(first), x.endOfKeys(first + count - 1)};
  if (documents.sorted) {
    range.first = maxOf(range.first, documents.find(documents.at(first)));
    range.end = minOf(range.end, documents.find(static_cast<int64_t>(documents.at(first + count - 1)) + 1));
  }
  return range;
}

/** `in` starts at q; `mask` is null where there is none. */
ATHANOR_INLINE Attention readAttention(const View* in, const View* mask, const double* params) {
  const View &q = in[0], &k = in[1];
  Attention x{};
  x.B = q.shape[0];
  x.T = q.shape[1];
  x.H = q.shape[2];
  x.D = q.shape[3];
  x.S = k.shape[1];
  x.G = k.shape[2];
  x.shift = x.S - x.T;
  x.causal = params[0] != 0;
  x.scale = static_cast<float>(params[1]);
  x.hasDropout = params[2] >= 0;
  x.stream = x.hasDropout ? static_cast<int32_t>(static_cast<uint32_t>(params[2])) : 0;
  x.window = static_cast<int64_t>(params[3]);
  x.q = headsOf(q);
  x.k = headsOf(k);
  x.v = headsOf(in[2]);
  x.p = in[3];
  x.key = in[4];
  x.rows = in[5];
  x.hasMask = mask != nullptr;
  if (mask != nullptr) x.mask = *mask;
  return x;
}

ATHANOR_INLINE bool isHeads(const View& v) { return isFloatOrBf16(v) && v.rank == 4 && isInnerDense(v, 1); }

/** What is wrong with q, k, v, p, key, rows and the mask (or null), or nullptr. */
ATHANOR_INLINE const char* checkAttention(const View* in, const View* maskOrNull, const double* params, int numParams) {
  if (numParams != 4) return "attention needs causal, scale, a dropout stream and a window";
  if (!isWhole(params[2], -1, 4294967295.0)) return "the dropout stream must be a 32-bit word or -1";
  if (!isWhole(params[3], 0, 4294967295.0)) return "the window must be a number of keys";
  const View &q = in[0], &k = in[1], &v = in[2];
  if (!isHeads(q) || !isHeads(k) || !isHeads(v)) return "q, k and v must be f32 or bf16 of rank 4 with a dense last dim";
  if (!sameShape(k, v)) return "k and v must have one shape";
  if (q.shape[3] < 1) return "the head dim must be at least 1";
  if (k.shape[0] != q.shape[0] || k.shape[3] != q.shape[3]) return "q and k must have one batch size and head dim";
  if (k.shape[2] < 1 || q.shape[2] % k.shape[2] != 0) return "query heads must be a multiple of key heads";
  if (!isScalarFloat(in[3])) return "p must be an f32 scalar";
  if (!isIndex(in[4]) || in[4].rank != 1 || in[4].shape[0] != 3) return "key must be i32 (3)";
  if (!isIndex(in[5]) || in[5].rank != 1 || in[5].shape[0] != q.shape[0]) return "rows must be i32 (B)";
  if (maskOrNull == nullptr) return nullptr;
  const View& mask = *maskOrNull;
  if (isIndex(mask)) {
    if (mask.rank == 1) return mask.shape[0] == q.shape[0] && params[0] != 0 ? nullptr : "positions must be i32 (B), of causal attention";
    const bool fits = mask.rank == 2 && mask.shape[0] == k.shape[0] && mask.shape[1] == k.shape[1] && q.shape[1] == k.shape[1];
    return fits ? nullptr : "documents must be i32 (B, S), with as many queries as keys";
  }
  if (mask.dtype != DType::bool_ || mask.rank != 4) return "mask must be bool of rank 4 or i32 of rank 2";
  const int64_t full[3] = {q.shape[0], q.shape[2], q.shape[1]};
  for (int d = 0; d < 3; ++d) {
    if (mask.shape[d] != full[d] && mask.shape[d] != 1) return "mask must be (B or 1, H or 1, T or 1, S)";
  }
  if (mask.shape[3] != k.shape[1]) return "mask must be (B or 1, H or 1, T or 1, S)";
  return isInnerDense(mask, 1) ? nullptr : "mask's last dim must be dense";
}

/** Equal blocks of at most about `most` keys, whole vectors. */
ATHANOR_INLINE int64_t keysPerBlock(int64_t S, int64_t most) {
  const int64_t blocks = maxOf<int64_t>(1, ceilDiv(S, most));
  return maxOf<int64_t>(LANES, roundUp(ceilDiv(S, blocks), LANES));
}

/** Floats between rows of a block of scores: not a power of two, so that rows do not share cache sets. */
ATHANOR_INLINE int64_t scoreStride(int64_t keys) { return roundUp(keys, tileColumns) + 16; }

// Products of pairs: operands that are bf16 as they lie, probabilities and their gradients rounded to bf16. Sums, softmax and its
// statistics are f32 all the same. Strides and panels are then counted in pairs, depths as ever.

/** Whether a call's q, k and v can be multiplied so. The scale is applied to scores: their maxima must stay maxima. */
ATHANOR_INLINE bool multipliesPairs(const Attention& x) {
  const bool narrow = x.q.data.narrow && x.k.data.narrow && x.v.data.narrow;
  return hasPairs && narrow && x.D % 2 == 0 && x.q.row % 2 == 0 && x.scale > 0;
}

ATHANOR_INLINE int64_t unitsOf(int64_t depth, bool pairs) { return pairs ? ceilDiv(depth, 2) : depth; }

/** One panel with the depth's strides in elements. */
ATHANOR_INLINE void packUnits(float* to, Elements from, int64_t depthStride, int64_t widthStride, int64_t depth, int64_t count,
                              bool pairs) {
  const int64_t width = minOf<int64_t>(tileColumns, count);
  if constexpr (hasPairs) {
    if (pairs) {
      const bool odd = depth % 2 != 0;
      return packPairs<tileColumns>(to, from.words(), 2 * depthStride, widthStride, ceilDiv(depth, 2), odd, width);
    }
  }
  packPanel<tileColumns>(to, from, depthStride, widthStride, depth, width);
}

/** Panels of k^T: [D][tileColumns] for every tileColumns of the `count` keys (or values) from `first` on. */
ATHANOR_INLINE void packTransposed(Elements first, int64_t row, int64_t count, int64_t D, bool pairs, float* to) {
  for (int64_t j = 0; j < count; j += tileColumns) {
    packUnits(to + j * unitsOf(D, pairs), first + j * row, 1, row, D, count - j, pairs);
  }
}

/** Panels of `count` rows as they are: [count][tileColumns] for every tileColumns of the D columns. */
ATHANOR_INLINE void packStraight(Elements first, int64_t row, int64_t count, int64_t D, bool pairs, float* to) {
  for (int64_t j = 0; j < D; j += tileColumns) {
    packUnits(to + j * unitsOf(count, pairs), first + j, row, 1, count, D - j, pairs);
  }
}

ATHANOR_INLINE int64_t transposedFloats(int64_t count, int64_t D) { return roundUp(count, tileColumns) * D + packSlack; }
ATHANOR_INLINE int64_t straightFloats(int64_t count, int64_t D) { return roundUp(D, tileColumns) * count + packSlack; }

/** Which columns of c and which part of the depth a tile of rows needs: the others are zeros or unused. */
struct TileRange {
  int64_t firstColumn, endColumn, firstDepth, endDepth;
};

/**
 * c (+)= a b with b packed in panels of `panelDepth`: a(i, k) = a[i * aRow + k * aDepth]. `rangeOf(i, n)` tells what the n rows
 * from i on need; causal attention leaves out half the work so.
 */
template <bool pairs, class RangeOf>
ATHANOR_INLINE void multiplyUnits(int64_t rows, int64_t columns, const float* a, int64_t aRow, int64_t aDepth,
                                   const float* packedB, int64_t panelDepth, float* c, int64_t cRow, bool accumulate,
                                   const RangeOf& rangeOf) {
  TileJob job{};
  job.aRow = aRow;
  job.aDepth = aDepth;
  job.cRow = cRow;
  job.accumulate = accumulate;
  for (int64_t j = 0; j < columns; j += tileColumns) {
    for (int64_t i = 0; i < rows; i += tileRows) {
      const int64_t count = minOf<int64_t>(tileRows, rows - i);
      const TileRange range = rangeOf(i, count);
      const int64_t width = minOf<int64_t>(tileColumns, minOf(columns, range.endColumn) - j);
      if (width <= 0 || j + tileColumns <= range.firstColumn) continue;
      const int64_t first = pairs ? range.firstDepth / 2 : range.firstDepth;
      job.depth = unitsOf(range.endDepth, pairs) - first;
      job.a = a + i * aRow + first * aDepth;
      job.b = packedB + j * panelDepth + first * tileColumns;
      job.c = c + i * cRow + j;
      runTile<false, true, pairs>(job, count, width);
    }
  }
}

template <class RangeOf>
ATHANOR_INLINE void multiplyPacked(bool pairs, int64_t rows, int64_t columns, const float* a, int64_t aRow, int64_t aDepth,
                                   const float* packedB, int64_t panelDepth, float* c, int64_t cRow, bool accumulate,
                                   const RangeOf& rangeOf) {
  if constexpr (hasPairs) {
    if (pairs) return multiplyUnits<true>(rows, columns, a, aRow, aDepth, packedB, panelDepth, c, cRow, accumulate, rangeOf);
  }
  multiplyUnits<false>(rows, columns, a, aRow, aDepth, packedB, panelDepth, c, cRow, accumulate, rangeOf);
}

/** to = from * scale, rows of D, dense. */
ATHANOR_INLINE void copyScaled(Elements from, int64_t row, int64_t rows, int64_t D, float scale, float* to) {
  const V factor = set(scale);
  for (int64_t i = 0; i < rows; ++i) {
    const Elements x = from + i * row;
    forEachVector(D, [&](int64_t d, auto mask) {
      const V value = x.narrow ? load(x.words() + d, mask) : load(x.floats() + d, mask);
      store(to + i * D + d, value * factor, mask);
    });
  }
}

/** Which keys of a block one query may use, vector by vector: those of `range` that neither mask nor document hides. */
struct KeyFilter {
  KeyRange range;
  const uint8_t* mask;  // null: none hidden
  Documents documents;  // from the block's first key on
  int32_t document;

  bool seesAllOfRange() const { return mask == nullptr && documents.ids == nullptr; }
  M at(int64_t j) const {
    M allowed = tail(range.end - j);
    if (j < range.first) allowed = allowed & ~tail(range.first - j);
    if (seesAllOfRange()) return allowed;
    const int64_t count = minOf<int64_t>(LANES, range.end - j);
    if (mask == nullptr) {
      int32_t ids[LANES] = {};
      for (int64_t lane = 0; lane < count; ++lane) ids[lane] = documents.at(j + lane);
      return allowed & (loadInt(ids) == setInt(document));
    }
    uint8_t bytes[LANES] = {};
    memcpy(bytes, mask + j, static_cast<size_t>(count));
    return allowed & ~(loadBytes(bytes) == setInt(0));
  }
};

ATHANOR_INLINE KeyFilter filterKeys(const Attention& x, Documents documents, int64_t b, int64_t h, int64_t i, int64_t firstKey,
                                    int64_t count) {
  const KeyRange range{minOf(count, maxOf<int64_t>(0, x.firstKey(i) - firstKey)),
                       minOf(count, maxOf<int64_t>(0, x.endOfKeys(i) - firstKey))};
  if (documents.ids != nullptr) {
    const int32_t document = documents.at(i);
    documents.ids += firstKey * documents.step;
    return {range, nullptr, documents, document};
  }
  if (!x.hasMask) return {range, nullptr, documents, 0};
  const View& m = x.mask;
  const int64_t offset = (m.shape[0] == 1 ? 0 : b * m.strides[0]) + (m.shape[1] == 1 ? 0 : h * m.strides[1]) +
                         (m.shape[2] == 1 ? 0 : i * m.strides[2]);
  return {range, static_cast<const uint8_t*>(m.data) + offset + firstKey, documents, 0};
}

/** Dropout on probabilities: the draw of (head, query, key) is element (h * T + i) * S + j of the batch's row. */
struct Dropout {
  bool active;
  float p;
  float keepScale;  // 1 / (1 - p)
  DrawKey key;

  const float* draws(const Attention& x, int64_t h, int64_t i, int64_t firstKey, int64_t count, float* buffer) const {
    return active ? uniforms(key, (h * x.T + i) * x.S + firstKey, count, buffer) : nullptr;
  }
};

ATHANOR_INLINE Dropout readDropout(const Attention& x, int64_t b) {
  Dropout dropout{};
  if (!x.hasDropout) return dropout;
  dropout.p = *floats(x.p);
  dropout.active = dropout.p > 0;
  dropout.keepScale = 1.0f / (1.0f - dropout.p);
  const int32_t* key = ints(x.key);
  const int64_t step = x.key.strides[0];
  dropout.key = {key[0], key[step], key[2 * step], x.stream, ints(x.rows)[b * x.rows.strides[0]]};
  return dropout;
}

}  // namespace athanor::ATHANOR_ISA
