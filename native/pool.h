// The engine's own threads: one deterministic parallel loop. Not a task scheduler, no nesting, no futures.
//
// The caller is thread 0. Chunks are handed out by one atomic counter; which thread takes a chunk never changes a
// result, because kernels cut chunks from the problem's size only. The caller never waits for a worker that has not
// entered the loop (a descheduled worker costs nothing). Idle threads spin for about 0.2 ms, then sleep.
#pragma once

#include <cstdint>

namespace athanor {

class Pool {
 public:
  /** `numThreads` counts the caller. Throws std::system_error when the system refuses a thread. */
  explicit Pool(int numThreads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int numThreads() const { return numThreads_; }

  /**
   * Calls `body(chunk, thread)` once for every chunk in [0, numChunks); returns when all are done. `thread` is in
   * [0, numThreads()) and no two calls at one time share it. Calls of `parallelFor` must come from one thread at a
   * time and must not nest.
   */
  template <class Body>
  void parallelFor(int64_t numChunks, const Body& body) {
    loop(
        numChunks,
        [](const void* context, int64_t chunk, int thread) { (*static_cast<const Body*>(context))(chunk, thread); },
        &body);
  }

  using LoopBody = void (*)(const void* context, int64_t chunk, int thread);
  void loop(int64_t numChunks, LoopBody body, const void* context);

  /** One floating-point policy for every thread that computes: round to nearest, subnormals kept. */
  static void setFloatingPointPolicy();
  /** Tells the processor that this thread spins. */
  static void pause();

 private:
  struct Shared;
  Shared* shared_;
  int numThreads_;
};

}  // namespace athanor
