// Optimizer updates: sgd, adamw and lion, each one pass over its tensors, in place where outputs alias inputs. Not schedules,
// clipping or bias correction: those are scalars fed in.
#include "../kernel.h"
#include "../math.h"
#include "../rows.h"
#include "../simd.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t updateChunk = 16384;  // elements

/** True when the views [first, first + count) are dense f32 of the shape of `like`. */
ATHANOR_INLINE bool areDenseLike(const View& like, const View* views, int count) {
  for (int i = 0; i < count; ++i) {
    if (!isFloat(views[i]) || !sameShape(views[i], like) || !isInnerDense(views[i], views[i].rank)) return false;
  }
  return true;
}

/**
 * `body(i, mask)` for every vector. It captures by value: each chunk has a copy of its own, whose numbers no store can change.
 * With `sums`, a chunk's sum of what `body` gives is put there.
 */
template <class Body>
ATHANOR_INLINE void forChunks(const Call& call, int64_t size, float* sums, const Body& body) {
  call.pool->parallelFor(ceilDiv(size, updateChunk), [=](int64_t chunk, int) {
    const Body own = body;
    const int64_t start = chunk * updateChunk;
    V sum = zero();
    forEachVector(minOf(updateChunk, size - start), [&](int64_t i, auto mask) { sum += own(start + i, mask); });
    if (sums != nullptr) sums[chunk] = reduceAdd(sum);
  });
}

/** One sum per chunk, from which `writeCheck` makes the check. */
size_t workspaceOfSums(const Call& call, int) { return scratchBytes<float>(ceilDiv(call.out[0].size, updateChunk)); }

/** In order, so that any number of threads gives the same. */
void writeCheck(const Call& call, const float* sums, const View& to) {
  float check = 0;
  for (int64_t chunk = 0; chunk < ceilDiv(call.out[0].size, updateChunk); ++chunk) check += sums[chunk];
  *floats(to) = check;
}

// sgd: p, g, scale, lr, (velocity) -> p', (velocity'). params: momentum, dampening, nesterov, weightDecay
// As torch.optim.SGD, but that the velocity of the first step starts from zeros like any other.

const char* checkSgd(const Call& call) {
  const bool hasVelocity = call.numIn == 5;
  if (call.numIn != 4 && !hasVelocity) return "sgd needs p, g, scale, lr and perhaps velocity";
  if (call.numOut != call.numIn - 3) return "sgd gives p, and velocity where it was given one";
  if (call.numParams != 4) return "sgd needs momentum, dampening, nesterov and weightDecay";
  if (!hasVelocity && call.params[0] != 0) return "momentum needs a velocity";
  const View& p = call.in[0];
  if (!areDenseLike(p, call.in, 2) || !areDenseLike(p, call.in + 4, call.numIn - 4) ||
      !areDenseLike(p, call.out, call.numOut)) {
    return "p, g, velocity and the outputs must be dense f32 of one shape";
  }
  if (!isScalarFloat(call.in[2]) || !isScalarFloat(call.in[3])) return "scale and lr must be f32 scalars";
  return nullptr;
}

void runSgd(const Call& call) {
  const float *p = floats(call.in[0]), *g = floats(call.in[1]);
  float* newP = floats(call.out[0]);
  const V scale = set(*floats(call.in[2]));
  const V step = set(-*floats(call.in[3]));
  const V decay = set(static_cast<float>(call.params[3]));
  if (call.numIn == 4) {
    forChunks(call, call.out[0].size, nullptr, [=](int64_t i, auto mask) {
      const V weight = load(p + i, mask);
      const V gradient = fma(weight, decay, load(g + i, mask) * scale);
      store(newP + i, fma(step, gradient, weight), mask);
      return zero();
    });
    return;
  }
  const float* velocity = floats(call.in[4]);
  float* newVelocity = floats(call.out[1]);
  const V momentum = set(static_cast<float>(call.params[0]));
  const V fresh = set(static_cast<float>(1 - call.params[1]));
  const bool nesterov = call.params[2] != 0;
  forChunks(call, call.out[0].size, nullptr, [=](int64_t i, auto mask) {
    const V weight = load(p + i, mask);
    const V gradient = fma(weight, decay, load(g + i, mask) * scale);
    const V moved = fma(momentum, load(velocity + i, mask), fresh * gradient);
    const V direction = nesterov ? fma(momentum, moved, gradient) : moved;
    store(newVelocity + i, moved, mask);
    store(newP + i, fma(step, direction, weight), mask);
    return zero();
  });
}

// adamw: p, g, m, v, scale, lr, c1, c2 -> p', m', v', 0 or NaN where m' or v' is not finite. params: beta1, beta2, eps, weightDecay
// Loshchilov & Hutter 2019, algorithm 2, with the decay scaled by lr and eps outside the root, as PyTorch.

