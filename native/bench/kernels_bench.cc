// How fast the kernels are beside what this machine can do at the same moment: multiply-adds per second in registers and
// bytes per second from memory, measured between the kernels' rounds. Not a test.
// `node scripts/bench-native.mjs [threads] [avx512|avx2|portable] [name part] [cpu]`; `cpu` counts processor time, which other programs on
// the machine disturb less: with one thread it tells how good the code is, not how fast the machine.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "../registry.h"

namespace athanor {
namespace {

constexpr int rounds = 9;
constexpr double roundSeconds = 0.02;

bool countsProcessorTime = false;

double now() {
  if (countsProcessorTime) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The machine's limits

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void multiplyAdd512(int64_t count) {
  __m512 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm512_set1_ps(0.1f * static_cast<float>(i));
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  for (int64_t k = 0; k < count; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = _mm512_fmadd_ps(sums[i], x, y);
  }
  for (int i = 0; i < 12; ++i) asm volatile("" ::"v"(sums[i]));
}
__attribute__((target("avx2,fma"))) void multiplyAdd256(int64_t count) {
  __m256 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm256_set1_ps(0.1f * static_cast<float>(i));
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  for (int64_t k = 0; k < count; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = _mm256_fmadd_ps(sums[i], x, y);
  }
  for (int i = 0; i < 12; ++i) asm volatile("" ::"x"(sums[i]));
}
#endif

/** f32 GFLOPS of all threads with nothing but multiply-adds in registers. */
double peakGflops(Pool& pool, Isa isa) {
#if defined(__x86_64__)
  if (isa != Isa::portable) {
    constexpr int64_t count = 400000;
    const int lanes = isa == Isa::avx512 ? 16 : 8;
    const int chunks = pool.numThreads();
    const double start = now();
    pool.parallelFor(chunks, [&](int64_t, int) { isa == Isa::avx512 ? multiplyAdd512(count) : multiplyAdd256(count); });
    return static_cast<double>(count) * 12 * lanes * 2 * chunks / (now() - start) / 1e9;
  }
#endif
  (void)pool;
  (void)isa;
  return 0;
}

/** Bytes read and written per second by a = b + s c over memory far larger than the caches. */
double triadGBs(Pool& pool) {
  constexpr int64_t count = 16 << 20;
  static std::vector<float> memory(3 * count, 1);
  float *a = memory.data(), *b = a + count, *c = b + count;
  constexpr int64_t piece = 1 << 16;
  const double start = now();
  pool.parallelFor(count / piece, [&](int64_t chunk, int) {
    for (int64_t i = chunk * piece; i < (chunk + 1) * piece; ++i) a[i] = b[i] + 3 * c[i];
  });
  return 12.0 * count / (now() - start) / 1e9;
}

// One call

struct Buffer {
  explicit Buffer(size_t bytes) : data(static_cast<char*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64))) {}
  ~Buffer() { std::free(data); }
  Buffer(const Buffer&) = delete;
  char* data;
};

struct Operand {
  std::vector<int64_t> shape;
  DType dtype = DType::f32;
  std::vector<int64_t> strides = {};
  int64_t bound = 100;  // of integers
};

class Bench {
 public:
  Bench(Pool& pool, Isa isa, std::string kernel, std::vector<Operand> inputs, std::vector<Operand> outputs,
        std::vector<double> params, std::vector<int> aliases = {})
      : params_(std::move(params)), kernel_(findKernel(kernel, isa)) {
    if (kernel_ == nullptr) std::abort();
    for (const Operand& operand : inputs) inputs_.push_back(makeView(operand));
    for (size_t i = 0; i < outputs.size(); ++i) {
      outputs_.push_back(makeView(outputs[i]));
      if (i < aliases.size() && aliases[i] >= 0) outputs_.back().data = inputs_[static_cast<size_t>(aliases[i])].data;
    }
    call_ = {inputs_.data(), static_cast<int>(inputs_.size()), outputs_.data(), static_cast<int>(outputs_.size()),
             params_.data(), static_cast<int>(params_.size()), nullptr, nullptr, &status_};
    if (const char* reason = kernel_->check(call_)) {
      std::fprintf(stderr, "%s refused: %s\n", kernel.c_str(), reason);
      std::exit(1);
    }
    workspace_ = std::make_unique<Buffer>(kernel_->workspace == nullptr ? 0 : kernel_->workspace(call_, pool.numThreads()));
    call_.pool = &pool;
    call_.workspace = workspace_->data;
    run();
    const double start = now();
    run();
    repeats_ = std::max(1, static_cast<int>(roundSeconds / (now() - start)));
  }

