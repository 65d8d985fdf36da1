// The formula on Highway vectors, and the conversions of its operands and results.
//
// Every operation rounds once to the type of the lanes, in the order of the numeric contract. It
// raises exactly the flags (divide, overflow, underflow, invalid) of the same scalar operation.
//
// A comment on a function says what it computes, on which lanes, with which error and range.

#if defined(INVDECAY_DECAY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INVDECAY_DECAY_INL_H_
#undef INVDECAY_DECAY_INL_H_
#else
#define INVDECAY_DECAY_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "float16.h"
#include "fpenv.h"
#include "kernels.h"

HWY_BEFORE_NAMESPACE();
namespace invdecay {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ------------------------------ The formula

// The largest integer not above v. Lanes: any. Error: none. Range: all, NaN and infinities too.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Floor(D d, V v) {
#if HWY_TARGET == HWY_SCALAR
  // Highway's own scalar floor converts to an integer, which raises INVALID for large numbers.
  return hn::Set(d, std::floor(hn::GetLane(v)));
#else
  (void)d;
  return hn::Floor(v);
#endif
}

// A divisor of many numbers. Where it is `usable`, Quotient divides by it without a division.
template <class T>
struct KnownDivisor {
  T value;
  T reciprocal;
  bool usable;

  // Quotient multiplies steps between these two, and the step 0. Then no product, quotient or
  // remainder leaves the normal range, so that none raises a flag that x / value does not raise.
  static constexpr T kMinStep = sizeof(T) == 4 ? T(0x1p-20) : T(0x1p-200);
  static constexpr T kMaxStep = sizeof(T) == 4 ? T(0x1p64) : T(0x1p200);

  explicit KnownDivisor(T divisor) : value(divisor), reciprocal(0), usable(false) {
#if HWY_NATIVE_FMA
    constexpr T kMin = sizeof(T) == 4 ? T(0x1p-40) : T(0x1p-200);
    constexpr T kMax = sizeof(T) == 4 ? T(0x1p40) : T(0x1p200);
    // Unlike the operators, these comparisons raise nothing for NaN.
    usable =
        std::isgreaterequal(divisor, kMin) && std::islessequal(divisor, kMax) && RoundsToNearest();
    if (usable) reciprocal = T{1} / divisor;
#endif
  }
};

// x / by. Lanes: any. Error: one rounding. Range: all.
template <bool kIntegers, class D, class V = hn::Vec<D>>
HWY_INLINE V Quotient(D, V x, V by) {
  return hn::Div(x, by);
}

// Returns whether all steps are between KnownDivisor's bounds. Negative ones are not.
template <class D, class V = hn::Vec<D>, class T = hn::TFromD<D>>
HWY_INLINE bool AllBetweenBounds(D d, V x) {
  // One signed comparison of the bits, shifted so that the lowest integer stands for kMinStep.
  const hn::RebindToSigned<D> di;
  const hn::RebindToUnsigned<D> du;
  using Bits = hn::TFromD<decltype(du)>;
  const auto bits_of = [&](T value) HWY_ATTR { return hn::BitCast(du, hn::Set(d, value)); };
  const auto lowest = hn::Set(du, Bits{1} << (8 * sizeof(Bits) - 1));
  const auto first = hn::Add(bits_of(KnownDivisor<T>::kMinStep), lowest);
  const auto shifted = hn::Sub(hn::BitCast(du, x), first);
  const auto end = hn::Sub(bits_of(KnownDivisor<T>::kMaxStep), first);
  return hn::AllTrue(di, hn::Lt(hn::BitCast(di, shifted), hn::BitCast(di, end)));
}

