// How the engine says no: a stable code and the facts. TypeScript writes the sentence.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace athanor {

class EngineError : public std::runtime_error {
 public:
  EngineError(std::string code, const std::string& what) : std::runtime_error(what), code(std::move(code)) {}

  EngineError& atInstruction(int64_t index, int64_t graphNode, std::string kernelName) {
    instruction = index;
    node = graphNode;
    kernel = std::move(kernelName);
    return *this;
  }

  std::string code;
  std::string kernel;        // empty = not about one kernel
  int64_t instruction = -1;  // -1 = not about one instruction
  int64_t node = -1;
  int64_t entry = -1;  // which program of a run's list
  int64_t value = 0;   // the offending value of a run-time fault
  bool hasValue = false;
};

}  // namespace athanor
