// The kernel `attentionGrad`: gradients of attention for q, k and v from the saved output and lse. Probabilities and the
// dropout mask are computed again, block by block (Dao et al. 2022, algorithm 4). Not the forward pass.
//
// With P = exp(scale q k^T - lse), P' = P after dropout and D = rowsum(g * o):
//   dv = P'^T g      dP = dropout(g v^T)      dS = scale P (dP - D)      dq = dS k      dk = dS^T q
// A chunk is one group of one batch row: it walks its blocks of keys, and for each the queries of all its heads, so that dk
// and dv have one owner. When that makes too few chunks, the keys of a group are cut into parts; each part then has a dq of
// its own, and they are added in order.
// params: causal, scale, dropoutStream (or -1), window (or 0)
#include "../attention_block.h"
#include "../kernel.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t queryBlock = 64;  // queries of one head that are handled together
constexpr int64_t wantedChunks = 8;
constexpr int64_t maxParts = 4;

ATHANOR_INLINE const View* maskOf(const Call& call) { return call.numIn == 10 ? &call.in[9] : nullptr; }

const char* check(const Call& call) {
  if (call.numIn != 9 && call.numIn != 10) return "attentionGrad needs g, q, k, v, p, key, rows, o, lse and perhaps a mask";
  if (call.numOut != 3) return "attentionGrad gives dq, dk and dv";
  if (const char* reason = checkAttention(call.in + 1, maskOf(call), call.params, call.numParams)) return reason;
  if (call.numIn == 10 && call.in[9].rank == 1) return "queries over a cache have no gradient";
  const View &g = call.in[0], &q = call.in[1], &o = call.in[7], &lse = call.in[8];
  if (!isHeads(g) || !sameShape(g, q) || !isHeads(o) || !sameShape(o, q)) {
    return "g and o must be like q with a dense last dim";
  }
  const bool isStatistic = isFloat(lse) && lse.rank == 3 && lse.shape[0] == q.shape[0] && lse.shape[1] == q.shape[2] &&
                           lse.shape[2] == q.shape[1];
  if (!isStatistic) return "lse must be f32 (B, H, T)";
  for (int i = 0; i < 3; ++i) {
    if (!isHeads(call.out[i]) || !sameShape(call.out[i], call.in[1 + i]) || repeats(call.out[i])) {
      return "dq, dk and dv must be like q, k and v with a dense last dim";
    }
  }
  return nullptr;
}

/** How the keys are cut: into blocks that stay in L2 with all that belongs to them, and blocks into parts. */
struct KeyCut {
  int64_t blockKeys, blocks, parts;
};

ATHANOR_INLINE KeyCut cutKeys(const Attention& x) {
  KeyCut cut{};
  cut.blockKeys = keysPerBlock(x.S, maxOf<int64_t>(48, minOf<int64_t>(256, 16384 / x.D)));
  cut.blocks = ceilDiv(x.S, cut.blockKeys);
  const int64_t owners = maxOf<int64_t>(1, x.B * x.G);
  cut.parts = maxOf<int64_t>(1, minOf(minOf(maxParts, cut.blocks), ceilDiv(wantedChunks, owners)));
  if (owners >= wantedChunks) cut.parts = 1;
  return cut;
}

struct ThreadScratch {
  float *keysT, *valuesT, *keys;     // packed blocks of k^T, v^T and k
  float *queries;                    // scale q, dense
  float *queryPanels, *gradPanels;   // packed blocks of q and g
  float *scores, *gradScores;        // P' and dS
  float* gradPairs;                  // dS in pairs of queries
  float *draws;
  float *grads, *outputs;            // blocks of a bf16 g and o, widened
  float* queryGrads;                 // a bf16 dq of the chunk's heads, in f32: (T, heads, D)
  float *keyGrads, *valueGrads;      // blocks of a bf16 dk and dv, in f32
};

/** Which of a call's tensors are bf16, and whether pairs are multiplied. */
struct Narrow {
  bool g, o, dq, dk, dv, pairs;
};

