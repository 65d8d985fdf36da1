// The speed of memory: threaded copies and fills with the traffic of the kernels and no arithmetic.
// Several methods, as none is the fastest on every processor and at every size; the harness
// takes the fastest one that it sees.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ceiling.cc"  // NOLINT: Highway's protocol
#include <hwy/foreach_target.h>          // must come before highway.h

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "parallel.h"

#ifndef INVDECAY_CEILING_ONCE_
#define INVDECAY_CEILING_ONCE_
namespace invdecay {

// What is written, as 32-bit words: a pattern, the words read, or every other word read, which
// is the traffic of a conversion from 64 to 32 bits.
enum class Job : std::size_t { kFill, kCopy, kNarrow };
inline constexpr std::size_t kNumJobs = 3;
constexpr std::size_t WordsRead(Job job) { return static_cast<std::size_t>(job); }

inline constexpr int kPatternByte = 0x3F;
inline constexpr std::uint32_t kPattern = 0x3F3F3F3F;

// Writes `words` words to out.
using Mover = void (*)(std::uint32_t* out, const std::uint32_t* in, std::size_t words);

struct Method {
  const char* name;
  std::array<Mover, kNumJobs> movers;  // by job; null where the method cannot do it
};
inline constexpr std::size_t kNumVectorMethods = 5;
using VectorMethods = std::array<Method, kNumVectorMethods>;

}  // namespace invdecay
#endif  // INVDECAY_CEILING_ONCE_

