// Random bit patterns and edges of the other floating-point steps and of all hyperparameters:
// float64 arithmetic with float64 and float32 steps, float32 arithmetic with random sets.
//
//   random STEPS    how many steps for each of the three loops

#include "check.h"
#include "hyperparameters.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

constexpr std::size_t kBlock = 4096;

template <class T>
Hyperparameters<T> RandomSet(Random& random) {
  switch (random.Below(3)) {
    case 0:
      return In<T>(kSets[random.Below(std::size(kSets))].values);
    case 1:
      return {random.Pattern<T>(), random.Pattern<T>(), random.Pattern<T>()};
    default:
      return {random.Magnitude<T>(-10, 1), random.Magnitude<T>(-30, 60),
              (random.Below(2) ? -1 : 1) * random.Magnitude<T>(-30, 30)};
  }
}

// A random pattern; an integer; or one within 2 ulp of a multiple of decay_steps or of a special.
template <class Step>
Step RandomStep(Random& random, double decay_steps) {
  using Limits = std::numeric_limits<Step>;
  const std::uint64_t kind = random();
  if (kind % 4 < 2) return random.Pattern<Step>();
  if (kind % 4 == 2) return static_cast<Step>(random() >> (kind >> 4) % 64);
  const Step specials[] = {0,
                           1,
                           0x1p23f,
                           0x1p24f,
                           0x1p52f,
                           0x1p53f,
                           0x1p63f,
                           Limits::min(),
                           FromBits<Step>(1),  // GCC 12 for AArch64 stores denorm_min() as a quad
                           Limits::max(),
                           Limits::infinity()};
  const double multiple = static_cast<double>(random() >> (11 + (kind >> 4) % 53)) * decay_steps;
  const Step near =
      kind & 8 ? specials[(kind >> 4) % std::size(specials)] : static_cast<Step>(multiple);
  const Step neighbour =
      FromBits<Step>(BitsOf(near) + static_cast<Bits<Step>>((kind >> 32) % 5 - 2));
  return kind & 1u << 31 ? -neighbour : neighbour;
}

template <class T, class Step>
void Check(std::uint64_t steps, Mismatches& mismatches) {
  OnEveryProcessor((steps + kBlock - 1) / kBlock, [&](std::uint64_t block) {
    Random random(block + 1);
    std::vector<Step> at(kBlock);
    std::vector<T> expected(kBlock), actual(kBlock);
    const Hyperparameters<T> h = RandomSet<T>(random);
    for (Step& step : at) step = RandomStep<Step>(random, static_cast<double>(h.decay_steps));
    const Form form = kForms[block % 2];
    Reference(form, at.data(), expected.data(), kBlock, h);
    for (const Kernels& kernels : AllKernels()) {
      Evaluate(kernels, form, at.data(), actual.data(), kBlock, h);
      mismatches.Compare(kernels.target, form, at.data(), h, actual.data(), expected.data(),
                         kBlock);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t steps = CountArgument(argc, argv, 1);
  Mismatches mismatches;
  Check<double, double>(steps, mismatches);
  Check<double, float>(steps, mismatches);
  Check<float, float>(steps, mismatches);
  return mismatches.Report("random", 3 * steps);
}
