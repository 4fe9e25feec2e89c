// The registry behind registry.h. Compiled for the baseline processor: it runs before any dispatch.
#include "registry.h"

#include <atomic>
#include <map>
#include <string_view>

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace athanor {
namespace {

constexpr int numIsas = 4;

using Table = std::map<std::string_view, const Kernel*>;

/** A function-local static: kernel files register before this file's own globals would exist. */
Table& table(Isa isa) {
  static Table* tables = new Table[numIsas];  // never freed: a thread may still run while the process exits
  return tables[static_cast<int>(isa)];
}

struct Cpu {
  bool avx2 = false, fma = false, f16c = false;
  bool avx512f = false, avx512bw = false, avx512dq = false, avx512vl = false, avx512bf16 = false;
};

#if defined(__x86_64__) || defined(_M_X64)
void cpuid(unsigned leaf, unsigned subleaf, unsigned out[4]) {
#if defined(_MSC_VER)
  __cpuidex(reinterpret_cast<int*>(out), static_cast<int>(leaf), static_cast<int>(subleaf));
#else
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
#endif
}

/** Which register files the operating system saves. A processor's word alone is not enough. */
uint64_t enabledStates() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
#endif
}

Cpu detect() {
  Cpu cpu;
  unsigned r[4];
  cpuid(0, 0, r);
  const unsigned maxLeaf = r[0];
  cpuid(1, 0, r);
  const unsigned ecx1 = r[2];
  if (maxLeaf < 7 || (ecx1 >> 27 & 1) == 0) return cpu;  // no OSXSAVE: xgetbv would fault
  const uint64_t states = enabledStates();
  if ((states & 0x6) != 0x6) return cpu;  // xmm and ymm
  cpuid(7, 0, r);
  const unsigned ebx7 = r[1];
  const unsigned maxSubleaf = r[0];
  cpu.fma = ecx1 >> 12 & 1;
  cpu.f16c = ecx1 >> 29 & 1;
  cpu.avx2 = ebx7 >> 5 & 1;
  if ((states & 0xe6) != 0xe6) return cpu;  // zmm and mask registers
  cpu.avx512f = ebx7 >> 16 & 1;
  cpu.avx512dq = ebx7 >> 17 & 1;
  cpu.avx512bw = ebx7 >> 30 & 1;
  cpu.avx512vl = ebx7 >> 31 & 1;
  if (maxSubleaf >= 1) {
    cpuid(7, 1, r);
    cpu.avx512bf16 = r[0] >> 5 & 1;
  }
  return cpu;
}
#else
Cpu detect() { return {}; }
#endif

const Cpu& cpu() {
  static const Cpu detected = detect();
  return detected;
}

}  // namespace

void registerKernel(Isa isa, const Kernel* kernel) { table(isa).emplace(kernel->name, kernel); }

void Status::report(Fault fault, int64_t value) {
  // indices are int32; anything else is clamped, which keeps it visibly absurd
  const int64_t clamped = value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : value;
  const uint64_t mine = static_cast<uint64_t>(fault) << 32 | static_cast<uint32_t>(clamped - INT32_MIN);
  std::atomic_ref<uint64_t> shared(word_);
  uint64_t seen = shared.load(std::memory_order_relaxed);
  while (mine < seen && !shared.compare_exchange_weak(seen, mine, std::memory_order_relaxed)) {
  }
}

bool Status::reported(Fault* fault, int64_t* value) const {
  if (word_ == ~uint64_t{0}) return false;
  *fault = static_cast<Fault>(word_ >> 32);
  *value = static_cast<int64_t>(word_ & 0xffffffffu) + INT32_MIN;
  return true;
}

Isa bestIsa() {
  const Cpu& c = cpu();
  const bool avx2 = c.avx2 && c.fma && c.f16c;
  if (!avx2) return Isa::portable;
  if (!(c.avx512f && c.avx512bw && c.avx512dq && c.avx512vl)) return Isa::avx2;
  return c.avx512bf16 ? Isa::avx512bf16 : Isa::avx512;
}

const char* isaName(Isa isa) {
  constexpr const char* names[numIsas] = {"portable", "avx2", "avx512", "avx512bf16"};
  return names[static_cast<int>(isa)];
}

bool isaFromName(std::string_view name, Isa* isa) {
  for (int i = 0; i < numIsas; ++i) {
    if (name != isaName(static_cast<Isa>(i))) continue;
    *isa = static_cast<Isa>(i);
    return true;
  }
  return false;
}

std::vector<std::string> cpuFeatures() {
  const Cpu& c = cpu();
  std::vector<std::string> names;
  const auto add = [&](bool has, const char* name) {
    if (has) names.emplace_back(name);
  };
  add(c.avx2, "avx2");
  add(c.fma, "fma");
  add(c.f16c, "f16c");
  add(c.avx512f, "avx512f");
  add(c.avx512bw, "avx512bw");
  add(c.avx512dq, "avx512dq");
  add(c.avx512vl, "avx512vl");
  add(c.avx512bf16, "avx512bf16");
  return names;
}

const Kernel* findKernel(std::string_view name, Isa isa) {
  for (int i = static_cast<int>(isa); i >= 0; --i) {
    const Table& kernels = table(static_cast<Isa>(i));
    if (const auto found = kernels.find(name); found != kernels.end()) return found->second;
  }
  return nullptr;
}

std::vector<std::string> kernelNames() {
  std::map<std::string_view, bool> names;
  for (int i = 0; i < numIsas; ++i) {
    for (const auto& [name, kernel] : table(static_cast<Isa>(i))) names.emplace(name, true);
  }
  std::vector<std::string> sorted;
  for (const auto& [name, _] : names) sorted.emplace_back(name);
  return sorted;
}

}  // namespace athanor