// x / by, with the same bits and flags. Lanes: any. Error: one rounding. Range: all. kIntegers
// promises that x holds integers below 2^64 in magnitude.
//
// A product with the reciprocal, corrected once by its remainder, is the correctly rounded quotient
// (Brisebarre, Muller and Raina, IEEE Trans. Computers 53(8), 2004). cpp/README.md has the proof.
template <bool kIntegers, class D, class V = hn::Vec<D>, class T = hn::TFromD<D>>
HWY_INLINE V Quotient(D d, V x, const KnownDivisor<T>& by) {
  const V divisor = hn::Set(d, by.value);
#if HWY_NATIVE_FMA
  if (HWY_LIKELY(by.usable && (kIntegers || AllBetweenBounds(d, x)))) {
    const V reciprocal = hn::Set(d, by.reciprocal);
    const V q = hn::Mul(x, reciprocal);
    return hn::MulAdd(hn::NegMulAdd(q, divisor, x), reciprocal, q);
  }
#endif
  return hn::Div(x, divisor);
}

// The quotient step / decay_steps, floored in the staircase form: p in the numeric contract.
// Lanes: any. Error: none. Range: all.
template <Form form, class D, class V = hn::Vec<D>>
HWY_INLINE V Progress(D d, V quotient) {
  return form == Form::kStaircase ? Floor(d, quotient) : quotient;
}

// initial_learning_rate / (1 + decay_rate * p). Lanes: any. Error: one rounding per operation.
// Range: all.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V LearningRate(D d, V p, V initial_learning_rate, V decay_rate) {
  const V one = hn::Set(d, hn::TFromD<D>{1});
  return hn::Div(initial_learning_rate, hn::Add(one, hn::Mul(decay_rate, p)));
}

// The whole formula. The divisor is a vector or a KnownDivisor.
template <Form form, bool kIntegers, class D, class V = hn::Vec<D>, class Divisor>
HWY_INLINE V LearningRateAt(D d, V step, V initial_learning_rate, const Divisor& decay_steps,
                            V decay_rate) {
  const V p = Progress<form>(d, Quotient<kIntegers>(d, step, decay_steps));
  return LearningRate(d, p, initial_learning_rate, decay_rate);
}

// ------------------------------ Conversions, each with one rounding

// Returns whether elements of type From reach the lanes of D in two halves. 64-bit integers and
// uint32 reach float32 through vectors of float64, which hold half as many lanes.
template <class From, class D>
constexpr bool InHalves() {
  return HWY_TARGET != HWY_SCALAR && std::is_same_v<hn::TFromD<D>, float> &&
         (sizeof(From) == 8 || std::is_same_v<From, std::uint32_t>);
}

// Joins two halves into a vector of d.
template <class D, class V>
HWY_INLINE hn::Vec<D> Join(D d, V upper, V lower) {
#if HWY_TARGET == HWY_SCALAR  // has no halves
  (void)d, (void)upper;
  return lower;
#else
  return hn::Combine(d, upper, lower);
#endif
}

// float64 to float32. Lanes: half of the float64 vector's bytes. Error: one rounding. Range: all;
// large numbers overflow to infinity.
template <class DF, class V>
HWY_INLINE hn::Vec<DF> Demote(DF df, V v) {
#if HWY_TARGET == HWY_SCALAR
  // Highway's own scalar form gives the largest float instead of infinity.
  return hn::Set(df, static_cast<float>(hn::GetLane(v)));
#else
  return hn::DemoteTo(df, v);
#endif
}

