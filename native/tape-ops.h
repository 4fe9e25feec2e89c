// What each tape opcode does to a stretch of registers, for f32 and for i32 registers. Not the walk over a tensor.
#pragma once

#include "bf16.h"
#include "math.h"
#include "tape-opcodes.h"

namespace athanor::ATHANOR_ISA {
namespace {

/** dst[i] = op(a[i], b[i], c[i]) for n elements; unused operands are null; dst may be one of the operands. */
using TapeFunction = void (*)(void* dst, const void* a, const void* b, const void* c, int64_t n);

struct TapeEntry {
  TapeFunction run;
  int arity;
};

ATHANOR_INLINE V truth(M m) { return select(m, set(1.0f), zero()); }
ATHANOR_INLINE VI truthInt(M m) { return select(m, setInt(1), setInt(0)); }

template <class T, auto op>
void mapOne(void* dst, const void* a, const void*, const void*, int64_t n) {
  T* d = static_cast<T*>(dst);
  const T* x = static_cast<const T*>(a);
  forVectors(
      n, [&](int64_t i) { storeAny(d + i, op(loadAny(x + i))); },
      [&](int64_t i, M m) { storeAny(d + i, op(loadAny(x + i, m)), m); });
}

template <class T, auto op>
void mapTwo(void* dst, const void* a, const void* b, const void*, int64_t n) {
  T* d = static_cast<T*>(dst);
  const T* x = static_cast<const T*>(a);
  const T* y = static_cast<const T*>(b);
  forVectors(
      n, [&](int64_t i) { storeAny(d + i, op(loadAny(x + i), loadAny(y + i))); },
      [&](int64_t i, M m) { storeAny(d + i, op(loadAny(x + i, m), loadAny(y + i, m)), m); });
}

template <class T, auto op>
void mapThree(void* dst, const void* a, const void* b, const void* c, int64_t n) {
  T* d = static_cast<T*>(dst);
  const T* x = static_cast<const T*>(a);
  const T* y = static_cast<const T*>(b);
  const T* z = static_cast<const T*>(c);
  forVectors(
      n, [&](int64_t i) { storeAny(d + i, op(loadAny(x + i), loadAny(y + i), loadAny(z + i))); },
      [&](int64_t i, M m) { storeAny(d + i, op(loadAny(x + i, m), loadAny(y + i, m), loadAny(z + i, m)), m); });
}

template <auto op>
constexpr TapeEntry one() {
  return {mapOne<float, op>, 1};
}
template <auto op>
constexpr TapeEntry two() {
  return {mapTwo<float, op>, 2};
}
template <auto op>
constexpr TapeEntry oneInt() {
  return {mapOne<int32_t, op>, 1};
}
template <auto op>
constexpr TapeEntry twoInt() {
  return {mapTwo<int32_t, op>, 2};
}

/** The f32 operation of an opcode; arity 0 for `const`, which the walk fills itself. */
constexpr TapeEntry floatEntry(int opcode) {
  switch (opcode) {
    case op_neg:
      return one<[](V x) { return -x; }>();
    case op_abs:
      return one<[](V x) { return abs(x); }>();
    case op_sign:
      return one<[](V x) { return sign(x); }>();
    case op_exp:
      return one<[](V x) { return exp(x); }>();
    case op_log:
      return one<[](V x) { return log(x); }>();
    case op_log1p:
      return one<[](V x) { return log1p(x); }>();
    case op_expm1:
      return one<[](V x) { return expm1(x); }>();
    case op_sqrt:
      return one<[](V x) { return sqrt(x); }>();
    case op_rsqrt:
      return one<[](V x) { return rsqrt(x); }>();
    case op_reciprocal:
      return one<[](V x) { return reciprocal(x); }>();
    case op_square:
      return one<[](V x) { return x * x; }>();
    case op_sin:
      return one<[](V x) { return sin(x); }>();
    case op_cos:
      return one<[](V x) { return cos(x); }>();
    case op_tanh:
      return one<[](V x) { return tanh(x); }>();
    case op_sigmoid:
      return one<[](V x) { return sigmoid(x); }>();
    case op_erf:
      return one<[](V x) { return erf(x); }>();
    case op_floor:
      return one<[](V x) { return floor(x); }>();
    case op_ceil:
      return one<[](V x) { return ceil(x); }>();
    case op_round:
      return one<[](V x) { return round(x); }>();
    case op_relu:
      return one<[](V x) { return max(zero(), x); }>();  // NaN, as second operand, stays
    case op_gelu:
      return one<[](V x) { return gelu(x); }>();
    case op_geluTanh:
      return one<[](V x) { return geluTanh(x); }>();
    case op_silu:
      return one<[](V x) { return silu(x); }>();
    case op_not:
      return one<[](V x) { return truth(x == zero()); }>();
    case op_isFinite:
      return one<[](V x) { return truth(isFinite(x)); }>();
    case op_add:
      return two<[](V a, V b) { return a + b; }>();
    case op_sub:
      return two<[](V a, V b) { return a - b; }>();
    case op_mul:
      return two<[](V a, V b) { return a * b; }>();
    case op_div:
      return two<[](V a, V b) { return a / b; }>();
    case op_pow:
      return two<[](V a, V b) { return pow(a, b); }>();
    case op_max:
      return two<[](V a, V b) { return maxNan(a, b); }>();
    case op_min:
      return two<[](V a, V b) { return minNan(a, b); }>();
    case op_eq:
      return two<[](V a, V b) { return truth(a == b); }>();
    case op_ne:
      return two<[](V a, V b) { return truth(a != b); }>();
    case op_lt:
      return two<[](V a, V b) { return truth(a < b); }>();
    case op_le:
      return two<[](V a, V b) { return truth(a <= b); }>();
    case op_gt:
      return two<[](V a, V b) { return truth(a > b); }>();
    case op_ge:
      return two<[](V a, V b) { return truth(a >= b); }>();
    case op_and:
      return two<[](V a, V b) { return truth((a != zero()) & (b != zero())); }>();
    case op_or:
      return two<[](V a, V b) { return truth((a != zero()) | (b != zero())); }>();
    case op_xor:
      return two<[](V a, V b) { return truth((a != zero()) ^ (b != zero())); }>();
    case op_mod:
      return two<[](V a, V b) { return floorMod(a, b); }>();
    case op_geluGrad:
      return two<[](V x, V g) { return geluGrad(x, g); }>();
    case op_geluTanhGrad:
      return two<[](V x, V g) { return geluTanhGrad(x, g); }>();
    case op_siluGrad:
      return two<[](V x, V g) { return siluGrad(x, g); }>();
    case op_where:
      return {mapThree<float, [](V c, V a, V b) { return select(c != zero(), a, b); }>, 3};
    case op_cast:
      return one<[](V x) { return x; }>();
    case op_roundToBf16:
      return one<[](V x) { return roundToBf16(x); }>();
    default:
      return {nullptr, 0};
  }
}

/** Calls `f(int64, int64) -> int64` for each lane and keeps the low 32 bits: integer division has no vector form. */
template <auto f>
ATHANOR_INLINE VI forIntLanes(VI a, VI b) {
  int32_t lanesA[LANES], lanesB[LANES];
  storeInt(lanesA, a);
  storeInt(lanesB, b);
  for (int i = 0; i < LANES; ++i) lanesA[i] = static_cast<int32_t>(static_cast<uint32_t>(f(lanesA[i], lanesB[i])));
  return loadInt(lanesA);
}

/** Towards zero; by zero gives 0. */
constexpr int64_t divideInt(int64_t a, int64_t b) { return b == 0 ? 0 : a / b; }
/** The remainder has the divisor's sign; by zero gives 0. */
constexpr int64_t moduloInt(int64_t a, int64_t b) {
  if (b == 0) return 0;
  const int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
/** By squaring, in f64; negative exponents truncate to 0 or +-1; beyond i32 the low bits are kept as for products. */
constexpr int64_t powInt(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
  uint64_t result = 1, base = static_cast<uint64_t>(a);
  for (; b > 0; b >>= 1, base *= base) {
    if (b & 1) result *= base;
  }
  return static_cast<int64_t>(result);
}

/** The i32 operation of an opcode; null where integers have none. */
constexpr TapeEntry intEntry(int opcode) {
  switch (opcode) {
    case op_neg:
      return oneInt<[](VI x) { return setInt(0) - x; }>();
    case op_abs:
      return oneInt<[](VI x) { return max(x, setInt(0) - x); }>();
    case op_sign:
      return oneInt<[](VI x) { return truthInt(setInt(0) < x) - truthInt(x < setInt(0)); }>();
    case op_square:
      return oneInt<[](VI x) { return x * x; }>();
    case op_relu:
      return oneInt<[](VI x) { return max(x, setInt(0)); }>();
    case op_not:
      return oneInt<[](VI x) { return truthInt(x == setInt(0)); }>();
    case op_cast:
      return oneInt<[](VI x) { return x; }>();
    case op_add:
      return twoInt<[](VI a, VI b) { return a + b; }>();
    case op_sub:
      return twoInt<[](VI a, VI b) { return a - b; }>();
    case op_mul:
      return twoInt<[](VI a, VI b) { return a * b; }>();
    case op_div:
      return twoInt<[](VI a, VI b) { return forIntLanes<divideInt>(a, b); }>();
    case op_mod:
      return twoInt<[](VI a, VI b) { return forIntLanes<moduloInt>(a, b); }>();
    case op_pow:
      return twoInt<[](VI a, VI b) { return forIntLanes<powInt>(a, b); }>();
    case op_max:
      return twoInt<[](VI a, VI b) { return max(a, b); }>();
    case op_min:
      return twoInt<[](VI a, VI b) { return min(a, b); }>();
    case op_eq:
      return twoInt<[](VI a, VI b) { return truthInt(a == b); }>();
    case op_ne:
      return twoInt<[](VI a, VI b) { return truthInt(~(a == b)); }>();
    case op_lt:
      return twoInt<[](VI a, VI b) { return truthInt(a < b); }>();
    case op_le:
      return twoInt<[](VI a, VI b) { return truthInt(~(b < a)); }>();
    case op_gt:
      return twoInt<[](VI a, VI b) { return truthInt(b < a); }>();
    case op_ge:
      return twoInt<[](VI a, VI b) { return truthInt(~(a < b)); }>();
    case op_and:
      return twoInt<[](VI a, VI b) { return truthInt(~((a == setInt(0)) | (b == setInt(0)))); }>();
    case op_or:
      return twoInt<[](VI a, VI b) { return truthInt(~((a | b) == setInt(0))); }>();
    case op_xor:
      return twoInt<[](VI a, VI b) { return truthInt((a == setInt(0)) ^ (b == setInt(0))); }>();
    case op_where:
      return {mapThree<int32_t, [](VI c, VI a, VI b) { return select(c == setInt(0), b, a); }>, 3};
    default:
      return {nullptr, 0};
  }
}

}  // namespace
}  // namespace athanor::ATHANOR_ISA
