// The kernel tests' main program and the runner behind kernel_harness.h. `kernels_test [group]`; exits 1 when a test failed.
#include "kernel_harness.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "../registry.h"

namespace athanor::test {
namespace {

constexpr int64_t guardElements = 17;
constexpr int maxFailures = 20;
int failures = 0;
int64_t calls = 0;

std::map<std::string, std::function<void()>>& groups() {
  static std::map<std::string, std::function<void()>> all;
  return all;
}

Pool& poolOf(int numThreads) {
  static std::map<int, std::unique_ptr<Pool>> pools;
  std::unique_ptr<Pool>& pool = pools[numThreads];
  if (!pool) pool = std::make_unique<Pool>(numThreads);
  return *pool;
}

std::string describe(const Case& test) {
  std::string text = test.kernel;
  const auto add = [&](const Tensor& t) {
    text += " (";
    for (int d = 0; d < t.view.rank; ++d) {
      text += std::to_string(t.view.shape[d]) + "/" + std::to_string(t.view.strides[d]) + " ";
    }
    text += ")";
  };
  for (const Tensor& t : test.inputs) add(t);
  text += " ->";
  for (const Tensor& t : test.outputs) add(t);
  text += " [";
  for (const double p : test.params) text += std::to_string(p) + " ";
  return text + "] " + test.label;
}

void failure(const Case& test, const std::string& what) {
  if (++failures <= maxFailures) std::fprintf(stderr, "FAILED %s\n       %s\n", describe(test).c_str(), what.c_str());
}

struct AlignedMemory {
  explicit AlignedMemory(size_t bytes) : memory(bytes == 0 ? nullptr : std::aligned_alloc(64, (bytes + 63) / 64 * 64)) {
    if (bytes != 0) std::memset(memory, 0xff, bytes);  // as floats: NaN
  }
  ~AlignedMemory() { std::free(memory); }
  void* memory;
};

}  // namespace

int64_t product(const Shape& shape) {
  int64_t size = 1;
  for (const int64_t dim : shape) size *= dim;
  return size;
}

uint32_t nextRandom() {
  static uint32_t state = 12345;
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}

Tensor::Tensor(DType dtype, Shape shape, Layout layout) : view{} {
  view.dtype = dtype;
  view.rank = static_cast<int>(shape.size());
  view.size = product(shape);
  std::vector<int> order;  // dims from the outermost in memory
  for (int d = 0; d < view.rank; ++d) order.push_back(d);
  if (layout == Layout::swapped && view.rank >= 2) std::swap(order[view.rank - 1], order[view.rank - 2]);
  int64_t stride = layout == Layout::spread ? 2 : 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    const int d = order[i];
    view.shape[d] = shape[d];
    view.strides[d] = stride;
    if (layout == Layout::repeated && d == 0) view.strides[d] = 0;
    stride *= shape[d];
    if (layout == Layout::padded && i == view.rank - 1) stride += 3;
  }
  const size_t element = static_cast<size_t>(portable::elementBytes(dtype));
  start_ = guardElements * element;
  memory.assign((static_cast<size_t>(stride) + 2 * guardElements) * element, 0xcd);
  for (int64_t i = 0; i < view.size; ++i) put(i, 0);
}

int64_t Tensor::offsetOf(int64_t index) const {
  int64_t offset = 0;
  for (int d = view.rank - 1; d >= 0; --d) {
    offset += index % view.shape[d] * view.strides[d];
    index /= view.shape[d];
  }
  return offset;
}

double Tensor::at(int64_t index) const {
  const int64_t offset = offsetOf(index);
  if (dtype() == DType::bf16) {
    const uint32_t bits = uint32_t{reinterpret_cast<const uint16_t*>(first())[offset]} << 16;
    return std::bit_cast<float>(bits);
  }
  if (dtype() == DType::f32) return reinterpret_cast<const float*>(first())[offset];
  if (dtype() == DType::i32) return reinterpret_cast<const int32_t*>(first())[offset];
  if (dtype() == DType::f64) return reinterpret_cast<const double*>(first())[offset];
  return first()[offset];
}