HWY_BEFORE_NAMESPACE();
namespace invdecay {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <Job job, class D>
HWY_INLINE hn::Vec<D> Words(D d, const std::uint32_t* in, std::size_t i) {
  if constexpr (job == Job::kFill) return hn::Set(d, kPattern);
  if constexpr (job == Job::kCopy) return hn::LoadU(d, in + i);
  if constexpr (job == Job::kNarrow) {
    const std::uint32_t* from = in + 2 * i;
#if HWY_TARGET == HWY_SCALAR  // one lane: there is nothing to concatenate
    return hn::Set(d, *from);
#else
    return hn::ConcatEven(d, hn::LoadU(d, from + hn::Lanes(d)), hn::LoadU(d, from));
#endif
  }
}

template <Job job>
HWY_INLINE std::uint32_t Word(const std::uint32_t* in, std::size_t i) {
  return job == Job::kFill ? kPattern : in[WordsRead(job) * i];
}

// Vectors, four at a time; kAhead is the distance of the prefetches in bytes, 0 for none.
template <Job job, bool kStream, std::size_t kAhead>
void Move(std::uint32_t* out, const std::uint32_t* in, std::size_t words) {
  const hn::ScalableTag<std::uint32_t> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t vector = lanes * sizeof *out;
  const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(out) % vector;
  const std::size_t head = std::min(words, (vector - misaligned) % vector / sizeof *out);
  std::size_t i = 0;
  for (; i < head; ++i) out[i] = Word<job>(in, i);
  const auto store = [out](auto v, std::size_t at) HWY_ATTR {
    if constexpr (kStream) {
      hn::Stream(v, hn::ScalableTag<std::uint32_t>(), out + at);
    } else {
      hn::Store(v, hn::ScalableTag<std::uint32_t>(), out + at);
    }
  };
  for (; i + 4 * lanes <= words; i += 4 * lanes) {
    if constexpr (kAhead > 0) {
      constexpr std::size_t kLine = 64 / sizeof(std::uint32_t);
      const std::uint32_t* ahead = in + WordsRead(job) * i + kAhead / sizeof *in;
      for (std::size_t w = 0; w < 4 * lanes * WordsRead(job); w += kLine) hwy::Prefetch(ahead + w);
    }
    const auto v0 = Words<job>(d, in, i);
    const auto v1 = Words<job>(d, in, i + lanes);
    const auto v2 = Words<job>(d, in, i + 2 * lanes);
    const auto v3 = Words<job>(d, in, i + 3 * lanes);
    store(v0, i);
    store(v1, i + lanes);
    store(v2, i + 2 * lanes);
    store(v3, i + 3 * lanes);
  }
  for (; i < words; ++i) out[i] = Word<job>(in, i);
  if constexpr (kStream) hwy::FlushStream();
}

// Brings a page of input into the cache first, then streams it out: memory is read and written
// in turns, in bursts.
template <Job job>
void MoveByPages(std::uint32_t* out, const std::uint32_t* in, std::size_t words) {
  constexpr std::size_t kPage = 4096 / sizeof(std::uint32_t);
  constexpr std::size_t kLine = 64 / sizeof(std::uint32_t);
  for (std::size_t i = 0; i < words; i += kPage / WordsRead(job)) {
    const std::size_t count = std::min(kPage / WordsRead(job), words - i);
    const std::uint32_t* from = in + WordsRead(job) * i;
    for (std::size_t w = 0; w < count * WordsRead(job); w += kLine) hwy::Prefetch(from + w);
    Move<job, true, 0>(out + i, from, count);
  }
}

void GetVectorMethods(VectorMethods& methods) {
  methods = {
      Method{
          "stores",
          {Move<Job::kFill, false, 0>, Move<Job::kCopy, false, 0>, Move<Job::kNarrow, false, 0>}},
      Method{"streaming stores",
             {Move<Job::kFill, true, 0>, Move<Job::kCopy, true, 0>, Move<Job::kNarrow, true, 0>}},
      Method{"streaming stores, prefetch 512 B",
             {nullptr, Move<Job::kCopy, true, 512>, Move<Job::kNarrow, true, 512>}},
      Method{"streaming stores, prefetch 2 KiB",
             {nullptr, Move<Job::kCopy, true, 2048>, Move<Job::kNarrow, true, 2048>}},
      Method{"streaming stores by pages",
             {nullptr, MoveByPages<Job::kCopy>, MoveByPages<Job::kNarrow>}},
  };
}

}  // namespace HWY_NAMESPACE
}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace invdecay {

HWY_EXPORT(GetVectorMethods);

constexpr Method kLibrary = {"memcpy, memset",
                             {[](std::uint32_t* out, const std::uint32_t*, std::size_t words) {
                                std::memset(out, kPatternByte, words * sizeof *out);
                              },
                              [](std::uint32_t* out, const std::uint32_t* in, std::size_t words) {
                                std::memcpy(out, in, words * sizeof *out);
                              },
                              nullptr}};

#if defined(__x86_64__) && defined(__GNUC__)
constexpr Method kStrings = {
    "rep movsb, stosb",
    {[](std::uint32_t* out, const std::uint32_t*, std::size_t words) {
       std::size_t bytes = words * sizeof *out;
       asm volatile("rep stosb" : "+D"(out), "+c"(bytes) : "a"(kPatternByte) : "memory");
     },
     [](std::uint32_t* out, const std::uint32_t* in, std::size_t words) {
       std::size_t bytes = words * sizeof *out;
       asm volatile("rep movsb" : "+D"(out), "+S"(in), "+c"(bytes) : : "memory");
     },
     nullptr}};
#else
constexpr Method kStrings = {"rep movsb, stosb", {nullptr, nullptr, nullptr}};
#endif

const std::array<Method, kNumVectorMethods + 2>& Methods() {
  static const auto all = [] {
    VectorMethods vector;
    HWY_DYNAMIC_DISPATCH(GetVectorMethods)(vector);
    std::array<Method, kNumVectorMethods + 2> methods;
    std::copy(vector.begin(), vector.end(), methods.begin());
    methods[kNumVectorMethods] = kLibrary;
    methods[kNumVectorMethods + 1] = kStrings;
    return methods;
  }();
  return all;
}

// A call of ceiling_run.
struct Move {
  Mover mover;
  std::uint32_t* out;
  const std::uint32_t* in;
  std::size_t words_written, words_read;  // per element; the latter in elements of out
};

void MovePart(const void* context, std::size_t begin, std::size_t end) {
  const Move& move = *static_cast<const Move*>(context);
  const std::size_t words = move.words_written;
  move.mover(move.out + begin * words,
             move.in == nullptr ? nullptr : move.in + begin * words * move.words_read,
             (end - begin) * words);
}

}  // namespace invdecay

extern "C" {

// The name of a method, null past the last.
__attribute__((visibility("default"))) const char* ceiling_method(std::size_t method) {
  const auto& methods = invdecay::Methods();
  return method < methods.size() ? methods[method].name : nullptr;
}

// Writes n elements of out_bytes (4 or 8) each, reading in_bytes (0, out_bytes or 2 * out_bytes)
// for each, on up to `threads` threads, scheduled as the kernels are. Returns whether the method
// can do so.
__attribute__((visibility("default"))) bool ceiling_run(std::size_t method, void* out,
                                                        const void* in, std::size_t n,
                                                        std::size_t in_bytes, std::size_t out_bytes,
                                                        int threads) {
  const auto job = static_cast<std::size_t>(in_bytes / out_bytes);
  const invdecay::Mover mover = invdecay::Methods()[method].movers[job];
  if (mover == nullptr) return false;
  const std::size_t words = out_bytes / sizeof(std::uint32_t);
  auto* to = static_cast<std::uint32_t*>(out);
  const auto* from = static_cast<const std::uint32_t*>(in);
  const invdecay::Move move{mover, to, from, words, job};
  invdecay::ParallelFor(n, in_bytes + out_bytes, threads, invdecay::MovePart, &move);
  return true;
}

}  // extern "C"
#endif  // HWY_ONCE
