// What the loops of all sources share: results, the evaluation loop and its tail.

#if defined(INVDECAY_EVALUATE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INVDECAY_EVALUATE_INL_H_
#undef INVDECAY_EVALUATE_INL_H_
#else
#define INVDECAY_EVALUATE_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "decay-inl.h"
#include "kernels.h"

HWY_BEFORE_NAMESPACE();
namespace invdecay {
namespace HWY_NAMESPACE {

// ------------------------------ Results

// What is stored for a result of type Out: itself, or the bits of a Float16.
template <class Out>
using Stored = std::conditional_t<std::is_same_v<Out, Float16>, std::uint16_t, Out>;

// The lanes of results of type Out that are computed in the lanes of D.
template <class Out, class D>
using OutTag = hn::Rebind<Stored<Out>, D>;

// Rounds v, in the lanes of d, to Out. Error: one rounding. Range: all.
template <class Out, class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<OutTag<Out, D>> RoundTo(D d, V v) {
  if constexpr (std::is_same_v<Out, Float16>) {
    return Float16Bits(d, v);
  } else {
    return Convert(OutTag<Out, D>(), d, v);
  }
}

// Rounds v to Out and stores it at out. A kStream store bypasses the cache; out is then aligned to
// the bytes of the vector stored.
template <bool kStream, class D, class V = hn::Vec<D>, class Out>
HWY_INLINE void StoreTo(D d, V v, Out* out) {
  const OutTag<Out, D> d_out;
  auto* const stored = reinterpret_cast<Stored<Out>*>(out);
  // Highway streams whole vectors only: half of a 16-byte one would overwrite what follows.
  if constexpr (kStream && hn::MaxLanes(d_out) * sizeof(Out) >= 16) {
    hn::Stream(RoundTo<Out>(d, v), d_out, stored);
  } else {
    hn::StoreU(RoundTo<Out>(d, v), d_out, stored);
  }
}

// Returns how many elements precede the first one at out or behind whose address is a multiple of
// the vector's size.
template <class D>
HWY_INLINE std::size_t UntilAligned(D d, const void* out) {
  constexpr std::size_t kSize = sizeof(hn::TFromD<D>);
  const std::size_t vector = hn::Lanes(d) * kSize;
  return (vector - reinterpret_cast<std::uintptr_t>(out) % vector) % vector / kSize;
}

// ------------------------------ Evaluation with constant hyperparameters

// The hyperparameters as the loops use them.
template <class T>
struct Constants {
  T initial_learning_rate;
  KnownDivisor<T> decay_steps;
  T decay_rate;

  explicit Constants(const Hyperparameters<T>& h)
      : initial_learning_rate(h.initial_learning_rate),
        decay_steps(h.decay_steps),
        decay_rate(h.decay_rate) {}
};

// The steps of fewer results than one vector has.
template <class T>
struct PartialVector {
  HWY_ALIGN T steps[hn::MaxLanes(hn::ScalableTag<T>())];
};

// Returns the first `count` steps. The lanes without an element repeat the last one, so that they
// raise no flag that it does not raise.
template <class T, class Step>
HWY_NOINLINE PartialVector<T> Gather(const Step* steps, std::size_t count) {
  PartialVector<T> part;
  for (std::size_t lane = 0; lane < hn::MaxLanes(hn::ScalableTag<T>()); ++lane) {
    part.steps[lane] = static_cast<T>(steps[std::min(lane, count - 1)]);
  }
  return part;
}

// Stores the results of the first `count` steps in out. This is not inlined, to keep the loops
// short: each of them has two such calls.
template <Form form, class T, class Out>
HWY_NOINLINE void EvaluatePart(const PartialVector<T>& part, const Constants<T>& constants,
                               Out* out, std::size_t count) {
  const hn::ScalableTag<T> d;
  const auto v = LearningRateAt<form, false>(
      d, hn::Load(d, part.steps), hn::Set(d, constants.initial_learning_rate),
      constants.decay_steps, hn::Set(d, constants.decay_rate));
  HWY_ALIGN Out result[hn::MaxLanes(d)];
  StoreTo<false>(d, v, result);
  std::memcpy(out, result, count * sizeof(Out));
}

// Returns whether a loop from steps to out should go backwards.
//
// A processor takes a load for a possible reader of an earlier store whose address is equal modulo
// 4,096, and holds it back until that store has finished. A loop that goes forwards meets this
// where the results lie up to some 250 bytes behind the steps, modulo 4,096; a loop that goes
// backwards, where they lie as much before them. Either way the direction returned keeps a distance
// of 2,048 bytes from that. Where steps and results differ in size, their distance changes along
// the array and does no harm at most places, so that nothing is gained.
template <class Step, class Out>
HWY_INLINE bool GoesBackwards(const Step* steps, const Out* out) {
  // Compilers vectorise the scalar target's loop, but forwards only.
  if constexpr (sizeof(Step) != sizeof(Out) || HWY_TARGET == HWY_SCALAR) return false;
  return (reinterpret_cast<std::uintptr_t>(out) - reinterpret_cast<std::uintptr_t>(steps)) % 4096 <
         2048;
}

// Stores the results of n steps that lie side by side in out.
template <Form form, bool kStream, class T, class Step, class Out>
HWY_INLINE void Evaluate(const Step* steps, const Constants<T> constants, Out* out, std::size_t n) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  if constexpr (kStream) {
    const std::size_t head = std::min(n, UntilAligned(OutTag<Out, decltype(d)>(), out));
    if (head > 0) EvaluatePart<form>(Gather<T>(steps, head), constants, out, head);
    steps += head;
    out += head;
    n -= head;
  }
  const std::size_t tail = n % lanes, whole = n - tail;
  const bool backwards = GoesBackwards(steps, out);
  const auto stride = static_cast<std::ptrdiff_t>(backwards ? 0 - lanes : lanes);
  auto i = static_cast<std::ptrdiff_t>(backwards && whole > 0 ? whole - lanes : 0);
  const auto lr = hn::Set(d, constants.initial_learning_rate);
  const auto rate = hn::Set(d, constants.decay_rate);
  for (std::size_t left = whole; left > 0; left -= lanes, i += stride) {
    const auto v = LearningRateAt<form, std::is_integral_v<Step>>(d, LoadSteps(d, steps + i), lr,
                                                                  constants.decay_steps, rate);
    StoreTo<kStream>(d, v, out + i);
  }
  if (tail > 0) EvaluatePart<form>(Gather<T>(steps + whole, tail), constants, out + whole, tail);
  if constexpr (kStream) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
