// The pool, the executor and the store as a plain C++ program, so that a thread sanitizer can watch them. Not the kernels'
// own tests, and nothing of JavaScript. Exits 1 at the first thing that is wrong.
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "../executor.h"
#include "../registry.h"

namespace athanor {
namespace {

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "executor_test: %s\n", what);
  std::exit(1);
}

constexpr int64_t rows = 64, depth = 96, columns = 80;

/** Writes a plan word by word, in the order that program.h reads it. */
class PlanWriter {
 public:
  int64_t tensor(Space space, int64_t offset, DType dtype, std::vector<int64_t> shape) {
    std::vector<int64_t> words{static_cast<int64_t>(space), 0, offset, static_cast<int64_t>(dtype),
                               static_cast<int64_t>(shape.size()), 0};
    appendShape(&words, shape);
    int64_t stride = 1;
    std::vector<int64_t> strides(8);
    for (size_t d = shape.size(); d-- > 0; stride *= shape[d]) strides[d] = stride;
    words.insert(words.end(), strides.begin(), strides.end());
    tensors_.insert(tensors_.end(), words.begin(), words.end());
    return numTensors_++;
  }
  void instruction(int64_t kernel, const std::vector<int64_t>& inputs, const std::vector<int64_t>& outputs,
                   const std::vector<double>& params, bool commit = false) {
    const auto range = [this](const std::vector<int64_t>& list) {
      code_.push_back(static_cast<int64_t>(operands_.size()));
      code_.push_back(static_cast<int64_t>(list.size()));
      operands_.insert(operands_.end(), list.begin(), list.end());
    };
    code_.push_back(kernel);
    range(inputs);
    range(outputs);
    code_.push_back(static_cast<int64_t>(params_.size()));
    code_.push_back(static_cast<int64_t>(params.size()));
    for (const double param : params) {
      int64_t word;
      std::memcpy(&word, &param, sizeof word);
      params_.push_back(word);
    }
    code_.push_back(numCode_++ << 1 | (commit ? 1 : 0));
  }
  /** One variable, one or two feeds. */
  std::vector<int64_t> finish(int64_t arenaBytes, int64_t output, int64_t guard, std::vector<int64_t> variable,
                              const std::vector<std::pair<DType, std::vector<int64_t>>>& feeds) const {
    std::vector<int64_t> words{0x4154484E,
                               1,
                               numTensors_,
                               numCode_,
                               static_cast<int64_t>(operands_.size()),
                               static_cast<int64_t>(params_.size()),
                               arenaBytes,
                               0,
                               1,
                               static_cast<int64_t>(feeds.size()),
                               1,
                               guard,
                               0,
                               0,
                               0,
                               0};
    for (const auto* part : {&tensors_, &code_, &operands_, &params_}) {
      words.insert(words.end(), part->begin(), part->end());
    }
    words.push_back(output);
    signature(&words, DType::f32, variable);
    for (const auto& [dtype, shape] : feeds) signature(&words, dtype, shape);
    return words;
  }

 private:
  static void appendShape(std::vector<int64_t>* words, std::vector<int64_t> shape) {
    shape.resize(8);
    words->insert(words->end(), shape.begin(), shape.end());
  }
  static void signature(std::vector<int64_t>* words, DType dtype, const std::vector<int64_t>& shape) {
    words->push_back(static_cast<int64_t>(dtype));
    words->push_back(static_cast<int64_t>(shape.size()));
    appendShape(words, shape);
  }
  int64_t numTensors_ = 0, numCode_ = 0;
  std::vector<int64_t> tensors_, code_, operands_, params_;
};

/** w := w + a·b under a guard that is fed; the output is the sum of squares of w afterwards. */
PlanSource accumulatingPlan() {
  PlanWriter plan;
  const int64_t a = plan.tensor(Space::arena, 0, DType::f32, {rows, depth});
  const int64_t b = plan.tensor(Space::arena, rows * depth * 4, DType::f32, {depth, columns});
  const int64_t w = plan.tensor(Space::variable, 0, DType::f32, {rows, columns});
  const int64_t guard = plan.tensor(Space::feed, 0, DType::bool_, {});
  const int64_t offset = (rows * depth + depth * columns) * 4;
  const int64_t sum = plan.tensor(Space::arena, offset, DType::f32, {});
  plan.instruction(0, {}, {a}, {0.5});
  plan.instruction(0, {}, {b}, {0.25});
  plan.instruction(1, {a, b}, {w}, {0, 0, 1}, true);
  plan.instruction(2, {w}, {sum}, {});
  return {plan.finish(offset + 64, sum, guard, {rows, columns}, {{DType::bool_, {}}}),
          {"fill", "matmul", "sumSquares"},
          {"w"},
          {"go"}};
}

