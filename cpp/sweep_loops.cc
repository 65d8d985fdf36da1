// The loops of sweeps, compiled once per SIMD target.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sweep_loops.cc"  // NOLINT: Highway's protocol
#include <hwy/foreach_target.h>              // must come before highway.h

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "evaluate-inl.h"
#include "kernels.h"
#include "targets.h"

HWY_BEFORE_NAMESPACE();
namespace invdecay {
namespace HWY_NAMESPACE {
namespace {

// Vectors have one cache line at most, so that tables that repeat with them stay small.
template <class T>
constexpr std::size_t kMaxLanes = 64 / sizeof(T);
template <class T>
using SweepTag = hn::CappedTag<T, kMaxLanes<T>>;

// ------------------------------ Operands

template <class T, class From>
void GatherArray(std::uint64_t first, std::int64_t stride, T* to, std::size_t n) {
  if (stride == 0 && n > 1) {
    GatherArray<T, From>(first, 0, to, 1);
    std::fill(to + 1, to + n, to[0]);
    return;
  }
  std::size_t i = 0;
  if (stride == std::int64_t{sizeof(From)} && first % sizeof(From) == 0) {
    const hn::ScalableTag<T> d;
    const auto* from = AtAddress<const From>(first);
    for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
      hn::StoreU(LoadSteps(d, from + i), d, to + i);
    }
  }
  for (; i < n; ++i) {
    From element;
    std::memcpy(&element, AtAddress<const char>(first + i * static_cast<std::uint64_t>(stride)),
                sizeof element);
    to[i] = static_cast<T>(element);
  }
}

template <class T>
void GatherRange(std::uint64_t first, std::int64_t distance, T* to, std::size_t n) {
  constexpr std::size_t kBlock = 64;
  std::int64_t steps[kBlock];
  for (std::size_t i = 0; i < n; i += kBlock) {
    const std::size_t count = std::min(kBlock, n - i);
    for (std::size_t j = 0; j < count; ++j) {
      steps[j] = static_cast<std::int64_t>(first + j * static_cast<std::uint64_t>(distance));
    }
    GatherArray<T, std::int64_t>(reinterpret_cast<std::uintptr_t>(steps), sizeof(std::int64_t),
                                 to + i, count);
    first += count * static_cast<std::uint64_t>(distance);
  }
}

// Replaces n steps by their progress. If the last vector is not whole, it is evaluated in a
// copy whose other lanes repeat the last element, so that they raise no flag that it does not
// raise.
template <Form form, class T>
void ProgressOf(T* steps, const T* decay_steps, bool one, std::size_t n) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const KnownDivisor<T> divisor(decay_steps[0]);
  const auto evaluate = [&](T* at, const T* by) HWY_ATTR {
    const auto x = hn::LoadU(d, at);
    const auto q = one ? Quotient<false>(d, x, divisor) : Quotient<false>(d, x, hn::LoadU(d, by));
    hn::StoreU(Progress<form>(d, q), d, at);
  };
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) evaluate(steps + i, decay_steps + (one ? 0 : i));
  if (i == n) return;
  HWY_ALIGN T x[HWY_MAX_BYTES / sizeof(T)], by[HWY_MAX_BYTES / sizeof(T)];
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const std::size_t j = std::min(i + lane, n - 1);
    x[lane] = steps[j];
    by[lane] = decay_steps[one ? 0 : j];
  }
  evaluate(x, by);
  std::memcpy(steps + i, x, (n - i) * sizeof(T));
}

template <class T>
void ProgressOfForm(Form form, T* steps, const T* decay_steps, bool one, std::size_t n) {
  if (form == Form::kStaircase) {
    ProgressOf<Form::kStaircase>(steps, decay_steps, one, n);
  } else {
    ProgressOf<Form::kContinuous>(steps, decay_steps, one, n);
  }
}

// ------------------------------ Long rows

template <class D, class V = hn::Vec<D>, class Out>
HWY_INLINE void StoreResult(D d, V p, V lr, V rate, Out* out, bool stream) {
  const auto v = LearningRate(d, p, lr, rate);
  if (stream) {
    StoreTo<true>(d, v, out);
  } else {
    StoreTo<false>(d, v, out);
  }
}

