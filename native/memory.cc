// The blocks behind memory.h.
#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "error.h"

#if !defined(_WIN32)
#include <sys/mman.h>
#endif

namespace athanor {
namespace {

constexpr size_t hugePage = size_t{2} << 20;
constexpr size_t mapFrom = size_t{256} << 10;  // smaller blocks come from malloc
constexpr size_t largest = size_t{1} << 46;

}  // namespace

void MemoryCounter::add(int64_t bytes) {
  const int64_t now = current.fetch_add(bytes) + bytes;
  int64_t seen = peak.load();
  while (now > seen && !peak.compare_exchange_weak(seen, now)) {
  }
}

Block::Block(size_t bytes, std::shared_ptr<MemoryCounter> counter) : size_(bytes), counter_(std::move(counter)) {
  if (bytes == 0) return;
  const auto fail = [bytes] {
    return EngineError("engine/out-of-memory", "the system refused " + std::to_string(bytes) + " bytes");
  };
  if (bytes > largest) throw fail();
#if !defined(_WIN32)
  if (bytes >= mapFrom) {
    const size_t alignment = bytes >= hugePage ? hugePage : 4096;
    mappedBytes_ = (bytes + alignment - 1) / alignment * alignment + (alignment == hugePage ? hugePage : 0);
    mapping_ = mmap(nullptr, mappedBytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) throw fail();
    const uintptr_t start = reinterpret_cast<uintptr_t>(mapping_);
    data_ = reinterpret_cast<char*>((start + alignment - 1) / alignment * alignment);
#if defined(MADV_HUGEPAGE)
    if (alignment == hugePage) madvise(data_, bytes / hugePage * hugePage, MADV_HUGEPAGE);  // advice: may fail
#endif
  }
#endif
  if (data_ == nullptr) {
    mappedBytes_ = bytes;
    mapping_ = std::malloc(bytes + 63);
    if (mapping_ == nullptr) throw fail();
    data_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(mapping_) + 63) / 64 * 64);
    std::memset(data_, 0, bytes);
  }
  if (counter_) counter_->add(static_cast<int64_t>(bytes));
}

void Block::release() {
  if (mapping_ == nullptr) return;
#if !defined(_WIN32)
  if (size_ >= mapFrom) {
    munmap(mapping_, mappedBytes_);
  } else {
    std::free(mapping_);
  }
#else
  std::free(mapping_);
#endif
  if (counter_) counter_->add(-static_cast<int64_t>(size_));
  mapping_ = nullptr;
  data_ = nullptr;
}

Block::~Block() { release(); }

Block::Block(Block&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mappedBytes_(std::exchange(other.mappedBytes_, 0)),
      counter_(std::move(other.counter_)) {}

Block& Block::operator=(Block&& other) noexcept {
  if (this == &other) return *this;
  release();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  mapping_ = std::exchange(other.mapping_, nullptr);
  mappedBytes_ = std::exchange(other.mappedBytes_, 0);
  counter_ = std::move(other.counter_);
  return *this;
}

}  // namespace athanor
