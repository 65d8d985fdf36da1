// Range loops against the scalar reference at each step: random starts, steps and lengths, around
// 2^24, 2^31, 2^53 and the ends of int64, wide and narrow stairs; the flags raised as well.
//
//   ranges RANGES    how many random ranges for each range loop and form

#include "check.h"
#include "hyperparameters.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

struct Steps {
  std::int64_t start, step;
  std::size_t n;
  std::int64_t At(std::size_t i) const {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(start) +
                                     i * static_cast<std::uint64_t>(step));
  }
};

// A range that stays inside int64.
Steps RandomSteps(Random& random, std::size_t longest) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMarks[] = {
      0, 1 << 24, std::int64_t{1} << 31, std::int64_t{1} << 32, std::int64_t{1} << 53, kMax};
  Steps steps;
  steps.n = 1 + random.Below(longest);
  const auto magnitude = static_cast<std::int64_t>(random() >> (1 + random.Below(63)));
  switch (random.Below(4)) {
    case 0:
      steps.step = 1;
      break;
    case 1:
      steps.step = -1;
      break;
    case 2:
      steps.step = 1 + magnitude % 1000;
      break;
    default:
      steps.step = magnitude / static_cast<std::int64_t>(steps.n) + 1;
  }
  if (random.Below(2)) steps.step = -steps.step;
  // Near a mark, which most ranges cross; else anywhere.
  std::int64_t start = random.Pattern<std::int64_t>() >> random.Below(64);
  if (random.Below(4) != 0) {
    const std::int64_t mark = kMarks[random.Below(std::size(kMarks))];
    const __int128 offset =
        static_cast<__int128>(steps.step) * static_cast<std::int64_t>(random.Below(steps.n + 1));
    const __int128 near =
        (random.Below(2) ? static_cast<__int128>(mark) : -static_cast<__int128>(mark)) - offset;
    start = static_cast<std::int64_t>(std::min<__int128>(std::max<__int128>(near, kMin), kMax));
  }
  const __int128 last = static_cast<__int128>(start) +
                        static_cast<__int128>(steps.step) * static_cast<std::int64_t>(steps.n - 1);
  if (last > kMax) start = static_cast<std::int64_t>(start - (last - kMax));
  if (last < kMin) start = static_cast<std::int64_t>(start + (kMin - last));
  steps.start = start;
  return steps;
}

// Sets of every kind, and stairs from narrower than a step to wider than the range. They are
// rounded to T beforehand, because the loop does not report the flags of that.
template <class T>
Hyperparameters<double> RandomSet(Random& random, const Steps& steps) {
  if (random.Below(4) == 0) return In<double>(In<T>(kSets[random.Below(std::size(kSets))].values));
  const double step = std::abs(static_cast<double>(steps.step));
  const double width = random.Magnitude<double>(-3, 12);
  const double decay_steps = random.Below(2) ? std::ceil(step * width) : step * width;
  const double sign = random.Below(4) == 0 ? -1 : 1;
  const double rate = sign * random.Magnitude<double>(-30, 4);
  return In<double>(
      In<T>(Hyperparameters<double>{random.Magnitude<double>(-20, 2), decay_steps, rate}));
}

template <class T, class Out>
[[gnu::noinline]] void ReferenceRange(Form form, const Steps& steps, Out* out,
                                      const Hyperparameters<double>& h) {
  const Hyperparameters<T> cast = In<T>(h);
  std::feclearexcept(FE_ALL_EXCEPT);
  for (std::size_t i = 0; i < steps.n; ++i) {
    out[i] = static_cast<Out>(LearningRate<T>(form, steps.At(i), cast.initial_learning_rate,
                                              cast.decay_steps, cast.decay_rate));
  }
}

template <class T, class Out>
void CheckRange(Form form, const Steps& steps, const Hyperparameters<double>& h,
                Mismatches& mismatches) {
  std::vector<Out> expected(steps.n), actual(steps.n);
  ReferenceRange<T>(form, steps, expected.data(), h);
  const int flags = Raised();
  for (const Kernels& kernels : AllKernels()) {
    std::feclearexcept(FE_ALL_EXCEPT);
    RangeLoopOf<T, Out>(kernels, form)(actual.data(), steps.n, steps.start, steps.step, h,
                                       {AvailableProcessors(), 1 << 22});
    const int raised = Raised();
    char where[200];
    std::snprintf(where, sizeof where,
                  "range of %zu from %" PRId64 " by %" PRId64
                  ", hyperparameters %a %a %a, %zu bytes",
                  steps.n, steps.start, steps.step, h.initial_learning_rate, h.decay_steps,
                  h.decay_rate, sizeof(Out));
    for (std::size_t i = 0; i < steps.n; ++i) {
      if (Same(actual[i], expected[i])) continue;
      mismatches.Add(kernels.target, form, where);
      break;
    }
    if (raised != flags) {
      char what[260];
      std::snprintf(what, sizeof what, "flags %x instead of %x, %s", raised, flags, where);
      mismatches.Add(kernels.target, form, what);
    }
  }
}

template <class T, class Out>
void Check(std::uint64_t ranges, Mismatches& mismatches) {
  OnEveryProcessor(ranges, [&](std::uint64_t i) {
    Random random(i + 1);
    const Form form = kForms[i % 2];
    // One in a thousand is long enough for several threads, and most of these are streamed.
    const std::size_t longest = i % 1000 == 999 ? 1 << 22 : 2000;
    const Steps steps = RandomSteps(random, longest);
    CheckRange<T, Out>(form, steps, RandomSet<T>(random, steps), mismatches);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t ranges = CountArgument(argc, argv, 1);
  Mismatches mismatches;
  Check<double, double>(ranges, mismatches);
  Check<double, float>(ranges, mismatches);
  Check<float, float>(ranges, mismatches);
  return mismatches.Report("ranges", 3 * ranges);
}
