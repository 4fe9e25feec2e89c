// Norms, softmax and cross entropy with their gradients against plain loops in f64 over rows.
#include <algorithm>
#include <cmath>

#include "kernel_harness.h"

namespace athanor::test {
namespace {

const int64_t lengths[] = {1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 130, 768, 2049, 5000};
const Layout layouts[] = {Layout::dense, Layout::padded, Layout::swapped, Layout::spread, Layout::repeated};

/** Some (..., length) with `rows` rows in all. */
Shape rowsOf(int64_t rows, int64_t length) {
  return rows % 3 == 0 ? Shape{3, rows / 3, length} : Shape{rows, length};
}

Shape outerDims(Shape shape) {
  shape.pop_back();
  return shape;
}

Layout writable(Layout layout) { return layout == Layout::padded ? Layout::padded : Layout::dense; }

struct Statistics {
  double mean, rstd;
};

Statistics statistics(const double* x, int64_t n, bool centered, double eps) {
  double mean = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) mean += x[i];
  mean = centered ? mean / static_cast<double>(n) : 0;
  for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  return {mean, 1 / std::sqrt(squares / static_cast<double>(n) + eps)};
}

void testNorm(int64_t rows, int64_t n, bool centered, Layout layout, double offset) {
  constexpr double eps = 1e-5;
  const Shape shape = rowsOf(rows, n);
  Tensor x(DType::f32, shape, layout), g(DType::f32, shape, layout), y(DType::f32, shape, writable(layout));
  Tensor w(DType::f32, {n}, layout), b(DType::f32, {n}, layout);
  Tensor mean(DType::f32, outerDims(shape)), rstd(DType::f32, outerDims(shape));
  for (int64_t i = 0; i < x.size(); ++i) x.put(i, offset + nextRandom() / 2147483648.0 - 1);
  g.random();
  w.random(2);
  b.random();
  const std::vector<double> xv = x.values(), gv = g.values(), wv = w.values(), bv = b.values();
  std::vector<double> yv(xv.size()), means, rstds, dx(xv.size()), dw(wv.size()), db(wv.size());
  for (int64_t r = 0; r < rows; ++r) {
    const double* row = xv.data() + r * n;
    const Statistics s = statistics(row, n, centered, eps);
    means.push_back(s.mean);
    rstds.push_back(s.rstd);
    double sumH = 0, sumHn = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double normal = (row[i] - s.mean) * s.rstd, grad = gv[static_cast<size_t>(r * n + i)];
      yv[static_cast<size_t>(r * n + i)] = normal * wv[i] + (centered ? bv[i] : 0);
      dw[i] += grad * normal;
      db[i] += grad;
      sumH += centered ? grad * wv[i] : 0;
      sumHn += grad * wv[i] * normal;
    }
    for (int64_t i = 0; i < n; ++i) {
      const double normal = (row[i] - s.mean) * s.rstd, h = gv[static_cast<size_t>(r * n + i)] * wv[i];
      dx[static_cast<size_t>(r * n + i)] =
          s.rstd * (h - sumH / static_cast<double>(n) - normal * sumHn / static_cast<double>(n));
    }
  }
  const Tolerance loose{2e-6, 1e-5};
  const double most = rstds.empty() ? 1 : 1 + *std::max_element(rstds.begin(), rstds.end());
  const Tolerance gradients{2e-6 * most, 1e-5};
  const Tolerance sums{2e-6 * std::sqrt(static_cast<double>(rows + 1)), 1e-5};
  for (size_t i = 0; i < means.size(); ++i) {
    mean.put(static_cast<int64_t>(i), means[i]);
    rstd.put(static_cast<int64_t>(i), rstds[i]);
  }
  if (centered) {
    expectValues({"layerNorm", {x, w, b}, {y, mean, rstd}, {eps}}, {yv, means, {}}, loose);
    expectValues({"layerNorm", {x, w, b}, {y, mean, rstd}, {eps}}, {{}, {}, rstds}, {0, 1e-6});
    const Case grad{"layerNormGrad", {g, x, w, mean, rstd}, {y, Tensor(DType::f32, {n}), Tensor(DType::f32, {n})}};
    expectValues(grad, {dx, {}, {}}, gradients);
    expectValues(grad, {{}, dw, db}, sums);
  } else {
    expectValues({"rmsNorm", {x, w}, {y, rstd}, {eps}}, {yv, rstds}, {2e-6, 1e-5});
    const Case grad{"rmsNormGrad", {g, x, w, rstd}, {y, Tensor(DType::f32, {n})}};
    expectValues(grad, {dx, {}}, gradients);
    expectValues(grad, {{}, dw}, sums);
  }
}

