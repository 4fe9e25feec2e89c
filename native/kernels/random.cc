// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011), the words of src/base/rng.ts.
//   uniform (key i32[3], rows i32[R] -> y f32[R, ...]) [stream]
//   normal  (the same)
//   dropout (x, p, key, rows -> y) [stream]   y = uniform >= p ? x / (1 - p) : 0
//   roundStochastic (x f32, key, rows -> y bf16) [stream]   one of x's two neighbours, by its distance
// Key = (seed low, seed high, step). Element e of row r depends on these, on rows[r] and on the stream, on nothing else.
#include <string.h>

#include "../bf16.h"
#include "../kernel.h"
#include "../math.h"
#include "../philox.h"
#include "../simd.h"
#include "../strided.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t pieceElements = 1024;  // of a row, drawn at once
constexpr int64_t chunkElements = 8192;

/** cos(2 pi v) for v in [0, 1): quarter turns are taken off exactly. */
ATHANOR_INLINE V cosineOfTurns(V v) {
  const V quarters = v * set(4.0f);
  const V whole = round(quarters);
  return sineOfReduced((quarters - whole) * set(1.57079632679489662f), toIntRounded(whole) + setInt(1));
}

using Drawn = float[pieceElements + 6 * LANES];  // room for uniformsRoom(pieceElements)

const float* drawUniform(Drawn out, int64_t first, int64_t n, const DrawKey& key) { return uniforms(key, first, n, out); }

/** Standard normals by Box & Muller 1958: element e from the words 2e and 2e + 1, so that a block gives two. */
const float* drawNormal(Drawn out, int64_t first, int64_t n, const DrawKey& key) {
  for (int64_t at = 0; at < n; at += 2 * LANES) {
    VI words[4];
    philox(key, setInt(static_cast<int32_t>(static_cast<uint32_t>((first + at) / 2))) + laneIndex(), words);
    float lanes[2][LANES];
    for (int pair = 0; pair < 2; ++pair) {
      const V u = set(1.0f) - wordToUniform(words[2 * pair]);  // (0, 1]: the logarithm is finite
      const V radius = sqrt(set(-2.0f) * log(u));
      store(lanes[pair], radius * cosineOfTurns(wordToUniform(words[2 * pair + 1])));
    }
    for (int lane = 0; lane < LANES; ++lane) {
      for (int pair = 0; pair < 2; ++pair) out[at + 2 * lane + pair] = lanes[pair][lane];
    }
  }
  return out;
}

// ---- what the kernels share: rows, keys, and the walk ----

/** Everything after the first dim. */
View rowOf(const View& v) {
  View row = v;
  row.rank = v.rank - 1;
  row.size = 1;
  for (int d = 0; d < row.rank; ++d) {
    row.shape[d] = v.shape[d + 1];
    row.strides[d] = v.strides[d + 1];
    row.size *= row.shape[d];
  }
  return row;
}

const char* checkDraw(const View& key, const View& rows, const View& y, const Call& call, DType dtype = DType::f32) {
  if (call.numParams != 1 || !isWhole(call.params[0], 0, 4294967295.0)) return "expected [stream]";
  if (key.dtype != DType::i32 || key.rank != 1 || key.size != 3) return "expected a key i32[3]";
  if (rows.dtype != DType::i32 || rows.rank != 1) return "expected rows i32[R]";
  if (y.dtype != dtype || y.rank < 1) return "expected f32 of rank 1 or more, or bf16 where it is rounded to that";
  if (y.shape[0] != rows.size) return "one row id for each row is expected";
  return nullptr;
}

DrawKey readKey(const View& view, double stream) {
  const int32_t* words = static_cast<const int32_t*>(view.data);
  const int64_t stride = view.strides[0];
  return {words[0], words[stride], words[2 * stride], static_cast<int32_t>(static_cast<uint32_t>(stream)), 0};
}

