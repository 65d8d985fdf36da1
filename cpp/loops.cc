// Contiguous, strided and range loops, compiled once per SIMD target.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "loops.cc"  // NOLINT: Highway's protocol
#include <hwy/foreach_target.h>        // must come before highway.h

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __unix__
#include <unistd.h>
#endif

#include "kernels-inl.h"
#include "kernels.h"
#include "parallel.h"

#ifndef INVDECAY_LOOPS_ONCE_
#define INVDECAY_LOOPS_ONCE_
namespace invdecay {

// The bytes of the last-level cache. The kernel's own file comes first: on virtual machines glibc
// has been seen to multiply by processors that are not there.
inline std::size_t CacheBytes() {
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

// Whether results of so many bytes are past the last-level cache, where stores that bypass it
// save reading each line before it is overwritten.
inline bool PastTheCache(std::size_t bytes) {
  static const std::size_t cache = CacheBytes();
  const std::size_t limit = stream_past.load(std::memory_order_relaxed);
  return bytes > (limit > 0 ? limit : cache);
}

}  // namespace invdecay
#endif  // INVDECAY_LOOPS_ONCE_

HWY_BEFORE_NAMESPACE();
namespace invdecay {
namespace HWY_NAMESPACE {

// ------------------------------ Operands: Load a vector from element i on, or one element At i

template <class T>
struct Constant {
  T value;
  template <class D>
  HWY_INLINE hn::Vec<D> Load(D d, std::size_t) const {
    return hn::Set(d, value);
  }
  HWY_INLINE T At(std::size_t) const { return value; }
};

template <class T>
struct ConstantDivisor : KnownDivisor<T> {
  using KnownDivisor<T>::KnownDivisor;
  template <class D>
  HWY_INLINE const KnownDivisor<T>& Load(D, std::size_t) const {
    return *this;
  }
  HWY_INLINE T At(std::size_t) const { return this->value; }
};

template <class T, class Stored>
struct Buffer {
  static constexpr bool kIntegers = std::is_integral_v<Stored>;
  static constexpr std::size_t kAhead = 2048;  // bytes
  const Stored* data;
  template <class D>
  HWY_INLINE hn::Vec<D> Load(D d, std::size_t i) const {
    return LoadSteps(d, data + i);
  }
  HWY_INLINE T At(std::size_t i) const { return static_cast<T>(data[i]); }
  HWY_INLINE void Prefetch(std::size_t i) const {
    hwy::Prefetch(data + i + kAhead / sizeof(Stored));
  }
};

// The steps start + i * step, never stored. Index holds all of them exactly: an integer type or,
// up to 2^52, where distances are exact too, double.
template <class T, class Index>
struct Range {
  static constexpr bool kIntegers = true;
  std::int64_t start, step;
  HWY_ALIGN Index offsets[hn::MaxLanes(hn::ScalableTag<T>())];  // lane * step, modulo 2^bits

