// Floating-point flags: exactly those of the reference, whatever length, strides, threads,
// rounding mode and FTZ/DAZ bits; and the same bits in every mode.
//
//   flags ARRAYS    how many short arrays; one in 2,000 more is long enough for several threads

#include <array>

#include "check.h"
#include "hyperparameters.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

// Quiet numbers, with few others among them: flags must come from one element in many.
template <class T>
T RandomOperand(Random& random, double quiet, std::uint64_t one_in) {
  return random.Below(one_in) == 0 ? random.Pattern<T>() : static_cast<T>(quiet);
}

template <class T, class Step>
[[gnu::noinline]] void ReferenceStrided(Form form, const std::vector<Step>& steps,
                                        const std::vector<T>* hyper, std::vector<T>& out) {
  const auto at = [](const std::vector<T>& v, std::size_t i) { return v[v.size() == 1 ? 0 : i]; };
  std::feclearexcept(FE_ALL_EXCEPT);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = LearningRate(form, steps[i], at(hyper[0], i), at(hyper[1], i), at(hyper[2], i));
  }
}

template <class T, class Step>
void CheckArray(Random& random, Form form, std::size_t n, std::uint64_t mode_number, int threads,
                Mismatches& mismatches) {
  const std::uint64_t one_in = random.Below(4) == 0 ? 2 : n + 1;
  std::vector<Step> steps(n);
  for (Step& step : steps) {
    step = RandomOperand<Step>(random, static_cast<double>(random.Below(100000)), one_in);
  }
  std::vector<T> hyper[3];
  const double quiet[] = {0.1, 1000, 0.5};
  const std::uint64_t varying = random.Below(3) == 0 ? random.Below(8) : 0;
  for (std::size_t k = 0; k < 3; ++k) {
    hyper[k].resize(varying >> k & 1 ? n : 1);
    for (T& value : hyper[k])
      value = RandomOperand<T>(random, quiet[k], std::max<std::uint64_t>(8, one_in));
  }
  std::vector<T> expected(n), actual(n);
  const Mode mode(mode_number);
  ReferenceStrided(form, steps, hyper, expected);
  const int flags = Raised();
  for (const Kernels& kernels : AllKernels()) {
    char* operands[] = {
        reinterpret_cast<char*>(steps.data()), reinterpret_cast<char*>(hyper[0].data()),
        reinterpret_cast<char*>(hyper[1].data()), reinterpret_cast<char*>(hyper[2].data()),
        reinterpret_cast<char*>(actual.data())};
    const auto stride = [&](std::size_t k) {
      return static_cast<std::intptr_t>(hyper[k].size() == 1 && n != 1 ? 0 : sizeof(T));
    };
    const std::intptr_t strides[] = {sizeof(Step), stride(0), stride(1), stride(2), sizeof(T)};
    std::feclearexcept(FE_ALL_EXCEPT);
    ArrayLoopOf<T, Step>(kernels, form)(operands, n, strides, {threads, LastLevelCacheBytes()});
    const int raised = Raised();
    char where[160];
    std::snprintf(where, sizeof where,
                  "flags %x instead of %x, %zu elements, %d threads, mode %d, varying %d, %zu-byte "
                  "steps to %zu",
                  static_cast<unsigned>(raised), static_cast<unsigned>(flags), n, threads,
                  static_cast<int>(mode_number), static_cast<int>(varying), sizeof(Step),
                  sizeof(T));
    if (raised != flags) mismatches.Add(kernels.target, form, where);
    for (std::size_t i = 0; i < n; ++i) {
      if (Same(actual[i], expected[i])) continue;
      std::snprintf(where, sizeof where,
                    "element %zu of %zu in mode %d, step %.17g: %a instead of %a", i, n,
                    static_cast<int>(mode_number), static_cast<double>(steps[i]),
                    static_cast<double>(actual[i]), static_cast<double>(expected[i]));
      mismatches.Add(kernels.target, form, where);
      break;
    }
  }
}

void CheckAnyLoop(Random& random, std::uint64_t i, std::size_t n, Mismatches& mismatches) {
  constexpr int kThreads[] = {1, 2, 3, 8};
  const int threads = kThreads[i % std::size(kThreads)];
  const Form form = kForms[i / 4 % 2];
  const std::uint64_t mode = random.Below(2) ? random.Below(16) : 0;
  constexpr std::array kChecks = {CheckArray<double, std::int64_t>, CheckArray<float, std::int64_t>,
                                  CheckArray<float, std::uint64_t>, CheckArray<float, std::int32_t>,
                                  CheckArray<double, float>,        CheckArray<double, double>,
                                  CheckArray<float, float>};
  kChecks[random.Below(kChecks.size())](random, form, n, mode, threads, mismatches);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t arrays = CountArgument(argc, argv, 1);
  Mismatches mismatches;
  OnEveryProcessor(arrays, [&](std::uint64_t i) {
    Random random(i + 1);
    CheckAnyLoop(random, i, 1 + i % 257, mismatches);
  });
  const std::uint64_t threaded = arrays / 2000;
  for (std::uint64_t i = 0; i < threaded; ++i) {
    Random random(i + (std::uint64_t{1} << 40));
    CheckAnyLoop(random, i, (1u << 21) + random.Below(1u << 18), mismatches);
  }
  return mismatches.Report("flags", arrays + threaded);
}
