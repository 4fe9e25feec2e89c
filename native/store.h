// Named variables: what outlives a program's run. Also the scratch memory that the programs of one store share.
// Not thread-safe by itself: the owner calls from one thread, and reads or writes values only while nothing runs.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernel.h"
#include "memory.h"

namespace athanor {

struct VariableSpec {
  std::string name;
  DType dtype;
  int rank;
  int64_t shape[maxRank];
};

struct Variable {
  VariableSpec spec;
  char* data;
  size_t bytes;
};

/** One run's temporary memory: the arena of the plan and the kernels' workspace. */
struct Scratch {
  Block arena;
  Block workspace;
};

class Store {
 public:
  explicit Store(std::shared_ptr<MemoryCounter> counter) : counter_(std::move(counter)) {}

  /** Allocates one zeroed block for all of them, or throws and changes nothing. Returns the block's bytes. */
  size_t declare(const std::vector<VariableSpec>& specs);

  /** nullptr when there is none of this name. */
  const Variable* find(const std::string& name) const;
  const std::map<std::string, Variable>& variables() const { return variables_; }

  /** Makes the scratch at least this large. A run under way keeps the one it has. */
  void reserveScratch(size_t arenaBytes, size_t workspaceBytes);
  std::shared_ptr<Scratch> scratch() const;
  int64_t scratchBytes() const;

  std::atomic<int> runsInFlight{0};  // submitted and not yet taken back; only then may values be read or written

 private:
  std::shared_ptr<MemoryCounter> counter_;
  std::map<std::string, Variable> variables_;
  std::vector<Block> blocks_;
  mutable std::mutex scratchMutex_;
  std::shared_ptr<Scratch> scratch_ = std::make_shared<Scratch>();
};

}  // namespace athanor