void Tensor::put(int64_t index, double value) {
  const int64_t offset = offsetOf(index);
  if (dtype() == DType::f32) {
    reinterpret_cast<float*>(first())[offset] = static_cast<float>(value);
  } else if (dtype() == DType::bf16) {
    const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(value));
    reinterpret_cast<uint16_t*>(first())[offset] = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  } else if (dtype() == DType::i32) {
    reinterpret_cast<int32_t*>(first())[offset] = static_cast<int32_t>(value);
  } else if (dtype() == DType::f64) {
    reinterpret_cast<double*>(first())[offset] = value;
  } else {
    first()[offset] = static_cast<uint8_t>(value);
  }
}

Tensor& Tensor::random(double scale) {
  for (int64_t i = 0; i < size(); ++i) put(i, scale * (nextRandom() / 2147483648.0 - 1));
  return *this;
}

Tensor& Tensor::below(int64_t bound) {
  for (int64_t i = 0; i < size(); ++i) put(i, static_cast<double>(nextRandom() % static_cast<uint32_t>(bound)));
  return *this;
}

Tensor& Tensor::fill(double value) {
  for (int64_t i = 0; i < size(); ++i) put(i, value);
  return *this;
}

std::vector<double> Tensor::values() const {
  std::vector<double> all;
  for (int64_t i = 0; i < size(); ++i) all.push_back(at(i));
  return all;
}

/** A case with its memory, for one run. */
class Run {
 public:
  explicit Run(const Case& test) : inputs_(test.inputs), outputs_(test.outputs), params_(test.params) {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const int alias = i < test.aliases.size() ? test.aliases[i] : -1;
      targets_.push_back(alias < 0 ? &outputs_[i] : &inputs_[static_cast<size_t>(alias)]);
    }
  }

  const char* check(const Kernel& kernel) {
    setViews(false);
    return kernel.check(call_);
  }

  void run(const Kernel& kernel, int numThreads, Status* status) {
    setViews(false);
    const size_t bytes = kernel.workspace == nullptr ? 0 : kernel.workspace(call_, numThreads);
    AlignedMemory workspace(bytes);
    setViews(true);
    call_.pool = &poolOf(numThreads);
    call_.workspace = static_cast<char*>(workspace.memory);
    call_.status = status;
    kernel.run(call_);
    ++calls;
  }

  const Tensor& output(size_t i) const { return *targets_[i]; }

  /** False when the kernel wrote anywhere in output `i`'s memory but to its elements. */
  bool keptGuards(size_t i) const {
    std::vector<uint8_t> memory = targets_[i]->memory;
    const size_t element = static_cast<size_t>(portable::elementBytes(targets_[i]->dtype()));
    for (int64_t e = 0; e < targets_[i]->size(); ++e) {
      const size_t offset = targets_[i]->start_ + static_cast<size_t>(targets_[i]->offsetOf(e)) * element;
      std::memset(memory.data() + offset, 0xcd, element);
    }
    for (const uint8_t byte : memory) {
      if (byte != 0xcd) return false;
    }
    return true;
  }

 private:
  void setViews(bool withData) {
    inputViews_.clear();
    outputViews_.clear();
    for (const Tensor& t : inputs_) {
      inputViews_.push_back(t.view);
      inputViews_.back().data = withData ? t.first() : nullptr;
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      outputViews_.push_back(outputs_[i].view);
      outputViews_.back().data = withData ? targets_[i]->first() : nullptr;
    }
    call_ = {};
    call_.in = inputViews_.data();
    call_.numIn = static_cast<int>(inputViews_.size());
    call_.out = outputViews_.data();
    call_.numOut = static_cast<int>(outputViews_.size());
    call_.params = params_.data();
    call_.numParams = static_cast<int>(params_.size());
  }

  std::vector<Tensor> inputs_, outputs_;
  std::vector<double> params_;
  std::vector<Tensor*> targets_;
  std::vector<View> inputViews_, outputViews_;
  Call call_{};
};

