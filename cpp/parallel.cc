#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <exception>
#include <thread>
#include <vector>

#include "fpenv.h"

namespace invdecay {
namespace {

// The bytes of one chunk. A thread that stalls holds up at most one chunk.
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

// One call, shared by its threads. They take chunk after chunk from one counter.
struct Call {
  std::size_t n, chunk, chunks;
  ParallelBody body;
  const void* context;
  std::fenv_t environment;
  std::atomic<std::size_t> next{0};
  std::atomic<int> raised{0};

  void Work() {
    for (std::size_t c; (c = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      body(context, c * chunk, std::min(n, (c + 1) * chunk));
    }
  }

  void WorkAsCaller() {
    std::fesetenv(&environment);
    std::feclearexcept(FE_ALL_EXCEPT);
    Work();
    raised.fetch_or(std::fetestexcept(kReportedExceptions), std::memory_order_relaxed);
  }
};

}  // namespace

void ParallelTasks(std::size_t n, std::size_t chunk, std::size_t bytes, int threads,
                   ParallelBody body, const void* context) noexcept {
  const std::size_t worth = bytes / kMinBytesPerThread;
  const std::size_t chunks = (n + chunk - 1) / chunk;
  const std::size_t workers =
      std::min({chunks, worth, static_cast<std::size_t>(std::max(threads, 1))});
  if (workers < 2) return body(context, 0, n);

  Call call{n, chunk, chunks, body, context, {}, {}, {}};
  std::fegetenv(&call.environment);
  std::vector<std::thread> started;
  try {
    started.reserve(workers - 1);
    for (std::size_t t = 1; t < workers; ++t)
      started.emplace_back([&call] { call.WorkAsCaller(); });
  } catch (const std::exception&) {
    // The threads that did start and the caller do all the work.
  }
  call.Work();
  for (std::thread& thread : started) thread.join();
  std::feraiseexcept(call.raised.load(std::memory_order_relaxed));
}

void ParallelFor(std::size_t n, std::size_t bytes, int threads, ParallelBody body,
                 const void* context) noexcept {
  // Whole pages of every operand, so that no two threads write to the same page.
  const std::size_t chunk = (kChunkBytes / bytes + 4095) / 4096 * 4096;
  ParallelTasks(n, chunk, n * bytes, threads, body, context);
}

}  // namespace invdecay
