// The formula on Highway vectors, and the conversions on its two ends.
//
// Every operation is rounded once to the lanes' type, in the order of the numeric contract, and
// raises exactly the IEEE flags divide, overflow, underflow and invalid of its scalar twin.

#if defined(INVDECAY_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INVDECAY_KERNELS_INL_H_
#undef INVDECAY_KERNELS_INL_H_
#else
#define INVDECAY_KERNELS_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels.h"
#include "parallel.h"

HWY_BEFORE_NAMESPACE();
namespace invdecay {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Largest integer not above v. Lanes: any. Error: none. Range: all, NaN and infinities too.
// Highway's emulations for the targets without a rounding instruction raise a spurious INVALID.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Floor(D d, V v) {
#if HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  using T = hn::TFromD<D>;
  const hn::RebindToSigned<D> di;
  // From 2^(mantissa bits) on, every number is an integer; NaN and infinities compare above too.
  const V integers_only = hn::Set(d, sizeof(T) == 4 ? T{1 << 23} : T{1LL << 52});
  const V magnitude = hn::Abs(v);
  const auto has_fraction =
      hn::RebindMask(d, hn::Lt(hn::BitCast(di, magnitude), hn::BitCast(di, integers_only)));
  const V small = hn::IfThenElseZero(has_fraction, v);
  const V rounded =
      hn::CopySign(hn::Sub(hn::Add(hn::Abs(small), integers_only), integers_only), small);
  const V floored =
      hn::IfThenElse(hn::Gt(rounded, small), hn::Sub(rounded, hn::Set(d, T{1})), rounded);
  return hn::IfThenElse(has_fraction, floored, v);
#else
  (void)d;
  return hn::Floor(v);
#endif
}

// A divisor used for many quotients. Where `usable`, x / value is had without a division.
template <class T>
struct KnownDivisor {
  T value;
  T reciprocal;
  bool usable;

  // Steps that Quotient multiplies: no product, quotient or remainder of theirs leaves the normal
  // range, so none raises a flag that x / value does not. Integers, 0 included, are all right.
  static constexpr T kMinStep = sizeof(T) == 4 ? T(0x1p-20) : T(0x1p-200);
  static constexpr T kMaxStep = sizeof(T) == 4 ? T(0x1p64) : T(0x1p200);