// Sets one bit far below the last bit of float32 where a bit is set that float64 might round away,
// and clears those. The result converts to float64 exactly, and from there to float32 as v would.
template <class DI, class V = hn::Vec<DI>>
HWY_INLINE V FoldForFloat32(DI di, V v) {
  using Int = hn::TFromD<DI>;
  // Below 2^53 v itself is exact. One signed comparison, shifted to begin at the lowest integer.
  const hn::RebindToSigned<DI> ds;
  const hn::RebindToUnsigned<DI> du;
  constexpr std::uint64_t kLowest = std::uint64_t{1} << 63;
  constexpr std::uint64_t kBelowZero = std::is_signed_v<Int> ? std::uint64_t{1} << 53 : 0;
  constexpr std::uint64_t kEnd = kLowest + kBelowZero + (std::uint64_t{1} << 53);
  const auto shifted =
      hn::BitCast(ds, hn::Add(hn::BitCast(du, v), hn::Set(du, kLowest + kBelowZero)));
  const auto exact = hn::Lt(shifted, hn::Set(ds, static_cast<std::int64_t>(kEnd)));
  if (HWY_LIKELY(hn::AllTrue(ds, exact))) return v;

  const V low = hn::And(v, hn::Set(di, Int{0xFFF}));
  const V high = hn::AndNot(hn::Set(di, Int{0xFFF}), v);
  const V sticky = hn::IfThenZeroElse(hn::Eq(low, hn::Zero(di)), hn::Set(di, Int{0x800}));
  return hn::IfThenElse(hn::RebindMask(di, exact), v, hn::Or(high, sticky));
}

// Integers in the lanes of di to float64 or float32. Error: one rounding. Range: all.
template <class D, class DI, class V = hn::Vec<DI>>
HWY_INLINE hn::Vec<D> ConvertInteger(D d, DI di, V v) {
  using Int = hn::TFromD<DI>;
  const hn::Rebind<double, D> dd;
  if constexpr (std::is_same_v<hn::TFromD<D>, float>) {
    if constexpr (std::is_same_v<Int, std::int32_t>) {
      return hn::ConvertTo(d, v);
    } else if constexpr (std::is_same_v<Int, std::uint32_t>) {
      return Demote(d, ConvertInteger(dd, di, v));
    } else {
      return Demote(d, ConvertInteger(dd, di, FoldForFloat32(di, v)));
    }
  } else if constexpr (std::is_same_v<Int, std::int32_t>) {
    return hn::PromoteTo(d, v);
  } else if constexpr (std::is_same_v<Int, std::uint32_t>) {
    // Shifted into the range of int32 and back. Both shifts are exact.
    const auto shifted =
        hn::BitCast(hn::RebindToSigned<DI>(), hn::Xor(v, hn::Set(di, 0x80000000u)));
    return hn::Add(hn::PromoteTo(d, shifted), hn::Set(d, 2147483648.0));
  } else if constexpr (std::is_same_v<Int, std::int64_t>) {
    return hn::ConvertTo(d, v);
  } else {
    // Both halves of the bits convert exactly. Their sum is the one rounding.
    const hn::RebindToSigned<DI> ds;
    const auto high = hn::ConvertTo(d, hn::BitCast(ds, hn::ShiftRight<32>(v)));
    const auto low = hn::ConvertTo(d, hn::BitCast(ds, hn::And(v, hn::Set(di, Int{0xFFFFFFFF}))));
    return hn::Add(hn::Mul(high, hn::Set(d, 4294967296.0)), low);
  }
}

// One vector of elements to the lanes of d. Error: one rounding. Range: all.
template <class D, class DFrom>
HWY_INLINE hn::Vec<D> Convert(D d, DFrom d_from, hn::Vec<DFrom> v) {
  using T = hn::TFromD<D>;
  using From = hn::TFromD<DFrom>;
  if constexpr (std::is_same_v<From, T>) {
    return v;
  } else if constexpr (std::is_integral_v<From>) {
    return ConvertInteger(d, d_from, v);
  } else if constexpr (sizeof(From) < sizeof(T)) {
    return hn::PromoteTo(d, v);
  } else {
    return Demote(d, v);
  }
}

// The steps from p on, converted to the lanes of d. Error: one rounding. Range: all.
template <class D, class Step>
HWY_INLINE hn::Vec<D> LoadSteps(D d, const Step* HWY_RESTRICT p) {
  if constexpr (InHalves<Step, D>()) {
    // Both halves are always full: a lane without an element might raise further flags.
    const hn::Half<D> half;
    const hn::Rebind<Step, decltype(half)> d_step;
    const auto lower = Convert(half, d_step, hn::LoadU(d_step, p));
    const auto upper = Convert(half, d_step, hn::LoadU(d_step, p + hn::Lanes(half)));
    return Join(d, upper, lower);
  } else {
    const hn::Rebind<Step, D> d_step;
    return Convert(d, d_step, hn::LoadU(d_step, p));
  }
}

