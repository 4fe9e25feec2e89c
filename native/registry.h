// Finds kernels by name and knows what the processor can run. Not the kernels themselves.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel.h"

namespace athanor {

/** The best path this processor and operating system can run. */
Isa bestIsa();

const char* isaName(Isa isa);
/** False when the name is none of avx512bf16, avx512, avx2, portable. */
bool isaFromName(std::string_view name, Isa* isa);

/** What the processor says it has, of the features that the engine looks at. */
std::vector<std::string> cpuFeatures();

/** The kernel for `isa`, or the next lower path that has it; nullptr when the name is unknown. */
const Kernel* findKernel(std::string_view name, Isa isa);

/** Sorted, each once. */
std::vector<std::string> kernelNames();

}  // namespace athanor
