// Loops over arrays, compiled once per SIMD target.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ufunc_loops.cc"  // NOLINT: Highway's protocol
#include <hwy/foreach_target.h>              // must come before highway.h

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <vector>

#include "evaluate-inl.h"
#include "kernels.h"
#include "parallel.h"
#include "targets.h"

HWY_BEFORE_NAMESPACE();
namespace invdecay {
namespace HWY_NAMESPACE {
namespace {

// ------------------------------ Contiguous steps and results, constant hyperparameters

template <class T, class Step, class Out>
struct ContiguousCall {
  const Step* steps;
  Out* out;
  Constants<T> constants;
};

template <Form form, bool kStream, class T, class Step, class Out>
void EvaluateContiguous(const void* context, std::size_t begin, std::size_t end) {
  const auto& call = *static_cast<const ContiguousCall<T, Step, Out>*>(context);
  Evaluate<form, kStream>(call.steps + begin, call.constants, call.out + begin, end - begin);
}

template <class T>
HWY_INLINE T ValueAt(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <Form form, class T, class Step, class Out>
void CallContiguous(char* const* operands, std::size_t n, const Resources& resources) {
  const ContiguousCall<T, Step, Out> call{
      reinterpret_cast<const Step*>(operands[kStep]), reinterpret_cast<Out*>(operands[kOut]),
      Constants<T>({ValueAt<T>(operands[kInitialLearningRate]), ValueAt<T>(operands[kDecaySteps]),
                    ValueAt<T>(operands[kDecayRate])})};
  // In place, plain stores are faster: the line is in the cache already.
  const bool stream = n * sizeof(Out) > resources.cache_bytes && operands[kStep] != operands[kOut];
  ParallelFor(n, sizeof(Step) + sizeof(Out), resources.threads,
              stream ? EvaluateContiguous<form, true, T, Step, Out>
                     : EvaluateContiguous<form, false, T, Step, Out>,
              &call);
}

// ------------------------------ Any other strides

// Copies `count` elements that are `stride` bytes apart, converted to T.
template <class T, class Stored>
HWY_NOINLINE void CopySteps(const char* from, std::intptr_t stride, T* to, std::size_t count) {
  std::size_t i = 0;
  if (stride == std::intptr_t{sizeof(Stored)}) {
    const hn::ScalableTag<T> d;
    const auto* data = reinterpret_cast<const Stored*>(from);
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
      hn::StoreU(LoadSteps(d, data + i), d, to + i);
    }
  }
  from += static_cast<std::intptr_t>(i) * stride;
  for (; i < count; ++i, from += stride) to[i] = static_cast<T>(ValueAt<Stored>(from));
}

template <class T>
struct StridedCall {
  char* const* operands;
  const std::intptr_t* strides;
  void (*copy_steps)(const char* from, std::intptr_t stride, T* to, std::size_t count);
  bool steps_are_t;
};

// Elements of any strides, a block at a time. Operands that do not lie side by side in type T are
// copied to a block in the L1 cache, and one loop evaluates the blocks.
template <Form form, class T>
void EvaluateStrided(const void* context, std::size_t begin, std::size_t end) {
  const auto& call = *static_cast<const StridedCall<T>*>(context);
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::size_t kBlock = 512;
  HWY_ALIGN T blocks[kNumOperands][kBlock];
  const auto whole_vectors = [lanes](std::size_t n) { return (n + lanes - 1) / lanes * lanes; };
  const std::size_t longest = whole_vectors(std::min(kBlock, end - begin));
  for (std::size_t i = begin; i < end; i += kBlock) {
    const std::size_t count = std::min(kBlock, end - i);
    // The last vector of a block may have lanes without an element. They repeat the last element,
    // so that they raise no flag that it does not raise.
    const std::size_t padded = whole_vectors(count);
    T* operands[kNumOperands];
    for (std::size_t k = 0; k < kNumOperands; ++k) {
      const std::intptr_t stride = call.strides[k];
      char* const from = call.operands[k] + static_cast<std::intptr_t>(i) * stride;
      const bool is_t = k != kStep || call.steps_are_t;
      if (is_t && stride == std::intptr_t{sizeof(T)} && padded == count) {
        operands[k] = reinterpret_cast<T*>(from);
        continue;
      }
      T* const block = operands[k] = blocks[k];
      // The elements of a constant stay from the first block on.
      if (k == kOut || (stride == 0 && i != begin)) continue;
      const std::size_t copied = stride == 0 ? 1 : count;
      if (k == kStep) {
        call.copy_steps(from, stride, block, copied);
      } else {
        CopySteps<T, T>(from, stride, block, copied);
      }
      std::fill(block + copied, block + (stride == 0 ? longest : padded), block[copied - 1]);
    }
    // Local pointers, which no store to out can change.
    const T* const steps = operands[kStep];
    const T* const lr = operands[kInitialLearningRate];
    const T* const decay_steps = operands[kDecaySteps];
    const T* const rate = operands[kDecayRate];
    T* const out = operands[kOut];
    for (std::size_t j = 0; j < padded; j += lanes) {
      const auto v =
          LearningRateAt<form, false>(d, hn::LoadU(d, steps + j), hn::LoadU(d, lr + j),
                                      hn::LoadU(d, decay_steps + j), hn::LoadU(d, rate + j));
      hn::StoreU(v, d, out + j);
    }
    if (out != blocks[kOut]) continue;
    char* to = call.operands[kOut] + static_cast<std::intptr_t>(i) * call.strides[kOut];
    for (std::size_t j = 0; j < count; ++j, to += call.strides[kOut]) {
      std::memcpy(to, out + j, sizeof(T));
    }
  }
}

// ------------------------------ The loops

// Out is T or narrower. A narrower one takes steps and results that lie side by side, and constant
// hyperparameters.
template <Form form, class T, class Step, class Out>
void Loop(char* const* operands, std::size_t n, const std::intptr_t* strides,
          const Resources& resources) noexcept {
  if (n == 0) return;
  const bool contiguous =
      strides[kStep] == std::intptr_t{sizeof(Step)} && strides[kOut] == std::intptr_t{sizeof(Out)};
  const bool constants =
      strides[kInitialLearningRate] == 0 && strides[kDecaySteps] == 0 && strides[kDecayRate] == 0;
  if (contiguous && constants) {
    return CallContiguous<form, T, Step, Out>(operands, n, resources);
  }
  if constexpr (std::is_same_v<T, Out>) {
    const StridedCall<T> call{operands, strides, CopySteps<T, Step>, std::is_same_v<T, Step>};
    // Elements of an out that overlaps itself must be stored in order.
    const bool overlaps = static_cast<std::size_t>(std::abs(strides[kOut])) < sizeof(T);
    ParallelFor(n, sizeof(Step) + 4 * sizeof(T), overlaps ? 1 : resources.threads,
                EvaluateStrided<form, T>, &call);
  }
}

template <class T, class Out, class... Steps>
void AddLoops(std::vector<ArrayLoop>& loops) {
  (loops.push_back({Form::kContinuous, DTypeOf<Steps>(), DTypeOf<T>(), DTypeOf<Out>(),
                    Loop<Form::kContinuous, T, Steps, Out>}),
   ...);
  (loops.push_back({Form::kStaircase, DTypeOf<Steps>(), DTypeOf<T>(), DTypeOf<Out>(),
                    Loop<Form::kStaircase, T, Steps, Out>}),
   ...);
}

// A new dtype of steps is one more type in each of these lists.
void AddWideLoops(std::vector<ArrayLoop>& loops) {
  using std::int32_t, std::int64_t, std::uint32_t, std::uint64_t;
  // Whoever takes the first loop that holds the operands, as polars does, wants float32 first.
  AddLoops<float, float, int32_t, uint32_t, int64_t, uint64_t, float>(loops);
  AddLoops<double, double, int32_t, uint32_t, int64_t, uint64_t, float, double>(loops);
}

// Only the common dtypes of steps: sweep.cc evaluates the others in two passes.
template <class Out>
void AddNarrowLoops(std::vector<ArrayLoop>& loops) {
  using std::int32_t, std::int64_t;
  AddLoops<double, Out, int32_t, int64_t, float, double>(loops);
  if constexpr (sizeof(Out) < sizeof(float)) {
    AddLoops<float, Out, int32_t, int64_t, float>(loops);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE

template <>
std::vector<ArrayLoop> ArrayLoops<HWY_TARGET>() {
  std::vector<ArrayLoop> loops;
  HWY_NAMESPACE::AddWideLoops(loops);
  HWY_NAMESPACE::AddNarrowLoops<float>(loops);
  HWY_NAMESPACE::AddNarrowLoops<Float16>(loops);
  return loops;
}

}  // namespace invdecay
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace invdecay {

std::vector<ArrayLoop> ArrayLoopsFor(std::int64_t target) {
  std::vector<ArrayLoop> loops;
  WithTarget(target, [&](auto t) { loops = ArrayLoops<t()>(); });
  return loops;
}

}  // namespace invdecay
#endif  // HWY_ONCE