// ------------------------------ Results to float16, rounded once

// Clears the 37 low bits of a float64, and sets bit 37 if one of them was set. float16 keeps the
// bits from 42 on and rounds by bit 41 and by whether one below is set, so it rounds the result as
// v. The result converts to float32 exactly, or is far outside the range of float16.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V FoldForFloat16(D d, V v) {
  const hn::RebindToUnsigned<D> du;
  const auto low = hn::Set(du, (std::uint64_t{1} << 37) - 1);
  const auto bits = hn::BitCast(du, v);
  const auto carry = hn::Add(hn::And(bits, low), low);  // into bit 37
  return hn::BitCast(d, hn::AndNot(low, hn::Or(bits, carry)));
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
// float32 or float64 to the bits of float16, to nearest in every rounding mode, with the flags of
// NumPy's cast: see float16.h. Lanes: any. Error: one rounding. Range: all.
//
// F16C ignores the rounding mode here, as required. But it decides UNDERFLOW after rounding, and so
// misses the numbers that round up to the least normal one.
template <class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<hn::Rebind<std::uint16_t, D>> Float16Bits(D d, V v) {
  const hn::Rebind<float, D> df;
  const hn::RebindToUnsigned<decltype(df)> du;
  const auto narrow = Convert(df, d, v);
  const auto bits = hn::BitCast(du, narrow);
  const auto significant = hn::Set(du, 0x7FFFF000u);
  const auto missed = hn::Set(du, 0x387FF000u);
  if constexpr (std::is_same_v<hn::TFromD<D>, double>) {
    // A rounding to float32, in any mode, keeps v on its side of the numbers of float16 and of the
    // ties between them. Only if it arrives at one of them is the result unsure, and then the 12
    // low bits are zeros.
    const auto low = hn::And(bits, hn::Set(du, 0xFFFu));
    const auto from_missed = hn::And(hn::Xor(bits, missed), significant);
    const auto unsure = hn::Eq(hn::Min(low, from_missed), hn::Zero(du));
    if (HWY_UNLIKELY(!hn::AllFalse(du, unsure))) {
      return Float16Bits(df, Demote(df, FoldForFloat16(d, v)));
    }
  } else if (HWY_UNLIKELY(!hn::AllFalse(du, hn::Eq(hn::And(bits, significant), missed)))) {
    RaiseOnce(FE_UNDERFLOW);
  }
  return hn::BitCast(hn::Rebind<std::uint16_t, D>(),
                     hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), narrow));
}
#else
// The same. It is not inlined, because dozens of loops would repeat it.
template <class D, class V = hn::Vec<D>>
HWY_NOINLINE hn::Vec<hn::Rebind<std::uint16_t, D>> Float16Bits(D d, V v) {
  const hn::Rebind<float, D> df;
  if constexpr (std::is_same_v<hn::TFromD<D>, double>) {
    return Float16Bits(df, Demote(df, FoldForFloat16(d, v)));
  } else {
    // Places for a whole vector: MaxLanes is too small for some tags of SVE2_128 in Highway 1.0.3.
    constexpr std::size_t kMax = HWY_MAX_BYTES / sizeof(float);
    HWY_ALIGN float from[kMax];
    HWY_ALIGN std::uint16_t to[kMax];
    hn::Store(v, d, from);
    const std::size_t lanes = std::min(hn::Lanes(d), kMax);  // a bound that the compiler knows
    for (std::size_t lane = 0; lane < lanes; ++lane) to[lane] = RoundToFloat16(from[lane]);
    return hn::Load(hn::Rebind<std::uint16_t, D>(), to);
  }
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
