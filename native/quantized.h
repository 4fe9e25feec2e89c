// A matrix kept as codes of 8 bits or 4, and the products of few rows by it. More rows: kernels/quantized_matmul.cc. Formats:
// src/core/quantized.ts.
//
// With few rows, codes become numbers in registers alone, and the memory's speed is what is left. Some columns go together; what lies
// behind them is asked for meanwhile. A row's sums do not depend on how many rows there are.
#pragma once

#include <string.h>

#include "codebook.h"
#include "simd.h"

namespace athanor::ATHANOR_ISA {

constexpr int64_t nf4Block = 64, scaleBlock = 256, lineBytes = 64;
constexpr int64_t askedAhead = 8192;  // bytes; twice or half as many are as good
constexpr Nf4Pairs nf4Pairs;
constexpr SignedTree signedTree;

/** `rows` outputs of `width` inputs each. */
struct Quantized {
  int64_t rows, width;
  const uint8_t* codes;
  const float* scales;
  const uint8_t* scaleCodes;  // null: int8
  float mean;

  /** Of a block of NF4. */
  float scaleOf(int64_t block) const { return signedTree.at[scaleCodes[block]] * scales[block / scaleBlock] + mean; }

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
      const float scale = scaleOf(block);
      for (; flat < stop; flat += 2, to += 2) {
        const float* pair = nf4Pairs.at[codes[flat / 2]];
        to[0] = pair[0] * scale;
        to[1] = pair[1] * scale;
      }
    }
  }
};

constexpr int fewRows = 8;

/** Columns at once: the sums of all rows stay in registers. */
constexpr int columnsBeside(int rows) { return 4 * rows <= LANES ? 4 : 2; }

/** Some columns from `first` on; behind the last column the last again. */
template <int rows>
struct Columns {
  static constexpr int count = columnsBeside(rows);
  int64_t first, end;
  const uint8_t* codes[count];
  V sum[rows][count];

  Columns(const uint8_t* matrix, int64_t bytes, int64_t from, int64_t last) : first(from), end(last) {
    for (int c = 0; c < count; ++c) codes[c] = matrix + minOf(first + c, end - 1) * bytes;
    for (auto& row : sum) for (V& one : row) one = zero();
  }

  /** Asks for memory that comes later: `offset` of these columns have been read, and one lies behind the other. */
  void ask(int64_t offset) const { __builtin_prefetch(codes[0] + askedAhead + offset); }

  /** y = the sums times what `scaleOf` gives for a column. */
  template <class Scale>
  void store(float* y, int64_t yRow, const Scale& scaleOf) const {
    for (int i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < count && first + c < end; ++c) y[i * yRow + first + c] = reduceAdd(sum[i][c]) * scaleOf(first + c);
    }
  }
};

/** y (rows, …) = x by columns [first, end) of int8. */
template <int rows>
void multiplyInt8(const Quantized& matrix, const float* x, int64_t first, int64_t end, float* y, int64_t yRow) {
  const int64_t depth = matrix.width;
  constexpr int count = Columns<rows>::count;
  for (int64_t j = first; j < end; j += count) {
    Columns<rows> columns(matrix.codes, depth, j, end);
    const auto add = [&](int64_t k, const auto& bytesAt, auto mask) {
      V values[rows];
      for (int i = 0; i < rows; ++i) values[i] = load(x + i * depth + k, mask);
      for (int c = 0; c < count; ++c) {
        const V code = toFloat(loadBytes(bytesAt(columns.codes[c] + k)) - setInt(128));
        for (int i = 0; i < rows; ++i) columns.sum[i][c] = fma(values[i], code, columns.sum[i][c]);
      }
    };
    const auto asTheyLie = [](const uint8_t* bytes) { return bytes; };
    int64_t k = 0;
    for (; k + lineBytes <= depth; k += lineBytes) {
      for (int c = 0; c < count; ++c) columns.ask(count * k + c * lineBytes);
      for (int64_t part = k; part < k + lineBytes; part += LANES) add(part, asTheyLie, AllLanes{});
    }
    for (; k + LANES <= depth; k += LANES) add(k, asTheyLie, AllLanes{});
    if (k < depth) {
      uint8_t rest[LANES] = {};
      const auto copied = [&](const uint8_t* bytes) { return static_cast<const uint8_t*>(memcpy(rest, bytes, static_cast<size_t>(depth - k))); };
      add(k, copied, tail(depth - k));
    }
    columns.store(y, yRow, [&](int64_t column) { return matrix.scales[column]; });
  }
}

/** x in the order that NF4 is unpacked in: of every 2 * LANES numbers first the even ones, the upper halves of bytes. */
ATHANOR_INLINE void partHalves(const float* x, int64_t count, float* to) {
  for (int64_t k = 0; k < count; k += 2 * LANES) {
    for (int64_t i = 0; i < LANES; ++i) {
      to[k + i] = x[k + 2 * i];
      to[k + LANES + i] = x[k + 2 * i + 1];
    }
  }
}

/** The same of NF4 in whole blocks, and x by partHalves(). */
template <int rows>
void multiplyNf4(const Quantized& matrix, const float* x, int64_t first, int64_t end, float* y, int64_t yRow) {
  const int64_t depth = matrix.width;
  constexpr int count = Columns<rows>::count;
  for (int64_t j = first; j < end; j += count) {
    Columns<rows> columns(matrix.codes, depth / 2, j, end);
    for (int64_t k = 0; k < depth; k += nf4Block) {
      for (int c = 0; c < count; ++c) {
        const uint8_t* codes = columns.codes[c] + k / 2;
        columns.ask((count * k + c * nf4Block) / 2);
        V part[rows];
        for (V& one : part) one = zero();
        for (int64_t at = 0; at < nf4Block; at += 2 * LANES) {
          const VI bytes = loadBytes(codes + at / 2);
          const V even = lookUp(nf4Values, shiftRight<4>(bytes)), odd = lookUp(nf4Values, bytes);
          for (int i = 0; i < rows; ++i) {
            const float* from = x + i * depth + k + at;
            part[i] = fma(odd, load(from + LANES), fma(even, load(from), part[i]));
          }
        }
        const V scale = set(matrix.scaleOf((minOf(j + c, end - 1) * depth + k) / nf4Block));
        for (int i = 0; i < rows; ++i) columns.sum[i][c] = fma(part[i], scale, columns.sum[i][c]);
      }
    }
    columns.store(y, yRow, [](int64_t) { return 1.0f; });
  }
}

using FewRows = void (*)(const Quantized&, const float* x, int64_t first, int64_t end, float* y, int64_t yRow);
constexpr FewRows int8By[fewRows] = {multiplyInt8<1>, multiplyInt8<2>, multiplyInt8<3>, multiplyInt8<4>,
                                     multiplyInt8<5>, multiplyInt8<6>, multiplyInt8<7>, multiplyInt8<8>};
constexpr FewRows nf4By[fewRows] = {multiplyNf4<1>, multiplyNf4<2>, multiplyNf4<3>, multiplyNf4<4>,
                                    multiplyNf4<5>, multiplyNf4<6>, multiplyNf4<7>, multiplyNf4<8>};

}  // namespace athanor::ATHANOR_ISA
