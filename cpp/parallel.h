// Splits one loop over threads.
#pragma once

#include <cstddef>

namespace invdecay {

// Starting one more thread costs more than it gains below this many bytes.
inline constexpr std::size_t kMinBytesPerThread = std::size_t{1} << 22;

// Evaluates elements [begin, end) of the loop that `context` describes.
using ParallelBody = void (*)(const void* context, std::size_t begin, std::size_t end);

// Calls body on parts of [0, n) that together cover it once. Up to `threads` threads work, the
// calling one among them, if the `bytes` that each element moves make that worth while. The workers
// run with the caller's rounding mode and FTZ/DAZ bits. The exceptions they raise are raised in
// the caller. The threads end with the call, so that a fork or an exit never meets one. Where
// threads or memory are lacking, fewer threads do all the work.
void ParallelFor(std::size_t n, std::size_t bytes, int threads, ParallelBody body,
                 const void* context) noexcept;

// The same for n tasks that move `bytes` together. The threads take `chunk` of them at a time.
void ParallelTasks(std::size_t n, std::size_t chunk, std::size_t bytes, int threads,
                   ParallelBody body, const void* context) noexcept;

}  // namespace invdecay