struct Engine {
  explicit Engine(int numThreads)
      : store(std::make_shared<Store>(counter)), executor(numThreads, [this] { notified = true; }) {
    store->declare({{"w", DType::f32, 2, {rows, columns}}});
    program = std::make_shared<Program>(accumulatingPlan(), bestIsa(), numThreads, store, counter);
  }

  Jobs makeJob(int numEntries, bool go) {
    Jobs jobs(1);
    Job& job = jobs.front();
    job.id = ++submitted;
    for (int i = 0; i < numEntries; ++i) {
      Entry entry;
      entry.program = program;
      entry.staging = program->takeStaging(counter);
      entry.staging.data()[program->feeds[0].offset] = go ? 1 : 0;
      job.entries.push_back(std::move(entry));
    }
    return jobs;
  }

  void submit(int numEntries, bool go) { executor.submit(makeJob(numEntries, go)); }

  Jobs finish(size_t numJobs) {
    Jobs all;
    while (all.size() < numJobs) {
      all.splice(all.end(), executor.takeFinished());
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return all;
  }

  float output(const Job& job, size_t entry) const {
    float value;
    std::memcpy(&value, job.entries[entry].staging.data() + program->outputs[0].offset, sizeof value);
    return value;
  }

  std::shared_ptr<MemoryCounter> counter = std::make_shared<MemoryCounter>();
  std::shared_ptr<Store> store;
  std::shared_ptr<Program> program;
  std::atomic<bool> notified{false};
  uint64_t submitted = 0;
  Executor executor;  // last: its thread uses everything above
};

void testPool(int numThreads) {
  Pool pool(numThreads);
  for (int round = 0; round < 2000; ++round) {
    const int64_t numChunks = round % 40;
    std::vector<int> calls(static_cast<size_t>(numChunks), 0);
    std::vector<std::atomic<int>> inside(static_cast<size_t>(numThreads));
    pool.parallelFor(numChunks, [&](int64_t chunk, int thread) {
      expect(inside[static_cast<size_t>(thread)].fetch_add(1) == 0, "two calls share a thread number");
      calls[static_cast<size_t>(chunk)] += 1;
      inside[static_cast<size_t>(thread)].fetch_sub(1);
    });
    for (const int count : calls) expect(count == 1, "a chunk did not run exactly once");
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // let the workers fall asleep
  }
}

/**
 * Many jobs of two programs each, every tenth on the caller's thread; w grows by 12 (= 0.5 · 0.25 · 96) with every program that
 * may commit.
 */
void testJobs(int numThreads) {
  Engine engine(numThreads);
  const int numJobs = 150;
  expect(!Executor::isBrief(engine.makeJob(1, true).front()), "a program that never ran is called brief");
  Jobs jobs;
  for (int i = 0; i < numJobs; i += 10) {
    for (int k = 0; k < 9; ++k) engine.submit(2, (i + k) % 3 != 0);
    jobs.splice(jobs.end(), engine.finish(9));
    jobs.splice(jobs.end(), engine.makeJob(2, (i + 9) % 3 != 0));
    engine.executor.run(jobs.back());
  }
  double w = 0;
  int next = 0;
  for (const Job& job : jobs) {
    expect(job.error == nullptr, "a job failed");
    const bool go = next++ % 3 != 0;
    for (size_t k = 0; k < job.entries.size(); ++k) {
      w += go ? 12 : 0;
      expect(job.entries[k].committed == go, "a commit did not follow its guard");
      const double sum = w * w * rows * columns;
      expect(std::fabs(engine.output(job, k) - sum) <= 1e-5 * sum, "a wrong sum of squares");
    }
  }
  expect(engine.notified, "nobody was told that a job is finished");
  expect(engine.store->runsInFlight.load() == 0, "a run is still counted as in flight");
}

/** Ends an engine with jobs queued, while another one works. */
void testShutdown() {
  Engine other(2);
  for (int i = 0; i < 40; ++i) other.submit(1, true);
  for (int round = 0; round < 20; ++round) {
    Engine engine(3);
    for (int i = 0; i < 30; ++i) engine.submit(2, true);
    if (round % 2 == 0) engine.finish(1);
  }
  expect(other.finish(40).size() == 40, "a job of the other engine was lost");
}

}  // namespace
}  // namespace athanor

int main() {
  for (const int numThreads : {1, 2, 3}) {
    athanor::testPool(numThreads);
    athanor::testJobs(numThreads);
  }
  athanor::testShutdown();
  std::puts("executor_test: fine");
}
