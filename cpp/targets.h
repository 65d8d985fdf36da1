// How the sources that are compiled once per SIMD target offer their tables to targets.cc.
//
// Each copy of such a source specialises a function template for its target, HWY_TARGET. Behind the
// last copy, WithTarget turns a target known at run time into the template's argument.
#pragma once

#include <hwy/targets.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels.h"

namespace invdecay {

template <std::int64_t target>
std::vector<ArrayLoop> ArrayLoops();
template <std::int64_t target>
std::vector<RangeLoop> RangeLoops();
template <std::int64_t target>
Sweeps SweepsOf();

// Call the specialisation for `target`, which is one bit of HWY_TARGETS.
std::vector<ArrayLoop> ArrayLoopsFor(std::int64_t target);
std::vector<RangeLoop> RangeLoopsFor(std::int64_t target);
Sweeps SweepsFor(std::int64_t target);

template <class Function, std::size_t... bit>
void WithTarget(std::int64_t target, const Function& function, std::index_sequence<bit...>) {
  const auto call_if_equal = [&](auto candidate) {
    if constexpr ((HWY_TARGETS & candidate()) != 0) {
      if (target == candidate()) function(candidate);
    }
  };
  (call_if_equal(std::integral_constant<std::int64_t, std::int64_t{1} << bit>()), ...);
}

// Calls function(std::integral_constant<std::int64_t, target>()).
template <class Function>
void WithTarget(std::int64_t target, const Function& function) {
  WithTarget(target, function, std::make_index_sequence<63>());
}

}  // namespace invdecay
