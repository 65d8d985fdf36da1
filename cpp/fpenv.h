// The floating-point environment: the rounding mode and the exception flags.
#pragma once

#include <cfenv>

#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace invdecay {

// The exceptions that NumPy reports.
inline constexpr int kReportedExceptions = FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID;

// Returns whether this thread rounds to nearest. On x86 the SIMD unit has a separate mode, which
// fegetround does not read.
inline bool RoundsToNearest() {
#if defined(__SSE__) || defined(_M_X64)
  return (_mm_getcsr() & _MM_ROUND_MASK) == _MM_ROUND_NEAREST;
#else
  return std::fegetround() == FE_TONEAREST;
#endif
}

// Raises the exceptions that are not raised yet. Reading the flags first is much faster than
// raising them again.
inline void RaiseOnce(int exceptions) {
  if ((std::fetestexcept(exceptions) & exceptions) != exceptions) std::feraiseexcept(exceptions);
}

// Hides the exceptions raised during its lifetime: at the end, those that were not raised before
// are cleared, and those that were raised before still are.
class HideExceptions {
 public:
  HideExceptions() : before_(std::fetestexcept(FE_ALL_EXCEPT)) {}
  ~HideExceptions() {
    const int raised = std::fetestexcept(FE_ALL_EXCEPT) & ~before_;
    if (raised != 0) std::feclearexcept(raised);
  }
  HideExceptions(const HideExceptions&) = delete;
  HideExceptions& operator=(const HideExceptions&) = delete;

 private:
  int before_;
};

// Collects the exceptions raised during its lifetime, and restores the caller's flags at the end.
class CollectExceptions {
 public:
  CollectExceptions() {
    std::fegetenv(&before_);
    std::feclearexcept(FE_ALL_EXCEPT);
  }
  ~CollectExceptions() { std::fesetenv(&before_); }
  CollectExceptions(const CollectExceptions&) = delete;
  CollectExceptions& operator=(const CollectExceptions&) = delete;

  int Raised() const { return std::fetestexcept(kReportedExceptions); }

 private:
  std::fenv_t before_;
};

}  // namespace invdecay
