// The variables behind store.h.
#include "store.h"

#include "error.h"
#include "shape.h"

namespace athanor {

size_t Store::declare(const std::vector<VariableSpec>& specs) {
  std::map<std::string, Variable> added;
  size_t total = 0;
  for (const VariableSpec& spec : specs) {
    int64_t elements = 0;
    if (spec.rank < 0 || spec.rank > maxRank || !countElements(spec.shape, spec.rank, &elements)) {
      throw EngineError("store/shape", "variable '" + spec.name + "' has an impossible shape");
    }
    const size_t bytes = static_cast<size_t>(elements) * static_cast<size_t>(portable::elementBytes(spec.dtype));
    // while there is no block yet, `data` holds the offset in it
    Variable variable{spec, reinterpret_cast<char*>(total), bytes};
    if (variables_.count(spec.name) > 0 || !added.emplace(spec.name, variable).second) {
      throw EngineError("store/declared-twice", "variable '" + spec.name + "' is already declared");
    }
    total += (bytes + 63) / 64 * 64;  // cannot overflow: each is below 2^46, and a list longer than 2^17 names is refused
    if (total > size_t{1} << 46) throw EngineError("engine/out-of-memory", "the variables exceed 2^46 bytes");
  }
  Block block(total, counter_);
  for (auto& [name, variable] : added) variable.data = block.data() + reinterpret_cast<size_t>(variable.data);
  blocks_.push_back(std::move(block));
  variables_.merge(added);
  return total;
}

const Variable* Store::find(const std::string& name) const {
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &found->second;
}

void Store::reserveScratch(size_t arenaBytes, size_t workspaceBytes) {
  std::lock_guard lock(scratchMutex_);
  const size_t oldArena = scratch_->arena.size();
  const size_t oldWorkspace = scratch_->workspace.size();
  if (arenaBytes <= oldArena && workspaceBytes <= oldWorkspace) return;
  const size_t arena = arenaBytes > oldArena ? arenaBytes : oldArena;
  const size_t workspace = workspaceBytes > oldWorkspace ? workspaceBytes : oldWorkspace;
  const auto make = [this](size_t arenaSize, size_t workspaceSize) {
    auto made = std::make_shared<Scratch>();
    made->arena = Block(arenaSize, counter_);
    made->workspace = Block(workspaceSize, counter_);
    return made;
  };
  // give the old memory back first, so that the sum of both is never held; nothing in it outlives a run
  scratch_ = std::make_shared<Scratch>();
  try {
    scratch_ = make(arena, workspace);
  } catch (...) {
    try {
      scratch_ = make(oldArena, oldWorkspace);
    } catch (...) {  // the programs loaded so far find a scratch that is too small, and say so when run
    }
    throw;
  }
}

int64_t Store::scratchBytes() const {
  const std::shared_ptr<Scratch> held = scratch();
  return static_cast<int64_t>(held->arena.size() + held->workspace.size());
}

std::shared_ptr<Scratch> Store::scratch() const {
  std::lock_guard lock(scratchMutex_);
  return scratch_;
}

}  // namespace athanor
