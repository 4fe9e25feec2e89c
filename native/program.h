// A plan, decoded and proved safe to run: after `Program` is constructed, no instruction can touch a byte outside its
// blocks, whatever the plan's bytes were. Not the running of it (executor.h). The encoding is src/compiler/encode.ts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel.h"
#include "memory.h"
#include "store.h"

namespace athanor {

enum class Space : uint8_t { arena, variable, feed, constant };

/** Where a view's bytes are; the address is known when the program runs. */
struct Place {
  Space space;
  int32_t index;  // of variable or feed
  int64_t offset;
  int64_t step;  // bytes that it moves by from turn to turn of its loop
};

/** `count` instructions from `first` on run `turns` times; of their operands, `numMoving` from `moving` on move. */
struct Loop {
  int64_t first;
  int64_t count;
  int64_t turns;
  size_t moving;
  size_t numMoving;
};

/** An operand that moves, and where it is in the first turn. */
struct Moving {
  int32_t operand;
  char* base;
};

struct Instruction {
  const Kernel* kernel;
  int32_t operands;  // first of numIn + numOut entries in Program::operands
  int32_t numIn;
  int32_t numOut;
  int32_t params;
  int32_t numParams;
  int64_t node;
  bool commit;
};

/** Feeds lie one after the other, each 64-byte aligned, in one staging block; so do outputs, behind them. */
struct Slot {
  DType dtype;
  int64_t bytes;
  int64_t offset;
};

struct PlanSource {
  std::vector<int64_t> words;
  std::vector<std::string> kernelNames;
  std::vector<std::string> variableNames;
  std::vector<std::string> feedNames;
};

class Program {
 public:
  /** Validates; throws EngineError `plan/...`. With a null store only what needs no memory is checked. */
  Program(const PlanSource& source, Isa isa, int numThreads, std::shared_ptr<Store> store,
          const std::shared_ptr<MemoryCounter>& counter);

  size_t arenaBytes = 0;
  size_t workspaceBytes = 0;
  size_t stagingBytes = 0;
  std::vector<Slot> feeds;
  std::vector<Slot> outputs;
  std::vector<std::string> feedNames;
  std::shared_ptr<Store> store;

  /** Staging blocks of finished runs, for the next ones: in the steady state a run allocates none. */
  std::vector<Block> idleStaging;
  Block takeStaging(const std::shared_ptr<MemoryCounter>& counter);

  // the rest belongs to the thread that runs
  double nanoseconds = 1e18;  // of the last run
  std::vector<Instruction> code;
  std::vector<double> params;
  std::vector<View> operands;  // by instruction: inputs, then outputs
  std::vector<Place> places;   // of each operand
  std::vector<Loop> loops;     // in order, apart
  std::vector<Moving> moving;
  std::vector<View> outputViews;
  std::vector<Place> outputPlaces;
  int64_t guard = -1;  // its index in outputViews, behind the outputs; -1 = every commit is made

  /** Puts what moves in a loop where it is in a turn. */
  void moveTo(const Loop& loop, int64_t turn);

  /** Writes the addresses into `operands` for this arena and staging block. Cheap when neither changed. */
  void bind(char* arena, char* staging);

 private:
  char* address(const Place& place, char* arena, char* staging) const;
  std::vector<char*> variableData_;
  Block constants_;
  bool bound_ = false;
  const char* boundArena_ = nullptr;
  const char* boundStaging_ = nullptr;
};

}  // namespace athanor
