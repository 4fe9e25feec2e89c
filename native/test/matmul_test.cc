// matmul against three plain loops in f64: every layout, edge sizes, batches, each way of cutting the work.
#include "kernel_harness.h"

namespace athanor::test {
namespace {

struct MatmulShape {
  Shape batch;
  int64_t rows, columns, depth;
};

struct MatmulOptions {
  bool transposeA = false, transposeB = false, accumulate = false;
  Layout a = Layout::dense, b = Layout::dense, c = Layout::dense;
  DType aType = DType::f32, bType = DType::f32;
};

Shape with(const Shape& batch, int64_t rows, int64_t columns) {
  Shape shape = batch;
  shape.push_back(rows);
  shape.push_back(columns);
  return shape;
}

void testMatmul(const MatmulShape& s, const MatmulOptions& o) {
  Tensor a(o.aType, o.transposeA ? with(s.batch, s.depth, s.rows) : with(s.batch, s.rows, s.depth), o.a);
  Tensor b(o.bType, o.transposeB ? with(s.batch, s.columns, s.depth) : with(s.batch, s.depth, s.columns), o.b);
  Tensor c(DType::f32, with(s.batch, s.rows, s.columns), o.c);
  a.random();
  b.random();
  c.random();
  const std::vector<double> av = a.values(), bv = b.values();
  std::vector<double> expected = c.values();
  for (int64_t item = 0; item < product(s.batch); ++item) {
    const double* A = av.data() + item * s.rows * s.depth;
    const double* B = bv.data() + item * s.depth * s.columns;
    for (int64_t i = 0; i < s.rows; ++i) {
      for (int64_t j = 0; j < s.columns; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < s.depth; ++k) {
          sum += (o.transposeA ? A[k * s.rows + i] : A[i * s.depth + k]) *
                 (o.transposeB ? B[j * s.depth + k] : B[k * s.columns + j]);
        }
        double& to = expected[static_cast<size_t>((item * s.rows + i) * s.columns + j)];
        to = o.accumulate ? to + sum : sum;
      }
    }
  }
  const Case test{"matmul", {a, b}, {c},
                  {o.transposeA ? 1.0 : 0.0, o.transposeB ? 1.0 : 0.0, o.accumulate ? 1.0 : 0.0}};
  // the roundings of a sum that stays small; repeated values can make it grow with the depth
  const bool grows = o.a == Layout::repeated || o.b == Layout::repeated;
  const double error = (grows ? 1e-6 : 2e-7) * static_cast<double>(s.depth + 8);
  expectValues(test, {expected}, {error, 0});
}

MatmulOptions transposes(uint32_t bits) { return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0}; }
MatmulOptions inBf16(MatmulOptions options) {
  options.aType = options.bType = DType::bf16;
  return options;
}

void everySmallSize() {
  const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 24, 31, 32, 33, 47, 48, 49, 63, 64};
  for (const int64_t rows : sizes) {
    for (const int64_t columns : sizes) {
      for (const int64_t depth : {int64_t{1}, int64_t{2}, int64_t{7}, int64_t{8}, int64_t{19}, int64_t{64}}) {
        testMatmul({{}, rows, columns, depth}, transposes(nextRandom()));
        testMatmul({{}, rows, columns, depth}, inBf16(transposes(nextRandom())));
      }
    }
  }
}

void everyLayout() {
  const Layout layouts[] = {Layout::dense, Layout::padded, Layout::swapped, Layout::spread, Layout::repeated};
  for (const Layout a : layouts) {
    for (const Layout b : layouts) {
      for (const Layout c : {Layout::dense, Layout::padded, Layout::swapped}) {
        for (uint32_t bits = 0; bits < 8; ++bits) {
          MatmulOptions options = transposes(bits);
          options.a = a;
          options.b = b;
          options.c = c;
          testMatmul({{}, 5, 50, 21}, options);
          testMatmul({{}, 33, 1, 40}, options);
          testMatmul({{3}, 10, 17, 9}, options);
          testMatmul({{}, 33, 51, bits % 2 == 0 ? 46 : 21}, inBf16(options));
          testMatmul({{3}, 10, 17, 24}, inBf16(options));
          options.bType = DType::bf16;
          testMatmul({{}, 9, 50, 21}, options);
        }
      }
    }
  }
}