Narrow narrowOf(const Call& call, const Attention& x) {
  const Heads g = headsOf(call.in[0]), o = headsOf(call.in[7]);
  const bool pairs = multipliesPairs(x) && g.data.narrow && o.data.narrow && g.row % 2 == 0 && o.row % 2 == 0;
  return {g.data.narrow, o.data.narrow, !isFloat(call.out[0]), !isFloat(call.out[1]), !isFloat(call.out[2]), pairs};
}

ThreadScratch layoutThread(const Attention& x, const Narrow& narrow, const KeyCut& cut, Scratch& scratch) {
  const int64_t keys = cut.blockKeys;
  ThreadScratch s{};
  s.keysT = scratch.take<float>(transposedFloats(keys, x.D));
  s.valuesT = scratch.take<float>(transposedFloats(keys, x.D));
  s.keys = scratch.take<float>(straightFloats(keys, x.D));
  s.queries = scratch.take<float>(queryBlock * x.D);
  s.queryPanels = scratch.take<float>(straightFloats(queryBlock, x.D));
  s.gradPanels = scratch.take<float>(straightFloats(queryBlock, x.D));
  s.scores = scratch.take<float>(queryBlock * scoreStride(keys));
  s.gradScores = scratch.take<float>(queryBlock * scoreStride(keys));
  s.gradPairs = scratch.take<float>(narrow.pairs ? queryBlock / 2 * scoreStride(keys) : 0);
  s.draws = scratch.take<float>(x.hasDropout ? uniformsRoom(keys) : 0);
  s.grads = scratch.take<float>(narrow.g && !narrow.pairs ? queryBlock * x.D : 0);
  s.outputs = scratch.take<float>(narrow.o && !narrow.pairs ? queryBlock * x.D : 0);
  s.queryGrads = scratch.take<float>(narrow.dq && cut.parts == 1 ? x.T * x.H / x.G * x.D : 0);
  s.keyGrads = scratch.take<float>(narrow.dk ? keys * x.D : 0);
  s.valueGrads = scratch.take<float>(narrow.dv ? keys * x.D : 0);
  return s;
}

struct Layout {
  float* queryGrads;  // per part, (B, T, H, D), when there are several parts
  size_t threadBytes;
  char* threads;
};

Layout layoutScratch(const Call& call, const Attention& x, const KeyCut& cut, int numThreads, Scratch& scratch) {
  Layout layout{};
  if (cut.parts > 1) layout.queryGrads = scratch.take<float>(cut.parts * x.B * x.T * x.H * x.D);
  Scratch measure{nullptr};
  layoutThread(x, narrowOf(call, x), cut, measure);
  layout.threadBytes = measure.used;
  layout.threads = scratch.take<char>(static_cast<int64_t>(layout.threadBytes) * numThreads);
  return layout;
}

size_t workspace(const Call& call, int numThreads) {
  const Attention x = readAttention(call.in + 1, maskOf(call), call.params);
  Scratch scratch{nullptr};
  layoutScratch(call, x, cutKeys(x), numThreads, scratch);
  return scratch.used;
}

ATHANOR_INLINE void clearHeads(const Heads& to, int64_t b, int64_t firstRow, int64_t endRow, int64_t h, int64_t D) {
  for (int64_t i = firstRow; i < endRow; ++i) memset(to.floatsAt(b, i, h), 0, static_cast<size_t>(D) * sizeof(float));
}

/** One block's rows of dk or dv while they are summed, cleared: in the view, or for bf16 in scratch until finish(). */
struct BlockGrads {
  const Heads& to;
  int64_t b, firstKey, group, keys, D;
  float* scratch;

  bool narrow() const { return to.data.narrow; }
  float* data() const { return narrow() ? scratch : to.floatsAt(b, firstKey, group); }
  int64_t row() const { return narrow() ? D : to.row; }
  void clear() const {
    for (int64_t i = 0; i < keys; ++i) memset(data() + i * row(), 0, static_cast<size_t>(D) * sizeof(float));
  }
  void finish() const {
    if (narrow()) to.write(b, firstKey, group, keys, D, scratch);
  }
};

