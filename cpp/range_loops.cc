// Loops over ranges of steps that no array holds, compiled once per SIMD target.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "range_loops.cc"  // NOLINT: Highway's protocol
#include <hwy/foreach_target.h>              // must come before highway.h

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "evaluate-inl.h"
#include "fpenv.h"
#include "kernels.h"
#include "parallel.h"
#include "targets.h"

HWY_BEFORE_NAMESPACE();
namespace invdecay {
namespace HWY_NAMESPACE {
namespace {

// The steps start + i * step, computed modulo 2^64: a sum that leaves int64 on the way returns.
struct RangeSteps {
  std::int64_t start, step;

  std::int64_t operator[](std::size_t i) const {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(start) +
                                     i * static_cast<std::uint64_t>(step));
  }
};

// ------------------------------ Wide stairs

// Stores value in [out, out + n).
template <bool kStream, class Element>
HWY_NOINLINE void Fill(Element* out, std::size_t n, Element value) {
  const hn::ScalableTag<Element> d;
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

// Elements [begin, end) of a staircase: one evaluation and one fill for each stair. The stair is
// monotone in the step in every rounding mode. So its end is guessed from its width and checked on
// both sides; where the guess is wrong, a bisection finds it.
template <bool kStream, class T, class Out>
void FillStairs(const RangeSteps& steps, const Hyperparameters<T>& hyper, Out* out,
                std::size_t begin, std::size_t end) {
  const hn::ScalableTag<T> d;
  const auto decay_steps = hn::Set(d, hyper.decay_steps);
  const auto stair_at = [&](std::size_t i) HWY_ATTR {
    const auto q = Quotient<true>(d, hn::Set(d, static_cast<T>(steps[i])), decay_steps);
    return hn::GetLane(Progress<Form::kStaircase>(d, q));
  };
  while (begin < end) {
    const T stair = stair_at(begin);
    const double edge = (static_cast<double>(stair) + (steps.step > 0 ? 1 : 0)) *
                        static_cast<double>(hyper.decay_steps);
    const double width =
        std::ceil((edge - static_cast<double>(steps[begin])) / static_cast<double>(steps.step));
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
    Fill<kStream>(reinterpret_cast<Stored<Out>*>(out) + begin, next - begin,
                  hn::GetLane(RoundTo<Out>(d, v)));
    begin = next;
  }
  if constexpr (kStream) hwy::FlushStream();
}

// ------------------------------ The loops

template <class T, class Out>
struct RangeCall {
  Out* out;
  RangeSteps steps;
  Hyperparameters<T> hyper;
};

template <bool kStream, class T, class Out>
void EvaluateStairs(const void* context, std::size_t begin, std::size_t end) {
  const auto& call = *static_cast<const RangeCall<T, Out>*>(context);
  FillStairs<kStream>(call.steps, call.hyper, call.out, begin, end);
}

// The steps from number i on, in the lanes of d.
template <class D>
HWY_NOINLINE hn::Vec<D> Indices(D d, const RangeSteps& steps, std::size_t i) {
  using Index = hn::TFromD<D>;
  HWY_ALIGN Index index[HWY_MAX_BYTES / sizeof(Index)];
  for (std::size_t lane = 0; lane < hn::Lanes(d); ++lane) {
    index[lane] = static_cast<Index>(steps[i + lane]);
  }
  return hn::Load(d, index);
}

// Fewer elements than a vector has: see Gather in evaluate-inl.h.
template <Form form, class T, class Out>
HWY_NOINLINE void EvaluateFew(const RangeCall<T, Out>& call, std::size_t i, std::size_t count) {
  PartialVector<T> part;
  for (std::size_t lane = 0; lane < hn::MaxLanes(hn::ScalableTag<T>()); ++lane) {
    part.steps[lane] = static_cast<T>(call.steps[i + std::min(lane, count - 1)]);
  }
  EvaluatePart<form>(part, Constants<T>(call.hyper), call.out + i, count);
}

// Elements [begin, end) of a range. Index is a type that holds all of its steps exactly: an integer
// type or, up to 2^52, double. A vector of indices goes from vector to vector by an addition, which
// is exact.
template <Form form, bool kStream, class T, class Out, class Index>
void EvaluateRange(const void* context, std::size_t begin, std::size_t end) {
  const auto& call = *static_cast<const RangeCall<T, Out>*>(context);
  const RangeSteps steps = call.steps;
  const Constants<T> constants(call.hyper);
  Out* const out = call.out;
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = begin;
  if constexpr (kStream) {
    const std::size_t head =
        std::min(end - begin, UntilAligned(OutTag<Out, decltype(d)>(), out + i));
    if (head > 0) EvaluateFew<form>(call, i, head);
    i += head;
  }
  const auto lr = hn::Set(d, constants.initial_learning_rate);
  const auto rate = hn::Set(d, constants.decay_rate);
  constexpr bool kHalves = InHalves<Index, decltype(d)>();
  const std::conditional_t<kHalves, hn::Half<decltype(d)>, decltype(d)> part;
  const hn::Rebind<Index, decltype(part)> d_index;
  auto index = Indices(d_index, steps, i);
  auto upper = kHalves ? Indices(d_index, steps, i + lanes / 2) : index;
  const auto distance = hn::Set(d_index, static_cast<Index>(RangeSteps{0, steps.step}[lanes]));
  const auto store = [&](auto step, std::size_t at) HWY_ATTR {
    StoreTo<kStream>(d, LearningRateAt<form, true>(d, step, lr, constants.decay_steps, rate),
                     out + at);
  };
  for (; i + lanes <= end; i += lanes) {
    if constexpr (kHalves) {
      store(Join(d, Convert(part, d_index, upper), Convert(part, d_index, index)), i);
      upper = hn::Add(upper, distance);
    } else {
      store(Convert(d, d_index, index), i);
    }
    index = hn::Add(index, distance);
  }
  if (i < end) EvaluateFew<form>(call, i, end - i);
  if constexpr (kStream) hwy::FlushStream();
}

// The body for a range whose steps are all from low to high.
template <Form form, bool kStream, class T, class Out>
ParallelBody ChooseBody(std::int64_t low, std::int64_t high) {
  const auto within = [=](std::int64_t bound) { return low >= -bound && high <= bound; };
  if (sizeof(T) == 4 && within(std::numeric_limits<std::int32_t>::max())) {
    return EvaluateRange<form, kStream, T, Out, std::int32_t>;
  }
  if (within(std::int64_t{1} << 52)) return EvaluateRange<form, kStream, T, Out, double>;
  return EvaluateRange<form, kStream, T, Out, std::int64_t>;
}

template <Form form, class T, class Out>
void Loop(void* out, std::size_t n, std::int64_t start, std::int64_t step,
          const Hyperparameters<double>& hyper, const Resources& resources) noexcept {
  if (n == 0) return;
  RangeCall<T, Out> call{static_cast<Out*>(out), {start, step}, {}};
  bool wide_stairs = false;
  {
    // The flags of a call are those of the schedule, not of these preparations.
    const HideExceptions hide;
    call.hyper = {static_cast<T>(hyper.initial_learning_rate), static_cast<T>(hyper.decay_steps),
                  static_cast<T>(hyper.decay_rate)};
    // Wide enough to be filled. An underflow in step / decay_steps must be excluded, because its
    // flag may come from a step that FillStairs does not evaluate.
    const auto decay_steps = static_cast<double>(call.hyper.decay_steps);
    wide_stairs = decay_steps / std::abs(static_cast<double>(step)) >= 16 && decay_steps < 1e30;
  }
  const bool stream = n * sizeof(Out) > resources.cache_bytes;
  ParallelBody body = nullptr;
  if (form == Form::kStaircase && wide_stairs) {
    body = stream ? EvaluateStairs<true, T, Out> : EvaluateStairs<false, T, Out>;
  } else {
    const auto last = static_cast<std::int64_t>(static_cast<std::uint64_t>(start) +
                                                (n - 1) * static_cast<std::uint64_t>(step));
    const std::int64_t low = std::min(start, last), high = std::max(start, last);
    body = stream ? ChooseBody<form, true, T, Out>(low, high)
                  : ChooseBody<form, false, T, Out>(low, high);
  }
  ParallelFor(n, sizeof(Out), resources.threads, body, &call);
}

template <class T, class Out>
void AddLoops(std::vector<RangeLoop>& loops) {
  loops.push_back(
      {Form::kContinuous, DTypeOf<T>(), DTypeOf<Out>(), Loop<Form::kContinuous, T, Out>});
  loops.push_back({Form::kStaircase, DTypeOf<T>(), DTypeOf<Out>(), Loop<Form::kStaircase, T, Out>});
}

}  // namespace
}  // namespace HWY_NAMESPACE

template <>
std::vector<RangeLoop> RangeLoops<HWY_TARGET>() {
  std::vector<RangeLoop> loops;
  HWY_NAMESPACE::AddLoops<double, double>(loops);
  HWY_NAMESPACE::AddLoops<double, float>(loops);
  HWY_NAMESPACE::AddLoops<double, Float16>(loops);
  HWY_NAMESPACE::AddLoops<float, float>(loops);
  HWY_NAMESPACE::AddLoops<float, Float16>(loops);
  return loops;
}

}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace invdecay {

std::vector<RangeLoop> RangeLoopsFor(std::int64_t target) {
  std::vector<RangeLoop> loops;
  WithTarget(target, [&](auto t) { loops = RangeLoops<t()>(); });
  return loops;
}

}  // namespace invdecay
#endif  // HWY_ONCE
