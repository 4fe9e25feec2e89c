// Blocks of zeroed memory, 64-byte aligned, with huge pages where the system gives them; and what they add up to.
// Not an allocator: a block is taken once and given back whole.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace athanor {

/** Bytes held by all blocks of one engine. */
struct MemoryCounter {
  std::atomic<int64_t> current{0};
  std::atomic<int64_t> peak{0};
  void add(int64_t bytes);
};

class Block {
 public:
  Block() = default;
  /** Throws EngineError `engine/out-of-memory`. No byte is touched: pages appear, zeroed, when they are first used. */
  Block(size_t bytes, std::shared_ptr<MemoryCounter> counter);
  ~Block();
  Block(Block&& other) noexcept;
  Block& operator=(Block&& other) noexcept;

  char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void release();
  char* data_ = nullptr;
  size_t size_ = 0;
  void* mapping_ = nullptr;  // what the system gave; data_ lies inside, aligned
  size_t mappedBytes_ = 0;
  std::shared_ptr<MemoryCounter> counter_;
};

}  // namespace athanor