namespace {

void compare(const Case& test, const Tensor& got, const std::vector<double>& expected, Tolerance tolerance,
             const std::string& where) {
  if (static_cast<int64_t>(expected.size()) != got.size()) {
    failure(test, "the test expects another number of elements");
    return;
  }
  double worst = 0;
  int64_t worstAt = -1;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double a = got.at(i), b = expected[static_cast<size_t>(i)];
    if ((std::isnan(a) && std::isnan(b)) || a == b) continue;
    double excess = std::abs(a - b) / (tolerance.absolute + tolerance.relative * std::abs(b));
    if (std::isnan(excess)) excess = INFINITY;
    if (excess > 1 && excess > worst) {
      worst = excess;
      worstAt = i;
    }
  }
  if (worstAt >= 0) {
    char text[256];
    std::snprintf(text, sizeof text, "element %lld: got %.9g, expected %.9g, %.3g times the tolerance",
                  static_cast<long long>(worstAt), got.at(worstAt), expected[static_cast<size_t>(worstAt)], worst);
    failure(test, where + text);
  }
}

void runEverywhere(const Case& test, const std::vector<std::vector<double>>& expected, Tolerance tolerance, Fault fault,
                   int64_t faultValue) {
  for (int i = 0; i <= static_cast<int>(bestIsa()); ++i) {
    const Isa isa = static_cast<Isa>(i);
    const std::string name = std::string(isaName(isa)) + ": ";
    const Kernel* kernel = findKernel(test.kernel, isa);
    if (kernel == nullptr) return failure(test, "no such kernel");
    std::vector<std::vector<uint8_t>> bytes;
    for (const int numThreads : {1, 2, 3}) {
      Run run(test);
      if (const char* reason = run.check(*kernel)) return failure(test, name + "refused: " + reason);
      Status status;
      run.run(*kernel, numThreads, &status);
      Fault gotFault = Fault::none;
      int64_t gotValue = 0;
      const bool gotOne = status.reported(&gotFault, &gotValue);
      if (gotOne != (fault != Fault::none) || gotFault != fault || gotValue != faultValue) {
        const std::string got = std::to_string(static_cast<int>(gotFault)) + " of " + std::to_string(gotValue);
        failure(test, name + "reported fault " + got);
      }
      for (size_t o = 0; o < test.outputs.size(); ++o) {
        if (!run.keptGuards(o)) failure(test, name + "wrote outside output " + std::to_string(o));
        if (numThreads > 1 && bytes[o] != run.output(o).memory) {
          failure(test, name + "output " + std::to_string(o) + " differs with " + std::to_string(numThreads) + " threads");
        }
        if (numThreads == 1) {
          bytes.push_back(run.output(o).memory);
          if (o < expected.size() && !expected[o].empty()) {
            compare(test, run.output(o), expected[o], tolerance, name + "output " + std::to_string(o) + ", ");
          }
        }
      }
    }
  }
}

}  // namespace

void expectValues(const Case& test, const std::vector<std::vector<double>>& expected, Tolerance tolerance) {
  runEverywhere(test, expected, tolerance, Fault::none, 0);
}

void expectFault(const Case& test, Fault fault, int64_t value, const std::vector<std::vector<double>>& expected) {
  runEverywhere(test, expected, {}, fault, value);
}

void expectRefused(const Case& test) {
  for (int i = 0; i <= static_cast<int>(bestIsa()); ++i) {
    const Kernel* kernel = findKernel(test.kernel, static_cast<Isa>(i));
    if (kernel == nullptr) return failure(test, "no such kernel");
    Run run(test);
    if (run.check(*kernel) == nullptr) failure(test, "should have been refused");
  }
}

Group::Group(const char* name, std::function<void()> body) { groups().emplace(name, std::move(body)); }

}  // namespace athanor::test

int main(int argc, char** argv) {
  using namespace athanor::test;
  for (const auto& [name, body] : groups()) {
    if (argc > 1 && name != argv[1]) continue;
    const int before = failures;
    const int64_t callsBefore = calls;
    body();
    std::printf("%-14s %6lld calls  %s\n", name.c_str(), static_cast<long long>(calls - callsBefore),
                failures == before ? "ok" : "FAILED");
  }
  if (failures > 0) std::fprintf(stderr, "%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