void larger() {
  const MatmulShape shapes[] = {
      {{}, 130, 200, 70},    {{}, 257, 97, 401},  {{}, 64, 700, 385}, {{}, 512, 64, 129}, {{}, 3, 901, 333},
      {{}, 8, 300, 1001},    {{}, 1, 2000, 300},  {{}, 2000, 1, 300}, {{}, 40, 40, 5000}, {{}, 1, 1, 20001},
      {{}, 12, 5, 3001},     {{}, 9, 1100, 40},   {{}, 1100, 9, 40},  {{}, 193, 4200, 20}, {{}, 16, 96, 1552},
    {{}, 256, 2, 100},     {{}, 100, 3, 256},   {{}, 700, 2, 600},  {{}, 3000, 3, 300},  {{4}, 90, 2, 30},
    {{}, 2, 389, 70},      {{}, 4, 290, 131},
  };
  for (const MatmulShape& shape : shapes) {
    for (uint32_t bits = 0; bits < 8; ++bits) {
      testMatmul(shape, transposes(bits));
      testMatmul(shape, inBf16(transposes(bits)));
    }
  }
}

void batches() {
  const Layout layouts[] = {Layout::dense, Layout::repeated, Layout::padded};
  for (const Layout a : layouts) {
    for (const Layout b : layouts) {
      MatmulOptions options = transposes(nextRandom());
      options.a = a;
      options.b = b;
      testMatmul({{2, 3}, 7, 33, 20}, options);
      testMatmul({{20}, 40, 30, 50}, options);
      testMatmul({{3}, 140, 150, 120}, options);
      testMatmul({{2, 1, 5}, 1, 40, 16}, options);
      testMatmul({{4, 6}, 30, 1, 16}, options);
      testMatmul({{3}, 6, 300, 700}, options);
      testMatmul({{2}, 10, 10, 2500}, options);
      testMatmul({{1, 70, 1}, 64, 64, 64}, options);
      testMatmul({{3}, 140, 150, 121}, inBf16(options));
      testMatmul({{2}, 10, 10, 5001}, inBf16(options));
    }
  }
}

void empty() {
  for (uint32_t bits = 0; bits < 8; ++bits) {
    testMatmul({{}, 0, 5, 4}, transposes(bits));
    testMatmul({{}, 5, 0, 4}, transposes(bits));
    testMatmul({{}, 5, 4, 0}, transposes(bits));
    testMatmul({{0}, 5, 4, 3}, transposes(bits));
    testMatmul({{3}, 700, 400, 0}, transposes(bits));
  }
}

void refused() {
  const auto f32 = [](Shape shape, Layout layout = Layout::dense) { return Tensor(DType::f32, shape, layout); };
  const std::vector<double> params = {0, 0, 0};
  expectRefused({"matmul", {f32({2, 3}), f32({4, 5})}, {f32({2, 5})}, params});
  expectRefused({"matmul", {f32({2, 3}), f32({3, 5})}, {f32({2, 4})}, params});
  expectRefused({"matmul", {f32({2, 3}), f32({3, 5})}, {f32({3, 5})}, params});
  expectRefused({"matmul", {f32({2, 3}), f32({3, 5})}, {f32({2, 5}, Layout::spread)}, params});
  expectRefused({"matmul", {f32({2, 3}), f32({3, 5})}, {f32({2, 5}, Layout::repeated)}, params});
  expectRefused({"matmul", {f32({2, 3}), Tensor(DType::i32, {3, 5})}, {f32({2, 5})}, params});
  expectRefused({"matmul", {f32({2, 3}), Tensor(DType::f64, {3, 5})}, {f32({2, 5})}, params});
  expectRefused({"matmul", {f32({4, 2, 3}), f32({3, 5})}, {f32({4, 2, 5})}, params});
  expectRefused({"matmul", {f32({4, 2, 3}), f32({1, 3, 5})}, {f32({4, 2, 5})}, params});
  expectRefused({"matmul", {f32({3}), f32({3})}, {f32({1})}, params});
  expectRefused({"matmul", {f32({2, 3}), f32({3, 5})}, {f32({2, 5})}, {0, 0}});
  expectRefused({"matmul", {f32({2, 3})}, {f32({2, 5})}, params});
  expectRefused({"matmul", {f32({2, 3}), f32({3, 5})}, {f32({2, 5}), f32({2, 5})}, params});
}

const Group matmul("matmul", [] {
  everySmallSize();
  everyLayout();
  larger();
  batches();
  empty();
  refused();
});

}  // namespace
}  // namespace athanor::test
