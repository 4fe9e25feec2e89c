// Runs jobs, one after the other, on the engine's own threads. Knows nothing of JavaScript.
//
// A job is a list of programs with their feeds, run in order with nothing between them: n times `accumulate`, then
// `update`. Feeds were copied before; outputs are copied out right after their program, because the next one reuses
// the arena. A fault ends the job; nothing of it commits from there on. A job that is briefer than its way to another
// thread and back may run on the caller's.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "error.h"
#include "pool.h"
#include "program.h"

namespace athanor {

struct Entry {
  std::shared_ptr<Program> program;
  Block staging;  // feeds, then outputs
  bool committed = true;
  std::vector<double> profile;  // nanoseconds of each instruction, when asked for
};

struct Job {
  uint64_t id = 0;
  std::vector<Entry> entries;
  bool profile = false;
  std::exception_ptr error;
};

/** Jobs go from list to list in the nodes that they were made in, so that only who makes one can run out of memory. */
using Jobs = std::list<Job>;

class Executor {
 public:
  /** `onFinished` is called from the executor's thread after each job. Throws when threads cannot be made. */
  Executor(int numThreads, std::function<void()> onFinished);
  /** Stops after the instruction under way, drops what is queued, joins the threads. */
  ~Executor();

  int numThreads() const { return pool_.numThreads(); }

  /** Each store of a job counts as in use until `takeFinished` has returned the job. Both from one thread. */
  void submit(Jobs jobs) noexcept;
  Jobs takeFinished() noexcept;

  /** True when every program of the job was done in so little time, when it ran last, that waiting for it is cheapest. */
  static bool isBrief(const Job& job);
  /** Runs a job now; what goes wrong is its `error`. From the thread that submits, while nothing that was submitted is still to be taken back. */
  void run(Job& job) noexcept;

 private:
  void main();
  Jobs nextJob();
  void runProgram(Entry& entry, bool profile);

  Pool pool_;
  std::function<void()> onFinished_;
  std::mutex mutex_;
  std::condition_variable work_;
  Jobs queue_;
  Jobs finished_;
  std::atomic<int> queued_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;  // last: it uses everything above
};

}  // namespace athanor
