// Calls from eight threads at once, on shared steps and hyperparameters: for ThreadSanitizer.
//
//   concurrency CALLS    one in 151 is large enough to start threads

#include "check.h"
#include "hyperparameters.h"

using namespace invdecay;
using namespace invdecay::check;

int main(int argc, char** argv) {
  const std::uint64_t calls = CountArgument(argc, argv, 1);
  // A range moves half of the bytes.
  constexpr std::size_t kLong = 2 * kMinBytesPerThread / sizeof(float), kShort = 1000;
  const Hyperparameters<float> h{0.1f, 7, 0.5f};
  std::vector<float> steps(kLong), expected[2];
  for (std::size_t i = 0; i < kLong; ++i) steps[i] = static_cast<float>(i);
  for (const Form form : kForms) {
    auto& table = expected[static_cast<std::size_t>(form)];
    table.resize(kLong);
    Reference(form, steps.data(), table.data(), kLong, h);
  }
  const Resources resources{3, LastLevelCacheBytes()};
  Mismatches mismatches;
  std::atomic<std::uint64_t> next{0};
  const auto work = [&] {
    std::vector<float> out(kLong);
    for (std::uint64_t i; (i = next.fetch_add(1)) < calls;) {
      const Kernels& kernels = AllKernels()[i / 4 % AllKernels().size()];
      const Form form = kForms[i % 2];
      const bool range = i / 2 % 2;
      // 151 has no factor in common with the cycle of forms, loops and targets.
      const std::size_t n = i % 151 == 0 ? (range ? kLong : kLong / 2) : kShort + i % 67;
      if (range) {
        const Hyperparameters<double> wide{h.initial_learning_rate, h.decay_steps, h.decay_rate};
        RangeLoopOf<float, float>(kernels, form)(out.data(), n, 0, 1, wide, resources);
      } else {
        Evaluate(kernels, form, steps.data(), out.data(), n, h, resources);
      }
      mismatches.Compare(kernels.target, form, steps.data(), h, out.data(),
                         expected[static_cast<std::size_t>(form)].data(), n);
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return mismatches.Report("concurrency", calls / AllKernels().size());
}
