// What the kernel tests share: tensors in awkward layouts, and a runner that tries a call on every instruction set with
// 1, 2 and 3 threads. Not the tests. Expected values come from plain loops in f64 that the tests bring.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "../kernel.h"

namespace athanor::test {

enum class Layout {
  dense,
  padded,    // rows are followed by three elements that belong to nobody
  swapped,   // the last two dims lie transposed
  spread,    // every second element
  repeated,  // stride 0 in the first dim: inputs only
};

using Shape = std::vector<int64_t>;

/** Memory of its own, with guard elements on both sides, and a view into it. */
class Tensor {
 public:
  Tensor(DType dtype, Shape shape, Layout layout = Layout::dense);

  DType dtype() const { return view.dtype; }
  Shape shape() const { return Shape(view.shape, view.shape + view.rank); }
  int64_t size() const { return view.size; }
  /** Element number `index` in row-major order of the shape. */
  double at(int64_t index) const;
  void put(int64_t index, double value);
  /** Numbers in [-1, 1) times `scale`, or integers in [0, bound) for i32 and bool: from a fixed generator. */
  Tensor& random(double scale = 1);
  Tensor& below(int64_t bound);
  Tensor& fill(double value);
  std::vector<double> values() const;

  View view;
  std::vector<uint8_t> memory;

 private:
  friend class Run;
  int64_t offsetOf(int64_t index) const;
  uint8_t* first() const { return const_cast<uint8_t*>(memory.data()) + start_; }
  size_t start_ = 0;
};

struct Tolerance {
  double absolute = 1e-5;
  double relative = 1e-5;
};

/** One kernel call, tried in every way it can be run. */
struct Case {
  std::string kernel;
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;  // their contents are what the kernel finds there
  std::vector<double> params = {};
  std::vector<int> aliases = {};  // per output: the input whose memory it uses, or -1
  std::string label = "";
};

/** Runs the case everywhere and compares output `i` with expected[i]. An empty vector is not compared. */
void expectValues(const Case& test, const std::vector<std::vector<double>>& expected, Tolerance tolerance = {});
/** As expectValues, for a call that must report `fault` with `value`. */
void expectFault(const Case& test, Fault fault, int64_t value, const std::vector<std::vector<double>>& expected);
/** The kernel's check must refuse the call with some reason. */
void expectRefused(const Case& test);

/** A named group of tests, found by the main program. */
struct Group {
  Group(const char* name, std::function<void()> body);
};

/** Deterministic integers for choosing shapes and layouts. */
uint32_t nextRandom();

int64_t product(const Shape& shape);

}  // namespace athanor::test