const char* checkAdamw(const Call& call) {
  if (call.numIn != 8 || call.numOut != 4) return "adamw needs p, g, m, v, scale, lr, c1, c2, and gives p, m, v and a check";
  if (call.numParams != 4) return "adamw needs beta1, beta2, eps and weightDecay";
  if (!areDenseLike(call.in[0], call.in, 4) || !areDenseLike(call.in[0], call.out, 3)) {
    return "p, g, m, v and the outputs must be dense f32 of one shape";
  }
  for (int i = 4; i < 8; ++i) {
    if (!isScalarFloat(call.in[i])) return "scale, lr, c1 and c2 must be f32 scalars";
  }
  return isScalarFloat(call.out[3]) ? nullptr : "the check must be an f32 scalar";
}

void runAdamw(const Call& call) {
  const float *p = floats(call.in[0]), *g = floats(call.in[1]), *m = floats(call.in[2]), *v = floats(call.in[3]);
  float *newP = floats(call.out[0]), *newM = floats(call.out[1]), *newV = floats(call.out[2]);
  const float lr = *floats(call.in[5]);
  const float c1 = *floats(call.in[6]);
  const V scale = set(*floats(call.in[4]));
  const V rootC2 = set(__builtin_sqrtf(*floats(call.in[7])));
  const V beta1 = set(static_cast<float>(call.params[0])), fresh1 = set(static_cast<float>(1 - call.params[0]));
  const V beta2 = set(static_cast<float>(call.params[1])), fresh2 = set(static_cast<float>(1 - call.params[1]));
  const V eps = set(static_cast<float>(call.params[2]));
  const V keep = set(static_cast<float>(1 - static_cast<double>(lr) * call.params[3]));
  const V step = set(static_cast<float>(-static_cast<double>(lr) * c1));
  float* sums = reinterpret_cast<float*>(call.workspace);
  forChunks(call, call.out[0].size, sums, [=](int64_t i, auto mask) {
    const V gradient = load(g + i, mask) * scale;
    const V first = fma(beta1, load(m + i, mask), fresh1 * gradient);
    const V second = fma(beta2, load(v + i, mask), fresh2 * (gradient * gradient));
    const V direction = first / fma(sqrt(second), rootC2, eps);
    store(newP + i, fma(step, direction, load(p + i, mask) * keep), mask);
    store(newM + i, first, mask);
    store(newV + i, second, mask);
    return fma(first, zero(), second * zero());
  });
  writeCheck(call, sums, call.out[3]);
}

// lion: p, g, m, scale, lr -> p', m', 0 or NaN where m' is not finite. params: beta1, beta2, weightDecay
// Chen et al. 2023, algorithm 2.

const char* checkLion(const Call& call) {
  if (call.numIn != 5 || call.numOut != 3) return "lion needs p, g, m, scale and lr, and gives p, m and a check";
  if (call.numParams != 3) return "lion needs beta1, beta2 and weightDecay";
  if (!areDenseLike(call.in[0], call.in, 3) || !areDenseLike(call.in[0], call.out, 2)) {
    return "p, g, m and the outputs must be dense f32 of one shape";
  }
  if (!isScalarFloat(call.in[3]) || !isScalarFloat(call.in[4])) return "scale and lr must be f32 scalars";
  return isScalarFloat(call.out[2]) ? nullptr : "the check must be an f32 scalar";
}

void runLion(const Call& call) {
  const float *p = floats(call.in[0]), *g = floats(call.in[1]), *m = floats(call.in[2]);
  float *newP = floats(call.out[0]), *newM = floats(call.out[1]);
  const float lr = *floats(call.in[4]);
  const V scale = set(*floats(call.in[3])), step = set(-lr);
  const V beta1 = set(static_cast<float>(call.params[0])), fresh1 = set(static_cast<float>(1 - call.params[0]));
  const V beta2 = set(static_cast<float>(call.params[1])), fresh2 = set(static_cast<float>(1 - call.params[1]));
  const V keep = set(static_cast<float>(1 - static_cast<double>(lr) * call.params[2]));
  float* sums = reinterpret_cast<float*>(call.workspace);
  forChunks(call, call.out[0].size, sums, [=](int64_t i, auto mask) {
    const V gradient = load(g + i, mask) * scale, mean = load(m + i, mask);
    const V direction = sign(fma(beta1, mean, fresh1 * gradient));
    const V next = fma(beta2, mean, fresh2 * gradient);
    store(newP + i, fma(step, direction, load(p + i, mask) * keep), mask);
    store(newM + i, next, mask);
    return next * zero();
  });
  writeCheck(call, sums, call.out[2]);
}

constexpr Kernel sgd{"sgd", checkSgd, nullptr, runSgd};
constexpr Kernel adamw{"adamw", checkAdamw, workspaceOfSums, runAdamw};
constexpr Kernel lion{"lion", checkLion, workspaceOfSums, runLion};
const RegisterKernel registerSgd(sgd), registerAdamw(adamw), registerLion(lion);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