void norms() {
  for (const bool centered : {true, false}) {
    for (const int64_t n : lengths) testNorm(9, n, centered, Layout::dense, 0);
    for (const Layout layout : layouts) testNorm(12, 37, centered, layout, 0.5);
    for (const int64_t rows : {0, 1, 100, 1000}) testNorm(rows, 40, centered, Layout::dense, 0);
    testNorm(5, 500, centered, Layout::dense, 100);  // E[x^2] - E[x]^2 would lose half the digits
    testNorm(5, 500, centered, Layout::dense, 30000);  // as would a mean of f32 that nothing corrects
    testNorm(300, 1100, centered, Layout::padded, 1);
  }
  const auto f32 = [](Shape shape, Layout layout = Layout::dense) { return Tensor(DType::f32, shape, layout); };
  expectRefused({"layerNorm", {f32({4, 8}), f32({8}), f32({7})}, {f32({4, 8}), f32({4}), f32({4})}, {1e-5}});
  expectRefused({"layerNorm", {f32({4, 8}), f32({8}), f32({8})}, {f32({4, 8}), f32({8}), f32({4})}, {1e-5}});
  expectRefused({"layerNorm", {f32({4, 8}), f32({8}), f32({8})}, {f32({4, 8}, Layout::spread), f32({4}), f32({4})}, {1e-5}});
  expectRefused({"layerNorm", {f32({4, 8}), f32({8}), f32({8})}, {f32({4, 8}), f32({4}), f32({4})}});
  expectRefused({"layerNorm", {f32({4, 8}), f32({8})}, {f32({4, 8}), f32({4}), f32({4})}, {1e-5}});
  expectRefused({"rmsNorm", {f32({4, 8}), f32({1, 8})}, {f32({4, 8}), f32({4})}, {1e-5}});
  expectRefused({"rmsNorm", {Tensor(DType::f64, {4, 8}), f32({8})}, {f32({4, 8}), f32({4})}, {1e-5}});
  expectRefused({"layerNormGrad", {f32({4, 8}), f32({4, 8}), f32({8}), f32({4}), f32({4})}, {f32({4, 8}), f32({4}), f32({8})}});
  expectRefused({"rmsNormGrad", {f32({4, 8}), f32({4, 7}), f32({8}), f32({4})}, {f32({4, 8}), f32({8})}});
}

std::vector<double> softmaxOf(const double* x, int64_t n, double* lse) {
  double highest = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; ++i) highest = std::fmax(highest, x[i]);
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - highest);
  *lse = highest + std::log(sum);
  std::vector<double> y;
  for (int64_t i = 0; i < n; ++i) y.push_back(std::exp(x[i] - *lse));
  return y;
}

