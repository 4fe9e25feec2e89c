// Refuses one allocation of the addon, by LD_PRELOAD: the n-th from the moment that a test says so. Not a leak checker.
//
// The file named by REFUSE_MEMORY holds two 64-bit numbers, shared with the test: how many allocations until the one that is
// refused (0: none is), and how many were refused. An allocation is the addon's when the first caller outside libstdc++ is.
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

struct Control {
  std::atomic<int64_t> left, refused;
};
Control* control = nullptr;
thread_local bool looking = false;  // what looks may itself allocate

__attribute__((constructor)) void open() {
  void* warm[4];
  backtrace(warm, 4);  // loads what it needs
  const char* path = getenv("REFUSE_MEMORY");
  const int file = path == nullptr ? -1 : ::open(path, O_RDWR);
  if (file < 0) return;
  void* shared = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (shared != MAP_FAILED) control = static_cast<Control*>(shared);
}

bool isAddons() {
  void* frames[8];
  const int count = backtrace(frames, 8);
  for (int i = 1; i < count; ++i) {
    Dl_info info;
    if (dladdr(frames[i], &info) == 0 || info.dli_fname == nullptr) return false;  // compiled JavaScript
    if (strstr(info.dli_fname, "refuse-memory") != nullptr || strstr(info.dli_fname, "libstdc++") != nullptr) continue;
    return strstr(info.dli_fname, "athanor.node") != nullptr;
  }
  return false;
}

bool refuses() {
  if (control == nullptr || control->left.load() <= 0 || looking) return false;
  looking = true;
  const bool refused = isAddons() && control->left.fetch_sub(1) == 1;
  looking = false;
  if (!refused) return false;
  control->refused.fetch_add(1);
  errno = ENOMEM;
  return true;
}

}  // namespace

extern "C" {
void* malloc(size_t size) { return refuses() ? nullptr : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return refuses() ? nullptr : __libc_calloc(count, size); }
void* aligned_alloc(size_t alignment, size_t size) { return refuses() ? nullptr : __libc_memalign(alignment, size); }
void* mmap(void* at, size_t length, int protection, int flags, int file, off_t offset) noexcept {
  if (refuses()) return MAP_FAILED;
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, length, protection, flags, file, offset));
}
}
