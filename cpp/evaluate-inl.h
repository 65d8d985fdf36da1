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

// The lanes of results of type Out that are computed in the lanes of D.
template <class Out, class D>
using OutTag = hn::Rebind<Out, D>;

// Rounds v, in the lanes of d, to Out. Error: one rounding. Range: all.
template <class Out, class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<OutTag<Out, D>> RoundTo(D, V v) {
  if constexpr (std::is_same_v<Out, hn::TFromD<D>>) {
    return v;
  } else {
    return Demote(OutTag<Out, D>(), v);
  }
}

// Rounds v to Out and stores it at out. A kStream store bypasses the cache; out is then aligned to
// the bytes of the vector stored.
template <bool kStream, class D, class V = hn::Vec<D>, class Out>
HWY_INLINE void StoreTo(D d, V v, Out* out) {
  const OutTag<Out, D> d_out;
  // Highway streams whole vectors only: half of a 16-byte one would overwrite what follows.
  if constexpr (kStream && hn::MaxLanes(d_out) * sizeof(Out) >= 16) {
    hn::Stream(RoundTo<Out>(d, v), d_out, out);
  } else {
    hn::StoreU(RoundTo<Out>(d, v), d_out, out);
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

// Returns elements [i, i + count) of the steps. The lanes without an element repeat the last one,
// so that they raise no flag that it does not raise.
template <class T, class Steps>
HWY_INLINE PartialVector<T> Gather(const Steps& steps, std::size_t i, std::size_t count) {
  PartialVector<T> part;
  for (std::size_t lane = 0; lane < hn::MaxLanes(hn::ScalableTag<T>()); ++lane) {
    part.steps[lane] = steps.At(i + std::min(lane, count - 1));
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
  hn::Store(RoundTo<Out>(d, v), OutTag<Out, decltype(d)>(), result);
  std::memcpy(out, result, count * sizeof(Out));
}

// Stores the results of n steps in out. Steps has Load, for the vector from element i on; At, for
// one element; and Prefetch. Steps and constants are copies, which no store to out can change, so
// that the compiler keeps them in registers.
template <Form form, bool kStream, class T, class Steps, class Out>
HWY_INLINE void Evaluate(const Steps steps, const Constants<T> constants, Out* out, std::size_t n) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  if constexpr (kStream) {
    i = std::min(n, UntilAligned(OutTag<Out, decltype(d)>(), out));
    if (i > 0) EvaluatePart<form>(Gather<T>(steps, 0, i), constants, out, i);
  }
  const auto lr = hn::Set(d, constants.initial_learning_rate);
  const auto rate = hn::Set(d, constants.decay_rate);
  for (; i + lanes <= n; i += lanes) {
    if constexpr (kStream) steps.Prefetch(i);
    StoreTo<kStream>(d,
                     LearningRateAt<form, Steps::kIntegers>(d, steps.Load(d, i), lr,
                                                            constants.decay_steps, rate),
                     out + i);
  }
  if (i < n) EvaluatePart<form>(Gather<T>(steps, i, n - i), constants, out + i, n - i);
  if constexpr (kStream) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