void testSoftmax(int64_t rows, int64_t n, Layout layout, double scale) {
  const Shape shape = rowsOf(rows, n);
  Tensor x(DType::f32, shape, layout), g(DType::f32, shape, layout), out(DType::f32, shape, writable(layout));
  x.random(scale);
  g.random();
  const std::vector<double> xv = x.values(), gv = g.values();
  std::vector<double> y, logY, dSoftmax, dLogSoftmax;
  for (int64_t r = 0; r < rows; ++r) {
    double lse = 0, dot = 0, sum = 0;
    const std::vector<double> row = softmaxOf(xv.data() + r * n, n, &lse);
    const double* grad = gv.data() + r * n;
    const auto rounded = [&](int64_t i) { return static_cast<double>(static_cast<float>(row[i])); };  // as softmaxGrad reads it
    for (int64_t i = 0; i < n; ++i) {
      dot += grad[i] * rounded(i);
      sum += grad[i];
    }
    for (int64_t i = 0; i < n; ++i) {
      y.push_back(row[i]);
      logY.push_back(xv[static_cast<size_t>(r * n + i)] - lse);
      dSoftmax.push_back(rounded(i) * (grad[i] - dot));
      dLogSoftmax.push_back(grad[i] - row[i] * sum);
    }
  }
  Tensor probabilities(DType::f32, shape, layout), logs(DType::f32, shape, layout);
  for (int64_t i = 0; i < x.size(); ++i) {
    probabilities.put(i, y[static_cast<size_t>(i)]);
    logs.put(i, logY[static_cast<size_t>(i)]);
  }
  expectValues({"softmax", {x}, {out}}, {y}, {1e-9, 3e-6 + 1e-7 * scale});
  expectValues({"logSoftmax", {x}, {out}}, {logY}, {2e-6 + 2e-7 * scale, 1e-6});
  if (layout == Layout::repeated) return;  // a repeated y is no softmax of these rows
  // Where y is close to 1, g - dot(g, y) cancels and the rounding of the dot product is left. Its terms' magnitudes add up to at most
  // 1, so that the products and each level of additions (six for 40 numbers) may take 2^-24.
  const Tolerance cancelled{7 * 0x1p-24, 1e-5};
  expectValues({"softmaxGrad", {g, probabilities}, {out}}, {dSoftmax}, cancelled);
  expectValues({"logSoftmaxGrad", {g, logs}, {out}}, {dLogSoftmax}, {2e-6 + 2e-7 * scale, 1e-5});
  if (layout != Layout::dense) return;
  expectValues({"softmax", {x}, {out}, {}, {0}}, {y}, {1e-9, 3e-6 + 1e-7 * scale});
  expectValues({"logSoftmax", {x}, {out}, {}, {0}}, {logY}, {2e-6 + 2e-7 * scale, 1e-6});
  expectValues({"softmaxGrad", {g, probabilities}, {out}, {}, {0}}, {dSoftmax}, cancelled);
  expectValues({"logSoftmaxGrad", {g, logs}, {out}, {}, {0}}, {dLogSoftmax}, {2e-6 + 2e-7 * scale, 1e-5});
}

void softmaxes() {
  for (const int64_t n : lengths) testSoftmax(9, n, Layout::dense, 3);
  for (const Layout layout : layouts) testSoftmax(12, 37, layout, 10);
  for (const int64_t rows : {0, 1, 1000}) testSoftmax(rows, 40, Layout::dense, 80);
  testSoftmax(4, 0, Layout::dense, 1);

  Tensor x(DType::f32, {4, 20});
  x.random();
  for (int64_t i = 0; i < 20; ++i) x.put(i, -INFINITY);
  x.put(25, NAN);
  for (int64_t i = 40; i < 58; ++i) x.put(i, -INFINITY);
  std::vector<double> expected(80, NAN);
  double lse = 0;
  const std::vector<double> xv = x.values();
  for (int64_t r = 2; r < 4; ++r) {
    const std::vector<double> row = softmaxOf(xv.data() + r * 20, 20, &lse);
    for (int64_t i = 0; i < 20; ++i) expected[static_cast<size_t>(r * 20 + i)] = row[i];
  }
  expectValues({"softmax", {x}, {Tensor(DType::f32, {4, 20})}, {}, {}, "infinities and NaN"}, {expected});

  expectRefused({"softmax", {Tensor(DType::f32, {4, 5})}, {Tensor(DType::f32, {5, 4})}});
  expectRefused({"softmax", {Tensor(DType::f32, {})}, {Tensor(DType::f32, {})}});
  expectRefused({"softmax", {Tensor(DType::i32, {4, 5})}, {Tensor(DType::f32, {4, 5})}});
  expectRefused({"logSoftmax", {Tensor(DType::f32, {4, 5})}, {Tensor(DType::f32, {4, 5}, Layout::swapped)}});
  expectRefused({"softmaxGrad", {Tensor(DType::f32, {4, 5})}, {Tensor(DType::f32, {4, 5})}});
  const Tensor t(DType::f32, {4, 5});
  expectRefused({"logSoftmaxGrad", {t, t}, {Tensor(DType::f32, {4, 5}, Layout::repeated)}});
}

constexpr int ignoreIndex = -100;