template <class T, class Out, bool kDivide>
void LongRows(Form form, const SweepValues<T>& values, std::size_t columns, std::size_t column,
              const SweepOutput& output) {
  const SweepTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::size_t kQuantities = kDivide ? kDivisor + 1 : kDivisor;
  HWY_ALIGN T row[kQuantities][kMaxLanes<T>];
  Out* out = static_cast<Out*>(output.data);
  const bool stream = output.stream;
  // Vectors that lie in one row are evaluated in one loop. A vector in which a row ends is
  // evaluated alone. It takes the row's number in its first lanes and the next row's number in the
  // others.
  std::size_t r = 0;
  for (std::size_t vectors = output.n / lanes; vectors > 0;) {
    const std::size_t rest = columns - column;
    const std::size_t run = rest < lanes ? 1 : std::min(vectors, rest / lanes);
    bool backwards = false;
    const T* from[kQuantities];
    std::ptrdiff_t stride[kQuantities];
    for (std::size_t q = 0; q < kQuantities; ++q) {
      if (values.columns[q] != nullptr) {
        from[q] = values.columns[q] + column;
        stride[q] = static_cast<std::ptrdiff_t>(lanes);
        backwards = backwards || (reinterpret_cast<std::uintptr_t>(out) -
                                  reinterpret_cast<std::uintptr_t>(from[q])) %
                                         4096 <
                                     512;
      } else {
        from[q] = row[q];
        stride[q] = 0;
        const T* number = values.rows[q] + r;
        const auto v = hn::Set(d, number[0]);
        hn::Store(rest < lanes ? hn::IfThenElse(hn::FirstN(d, rest), v, hn::Set(d, number[1])) : v,
                  d, row[q]);
      }
    }
    auto out_stride = static_cast<std::ptrdiff_t>(lanes);
    Out* to = out;
    if (HWY_TARGET != HWY_SCALAR && backwards && stream) {
      const auto last = static_cast<std::ptrdiff_t>(run - 1);
      to += last * out_stride;
      out_stride = -out_stride;
      for (std::size_t q = 0; q < kQuantities; ++q) {
        from[q] += last * stride[q];
        stride[q] = -stride[q];
      }
    }
    const T* p = from[kProgress];
    const T* lr = from[kLearningRate];
    const T* rate = from[kRate];
    const std::ptrdiff_t p_stride = stride[kProgress], lr_stride = stride[kLearningRate],
                         rate_stride = stride[kRate];
    const T* divisor = kDivide ? from[kQuantities - 1] : nullptr;
    const std::ptrdiff_t divisor_stride = kDivide ? stride[kQuantities - 1] : 0;
    for (std::size_t left = run; left > 0; --left) {
      auto progress = hn::LoadU(d, p);
      if constexpr (kDivide) {
        progress = Quotient<false>(d, progress, hn::LoadU(d, divisor));
        if (form == Form::kStaircase) progress = Floor(d, progress);
        divisor += divisor_stride;
      }
      StoreResult(d, progress, hn::LoadU(d, lr), hn::LoadU(d, rate), to, stream);
      p += p_stride;
      lr += lr_stride;
      rate += rate_stride;
      to += out_stride;
    }
    out += run * lanes;
    vectors -= run;
    column += run * lanes;
    if (column >= columns) {
      column -= columns;
      ++r;
    }
  }
}

// ------------------------------ Short rows

// A quantity of the vector that begins `row` rows and `k` elements of the pattern ahead.
template <bool kRow, bool kFewRows, class D, class T = hn::TFromD<D>, class Indices>
HWY_INLINE hn::Vec<D> ShortRowValue(D d, const T* columns, const T* rows, std::size_t row,
                                    std::size_t k, Indices indices) {
  if constexpr (!kRow) {
    return hn::Load(d, columns + k);
  } else if constexpr (kFewRows) {
    return hn::TableLookupLanes(hn::LoadDup128(d, rows + row), indices);
  } else {
    return hn::TableLookupLanes(hn::LoadU(d, rows + row), indices);
  }
}

// Calls body(row, k, indices) for each vector of n elements from the beginning of a pattern on. It
// begins `row` rows and `k` elements of the pattern ahead, and takes the rows' numbers by
// `indices`.
template <class T, class Body>
HWY_INLINE void ForEachVector(const ShortRowPattern<T>& pattern, std::size_t columns,
                              std::size_t column, std::size_t n, const Body& body) {
  const SweepTag<T> d;
  const hn::RebindToSigned<decltype(d)> d_index;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t whole_rows = lanes / columns, rest = lanes % columns;
  std::size_t row = 0, k = 0;
  for (std::size_t vectors = n / lanes; vectors > 0; --vectors) {
    body(row, k, hn::IndicesFromVec(d, hn::Load(d_index, pattern.row + k)));
    k += lanes;
    k = k == pattern.size ? 0 : k;
    column += rest;
    const bool wraps = column >= columns;
    column -= wraps ? columns : 0;
    row += whole_rows + (wraps ? 1 : 0);
  }
}

// kRows has a bit for each quantity that is the same for a whole row. kFewRows: no vector has more
// rows than 16 bytes have numbers, which are loaded in half of the time. In float64 the division
// hides that.
template <class T, class Out, bool kFewRows, unsigned kRows>
void ShortRowsOf(const SweepValues<T>& values, const ShortRowPattern<T>& pattern,
                 std::size_t columns, std::size_t column, const SweepOutput& output) {
  const SweepTag<T> d;
  const T* p_columns = values.columns[kProgress];
  const T* p_rows = values.rows[kProgress];
  const T* lr_columns = values.columns[kLearningRate];
  const T* lr_rows = values.rows[kLearningRate];
  const T* rate_columns = values.columns[kRate];
  const T* rate_rows = values.rows[kRate];
  const bool stream = output.stream;
  Out* out = static_cast<Out*>(output.data);
  ForEachVector(
      pattern, columns, column, output.n,
      [&](std::size_t row, std::size_t k, auto indices) HWY_ATTR {
        const auto p =
            ShortRowValue<(kRows & 1) != 0, kFewRows>(d, p_columns, p_rows, row, k, indices);
        const auto lr =
            ShortRowValue<(kRows & 2) != 0, kFewRows>(d, lr_columns, lr_rows, row, k, indices);
        const auto rate =
            ShortRowValue<(kRows & 4) != 0, kFewRows>(d, rate_columns, rate_rows, row, k, indices);
        StoreResult(d, p, lr, rate, out, stream);
        out += hn::Lanes(d);
      });
}