/** Asks for what one block of queries reads. */
ATHANOR_INLINE void prefetchQueries(const Attention& x, const Heads& g, const Heads& o, int64_t b, int64_t first, int64_t h) {
  const int64_t count = minOf(queryBlock, x.T - first);
  prefetchRows(x.q, b, first, h, count, x.D);
  prefetchRows(g, b, first, h, count, x.D);
  prefetchRows(o, b, first, h, count, x.D);
}

template <bool pairs>
ATHANOR_INLINE float dot(FloatRows a, FloatRows b, int64_t row, int64_t n) {
  V sum = zero();
  forEachVector(n, [&](int64_t i, auto mask) {
    sum = multiplyAdd<pairs>(load(a.data + row * a.row + i, mask), load(b.data + row * b.row + i, mask), sum);
  });
  return reduceAdd(sum);
}

/**
 * Two rows of P' and of dS, `stride` apart, or one and zeros: rounded to pairs of the rows in `pairs` and `gradPairs`, for
 * products over queries, and dS to words in its own place, for one over keys. `pairs` may lie over what is read.
 */
ATHANOR_INLINE void roundRows(const float* scores, float* gradScores, int64_t stride, bool two, int64_t count, float* pairs,
                              float* gradPairs) {
  for (int64_t j = 0; j < count; j += LANES) {
    const V grad = load(gradScores + j), nextGrad = two ? load(gradScores + stride + j) : zero();
    store(pairs + j, bf16Pairs(load(scores + j), two ? load(scores + stride + j) : zero()));
    store(gradPairs + j, bf16Pairs(grad, nextGrad));
    store(Elements{gradScores, true}.words() + j, grad);
    if (two) store(Elements{gradScores + stride, true}.words() + j, nextGrad);
  }
}

/** One row: scores, times their scale, become P', gradScores (g v^T) becomes dS, both zeros where no key may be seen, up to `count`. Only from `first`
 * on are there scores. */
ATHANOR_INLINE void differentiateRow(float* scores, float* gradScores, int64_t first, int64_t count, const KeyFilter& filter,
                                     float scoreScale, float lse, float gradDotOutput, float scale, const Dropout& dropout,
                                     const float* draws) {
  const V shift = set(lse == -INFINITY ? 0.0f : lse);
  const V center = set(gradDotOutput);
  const V factor = set(scale), scoreFactor = set(scoreScale);
  for (int64_t j = 0; j < first; j += LANES) {
    store(scores + j, zero());
    store(gradScores + j, zero());
  }
  int64_t j = first;
  for (; j < filter.range.end; j += LANES) {
    const V p = select(filter.at(j), exp(load(scores + j) * scoreFactor - shift), zero());
    V kept = p;
    V grad = load(gradScores + j);
    if (draws != nullptr) {
      const M keep = load(draws + j) >= set(dropout.p);
      kept = select(keep, p * set(dropout.keepScale), zero());
      grad = select(keep, grad * set(dropout.keepScale), zero());
    }
    store(scores + j, kept);
    // beyond the visible keys `grad` is whatever lay there
    store(gradScores + j, select(filter.at(j), p * (grad - center) * factor, zero()));
  }
  for (; j < count; j += LANES) {
    store(scores + j, zero());
    store(gradScores + j, zero());
  }
}

