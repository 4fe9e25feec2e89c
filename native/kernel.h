// What a kernel is given and what it must promise. Not the executor, and nothing of JavaScript.
//
// A kernel file (kernels/*.cc) is compiled once per instruction set; ATHANOR_ISA names the namespace of that
// compilation. It registers itself with a constant object and a RegisterKernel, is picked up by a glob, and:
//   - never allocates, throws or takes a lock: scratch memory is asked for in `workspace`;
//   - never depends on the number of threads: chunks are cut from the problem's size, partial results are
//     combined in chunk order;
//   - uses no inline function of the standard library (std::min, std::vector, ...): the linker keeps one copy of
//     such a function for the whole library, and that copy could hold instructions the machine does not have.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pool.h"

#if defined(_MSC_VER)
#define ATHANOR_INLINE static __forceinline
#define ATHANOR_RESTRICT __restrict
#else
#define ATHANOR_INLINE static inline __attribute__((always_inline))
#define ATHANOR_RESTRICT __restrict__
#endif

#ifndef ATHANOR_ISA
#define ATHANOR_ISA portable
#endif

namespace athanor {

constexpr int maxRank = 8;

/** Element types, in the order of `dtypes` in src/base/dtype.ts. */
enum class DType : uint8_t { f64, f32, bf16, f16, i64, i32, u8, bool_ };
constexpr int numDTypes = 8;

/** One tensor as a kernel sees it. Strides are in elements; 0 repeats (broadcast). Only checked views reach `run`. */
struct View {
  void* data;  // null while checking
  DType dtype;
  int rank;
  int64_t shape[maxRank];
  int64_t strides[maxRank];
  int64_t size;  // product of the shape
};

enum class Fault : int32_t { none = 0, indexOutOfRange = 1 };

/**
 * Where a running kernel says that a value was wrong. Of several reports the smallest (fault, value) is kept, so that the
 * message does not depend on which thread came first.
 */
class Status {
 public:
  void report(Fault fault, int64_t value);
  /** False when nothing was reported. Not while a kernel runs. */
  bool reported(Fault* fault, int64_t* value) const;

 private:
  uint64_t word_ = ~uint64_t{0};  // accessed atomically; ~0 = nothing reported
};

struct Call {
  const View* in;
  int numIn;
  const View* out;
  int numOut;
  const double* params;
  int numParams;
  Pool* pool;       // null while checking
  char* workspace;  // 64-byte aligned, as many bytes as the kernel's `workspace` said; not zeroed
  Status* status;   // null while checking
};

struct Kernel {
  const char* name;
  /** nullptr when `run` can handle the call, else the reason. Everything `run` relies on is checked here. */
  const char* (*check)(const Call& call);
  /** Bytes of scratch for all threads together; nullptr = none. Called after `check` said yes. */
  size_t (*workspace)(const Call& call, int numThreads);
  void (*run)(const Call& call);
};

/** Each path can run what the ones before it have. */
enum class Isa : int { portable = 0, avx2 = 1, avx512 = 2, avx512bf16 = 3 };

/** Called by static objects at load time: the argument must live forever. */
void registerKernel(Isa isa, const Kernel* kernel);

namespace ATHANOR_ISA {

#if defined(ATHANOR_ISA_AVX512BF16)
constexpr Isa isa = Isa::avx512bf16;
#elif defined(ATHANOR_ISA_AVX512)
constexpr Isa isa = Isa::avx512;
#elif defined(ATHANOR_ISA_AVX2)
constexpr Isa isa = Isa::avx2;
#else
constexpr Isa isa = Isa::portable;
#endif

/**
 * `static constexpr Kernel matmul{"matmul", check, workspace, run};`
 * `static const RegisterKernel registerMatmul(matmul);`
 * The initialiser only passes a pointer on: it is safe to run on any processor.
 */
struct RegisterKernel {
  explicit RegisterKernel(const Kernel& kernel) { registerKernel(isa, &kernel); }
  explicit RegisterKernel(const Kernel&&) = delete;
};

template <class T>
ATHANOR_INLINE constexpr T minOf(T a, T b) {
  return b < a ? b : a;
}

template <class T>
ATHANOR_INLINE constexpr T maxOf(T a, T b) {
  return a < b ? b : a;
}

ATHANOR_INLINE int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/** The next multiple of `unit`. */
ATHANOR_INLINE int64_t roundUp(int64_t a, int64_t unit) { return ceilDiv(a, unit) * unit; }

/** Bytes of scratch for `count` elements of T, rounded so that the next part stays 64-byte aligned. */
template <class T>
ATHANOR_INLINE size_t scratchBytes(int64_t count) {
  return (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
}

/** True when a parameter is an integer in [low, high]; false for NaN. The bounds must be exact in f64. */
ATHANOR_INLINE bool isWhole(double x, double low, double high) {
  return x >= low && x <= high && x == static_cast<double>(static_cast<int64_t>(x));
}

ATHANOR_INLINE bool sameShape(const View& a, const View& b) {
  if (a.rank != b.rank) return false;
  for (int d = 0; d < a.rank; ++d) {
    if (a.shape[d] != b.shape[d]) return false;
  }
  return true;
}

/** True when the view is dense and row-major. Dims of size 1 may have any stride. */
ATHANOR_INLINE bool isContiguous(const View& v) {
  int64_t expected = 1;
  for (int d = v.rank - 1; d >= 0; --d) {
    if (v.shape[d] != 1 && v.strides[d] != expected) return false;
    expected *= v.shape[d];
  }
  return true;
}

ATHANOR_INLINE int elementBytes(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    default:
      return 1;
  }
}

}  // namespace ATHANOR_ISA
}  // namespace athanor
