// sgd, adamw and lion against their formulas in f64, apart and in place.
#include <cmath>

#include "kernel_harness.h"

namespace athanor::test {
namespace {

const Tolerance tolerance{1e-6, 1e-6};

Tensor scalar(double value) { return Tensor(DType::f32, {}).fill(value); }

void testSgd(Shape shape, double momentum, double dampening, bool nesterov, double decay, bool hasVelocity) {
  constexpr double scale = 0.5, lr = 0.125;
  Tensor p(DType::f32, shape), g(DType::f32, shape), velocity(DType::f32, shape);
  p.random();
  g.random();
  velocity.random();
  std::vector<double> newP, newVelocity;
  for (int64_t i = 0; i < p.size(); ++i) {
    double grad = g.at(i) * scale + decay * p.at(i);
    if (hasVelocity) {
      newVelocity.push_back(momentum * velocity.at(i) + (1 - dampening) * grad);
      grad = nesterov ? grad + momentum * newVelocity.back() : newVelocity.back();
    }
    newP.push_back(p.at(i) - lr * grad);
  }
  const std::vector<double> params = {momentum, dampening, nesterov ? 1.0 : 0.0, decay};
  Case test{"sgd", {p, g, scalar(scale), scalar(lr)}, {Tensor(DType::f32, shape)}, params};
  if (hasVelocity) {
    test.inputs.push_back(velocity);
    test.outputs.push_back(Tensor(DType::f32, shape));
  }
  expectValues(test, {newP, newVelocity}, tolerance);
  test.aliases = {0, 4};
  expectValues(test, {newP, newVelocity}, tolerance);
}

/** With `spoilt`, that element of m (odd ones) or v is `value`. */
void testAdamw(Shape shape, int step, int64_t spoilt = -1, double value = 0) {
  constexpr double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, decay = 0.1, scale = 0.25, lr = 0.01;
  const double c1 = 1 / (1 - std::pow(beta1, step)), c2 = 1 / (1 - std::pow(beta2, step));
  Tensor p(DType::f32, shape), g(DType::f32, shape), m(DType::f32, shape), v(DType::f32, shape);
  p.random();
  g.random();
  m.random(0.1);
  for (int64_t i = 0; i < v.size(); ++i) v.put(i, m.at(i) * m.at(i));
  if (v.size() > 0) {
    g.put(0, 0);
    m.put(0, 0);
    v.put(0, 0);
  }
  if (spoilt >= 0) (spoilt % 2 == 1 ? m : v).put(spoilt, value);
  const std::vector<double> check = {spoilt >= 0 ? NAN : 0};
  std::vector<double> newP, newM, newV;
  for (int64_t i = 0; i < p.size(); ++i) {
    const double grad = g.at(i) * scale;
    newM.push_back(beta1 * m.at(i) + (1 - beta1) * grad);
    newV.push_back(beta2 * v.at(i) + (1 - beta2) * grad * grad);
    newP.push_back(p.at(i) * (1 - lr * decay) - lr * c1 * newM.back() / (std::sqrt(newV.back()) * std::sqrt(c2) + eps));
  }
  const Tensor out(DType::f32, shape);
  const std::vector<Tensor> inputs = {p, g, m, v, scalar(scale), scalar(lr), scalar(c1), scalar(c2)};
  Case test{"adamw", inputs, {out, out, out, scalar(1)}, {beta1, beta2, eps, decay}};
  expectValues(test, {newP, newM, newV, check}, tolerance);
  test.aliases = {0, 2, 3};
  expectValues(test, {newP, newM, newV, check}, tolerance);
}

/** With `spoilt`, that element of m is `value`. */
void testLion(Shape shape, double decay, int64_t spoilt = -1, double value = 0) {
  constexpr double beta1 = 0.9, beta2 = 0.99, scale = 0.25, lr = 0.125;
  Tensor p(DType::f32, shape), g(DType::f32, shape), m(DType::f32, shape);
  p.random();
  g.random();
  m.random(0.1);
  if (m.size() > 0) {
    g.put(0, 0);
    m.put(0, 0);
  }
  if (spoilt >= 0) m.put(spoilt, value);
  std::vector<double> newP, newM;
  for (int64_t i = 0; i < p.size(); ++i) {
    const double grad = g.at(i) * scale, mean = beta1 * m.at(i) + (1 - beta1) * grad;
    const double sign = mean > 0 ? 1 : mean < 0 ? -1 : mean;
    newP.push_back(p.at(i) * (1 - lr * decay) - lr * sign);
    newM.push_back(beta2 * m.at(i) + (1 - beta2) * grad);
  }
  const Tensor out(DType::f32, shape);
  Case test{"lion", {p, g, m, scalar(scale), scalar(lr)}, {out, out, scalar(1)}, {beta1, beta2, decay}};
  const std::vector<double> check = {spoilt >= 0 ? NAN : 0};
  expectValues(test, {newP, newM, check}, tolerance);
  test.aliases = {0, 2};
  expectValues(test, {newP, newM, check}, tolerance);
}

void updates() {
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{7}, Shape{16}, Shape{33}, Shape{3, 50}, Shape{50000}}) {
    testSgd(shape, 0, 0, false, 0, false);
    testSgd(shape, 0, 0, false, 0.1, false);
    testSgd(shape, 0.9, 0, false, 0.1, true);
    testSgd(shape, 0.9, 0.3, false, 0, true);
    testSgd(shape, 0.9, 0, true, 0.1, true);
    testAdamw(shape, 1);
    testAdamw(shape, 1000);
    testLion(shape, 0);
    testLion(shape, 0.1);
  }
  for (const int64_t spoilt : {0, 7, 16383, 16384, 49998, 49999}) {
    for (const double value : {static_cast<double>(NAN), HUGE_VAL}) {
      testAdamw({50000}, 10, spoilt, value);
      testLion({50000}, 0.1, spoilt, value);
    }
  }
  const auto f32 = [](Shape shape, Layout layout = Layout::dense) { return Tensor(DType::f32, shape, layout); };
  const Tensor t = f32({4, 3}), one = f32({});
  expectRefused({"sgd", {t, f32({4, 4}), one, one}, {t}, {0, 0, 0, 0}});
  expectRefused({"sgd", {t, f32({4, 3}, Layout::swapped), one, one}, {t}, {0, 0, 0, 0}});
  expectRefused({"sgd", {t, t, one, one}, {t}, {0.9, 0, 0, 0}});
  expectRefused({"sgd", {t, t, one, one}, {t, t}, {0, 0, 0, 0}});
  expectRefused({"sgd", {t, t, f32({2}), one}, {t}, {0, 0, 0, 0}});
  expectRefused({"sgd", {t, t, one, one}, {t}, {0, 0, 0}});
  expectRefused({"adamw", {t, t, t, t, one, one, one}, {t, t, t, one}, {0.9, 0.95, 1e-8, 0}});
  expectRefused({"adamw", {t, t, t, f32({3, 4}), one, one, one, one}, {t, t, t, one}, {0.9, 0.95, 1e-8, 0}});
  expectRefused({"adamw", {t, t, t, t, one, one, one, Tensor(DType::i32, {})}, {t, t, t, one}, {0.9, 0.95, 1e-8, 0}});
  expectRefused({"adamw", {t, t, t, t, one, one, one, one}, {t, t, t}, {0.9, 0.95, 1e-8, 0}});
  expectRefused({"adamw", {t, t, t, t, one, one, one, one}, {t, t, t, f32({2})}, {0.9, 0.95, 1e-8, 0}});
  expectRefused({"lion", {t, t, t, one}, {t, t, one}, {0.9, 0.99, 0}});
  expectRefused({"lion", {t, t, f32({3, 4}), one, one}, {t, t, one}, {0.9, 0.99, 0}});
  expectRefused({"lion", {t, t, t, one, f32({2})}, {t, t, one}, {0.9, 0.99, 0}});
  expectRefused({"lion", {t, t, t, one, one}, {t, t, f32({2})}, {0.9, 0.99, 0}});
  expectRefused({"lion", {t, t, t, one, one}, {t, t, one}, {0.9, 0.99}});
}

const Group update("update", updates);

}  // namespace
}  // namespace athanor::test
