// The speed of memory: threaded copies and fills of the bytes that the kernels move, without their
// arithmetic. CMake compiles this file for the processor that builds it.

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "parallel.h"

HWY_BEFORE_NAMESPACE();
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::uint32_t kPattern = 0x3F3F3F3F;

struct Operands {
  std::uint32_t* out;
  const std::uint32_t* in;
};

// Writes the words [begin, end) and reads kRead words for each: none to fill, one to copy, and two
// to keep every other word, which is the traffic of a conversion from 64 to 32 bits. Compilers make
// calls of memset and memcpy and vectors of this loop.
template <std::size_t kRead>
void Move(const void* context, std::size_t begin, std::size_t end) {
  const auto* operands = static_cast<const Operands*>(context);
  std::uint32_t* __restrict out = operands->out;
  const std::uint32_t* __restrict in = operands->in;
  for (std::size_t i = begin; i < end; ++i) out[i] = kRead == 0 ? kPattern : in[kRead * i];
}

// The same by non-temporal stores, with or without prefetches of what is read.
template <std::size_t kRead, bool kPrefetch>
void Stream(const void* context, std::size_t begin, std::size_t end) {
  const auto [out, in] = *static_cast<const Operands*>(context);
  const hn::ScalableTag<std::uint32_t> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto load = [d, lanes, in = in](std::size_t i) HWY_ATTR {
    if constexpr (kRead == 0) return hn::Set(d, kPattern);
    if constexpr (kRead == 1) return hn::LoadU(d, in + i);
    if constexpr (kRead == 2) {
      return hn::ConcatEven(d, hn::LoadU(d, in + 2 * i + lanes), hn::LoadU(d, in + 2 * i));
    }
  };
  std::size_t i = begin;
  while (i < end && reinterpret_cast<std::uintptr_t>(out + i) % (lanes * sizeof *out) != 0) ++i;
  Move<kRead>(context, begin, i);
  for (; i + 4 * lanes <= end; i += 4 * lanes) {
    for (std::size_t w = 0; kPrefetch && w < 4 * lanes * kRead; w += 64 / sizeof *in) {
      hwy::Prefetch(in + kRead * i + w + 512 / sizeof *in);
    }
    const auto v0 = load(i), v1 = load(i + lanes);
    const auto v2 = load(i + 2 * lanes), v3 = load(i + 3 * lanes);
    hn::Stream(v0, d, out + i);
    hn::Stream(v1, d, out + i + lanes);
    hn::Stream(v2, d, out + i + 2 * lanes);
    hn::Stream(v3, d, out + i + 3 * lanes);
  }
  Move<kRead>(context, i, end);
  hwy::FlushStream();
}

// By the kind of stores, as in ceiling.py, then by the words read for each word written.
constexpr invdecay::ParallelBody kBodies[3][3] = {
    {Move<0>, Move<1>, Move<2>},
    {Stream<0, false>, Stream<1, false>, Stream<2, false>},
    {Stream<0, true>, Stream<1, true>, Stream<2, true>}};

}  // namespace
HWY_AFTER_NAMESPACE();

// Writes words of 32 bits and reads 0, 1 or 2 for each, on up to `threads` threads.
extern "C" __attribute__((visibility("default"))) void ceiling_move(int stores, void* out,
                                                                    const void* in,
                                                                    std::size_t words,
                                                                    std::size_t read, int threads) {
  const Operands operands{static_cast<std::uint32_t*>(out), static_cast<const std::uint32_t*>(in)};
  invdecay::ParallelFor(words, sizeof(std::uint32_t) * (1 + read), threads, kBodies[stores][read],
                        &operands);
}