void testCrossEntropy(int64_t rows, int64_t n, Layout layout, double scale, int64_t badTarget = -1) {
  Tensor x(DType::f32, {rows, n}, layout), targets(DType::i32, {rows}, layout == Layout::repeated ? Layout::dense : layout);
  Tensor g(DType::f32, {rows}, layout == Layout::repeated ? Layout::repeated : Layout::dense);
  x.random(scale);
  g.random();
  targets.below(n);
  for (int64_t r = 2; r < rows; r += 5) targets.put(r, ignoreIndex);
  if (badTarget >= 0) targets.put(badTarget, static_cast<double>(n + 3));
  const std::vector<double> xv = x.values(), gv = g.values();
  std::vector<double> loss, lses, dx;
  Tensor lse(DType::f32, {rows});
  for (int64_t r = 0; r < rows; ++r) {
    double rowLse = 0;
    const std::vector<double> p = softmaxOf(xv.data() + r * n, n, &rowLse);
    const int64_t target = static_cast<int64_t>(targets.at(r));
    const bool counts = target >= 0 && target < n;
    loss.push_back(counts ? rowLse - xv[static_cast<size_t>(r * n + target)] : 0);
    lses.push_back(counts ? rowLse : 0);
    lse.put(r, lses.back());
    for (int64_t i = 0; i < n; ++i) dx.push_back(counts ? (p[i] - (i == target ? 1 : 0)) * gv[static_cast<size_t>(r)] : 0);
  }
  const Case forward{"crossEntropy", {x, targets}, {Tensor(DType::f32, {rows}), Tensor(DType::f32, {rows})}, {ignoreIndex}};
  const Tensor gradient(DType::f32, {rows, n}, writable(layout));
  const Case backward{"crossEntropyGrad", {x, targets, lse, g}, {gradient}, {ignoreIndex}};
  if (badTarget >= 0) {
    expectFault(forward, Fault::indexOutOfRange, n + 3, {loss, lses});
    expectFault(backward, Fault::indexOutOfRange, n + 3, {dx});
    return;
  }
  expectValues(forward, {loss, lses}, {1e-6 + 3e-7 * scale, 1e-6});
  expectValues(backward, {dx}, {1e-8 + 3e-7 * scale, 1e-5});
  if (layout != Layout::dense) return;
  Case inPlace = backward;
  inPlace.aliases = {0};
  expectValues(inPlace, {dx}, {1e-8 + 3e-7 * scale, 1e-5});
}

void crossEntropies() {
  for (const int64_t n : lengths) testCrossEntropy(7, n, Layout::dense, 4);
  for (const Layout layout : layouts) testCrossEntropy(12, 37, layout, 10);
  for (const int64_t rows : {0, 1, 500}) testCrossEntropy(rows, 70, Layout::dense, 50);
  testCrossEntropy(3, 50304, Layout::dense, 5);
  testCrossEntropy(6, 9, Layout::dense, 1, 4);
  // few classes, which are taken a block of rows at once
  for (const int64_t n : {1, 2, 5, 8}) testCrossEntropy(70, n, Layout::dense, 4);
  for (const Layout layout : layouts) testCrossEntropy(41, 5, layout, 10);
  testCrossEntropy(20, 3, Layout::dense, 1, 17);

  // a row whose first blocks are all hidden, and one with a NaN
  constexpr int64_t n = 6000;
  Tensor x(DType::f32, {2, n}), targets(DType::i32, {2});
  x.random();
  for (int64_t i = 0; i < 4500; ++i) x.put(i, -INFINITY);
  x.put(n + 10, NAN);
  targets.fill(n - 1);
  const std::vector<double> xv = x.values();
  double lse = 0;
  softmaxOf(xv.data(), n, &lse);
  expectValues({"crossEntropy", {x, targets}, {Tensor(DType::f32, {2}), Tensor(DType::f32, {2})}, {ignoreIndex}},
               {{lse - xv[n - 1], NAN}, {lse, NAN}});

  const Tensor logits(DType::f32, {4, 5}), idx(DType::i32, {4}), row(DType::f32, {4});
  expectRefused({"crossEntropy", {logits, row}, {row, row}, {ignoreIndex}});
  expectRefused({"crossEntropy", {logits, Tensor(DType::i32, {5})}, {row, row}, {ignoreIndex}});
  expectRefused({"crossEntropy", {logits, idx}, {row, Tensor(DType::f32, {5})}, {ignoreIndex}});
  expectRefused({"crossEntropy", {logits, idx}, {row, row}});
  expectRefused({"crossEntropy", {logits, idx}, {row, row}, {NAN}});
  expectRefused({"crossEntropy", {logits, idx}, {row, row}, {1e30}});
  expectRefused({"crossEntropy", {Tensor(DType::f32, {2, 2, 5}), idx}, {row, row}, {ignoreIndex}});
  expectRefused({"crossEntropyGrad", {logits, idx, row}, {logits}, {ignoreIndex}});
  expectRefused({"crossEntropyGrad", {logits, idx, row, row}, {Tensor(DType::f32, {4, 5}, Layout::spread)}, {ignoreIndex}});
  expectRefused({"crossEntropyGrad", {logits, idx, row, Tensor(DType::f32, {1})}, {logits}, {ignoreIndex}});
}

