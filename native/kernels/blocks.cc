// quantizeBlocks and dequantizeBlocks: eight-bit codes with one scale per 256 numbers. The map of codes is that of
// src/core/ops/blocks.ts (Dettmers et al. 2021); a table over the upper bits of a float finds the nearest one.
#include "../codebook.h"
#include "../kernel.h"
#include "../rows.h"
#include "../simd.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int64_t blockSize = 256;
constexpr int64_t blocksPerChunk = 64;

constexpr uint32_t one = 0x3F800000;       // 1.0f
constexpr uint32_t smallest = 0x34000000;  // 2⁻²³, below half of the smallest size
constexpr int sliceBits = 16;              // what a slice leaves out: one limit at most lies inside of one
constexpr int numSlices = static_cast<int>((one - smallest) >> sliceBits) + 1;

/** The sizes that codes stand for, and what lies between them. */
struct Codebook {
  TreeSizes sizes;
  float limits[257];          // above limits[k] lies size k + 1
  uint8_t first[numSlices];   // limits below a slice

  constexpr explicit Codebook(bool isSigned) : sizes(isSigned), limits{}, first{} {
    for (int k = 0; k < 257; ++k)
      limits[k] = k + 1 < sizes.count ? static_cast<float>((static_cast<double>(sizes.at[k]) + sizes.at[k + 1]) / 2) : 2.0f;
    int below = 0;
    for (int slice = 0; slice < numSlices; ++slice) {
      const float edge = __builtin_bit_cast(float, smallest + (static_cast<uint32_t>(slice) << sliceBits));
      while (limits[below] < edge) ++below;
      first[slice] = static_cast<uint8_t>(below);
    }
  }

  /** The number of the size nearest to `x`, from 0 to 1. */
  int nearest(float x) const {
    const uint32_t bits = maxOf(__builtin_bit_cast(uint32_t, x), smallest) - smallest;
    const int k = first[bits >> sliceBits];
    return k + static_cast<int>(limits[k] < x);
  }
};

constexpr Codebook ofSigned(true), ofUnsigned(false);

bool isCodes(const View& view) { return view.dtype == DType::u8 && isInnerDense(view, view.rank) && !repeats(view); }
bool isDense(const View& view) { return isFloat(view) && isInnerDense(view, view.rank) && !repeats(view); }

const char* checkPair(const View& values, const View& codes, const View& scales) {
  if (!isDense(values) || !isCodes(codes) || !isDense(scales)) return "numbers and scales must be dense f32, codes dense u8";
  if (!sameShape(values, codes)) return "numbers and codes must have one shape";
  return scales.size == ceilDiv(values.size, blockSize) ? nullptr : "there must be one scale per 256 numbers";
}

/** `body(block, start, count)` for every block. */
template <class Body>
ATHANOR_INLINE void forBlocks(const Call& call, int64_t size, const Body& body) {
  const int64_t blocks = ceilDiv(size, blockSize);
  call.pool->parallelFor(ceilDiv(blocks, blocksPerChunk), [&](int64_t chunk, int) {
    const int64_t end = minOf((chunk + 1) * blocksPerChunk, blocks);
    for (int64_t block = chunk * blocksPerChunk; block < end; ++block)
      body(block, block * blockSize, minOf(blockSize, size - block * blockSize));
  });
}

// quantizeBlocks: x -> codes, scales. params: signed

const char* checkQuantize(const Call& call) {
  if (call.numIn != 1 || call.numOut != 2 || call.numParams != 1) return "quantizeBlocks needs x and signed, and gives codes and scales";
  return checkPair(call.in[0], call.out[0], call.out[1]);
}

/** The largest |x|; not finite where one of them is not. */
float largest(const float* x, int64_t count) {
  V most = zero(), fault = zero();
  forEachVector(count, [&](int64_t i, auto lanes) {
    const V value = load(x + i, lanes);
    most = max(max(value, zero() - value), most);
    fault = fma(value, zero(), fault);
  });
  return reduceMax(most) + reduceAdd(fault);
}

template <bool isSigned>
void quantize(const Call& call) {
  const float* x = floats(call.in[0]);
  auto* codes = static_cast<uint8_t*>(call.out[0].data);
  float* scales = floats(call.out[1]);
  forBlocks(call, call.in[0].size, [=](int64_t block, int64_t start, int64_t count) {
    const float scale = scales[block] = largest(x + start, count);
    float shares[blockSize];
    const bool isUsable = scale > 0 && scale <= __FLT_MAX__;
    forEachVector(count, [&](int64_t i, auto lanes) {
      store(shares + i, isUsable ? load(x + start + i, lanes) / set(scale) : zero(), lanes);
    });
    for (int64_t i = 0; i < count; ++i) {
      const float share = shares[i];
      if (isSigned) {  // without a branch: signs are not to be foreseen
        const int below = static_cast<int>(__builtin_bit_cast(uint32_t, share) >> 31);
        const int k = minOf(ofSigned.nearest(__builtin_fabsf(share)), 128 - below);
        codes[start + i] = static_cast<uint8_t>(127 + (k ^ -below) + below);
      } else {
        // what is above 0 stays so
        codes[start + i] = static_cast<uint8_t>(maxOf(ofUnsigned.nearest(maxOf(share, 0.0f)), static_cast<int>(share > 0)));
      }
    }
  });
}

void runQuantize(const Call& call) { call.params[0] != 0 ? quantize<true>(call) : quantize<false>(call); }

// dequantizeBlocks: codes, scales -> y. params: signed

const char* checkDequantize(const Call& call) {
  if (call.numIn != 2 || call.numOut != 1 || call.numParams != 1) return "dequantizeBlocks needs codes, scales and signed, and gives y";
  return checkPair(call.out[0], call.in[0], call.in[1]);
}

void runDequantize(const Call& call) {
  const auto* codes = static_cast<const uint8_t*>(call.in[0].data);
  const float* scales = floats(call.in[1]);
  float* y = floats(call.out[0]);
  float sizes[256];
  for (int code = 0; code < 256; ++code) {
    sizes[code] = call.params[0] == 0 ? ofUnsigned.sizes.at[code] : ofSigned.sizes.ofSigned(code);
  }
  forBlocks(call, call.out[0].size, [&](int64_t block, int64_t start, int64_t count) {
    for (int64_t i = start; i < start + count; ++i) y[i] = sizes[codes[i]] * scales[block];
  });
}

constexpr Kernel quantizeBlocks{"quantizeBlocks", checkQuantize, nullptr, runQuantize};
constexpr Kernel dequantizeBlocks{"dequantizeBlocks", checkDequantize, nullptr, runDequantize};
const RegisterKernel registerQuantize(quantizeBlocks), registerDequantize(dequantizeBlocks);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