/** Calls `body(row, key of the row, first element, count)` for pieces of rows, in parallel. */
template <class Body>
void forRowPieces(Pool* pool, const View& rows, int64_t perRow, const DrawKey& key, const Body& body) {
  if (rows.size == 0 || perRow == 0) return;
  const int32_t* ids = static_cast<const int32_t*>(rows.data);
  const int64_t pieces = ceilDiv(perRow, pieceElements);
  const int64_t perChunk = maxOf<int64_t>(1, chunkElements / minOf(perRow, pieceElements));
  const int64_t items = rows.size * pieces;
  pool->parallelFor(ceilDiv(items, perChunk), [&](int64_t chunk, int) {
    for (int64_t item = chunk * perChunk; item < minOf((chunk + 1) * perChunk, items); ++item) {
      const int64_t row = item / pieces, first = item % pieces * pieceElements;
      DrawKey own = key;
      own.row = ids[row * rows.strides[0]];
      body(row, own, first, minOf(pieceElements, perRow - first));
    }
  });
}

/** Calls `body(offsets of each operand, position, count)` for the stretches of elements [first, first + n) of a row. */
template <int operands, class Body>
ATHANOR_INLINE void forStretches(const Walk<operands>& walk, int64_t first, int64_t n, const Body& body) {
  const int64_t inner = walk.inner();
  int64_t index[maxRank];
  walk.indexOf(first / inner, index);
  int64_t column = first % inner;
  for (int64_t at = 0; at < n;) {
    const int64_t length = minOf(inner - column, n - at);
    int64_t offsets[operands];
    for (int k = 0; k < operands; ++k) offsets[k] = walk.offset(k, index) + column * walk.innerStride(k);
    body(offsets, at, length);
    at += length;
    column = 0;
    walk.advance(index);
  }
}

using Draw = const float* (*)(Drawn out, int64_t first, int64_t n, const DrawKey& key);

const char* checkFresh(const Call& call) {
  if (call.numIn != 2 || call.numOut != 1) return "expected key, rows -> y";
  return checkDraw(call.in[0], call.in[1], call.out[0], call);
}

template <Draw draw>
void runFresh(const Call& call) {
  const View& y = call.out[0];
  const DrawKey key = readKey(call.in[0], call.params[0]);
  const View row = rowOf(y);
  const View* views[] = {&row};
  Walk<1> walk;
  walk.init(views, 1);
  float* data = static_cast<float*>(y.data);
  forRowPieces(call.pool, call.in[1], row.size, key, [&](int64_t r, const DrawKey& own, int64_t first, int64_t n) {
    Drawn buffer;
    const float* drawn = draw(buffer, first, n, own);
    float* out = data + r * y.strides[0];
    forStretches(walk, first, n, [&](const int64_t* offsets, int64_t at, int64_t length) {
      const int64_t stride = walk.innerStride(0);
      if (stride == 1) {
        memcpy(out + offsets[0], drawn + at, static_cast<size_t>(length) * sizeof(float));
      } else {
        for (int64_t i = 0; i < length; ++i) out[offsets[0] + i * stride] = drawn[at + i];
      }
    });
  });
}

const char* checkDropout(const Call& call) {
  if (call.numIn != 4 || call.numOut != 1) return "expected x, p, key, rows -> y";
  const View &x = call.in[0], &p = call.in[1], &y = call.out[0];
  if (x.dtype != DType::f32 || !sameShape(x, y)) return "expected x f32 of y's shape";
  if (p.dtype != DType::f32 || p.size != 1) return "expected p to be one f32";
  return checkDraw(call.in[2], call.in[3], y, call);
}

/** Calls `body(a, a's stride, b, b's stride, draws, count)` for stretches of x and y, with a uniform draw for each element. */
template <class To, class Body>
void forDrawnStretches(const Call& call, const View& key, const View& rows, const Body& body) {
  const View &x = call.in[0], &y = call.out[0];
  const DrawKey drawKey = readKey(key, call.params[0]);
  const View rowX = rowOf(x), rowY = rowOf(y);
  const View* views[] = {&rowX, &rowY};
  Walk<2> walk;
  walk.init(views, 2);
  const float* from = static_cast<const float*>(x.data);
  To* into = static_cast<To*>(y.data);
  forRowPieces(call.pool, rows, rowY.size, drawKey, [&](int64_t r, const DrawKey& own, int64_t first, int64_t n) {
    Drawn buffer;
    const float* drawn = drawUniform(buffer, first, n, own);
    forStretches(walk, first, n, [&](const int64_t* offsets, int64_t at, int64_t length) {
      const float* a = from + r * x.strides[0] + offsets[0];
      To* b = into + r * y.strides[0] + offsets[1];
      body(a, walk.innerStride(0), b, walk.innerStride(1), drawn + at, length);
    });
  });
}

