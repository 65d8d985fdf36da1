#include "processors.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#ifdef __linux__
#include <sched.h>
#endif
#ifdef __unix__
#include <unistd.h>
#endif

namespace invdecay {
namespace {

std::atomic<int> process_limit{0};
thread_local int this_thread_limit = 0;

// The processors that the process's cgroup lets it keep busy, rounded up; a large number where
// there is no limit.
int CgroupProcessors() {
  double quota = 0, period = 0;
  std::string text;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> text >> period && text != "max") {
    quota = std::strtod(text.c_str(), nullptr);
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  if (!(quota > 0) || !(period > 0)) return 1 << 30;
  return std::max(1, static_cast<int>(quota / period + 0.999));
}

std::size_t FindLastLevelCacheBytes() {
  // The kernel's own file comes first. On virtual machines glibc multiplies by processors that do
  // not exist.
  std::size_t kib = 0;
  if (std::ifstream("/sys/devices/system/cpu/cpu0/cache/index3/size") >> kib && kib > 0) {
    return kib << 10;
  }
  long size = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
  size = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
  return size > 0 ? static_cast<std::size_t>(size) : std::size_t{32} << 20;
}

}  // namespace

int AvailableProcessors() {
  static const int quota = CgroupProcessors();
  int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
  return std::min(count, quota);
}

int ThreadLimit() {
  if (this_thread_limit > 0) return this_thread_limit;
  const int limit = process_limit.load(std::memory_order_relaxed);
  return limit > 0 ? limit : AvailableProcessors();
}

void SetProcessThreadLimit(int limit) noexcept { process_limit = limit; }

int SetThisThreadLimit(int limit) noexcept { return std::exchange(this_thread_limit, limit); }

std::size_t LastLevelCacheBytes() {
  static const std::size_t bytes = FindLastLevelCacheBytes();
  return bytes;
}

}  // namespace invdecay
