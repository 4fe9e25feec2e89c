// The executor's thread behind executor.h.
#include "executor.h"

#include <chrono>
#include <cstring>
#include <utility>

namespace athanor {
namespace {

using Clock = std::chrono::steady_clock;

double nanosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

constexpr double briefNanoseconds = 500e3;

/** Writes a view's elements row by row; only host copies of outputs come here, so a plain odometer will do. */
void copyDense(char* to, const View& from) {
  const size_t element = static_cast<size_t>(portable::elementBytes(from.dtype));
  if (from.size == 0) return;
  if (portable::isContiguous(from)) {
    std::memcpy(to, from.data, static_cast<size_t>(from.size) * element);
    return;
  }
  int64_t index[maxRank] = {};
  const char* source = static_cast<const char*>(from.data);
  for (int64_t i = 0; i < from.size; ++i) {
    std::memcpy(to, source, element);
    to += element;
    for (int d = from.rank - 1; d >= 0; --d) {
      const int64_t step = from.strides[d] * static_cast<int64_t>(element);
      source += step;
      if (++index[d] < from.shape[d]) break;
      source -= step * index[d];
      index[d] = 0;
    }
  }
}

const char* faultCode(Fault fault) {
  return fault == Fault::indexOutOfRange ? "run/index-out-of-range" : "internal/unknown-fault";
}

}  // namespace

Executor::Executor(int numThreads, std::function<void()> onFinished)
    : pool_(numThreads), onFinished_(std::move(onFinished)), thread_([this] { main(); }) {}

Executor::~Executor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  thread_.join();
}

void Executor::submit(Jobs jobs) noexcept {
  for (const Job& job : jobs) {
    for (const Entry& entry : job.entries) ++entry.program->store->runsInFlight;
  }
  {
    std::lock_guard lock(mutex_);
    queued_.fetch_add(static_cast<int>(jobs.size()));
    queue_.splice(queue_.end(), jobs);
  }
  work_.notify_one();
}

Jobs Executor::takeFinished() noexcept {
  Jobs taken;
  {
    std::lock_guard lock(mutex_);
    taken.swap(finished_);
  }
  for (const Job& job : taken) {
    for (const Entry& entry : job.entries) --entry.program->store->runsInFlight;
  }
  return taken;
}

/** Steps follow each other closely: look for the next one a while before sleeping. */
Jobs Executor::nextJob() {
  const auto end = Clock::now() + std::chrono::microseconds(200);
  while (queued_.load(std::memory_order_acquire) == 0 && !stopping_ && Clock::now() < end) Pool::pause();
  std::unique_lock lock(mutex_);
  work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  Jobs next;
  if (stopping_) return next;
  next.splice(next.end(), queue_, queue_.begin());
  queued_.fetch_sub(1);
  return next;
}

void Executor::main() {
  Pool::setFloatingPointPolicy();
  for (Jobs next; !(next = nextJob()).empty();) {
    run(next.front());
    {
      std::lock_guard lock(mutex_);
      finished_.splice(finished_.end(), next);
    }
    onFinished_();
  }
}

bool Executor::isBrief(const Job& job) {
  double sum = 0;
  for (const Entry& entry : job.entries) sum += entry.program->nanoseconds;
  return sum < briefNanoseconds;
}

void Executor::run(Job& job) noexcept {
  for (size_t i = 0; i < job.entries.size(); ++i) {
    try {
      const auto start = Clock::now();
      runProgram(job.entries[i], job.profile);
      job.entries[i].program->nanoseconds = nanosecondsSince(start);
    } catch (EngineError& error) {
      error.entry = static_cast<int64_t>(i);
      job.error = std::current_exception();
      return;
    } catch (...) {
      job.error = std::current_exception();
      return;
    }
  }
}

void Executor::runProgram(Entry& entry, bool profile) {
  Program& program = *entry.program;
  const std::shared_ptr<Scratch> scratch = program.store->scratch();
  if (scratch->arena.size() < program.arenaBytes || scratch->workspace.size() < program.workspaceBytes) {
    throw EngineError("engine/out-of-memory", "the arena could not be allocated");
  }
  program.bind(scratch->arena.data(), entry.staging.data());
  bool guardRead = program.guard < 0;
  const auto readGuard = [&] {
    if (guardRead) return;
    entry.committed = *static_cast<const uint8_t*>(program.outputViews[static_cast<size_t>(program.guard)].data) != 0;
    guardRead = true;
  };
  Status status;
  const auto runInstruction = [&](size_t i) {
    const Instruction& instruction = program.code[i];
    if (stopping_.load(std::memory_order_relaxed)) throw EngineError("engine/stopped", "the engine was stopped");
    if (instruction.commit) readGuard();
    if (instruction.commit && !entry.committed) return;
    const View* views = program.operands.data() + instruction.operands;
    const Call call{views,
                    instruction.numIn,
                    views + instruction.numIn,
                    instruction.numOut,
                    program.params.data() + instruction.params,
                    instruction.numParams,
                    &pool_,
                    scratch->workspace.data(),
                    &status};
    if (profile) {
      const auto start = Clock::now();
      instruction.kernel->run(call);
      entry.profile[i] += nanosecondsSince(start);
    } else {
      instruction.kernel->run(call);
    }
    Fault fault;
    int64_t value;
    if (status.reported(&fault, &value)) {
      EngineError error(faultCode(fault), "a value was out of range");
      error.atInstruction(static_cast<int64_t>(i), instruction.node, instruction.kernel->name);
      error.value = value;
      error.hasValue = true;
      throw error;
    }
  };
  size_t next = 0;
  for (const Loop& loop : program.loops) {
    const size_t first = static_cast<size_t>(loop.first);
    const size_t end = first + static_cast<size_t>(loop.count);
    for (; next < first; ++next) runInstruction(next);
    for (int64_t turn = 0; turn < loop.turns; ++turn) {
      program.moveTo(loop, turn);
      for (next = first; next < end; ++next) runInstruction(next);
    }
  }
  for (; next < program.code.size(); ++next) runInstruction(next);
  readGuard();
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    copyDense(entry.staging.data() + program.outputs[i].offset, program.outputViews[i]);
  }
}

}  // namespace athanor
