// Which SIMD targets this processor runs.

#include "targets.h"

namespace invdecay {

const std::vector<Kernels>& AllKernels() {
  // Never destroyed: a daemon thread may still compute while the process exits.
  static const auto* const all = [] {
    auto* const found = new std::vector<Kernels>;  // NOLINT(cppcoreguidelines-owning-memory)
    // The better a target, the lower its bit.
    for (std::int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
      const std::int64_t target = rest & -rest;
      found->push_back({hwy::TargetName(target), ArrayLoopsFor(target), RangeLoopsFor(target),
                        SweepsFor(target)});
    }
    return found;
  }();
  return *all;
}

}  // namespace invdecay
