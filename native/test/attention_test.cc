// attention and attentionGrad against the whole (T, S) matrix in f64: causal or not, masks, windows, documents, grouped heads,
// dropout, blocks.
#include <cmath>
#include <functional>

#include "kernel_harness.h"

namespace athanor::test {
namespace {

/** Philox 4x32-10 as its paper states it, one block at a time. */
void philoxBlock(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xd2511f53} * c[0], second = uint64_t{0xcd9e8d57} * c[2];
    const uint32_t next[4] = {static_cast<uint32_t>(second >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(second),
                              static_cast<uint32_t>(first >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(first)};
    for (int i = 0; i < 4; ++i) c[i] = next[i];
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
}

struct AttentionCase {
  int64_t B, T, S, H, G, D;
  bool causal = false;
  double dropout = -1;  // negative: no stream
  Shape maskShape = {};
  Layout layout = Layout::dense;
  int64_t window = 0;                              // 0: none
  std::function<double(int64_t)> documents = nullptr;  // of a position; null: none
};

struct Oracle {
  std::vector<double> o, lse, dq, dk, dv;
};

constexpr uint32_t stream = 0x9e77aa01;

struct AttentionInputs {
  Tensor q, k, v, p, key, rows, mask, g;
};

AttentionInputs makeInputs(const AttentionCase& c, DType dtype) {
  AttentionInputs in{Tensor(dtype, {c.B, c.T, c.H, c.D}, c.layout), Tensor(dtype, {c.B, c.S, c.G, c.D}, c.layout),
                     Tensor(dtype, {c.B, c.S, c.G, c.D}, c.layout), Tensor(DType::f32, {}),
                     Tensor(DType::i32, {3}),                            Tensor(DType::i32, {c.B}),
                     c.documents ? Tensor(DType::i32, {c.B, c.S}) : Tensor(DType::bool_, c.maskShape), Tensor(dtype, {c.B, c.T, c.H, c.D}, c.layout)};
  in.q.random(2);
  in.k.random(2);
  in.v.random();
  in.g.random();
  in.p.fill(c.dropout < 0 ? 0 : c.dropout);
  in.key.below(1 << 30);
  in.rows.below(1 << 20);
  if (!c.maskShape.empty()) in.mask.below(2);
  for (int64_t i = 0; c.documents && i < c.B * c.S; ++i) in.mask.put(i, c.documents(i % c.S + i / c.S));
  return in;
}

/** Follows the definition: every probability is held, everything in f64. */
Oracle attend(const AttentionCase& c, const AttentionInputs& in, double scale) {
  Oracle out;
  out.o.assign(static_cast<size_t>(in.q.size()), 0);
  out.dq = out.o;
  out.lse.assign(static_cast<size_t>(c.B * c.H * c.T), 0);
  out.dk.assign(static_cast<size_t>(in.k.size()), 0);
  out.dv = out.dk;
  const std::vector<double> q = in.q.values(), k = in.k.values(), v = in.v.values(), g = in.g.values();
  const double drop = c.dropout < 0 ? 0 : in.p.at(0);
  std::vector<double> p(static_cast<size_t>(c.S)), kept(p), dp(p);
  for (int64_t b = 0; b < c.B; ++b) {
    for (int64_t h = 0; h < c.H; ++h) {
      const int64_t group = h / (c.H / c.G);
      for (int64_t i = 0; i < c.T; ++i) {
        const size_t atQ = static_cast<size_t>(((b * c.T + i) * c.H + h) * c.D);
        const auto atK = [&](int64_t j) { return static_cast<size_t>(((b * c.S + j) * c.G + group) * c.D); };
        double highest = -INFINITY, sum = 0;
        for (int64_t j = 0; j < c.S; ++j) {
          double score = 0;
          for (int64_t d = 0; d < c.D; ++d) score += q[atQ + d] * k[atK(j) + d];
          const int64_t ahead = j - (i + c.S - c.T);
          bool hidden = (c.causal && ahead > 0) || (c.window > 0 && (ahead <= -c.window || ahead >= c.window));
          if (c.documents) hidden = hidden || in.mask.at(b * c.S + i) != in.mask.at(b * c.S + j);
          if (!c.maskShape.empty()) {
            const int64_t mb = c.maskShape[0] == 1 ? 0 : b, mh = c.maskShape[1] == 1 ? 0 : h, mi = c.maskShape[2] == 1 ? 0 : i;
            hidden = hidden || in.mask.at(((mb * c.maskShape[1] + mh) * c.maskShape[2] + mi) * c.S + j) == 0;
          }
          p[j] = hidden ? -INFINITY : score * scale;
          highest = std::fmax(highest, p[j]);
        }
        for (int64_t j = 0; j < c.S; ++j) sum += p[j] = p[j] == -INFINITY ? 0 : std::exp(p[j] - highest);
        out.lse[static_cast<size_t>((b * c.H + h) * c.T + i)] = sum == 0 ? -INFINITY : highest + std::log(sum);
        double dot = 0;
        for (int64_t j = 0; j < c.S; ++j) {
          p[j] = sum == 0 ? 0 : p[j] / sum;
          const uint64_t element = static_cast<uint64_t>((h * c.T + i) * c.S + j);
          uint32_t words[4] = {static_cast<uint32_t>(element / 4), static_cast<uint32_t>(in.rows.at(b)),
                               static_cast<uint32_t>(in.key.at(2)), stream};
          philoxBlock(words, static_cast<uint32_t>(in.key.at(0)), static_cast<uint32_t>(in.key.at(1)));
          const double uniform = (words[element % 4] >> 8) * 0x1p-24;
          const double factor = uniform >= drop ? 1 / (1 - drop) : 0;
          kept[j] = p[j] == 0 ? 0 : p[j] * factor;
          dp[j] = 0;
          for (int64_t d = 0; d < c.D; ++d) {
            out.o[atQ + d] += kept[j] * v[atK(j) + d];
            dp[j] += g[atQ + d] * v[atK(j) + d];
            out.dv[atK(j) + d] += kept[j] * g[atQ + d];
          }
          dp[j] = factor == 0 ? 0 : dp[j] * factor;
          dot += p[j] * dp[j];
        }
        for (int64_t j = 0; j < c.S; ++j) {
          const double ds = p[j] * (dp[j] - dot) * scale;
          for (int64_t d = 0; d < c.D; ++d) {
            out.dq[atQ + d] += ds * k[atK(j) + d];
            out.dk[atK(j) + d] += ds * q[atQ + d];
          }
        }
      }
    }
  }
  return out;
}

void testAttention(const AttentionCase& c, DType dtype) {
  const AttentionInputs in = makeInputs(c, dtype);
  const Tensor outQ(DType::f32, in.q.shape(), c.layout), outK(DType::f32, in.k.shape(), c.layout);
  const double scale = 1 / std::sqrt(static_cast<double>(c.D));
  const Oracle expected = attend(c, in, static_cast<double>(static_cast<float>(scale)));
  const std::vector<double> params = {c.causal ? 1.0 : 0.0, scale, c.dropout < 0 ? -1.0 : static_cast<double>(stream),
                                      static_cast<double>(c.window)};
  const bool hasMask = !c.maskShape.empty() || c.documents;
  Case forward{"attention", {in.q, in.k, in.v, in.p, in.key, in.rows}, {outQ, Tensor(DType::f32, {c.B, c.H, c.T})}, params};
  if (hasMask) forward.inputs.push_back(in.mask);
  // of bf16 operands, probabilities (up to 1 / (1 - 0.3)) and their gradients may be rounded to bf16; statistics never
  const bool rounds = dtype == DType::bf16;
  expectValues(forward, {{}, expected.lse}, {2e-6, 1e-5});
  expectValues(forward, {expected.o}, rounds ? Tolerance{0x1.8p-9, 0} : Tolerance{2e-6, 1e-5});

  Tensor o = outQ, lse(DType::f32, {c.B, c.H, c.T});
  for (int64_t i = 0; i < o.size(); ++i) o.put(i, expected.o[static_cast<size_t>(i)]);
  for (int64_t i = 0; i < lse.size(); ++i) lse.put(i, expected.lse[static_cast<size_t>(i)]);
  Case backward{"attentionGrad", {in.g, in.q, in.k, in.v, in.p, in.key, in.rows}, {outQ, outK, outK}, params};
  backward.inputs.push_back(o);
  backward.inputs.push_back(lse);
  if (hasMask) backward.inputs.push_back(in.mask);
  const double terms = std::sqrt(static_cast<double>(c.T * (c.H / c.G) + 1));
  expectValues(backward, {expected.dq, expected.dk, expected.dv}, rounds ? Tolerance{0x1p-9 * terms, 0} : Tolerance{2e-6 * terms, 1e-5});
}

void testAttention(const AttentionCase& c) {
  testAttention(c, DType::f32);
  testAttention(c, DType::bf16);
}

void sizes() {
  for (const int64_t D : {1, 3, 8, 16, 20, 32, 48, 64, 80, 128, 200}) {
    for (const bool causal : {false, true}) {
      testAttention({2, 9, 9, 2, 2, D, causal});
      testAttention({1, 70, 70, 2, 1, D, causal});
    }
  }
  for (const int64_t T : {1, 2, 15, 16, 17, 48, 63, 64, 65, 130}) {
    for (const int64_t S : {1, 16, 33, 64, 100, 130}) {
      testAttention({1, T, S, 2, 2, 8, false});
      testAttention({1, T, S, 2, 2, 8, true});
    }
  }
}

/** Several blocks of keys and of queries, several parts of the gradient. */
void blocks() {
  testAttention({1, 300, 300, 1, 1, 64, true});
  testAttention({1, 600, 600, 2, 1, 32, true});
  testAttention({1, 530, 530, 1, 1, 16, false});
  testAttention({1, 40, 1100, 2, 1, 64, true});
  testAttention({3, 260, 520, 4, 4, 16, true});
  testAttention({1, 520, 260, 4, 2, 16, true});
  testAttention({1, 1, 1500, 4, 2, 64, true});
  testAttention({1, 200, 300, 1, 1, 160, false});
}

void variants() {
  for (const bool causal : {false, true}) {
    for (const double dropout : {-1.0, 0.0, 0.3, 1.0}) {
      testAttention({2, 37, 37, 4, 2, 16, causal, dropout});
      testAttention({2, 20, 51, 4, 4, 24, causal, dropout, {2, 4, 20, 51}});
      testAttention({2, 20, 51, 4, 1, 24, causal, dropout, {2, 1, 1, 51}, Layout::padded});
      testAttention({2, 20, 51, 2, 2, 24, causal, dropout, {1, 2, 20, 51}, Layout::padded});
      testAttention({1, 130, 700, 2, 2, 32, causal, dropout, {1, 1, 130, 700}});
    }
  }
}

/** What queries may see begins and ends inside blocks, panels and tiles, and leaves out whole ones. */
void windowsAndDocuments() {
  const auto packed = [](int64_t position) { return static_cast<double>(position / 90); };      // only growing
  const auto ragged = [](int64_t position) { return std::floor(std::sqrt(position * 3.0)); };  // short ones first
  const auto mixed = [](int64_t position) { return static_cast<double>(position / 50 % 3); };   // come again
  for (const bool causal : {false, true}) {
    for (const int64_t window : {1, 2, 17, 64, 300}) {
      testAttention({1, 70, 70, 2, 1, 8, causal, -1, {}, Layout::dense, window});
      testAttention({1, 600, 600, 1, 1, 64, causal, -1, {}, Layout::dense, window});
      testAttention({1, 40, 1100, 2, 2, 64, causal, -1, {}, Layout::dense, window});
      testAttention({1, 90, 30, 1, 1, 16, causal, -1, {}, Layout::dense, window});
    }
    testAttention({1, 130, 700, 2, 2, 32, causal, 0.3, {1, 1, 130, 700}, Layout::dense, 200});
    testAttention({1, 1, 1500, 4, 2, 64, causal, -1, {}, Layout::dense, 100});
    for (const auto& documents : std::vector<std::function<double(int64_t)>>{packed, ragged, mixed}) {
      testAttention({2, 70, 70, 2, 1, 8, causal, -1, {}, Layout::dense, 0, documents});
      testAttention({2, 600, 600, 2, 1, 64, causal, -1, {}, Layout::padded, 0, documents});
      testAttention({1, 300, 300, 1, 1, 16, causal, 0.3, {}, Layout::dense, 40, documents});
    }
  }
}

void empty() {
  testAttention({0, 4, 4, 2, 2, 8, true});
  testAttention({2, 0, 4, 2, 2, 8, true});
  testAttention({2, 4, 0, 2, 2, 8, true});
  testAttention({2, 4, 0, 2, 2, 8, false});
}

void refused() {
  const AttentionCase good{1, 4, 6, 4, 2, 8, false, -1, {1, 1, 4, 6}};
  const AttentionInputs in = makeInputs(good, DType::f32);
  const Tensor lse(DType::f32, {1, 4, 4});
  const std::vector<double> params = {0, 0.5, -1, 0};
  const auto forward = [&](auto change) {
    Case test{"attention", {in.q, in.k, in.v, in.p, in.key, in.rows, in.mask}, {in.q, lse}, params};
    change(test);
    expectRefused(test);
  };
  const auto f32 = [](Shape shape, Layout layout = Layout::dense) { return Tensor(DType::f32, shape, layout); };
  forward([&](Case& t) { t.inputs[0] = f32({1, 4, 3, 8}); });
  forward([&](Case& t) { t.inputs[0] = f32({1, 4, 4, 7}); });
  forward([&](Case& t) { t.inputs[0] = f32({1, 4, 4, 8}, Layout::swapped); });
  forward([&](Case& t) { t.inputs[1] = f32({1, 6, 2, 9}); });
  forward([&](Case& t) { t.inputs[2] = f32({1, 5, 2, 8}); });
  forward([&](Case& t) { t.inputs[3] = f32({2}); });
  forward([&](Case& t) { t.inputs[4] = Tensor(DType::i32, {2}); });
  forward([&](Case& t) { t.inputs[5] = Tensor(DType::i32, {2}); });
  forward([&](Case& t) { t.inputs[6] = Tensor(DType::bool_, {1, 2, 4, 6}); });
  forward([&](Case& t) { t.inputs[6] = f32({1, 1, 4, 6}); });
  forward([&](Case& t) { t.outputs[0] = f32({1, 4, 4, 8}, Layout::spread); });
  forward([&](Case& t) { t.outputs[1] = f32({1, 4, 5}); });
  forward([&](Case& t) { t.outputs.pop_back(); });
  forward([&](Case& t) { t.inputs[6] = Tensor(DType::i32, {1, 6}); });  // 4 queries
  forward([&](Case& t) { t.params = {0, 0.5, -1}; });
  forward([&](Case& t) { t.params[3] = -1; });
  forward([&](Case& t) { t.params[3] = 0.5; });
  forward([&](Case& t) { t.params[2] = -2; });
  forward([&](Case& t) { t.params[2] = 0.5; });
  forward([&](Case& t) { t.params[2] = NAN; });
  Case backward{"attentionGrad", {in.g, in.q, in.k, in.v, in.p, in.key, in.rows, in.q, lse}, {in.q, in.k, in.k}, params};
  backward.outputs[0] = f32({1, 4, 2, 8});
  expectRefused(backward);
  backward.outputs[0] = in.q;
  backward.inputs[7] = f32({1, 4, 4, 9});
  expectRefused(backward);
}

const Group attention("attention", [] {
  sizes();
  blocks();
  variants();
  windowsAndDocuments();
  empty();
  refused();
});

}  // namespace
}  // namespace athanor::test
