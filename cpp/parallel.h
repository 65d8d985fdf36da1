// Splits one loop over threads and carries the floating-point environment across them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif
#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace invdecay {

inline std::atomic<int> process_thread_limit{0};  // 0: the processors available
inline thread_local int this_thread_limit = 0;    // 0: the process's limit

// The processors that the process's cgroup lets it keep busy, rounded up; INT_MAX where unlimited.
inline int CgroupProcessors() {
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

// Looked at anew each time, as a process may change its affinity; the quota is read once.
inline int AvailableProcessors() {
  static const int quota = CgroupProcessors();
  int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
  return std::min(count, quota);
}

inline int ThreadLimit() {
  if (this_thread_limit > 0) return this_thread_limit;
  const int limit = process_thread_limit.load(std::memory_order_relaxed);
  return limit > 0 ? limit : AvailableProcessors();
}

// Whether this thread rounds to nearest. On x86 the SIMD unit's own mode counts, which fegetround
// does not show.
inline bool RoundsToNearest() {
#if defined(__SSE__) || defined(_M_X64)
  return (_mm_getcsr() & _MM_ROUND_MASK) == _MM_ROUND_NEAREST;
#else
  return std::fegetround() == FE_TONEAREST;
#endif
}

// The exceptions that NumPy reports.
inline constexpr int kReportedExceptions = FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID;

// Bytes handed out at a time: a stalled processor holds up no more than one such chunk.
inline constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
// Bytes below which starting one more thread costs more than it gains.
inline constexpr std::size_t kMinBytesPerThread = std::size_t{1} << 22;

// Calls body(begin, end) on parts of [0, n) that cover it once, from several threads where the
// `bytes` moved per element make that pay; the calling thread works too. Workers run with the
// caller's rounding mode and FTZ/DAZ bits, and the exceptions they raise are raised in the caller.
// Threads live for one call only, so fork and shutdown find none.
template <class Body>
void ParallelFor(std::size_t n, std::size_t bytes, const Body& body) noexcept {
  const std::size_t gains = n * bytes / kMinBytesPerThread;
  if (gains < 2) return body(std::size_t{0}, n);
  // Whole pages of every operand, so that threads share none.
  const std::size_t chunk = (kChunkBytes / bytes + 4095) / 4096 * 4096;
  const std::size_t chunks = (n + chunk - 1) / chunk;
  const std::size_t threads = std::min({chunks, gains, static_cast<std::size_t>(ThreadLimit())});
  if (threads < 2) return body(std::size_t{0}, n);

  std::atomic<std::size_t> next{0};
  std::atomic<int> raised{0};
  const auto work = [&] {
    for (std::size_t c; (c = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      body(c * chunk, std::min(n, (c + 1) * chunk));
    }
  };
  std::fenv_t environment;
  std::fegetenv(&environment);
  const auto worker = [&] {
    std::fesetenv(&environment);
    std::feclearexcept(FE_ALL_EXCEPT);
    work();
    raised.fetch_or(std::fetestexcept(kReportedExceptions), std::memory_order_relaxed);
  };
  std::vector<std::thread> workers;
  try {
    workers.reserve(threads - 1);
    for (std::size_t t = 1; t < threads; ++t) workers.emplace_back(worker);
  } catch (const std::exception&) {
    // No more threads or memory to be had: those that started and the caller do all the work.
  }
  work();
  for (std::thread& thread : workers) thread.join();
  std::feraiseexcept(raised.load(std::memory_order_relaxed));
}

}  // namespace invdecay
