// No loop reads or writes past its arrays: each array lies against a page that must not be
// touched, at every place in a cache line, for every length; bytes beside the results stay.
//
//   guard LENGTHS STRIDE    lengths 0 to LENGTHS; every STRIDE-th pair of places

#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "hyperparameters.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

constexpr std::size_t kLine = 64;
constexpr unsigned char kCanary = 0xA5;

// Writable pages between two that fault.
class GuardedPages {
 public:
  explicit GuardedPages(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    size_ = (bytes + page - 1) / page * page;
    whole_ = size_ + 2 * page;
    void* base = mmap(nullptr, whole_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    base_ = static_cast<unsigned char*>(base);
    begin_ = base_ + page;
    if (base == MAP_FAILED || mprotect(begin_, size_, PROT_READ | PROT_WRITE) != 0) std::abort();
    Clear();
  }
  ~GuardedPages() { munmap(base_, whole_); }
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;

  // Room for n elements, offset bytes after the first guard or before the last one.
  template <class T>
  T* Place(std::size_t n, std::size_t offset, bool at_end) const {
    return reinterpret_cast<T*>(at_end ? begin_ + size_ - n * sizeof(T) - offset : begin_ + offset);
  }
  void Clear() { std::memset(begin_, kCanary, size_); }
  // Whether all bytes but [from, from + bytes) are still as Clear left them; sets those back too.
  bool OnlyWritten(void* from, std::size_t bytes) {
    std::memset(from, kCanary, bytes);
    return begin_[0] == kCanary && std::memcmp(begin_, begin_ + 1, size_ - 1) == 0;
  }

 private:
  unsigned char* base_;
  unsigned char* begin_;
  std::size_t size_, whole_;
};

struct Places {
  std::size_t in, out;
  bool at_end;
};

template <class T, class Step, class Body>
void ForEachPlace(std::uint64_t stride, const Body& body) {
  std::uint64_t pair = 0;
  for (const bool at_end : {false, true}) {
    for (std::size_t in = 0; in < kLine; in += sizeof(Step)) {
      for (std::size_t out = 0; out < kLine; out += sizeof(T)) {
        if (pair++ % stride == 0) body(Places{in, out, at_end});
      }
    }
  }
}

constexpr Hyperparameters<double> kHyper{0.1, 7, 0.5};

template <class T, class Step>
void CheckLoop(std::size_t lengths, std::uint64_t stride, Mismatches& mismatches,
               std::atomic<std::uint64_t>& tried) {
  OnEveryProcessor(lengths + 1, [&](std::uint64_t n) {
    GuardedPages in(n * sizeof(Step) + kLine), out(n * sizeof(T) + kLine);
    const Hyperparameters<T> h = In<T>(kHyper);
    std::vector<Step> steps(n + 1);  // one more, so that data() is never null
    std::vector<T> expected(n + 1);
    for (std::size_t i = 0; i < n; ++i) steps[i] = static_cast<Step>(i * 5);
    for (const Form form : kForms) {
      Reference(form, steps.data(), expected.data(), n, h);
      ForEachPlace<T, Step>(stride, [&](const Places& places) {
        auto* from = in.Place<Step>(n, places.in, places.at_end);
        auto* to = out.Place<T>(n, places.out, places.at_end);
        std::memcpy(from, steps.data(), n * sizeof(Step));
        for (const Kernels& kernels : AllKernels()) {
          Evaluate(kernels, form, from, to, n, h);
          if (std::memcmp(to, expected.data(), n * sizeof(T)) != 0) {
            mismatches.Add(kernels.target, form, "other bits in guarded arrays");
          }
          if (!out.OnlyWritten(to, n * sizeof(T))) {
            mismatches.Add(kernels.target, form, "written beside the results");
            out.Clear();
          }
          ++tried;
        }
      });
    }
  });
}

template <class T, class Out>
void CheckRangeLoop(std::size_t lengths, Mismatches& mismatches,
                    std::atomic<std::uint64_t>& tried) {
  OnEveryProcessor(lengths + 1, [&](std::uint64_t n) {
    GuardedPages out(n * sizeof(Out) + kLine);
    for (const Form form : kForms) {
      for (const double decay_steps : {7.0, 1000.0}) {  // narrow stairs, and stairs to fill
        const Hyperparameters<double> h{0.1, decay_steps, 0.5};
        ForEachPlace<Out, char[kLine]>(1, [&](const Places& places) {
          auto* to = out.Place<Out>(n, places.out, places.at_end);
          for (const Kernels& kernels : AllKernels()) {
            RangeLoopOf<T, Out>(kernels, form)(to, n, -5, 3, h, AllResources());
            if (!out.OnlyWritten(to, n * sizeof(Out))) {
              mismatches.Add(kernels.target, form, "written beside a range's results");
              out.Clear();
            }
            ++tried;
          }
        });
      }
    }
  });
}

// Arrays whose stores bypass the cache, split over threads.
void CheckLarge(Mismatches& mismatches, std::atomic<std::uint64_t>& tried) {
  const Resources resources{AvailableProcessors(), 1 << 22};
  const std::size_t n = (std::size_t{12} << 20) / sizeof(float) + 13;
  const Hyperparameters<float> h = In<float>(kHyper);
  GuardedPages in(n * sizeof(float) + kLine), out(n * sizeof(float) + kLine);
  for (std::size_t offset = 0; offset < kLine; offset += 20) {
    auto* from = in.Place<float>(n, offset, true);
    auto* to = out.Place<float>(n, kLine - 4 - offset, true);
    for (std::size_t i = 0; i < n; ++i) from[i] = static_cast<float>(i);
    for (const Kernels& kernels : AllKernels()) {
      Evaluate(kernels, Form::kContinuous, from, to, n, h, resources);
      if (!out.OnlyWritten(to, n * sizeof(float))) {
        mismatches.Add(kernels.target, Form::kContinuous, "written beside a large result");
      }
      RangeLoopOf<float, float>(kernels, Form::kStaircase)(to, n, 0, 1, {0.1, 1000, 0.5},
                                                           resources);
      if (!out.OnlyWritten(to, n * sizeof(float))) {
        mismatches.Add(kernels.target, Form::kStaircase, "written beside a large range");
      }
      tried += 2;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t lengths = CountArgument(argc, argv, 1);
  const std::uint64_t stride = CountArgument(argc, argv, 2);
  Mismatches mismatches;
  std::atomic<std::uint64_t> tried{0};
  CheckLoop<float, float>(lengths, stride, mismatches, tried);
  CheckLoop<double, double>(lengths, stride, mismatches, tried);
  CheckLoop<double, float>(lengths, stride, mismatches, tried);
  CheckLoop<float, std::int32_t>(lengths, stride, mismatches, tried);
  CheckLoop<float, std::uint32_t>(lengths, stride, mismatches, tried);
  CheckLoop<float, std::int64_t>(lengths, stride, mismatches, tried);
  CheckLoop<float, std::uint64_t>(lengths, stride, mismatches, tried);
  CheckLoop<double, std::int32_t>(lengths, stride, mismatches, tried);
  CheckLoop<double, std::uint32_t>(lengths, stride, mismatches, tried);
  CheckLoop<double, std::int64_t>(lengths, stride, mismatches, tried);
  CheckLoop<double, std::uint64_t>(lengths, stride, mismatches, tried);
  CheckRangeLoop<float, float>(lengths, mismatches, tried);
  CheckRangeLoop<double, double>(lengths, mismatches, tried);
  CheckRangeLoop<double, float>(lengths, mismatches, tried);
  CheckLarge(mismatches, tried);
  return mismatches.Report("guard", tried / AllKernels().size());
}
