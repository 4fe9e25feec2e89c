// take, scatterAdd, takeAlong, scatterAlong against plain loops, indices out of range included.
#include "kernel_harness.h"

namespace athanor::test {
namespace {

constexpr int64_t outside = 1000000;

struct GatherCase {
  int64_t numRows;  // of the table
  Shape indices, rest;
  Layout layout = Layout::dense;
  bool hasFault = false;
};

Shape joined(Shape a, const Shape& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Layout padded(Layout layout, const Shape& rest) { return rest.size() == 1 ? layout : Layout::dense; }

void expect(const Case& test, bool hasFault, const std::vector<double>& expected) {
  if (hasFault) {
    expectFault(test, Fault::indexOutOfRange, outside, {expected});
  } else {
    expectValues(test, {expected}, {0, 0});
  }
}

Tensor makeIndices(const GatherCase& c, int64_t bound) {
  Tensor idx(DType::i32, c.indices, c.layout);
  idx.below(bound);
  if (c.hasFault) idx.put(idx.size() / 2, outside);
  return idx;
}

void testTake(const GatherCase& c, DType dtype) {
  const int64_t width = product(c.rest);
  Tensor x(dtype, joined({c.numRows}, c.rest), padded(c.layout, c.rest));
  dtype == DType::f32 ? x.random() : x.below(100);
  const Tensor idx = makeIndices(c, c.numRows);
  std::vector<double> expected;
  for (int64_t i = 0; i < idx.size(); ++i) {
    const int64_t row = static_cast<int64_t>(idx.at(i));
    for (int64_t j = 0; j < width; ++j) expected.push_back(row < c.numRows ? x.at(row * width + j) : 0);
  }
  expect({"take", {x, idx}, {Tensor(dtype, joined(c.indices, c.rest))}}, c.hasFault, expected);
}

/** Multiples of 1/1024 in [-1, 1): sums of thousands of them are exact in f32, whatever cancels. */
void randomFractions(Tensor& x) {
  x.below(2048);
  for (int64_t i = 0; i < x.size(); ++i) x.put(i, x.at(i) / 1024 - 1);
}

void testScatterAdd(const GatherCase& c) {
  const int64_t width = product(c.rest);
  const Tensor idx = makeIndices(c, c.numRows);
  Tensor src(DType::f32, joined(c.indices, c.rest), padded(c.layout, c.rest));
  randomFractions(src);
  std::vector<double> expected(static_cast<size_t>(c.numRows * width));
  for (int64_t i = 0; i < idx.size(); ++i) {
    const int64_t row = static_cast<int64_t>(idx.at(i));
    if (row >= c.numRows) continue;
    for (int64_t j = 0; j < width; ++j) expected[static_cast<size_t>(row * width + j)] += src.at(i * width + j);
  }
  Tensor y(DType::f32, joined({c.numRows}, c.rest));
  y.fill(7);
  expect({"scatterAdd", {idx, src}, {y}}, c.hasFault, expected);
  Tensor base(DType::f32, joined({c.numRows}, c.rest));
  randomFractions(base);
  for (size_t i = 0; i < expected.size(); ++i) expected[i] += base.at(static_cast<int64_t>(i));
  expect({"scatterAdd", {idx, src, base}, {y}}, c.hasFault, expected);
  expect({"scatterAdd", {idx, src, base}, {y}, {}, {2}}, c.hasFault, expected);
}

void testAlong(const GatherCase& c, DType dtype) {
  const Tensor idx = makeIndices(c, c.numRows);
  Tensor x(dtype, joined(c.indices, {c.numRows}), c.layout);
  dtype == DType::f32 ? x.random() : x.below(100);
  std::vector<double> expected;
  for (int64_t i = 0; i < idx.size(); ++i) {
    const int64_t at = static_cast<int64_t>(idx.at(i));
    expected.push_back(at < c.numRows ? x.at(i * c.numRows + at) : 0);
  }
  expect({"takeAlong", {x, idx}, {Tensor(dtype, c.indices)}}, c.hasFault, expected);
  if (dtype != DType::f32) return;
  Tensor src(DType::f32, c.indices), y(DType::f32, joined(c.indices, {c.numRows}));
  src.random();
  y.fill(7);
  std::vector<double> scattered(static_cast<size_t>(y.size()));
  for (int64_t i = 0; i < idx.size(); ++i) {
    const int64_t at = static_cast<int64_t>(idx.at(i));
    if (at < c.numRows) scattered[static_cast<size_t>(i * c.numRows + at)] = src.at(i);
  }
  expect({"scatterAlong", {idx, src}, {y}}, c.hasFault, scattered);
}

void gathers() {
  for (const Layout layout : {Layout::dense, Layout::padded, Layout::swapped, Layout::spread}) {
    for (const bool hasFault : {false, true}) {
      const Layout rowLayout = layout == Layout::padded ? layout : Layout::dense;
      testTake({11, {5, 4}, {7}, rowLayout, hasFault}, DType::f32);
      testScatterAdd({11, {5, 4}, {7}, rowLayout, hasFault});
      testAlong({9, {5, 4}, {}, layout, hasFault}, DType::f32);
      testAlong({9, {5, 4}, {}, layout, hasFault}, DType::i32);
    }
  }
  for (const DType dtype : {DType::f32, DType::i32, DType::u8, DType::f64, DType::bool_}) {
    testTake({6, {10}, {3, 2}}, dtype);
    testTake({6, {}, {3}}, dtype);
    testTake({6, {3, 3}, {}}, dtype);
  }
  testScatterAdd({50, {400}, {300}});
  testScatterAdd({3, {4000}, {1}});
  testScatterAdd({1000, {4000}, {9}});
  testScatterAdd({1000, {40, 10}, {130}, Layout::dense, true});
  testScatterAdd({40000, {30}, {5}});
  testTake({1000, {700}, {129}, Layout::dense, true}, DType::f32);
  testTake({4, {0}, {5}}, DType::f32);
  testTake({4, {5}, {0}}, DType::f32);
  testScatterAdd({4, {0}, {5}});
  testScatterAdd({4, {3}, {0}});
  testAlong({5000, {9}, {}}, DType::f32);
  testAlong({3, {0}, {}}, DType::f32);

  // nothing to take from: every index is outside
  Tensor none(DType::f32, {0, 3}), idx(DType::i32, {2});
  idx.fill(outside);
  expectFault({"take", {none, idx}, {Tensor(DType::f32, {2, 3})}}, Fault::indexOutOfRange, outside, {std::vector<double>(6)});
  expectFault({"scatterAdd", {idx, Tensor(DType::f32, {2, 3})}, {none}}, Fault::indexOutOfRange, outside, {{}});
  // negative indices are outside too, and of several faults the smallest is told
  Tensor x(DType::f32, {4, 2});
  x.random();
  idx.put(0, -2);
  expectFault({"take", {x, idx}, {Tensor(DType::f32, {2, 2})}}, Fault::indexOutOfRange, -2, {std::vector<double>(4)});

  const auto f32 = [](Shape shape, Layout layout = Layout::dense) { return Tensor(DType::f32, shape, layout); };
  const Tensor good(DType::i32, {5});
  expectRefused({"take", {f32({4, 3}), f32({5})}, {f32({5, 3})}});
  expectRefused({"take", {f32({4, 3}), good}, {f32({5, 4})}});
  expectRefused({"take", {f32({4, 3}), good}, {f32({5})}});
  expectRefused({"take", {f32({4, 3}), good}, {Tensor(DType::f64, {5, 3})}});
  expectRefused({"take", {f32({4, 3}, Layout::swapped), good}, {f32({5, 3})}});
  expectRefused({"scatterAdd", {good, f32({5, 3})}, {f32({4, 2})}});
  expectRefused({"scatterAdd", {good, f32({5, 3})}, {f32({4, 3}, Layout::padded)}});
  expectRefused({"scatterAdd", {good, f32({4, 3})}, {f32({4, 3})}});
  expectRefused({"scatterAdd", {good, f32({5, 3}), f32({5, 3})}, {f32({4, 3})}});
  expectRefused({"scatterAdd", {good, f32({5, 3}), f32({4, 3}, Layout::padded)}, {f32({4, 3})}});
  expectRefused({"takeAlong", {f32({5, 3}), good}, {f32({5, 3})}});
  expectRefused({"takeAlong", {f32({4, 3}), good}, {f32({5})}});
  expectRefused({"scatterAlong", {good, f32({4})}, {f32({5, 3})}});
  expectRefused({"scatterAlong", {good, f32({5})}, {f32({5, 3}, Layout::spread)}});
}

const Group gather("gather", gathers);

}  // namespace
}  // namespace athanor::test
