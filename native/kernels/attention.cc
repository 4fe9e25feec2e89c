// The kernel `attention`: softmax(scale q k^T) v per head, without the (T, S) matrix ever being whole (Dao et al. 2022; the
// running softmax of Milakov & Gimelshein 2018). Not its gradient.
//
// A chunk is one head of one batch row with up to 256 queries. It packs a block of keys and values, then one tile of queries at
// a time computes scores, probabilities relative to each row's running maximum, and their product with the values: the
// scores of a tile stay in L1, the packed keys and values in L2.
// params: causal, scale, dropoutStream (or -1)
#include "../attention_block.h"
#include "../kernel.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t chunkQueries = 256;

/** About 128 KB of keys and as much of values. */
ATHANOR_INLINE int64_t forwardKeys(const Attention& x) {
  return keysPerBlock(x.S, maxOf<int64_t>(64, minOf<int64_t>(512, 32768 / maxOf<int64_t>(1, x.D))));
}

ATHANOR_INLINE const View* maskOf(const Call& call) { return call.numIn == 7 ? &call.in[6] : nullptr; }

const char* check(const Call& call) {
  if (call.numIn != 6 && call.numIn != 7) return "attention needs q, k, v, p, key, rows and perhaps a mask";
  if (call.numOut != 2) return "attention gives o and lse";
  if (const char* reason = checkAttention(call.in, maskOf(call), call.params, call.numParams)) return reason;
  const View &q = call.in[0], &o = call.out[0], &lse = call.out[1];
  if (!isHeads(o) || !sameShape(o, q) || repeats(o)) return "o must be like q with a dense last dim";
  const bool isStatistic = isFloat(lse) && lse.rank == 3 && lse.shape[0] == q.shape[0] && lse.shape[1] == q.shape[2] &&
                           lse.shape[2] == q.shape[1] && !repeats(lse);
  return isStatistic ? nullptr : "lse must be f32 (B, H, T)";
}

struct ThreadScratch {
  float *keys, *values, *queries, *scores, *draws;
  float *max, *sum;  // per query of the chunk: the running maximum, and the sum of exponentials relative to it
  float* output;     // of a bf16 o: the chunk in f32
};

ThreadScratch layoutThread(const Attention& x, bool narrowOutput, Scratch& scratch) {
  const int64_t keys = forwardKeys(x);
  ThreadScratch s{};
  s.keys = scratch.take<float>(transposedFloats(keys, x.D));
  s.values = scratch.take<float>(straightFloats(keys, x.D));
  s.queries = scratch.take<float>(chunkQueries * x.D);
  s.scores = scratch.take<float>(tileRows * scoreStride(keys));
  s.draws = scratch.take<float>(x.hasDropout ? uniformsRoom(keys) : 0);
  s.max = scratch.take<float>(chunkQueries + LANES);
  s.sum = scratch.take<float>(chunkQueries + LANES);
  s.output = scratch.take<float>(narrowOutput ? chunkQueries * x.D : 0);
  return s;
}

size_t workspace(const Call& call, int numThreads) {
  Scratch scratch{nullptr};
  layoutThread(readAttention(call.in, maskOf(call), call.params), !isFloat(call.out[0]), scratch);
  return scratch.used * static_cast<size_t>(numThreads);
}

/** The maxima of `rows` rows of scores, each over the keys that its filter lets through. */
ATHANOR_INLINE void rowMaxima(const float* scores, int64_t stride, int64_t rows, const KeyFilter* filters, float* maxima) {
  V best[tileRows];
  int64_t open = filters[0].mask == nullptr ? filters[0].visible : 0;  // up to here every row sees every key
  open = open / LANES * LANES;
  for (int r = 0; r < tileRows; ++r) best[r] = set(-INFINITY);
  if (rows == tileRows) {
    for (int64_t j = 0; j < open; j += LANES) {
      for (int r = 0; r < tileRows; ++r) best[r] = max(best[r], load(scores + r * stride + j));
    }
  } else {
    open = 0;
  }
  for (int64_t r = 0; r < rows; ++r) {
    V all = best[r];
    for (int64_t j = open; j < filters[r].visible; j += LANES) {
      all = max(all, select(filters[r].at(j), load(scores + r * stride + j), set(-INFINITY)));
    }
    maxima[r] = reduceMax(all);
  }
}

/**
 * Turns a row of scores into probabilities times e^shift, dropped where `draws` say so, zeros up to `count`. Returns their
 * sum before dropout.
 */
ATHANOR_INLINE float exponentiate(float* scores, int64_t count, const KeyFilter& filter, float shift, const Dropout& dropout,
                                  const float* draws) {
  const V center = set(shift);
  V sum = zero();
  int64_t j = 0;
  for (; j < filter.visible; j += LANES) {
    V e = select(filter.at(j), exp(load(scores + j) - center), zero());
    sum += e;
    if (draws != nullptr) e = select(load(draws + j) >= set(dropout.p), e * set(dropout.keepScale), zero());
    store(scores + j, e);
  }
  for (; j < count; j += LANES) store(scores + j, zero());
  return reduceAdd(sum);
}

