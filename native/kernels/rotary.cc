// The kernel `rotary`: pairs of channels of x (B, T, H, D) turn by the angles of cos and sin (B or 1, T, R/2); channels from R on
// pass through. y may lie on x.
// params: interleaved (pairs are neighbours, else R/2 apart), inverse (turn back)
#include "../kernel.h"
#include "../rows.h"

namespace athanor::ATHANOR_ISA {
namespace {

bool isTable(const View& table, const View& x) {
  return isFloat(table) && table.rank == 3 && (table.shape[0] == x.shape[0] || table.shape[0] == 1) &&
         table.shape[1] == x.shape[1] && table.shape[2] >= 1 && 2 * table.shape[2] <= x.shape[3] && isInnerDense(table, 1);
}

const char* check(const Call& call) {
  if (call.numIn != 3 || call.numOut != 1) return "rotary needs x, cos and sin, and gives y";
  if (call.numParams != 2) return "rotary needs interleaved and inverse";
  const View &x = call.in[0], &cos = call.in[1], &sin = call.in[2], &y = call.out[0];
  if (!isFloatOrBf16(x) || x.rank != 4 || !isInnerDense(x, 1)) return "x must be f32 or bf16 of rank 4 with a dense last dim";
  if (!isTable(cos, x) || !isTable(sin, x) || !sameShape(cos, sin)) return "cos and sin must be f32 (B or 1, T, R/2), R up to D";
  const bool fits = isFloatOrBf16(y) && sameShape(x, y) && isInnerDense(y, 1) && !repeats(y);
  return fits ? nullptr : "y must be like x with a dense last dim";
}

size_t workspace(const Call&, int) { return 0; }

ATHANOR_INLINE void put(float* to, float value) { *to = value; }
ATHANOR_INLINE void put(Bf16* to, float value) { *to = narrow(value); }

/** One head at one position. Every pair is read before it is written. */
template <class From, class To>
ATHANOR_INLINE void turn(const From* x, const float* cos, const float* sin, float sign, int64_t half, int64_t width,
                         bool interleaved, To* y) {
  if (interleaved) {
    for (int64_t i = 0; i < half; ++i) {
      const float a = widen(x[2 * i]), b = widen(x[2 * i + 1]), s = sign * sin[i];
      put(y + 2 * i, a * cos[i] - b * s);
      put(y + 2 * i + 1, b * cos[i] + a * s);
    }
  } else {
    forEachVector(half, [&](int64_t i, auto mask) {
      const V a = load(x + i, mask), b = load(x + half + i, mask), c = load(cos + i, mask), s = load(sin + i, mask) * set(sign);
      store(y + i, a * c - b * s, mask);
      store(y + half + i, b * c + a * s, mask);
    });
  }
  convertRow(y + 2 * half, x + 2 * half, width - 2 * half);
}

void run(const Call& call) {
  const View &x = call.in[0], &cos = call.in[1], &sin = call.in[2], &y = call.out[0];
  const int64_t T = x.shape[1], H = x.shape[2], D = x.shape[3], half = cos.shape[2];
  const bool interleaved = call.params[0] != 0;
  const float sign = call.params[1] != 0 ? -1.0f : 1.0f;
  const auto rowOf = [&](const View& table, int64_t b, int64_t t) {
    return floats(table) + (table.shape[0] == 1 ? 0 : b * table.strides[0]) + t * table.strides[1];
  };
  forRows(call.pool, x.shape[0] * T, H * D, [&](int64_t position, int) {
    const int64_t b = position / T, t = position % T;
    const float *c = rowOf(cos, b, t), *s = rowOf(sin, b, t);
    for (int64_t h = 0; h < H; ++h) {
      const Elements from = elements(x) + (b * x.strides[0] + t * x.strides[1] + h * x.strides[2]);
      const Elements to = elements(y) + (b * y.strides[0] + t * y.strides[1] + h * y.strides[2]);
      const auto turnInto = [&](auto* target) {
        from.narrow ? turn(from.words(), c, s, sign, half, D, interleaved, target)
                    : turn(from.floats(), c, s, sign, half, D, interleaved, target);
      };
      to.narrow ? turnInto(to.words()) : turnInto(to.floats());
    }
  });
}

constexpr Kernel rotary{"rotary", check, workspace, run};
const RegisterKernel registerRotary(rotary);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