template <class T, class Out, bool kFewRows, unsigned... kRows>
constexpr auto ShortRowLoops(std::integer_sequence<unsigned, kRows...>) {
  return std::array{ShortRowsOf<T, Out, kFewRows, kRows>...};
}

template <class T, class Out>
void ShortRows(const SweepValues<T>& values, const ShortRowPattern<T>& pattern, std::size_t columns,
               std::size_t column, const SweepOutput& output) {
  constexpr std::size_t kFew = 16 / sizeof(T);
  const std::size_t lanes = hn::Lanes(SweepTag<T>());
  constexpr auto kAllRows = std::make_integer_sequence<unsigned, 1 << kDivisor>();
  std::size_t rows = 0;
  for (std::size_t q = 0; q < kDivisor; ++q) {
    if (values.rows[q] != nullptr) rows |= std::size_t{1} << q;
  }
  static constexpr auto kAny = ShortRowLoops<T, Out, false>(kAllRows);
  auto* loop = kAny[rows];
  if constexpr (HWY_MAX_BYTES > 16 && sizeof(T) == 4) {
    static constexpr auto kFewRows = ShortRowLoops<T, Out, true>(kAllRows);
    if (lanes > kFew && (columns + lanes - 2) / columns + 1 <= kFew) loop = kFewRows[rows];
  }
  loop(values, pattern, columns, column, output);
}

// Progress where one of steps and decay_steps varies along a row and the other is the same for it.
template <Form form, bool kStepByRow, class T>
void ShortProgressOf(const T* by_column, const T* by_row, const ShortRowPattern<T>& pattern,
                     std::size_t columns, std::size_t column, T* to, std::size_t n) {
  const SweepTag<T> d;
  ForEachVector(pattern, columns, column, n,
                [&](std::size_t row, std::size_t k, auto indices) HWY_ATTR {
                  const auto c = hn::Load(d, by_column + k);
                  const auto r = hn::TableLookupLanes(hn::LoadU(d, by_row + row), indices);
                  const auto q = kStepByRow ? Quotient<false>(d, r, c) : Quotient<false>(d, c, r);
                  hn::StoreU(Progress<form>(d, q), d, to);
                  to += hn::Lanes(d);
                });
}

template <class T>
auto ShortProgress(Form form, bool step_by_row) {
  const bool staircase = form == Form::kStaircase;
  if (step_by_row) {
    return staircase ? ShortProgressOf<Form::kStaircase, true, T>
                     : ShortProgressOf<Form::kContinuous, true, T>;
  }
  return staircase ? ShortProgressOf<Form::kStaircase, false, T>
                   : ShortProgressOf<Form::kContinuous, false, T>;
}

// ------------------------------ The tables

template <class T, class Out>
SweepLoops<T> Entry() {
  SweepLoops<T> loops{};
  loops.result = DTypeOf<Out>();
  loops.lanes = hn::Lanes(SweepTag<T>());
  const auto add = [&](auto from) {
    loops.gather[static_cast<std::size_t>(DTypeOf<decltype(from)>())] =
        GatherArray<T, decltype(from)>;
  };
  add(std::int32_t{});
  add(std::uint32_t{});
  add(std::int64_t{});
  add(std::uint64_t{});
  add(float{});
  if constexpr (sizeof(T) == 8) add(double{});
  loops.gather_range = GatherRange<T>;
  loops.progress = ProgressOfForm<T>;
  loops.short_progress = ShortProgress<T>;
  loops.long_rows = LongRows<T, Out, false>;
  loops.long_rows_with_divisor = LongRows<T, Out, true>;
  loops.short_rows = ShortRows<T, Out>;
  loops.flush = [] { hwy::FlushStream(); };
  return loops;
}

}  // namespace
}  // namespace HWY_NAMESPACE

template <>
Sweeps SweepsOf<HWY_TARGET>() {
  using HWY_NAMESPACE::Entry;
  return {{Entry<float, float>(), Entry<float, Float16>()},
          {Entry<double, double>(), Entry<double, float>(), Entry<double, Float16>()}};
}

}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace invdecay {

Sweeps SweepsFor(std::int64_t target) {
  Sweeps sweeps;
  WithTarget(target, [&](auto t) { sweeps = SweepsOf<t()>(); });
  return sweeps;
}

}  // namespace invdecay
#endif  // HWY_ONCE