void run(const Call& call) {
  const Attention x = readAttention(call.in + 1, maskOf(call), call.params);
  const Heads g = headsOf(call.in[0]), o = headsOf(call.in[7]);
  const View& lse = call.in[8];
  const Heads dq = headsOf(call.out[0]), dk = headsOf(call.out[1]), dv = headsOf(call.out[2]);
  const KeyCut cut = cutKeys(x);
  const int64_t stride = scoreStride(cut.blockKeys);
  const int64_t headsPerGroup = x.H / x.G;
  const Narrow narrow = narrowOf(call, x);
  const bool pairs = narrow.pairs;
  Scratch whole{call.workspace};
  const Layout layout = layoutScratch(call, x, cut, call.pool->numThreads(), whole);
  const int64_t partSize = x.B * x.T * x.H * x.D;

  call.pool->parallelFor(x.B * x.G * cut.parts, [&](int64_t chunk, int thread) {
    Scratch scratch{layout.threads + static_cast<size_t>(thread) * layout.threadBytes};
    const ThreadScratch s = layoutThread(x, narrow, cut, scratch);
    const int64_t part = chunk % cut.parts;
    const int64_t b = chunk / cut.parts / x.G, group = chunk / cut.parts % x.G;
    const int64_t partStart = minOf(x.S, cut.blocks * part / cut.parts * cut.blockKeys);
    const int64_t partEnd = minOf(x.S, cut.blocks * (part + 1) / cut.parts * cut.blockKeys);
    const int64_t firstHead = group * headsPerGroup;
    Heads queryGrads = dq;  // of the chunk's batch row and heads alone
    if (cut.parts > 1) queryGrads = {{layout.queryGrads + part * partSize, false}, x.T * x.H * x.D, x.H * x.D, x.D};
    queryGrads.data = queryGrads.at(b, 0, firstHead);
    if (cut.parts == 1 && narrow.dq) queryGrads = {{s.queryGrads, false}, 0, headsPerGroup * x.D, x.D};
    const Dropout dropout = readDropout(x, b);
    const Documents documents = readDocuments(x, b);
    for (int64_t h = 0; h < headsPerGroup; ++h) clearHeads(queryGrads, 0, 0, x.T, h, x.D);
    prefetchQueries(x, g, o, b, 0, firstHead);

    for (int64_t firstKey = partStart; firstKey < partEnd; firstKey += cut.blockKeys) {
      const int64_t keys = minOf(cut.blockKeys, partEnd - firstKey);
      packTransposed(x.k.at(b, firstKey, group), x.k.row, keys, x.D, pairs, s.keysT);
      packTransposed(x.v.at(b, firstKey, group), x.v.row, keys, x.D, pairs, s.valuesT);
      packStraight(x.k.at(b, firstKey, group), x.k.row, keys, x.D, pairs, s.keys);
      const BlockGrads keyGrads{dk, b, firstKey, group, keys, x.D, s.keyGrads};
      const BlockGrads valueGrads{dv, b, firstKey, group, keys, x.D, s.valueGrads};
      keyGrads.clear();
      valueGrads.clear();
      for (int64_t h = firstHead; h < firstHead + headsPerGroup; ++h) {
        for (int64_t first = 0; first < x.T; first += queryBlock) {
          const int64_t queries = minOf(queryBlock, x.T - first);
          const KeyRange all = keysOfQueries(x, documents, first, queries);
          const int64_t count = minOf(keys, all.end - firstKey);  // of the block
          const int64_t begin = maxOf<int64_t>(0, all.first - firstKey) / tileColumns * tileColumns;
          if (count <= begin) continue;
          prefetchQueries(x, g, o, b, first + queryBlock, h);
          const Elements q = x.q.at(b, first, h), dOutput = g.at(b, first, h);
          const auto rowsOf = [&](const Heads& heads, float* widened) {
            return pairs ? FloatRows{heads.at(b, first, h).floats(), heads.row / 2} : heads.read(b, first, h, queries, x.D, widened);
          };
          const FloatRows qRows = pairs ? rowsOf(x.q, nullptr) : FloatRows{s.queries, x.D};
          const FloatRows grads = rowsOf(g, s.grads), outputs = rowsOf(o, s.outputs);
          if (!pairs) copyScaled(q, x.q.row, queries, x.D, x.scale, s.queries);
          packStraight(q, x.q.row, queries, x.D, pairs, s.queryPanels);
          packStraight(dOutput, g.row, queries, x.D, pairs, s.gradPanels);
          const auto endOfSeen = [&](int64_t i) { return maxOf<int64_t>(0, minOf(count, x.endOfKeys(first + i) - firstKey)); };
          const auto scoreRange = [&](int64_t i, int64_t n) { return TileRange{begin, endOfSeen(i + n - 1), 0, x.D}; };
          const int64_t D = unitsOf(x.D, pairs);
          multiplyPacked(pairs, queries, count, qRows.data, qRows.row, 1, s.keysT, D, s.scores, stride, false, scoreRange);
          multiplyPacked(pairs, queries, count, grads.data, grads.row, 1, s.valuesT, D, s.gradScores, stride, false, scoreRange);
          for (int64_t r = 0; r < queries; ++r) {
            const int64_t i = first + r;
            const KeyFilter filter = filterKeys(x, documents, b, h, i, firstKey, count);
            const float rowLse = floats(lse)[b * lse.strides[0] + h * lse.strides[1] + i * lse.strides[2]];
            const float gradDotOutput = pairs ? dot<hasPairs>(grads, outputs, r, D) : dot<false>(grads, outputs, r, D);
            const float* draws = dropout.draws(x, h, i, firstKey, count, s.draws);
            differentiateRow(s.scores + r * stride, s.gradScores + r * stride, begin, count, filter, pairs ? x.scale : 1, rowLse,
                             gradDotOutput, x.scale, dropout, draws);
          }
          for (int64_t r = 0; r < queries && pairs; r += 2) {
            roundRows(s.scores + r * stride, s.gradScores + r * stride, stride, r + 1 < queries, count, s.scores + r / 2 * stride,
                      s.gradPairs + r / 2 * stride);
          }
          // keys are seen from some query on, queries see keys up to some key
          const auto keyRange = [&](int64_t j, int64_t) {
            const int64_t firstQuery = x.causal ? maxOf<int64_t>(0, firstKey + j - (x.S - x.T) - first) : 0;
            return TileRange{0, x.D, minOf(firstQuery, queries), queries};
          };
          const auto queryRange = [&](int64_t i, int64_t n) { return TileRange{0, x.D, minOf(begin, endOfSeen(i + n - 1)), endOfSeen(i + n - 1)}; };
          const int64_t panel = unitsOf(queries, pairs);
          multiplyPacked(pairs, count, x.D, s.scores, 1, stride, s.gradPanels, panel, valueGrads.data(), valueGrads.row(), true,
                         keyRange);
          multiplyPacked(pairs, count, x.D, pairs ? s.gradPairs : s.gradScores, 1, stride, s.queryPanels, panel, keyGrads.data(),
                         keyGrads.row(), true, keyRange);
          multiplyPacked(pairs, queries, x.D, s.gradScores, stride, 1, s.keys, unitsOf(keys, pairs),
                         queryGrads.floatsAt(0, first, h - firstHead), queryGrads.row, true, queryRange);
        }
      }
      keyGrads.finish();
      valueGrads.finish();
    }
    for (int64_t h = 0; h < headsPerGroup && cut.parts == 1 && narrow.dq; ++h) {
      for (int64_t i = 0; i < x.T; ++i) {
        convertRow(dq.at(b, i, firstHead + h).words(), queryGrads.floatsAt(0, i, h), x.D);
      }
    }
  });
  if (layout.queryGrads == nullptr) return;
  call.pool->parallelFor(x.B * x.T, [&](int64_t row, int) {
    const float* parts = layout.queryGrads + row * x.H * x.D;
    for (int64_t h = 0; h < x.H; ++h) {
      const Elements to = dq.at(row / x.T, row % x.T, h);
      forEachVector(x.D, [&](int64_t d, auto mask) {
        V sum = zero();
        for (int64_t part = 0; part < cut.parts; ++part) sum += load(parts + part * partSize + h * x.D + d, mask);
        to.narrow ? store(to.words() + d, sum, mask) : store(to.floats() + d, sum, mask);
      });
    }
  });
}

constexpr Kernel attentionGrad{"attentionGrad", check, workspace, run};
const RegisterKernel registerAttentionGrad(attentionGrad);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