void runDropout(const Call& call) {
  const float p = *static_cast<const float*>(call.in[1].data);
  const auto drop = [p](const float* a, int64_t strideA, float* b, int64_t strideB, const float* drawn, int64_t n) {
    const V rate = set(p), keep = set(1.0f) - rate;
    if (strideA == 1 && strideB == 1) {
      forVectors(
          n, [&](int64_t i) { store(b + i, select(load(drawn + i) >= rate, load(a + i) / keep, zero())); },
          [&](int64_t i, M m) { store(b + i, select(load(drawn + i, m) >= rate, load(a + i, m) / keep, zero()), m); });
    } else {
      for (int64_t i = 0; i < n; ++i) b[i * strideB] = drawn[i] >= p ? a[i * strideA] / (1.0f - p) : 0.0f;
    }
  };
  forDrawnStretches<float>(call, call.in[2], call.in[3], drop);
}

/**
 * Words of the bf16 below x in magnitude, or, as often as x is near it, of the one above: their mean is x. The upper half of a
 * draw's bits counts. What is not finite stays so.
 */
ATHANOR_INLINE VI stochasticWords(V x, V drawn) {
  const VI bits = asInt(x);
  const V below = toFloat(bits & setInt(0xffff)) * set(0x1p-16f);
  const VI up = select(drawn >= set(1.0f) - below, setInt(1), setInt(0));
  const VI exponent = setInt(0x7f800000);
  return select((bits & exponent) == exponent, bf16Words(x), shiftRight<16>(bits) + up);
}

const char* checkRoundStochastic(const Call& call) {
  if (call.numIn != 3 || call.numOut != 1) return "expected x, key, rows -> y";
  const View &x = call.in[0], &y = call.out[0];
  if (x.dtype != DType::f32 || !sameShape(x, y)) return "expected x f32 of y's shape";
  return checkDraw(call.in[1], call.in[2], y, call, DType::bf16);
}

void runRoundStochastic(const Call& call) {
  const auto round = [](const float* a, int64_t strideA, uint16_t* b, int64_t strideB, const float* drawn, int64_t n) {
    if (strideA == 1 && strideB == 1) {
      forVectors(
          n, [&](int64_t i) { storeWords(b + i, stochasticWords(load(a + i), load(drawn + i))); },
          [&](int64_t i, M m) { storeWords(b + i, stochasticWords(load(a + i, m), load(drawn + i, m)), m); });
    } else {
      for (int64_t i = 0; i < n; ++i) {
        uint16_t words[LANES];
        storeWords(words, stochasticWords(set(a[i * strideA]), set(drawn[i])));
        b[i * strideB] = words[0];
      }
    }
  };
  forDrawnStretches<uint16_t>(call, call.in[1], call.in[2], round);
}

constexpr Kernel uniformKernel{"uniform", checkFresh, nullptr, runFresh<drawUniform>};
constexpr Kernel normalKernel{"normal", checkFresh, nullptr, runFresh<drawNormal>};
constexpr Kernel dropoutKernel{"dropout", checkDropout, nullptr, runDropout};
constexpr Kernel roundStochasticKernel{"roundStochastic", checkRoundStochastic, nullptr, runRoundStochastic};
const RegisterKernel registerUniform(uniformKernel);
const RegisterKernel registerNormal(normalKernel);
const RegisterKernel registerDropout(dropoutKernel);
const RegisterKernel registerRoundStochastic(roundStochasticKernel);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
