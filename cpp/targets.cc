// Which SIMD targets this processor runs.

#include "targets.h"

namespace invdecay {

const std::vector<Kernels>& AllKernels() {
  static const std::vector<Kernels> all = [] {
    std::vector<Kernels> found;
    // The better a target, the lower its bit.
    for (std::int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
      const std::int64_t target = rest & -rest;
      found.push_back({hwy::TargetName(target), ArrayLoopsFor(target), RangeLoopsFor(target),
                       SweepsFor(target)});
    }
    return found;
  }();
  return all;
}

}  // namespace invdecay
