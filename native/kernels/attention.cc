// The kernel `attention`: softmax(scale q k^T) v per head, without the (T, S) matrix ever being whole (Dao et al. 2022; the
// running softmax of Milakov & Gimelshein 2018). Not its gradient.
//
// A chunk is one head of one batch row with up to 256 queries. It packs a block of keys and values, then one tile of queries at
// a time computes scores, probabilities relative to each row's running maximum, and their product with the values: the
// scores of a tile stay in L1, the packed keys and values in L2.
// params: causal, scale, dropoutStream (or -1), window (or 0)
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

/** The maxima of `rows` rows of scores, each over the keys from `first` on that its filter lets through. */
ATHANOR_INLINE void rowMaxima(const float* scores, int64_t stride, int64_t rows, const KeyFilter* filters, int64_t first,
                              float* maxima) {
  V best[tileRows];
  for (int r = 0; r < tileRows; ++r) best[r] = set(-INFINITY);
  int64_t open = first;  // [first, open): every row sees every key
  if (rows == tileRows && filters[0].seesAllOfRange() && filters[tileRows - 1].range.first <= first) {
    for (; open + LANES <= filters[0].range.end; open += LANES) {
      for (int r = 0; r < tileRows; ++r) best[r] = max(best[r], load(scores + r * stride + open));
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    V all = best[r];
    for (int64_t j = open; j < filters[r].range.end; j += LANES) {
      all = max(all, select(filters[r].at(j), load(scores + r * stride + j), set(-INFINITY)));
    }
    maxima[r] = reduceMax(all);
  }
}

/**
 * Turns a row of scores times `scale` from `first` on into probabilities times e^shift, dropped where `draws` say so, zeros up to `end`:
 * in `to`, which is the row's own memory, as floats or words. Returns their sum before dropout.
 */
template <class Element>
ATHANOR_INLINE float exponentiate(const float* scores, Element* to, int64_t first, int64_t end, const KeyFilter& filter, float scale,
                                  float shift, const Dropout& dropout, const float* draws) {
  const V factor = set(scale), center = set(shift);
  V sum = zero();
  int64_t j = first;
  for (; j < filter.range.end; j += LANES) {
    V e = select(filter.at(j), exp(load(scores + j) * factor - center), zero());
    sum += e;
    if (draws != nullptr) e = select(load(draws + j) >= set(dropout.p), e * set(dropout.keepScale), zero());
    store(to + j, e);
  }
  for (; j < end; j += LANES) store(to + j, zero());
  return reduceAdd(sum);
}

ATHANOR_INLINE void scaleRow(float* row, int64_t D, float scale) {
  const V factor = set(scale);
  forEachVector(D, [&](int64_t d, auto mask) { store(row + d, load(row + d, mask) * factor, mask); });
}

void run(const Call& call) {
  const Attention all = readAttention(call.in, maskOf(call), call.params);
  const Heads o = headsOf(call.out[0]);
  const View& lse = call.out[1];
  Scratch measure{nullptr};
  layoutThread(all, o.data.narrow, measure);
  const bool pairs = multipliesPairs(all);
  const float scoreScale = pairs ? all.scale : 1;  // else q has it
  const int64_t blockKeys = forwardKeys(all);
  const int64_t stride = scoreStride(blockKeys);
  const int64_t numHeads = all.B * all.H;
  const int64_t numQueryChunks = ceilDiv(all.T, chunkQueries);

  call.pool->parallelFor(numHeads * numQueryChunks, [&](int64_t chunk, int thread) {
    Scratch scratch{call.workspace + static_cast<size_t>(thread) * measure.used};
    const int64_t b = chunk % numHeads / all.H, h = chunk % numHeads % all.H;
    const Attention x = all.ofBatch(b);
    const ThreadScratch s = layoutThread(x, o.data.narrow, scratch);
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
    const Elements q = x.q.at(b, start, h);
    const FloatRows rows = pairs ? FloatRows{q.floats(), x.q.row / 2} : FloatRows{s.queries, x.D};
    if (!pairs) copyScaled(q, x.q.row, end - start, x.D, x.scale, s.queries);
    const Documents documents = readDocuments(x, b);
    const KeyRange seen = keysOfQueries(x, documents, start, end - start);
    prefetchRows(x.q, b, start, h, end - start, x.D);
    bool begun[ceilDiv(chunkQueries, tileRows)] = {};  // per tile of queries: whether its output holds sums
    for (int64_t firstKey = seen.first; firstKey < seen.end; firstKey += blockKeys) {
      const int64_t keys = minOf(blockKeys, seen.end - firstKey);
      packTransposed(x.k.at(b, firstKey, group), x.k.row, keys, x.D, pairs, s.keys);
      packStraight(x.v.at(b, firstKey, group), x.v.row, keys, x.D, pairs, s.values);
      for (int64_t first = start; first < end; first += tileRows) {
        const int64_t queries = minOf<int64_t>(tileRows, end - first);
        const KeyRange all = keysOfQueries(x, documents, first, queries);
        // of the block, from a whole panel on: what the rows of the tile share
        const KeyRange tile{maxOf<int64_t>(0, all.first - firstKey) / tileColumns * tileColumns, minOf(keys, all.end - firstKey)};
        if (tile.empty()) continue;
        bool& adding = begun[(first - start) / tileRows];
        multiplyPacked(pairs, queries, tile.end, rows.data + (first - start) * rows.row, rows.row, 1, s.keys,
                       unitsOf(x.D, pairs), s.scores, stride, false,
                       [&](int64_t, int64_t) { return TileRange{tile.first, tile.end, 0, x.D}; });
        KeyFilter filters[tileRows];
        float maxima[tileRows];
        for (int64_t r = 0; r < queries; ++r) filters[r] = filterKeys(x, documents, b, h, first + r, firstKey, tile.end);
        rowMaxima(s.scores, stride, queries, filters, tile.first, maxima);
        for (int64_t r = 0; r < queries; ++r) {
          const int64_t i = first + r;
          float &highest = s.max[i - start], &sum = s.sum[i - start];
          const float best = maxima[r] * scoreScale;
          float rescale = 1;
          if (best > highest) {
            rescale = adding ? expOf(highest - best) : 1;
            highest = best;
          }
          const float shift = highest == -INFINITY ? 0 : highest;  // nothing seen yet: -inf - -inf would be NaN
          const float* draws = dropout.draws(x, h, i, firstKey, tile.end, s.draws);
          const auto exponentiateTo = [&](auto* to) {
            return exponentiate(s.scores + r * stride, to, tile.first, tile.end, filters[r], scoreScale, shift, dropout, draws);
          };
          const Elements own{s.scores + r * stride, pairs};
          sum = sum * rescale + (pairs ? exponentiateTo(own.words()) : exponentiateTo(own.floats()));
          if (rescale != 1) scaleRow(outputAt(i), x.D, rescale);
        }
        multiplyPacked(pairs, queries, x.D, s.scores, stride, 1, s.values, unitsOf(keys, pairs), outputAt(first), outputRow, adding,
                       [&](int64_t, int64_t) { return TileRange{0, x.D, tile.first, tile.end}; });
        adding = true;
      }
    }
    forEachVector(end - start, [&](int64_t r, auto mask) {
      store(s.max + r, load(s.max + r, mask) + log(load(s.sum + r, mask)), mask);
    });
    for (int64_t i = start; i < end; ++i) {
      float* to = outputAt(i);
      const float sum = s.sum[i - start];
      if (begun[(i - start) / tileRows]) {
        scaleRow(to, x.D, sum > 0 ? 1.0f / sum : (sum == 0 ? 0.0f : sum));
      } else {
        memset(to, 0, static_cast<size_t>(x.D) * sizeof(float));
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
