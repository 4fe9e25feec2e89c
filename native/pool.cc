// The thread pool behind pool.h. The protocol lives in one word:
//
//   state = sequence << 17 | inside << 1 | open
//
// A loop opens under a new sequence number. A worker enters by adding itself to `inside` with a compare-and-swap that
// only succeeds while that same loop is open, so the loop's fields are never read after the caller has moved on. The
// caller works too, closes the loop, and waits for the workers inside, not for those that never came.
#include "pool.h"

#include <atomic>
#include <cfenv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace athanor {
namespace {

constexpr uint64_t open = 1;
constexpr uint64_t oneInside = 2;
constexpr uint64_t insideMask = 0x1fffe;
constexpr int sequenceShift = 17;
constexpr auto spinTime = std::chrono::microseconds(200);

/** Spins until `ready()` or until the time is over; says which. */
template <class Ready>
bool spinUntil(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + spinTime;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      Pool::pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

struct Pool::Shared {
  alignas(64) std::atomic<uint64_t> state{0};
  alignas(64) std::atomic<int64_t> nextChunk{0};
  alignas(64) LoopBody body = nullptr;
  const void* context = nullptr;
  int64_t numChunks = 0;
  std::atomic<bool> stopping{false};
  std::atomic<int> sleepingWorkers{0};
  std::atomic<bool> callerSleeps{false};
  std::mutex mutex;
  std::condition_variable work;  // for workers: a loop has opened, or the pool stops
  std::condition_variable done;  // for the caller: the last worker has left
  std::vector<std::thread> threads;

  void runChunks(int thread) {
    for (int64_t chunk; (chunk = nextChunk.fetch_add(1, std::memory_order_relaxed)) < numChunks;) {
      body(context, chunk, thread);
    }
  }

  void workerMain(int thread) {
    setFloatingPointPolicy();
    uint64_t lastSequence = 0;
    const auto somethingToDo = [&] {
      if (stopping.load(std::memory_order_acquire)) return true;
      const uint64_t s = state.load(std::memory_order_seq_cst);
      return (s & open) != 0 && s >> sequenceShift != lastSequence;
    };
    while (true) {
      if (!spinUntil(somethingToDo)) {
        std::unique_lock lock(mutex);
        sleepingWorkers.fetch_add(1, std::memory_order_seq_cst);
        work.wait(lock, somethingToDo);
        sleepingWorkers.fetch_sub(1, std::memory_order_seq_cst);
      }
      if (stopping.load(std::memory_order_acquire)) return;
      uint64_t s = state.load(std::memory_order_acquire);
      if ((s & open) == 0 || s >> sequenceShift == lastSequence) continue;
      if (!state.compare_exchange_strong(s, s + oneInside, std::memory_order_acq_rel)) continue;
      lastSequence = s >> sequenceShift;
      runChunks(thread);
      state.fetch_sub(oneInside, std::memory_order_seq_cst);
      if (callerSleeps.load(std::memory_order_seq_cst)) {
        std::lock_guard lock(mutex);
        done.notify_one();
      }
    }
  }

  void stop() {
    {
      std::lock_guard lock(mutex);
      stopping.store(true, std::memory_order_release);
    }
    work.notify_all();
    for (std::thread& thread : threads) thread.join();
  }
};

Pool::Pool(int numThreads) : shared_(new Shared), numThreads_(numThreads < 1 ? 1 : numThreads) {
  try {
    for (int i = 1; i < numThreads_; ++i) {
      shared_->threads.emplace_back([shared = shared_, i] { shared->workerMain(i); });
    }
  } catch (...) {
    shared_->stop();
    delete shared_;
    throw;
  }
}

Pool::~Pool() {
  shared_->stop();
  delete shared_;
}

void Pool::loop(int64_t numChunks, LoopBody body, const void* context) {
  if (numThreads_ == 1 || numChunks <= 1) {
    for (int64_t chunk = 0; chunk < numChunks; ++chunk) body(context, chunk, 0);
    return;
  }
  Shared& s = *shared_;
  s.body = body;
  s.context = context;
  s.numChunks = numChunks;
  s.nextChunk.store(0, std::memory_order_relaxed);
  const uint64_t sequence = (s.state.load(std::memory_order_relaxed) >> sequenceShift) + 1;
  s.state.store(sequence << sequenceShift | open, std::memory_order_seq_cst);
  if (s.sleepingWorkers.load(std::memory_order_seq_cst) > 0) {
    { std::lock_guard lock(s.mutex); }  // a worker between its last look and its sleep holds this
    s.work.notify_all();
  }
  s.runChunks(0);
  s.state.fetch_and(~open, std::memory_order_acq_rel);
  const auto allLeft = [&s] { return (s.state.load(std::memory_order_seq_cst) & insideMask) == 0; };
  if (spinUntil(allLeft)) return;
  std::unique_lock lock(s.mutex);
  s.callerSleeps.store(true, std::memory_order_seq_cst);
  s.done.wait(lock, allLeft);
  s.callerSleeps.store(false, std::memory_order_relaxed);
}

void Pool::setFloatingPointPolicy() { std::fesetenv(FE_DFL_ENV); }

void Pool::pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace athanor