  void run() { kernel_->run(call_); }

  double secondsOfRound() {
    const double start = now();
    for (int i = 0; i < repeats_; ++i) run();
    return (now() - start) / repeats_;
  }

 private:
  View makeView(const Operand& operand) {
    View v{};
    v.dtype = operand.dtype;
    v.rank = static_cast<int>(operand.shape.size());
    v.size = 1;
    int64_t span = 1, stride = 1;
    for (int d = v.rank - 1; d >= 0; --d) {
      v.shape[d] = operand.shape[static_cast<size_t>(d)];
      v.strides[d] = operand.strides.empty() ? stride : operand.strides[static_cast<size_t>(d)];
      stride *= v.shape[d];
      span += (v.shape[d] - 1) * v.strides[d];
      v.size *= v.shape[d];
    }
    buffers_.push_back(std::make_unique<Buffer>(static_cast<size_t>(span) * 8));
    v.data = buffers_.back()->data;
    uint32_t state = 1;
    for (int64_t i = 0; i < span; ++i) {
      state = state * 1664525u + 1013904223u;
      if (v.dtype == DType::f32) static_cast<float*>(v.data)[i] = static_cast<float>(state >> 8) * 0x1p-24f;
      if (v.dtype == DType::i32) static_cast<int32_t*>(v.data)[i] = static_cast<int32_t>((state >> 8) % operand.bound);
    }
    return v;
  }

  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<View> inputs_, outputs_;
  std::vector<double> params_;
  const Kernel* kernel_;
  std::unique_ptr<Buffer> workspace_;
  Status status_;
  Call call_{};
  int repeats_ = 1;
};

struct Settings {
  Pool& pool;
  Isa isa;
  std::string only;

