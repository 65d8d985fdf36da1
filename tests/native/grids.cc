// Sweeps over broadcast arrays: the bits and the flags of the reference at every element, and no
// byte written beside the elements, whatever the shapes, strides, alignments, threads and modes.
//
//   grids SWEEPS    how many small sweeps; one in 1,000 more is large enough for several threads

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "check.h"
#include "hyperparameters.h"
#include "sweep.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

using Lengths = std::vector<std::size_t>;

template <class List>
void Shuffle(Random& random, List& list) {
  for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random.Below(i)]);
}

// "3 4 5 "
std::string Text(const Lengths& numbers) {
  std::string text;
  for (const std::size_t number : numbers) text += std::to_string(number) + ' ';
  return text;
}

// An array with random strides over some of the axes of a sweep; it is broadcast over the others.
template <class T>
class RandomArray {
 public:
  // With `spread`, elements may lie apart, backwards and at odd addresses.
  RandomArray(Random& random, const Lengths& lengths, std::uint64_t varying, bool spread)
      : strides_(lengths.size()) {
    Lengths order(lengths.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (spread && random.Below(2) == 0) Shuffle(random, order);
    std::int64_t size = sizeof(T);
    if (spread && random.Below(4) == 0) size += static_cast<std::int64_t>(random.Below(20));
    std::int64_t first = static_cast<std::int64_t>(sizeof(T) * random.Below(64 / sizeof(T)));
    if (spread && random.Below(8) == 0) first += static_cast<std::int64_t>(random.Below(8));
    for (std::size_t i = order.size(); i-- > 0;) {
      const std::size_t axis = order[i];
      if ((varying >> axis & 1) == 0) continue;
      const auto length = static_cast<std::int64_t>(lengths[axis]);
      strides_[axis] = size;
      size *= length;
      if (spread && random.Below(4) == 0) size += static_cast<std::int64_t>(8 * random.Below(9));
      if (spread && random.Below(4) == 0) {
        first += (length - 1) * strides_[axis];
        strides_[axis] = -strides_[axis];
      }
    }
    bytes_.resize(static_cast<std::size_t>(size + 256));
    first_ = static_cast<std::size_t>(first + 64);
    // The addresses of vectors' data are multiples of 16 only.
    first_ += (64 - reinterpret_cast<std::uintptr_t>(bytes_.data()) % 64) % 64;
  }

  unsigned char* At(const Lengths& index) {
    auto at = static_cast<std::int64_t>(first_);
    for (std::size_t axis = 0; axis < index.size(); ++axis) {
      at += static_cast<std::int64_t>(index[axis]) * strides_[axis];
    }
    return &bytes_[static_cast<std::size_t>(at)];
  }
  T Get(const Lengths& index) {
    T value;
    std::memcpy(&value, At(index), sizeof value);
    return value;
  }
  void Set(const Lengths& index, T value) { std::memcpy(At(index), &value, sizeof value); }

  SweepOperand Operand() {
    SweepOperand operand{};
    operand.first = reinterpret_cast<std::uintptr_t>(&bytes_[first_]);
    std::copy(strides_.begin(), strides_.end(), operand.strides.begin());
    return operand;
  }
  std::vector<unsigned char>& bytes() { return bytes_; }

 private:
  std::vector<std::int64_t> strides_;
  std::vector<unsigned char> bytes_;
  std::size_t first_;
};

// Calls body(index) for every element, the last axis fastest.
template <class Body>
void ForEachIndex(const Lengths& lengths, const Body& body) {
  Lengths index(lengths.size());
  for (;;) {
    body(index);
    std::size_t axis = lengths.size();
    while (axis > 0 && ++index[axis - 1] == lengths[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

// Quiet numbers, with few others among them: flags must come from one element in many.
template <class T>
void Randomize(Random& random, RandomArray<T>& array, const Lengths& lengths, double quiet,
               std::uint64_t one_in) {
  ForEachIndex(lengths, [&](const Lengths& index) {
    const auto number = std::is_integral_v<T> ? static_cast<double>(random.Below(100000)) : quiet;
    array.Set(index, random.Below(one_in) == 0 ? random.Pattern<T>() : static_cast<T>(number));
  });
}

// Not inlined, so that no operation moves past the look at the floating-point flags.
template <class Rounded, class T>
[[gnu::noinline]] Rounded ReferenceAt(Form form, T step, T lr, T decay_steps, T rate) {
  return static_cast<Rounded>(LearningRate(form, step, lr, decay_steps, rate));
}

bool SameResult(Float16 a, Float16 b) { return SameFloat16(a.bits, b.bits); }
template <class Out>
bool SameResult(Out a, Out b) {
  return Same(a, b);
}
double Printed(Float16 x) { return x.bits; }
double Printed(float x) { return static_cast<double>(x); }
double Printed(double x) { return x; }

struct Case {
  Form form;
  Lengths lengths;
  std::uint64_t mode;
  Resources resources;
  bool spread;
  std::uint64_t one_in;
};

template <class T, class Step, class Out>
void CheckSweep(Random& random, const Case& c, bool range, Mismatches& mismatches) {
  const std::size_t axes = c.lengths.size();
  const auto some_axes = [&] { return random.Below(std::uint64_t{1} << axes); };
  const std::uint64_t all_axes = (std::uint64_t{1} << axes) - 1;
  RandomArray<Step> step(random, c.lengths, some_axes(), c.spread);
  RandomArray<T> lr(random, c.lengths, random.Below(2) ? 0 : some_axes(), c.spread);
  RandomArray<T> decay_steps(random, c.lengths, random.Below(2) ? 0 : some_axes(), c.spread);
  RandomArray<T> rate(random, c.lengths, some_axes(), c.spread);
  RandomArray<Out> out(random, c.lengths, all_axes, c.spread);
  Randomize(random, step, c.lengths, 0.75, c.one_in);
  Randomize(random, lr, c.lengths, 0.1, c.one_in);
  Randomize(random, decay_steps, c.lengths, 1000, c.one_in);
  Randomize(random, rate, c.lengths, 0.5, c.one_in);
  Sweep sweep{};
  sweep.form = c.form;
  sweep.arithmetic = DTypeOf<T>();
  sweep.result = DTypeOf<Out>();
  sweep.step = DTypeOf<Step>();
  sweep.steps_are_range = range;
  sweep.axes = axes;
  std::copy(c.lengths.begin(), c.lengths.end(), sweep.lengths.begin());
  sweep.operands = {step.Operand(), lr.Operand(), decay_steps.Operand(), rate.Operand(),
                    out.Operand()};
  const std::uint64_t first = random.Below(4) ? random.Below(1 << 20) : random();
  const std::int64_t distance = static_cast<std::int64_t>(random.Below(1 << 30)) - (1 << 29);
  const std::size_t range_axis = axes > 0 ? random.Below(axes) : 0;
  if (range) {
    sweep.operands[kStep] = {first, {}};
    if (axes > 0) sweep.operands[kStep].strides[range_axis] = distance;
  }
  std::vector<unsigned char> before(out.bytes().size());
  for (unsigned char& byte : before) byte = static_cast<unsigned char>(random());

  // Flushing to zero is not a part of the promise for float16.
  const std::uint64_t mode_number = std::is_same_v<Out, Float16> ? c.mode % 4 : c.mode;
  std::optional<Mode> mode(std::in_place, mode_number);
  std::feclearexcept(FE_ALL_EXCEPT);
  using Result = std::conditional_t<std::is_same_v<Out, Float16>, T, Out>;
  std::vector<Result> results;
  ForEachIndex(c.lengths, [&](const Lengths& index) {
    T x;
    if (range) {
      const std::uint64_t i = axes > 0 ? index[range_axis] : 0;
      x = static_cast<T>(
          static_cast<std::int64_t>(first + i * static_cast<std::uint64_t>(distance)));
    } else {
      x = static_cast<T>(step.Get(index));
    }
    results.push_back(
        ReferenceAt<Result>(c.form, x, lr.Get(index), decay_steps.Get(index), rate.Get(index)));
  });
  int flags = Raised();
  std::vector<unsigned char> expected = before;
  out.bytes().swap(expected);
  auto result = results.begin();
  mode.reset();  // float16 is rounded to nearest in every mode
  ForEachIndex(c.lengths, [&](const Lengths& index) {
    if constexpr (std::is_same_v<Out, Float16>) {
      const Rounded rounded = ToFloat16(static_cast<double>(*result++));
      flags |= rounded.flags;
      out.Set(index, {rounded.bits});
    } else {
      out.Set(index, *result++);
    }
  });
  out.bytes().swap(expected);

  for (const Kernels& kernels : AllKernels()) {
    std::copy(before.begin(), before.end(), out.bytes().begin());
    int raised;
    {
      const Mode in_mode(mode_number);
      std::feclearexcept(FE_ALL_EXCEPT);
      EvaluateSweep(kernels, sweep, c.resources);
      raised = Raised();
    }
    char where[256];
    const std::string shape = Text(c.lengths);
    if (raised != flags) {
      std::snprintf(where, sizeof where, "flags %x instead of %x, shape %s, mode %d, %d threads",
                    static_cast<unsigned>(raised), static_cast<unsigned>(flags), shape.c_str(),
                    static_cast<int>(mode_number), c.resources.threads);
      mismatches.Add(kernels.target, c.form, where);
    }
    if (out.bytes() == expected) continue;
    // A NaN may have any payload. What is left differs.
    bool same = true;
    ForEachIndex(c.lengths, [&](const Lengths& index) {
      const Out actual = out.Get(index);
      out.bytes().swap(expected);
      const Out wanted = out.Get(index);
      out.bytes().swap(expected);
      if (!SameResult(actual, wanted) && same) {
        same = false;
        std::snprintf(where, sizeof where, "%a instead of %a at %sof %s, mode %d%s",
                      Printed(actual), Printed(wanted), Text(index).c_str(), shape.c_str(),
                      static_cast<int>(mode_number), range ? ", range" : "");
        mismatches.Add(kernels.target, c.form, where);
      }
      out.Set(index, wanted);
    });
    if (same && out.bytes() != expected) {
      std::snprintf(where, sizeof where, "written beside the results, shape %s", shape.c_str());
      mismatches.Add(kernels.target, c.form, where);
    }
  }
}

void CheckAnySweep(Random& random, const Case& c, Mismatches& mismatches) {
  const bool range = random.Below(4) == 0;
  constexpr std::array kChecks = {CheckSweep<double, std::int64_t, double>,
                                  CheckSweep<double, std::int32_t, float>,
                                  CheckSweep<double, std::uint64_t, double>,
                                  CheckSweep<double, float, double>,
                                  CheckSweep<double, double, float>,
                                  CheckSweep<float, std::int64_t, float>,
                                  CheckSweep<float, std::uint32_t, float>,
                                  CheckSweep<float, std::uint64_t, float>,
                                  CheckSweep<float, std::int32_t, Float16>,
                                  CheckSweep<double, std::int64_t, Float16>,
                                  CheckSweep<float, float, float>};
  kChecks[random.Below(kChecks.size())](random, c, range, mismatches);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t sweeps = CountArgument(argc, argv, 1);
  Mismatches mismatches;
  const auto any_case = [](Random& random) {
    return Case{kForms[random.Below(2)],
                {},
                random.Below(2) ? random.Below(16) : 0,
                {static_cast<int>(1 + random.Below(4)), random.Below(2) ? 0 : std::size_t{1} << 40},
                random.Below(2) == 0,
                random.Below(4) == 0 ? 3 : std::uint64_t{1} << random.Below(14)};
  };
  OnEveryProcessor(sweeps, [&](std::uint64_t i) {
    Random random(i + 1);
    Case c = any_case(random);
    std::size_t left = 20000;
    for (std::uint64_t axes = random.Below(5); axes > 0; --axes) {
      const std::size_t length = 1 + random.Below(random.Below(2) ? 9 : 300);
      c.lengths.push_back(std::min(length, left));
      left /= c.lengths.back();
    }
    Shuffle(random, c.lengths);
    CheckAnySweep(random, c, mismatches);
  });
  const std::uint64_t large = sweeps / 1000;
  for (std::uint64_t i = 0; i < large; ++i) {
    Random random(i + (std::uint64_t{1} << 40));
    Case c = any_case(random);
    c.one_in <<= 7;
    const std::size_t first = std::size_t{1} << random.Below(20);
    c.lengths = {first + random.Below(first), 0};
    c.lengths[1] = (std::size_t{3} << 20) / c.lengths[0] + 1;
    if (random.Below(2)) std::swap(c.lengths[0], c.lengths[1]);
    CheckAnySweep(random, c, mismatches);
  }
  return mismatches.Report("grids", sweeps + large);
}
