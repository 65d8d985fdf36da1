// What the checks share: calls of the loops by type, random numbers, work on every processor.
#pragma once

#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "fpenv.h"
#include "kernels.h"
#include "parallel.h"
#include "processors.h"
#include "reference.h"

namespace invdecay::check {

// ------------------------------ Loops by type

template <class T, class Step, class Out = T>
ArrayFunction* ArrayLoopOf(const Kernels& kernels, Form form) {
  for (const ArrayLoop& loop : kernels.array_loops) {
    if (loop.form == form && loop.step == DTypeOf<Step>() && loop.arithmetic == DTypeOf<T>() &&
        loop.result == DTypeOf<Out>()) {
      return loop.function;
    }
  }
  std::abort();
}

template <class T, class Out>
RangeFunction* RangeLoopOf(const Kernels& kernels, Form form) {
  for (const RangeLoop& loop : kernels.range_loops) {
    if (loop.form == form && loop.arithmetic == DTypeOf<T>() && loop.result == DTypeOf<Out>()) {
      return loop.function;
    }
  }
  std::abort();
}

// What a call uses unless a check says otherwise.
inline Resources AllResources() {
  static const Resources resources{AvailableProcessors(), LastLevelCacheBytes()};
  return resources;
}

// Contiguous steps and results, one set of hyperparameters.
template <class T, class Step, class Out>
void Evaluate(const Kernels& kernels, Form form, const Step* steps, Out* out, std::size_t n,
              Hyperparameters<T> h, const Resources& resources = AllResources()) {
  char* const operands[kNumOperands] = {
      const_cast<char*>(reinterpret_cast<const char*>(steps)),
      reinterpret_cast<char*>(&h.initial_learning_rate), reinterpret_cast<char*>(&h.decay_steps),
      reinterpret_cast<char*>(&h.decay_rate), reinterpret_cast<char*>(out)};
  const std::intptr_t strides[kNumOperands] = {sizeof(Step), 0, 0, 0, sizeof(Out)};
  ArrayLoopOf<T, Step, Out>(kernels, form)(operands, n, strides, resources);
}

// ------------------------------ The floating-point environment

inline constexpr int kRoundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

// A rounding mode and, on x86, the bits that flush subnormal results and operands to zero.
class Mode {
 public:
  explicit Mode(std::uint64_t number) {
    std::fegetenv(&before_);
    std::fesetround(kRoundings[number % 4]);
#if defined(__SSE__)
    constexpr unsigned kDenormalsAreZero = 0x0040, kFlushToZero = 0x8000;
    _mm_setcsr(_mm_getcsr() | (number & 4 ? kFlushToZero : 0) |
               (number & 8 ? kDenormalsAreZero : 0));
#endif
  }
  ~Mode() { std::fesetenv(&before_); }
  Mode(const Mode&) = delete;
  Mode& operator=(const Mode&) = delete;

 private:
  std::fenv_t before_;
};

inline int Raised() { return std::fetestexcept(kReportedExceptions); }

// ------------------------------ Mismatches

// Counts mismatches and prints the first few.
class Mismatches {
 public:
  template <class T, class Step>
  void Compare(const char* target, Form form, const Step* steps, const Hyperparameters<T>& h,
               const T* actual, const T* expected, std::size_t n) {
    if (std::memcmp(actual, expected, n * sizeof(T)) == 0) return;
    for (std::size_t i = 0; i < n; ++i) {
      if (Same(actual[i], expected[i])) continue;
      char where[200];
      std::snprintf(where, sizeof where, "step %.17g, hyperparameters %a %a %a: %a instead of %a",
                    static_cast<double>(steps[i]), static_cast<double>(h.initial_learning_rate),
                    static_cast<double>(h.decay_steps), static_cast<double>(h.decay_rate),
                    static_cast<double>(actual[i]), static_cast<double>(expected[i]));
      Add(target, form, where);
    }
  }
  void Add(const char* target, Form form, const char* what) {
    if (count_.fetch_add(1) >= 10) return;
    const std::lock_guard lock(mutex_);
    std::printf("MISMATCH %s %s: %s\n", target,
                form == Form::kStaircase ? "staircase" : "continuous", what);
  }
  std::uint64_t count() const { return count_; }

  // The last line of a check, and its exit status.
  int Report(const char* check, std::uint64_t tried) const {
    std::printf("%s: %" PRIu64 " tried on each of", check, tried);
    for (const Kernels& kernels : AllKernels()) std::printf(" %s", kernels.target);
    std::printf(": %" PRIu64 " mismatches\n", count());
    return count() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
  }

 private:
  std::atomic<std::uint64_t> count_{0};
  std::mutex mutex_;
};

// ------------------------------ Random numbers

// splitmix64 (Steele, Lea, Flood, OOPSLA 2014): any seed will do.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0xD1B54A32D192ED03u) {}
  std::uint64_t operator()() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::uint64_t Below(std::uint64_t n) { return (*this)() % n; }
  template <class T>
  T Pattern() {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<T>((*this)());
    } else {
      return FromBits<T>(static_cast<Bits<T>>((*this)()));
    }
  }
  // From 2^low to 2^high, uniform in the exponent.
  template <class T>
  T Magnitude(int low, int high) {
    const auto fraction = static_cast<double>((*this)() >> 11) * 0x1p-53;
    const int exponent = low + static_cast<int>(Below(static_cast<std::uint64_t>(high - low)));
    return static_cast<T>(std::ldexp(1 + fraction, exponent));
  }

 private:
  std::uint64_t state_;
};

// ------------------------------ Work

// Calls body(i) for i < n from every processor.
template <class Body>
void OnEveryProcessor(std::uint64_t n, const Body& body) {
  std::atomic<std::uint64_t> next{0};
  const auto work = [&] {
    for (std::uint64_t i; (i = next.fetch_add(1)) < n;) body(i);
  };
  std::vector<std::thread> threads;
  for (int t = 1; t < AvailableProcessors(); ++t) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
}

inline std::uint64_t CountArgument(int argc, char** argv, int index) {
  if (argc <= index) {
    std::fprintf(stderr, "usage: %s SIZE, see CMakeLists.txt\n", argv[0]);
    std::exit(2);
  }
  return static_cast<std::uint64_t>(std::strtod(argv[index], nullptr));
}

}  // namespace invdecay::check