ATHANOR_INLINE void scaleRow(float* row, int64_t D, float scale) {
  const V factor = set(scale);
  forEachVector(D, [&](int64_t d, auto mask) { store(row + d, load(row + d, mask) * factor, mask); });
}

void run(const Call& call) {
  const Attention x = readAttention(call.in, maskOf(call), call.params);
  const Heads o = headsOf(call.out[0]);
  const View& lse = call.out[1];
  Scratch measure{nullptr};
  layoutThread(x, o.data.narrow, measure);
  const int64_t blockKeys = forwardKeys(x);
  const int64_t stride = scoreStride(blockKeys);
  const int64_t numHeads = x.B * x.H;
  const int64_t numQueryChunks = ceilDiv(x.T, chunkQueries);

  call.pool->parallelFor(numHeads * numQueryChunks, [&](int64_t chunk, int thread) {
    Scratch scratch{call.workspace + static_cast<size_t>(thread) * measure.used};
    const ThreadScratch s = layoutThread(x, o.data.narrow, scratch);
    const int64_t b = chunk % numHeads / x.H, h = chunk % numHeads % x.H;
    const int64_t group = h / (x.H / x.G);
    const int64_t start = (numQueryChunks - 1 - chunk / numHeads) * chunkQueries;  // with causal attention the long ones first
    const int64_t end = minOf(x.T, start + chunkQueries);
    const Dropout dropout = readDropout(x, b);
    const int64_t outputRow = o.data.narrow ? x.D : o.row;
    float* const output = o.data.narrow ? s.output : o.floatsAt(b, start, h);
    const auto outputAt = [&](int64_t i) { return output + (i - start) * outputRow; };
    for (int64_t i = start; i < end; ++i) {
      s.max[i - start] = -INFINITY;
      s.sum[i - start] = 0;
    }
    copyScaled(x.q.at(b, start, h), x.q.row, end - start, x.D, x.scale, s.queries);
    const int64_t numKeys = x.visibleKeys(end - 1);
    for (int64_t firstKey = 0; firstKey < numKeys; firstKey += blockKeys) {
      const int64_t keys = minOf(blockKeys, numKeys - firstKey);
      packTransposed(x.k.at(b, firstKey, group), x.k.row, keys, x.D, s.keys);
      packStraight(x.v.at(b, firstKey, group), x.v.row, keys, x.D, s.values);
      for (int64_t first = start; first < end; first += tileRows) {
        const int64_t queries = minOf<int64_t>(tileRows, end - first);
        const int64_t count = minOf(keys, x.visibleKeys(first + queries - 1) - firstKey);
        if (count <= 0) continue;
        multiplyPacked(queries, count, s.queries + (first - start) * x.D, x.D, 1, s.keys, x.D, s.scores, stride, false,
                       [&](int64_t, int64_t) { return TileRange{count, 0, x.D}; });
        KeyFilter filters[tileRows];
        float maxima[tileRows];
        for (int64_t r = 0; r < queries; ++r) filters[r] = filterKeys(x, b, h, first + r, firstKey, count);
        rowMaxima(s.scores, stride, queries, filters, maxima);
        for (int64_t r = 0; r < queries; ++r) {
          const int64_t i = first + r;
          float &highest = s.max[i - start], &sum = s.sum[i - start];
          float rescale = 1;
          if (maxima[r] > highest) {
            rescale = firstKey == 0 ? 1 : expOf(highest - maxima[r]);
            highest = maxima[r];
          }
          const float shift = highest == -INFINITY ? 0 : highest;  // nothing seen yet: -inf - -inf would be NaN
          const float* draws = dropout.draws(x, h, i, firstKey, count, s.draws);
          sum = sum * rescale + exponentiate(s.scores + r * stride, count, filters[r], shift, dropout, draws);
          if (rescale != 1) scaleRow(outputAt(i), x.D, rescale);
        }
        multiplyPacked(queries, x.D, s.scores, stride, 1, s.values, keys, outputAt(first), outputRow, firstKey > 0,
                       [&](int64_t, int64_t) { return TileRange{x.D, 0, count}; });
      }
    }
    forEachVector(end - start, [&](int64_t r, auto mask) {
      store(s.max + r, load(s.max + r, mask) + log(load(s.sum + r, mask)), mask);
    });
    for (int64_t i = start; i < end; ++i) {
      float* to = outputAt(i);
      const float sum = s.sum[i - start];
      if (x.visibleKeys(i) == 0) {
        memset(to, 0, static_cast<size_t>(x.D) * sizeof(float));
      } else {
        scaleRow(to, x.D, sum > 0 ? 1.0f / sum : (sum == 0 ? 0.0f : sum));
      }
      floats(lse)[b * lse.strides[0] + h * lse.strides[1] + i * lse.strides[2]] = s.max[i - start];
    }
    if (o.data.narrow) o.write(b, start, h, end - start, x.D, s.output);
  });
}

constexpr Kernel attention{"attention", check, workspace, run};
const RegisterKernel registerAttention(attention);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