/** The mean loss of x w^T and its gradients, in chunks of `chunkRows` rows. */
void testLinearCrossEntropy(int64_t rows, int64_t width, int64_t n, int64_t chunkRows, Layout layout) {
  Tensor x(DType::f32, {rows, width}, layout), w(DType::f32, {n, width}, layout);
  Tensor g(DType::f32, {rows}, layout == Layout::spread ? layout : Layout::dense), targets(DType::i32, {rows});
  x.random();
  w.random();
  g.random();
  targets.below(n);
  if (rows > 2) targets.put(2, ignoreIndex);
  std::vector<double> loss, lses, dx, dw(static_cast<size_t>(n * width), 0);
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> logits(static_cast<size_t>(n), 0);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t d = 0; d < width; ++d) logits[i] += x.at(r * width + d) * w.at(i * width + d);
    }
    double lse = 0;
    std::vector<double> p = softmaxOf(logits.data(), n, &lse);
    const int64_t target = static_cast<int64_t>(targets.at(r));
    const bool counts = target != ignoreIndex;
    loss.push_back(counts ? lse - logits[static_cast<size_t>(target)] : 0);
    lses.push_back(counts ? lse : 0);
    for (int64_t i = 0; i < n; ++i) p[i] = counts ? (p[i] - (i == target ? 1 : 0)) * g.at(r) : 0;
    for (int64_t d = 0; d < width; ++d) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        sum += p[i] * w.at(i * width + d);
        dw[static_cast<size_t>(i * width + d)] += p[i] * x.at(r * width + d);
      }
      dx.push_back(sum);
    }
  }
  const Tensor perRow(DType::f32, {rows});
  const Tensor xGrad(DType::f32, {rows, width}, writable(layout)), wGrad(DType::f32, {n, width}, writable(layout));
  const std::vector<double> params = {ignoreIndex, static_cast<double>(chunkRows), 0};
  const Case forward{"linearCrossEntropy", {x, w, targets}, {perRow, perRow}, params};
  const Case backward{"linearCrossEntropy", {x, w, targets, g}, {perRow, perRow, xGrad, wGrad}, params};
  expectValues(forward, {loss, lses}, {3e-6, 3e-6});
  expectValues(backward, {loss, lses, dx, dw}, {3e-6, 3e-6});
}

void linearCrossEntropies() {
  for (const Layout layout : layouts) testLinearCrossEntropy(12, 9, 37, 5, layout);
  for (const int64_t chunkRows : {1, 64, 1000}) testLinearCrossEntropy(130, 20, 300, chunkRows, Layout::dense);
  for (const int64_t rows : {0, 1}) testLinearCrossEntropy(rows, 3, 5, 4, Layout::dense);

  const Tensor x(DType::f32, {4, 3}), w(DType::f32, {5, 3}), idx(DType::i32, {4}), row(DType::f32, {4});
  const std::vector<double> params = {ignoreIndex, 2, 0};
  expectRefused({"linearCrossEntropy", {x, w, row}, {row, row}, params});
  expectRefused({"linearCrossEntropy", {x, x, idx}, {row, Tensor(DType::f32, {5})}, params});
  expectRefused({"linearCrossEntropy", {x, Tensor(DType::f32, {5, 4}), idx}, {row, row}, params});
  expectRefused({"linearCrossEntropy", {x, w, idx, row}, {row, row}, params});
  expectRefused({"linearCrossEntropy", {x, w, idx, row}, {row, row, w, x}, params});
  expectRefused({"linearCrossEntropy", {x, w, idx, Tensor(DType::f32, {1})}, {row, row, x, w}, params});
  expectRefused({"linearCrossEntropy", {x, w, idx, row}, {row, row, x, Tensor(DType::f32, {5, 3}, Layout::spread)}, params});
  expectRefused({"linearCrossEntropy", {x, w, idx}, {row, row}, {ignoreIndex, 0, 0}});
  expectRefused({"linearCrossEntropy", {x, w, idx}, {row, row}, {NAN, 2, 0}});
}

const Group norm("norm", norms);
const Group softmax("softmax", softmaxes);
const Group crossEntropy("crossEntropy", crossEntropies);
const Group linearCrossEntropy("linearCrossEntropy", linearCrossEntropies);

}  // namespace
}  // namespace athanor::test