  Range(std::int64_t first, std::int64_t distance) : start(first), step(distance) {
    for (std::size_t lane = 0; lane < hn::MaxLanes(hn::ScalableTag<T>()); ++lane) {
      offsets[lane] = static_cast<Index>(Sum(0, lane));
    }
  }
  // Modulo 2^64: a sum that leaves int64 on the way comes back.
  HWY_INLINE std::int64_t Sum(std::int64_t from, std::size_t i) const {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(from) +
                                     i * static_cast<std::uint64_t>(step));
  }
  HWY_INLINE std::int64_t IndexAt(std::size_t i) const { return Sum(start, i); }
  template <class D>
  HWY_INLINE hn::Vec<D> Load(D d, std::size_t i) const {
    return ByParts<Index>(d, [&](auto part, std::size_t first) HWY_ATTR {
      const hn::Rebind<Index, decltype(part)> d_index;
      const auto from = hn::Set(d_index, static_cast<Index>(IndexAt(i + first)));
      const auto index = hn::Add(from, hn::LoadU(d_index, offsets));
      if constexpr (std::is_same_v<Index, T>) {
        return index;
      } else if constexpr (std::is_same_v<Index, double>) {
        return Demote(part, index);
      } else {
        return ConvertInteger(part, d_index, index);
      }
    });
  }
  HWY_INLINE T At(std::size_t i) const { return static_cast<T>(IndexAt(i)); }
  HWY_INLINE void Prefetch(std::size_t) const {}
};

// ------------------------------ Results

// The lanes of a result of type Out computed in the lanes of D.
template <class Out, class D>
using OutTag = hn::Rebind<Out, D>;

template <class Out, class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<OutTag<Out, D>> Stored(D, V v) {
  if constexpr (std::is_same_v<Out, hn::TFromD<D>>) {
    return v;
  } else {
    return Demote(OutTag<Out, D>(), v);
  }
}

// Elements from out on up to the first one at a multiple of the vector's size.
template <class D>
HWY_INLINE std::size_t UntilAligned(D d, const void* out) {
  constexpr std::size_t kSize = sizeof(hn::TFromD<D>);
  const std::size_t vector = hn::Lanes(d) * kSize;
  return (vector - reinterpret_cast<std::uintptr_t>(out) % vector) % vector / kSize;
}

// ------------------------------ Evaluation

// Elements [begin, begin + count) for a count below the number of lanes. The other lanes repeat
// the last element: whatever flags they raise, it raises too.
template <Form form, class D, class Steps, class Lr, class DecaySteps, class Rate, class Out>
HWY_INLINE void EvaluatePart(D d, const Steps& steps, const Lr& lr, const DecaySteps& decay_steps,
                             const Rate& rate, Out* out, std::size_t begin, std::size_t count) {
  using T = hn::TFromD<D>;
  constexpr std::size_t kMax = hn::MaxLanes(d);
  HWY_ALIGN T padded[4][kMax];
  for (std::size_t lane = 0; lane < hn::Lanes(d); ++lane) {
    const std::size_t i = begin + std::min(lane, count - 1);
    padded[0][lane] = steps.At(i);
    padded[1][lane] = lr.At(i);
    padded[2][lane] = decay_steps.At(i);
    padded[3][lane] = rate.At(i);
  }
  const auto q = Quotient<false>(d, hn::Load(d, padded[0]), hn::Load(d, padded[2]));
  const auto p = Progress<form>(d, q);
  const auto v = LearningRate(d, p, hn::Load(d, padded[1]), hn::Load(d, padded[3]));
  HWY_ALIGN Out result[kMax];
  hn::Store(Stored<Out>(d, v), OutTag<Out, D>(), result);
  std::memcpy(out + begin, result, count * sizeof(Out));
}

// Elements [0, n). With kStream the stores bypass the cache. The operands are copies, which no
// store to out can change, so that the compiler keeps them in registers.
template <Form form, bool kStream, class D, class Steps, class Lr, class DecaySteps, class Rate,
          class Out>
HWY_INLINE void Evaluate(D d, const Steps steps, const Lr lr, const DecaySteps decay_steps,
                         const Rate rate, Out* out, std::size_t n) {
  const OutTag<Out, D> d_out;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  if constexpr (kStream) {
    i = std::min(n, UntilAligned(d_out, out));
    if (i > 0) EvaluatePart<form>(d, steps, lr, decay_steps, rate, out, 0, i);
  }
  for (; i + lanes <= n; i += lanes) {
    if constexpr (kStream) steps.Prefetch(i);
    const auto q = Quotient<Steps::kIntegers>(d, steps.Load(d, i), decay_steps.Load(d, i));
    const auto p = Progress<form>(d, q);
    const auto v = Stored<Out>(d, LearningRate(d, p, lr.Load(d, i), rate.Load(d, i)));
    // Highway streams whole vectors only: half of a 16-byte one would overrun its place.
    if constexpr (kStream && hn::MaxLanes(d_out) * sizeof(Out) >= 16) {
      hn::Stream(v, d_out, out + i);
    } else {
      hn::StoreU(v, d_out, out + i);
    }
  }
  if (i < n) EvaluatePart<form>(d, steps, lr, decay_steps, rate, out, i, n - i);
  if constexpr (kStream) hwy::FlushStream();
}

// ------------------------------ Ufunc loops

template <class T>
HWY_INLINE T ValueAt(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Elements of any stride, a block at a time: operands that are not contiguous in T are copied
// into a buffer in the L1 cache, and the one evaluation above runs on the buffers.
template <Form form, class T, class Step>
void EvaluateBlocks(char* const* operands, const std::intptr_t* strides, std::size_t n) {
  constexpr std::size_t kBlock = 512;
  HWY_ALIGN T buffers[kNumOperands][kBlock];
  const auto at = [&](std::size_t operand, std::size_t i) {
    return operands[operand] + static_cast<std::intptr_t>(i) * strides[operand];
  };
  const auto gathered = [&](std::size_t operand, auto stored, std::size_t i,
                            std::size_t count) HWY_ATTR {
    using Stored = decltype(stored);
    const std::intptr_t stride = strides[operand];
    T* buffer = buffers[operand];
    const char* from = at(operand, i);
    if (stride == std::intptr_t{sizeof(Stored)}) {
      const auto* data = reinterpret_cast<const Stored*>(from);
      if constexpr (std::is_same_v<T, Stored>) {
        return Buffer<T, T>{data};
      } else {
        const hn::ScalableTag<T> d;
        const std::size_t lanes = hn::Lanes(d);
        std::size_t j = 0;
        for (; j + lanes <= count; j += lanes) hn::StoreU(LoadSteps(d, data + j), d, buffer + j);
        for (; j < count; ++j) buffer[j] = static_cast<T>(data[j]);
      }
    } else if (stride != 0) {
      for (std::size_t j = 0; j < count; ++j) {
        buffer[j] = static_cast<T>(ValueAt<Stored>(from + static_cast<std::intptr_t>(j) * stride));
      }
    } else if (i == 0) {
      std::fill_n(buffer, count, static_cast<T>(ValueAt<Stored>(from)));
    }
    return Buffer<T, T>{buffer};
  };
  for (std::size_t i = 0; i < n; i += kBlock) {
    const std::size_t count = std::min(kBlock, n - i);
    const auto steps = gathered(kStep, Step{}, i, count);
    const auto lr = gathered(kInitialLearningRate, T{}, i, count);
    const auto decay_steps = gathered(kDecaySteps, T{}, i, count);
    const auto rate = gathered(kDecayRate, T{}, i, count);
    const bool direct = strides[kOut] == std::intptr_t{sizeof(T)};
    T* out = direct ? reinterpret_cast<T*>(at(kOut, i)) : buffers[kOut];
    Evaluate<form, false>(hn::ScalableTag<T>(), steps, lr, decay_steps, rate, out, count);
    if (direct) continue;
    for (std::size_t j = 0; j < count; ++j) std::memcpy(at(kOut, i + j), out + j, sizeof(T));
  }
}

template <Form form, class T, class Step>
void Loop(char** operands, const std::intptr_t* dimensions, const std::intptr_t* strides,
          void* /*data*/) noexcept {
  const auto n = static_cast<std::size_t>(dimensions[0]);
  if (n == 0) return;
  const bool constant_hyperparameters =
      strides[kInitialLearningRate] == 0 && strides[kDecaySteps] == 0 && strides[kDecayRate] == 0;
  if (constant_hyperparameters && strides[kStep] == std::intptr_t{sizeof(Step)} &&
      strides[kOut] == std::intptr_t{sizeof(T)}) {
    const auto* steps = reinterpret_cast<const Step*>(operands[kStep]);
    T* out = reinterpret_cast<T*>(operands[kOut]);
    const Constant<T> lr{ValueAt<T>(operands[kInitialLearningRate])};
    const ConstantDivisor<T> decay_steps(ValueAt<T>(operands[kDecaySteps]));
    const Constant<T> rate{ValueAt<T>(operands[kDecayRate])};
    // In place, every line stored to has just been read.
    const bool stream = PastTheCache(n * sizeof(T)) && operands[kStep] != operands[kOut];
    ParallelFor(n, sizeof(Step) + sizeof(T), [=](std::size_t begin, std::size_t end) HWY_ATTR {
      const hn::ScalableTag<T> d;
      const Buffer<T, Step> part{steps + begin};
      if (stream) {
        Evaluate<form, true>(d, part, lr, decay_steps, rate, out + begin, end - begin);
      } else {
        Evaluate<form, false>(d, part, lr, decay_steps, rate, out + begin, end - begin);
      }
    });
    return;
  }
  const auto blocks = [=](std::size_t begin, std::size_t end) {
    char* moved[kNumOperands];
    for (std::size_t k = 0; k < kNumOperands; ++k) {
      moved[k] = operands[k] + static_cast<std::intptr_t>(begin) * strides[k];
    }
    EvaluateBlocks<form, T, Step>(moved, strides, end - begin);
  };
  // Elements of an out that overlaps itself must be stored in order.
  const bool overlaps = static_cast<std::size_t>(std::abs(strides[kOut])) < sizeof(T);
  if (overlaps) {
    blocks(0, n);
  } else {
    ParallelFor(n, sizeof(Step) + 4 * sizeof(T), blocks);
  }
}

// ------------------------------ Range loops

// Stores value in [out, out + n).
template <bool kStream, class Out>
HWY_INLINE void Fill(Out* out, std::size_t n, Out value) {
  const hn::ScalableTag<Out> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto v = hn::Set(d, value);
  std::size_t i = 0;
  if constexpr (kStream) {
    for (const std::size_t head = std::min(n, UntilAligned(d, out)); i < head; ++i) out[i] = value;
  }
  for (; i + lanes <= n; i += lanes) {
    if constexpr (kStream) {
      hn::Stream(v, d, out + i);
    } else {
      hn::StoreU(v, d, out + i);
    }
  }
  for (; i < n; ++i) out[i] = value;
}

// Elements [begin, end) of a staircase: one evaluation and one fill a stair. The stair is monotone
// in the step, so a stair's end is found by a guess from its width, or else by bisection.
template <bool kStream, class T, class Steps, class Out>
void FillStairs(const Steps& steps, const Hyperparameters<T>& hyper, Out* out, std::size_t begin,
                std::size_t end) {
  const hn::ScalableTag<T> d;
  const auto decay_steps = hn::Set(d, hyper.decay_steps);
  const auto stair_at = [&](std::size_t i) HWY_ATTR {
    const auto q = Quotient<true>(d, hn::Set(d, steps.At(i)), decay_steps);
    return hn::GetLane(Progress<Form::kStaircase>(d, q));
  };
  while (begin < end) {
    const T stair = stair_at(begin);
    const double edge = (static_cast<double>(stair) + (steps.step > 0 ? 1 : 0)) *
                        static_cast<double>(hyper.decay_steps);
    const double width = std::ceil((edge - static_cast<double>(steps.IndexAt(begin))) /
                                   static_cast<double>(steps.step));
    std::size_t next = end;
    if (width < static_cast<double>(end - begin)) {
      next = begin + (width > 1 ? static_cast<std::size_t>(width) : 1);
    }
    if (stair_at(next - 1) != stair || (next < end && stair_at(next) == stair)) {
      std::size_t low = begin + 1;
      for (next = end; low < next;) {
        const std::size_t middle = low + (next - low) / 2;
        if (stair_at(middle) == stair) {
          low = middle + 1;
        } else {
          next = middle;
        }
      }
    }
    const auto v = LearningRate(d, hn::Set(d, stair), hn::Set(d, hyper.initial_learning_rate),
                                hn::Set(d, hyper.decay_rate));
    Fill<kStream>(out + begin, next - begin, hn::GetLane(Stored<Out>(d, v)));
    begin = next;
  }
  if constexpr (kStream) hwy::FlushStream();
}

template <Form form, class T, class Out, class Index>
void FillRange(Out* out, std::size_t n, std::int64_t start, std::int64_t step,
               const Hyperparameters<T>& hyper) {
  const bool stream = PastTheCache(n * sizeof(Out));
  // Stairs wide enough to be filled; and no underflow in step / decay_steps, whose flag may come
  // from a step that is not evaluated.
  const double stair_width =
      static_cast<double>(hyper.decay_steps) / std::abs(static_cast<double>(step));
  const bool stairs = form == Form::kStaircase && stair_width >= 16 &&
                      static_cast<double>(hyper.decay_steps) < 1e30;
  ParallelFor(n, sizeof(Out), [&](std::size_t begin, std::size_t end) HWY_ATTR {
    const Range<T, Index> steps(start, step);
    if (stairs) {
      if (stream) {
        FillStairs<true>(steps, hyper, out, begin, end);
      } else {
        FillStairs<false>(steps, hyper, out, begin, end);
      }
      return;
    }
    const hn::ScalableTag<T> d;
    const Range<T, Index> part(steps.IndexAt(begin), step);
    const Constant<T> lr{hyper.initial_learning_rate};
    const ConstantDivisor<T> decay_steps(hyper.decay_steps);
    const Constant<T> rate{hyper.decay_rate};
    if (stream) {
      Evaluate<form, true>(d, part, lr, decay_steps, rate, out + begin, end - begin);
    } else {
      Evaluate<form, false>(d, part, lr, decay_steps, rate, out + begin, end - begin);
    }
  });
}

template <Form form, class T, class Out>
void RangeLoopOf(void* out, std::size_t n, std::int64_t start, std::int64_t step,
                 const Hyperparameters<double>& hyper) noexcept {
  if (n == 0) return;
  const Hyperparameters<T> cast{static_cast<T>(hyper.initial_learning_rate),
                                static_cast<T>(hyper.decay_steps),
                                static_cast<T>(hyper.decay_rate)};
  // Flags are those of the schedule, not of its parameters on their way here.
  std::feclearexcept(FE_ALL_EXCEPT);
  const auto last = static_cast<std::int64_t>(static_cast<std::uint64_t>(start) +
                                              (n - 1) * static_cast<std::uint64_t>(step));
  const auto [low, high] = std::minmax(start, last);
  const auto within = [low = low, high = high](std::int64_t bound) {
    return low >= -bound && high <= bound;
  };
  Out* const stored = static_cast<Out*>(out);
  if (sizeof(T) == 4 && within(std::numeric_limits<std::int32_t>::max())) {
    FillRange<form, T, Out, std::int32_t>(stored, n, start, step, cast);
  } else if (within(std::int64_t{1} << 52)) {
    FillRange<form, T, Out, double>(stored, n, start, step, cast);
  } else {
    FillRange<form, T, Out, std::int64_t>(stored, n, start, step, cast);
  }
}

// ------------------------------ The table of this target

template <Form form, std::size_t... I, std::size_t... J>
void Collect(Kernels& kernels, std::index_sequence<I...>, std::index_sequence<J...>) {
  constexpr auto kForm = static_cast<std::size_t>(form);
  kernels.loops[kForm] = {Loop<form, typename std::tuple_element_t<I, Signatures>::Arithmetic,
                               typename std::tuple_element_t<I, Signatures>::Step>...};
  kernels.range_loops[kForm] = {
      RangeLoopOf<form, typename std::tuple_element_t<J, RangeSignatures>::Arithmetic,
                  typename std::tuple_element_t<J, RangeSignatures>::Out>...};
}

void GetKernels(Kernels& kernels) {
  kernels.target = hwy::TargetName(HWY_TARGET);
  constexpr auto kLoops = std::make_index_sequence<kNumLoops>();
  constexpr auto kRangeLoops = std::make_index_sequence<kNumRangeLoops>();
  Collect<Form::kContinuous>(kernels, kLoops, kRangeLoops);
  Collect<Form::kStaircase>(kernels, kLoops, kRangeLoops);
}

}  // namespace HWY_NAMESPACE
}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace invdecay {

HWY_EXPORT(GetKernels);

std::vector<Kernels>& AllKernels() {
  static std::vector<Kernels> all = [] {
    std::vector<Kernels> found;
    // A target's bit is the lower the better it is.
    for (std::int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
      hwy::SetSupportedTargetsForTest(rest & -rest);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
      HWY_DYNAMIC_DISPATCH(GetKernels)(found.emplace_back());
    }
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return found;
  }();
  return all;
}

}  // namespace invdecay
#endif  // HWY_ONCE
