// The kernel `fill`: every element of y becomes params[0].
#include "../kernel.h"
#include "../simd.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t chunkElements = 1 << 16;

const char* check(const Call& call) {
  if (call.numIn != 0 || call.numOut != 1 || call.numParams != 1) return "expected no input, one output, [value]";
  if (call.out[0].dtype != DType::f32) return "expected f32";
  return isContiguous(call.out[0]) ? nullptr : "expected a contiguous output";
}

void run(const Call& call) {
  const View& y = call.out[0];
  float* data = static_cast<float*>(y.data);
  const V value = set(static_cast<float>(call.params[0]));
  call.pool->parallelFor(ceilDiv(y.size, chunkElements), [&](int64_t chunk, int) {
    const int64_t start = chunk * chunkElements;
    float* p = data + start;
    forVectors(
        minOf(chunkElements, y.size - start), [&](int64_t i) { store(p + i, value); },
        [&](int64_t i, M mask) { store(p + i, value, mask); });
  });
}

constexpr Kernel fill{"fill", check, nullptr, run};
const RegisterKernel registerFill(fill);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
