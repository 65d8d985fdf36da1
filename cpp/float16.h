// float16 by integer arithmetic, for processors without an instruction for it.
#pragma once

#include <cfenv>
#include <cstdint>
#include <cstring>

#include "fpenv.h"

namespace invdecay {

// Returns the bits of v rounded to float16: once, to nearest, ties to even, in every rounding mode.
// Raises OVERFLOW where the result is infinite but v is not; UNDERFLOW where v is below the normal
// range of float16 and not a number of float16. NumPy's cast does the same.
inline std::uint16_t RoundToFloat16(float v) {
  std::uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  const std::uint32_t sign = bits >> 16 & 0x8000;
  const std::uint32_t magnitude = bits & 0x7FFFFFFF;
  constexpr std::uint32_t kInfinity = 0x7F800000, kLeastNormal = 0x38800000;  // 2^-14
  const auto round_shift = [](std::uint32_t value, std::uint32_t shift) {
    const std::uint32_t half = std::uint32_t{1} << (shift - 1);
    return (value + half - 1 + (value >> shift & 1)) >> shift;
  };
  std::uint32_t result;
  if (magnitude >= kInfinity) {
    result = magnitude > kInfinity ? 0x7E00 : 0x7C00;
  } else if (magnitude >= kLeastNormal) {
    result = round_shift(magnitude - 0x38000000, 13);  // 112 less in the exponent
    if (result >= 0x7C00) {
      result = 0x7C00;
      RaiseOnce(FE_OVERFLOW);
    }
  } else if (magnitude == 0) {
    result = 0;
  } else {
    // The significand counts units of 2^-24 after a shift by 14 for the exponent of 2^-15, by one
    // more for each exponent below. A shift by 25 or more leaves nothing.
    const std::uint32_t exponent = magnitude >> 23;
    const std::uint32_t shift = exponent < 126 - 25 ? 25 : 126 - exponent;
    const std::uint32_t significand = (magnitude & 0x7FFFFF) | 0x800000;
    result = round_shift(significand, shift);
    if (result << shift != significand) RaiseOnce(FE_UNDERFLOW);
  }
  return static_cast<std::uint16_t>(sign | result);
}

}  // namespace invdecay