  explicit KnownDivisor(T divisor) : value(divisor), reciprocal(0), usable(false) {
#if HWY_NATIVE_FMA
    constexpr T kMin = sizeof(T) == 4 ? T(0x1p-40) : T(0x1p-200);
    constexpr T kMax = sizeof(T) == 4 ? T(0x1p40) : T(0x1p200);
    // These comparisons raise nothing for NaN, as the operators would.
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

// Whether all steps are in KnownDivisor's open interval. Negative ones are not.
template <class D, class V = hn::Vec<D>, class T = hn::TFromD<D>>
HWY_INLINE bool AllOrdinary(D d, V x) {
  // One signed comparison of the bits, moved so that the interval begins at the lowest integer.
  const hn::RebindToSigned<D> di;
  const hn::RebindToUnsigned<D> du;
  using Bits = hn::TFromD<decltype(du)>;
  const auto bits_of = [&](T value) HWY_ATTR { return hn::BitCast(du, hn::Set(d, value)); };
  const auto lowest = hn::Set(du, Bits{1} << (8 * sizeof(Bits) - 1));
  const auto first = hn::Add(bits_of(KnownDivisor<T>::kMinStep), lowest);
  const auto moved = hn::Sub(hn::BitCast(du, x), first);
  const auto end = hn::Sub(bits_of(KnownDivisor<T>::kMaxStep), first);
  return hn::AllTrue(di, hn::Lt(hn::BitCast(di, moved), hn::BitCast(di, end)));
}

// The same bits and flags. Lanes: any. Error: one rounding. Range: all; x holds integers
// where kIntegers says so.
//
// One correction by the remainder makes of the product with the reciprocal the rounded quotient
// (Brisebarre, Muller and Raina, IEEE Trans. Computers 53(8), 2004); the argument: cpp/README.md.
template <bool kIntegers, class D, class V = hn::Vec<D>, class T = hn::TFromD<D>>
HWY_INLINE V Quotient(D d, V x, const KnownDivisor<T>& by) {
  const V divisor = hn::Set(d, by.value);
#if HWY_NATIVE_FMA
  if (HWY_LIKELY(by.usable && (kIntegers || AllOrdinary(d, x)))) {
    const V reciprocal = hn::Set(d, by.reciprocal);
    const V q = hn::Mul(x, reciprocal);
    return hn::MulAdd(hn::NegMulAdd(q, divisor, x), reciprocal, q);
  }
#endif
  return hn::Div(x, divisor);
}

// How far the schedule has come: the quotient step / decay_steps, floored in the staircase form.
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

// ------------------------------ Steps into the arithmetic type, one rounding

// Calls convert(part, i) for the lanes of d from lane i on that part has, and joins the results.
// 64-bit steps, and uint32 on its way to float32, pass through float64 lanes, and so become float32
// by halves. The halves are joined, as a lane without an element would show its own flags.
template <class StepT, class D, class Convert>
HWY_INLINE hn::Vec<D> ByParts(D d, const Convert& convert) {
#if HWY_TARGET == HWY_SCALAR
  return convert(d, std::size_t{0});
#else
  if constexpr (std::is_same_v<hn::TFromD<D>, float> &&
                (sizeof(StepT) == 8 || std::is_same_v<StepT, std::uint32_t>)) {
    const hn::Half<D> half;
    return hn::Combine(d, convert(half, hn::Lanes(half)), convert(half, std::size_t{0}));
  } else {
    return convert(d, std::size_t{0});
  }
#endif
}

// float64 to float32. Lanes: half of the float64 vector's bytes. Error: one rounding. Range: all;
// overflows to infinity. Highway's scalar form saturates to the largest float instead.
template <class DF, class V>
HWY_INLINE hn::Vec<DF> Demote(DF df, V v) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  HWY_ALIGN double from[hn::MaxLanes(df)];
  HWY_ALIGN float to[hn::MaxLanes(df)];
  hn::Store(v, hn::Rebind<double, DF>(), from);
  for (size_t i = 0; i < hn::MaxLanes(df); ++i) to[i] = static_cast<float>(from[i]);
  return hn::Load(df, to);
#else
  return hn::DemoteTo(df, v);
#endif
}

// Folds the bits that float64 might round away into one sticky bit, far below the last bit of
// float32: the result converts to float64 exactly and from there to float32 as v would.
template <class DI, class V = hn::Vec<DI>>
HWY_INLINE V FoldForFloat32(DI di, V v) {
  using Int = hn::TFromD<DI>;
  // Below 2^53 v itself is exact. One signed comparison, moved to begin at the lowest integer.
  const hn::RebindToSigned<DI> ds;
  const hn::RebindToUnsigned<DI> du;
  constexpr std::uint64_t kLowest = std::uint64_t{1} << 63;
  constexpr std::uint64_t kBelowZero = std::is_signed_v<Int> ? std::uint64_t{1} << 53 : 0;
  constexpr std::uint64_t kEnd = kLowest + kBelowZero + (std::uint64_t{1} << 53);
  const auto moved =
      hn::BitCast(ds, hn::Add(hn::BitCast(du, v), hn::Set(du, kLowest + kBelowZero)));
  const auto exact = hn::Lt(moved, hn::Set(ds, static_cast<std::int64_t>(kEnd)));
  if (HWY_LIKELY(hn::AllTrue(ds, exact))) return v;

  const V low = hn::And(v, hn::Set(di, Int{0xFFF}));
  const V high = hn::AndNot(hn::Set(di, Int{0xFFF}), v);
  const V sticky = hn::IfThenZeroElse(hn::Eq(low, hn::Zero(di)), hn::Set(di, Int{0x800}));
  return hn::IfThenElse(hn::RebindMask(di, exact), v, hn::Or(high, sticky));
}

// Integers, in the lanes of di, to float64 or float32. Error: one rounding. Range: all.
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
    // Shifted into the range of int32 and back, both exact.
    const auto shifted =
        hn::BitCast(hn::RebindToSigned<DI>(), hn::Xor(v, hn::Set(di, 0x80000000u)));
    return hn::Add(hn::PromoteTo(d, shifted), hn::Set(d, 2147483648.0));
  } else if constexpr (std::is_same_v<Int, std::int64_t>) {
    return hn::ConvertTo(d, v);
  } else {
    // Both halves convert exactly; their sum is the one rounding.
    const hn::RebindToSigned<DI> ds;
    const auto high = hn::ConvertTo(d, hn::BitCast(ds, hn::ShiftRight<32>(v)));
    const auto low = hn::ConvertTo(d, hn::BitCast(ds, hn::And(v, hn::Set(di, Int{0xFFFFFFFF}))));
    return hn::Add(hn::Mul(high, hn::Set(d, 4294967296.0)), low);
  }
}

// The steps from p on, in the lanes of d. Error: one rounding. Range: all.
template <class D, class StepT>
HWY_INLINE hn::Vec<D> LoadSteps(D d, const StepT* HWY_RESTRICT p) {
  return ByParts<StepT>(d, [p](auto part, std::size_t i) HWY_ATTR {
    const hn::Rebind<StepT, decltype(part)> ds;
    const auto v = hn::LoadU(ds, p + i);
    if constexpr (std::is_same_v<StepT, hn::TFromD<D>>) {
      return v;
    } else if constexpr (std::is_floating_point_v<StepT>) {
      return hn::PromoteTo(part, v);
    } else {
      return ConvertInteger(part, ds, v);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