  bool wants(const std::string& name) const { return name.find(only) != std::string::npos; }
};

/** `flops` or `bytes` of one call against the peak or the bandwidth measured between its rounds. */
void report(const Settings& s, const std::string& name, Bench& bench, double flops, double bytes) {
  std::vector<double> seconds, limits;
  for (int round = 0; round < rounds; ++round) {
    limits.push_back(flops > 0 ? peakGflops(s.pool, s.isa) : triadGBs(s.pool));
    seconds.push_back(bench.secondsOfRound());
  }
  const double t = median(seconds), limit = median(limits), rate = (flops > 0 ? flops : bytes) / t / 1e9;
  std::printf("%-44s %9.3f ms %8.1f %s  %3.0f %% of %.1f\n", name.c_str(), t * 1e3, rate, flops > 0 ? "GFLOPS" : "GB/s  ",
              limit > 0 ? 100 * rate / limit : 0, limit);
  std::fflush(stdout);
}

void benchMatmul(const Settings& s, int64_t m, int64_t n, int64_t k, bool ta, bool tb, int64_t batch = 1) {
  std::string name = "matmul ";
  name += ta ? "T" : "N";
  name += tb ? "T " : "N ";
  if (batch > 1) name += std::to_string(batch) + " x ";
  name += std::to_string(m) + " " + std::to_string(n) + " " + std::to_string(k);
  if (!s.wants(name)) return;
  const auto shape = [&](int64_t rows, int64_t columns) {
    return batch > 1 ? Operand{{batch, rows, columns}} : Operand{{rows, columns}};
  };
  Bench bench(s.pool, s.isa, "matmul", {ta ? shape(k, m) : shape(m, k), tb ? shape(n, k) : shape(k, n)}, {shape(m, n)},
              {ta ? 1.0 : 0.0, tb ? 1.0 : 0.0, 0});
  report(s, name, bench, 2.0 * static_cast<double>(m * n * k * batch), 0);
}

void benchAttention(const Settings& s, int64_t B, int64_t T, int64_t H, int64_t D, bool causal, bool dropout) {
  const int64_t C = H * D;
  // q, k and v are parts of one (B, T, 3C) buffer, as a model has them
  const Operand part{{B, T, H, D}, DType::f32, {T * 3 * C, 3 * C, D, 1}};
  const Operand whole{{B, T, H, D}}, lse{{B, H, T}}, p{{}}, key{{3}, DType::i32}, rows{{B}, DType::i32};
  const std::vector<double> params = {causal ? 1.0 : 0.0, 0.125, dropout ? 5.0 : -1.0, 0};
  const std::string name = std::to_string(B) + " " + std::to_string(T) + " " + std::to_string(H) + " " + std::to_string(D) +
                           (causal ? " causal" : "") + (dropout ? " dropout" : "");
  const double products = 2.0 * static_cast<double>(B * H * T * T * D) * (causal ? 0.5 : 1);
  if (s.wants("attention " + name)) {
    Bench forward(s.pool, s.isa, "attention", {part, part, part, p, key, rows}, {whole, lse}, params);
    report(s, "attention " + name, forward, 2 * products, 0);
  }
  if (s.wants("attentionGrad " + name)) {
    Bench backward(s.pool, s.isa, "attentionGrad", {whole, part, part, part, p, key, rows, whole, lse}, {part, part, part},
                   params);
    report(s, "attentionGrad " + name, backward, 5 * products, 0);
  }
}

void benchBytes(const Settings& s, const std::string& kernel, const std::string& size, std::vector<Operand> inputs,
                std::vector<Operand> outputs, std::vector<double> params, double bytes, std::vector<int> aliases = {}) {
  const std::string name = kernel + " " + size;
  if (!s.wants(name)) return;
  Bench bench(s.pool, s.isa, kernel, std::move(inputs), std::move(outputs), std::move(params), std::move(aliases));
  report(s, name, bench, 0, bytes);
}

void benchRows(const Settings& s, int64_t rows, int64_t n) {
  const Operand x{{rows, n}}, w{{n}}, perRow{{rows}}, targets{{rows}, DType::i32, {}, n};
  const double pass = 4.0 * static_cast<double>(rows * n);
  const std::string size = std::to_string(rows) + " " + std::to_string(n);
  benchBytes(s, "layerNorm", size, {x, w, w}, {x, perRow, perRow}, {1e-5}, 2 * pass);
  benchBytes(s, "layerNormGrad", size, {x, x, w, perRow, perRow}, {x, w, w}, {}, 3 * pass);
  benchBytes(s, "rmsNorm", size, {x, w}, {x, perRow}, {1e-5}, 2 * pass);
  benchBytes(s, "rmsNormGrad", size, {x, x, w, perRow}, {x, w}, {}, 3 * pass);
  benchBytes(s, "softmax", size, {x}, {x}, {}, 2 * pass);
  benchBytes(s, "softmaxGrad", size, {x, x}, {x}, {}, 3 * pass);
  benchBytes(s, "crossEntropy", size, {x, targets}, {perRow, perRow}, {-100}, pass);
  benchBytes(s, "crossEntropyGrad", size, {x, targets, perRow, perRow}, {x}, {-100}, 2 * pass, {0});
}

void benchGather(const Settings& s, int64_t vocabulary, int64_t channels, int64_t tokens) {
  const Operand table{{vocabulary, channels}}, idx{{tokens}, DType::i32, {}, vocabulary}, rows{{tokens, channels}};
  const std::string size = std::to_string(vocabulary) + " " + std::to_string(channels) + " " + std::to_string(tokens);
  const double moved = 4.0 * static_cast<double>(tokens * channels);
  benchBytes(s, "take", size, {table, idx}, {rows}, {}, 2 * moved);
  benchBytes(s, "scatterAdd", size, {idx, rows}, {table}, {}, 4.0 * static_cast<double>(vocabulary * channels) + 3 * moved);
}

void benchUpdates(const Settings& s, int64_t n) {
  const Operand p{{n}}, one{{}};
  const std::string size = std::to_string(n);
  const double pass = 4.0 * static_cast<double>(n);
  benchBytes(s, "adamw", size, {p, p, p, p, one, one, one, one}, {p, p, p}, {0.9, 0.95, 1e-8, 0.1}, 7 * pass, {0, 2, 3});
  benchBytes(s, "sgd", size, {p, p, one, one, p}, {p, p}, {0.9, 0, 0, 0.1}, 5 * pass, {0, 4});
}

void benchAll(const Settings& s) {
  for (const int64_t n : {128, 256, 384, 512, 768, 1024, 2048}) benchMatmul(s, n, n, n, false, false);
  for (const int64_t n : {512, 1024}) {
    benchMatmul(s, n, n, n, false, true);
    benchMatmul(s, n, n, n, true, false);
  }
  // a GPT's: 2048 tokens of 384 channels
  benchMatmul(s, 2048, 1152, 384, false, false);
  benchMatmul(s, 2048, 384, 1536, false, false);
  benchMatmul(s, 2048, 1536, 384, false, true);
  benchMatmul(s, 384, 1536, 2048, true, false);
  benchMatmul(s, 1024, 50304, 256, false, true);
  for (const int64_t m : {1, 2, 4, 8, 16, 32, 64, 128}) {
    benchMatmul(s, m, 768, 768, false, false);
    benchMatmul(s, m, 768, 768, false, true);
    benchMatmul(s, m, 3072, 768, false, true);
  }
  benchMatmul(s, 128, 512, 784, false, false);
  benchMatmul(s, 784, 512, 128, true, false);
  benchMatmul(s, 128, 10, 256, false, false);
  benchMatmul(s, 256, 10, 128, true, false);
  benchMatmul(s, 256, 1, 100, false, false);
  benchMatmul(s, 64, 64, 65536, true, false);
  benchMatmul(s, 64, 64, 64, false, false, 96);
  benchMatmul(s, 256, 256, 64, false, true, 48);
  benchAttention(s, 8, 256, 6, 64, true, false);
  benchAttention(s, 8, 256, 6, 64, false, false);
  benchAttention(s, 8, 256, 6, 64, true, true);
  benchAttention(s, 12, 64, 4, 32, true, false);
  benchAttention(s, 1, 1024, 12, 64, true, false);
  benchAttention(s, 1, 2048, 8, 128, true, false);
  benchRows(s, 2048, 384);
  benchRows(s, 1024, 50304);
  benchGather(s, 50304, 256, 1024);
  benchUpdates(s, 10000000);
  benchUpdates(s, 100000);
}

}  // namespace
}  // namespace athanor

int main(int argc, char** argv) {
  using namespace athanor;
  Isa isa = bestIsa();
  if (argc > 2 && !isaFromName(argv[2], &isa)) return 2;
  countsProcessorTime = argc > 4;
  Pool pool(argc > 1 ? std::atoi(argv[1]) : 2);
  std::printf("%s, %d threads, medians of %d rounds\n", isaName(isa), pool.numThreads(), rounds);
  benchAll({pool, isa, argc > 3 ? argv[3] : ""});
}
